"""What a machine says of itself: its GPU, or its processor."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path


def processor() -> str:
    """The processor by name, where the system tells, with the cores this process may use."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(os.sched_getaffinity(0))} cores" if names else platform.machine()


def gpu() -> str | None:
    """The first GPU by name; None without one of NVIDIA's."""
    return _asked("name")


def driver() -> str | None:
    """Version of its driver; None without one."""
    return _asked("driver_version")


def device() -> str:
    """What a server on this machine computes on: its GPU, else its processor."""
    return gpu() or processor()


def _asked(what: str) -> str | None:
    query = ["nvidia-smi", f"--query-gpu={what}", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=True, timeout=30).stdout.splitlines()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return None
