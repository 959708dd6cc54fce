"""Write the pictures of a report that the README shows: the top of the page, and the first page that a board gets.

    python tools/photograph_report.py runs/health_system/report.html docs/report.png
    python tools/photograph_report.py --board runs/health_system/report.html docs/board.png

Needs Chromium and the extra `browser`.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

WIDTH, HEIGHT = 1180, 1240
#: US letter at 96 dots an inch, less the margins that the page asks for.
PAPER = {"width": 725, "height": 965}


def photograph(page: Path, target: Path, *, board: bool) -> None:
    """Photograph the top of a page as a screen shows it, or the first page as it prints."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        size = PAPER if board else {"width": WIDTH, "height": HEIGHT}
        shown = browser.new_context(viewport=size, offline=True).new_page()
        shown.set_default_timeout(0)
        shown.goto(page.resolve().as_uri())
        shown.wait_for_selector("html[data-drawn=true]", state="attached")
        if board:
            shown.evaluate("dispatchEvent(new Event('beforeprint'))")
            shown.emulate_media(media="print")
            shown.locator(".leaf").first.screenshot(path=target)
        else:
            shown.screenshot(path=target)
        browser.close()


def main() -> None:
    """Read the command line."""
    asked = argparse.ArgumentParser(description="Write a picture of a report.")
    asked.add_argument("page", type=Path)
    asked.add_argument("target", type=Path)
    asked.add_argument("--board", action="store_true", help="the first page that a board gets")
    given = asked.parse_args()
    photograph(given.page, given.target, board=given.board)


if __name__ == "__main__":
    main()
