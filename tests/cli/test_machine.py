"""What the machine lacks is exit code 2 wherever it shows, and 70 is a fault of ours alone."""

from __future__ import annotations

import errno
import os
import signal
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pyarrow as pa
import pytest

from tests.fuzz.command import run
from tests.parts import ROOT

SMALL = ROOT / "scenarios" / "ci_small.yaml"


def raised(error):
    raise error


def wrapped():
    try:
        raised(MemoryError())
    except MemoryError as error:
        raise RuntimeError("a library failed") from error


def handled():
    try:
        raised(MemoryError())
    except MemoryError:
        raise ValueError("while that was handled")  # noqa: B904 - as libraries do


LACKING = {
    "memory": lambda: raised(MemoryError()),
    "an array": lambda: np.empty(1 << 50),
    "a table": lambda: raised(pa.lib.ArrowMemoryError("malloc of size 64 failed")),
    "wrapped": wrapped,
    "handled": handled,
    "a worker": lambda: raised(BrokenProcessPool("A worker process was terminated")),
    **{
        name: lambda name=name: raised(OSError(getattr(errno, name), os.strerror(getattr(errno, name))))
        for name in ("ENOSPC", "EROFS", "EMFILE", "ENOMEM", "EIO", "EDQUOT")
    },
}


@pytest.mark.parametrize("how", LACKING)
def test_what_the_machine_lacks_is_no_fault_of_the_simulator(monkeypatch, how):
    monkeypatch.setattr("simulator.scenario.loading.read_with_bases", lambda *_, **__: LACKING[how]())
    for words in (("validate", SMALL), ("compliance", SMALL), ("explain", SMALL)):
        ended = run(*words)
        assert ended.code == 2, ended.said
        assert ended.said.startswith("the machine has not what this takes: ")
        assert "fault of the simulator" not in ended.said


@pytest.mark.parametrize("error", [KeyError("x"), ZeroDivisionError(), RuntimeError("x"), OSError(errno.EBADF, "x")])
def test_anything_else_is(monkeypatch, error):
    monkeypatch.setattr("simulator.scenario.loading.read_with_bases", lambda *_, **__: raised(error))
    ended = run("validate", SMALL)
    assert ended.code == 70
    assert "this is a fault of the simulator" in ended.said


@pytest.mark.needs("signals")
def test_an_interruption_that_a_library_makes_an_error_of_is_one(monkeypatch):
    """As llvmlite does when it comes while the engine is compiled."""

    def swallowed(*_, **__):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        except KeyboardInterrupt:
            pass
        raise RuntimeError("no compiled object yet")

    monkeypatch.setattr("simulator.scenario.loading.read_with_bases", swallowed)
    assert run("validate", SMALL)[::2] == (130, "interrupted\n")
    monkeypatch.setattr("simulator.scenario.loading.read_with_bases", lambda *_, **__: raised(RuntimeError()))
    assert run("validate", SMALL).code == 70
