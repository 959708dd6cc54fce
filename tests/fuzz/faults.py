"""`python -m tests.fuzz.faults`: every write, rename, fsync, removal and new folder of some commands fails, once each.

The n-th operation fails, or the disk is full from then on, or the process is killed right after it: nothing that it
would still do takes place. Then the same command is given again: its output is, byte for byte, what it is undisturbed.
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import io
import json
import os
import re
import shutil
import sys
from collections import Counter
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from simulator import files
from simulator.bench.replay_record import ReplayedRequests, ServerFacts
from simulator.performance.profile import read_profile
from tests.fuzz.command import run, tree
from tests.fuzz.harness import PLACE, light
from tests.fuzz.sound import MEASURE, engine, prepare, prepare_rest
from tests.parts import ROOT

KINDS = ("fail", "full", "kill")
COMMANDS = {
    "run": "run {at}/scenario.yaml --output {out}/run --store {out}/store --quiet --jobs 1 --pattern hybrid",
    "run, replacing": "run {at}/scenario.yaml --output {out}/run --store {at}/store --quiet --jobs 1 --pattern api",
    "report": "report {at}/run --output {out}/report.html",
    "export csv": "export csv {at}/run --output {out}/tables",
    "export parquet": "export parquet {at}/run --output {out}/tables",
    "export prometheus": "export prometheus {at}/run --output {out}/run.om",
    "trace scale": "trace scale {at}/t.csv {out}/t.parquet --factor 2",
    "trace convert": "trace convert --format litellm {at}/log-litellm {out}/t.csv",
    "trace synthesise": "trace synthesise {at}/scenario.yaml {out}/t.csv",
    "bench fit": "bench fit {at}/steps.json.gz --output {out}/profile.json",
    "init": "init {out}/new.yaml",
    "sweep": "sweep {at}/scenario.yaml --over experiment.seed=1,2 --pattern api --output {out}/sweep"
    " --store {out}/store --quiet --jobs 1",
    "run --report": "run {at}/scenario.yaml --output {out}/run --store {at}/store --quiet --jobs 1 --pattern api"
    " --report",
    "plan": "plan {at}/scenario.yaml --pattern hybrid --gpu l40s --tensor-parallel 1 --quantisation bf16"
    " --most-replicas 1 --deployment own --store {out}/store --quiet --jobs 1 --plot {out}/plan.html",
    "rollout": "rollout {at}/grows.yaml --store {out}/store --quiet --jobs 1 --plot {out}/rollout.html",
    "capacity": "capacity {at}/scenario.yaml --pattern hybrid --replications 1 --store {out}/store --jobs 1",
    "break-even": "break-even {at}/scenario.yaml --store {out}/store --quiet --jobs 1",
    "compare": "compare {at}/run {at}/baseline.json --markdown {out}/c.md",
    "check": "check {at}/run --baseline {at}/baseline.json --markdown {out}/c.md --junit {out}/j.xml",
    "audit": "audit N47 --simulate {root}/scenarios --store {out}/store --jobs 1",
    "trace inspect": "trace inspect {at}/t.csv --plot {out}/t.html",
    "trace cut": "trace cut {at}/t.csv {out}/t.csv --to 100s",
    "trace merge": "trace merge {at}/t.csv {at}/p.parquet --output {out}/t.parquet",
    "trace shift": "trace shift {at}/t.csv {out}/t.csv --by 5s",
    "trace fit": "trace fit {at}/t.csv --output {out}/w.yaml",
    "profile plot": "profile plot llama-3.1-8b-bf16-l40s-x1 --output {out}/p.html",
    "runs prune": "runs prune --in {out} --all",
    "merge": "merge {at}/shards/1 {at}/shards/2 --output {out}/m",
    "when": "when {at}/begins.yaml --store {out}/store --quiet --jobs 1",
    "report --xlsx": "report {at}/run --xlsx {out}/r.xlsx",
    "report --pdf": "report {at}/run --pdf {out}/r.pdf",
    "profile import": "profile import {at}/bf16 --gpu rtx-pro-6000 --output {out}/p.json --model mixtral-8x7b",
    "profile build": "profile build --model llama-3.1-8b --gpu l40s --output {out}/p.json",
    "bench measure": MEASURE.replace("/journal/", "/"),
    "bench replay": "bench replay {at}/few.csv --url http://127.0.0.1:1 --model m --output {out}/r.json"
    " --seed 1 --force",
    "bench fit-overhead": "bench fit-overhead {at}/light.json.gz --profile {at}/own.json --anyway"
    " --output {out}/p.json",
    "bench validate": "bench validate --replay {at}/half.json.gz --profile {at}/own.json"
    " --engine num_gpu_blocks=4000 --plot {out}/v.html --quiet",
}
FEW = "arrival_s,workload,prompt_tokens,output_tokens\n0,a,5,2\n0.01,a,9,3\n"
#: Options and arguments that name what is written.
WRITES = {"--output", "--store", "--plot", "--junit", "--xlsx", "--pdf", "target"}
#: What is not tried, though it writes: why.
NOT_TRIED = {"studio": "serves a page until it is stopped; what it saves: `tests/studio/test_session.py`"}
#: What makes no output but text: it may say other than done of what it found.
JUDGES = {"plan", "rollout", "when", "capacity", "break-even", "compare", "check", "audit"}
GROWS = """extends: scenario.yaml
rollout:
  months: 2
  adoption: {kind: table, points: [{month: 1, share: 0.5}, {month: 2, share: 1}]}
  phases: [{pattern: api}]
