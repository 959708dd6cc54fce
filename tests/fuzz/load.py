"""`python -m tests.fuzz.load`: questions that are far too large, each in a process of its own; for a night.

Each ends in an answer or a refusal, in bounded memory. `tests/fuzz/test_load.py` asks what is refused, and whether the
others are valid.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.experiment.small import _DATA
from tests.fuzz.command import run
from tests.fuzz.harness import PLACE
from tests.parts import ROOT

MOST_MB = 4000
RUN = "run {file} --output {out}/run --store {out}/store --jobs 1 --quiet"
NOTES = {
    "volume": {"requests_per_month": 30_000},
    "prompt_tokens": {"kind": "lognormal", "mean": 600, "sigma": 0.4},
    "output_tokens": {"kind": "lognormal", "mean": 200, "sigma": 0.4},
}


def scenario(*patterns, duration="1d", **more):
    """A small one of these hosting patterns, with one workload."""
    known = _DATA["hosting_patterns"]
    return {
        "name": "load",
        "horizon": {"start": "2026-04-06", "duration": duration},
        "workloads": {"notes": copy.deepcopy(NOTES)},
        "hosting_patterns": {name: copy.deepcopy(known[name]) for name in patterns},
        "experiment": {"replications": 1},
        **more,
    }


def replicas(count=1024, duration="1d"):
    document = scenario("rented", duration=duration)
    document["hosting_patterns"]["rented"]["cluster"]["replicas"] = count
    return document


def volume(duration="1d", **volume):
    document = scenario("api", "rented", duration=duration)
    document["workloads"]["notes"]["volume"] = volume
    return document


def workloads(count=1000, duration="1d"):
    document = scenario("api", "rented", duration=duration)
    one = NOTES | {"volume": {"requests_per_month": 300}}
    document["workloads"] = {f"notes{number}": one for number in range(count)}
    return document


def patterns(count=1000, duration="1d"):
    document = scenario("api", duration=duration)
    api = document["hosting_patterns"].pop("api")
    document["hosting_patterns"] = {f"api{number}": api for number in range(count)}
    return document


def departments(count=64, duration="1d"):
    """As many workloads of as many departments, each with a way of its own behind one router."""
    hybrid = copy.deepcopy(_DATA["hosting_patterns"]["hybrid"])
    document = scenario(duration=duration)
    one = NOTES | {"departments": {"count": count}, "volume": {"requests_per_month": 3_000}}
    document["workloads"] = {f"ward{number}": one for number in range(count)}
    ways = [["cluster", hybrid["api"]["model"]], [hybrid["api"]["model"], "cluster"]]
    hybrid["routing"]["backends"] = {f"ward{number}": ways[number % 2] for number in range(count)}
    document["hosting_patterns"] = {"routed": hybrid}
    return document


def at_one_moment(at, requests=100_000):
    """A recording all of whose requests come together."""
    rows = "5.0,notes,600,200\n" * requests
    (at / "t.csv").write_text(f"arrival_s,workload,prompt_tokens,output_tokens\n{rows}")
    document = scenario("api", "rented")
    document["workloads"] = {"recorded": {"trace": {"file": "t.csv", "repeat": False}}}
    return document


def months(count=36, duration="7d"):
    document = scenario("api", "rented", duration=duration)
    document["rollout"] = {
        "months": count,
        "adoption": {"kind": "logistic", "midpoint": count / 2, "rate": 0.5},
        "phases": [{"pattern": "api"}, {"pattern": "rented", "from_tokens_per_month": 12_000_000}],
    }
    return document


def everything(duration="365d"):
    """Faults, an API and a cluster, priorities, what may not leave."""
    return {
        "extends": str(ROOT / "scenarios" / "resilience" / "bad_week.yaml"),
        "horizon": {"start": "2026-01-01", "duration": duration},
        "hosting_patterns": {"no_faults": None},
    }


#: By name: the command, and what writes its scenario, given the folder.
QUESTIONS = {
    "1,024 replicas, a day": (RUN, lambda at: replicas()),
    "1,000 workloads, a day": (RUN, lambda at: workloads()),
    "1,000 hosting patterns": (RUN, lambda at: patterns()),
    "64 workloads of 64 departments each, a way for each of them": (RUN, lambda at: departments()),
    "100,000 requests at one moment": (RUN, at_one_moment),
    "36 months of a rollout": ("rollout {file} --store {out}/store --jobs 1 --quiet", lambda at: months()),
    "a year with faults, failover and priorities": (RUN, lambda at: everything()),
    "10^12 tokens a month, a month": (RUN, lambda at: volume("30d", tokens_per_month=10**12)),
    "10^12 tokens a month, a year": (RUN, lambda at: volume("365d", tokens_per_month=10**12)),
}


def ask(at, out, command, document):
    """How a question ends."""
    (at / "s.json").write_text(json.dumps(document))
    (at / "s.json").rename(at / "s.yaml")
    return run(*(word.format(file=at / "s.yaml", out=out) for word in command.split()))


def measured(name):
    """Exit code, what was said, processor time in s and memory at its highest in MB."""
    command, make = QUESTIONS[name]
    with TemporaryDirectory(dir=PLACE) as place:
        said = Path(place) / "said"
        if not (child := os.fork()):
            code = 99
            try:
                ended = ask(Path(place), Path(place) / "out", command, make(Path(place)))
                said.write_text(ended.said)
                code = ended.code
            finally:
                os._exit(code)
        _, status, used = os.wait4(child, 0)
        text = said.read_text() if said.exists() else ""
    return os.waitstatus_to_exitcode(status), text, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main():
    """Print a table; exit 1 where a question was neither answered nor refused, or took too much memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--question", action="append", choices=list(QUESTIONS))
    failed = False
    print("| question | answer | processor time | memory at its highest |\n|---|---|---|---|")
    for name in parser.parse_args().question or QUESTIONS:
        code, said, cpu_s, peak_mb = measured(name)
        wrong = code not in (0, 1, 2, 3) or peak_mb > MOST_MB
        answer = {0: "answered", 1: "answered", 3: "answered", 2: f"refused: {' '.join(said.split())}"}.get(code, said)
        print(f"| {name} | {answer} | {cpu_s:.0f} s | {peak_mb:,.0f} MB |", flush=True)
        failed |= wrong
    sys.exit(failed)


if __name__ == "__main__":
    main()
