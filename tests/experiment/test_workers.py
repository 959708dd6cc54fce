"""Whoever works: what is lost when one of them is."""

from __future__ import annotations

import os
import signal

import pytest

from simulator.errors import SimulatorError
from simulator.experiment.errand import Call
from simulator.experiment.workers import spread
from tests.experiment.small import small


def dies(scenario, folder, number):
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_process_that_is_killed_is_said_so():
    """As the system does when memory runs out."""
    calls = [Call(dies, small(), (number,)) for number in range(4)]
    with pytest.raises(SimulatorError, match="one of 2 processes was killed; too little memory is likely"):
        list(spread(calls, 2, None))
    # Whoever comes next gets processes that live.
    assert {answer for _, answer in spread(calls[:2], 2, None)} == {0, 1}


def place(scenario, folder):
    return os.getcwd()


def test_processes_work_where_they_are_asked_to(tmp_path, monkeypatch):
    """They outlive a change of folder, as a notebook makes; files are named from where one is."""
    for folder in (tmp_path / "one", tmp_path / "other"):
        folder.mkdir()
        monkeypatch.chdir(folder)
        assert {answer for _, answer in spread([Call(place, small()) for _ in range(2)], 2, None)} == {str(folder)}
