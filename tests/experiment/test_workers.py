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
