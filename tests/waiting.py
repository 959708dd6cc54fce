"""Waiting for what another process or thread does: as long as it takes, within a limit that no busy machine reaches."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

import pytest

#: When something is given up for dead: no measure of how long it should take.
PATIENCE_S = 1200.0


def until(happened: Callable[[], object], *processes: subprocess.Popen) -> None:
    """Return when it has; fail when time is up, or one of the processes that it needs has ended without."""
    give_up_s = time.monotonic() + PATIENCE_S
    while True:
        ended = [process.args for process in processes if process.poll() is not None]
        if happened():
            return
        assert not ended, f"ended before it happened: {ended}"
        if time.monotonic() > give_up_s:
            pytest.fail(f"has not happened within {PATIENCE_S:.0f} s")
        time.sleep(0.02)
