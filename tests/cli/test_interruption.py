"""Being asked to stop, wherever the process happens to be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from simulator.cli.interruption import listening

pytestmark = pytest.mark.needs("signals")

SWALLOWING = """
import os, signal, sys, time
from simulator.cli import main
from simulator.scenario import loading

def swallowed(*words, **more):
    # As pydantic does while it looks for what tells the members of a union apart.
    try:
        os.kill(os.getpid(), getattr(signal, sys.argv.pop()))
    except BaseException:
        pass
    time.sleep(600)

loading.read_with_bases = swallowed
main.main()
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_an_interruption_that_a_library_swallows_is_heard_all_the_same(tmp_path, name):
    def as_in_a_terminal():
        signal.signal(getattr(signal, name), signal.SIG_DFL if name != "SIGINT" else signal.default_int_handler)

    ended = subprocess.run(
        [sys.executable, "-c", SWALLOWING, "validate", "s.yaml", name],
        preexec_fn=as_in_a_terminal, capture_output=True, text=True, check=False, cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )  # fmt: skip
    assert ended.returncode == 130, ended.stderr
    assert "Traceback" not in ended.stderr


def slow_to_clean_up(done):
    with listening():
        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            end_s = time.monotonic() + 0.2
            while time.monotonic() < end_s:
                done.append("cleaning up")
            done.append("cleaned up")


def test_cleaning_up_is_not_disturbed():
    """It takes four times as long as passes between two reminders."""
    done = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            slow_to_clean_up(done)
        assert done[-1] == "cleaned up"
        assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with listening():
            os.kill(os.getpid(), signal.SIGTERM)
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)
