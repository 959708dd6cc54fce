"""Spoil a file, let its reader read it, and hold the law: exit 0, 1, 2 or 3, and nothing but the output changed."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from unittest.mock import patch

from tests.fuzz.command import run, tree
from tests.fuzz.readers import READERS

ALLOWED = {0, 1, 2, 3}
MOST_S = 60
#: Memory has no disk to wait for.
PLACE = next((place for place in ("/dev/shm",) if os.access(place, os.W_OK)), None)


class TooLong(BaseException):
    """A minute of processor time is over."""


@contextmanager
def light():
    """Without what makes a case slow and is no reader's: waiting for a disk, and a report's 4 MB of script."""
    with ExitStack() as patches:
        patches.enter_context(patch.object(os, "fsync", lambda handle: None))
        patches.enter_context(patch("plotly.offline.get_plotlyjs", lambda: "// plotly"))
        yield


@contextmanager
def _within(seconds):
    def stop(*_):
        raise TooLong

    before = signal.signal(signal.SIGPROF, stop)
    # Of processor time: a busy machine is no fault of the reader's.
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def fuzz(reader, sound, cases, seed=1):
    """Outcomes by exit code, and what broke the law: number of the case, exit code and what was said.

    Args:
        reader: One of `READERS`.
        sound: Folder of sound files, from `prepare`.
        cases: Numbers of cases: each is the same whatever others are tried.
        seed: Of all of them.
    """
    outcomes, broken = Counter(), []
    file = next(sound.glob(reader.file)).relative_to(sound)
    original = (sound / file).read_bytes()
    with TemporaryDirectory(dir=PLACE) as place, light(), reader.beside():
        at, out = Path(place) / "at", Path(place) / "out"
        shutil.copytree(sound, at)
        untouched = tree(at)
        for case in cases:
            out.mkdir()
            if reader.into:
                shutil.copytree(sound / file.parts[0], out / file.parts[0])
            spoilt = reader.spoil(original, Random(f"{reader.name} {seed} {case}"))
            ((out if reader.into else at) / file).write_bytes(spoilt)
            try:
                with _within(MOST_S):
                    ended = run(*reader.words(at, out))
            except TooLong:
                outcomes["slow"] += 1
                broken.append((case, "slow", f"more than {MOST_S} s"))
            else:
                outcomes[ended.code] += 1
                broken += [(case, ended.code, said) for said in _wrong(ended, out)]
            if tree(at) != (untouched if reader.into else {**untouched, str(file): spoilt}):
                broken.append((case, None, "something but the output changed"))
            shutil.rmtree(out)
    return outcomes, broken


def _wrong(ended, out):
    if ended.code not in ALLOWED or "Traceback" in ended.said:
        yield ended.said[-3000 if "Traceback" in ended.said else -300 :]
    if ended.code == 2 and any(path.is_file() and path.name.startswith(".") for path in out.rglob("*")):
        yield "something half-written was left"


def piece(reader, sound, seed, cases):
    """Outcomes, what broke the law, memory of this process at its highest in MB, processor time in s."""
    began = time.process_time()
    outcomes, broken = fuzz(READERS[reader], sound, cases, seed)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return outcomes, broken, peak_mb, time.process_time() - began
