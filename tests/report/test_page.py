from __future__ import annotations

import json
import shutil
from html.parser import HTMLParser

from simulator.decision.words import kept_share, percent, seconds, usd
from simulator.report.page import write_page
from simulator.report.page_headlines import unit_usd
from simulator.report.page_tables import cents, count
from tests.cli.command import run

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


class Page(HTMLParser):
    """Numbers with their paths, ids, and the text and attributes a browser would see."""

    def __init__(self, text):
        super().__init__()
        self.numbers, self.ids, self.tags, self.urls, self.open = [], [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.append(tag)
        self.ids += [found["id"]] if "id" in found else []
        self.urls += [found[name] for name in ("src", "href") if name in found]
        if tag == "data":
            self.open = [found["data-path"], json.loads(found["value"]), ""]
            self.numbers.append(self.open)

    def handle_endtag(self, tag):
        if tag == "data":
            self.open = None

    def handle_data(self, text):
        if self.open:
            self.open[2] += text


def at(document, path):
    for step in path.split("."):
        document = document[int(step)] if isinstance(document, list) else document[step]
    return document


def test_every_number_is_that_of_the_document(kept):
    page = Page((kept / "report.html").read_text("utf-8"))
    document = json.loads((kept / "summary.json").read_text("utf-8"))
    forms = {"share_met": kept_share, "busy_fraction": percent, "capacity_fraction": percent}
    forms |= {"api_share": percent, "p99": seconds, "usd_per_unit": unit_usd}
    assert len(page.numbers) > 40
    for path, value, text in page.numbers:
        assert value == at(document, path), path
        name = path.rpartition(".")[2]
        if "ci99" in path:
            name = "share_met"
        forms_here = [forms[name]] if name in forms else [usd, cents, count]
        assert text in {form(value) for form in forms_here}, path


def test_it_is_one_file_with_unique_ids_and_the_same_every_time(kept, tmp_path):
    text = (kept / "report.html").read_text("utf-8")
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    assert all(url.startswith("#") for url in page.urls)
    assert len(text.encode()) < 8e6
    assert write_page(kept, tmp_path / "again.html").read_text("utf-8") == text


def test_what_a_scenario_says_cannot_become_markup(kept, tmp_path):
    """A hostile description is text wherever it stands."""
    hostile = tmp_path / "run"
    shutil.copytree(kept, hostile)
    for name in ("summary.json", "manifest.json"):
        found = json.loads((hostile / name).read_text("utf-8"))
        if name == "summary.json":
            found["patterns"][0]["description"] = HOSTILE
            found["inputs"]["scenario"]["description"] = HOSTILE
            found["decision"]["reasons"][0] = HOSTILE
        (hostile / name).write_text(json.dumps(found), encoding="utf-8")
    page = Page(write_page(hostile).read_text("utf-8"))
    assert page.tags.count("script") == Page((kept / "report.html").read_text("utf-8")).tags.count("script")
    assert "img" not in page.tags


def test_what_is_no_run_is_refused(tmp_path, capsys):
    code, _, err = run(["report", str(tmp_path)], capsys)
    assert code == 2
    assert "is not a run directory" in err
    assert not list(tmp_path.iterdir())


def test_a_run_of_an_earlier_version_is_refused(kept, tmp_path, capsys):
    old = tmp_path / "run"
    shutil.copytree(kept, old)
    document = json.loads((old / "summary.json").read_text("utf-8"))
    del document["inputs"]
    (old / "summary.json").write_text(json.dumps(document), encoding="utf-8")
    code, _, err = run(["report", str(old)], capsys)
    assert code == 2
    assert "kept by an earlier version" in err


def test_a_rollout_goes_into_it_and_nothing_else_does(kept, tmp_path, capsys):
    growing = {
        "scenario": {"name": "ci_small"},
        "projection": {
            "months": [{"date": "2026-04", "tokens_per_month": 1e6}, {"date": "2026-05", "tokens_per_month": 2e6}],
            "course": {
                "strategies": [
                    {
                        "name": "plan",
                        "text": "as planned",
                        "cumulative_usd": [1.0, 1234.0],
                        "patterns": ["api"] * 2,
                        "missed_months": [2],
                    }
                ],
                "steps": [{"month": 2, "date": "2026-05", "text": "month 2: api to self_hosted pays"}],
                "reviews": [{"date": "2026-05", "planned": "api", "text": "stay with api"}],
            },
        },
        "actual": None,
    }
    file = tmp_path / "rollout.json"
    file.write_text(json.dumps(growing), encoding="utf-8")
    text = write_page(kept, tmp_path / "with.html", file).read_text("utf-8")
    assert "over 2 months" in text
    assert "<td>1,234</td>" in text
    assert "Month 2: api to self_hosted pays." in text
    for wrong in ("[1, 2]", "{}", "month: 3"):
        file.write_text(wrong, encoding="utf-8")
        target = tmp_path / "wrong.html"
        code, _, err = run(["report", str(kept), "--output", str(target), "--rollout", str(file)], capsys)
        assert code == 2
        assert "is not what 'simulator rollout --json' prints" in err
        assert not target.exists()
