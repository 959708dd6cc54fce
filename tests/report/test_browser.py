"""The report in headless Chromium, without a network."""

from __future__ import annotations

import pytest

from tests.parts import CHROMIUM
from tests.waiting import PATIENCE_S

pytestmark = [pytest.mark.slow, pytest.mark.needs("Chromium")]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module", params=[(375, "light"), (375, "dark"), (1440, "light"), (1440, "dark")], ids=str)
def page(request, browser, kept):
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
    shown = context.new_page()
    # However busy the machine is.
    shown.set_default_timeout(1000 * PATIENCE_S)
    shown.said, shown.asked = [], []
    shown.on("console", lambda message: shown.said.append(message.text))
    shown.on("pageerror", lambda error: shown.said.append(str(error)))
    shown.on("request", lambda asked: shown.asked.append(asked.url))
    shown.goto(f"file://{kept / 'report.html'}")
    shown.wait_for_selector("html[data-drawn=true]", state="attached")
    yield shown
    context.close()


def test_it_draws_everything_asks_for_nothing_and_fits(page):
    assert page.said == []
    assert [url for url in page.asked if not url.startswith("file://")] == []
    canvases = page.locator(".canvas")
    assert canvases.count() > 5
    for number in range(canvases.count()):
        assert canvases.nth(number).locator("svg.main-svg").count() > 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_it_has_no_serious_accessibility_issue(page):
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    assert [(issue["id"], issue["impact"]) for issue in found if issue["impact"] in ("serious", "critical")] == []


def test_a_legend_hides_and_shows_a_line_by_keyboard(page):
    button = page.locator("#figure-cost .legend button").first
    button.focus()
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-pressed") == "false"
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-pressed") == "true"


@pytest.mark.parametrize("paper", [(816, 1056), (794, 1123)], ids=["letter", "A4"])
def test_a_board_gets_two_pages_with_nothing_cut_off(browser, kept, paper):
    """Printed: each leaf holds what is on it, is no higher than either paper, and no figure is wider."""
    context = browser.new_context(viewport={"width": paper[0], "height": paper[1]}, offline=True)
    shown = context.new_page()
    # However busy the machine is.
    shown.set_default_timeout(1000 * PATIENCE_S)
    shown.goto(f"file://{kept / 'report.html'}")
    shown.wait_for_selector("html[data-drawn=true]", state="attached")
    shown.evaluate("dispatchEvent(new Event('beforeprint'))")
    shown.emulate_media(media="print")
    leaves = shown.evaluate(
        "[...document.querySelectorAll('.leaf')].map((one) => [one.scrollHeight - one.clientHeight, one.offsetHeight])"
    )
    assert len(leaves) == 2
    millimetre = 96 / 25.4
    for over, height in leaves:
        assert over <= 1
        assert height <= (279.4 - 24) * millimetre
    widest = shown.evaluate("Math.max(...[...document.querySelectorAll('.canvas')].map((one) => one.scrollWidth))")
    assert widest <= (210 - 24) * millimetre
    pages = shown.pdf(prefer_css_page_size=True).count(b"/Type /Page\n")
    assert 4 < pages < 20
    context.close()
