"""Print how long the studio takes from a key to the painted verdict, and what of that goes where.

    python tools/time_studio.py scenarios/health_system.yaml
    python tools/time_studio.py scenarios/ci_small.yaml --price prices.overrides.aws/g6e.xlarge.instance_hour \
        --volume workloads.radiology_anomaly.volume.scans_per_month

Changes a price, then a volume, by keyboard in headless Chromium, each a little further than before. Of each it prints
median and 95th percentile of: the event until its request is sent; the request until its answer is there, and the
processor time of the server within that; the answer until the page is changed; the page until it is painted. Needs
Chromium and the extras `browser` and `studio`; what is not in the store is simulated first.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

_PATIENCE_MS = 600_000
_WHOLE = '.behind:not(:has-text("refining"))'
#: Notes when the key went down, what was asked from then on, and when the next verdict was there and was painted.
_WATCH = """
performance.setResourceTimingBufferSize(1e5);
window.watch = (words) => {
  // The line below the verdict says only that more is being worked on.
  const said = () => [...words.querySelectorAll("h2, .lead, .tiles")].map((one) => one.innerText).join();
  const seen = {}, before = said();
  const pressed = (event) => { if (event.key === "Enter") seen.pressed ??= event.timeStamp; };
  addEventListener("keydown", pressed, true);
  window.watched = new Promise((done) => {
    const changed = new MutationObserver(() => {
      if (!seen.pressed || said() === before) return;
      changed.disconnect();
      removeEventListener("keydown", pressed, true);
      seen.changed = performance.now();
      requestAnimationFrame(() => scheduler.postTask(() => {
        seen.painted = performance.now();
        setTimeout(() => {
          seen.asked = performance.getEntriesByType("resource")
            .filter((one) => one.requestStart >= seen.pressed && one.responseEnd <= seen.changed)
            .map((one) => ({ sent: one.requestStart, told: one.responseEnd, bytes: one.encodedBodySize,
                             server: one.serverTiming.reduce((sum, part) => sum + part.duration, 0) }));
          done(seen);
        }, 100);
      }, { priority: "user-blocking" }));
    });
    changed.observe(words, { childList: true, subtree: true, characterData: true });
  });
};
"""


def changed(page: Any, field: Any, text: str) -> dict[str, float]:
    """Milliseconds, bytes and requests from the key until the verdict is painted."""
    page.wait_for_selector(_WHOLE)
    page.wait_for_timeout(200)
    field.fill(text)
    page.locator("#verdict").evaluate("(words) => watch(words)")
    field.press("Enter")
    seen = page.evaluate("() => watched")
    asked = seen["asked"]
    return {
        "key to painted verdict": seen["painted"] - seen["pressed"],
        "  key to request": asked[0]["sent"] - seen["pressed"],
        "  request to answer": asked[-1]["told"] - asked[0]["sent"],
        "    the server's processor": sum(one["server"] for one in asked),
        "  answer to page": seen["changed"] - asked[-1]["told"],
        "  page to screen": seen["painted"] - seen["changed"],
        "requests": len(asked),
        "bytes": sum(one["bytes"] for one in asked),
    }


def tell(title: str, found: list[dict[str, float]]) -> None:
    """Print a table."""
    print(f"\n{title + f', {len(found)} changes':<40}{'median':>10}{'p95':>10}")
    for name in found[0]:
        every = sorted(one[name] for one in found)
        unit = "" if name in ("requests", "bytes") else " ms"
        print(f"{name:<40}{median(every):>10,.0f}{every[round(0.95 * (len(every) - 1))]:>10,.0f}{unit}")


def control(page: Any, dotted: str) -> Any:
    """The field of a key; a model's name has dots and slashes of its own."""
    for field in page.locator("input[id*='\"control\"']").all():
        if ".".join(json.loads(json.loads(field.get_attribute("id"))["key"])) == dotted:
            return field
    sys.exit(f"no field for {dotted}")


def main() -> None:
    """Serve the page, and change it."""
    from playwright.sync_api import sync_playwright

    asked = argparse.ArgumentParser(description="Time the studio from a key to the painted verdict.")
    asked.add_argument("scenario", type=Path)
    asked.add_argument("--price", default="prices.overrides.bedrock/llama-3.3-70b.prompt")
    asked.add_argument("--volume", default="workloads.clinical_documentation.volume.requests_per_month")
    asked.add_argument("--changes", type=int, default=30)
    asked.add_argument("--store", type=Path, default=Path("runs/store"))
    given = asked.parse_args()
    command = [sys.executable, "-m", "simulator", "studio", str(given.scenario), "--store", str(given.store)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as served:
        try:
            address = (served.stdout.readline() if served.stdout else "").strip()
            with sync_playwright() as play:
                browser = play.chromium.launch(
                    executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
                )
                page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
                page.set_default_timeout(_PATIENCE_MS)
                page.add_init_script(_WATCH)
                page.goto(address)
                page.wait_for_selector(_WHOLE)
                page.wait_for_selector("#figure-volume .main-svg")
                page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
                for title, key in (("A price", given.price), ("A volume", given.volume)):
                    field = control(page, key)
                    number, _, unit = field.input_value().partition(" ")
                    whole = float(number.replace("_", ""))
                    texts = [
                        f"{whole * (1.0 + 0.01 * turn):.6g} {unit}".strip() for turn in range(1, given.changes + 1)
                    ]
                    tell(f"{title} ({key})", [changed(page, field, text) for text in texts])
                browser.close()
        finally:
            served.terminate()


if __name__ == "__main__":
    main()
