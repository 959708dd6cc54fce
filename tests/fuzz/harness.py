"""Spoil a file, let its reader read it, and hold the law: exit 0, 1, 2 or 3, and nothing but the output changed."""

from __future__ import annotations

import os
import resource
import shutil
import signal
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import NamedTuple
from unittest.mock import patch

from tests.fuzz.command import run, tree

ALLOWED = {0, 1, 2, 3}
MOST_S = 60
MOST_MB = 1000
#: Memory has no disk to wait for.
PLACE = next((place for place in ("/dev/shm",) if os.access(place, os.W_OK)), None)
#: Files where Linux lets a process ask how much memory it took since it asked last.
_STATUS, _FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Case(NamedTuple):
    """What came of one spoilt file.

    Attributes:
        number: The file is the same whatever others are tried.
        code: Exit code; "slow", "large", or how its process died.
        against: What broke the law, each in words.
        peak_mb: Memory of its process at its highest.
    """

    number: int
    code: int | str
    against: tuple[str, ...]
    peak_mb: float


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


def looks(folder):
    """Number, size and times of every file, folder and link below a folder: reading them all is most of a case."""
    found, folders = {}, [str(folder)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                about = entry.stat(follow_symlinks=False)
                is_folder = entry.is_dir(follow_symlinks=False)
                if is_folder:
                    folders.append(entry.path)
                found[entry.path] = (
                    about.st_mode,
                    about.st_ino,
                    *(() if is_folder else (about.st_size, about.st_mtime_ns, about.st_ctime_ns)),
                )
    return found


def tried(reader, sound, cases, seed=1):
    """Each `Case`, one after the other.

    Args:
        reader: One of `READERS`.
        sound: Folder of sound files, from `prepare`.
        cases: Their numbers.
        seed: Of all of them.
    """
    file = next(sound.glob(reader.file)).relative_to(sound)
    original = (sound / file).read_bytes()
    with TemporaryDirectory(dir=PLACE) as place, light(), reader.beside():
        at, out = Path(place) / "at", Path(place) / "out"
        shutil.copytree(sound, at)
        untouched, before = tree(at), looks(at)
        mine = None if reader.into else str(at / file)
        before.pop(mine, None)
        for number in cases:
            out.mkdir()
            if reader.into:
                shutil.copytree(sound / file.parts[0], out / file.parts[0])
            spoilt = reader.spoil(original, Random(f"{reader.name} {seed} {number}"))
            ((out if reader.into else at) / file).write_bytes(spoilt)
            code, against, peak_mb = _once(reader.words(at, out), out)
            after = looks(at)
            after.pop(mine, None)
            if after != before or (mine and (at / file).read_bytes() != spoilt):
                # A store that is used is touched, and no more.
                if tree(at) != (untouched if reader.into else {**untouched, str(file): spoilt}):
                    against.append("something but the output changed")
                before = after
            yield Case(number, code, tuple(against), peak_mb)
            shutil.rmtree(out)
        if cases and tree(at) != (untouched if reader.into else {**untouched, str(file): spoilt}):
            yield Case(-1, "", ("something but the output changed, and looks the same",), 0)


def _once(words, out):
    """Exit code, what broke the law, and memory at its highest in MB."""
    if _FORGET.exists():
        _FORGET.write_text("5")
    try:
        with _within(MOST_S):
            ended = run(*words)
    except TooLong:
        code, against = "slow", [f"more than {MOST_S} s"]
    else:
        code, against = ended.code, list(_wrong(ended, out))
    peak_mb = _peak_mb()
    if peak_mb > MOST_MB:
        code, against = "large", [*against, f"{peak_mb:.0f} MB"]
    return code, against, peak_mb


def _peak_mb():
    if _FORGET.exists():
        return int(_STATUS.read_text().partition("VmHWM:")[2].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _wrong(ended, out):
    if ended.code not in ALLOWED or "Traceback" in ended.said:
        yield ended.said[-3000 if "Traceback" in ended.said else -300 :]
    # What a process may have is limited: another one's machine would have given it.
    if "the machine has not what this takes" in ended.said:
        yield ended.said[-300:]
    if ended.code == 2 and any(path.is_file() and path.name.startswith(".") for path in out.rglob("*")):
        yield "something half-written was left"
