"""Another process at every moment of ours: what it moves and removes is seen half done, and nothing fails for it.

At each line that is executed of what keeps a run, other processes of the simulator take their next steps.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from contextlib import suppress
from functools import partial
from itertools import count

import pytest

from simulator import files
from simulator.experiment import runs, store
from simulator.experiment.store import not_replaceable, open_place
from simulator.files import private_folder, replace_folder
from tests.experiment.small import small
from tests.experiment.test_ownership import OLD
from tests.experiment.test_store import kept

pytestmark = pytest.mark.needs("signals")
FILES = {module.__file__ for module in (files, runs, store)}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    kept(folder / "run", small({"experiment.replications": 1}), ["api"], folder / "store")
    return folder / "run"


class Other:
    """A process that replaces the run: its steps, one at a call; `dies` after how many of them."""

    def __init__(self, root, made, dies=None):
        self._root, self._dies = root, dies
        self.folder = root / f".run.{len(os.listdir(root)):016x}.unfinished"
        (self.folder / "replaced" / "0").mkdir(parents=True)
        shutil.copytree(made, self.folder / "whole")
        self._handle = os.open(self.folder, os.O_RDONLY)
        fcntl.flock(self._handle, fcntl.LOCK_EX)
        self._steps = iter([self._aside, self._place, self._manifest, self._rest])

    def step(self):
        if self._dies == 0:
            os.close(self._handle)
            os.utime(self.folder, (OLD, OLD))
        elif self._dies is None or self._dies > 0:
            next(self._steps, lambda: None)()
        if self._dies is not None:
            self._dies -= 1

    def _aside(self):
        with suppress(FileNotFoundError):
            (self._root / "run").rename(self.folder / "replaced" / "0" / "run")

    def _place(self):
        if not (self._root / "run").exists():
            (self.folder / "whole").rename(self._root / "run")

    def _manifest(self):
        for file in self.folder.glob("replaced/0/run/manifest.json"):
            file.unlink()

    def _rest(self):
        shutil.rmtree(self.folder)


class Sweeper:
    """A process that puts back what another left, and removes the rest."""

    def __init__(self, root, left):
        self._root, self._left = root, left
        self._steps = iter([self._back, self._part, self._rest])

    def step(self):
        next(self._steps, lambda: None)()

    def _back(self):
        for whole in self._left.glob("replaced/*/run"):
            if not (self._root / "run").exists():
                whole.rename(self._root / "run")

    def _part(self):
        for file in self._left.glob("*/*"):
            (shutil.rmtree if file.is_dir() else os.unlink)(file)

    def _rest(self):
        shutil.rmtree(self._left, ignore_errors=True)


def interleaved(ours, others, first, apart):
    """Do ours, with one step of the others from that line on, so many lines apart; whether it lasted so long."""
    lines, steps = count(), [other.step for other in others for _ in range(5)]

    def trace(frame, event, _):
        if frame.f_code.co_filename not in FILES:
            return None
        if event == "line" and (at := next(lines) - first) >= 0 and at % apart == 0 and steps:
            sys.settrace(None)
            steps.pop(0)()
            sys.settrace(trace)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        ours()
    finally:
        sys.settrace(before)
    for step in steps:
        step()
    return next(lines) > first


def replace(root, made):
    with private_folder(root, "run") as folder:
        shutil.copytree(made, folder / "whole")
        (folder / "replaced").mkdir()
        assert not_replaceable(root / "run") is None
        replace_folder(folder / "whole", root / "run", folder / "replaced")


def prune(root):
    runs.prune(root, older_than_days=0, everything=True)


OURS = {
    "opens": lambda root, made: open_place(root / "run"),
    "replaces": replace,
    "prunes": lambda root, made: prune(root),
    "lists": lambda root, made: runs.list_runs(root),
}


@pytest.mark.parametrize("apart", [1, 4])
@pytest.mark.parametrize("dies", [None, 1, 2, 3])
@pytest.mark.parametrize("ours", OURS)
def test_law_whatever_others_do_between_two_lines_ours_succeeds(made, tmp_path, ours, dies, apart):
    for first in count(0, 7):
        root = tmp_path / str(first)
        root.mkdir()
        shutil.copytree(made, root / "run")
        other = Other(root, made, dies)
        others = [other, Sweeper(root, other.folder)] if dies else [other]
        if not interleaved(partial(OURS[ours], root, made), others, first, apart):
            break
        if ours in ("opens", "replaces") and dies is None:
            assert not_replaceable(root / "run") is None
            assert (root / "run" / "manifest.json").exists()
        shutil.rmtree(root)
    assert first > 14
