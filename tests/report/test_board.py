"""The two pages of a board, what stands at their head, and their PDF."""

from __future__ import annotations

import json
import re
import shutil
import stat

import pytest

from simulator.report import pdf
from simulator.report.page import write_page
from simulator.report.page_headlines import headlines
from simulator.report.show import Show
from tests.cli.command import run
from tests.parts import ROOT

WORK = {"objective": None, "cost": {"unit": "appeal", "usd_per_unit": 0.0022, "monthly_usd": 9.0}}


def document(**changes):
    """A document with what the headlines look at."""
    row = {
        "name": "own",
        "requests": {"arrived": 10},
        "monthly_cost_usd": {"mean": 4_000.0, "ci95": None},
        "cash": {"before_usd": 24_000.0, "first_year_usd": 60_000.0, "three_years_usd": 132_000.0},
        "workloads": {"letters": WORK, "notes": {**WORK, "cost": {"unit": "request", "usd_per_unit": 12.5}}},
    }
    compliance = {
        "assessed": False,
        "patterns": [{"name": "own", "allowed": None, "backends": {"letters": {"cluster": None}}, "data_flow": []}],
    }
    return {
        "decision": {"recommended": "own", "nearest": None, "take_care": changes.pop("take_care", [])},
        "patterns": [{**row, **changes.pop("row", {})}],
        "compliance": changes.pop("compliance", compliance),
        **changes,
    }


def said(**changes):
    found = document(**changes)
    return {label: re.sub(r"<[^>]+>", "", text) for label, text in headlines(found, Show(found))}


def test_what_is_bought_again_within_three_years_is_said():
    cash = {"before_usd": 24_000.0, "first_year_usd": 60_000.0, "three_years_usd": 156_000.0}
    again = {"12": 9_000.0, "24": 24_000.0, "30": 0.0}
    assert said(row={"cash": {**cash, "renewals_usd": again}})["In cash"].endswith(
        "24,000 USD of it before the first month, 9,000 USD after month 12, 24,000 USD after month 24 "
        "for hardware that is written off by then"
    )


def test_what_a_board_asks_first():
    found = said()
    assert (
        found["In cash"]
        == "60,000 USD in the first year, 132,000 USD in three years, 24,000 USD of it before the first month"
    )
    assert found["One of each costs"] == "an appeal 0.0022 USD, a request of notes 12.50 USD"
    assert "Budget" not in found
    assert "When a part fails" not in found
    assert found["Patient data"].startswith("prompts go to its own cluster; whether they may was not assessed")


@pytest.mark.parametrize(
    ("budget", "words"), [(5_000.0, "1,000 USD a month below"), (3_900.0, "100 USD a month above")]
)
def test_a_budget_is_held_against_the_bill(budget, words):
    assert said(budget_usd_per_month=budget)["Budget"] == f"{words} {budget:,.0f} USD"


def test_the_day_without_a_part_is_the_worst_of_its_kind():
    losses = [
        {"component": "replica", "of": "own", "survived": True},
        {"component": "node", "of": "first", "survived": True},
        {"component": "node", "of": "second", "survived": False},
    ]
    assert said(row={"losses": losses})["When a part fails"] == (
        "without a replica of own at its busiest hour it keeps its promises; "
        "without the node of second at its busiest hour it breaks a promise"
    )
    care = [
        "other: one API serves x; its failure stops that, about 24 h a year",
        "own, b: one replica serves y; its failure stops that, about 30 h",
    ]
    assert said(take_care=care)["When a part fails"] == "one replica serves y; its failure stops that, about 30 h"


def test_everybody_who_sees_patient_data_is_named():
    hops = [
        {"hop": "edge", "provider": "acme", "sees_phi_of": ["letters"], "covered": True},
        {"hop": "scrubber", "provider": None, "sees_phi_of": ["letters"], "covered": True},
        {"hop": "traces", "provider": "acme", "sees_phi_of": [], "covered": True},
    ]
    backends = {"letters": {"azure/x": None, "azure/y": "may not"}}
    pattern = {"name": "own", "allowed": True, "backends": backends, "data_flow": hops}
    found = said(compliance={"assessed": True, "patterns": [pattern]})
    assert found["Patient data"] == "goes to edge (acme), scrubber (on site), azure/x; all of it covered"
    hops[0]["covered"] = False
    found = said(compliance={"assessed": True, "patterns": [pattern]})
    assert found["Patient data"].endswith("not covered: edge")


def test_where_nothing_will_do_the_nearest_and_the_next_step_lead(kept, tmp_path):
    none = tmp_path / "run"
    shutil.copytree(kept, none)
    found = json.loads((none / "summary.json").read_text("utf-8"))
    found["decision"] |= {
        "recommended": None,
        "nearest": {
            "pattern": "self_hosted", "misses": ["it is 3 s late"], "would_help": ["a faster GPU", "more replicas"],
            "monthly_cost_usd": 1.0, "text": "",
        },
    }  # fmt: skip
    (none / "summary.json").write_text(json.dumps(found), encoding="utf-8")
    text = re.sub(r"<[^>]+>", "", write_page(none).read_text("utf-8").partition('id="verdict"')[2])
    head = " ".join(text[:1500].split())
    assert (
        "Nothing will do yet: self_hosted comes nearest It is 3 s late. Next step: a faster GPU; or more replicas."
        in head
    )
    assert "2,484" in head


def test_a_run_that_was_kept_before_there_was_cash_still_has_a_report(kept, tmp_path):
    old = tmp_path / "run"
    shutil.copytree(kept, old)
    found = json.loads((old / "summary.json").read_text("utf-8"))
    for row in found["patterns"]:
        del row["cash"]
    (old / "summary.json").write_text(json.dumps(found), encoding="utf-8")
    assert "In cash" not in write_page(old).read_text("utf-8")


def test_the_readme_shows_the_first_page():
    assert "(docs/board.png)" in (ROOT / "README.md").read_text("utf-8")
    assert (ROOT / "docs" / "board.png").stat().st_size < 200_000


def played(folder, script, monkeypatch):
    """A browser that does what a script says."""
    browser = folder / "chromium"
    browser.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    browser.chmod(browser.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(pdf, "chromium", lambda: str(browser))


def test_without_a_browser_it_says_what_to_install(kept, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(pdf.shutil, "which", lambda name: None)
    monkeypatch.setattr(pdf, "_APPLICATIONS", ())
    code, _, err = run(["report", str(kept), "--pdf", str(tmp_path / "board.pdf")], capsys)
    assert code == 2
    assert "a PDF needs Chromium, Chrome or Edge" in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("script", "why"),
    [("echo it broke >&2; exit 5", r"exit code 5\): it broke"), ("exit 0", r"exit code 0\): it said nothing")],
)
def test_a_browser_that_prints_nothing_is_named_with_what_it_said(script, why, tmp_path, monkeypatch):
    played(tmp_path, script, monkeypatch)
    with pytest.raises(pdf.SimulatorError, match=why):
        pdf.pdf_of("<html></html>")


def test_a_browser_is_told_to_reach_nothing(tmp_path, monkeypatch):
    played(
        tmp_path,
        'for one; do case "$one" in --print-to-pdf=*) { echo %PDF; printf "%s\\n" "$@"; } > "${one#*=}";; esac; done',
        monkeypatch,
    )
    told = pdf.pdf_of("<html></html>").decode().splitlines()
    assert told[0] == "%PDF"
    assert "--host-resolver-rules=MAP * ~NOTFOUND" in told
    assert told[-1].startswith("file://")