"""
BEGINS = GROWS.replace("api}]", "api}, {pattern: hybrid, from_month: 2}]")


@contextmanager
def beside(name):
    """What stands in for an engine, a server, kernel tables or a browser, where a command needs one."""
    if name == "bench measure":
        with engine():
            yield
        return
    instead = {
        "profile build": (
            "simulator.performance.build.build_profile", lambda *_, **__: read_profile("llama-3.1-8b-bf16-l40s-x1")
        ),
        "report --pdf": ("simulator.report.page.pdf_of", lambda page: b"%PDF"),
        "bench replay": ("simulator.bench.replay.replay", _answered),
    }  # fmt: skip
    with patch(*instead[name]) if name in instead else nullcontext():
        yield


def _answered(table, to, limits, *, seed, begin, on_done):
    """As by a server that always takes the same time."""
    at = table.arrival_s.tolist()
    gaps = [[5.0] * (tokens - 1) for tokens in table.output_tokens.tolist()]
    requests = ReplayedRequests(
        planned_s=at, sent_s=at, ttft_s=[0.1] * len(at), gap_ms=gaps, prompt_tokens=table.prompt_tokens.tolist(),
        output_tokens=table.output_tokens.tolist(), cached_tokens=[None] * len(at), prefix_id=[-1] * len(at),
        prefix_tokens=[0] * len(at), outcome=["completed"] * len(at), status=[200] * len(at),
    )  # fmt: skip
    return ServerFacts(), requests


class Killed(BaseException):
    """The process is no more."""


class Disk:
    """Counts the operations below a folder, and has one of them go wrong.

    Attributes:
        seen: Names of the operations, in order.
    """

    def __init__(self, below, kind="none", at=-1):
        self.seen = []
        self._below, self._kind, self._at = str(below), kind, at
        self._dead, self._over, self._locks = False, False, []

    def _does(self, name, really, path=None):
        if path is not None and not os.path.abspath(os.fspath(path)).startswith(self._below):
            return really()
        if self._dead:
            raise Killed
        number = len(self.seen)
        self.seen.append(name)
        if self._kind == "fail" and number == self._at:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if self._kind == "full" and number >= self._at and name in ("write", "create", "mkdir"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = really()
        if self._kind == "kill" and number == self._at:
            self._dead = True
            raise Killed
        return done

    def __enter__(self):
        real = {name: getattr(os, name) for name in ("replace", "rename", "link", "fsync", "unlink", "mkdir", "rmdir")}
        disk, real_open, real_lock, real_add = self, files._open_new, fcntl.flock, io.open

        class Raw(io.FileIO):
            def write(self, content):
                if disk._over:  # what is let go only now has nobody to tell
                    return len(content)
                return disk._does("write", lambda: super(Raw, self).write(content))

        def opened(path, mode):
            def really():
                file = real_open(path, mode)
                handle = os.dup(file.fileno())
                disk._locks.append(handle)
                file.close()
                return io.BufferedRandom(Raw(os.dup(handle), "r+b"))

            return self._does("create", really, path)

        def added_to(path, mode="r", *rest, **more):
            if mode != "a" or not os.path.abspath(path).startswith(self._below):
                return real_add(path, mode, *rest, **more)
            return self._does("create", lambda: io.TextIOWrapper(io.BufferedWriter(Raw(path, "a")), "utf-8"), path)

        def locked(handle, how):
            real_lock(handle, how)
            if how == fcntl.LOCK_EX:
                disk._locks.append(os.dup(handle))

        def patched(name):
            def does(path, *rest, **more):
                # Removing a tree names what is in a folder by its descriptor.
                where = None if name == "fsync" or more.get("dir_fd") is not None else path
                return self._does(name, lambda: real[name](path, *rest, **more), where)

            return does

        self._patches = [patch.object(os, name, patched(name)) for name in real]
        self._patches += [patch.object(files, "_open_new", opened), patch.object(fcntl, "flock", locked)]
        self._patches += [patch.object(io, "open", added_to)]
        for one in self._patches:
            one.start()
        return self

    def __exit__(self, *_):
        self._over = True
        for one in self._patches:
            one.stop()
        for handle in self._locks:
            # What the death of a process does to its locks.
            with suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_UN)
                os.close(handle)


def words(command, at, out):
    return [word.format(at=at, out=out, root=ROOT) for word in command.split()]


def plain(out):
    """What was put out, without what names the machine and the day."""
    found = tree(out)
    for name in [name for name in found if name.endswith(("manifest.json", "sweep.json"))]:
        made_by = json.loads(found[name])
        for key in ("environment", "command", "sha256"):
            made_by.pop(key, None)
        found[name] = made_by
    for name in [name for name in found if name.endswith("report.html")]:
        found[name] = re.sub(rb"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d[+:\d]*", b"", found[name])
    return {name: content for name, content in found.items() if "/." not in f"/{name}"}


def at_start(sound, out, name):
    """The folder for output before the command: with an older run where one is replaced."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    if name == "runs prune":
        shutil.copytree(sound / "store", out / "store")
    if name == "run, replacing":
        shutil.copytree(sound / "run", out / "run")
        for file in (out / "run").glob("levels.parquet"):
            file.unlink()


