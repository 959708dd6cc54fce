"""`python -m tests.fuzz.kills --times 100`: real processes that are killed at random moments, alone and ten at once.

After each kill the same command is given again: what it keeps is, byte for byte, what an undisturbed run keeps.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from itertools import pairwise
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from simulator.experiment.store import not_replaceable, open_place
from simulator.files import private_folder, replace_folder
from tests.fuzz.command import run
from tests.fuzz.faults import plain, words
from tests.fuzz.harness import PLACE
from tests.fuzz.sound import prepare

#: A cluster and an API alone take the short way; a router with a limit takes the general one.
ENGINES = {"one backend": "api", "several backends": "hybrid"}
HOW = {"SIGKILL": -9, "SIGTERM": 130, "SIGINT": 130}
RUN = "run {at}/scenario.yaml --output {out}/run --store {out}/store --quiet --jobs 1"
#: What may go on at one place at once, besides: other readers and writers of it.
BESIDE = (
    f"{RUN} --pattern api --report",
    "runs prune --in {out} --all",
    "runs list --in {out}",
)


def start(at, out, pattern, command=None):
    """A run in a process of its own, all imports done; to it signals mean what they mean in a terminal.

    What it says is kept beside `out`, under the number of the process.
    """
    given = words(command or f"{RUN} --pattern {pattern}", at, out)
    if child := os.fork():
        return child
    code = 99
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        ended = run(*given)
        if ended.code:
            (out.parent / f"said-{os.getpid()}").write_text(ended.said)
        code = ended.code
    finally:
        os._exit(code)


def said(out, child):
    """What a process that failed said."""
    place = out.parent / f"said-{child}"
    return place.read_text() if place.exists() else ""


def end(child):
    """Its exit code, less than 0 where a signal ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def finish(at, out, pattern):
    """The command again, undisturbed: what it keeps."""
    code = end(child := start(at, out, pattern))
    assert code == 0, said(out, child)
    return plain(out)


def alone(at, out, pattern):
    """What it keeps where there was nothing before, and how long that takes."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    began_s = time.monotonic()
    return finish(at, out, pattern), time.monotonic() - began_s


def once(at, out, pattern, draw, longest_s, wanted):
    """How a killed run ended, and whether the next was as an undisturbed one."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    how = draw.choice(list(HOW))
    child = start(at, out, pattern)
    time.sleep(draw.uniform(0, longest_s))
    os.kill(child, getattr(signal, how))
    code = end(child)
    # Before its handlers are in place, a signal does what it does to any process.
    known = code in (0, HOW[how], -getattr(signal, how))
    return "too late" if code == 0 else how, known and finish(at, out, pattern) == wanted


def at_once(at, out, draw, count, kills, longest_s, beside=()):
    """So many runs of one scenario to one place and one store, and what goes on beside.

    Kills come at moments drawn over the time that one takes alone, and longer: together they take longer.

    Returns:
        How those ended that nobody killed and that failed, and what they said.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    children = [start(at, out, "api") for _ in range(count)]
    others = [start(at, out, "api", command) for command in beside]
    killed = draw.sample(children, kills)
    # Most of them where it is crowded: towards the end.
    moments = sorted(draw.uniform(0, longest_s * count * draw.choice((0.2, 1.0))) for _ in killed)
    for child, wait_s in zip(killed, (after - before for before, after in pairwise([0.0, *moments])), strict=True):
        time.sleep(wait_s)
        os.kill(child, signal.SIGKILL)
    codes = {child: end(child) for child in (*children, *others)}
    return [
        (code, said(out, child)) for child, code in codes.items() if code != 0 and not (child in killed and code == -9)
    ]


def crowd(whole, out, draw, count, kills, times):
    """So many processes that do nothing but replace one run, so many times each; some are killed meanwhile.

    Args:
        whole: A run, which each of them puts there again.
        out: Folder of the place.
        draw: Of the moments.
        count: Processes.
        kills: How many of them are killed.
        times: How often each replaces the run.

    Returns:
        What those said that nobody killed and that failed.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    children = []
    for number in range(count):
        if not (child := os.fork()):
            code = 99
            try:
                code = _replace(whole, out, times if number >= kills else 10**9)
            finally:
                os._exit(code)
        children.append(child)
    for child in children[:kills]:
        time.sleep(draw.expovariate(200))
        os.kill(child, signal.SIGKILL)
    codes = {child: end(child) for child in children}
    return [said(out, child) or f"exit {code}" for child, code in codes.items() if code not in (0, -9)]


def _replace(whole, out, times):
    try:
        for _ in range(times):
            place = open_place(out / "run")
            with private_folder(out, "run") as folder:
                shutil.copytree(whole, folder / "whole")
                (folder / "replaced").mkdir()
                reason = not_replaceable(place)
                assert reason is None, reason
                replace_folder(folder / "whole", place, folder / "replaced")
    except BaseException:
        (out.parent / f"said-{os.getpid()}").write_text(traceback.format_exc())
        return 1
    return 0


def main():
    """Print the tables; exit 1 where a run was not as it is undisturbed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    failed = 0
    with TemporaryDirectory(dir=PLACE) as place:
        at, out = Path(place) / "at", Path(place) / "out"
        at.mkdir()
        prepare(at)
        print("| engine | kills | SIGKILL | SIGTERM | SIGINT | too late | same bytes |\n|---|---|---|---|---|---|---|")
        for engine, pattern in ENGINES.items():
            wanted, longest_s = alone(at, out, pattern)
            ended, same = Counter(), 0
            for number in range(given.times):
                how, recovered = once(at, out, pattern, Random(f"{pattern} {given.seed} {number}"), longest_s, wanted)
                ended[how] += 1
                same += recovered
            row = [engine, given.times, *(ended[one] for one in (*HOW, "too late")), same]
            print(f"| {' | '.join(map(str, row))} |", flush=True)
            failed += given.times - same
        print(
            "\n| ten at once | of which killed | others that failed | same bytes after |\n|---|---|---|---|", flush=True
        )
        broken = [
            one
            for number in range(given.times)
            for one in crowd(at / "run", out, Random(f"{given.seed} {number}"), 10, number % 8, 10)
        ]
        print(f"| {given.times} times, nothing but replacing one run, 10 times each | up to 7 | {len(broken)} | |")
        print(*broken, sep="\n", file=sys.stderr, flush=True)
        failed += len(broken)
        wanted, longest_s = alone(at, out, "api")
        for kills, beside in ((0, ()), (3, ()), (9, ()), (5, BESIDE)):
            rounds, broken, same = max(1, given.times // 10), [], 0
            for number in range(rounds):
                broken += at_once(at, out, Random(f"{given.seed} {number}"), 10, kills, longest_s, beside)
                same += (plain(out) if kills == 0 else finish(at, out, "api")) == wanted
            many = f"{rounds} times" + (f", and {len(beside)} other commands" if beside else "")
            print(f"| {many} | {kills} | {len(broken)} | {same} |", flush=True)
            for code, why in broken:
                print(f"  exit {code}: {why}", file=sys.stderr, flush=True)
            failed += len(broken) + rounds - same
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
