"""Write the picture of a report that the README shows: the top of the page, as a browser draws it.

    python tools/photograph_report.py runs/health_system/report.html docs/report.png

Needs Chromium and the extra `browser`.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

WIDTH, HEIGHT = 1180, 1240


def main(page: Path, target: Path) -> None:
    """Photograph the top of a page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        shown = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, offline=True).new_page()
        shown.goto(page.resolve().as_uri())
        shown.wait_for_selector("html[data-drawn=true]", state="attached")
        shown.screenshot(path=target)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
