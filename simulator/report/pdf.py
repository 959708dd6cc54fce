"""A page as PDF, through a browser that is installed here; it is told to reach nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from simulator.errors import SimulatorError
from simulator.files import write_whole

#: Names of browsers that print without a window, and where macOS keeps them.
_BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
_APPLICATIONS: Final = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
)
_FLAGS: Final = (
    "--headless",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-extensions",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--no-pdf-header-footer",
)
#: A browser that has not printed by then never will.
_LONGEST_S: Final = 300.0


def chromium() -> str | None:
    """A Chromium, Chrome or Edge of this machine; None without one."""
    found = next(filter(None, map(shutil.which, _BROWSERS)), None)
    return found or next((path for path in _APPLICATIONS if os.access(path, os.X_OK)), None)


def pdf_of(page: str) -> bytes:
    """An HTML page as it prints.

    Args:
        page: Its text.

    Raises:
        SimulatorError: There is no browser, or it printed nothing.
    """
    browser = chromium()
    if browser is None:
        raise SimulatorError(
            f"a PDF needs Chromium, Chrome or Edge, and none is installed (looked for {', '.join(_BROWSERS)}); "
            "write the report with --output and print it from any browser"
        )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, target = folder / "report.html", folder / "report.pdf"
        write_whole(source, page, durable=False)
        flags = [*_FLAGS, f"--user-data-dir={folder / 'profile'}", f"--print-to-pdf={target}"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            # Chromium's sandbox is not for the superuser, who is root in most containers.
            flags.append("--no-sandbox")
        try:
            done = subprocess.run(
                [browser, *flags, source.as_uri()], capture_output=True, check=False, timeout=_LONGEST_S
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SimulatorError(f"{browser} did not print the report: {error}") from None
        content = target.read_bytes() if target.is_file() else b""
        if not content.startswith(b"%PDF"):
            said = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
            raise SimulatorError(f"{browser} printed no PDF (exit code {done.returncode}): {said[0]:.300}")
    return content
