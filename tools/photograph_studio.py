"""Write the picture of the studio that the README shows.

    python tools/photograph_studio.py scenarios/health_system.yaml docs/studio.png

Needs Chromium and the extras `browser` and `studio`; simulates what is not in runs/store.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

WIDTH, HEIGHT = 1440, 900
#: A month in four replications, on a busy machine.
_PATIENCE_MS = 600_000


def main(scenario: Path, target: Path) -> None:
    """Photograph the top of the page once its answer is whole."""
    from playwright.sync_api import sync_playwright

    command = [sys.executable, "-m", "simulator", "studio", str(scenario)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as served:
        try:
            address = (served.stdout.readline() if served.stdout else "").strip()
            with sync_playwright() as play:
                browser = play.chromium.launch(
                    executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
                )
                shown = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}).new_page()
                shown.goto(address)
                shown.wait_for_selector('.behind:not(:has-text("refining"))', timeout=_PATIENCE_MS)
                shown.wait_for_selector("#figure-volume .main-svg")
                shown.screenshot(path=target)
                browser.close()
        finally:
            served.terminate()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
