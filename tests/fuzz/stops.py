"""`python -m tests.fuzz.stops --times 100`: commands that are asked to stop, as by Ctrl-C, at any moment.

A moment is a call of a Python function, counted: the same whatever else the machine does. What is asked to stop ends in
130 and says so, leaves nothing half-written, and the same command again puts out, byte for byte, what it does
undisturbed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
from collections import Counter
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from tests.fuzz.command import run, tree
from tests.fuzz.faults import BEGINS, COMMANDS, FEW, GROWS, JUDGES, at_start, beside, plain, words
from tests.fuzz.harness import PLACE
from tests.fuzz.kills import end, said
from tests.fuzz.sound import prepare, prepare_rest

HOW = ("SIGINT", "SIGTERM", "SIGHUP")
#: What is kept of a command under way, by intention: simulations, parts of a sweep, steps that were measured.
KEPT = ("store/", "sweep/parts/", "m/parts/", "steps.json.unfinished")
#: Not replaced, by intention.
ONCE = {"init": "new.yaml"}


def sound_files(folder):
    """Everything that the commands read."""
    prepare(folder)
    prepare_rest(folder)
    (folder / "grows.yaml").write_text(GROWS)
    (folder / "begins.yaml").write_text(BEGINS)
    (folder / "few.csv").write_text(FEW)


class _Moment:
    """Counts calls of functions, and at one of them sends this process a signal."""

    def __init__(self, at=-1, number=None):
        self.seen, self._at, self._number = 0, at, number

    def __call__(self, frame, event, _):
        if event == "call":
            self.seen += 1
            if self.seen == self._at:
                sys.setprofile(None)
                signal.raise_signal(self._number)


def started(sound, out, name, moment=None):
    """The command in a process of its own, all imports done; what it says when it fails is kept beside `out`."""
    if child := os.fork():
        return child
    code = 99
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for one in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(one, signal.SIG_DFL)
        with beside(name):
            sys.setprofile(moment)
            ended = run(*words(COMMANDS[name], sound, out))
            sys.setprofile(None)
        (out.parent / f"said-{os.getpid()}").write_text(ended.said)
        code = ended.code
        if moment and moment._number is None:
            (out.parent / "calls").write_text(str(moment.seen))
    except KeyboardInterrupt:  # before the handlers of the command are in place: as Python ends then
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)
    finally:
        os._exit(code)


def undisturbed(sound, out, name):
    """Exit code and what it puts out, and how many calls that takes."""
    at_start(sound, out, name)
    code = end(child := started(sound, out, name, _Moment()))
    assert code in ((0, 1, 3) if name in JUDGES else (0,)), said(out, child)
    return (code, plain(out)), int((out.parent / "calls").read_text())


def stop(sound, out, name, how, at, wanted):
    """How it ended, and what broke the law when it was asked to stop at this call."""
    at_start(sound, out, name)
    before, older = tree(sound), plain(out)
    code = end(child := started(sound, out, name, _Moment(at, getattr(signal, how))))
    text = said(out, child)
    wrong = []
    if code not in (wanted[0], 130, -getattr(signal, how)):
        wrong.append(f"exit {code}: {text[-300:]}")
    if code == 130 and "interrupted" not in text:
        wrong.append(f"does not say so: {text[-300:]}")
    for place, content in plain(out).items():
        if not place.startswith(KEPT) and content not in (wanted[1].get(place), older.get(place)):
            wrong.append(f"{place} is half-written")
    if left := [one for one in out.rglob(".*") if one.name.endswith((".draft", ".unfinished"))]:
        wrong.append(f"left: {left}")
    if name in ONCE:
        (out / ONCE[name]).unlink(missing_ok=True)
    again = end(child := started(sound, out, name))
    if (again, plain(out)) != wanted:
        differ = [one for one in {**plain(out), **wanted[1]} if plain(out).get(one) != wanted[1].get(one)]
        wrong.append(f"again: exit {again}, other bytes of {differ}: {said(out, child)[-300:]}")
    if tree(sound) != before:
        wrong.append("something else changed")
    for one in out.parent.glob("said-*"):
        one.unlink()
    return ("before its handlers" if code < 0 else "too late" if code == wanted[0] else how), wrong


def main():
    """Print the table; exit 1 where the law was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=100, help="a command")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--command", action="append", choices=COMMANDS)
    given = parser.parse_args()
    failed = 0
    print(f"| command | calls | times | {' | '.join(HOW)} | otherwise | as undisturbed |\n|{'---|' * (len(HOW) + 5)}")
    with TemporaryDirectory(dir=PLACE) as place:
        sound, out = Path(place) / "at", Path(place) / "out"
        sound.mkdir()
        sound_files(sound)
        for name in given.command or COMMANDS:
            wanted, calls = undisturbed(sound, out, name)
            ended, broken = Counter(), []
            for number in range(given.times):
                draw = Random(f"{name} {given.seed} {number}")
                how, at = draw.choice(HOW), draw.randint(1, calls)
                outcome, wrong = stop(sound, out, name, how, at, wanted)
                ended[outcome] += 1
                if wrong:
                    broken.append((how, at, wrong))
            others = given.times - sum(ended[how] for how in HOW)
            row = [name, calls, given.times, *(ended[how] for how in HOW), others, given.times - len(broken)]
            print(f"| {' | '.join(map(str, row))} |", flush=True)
            for how, at, wrong in broken[:5]:
                print(f"  {how} at call {at} of {calls}: {'; '.join(wrong)}", file=sys.stderr, flush=True)
            failed += len(broken)
            shutil.rmtree(out)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