def operations(sound, out, name):
    """The operations of a command, undisturbed, and how it ends: exit code, what it prints and puts out."""
    at_start(sound, out, name)
    with beside(name), Disk(out) as disk:
        ended = run(*words(COMMANDS[name], sound, out))
    assert ended.code in ((0, 1, 3) if name in JUDGES else (0,)), ended.said
    return disk.seen, (ended.code, ended.out, plain(out))


def inject(sound, out, name, kind, at, wanted):
    """What broke the law when the operation of this number goes wrong; None where nothing did."""
    at_start(sound, out, name)
    before, older = tree(sound), plain(out)
    code = None
    try:
        with beside(name), Disk(out, kind, at) as disk:
            code = run(*words(COMMANDS[name], sound, out)).code
    except Killed:
        pass
    if kind != "kill" and code not in (wanted[0], 2):
        return f"exit {code}"
    if (
        kind != "kill"
        and disk.seen[at] not in ("unlink", "rmdir")
        and [one for one in out.rglob(".*") if one.is_file()]
    ):
        return "something half-written was left"
    if kind == "fail" and name == "run, replacing" and code == 2 and plain(out) != older:
        return "the older run was lost"
    if name == "init" and code == 2 and (out / "new.yaml").exists():
        return "it is there, though it failed"
    if name == "init":  # does not replace a file, by intention
        (out / "new.yaml").unlink(missing_ok=True)
    with beside(name):
        ended = run(*words(COMMANDS[name], sound, out))
    if ended.code != wanted[0]:
        return f"the second time: exit {ended.code}: {ended.said[-200:]}"
    if (ended.code, ended.out, plain(out)) != wanted and name != "runs prune":
        return "the second time: other bytes"
    if plain(out) != wanted[2]:
        return "the second time: something was left"
    return "something else changed" if tree(sound) != before else None


def main():
    """Print a table of commands, operations, faults and what broke; exit 1 where something did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--command", action="append", choices=list(COMMANDS))
    given = parser.parse_args()
    total, failed = Counter(), []
    print("| command | operations | faults | recovered |\n|---|---|---|---|")
    with TemporaryDirectory(dir=PLACE) as place, light():
        sound, out = Path(place) / "sound", Path(place) / "out"
        sound.mkdir()
        prepare(sound)
        prepare_rest(sound)
        (sound / "grows.yaml").write_text(GROWS)
        (sound / "begins.yaml").write_text(BEGINS)
        (sound / "few.csv").write_text(FEW)
        for name in given.command or COMMANDS:
            seen, wanted = operations(sound, out, name)
            broken = [
                (name, kind, at, seen[at], said)
                for kind in KINDS
                for at in range(len(seen))
                if (said := inject(sound, out, name, kind, at, wanted)) is not None
            ]
            faults = len(KINDS) * len(seen)
            print(f"| {name} | {len(seen)} | {faults} | {faults - len(broken)} |", flush=True)
            for one in broken[:8]:
                print("  ", one, file=sys.stderr, flush=True)
            total.update(faults=faults, operations=len(seen), broken=len(broken))
            failed += broken
    print(f"| all | {total['operations']} | {total['faults']} | {total['faults'] - total['broken']} |")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
