"""A comparison as people and machines read it."""

from __future__ import annotations

from xml.etree import ElementTree

from rich.console import Console

from simulator.decision.words import kept_share
from simulator.gate.check import Check, Finding, judge
from simulator.gate.comparison import compare
from simulator.gate.policy import read_policy
from simulator.report.comparison import MARKER, markdown, print_comparison
from simulator.report.junit import junit
from tests.gate.kept import VARIANTS, side


def printed(comparison, judged=None):
    console = Console(width=10_000, record=True, soft_wrap=True)
    with console.capture() as capture:
        print_comparison(console, comparison, judged)
    return capture.get()


def test_the_first_line_says_it_and_the_cause_is_one_line():
    comparison = compare(side(), side(VARIANTS["replica"]))
    lines = printed(comparison, judge(comparison, read_policy(None))).splitlines()
    assert lines[0].startswith("small: the gate failed (")
    assert sum("failed: rented: monthly_cost_usd 730 USD → 1,460 USD" in line for line in lines) == 1
    assert any("cause: capacity +730 USD (hosting_patterns.rented.cluster.replicas 1 → 2)" in line for line in lines)


def test_without_a_policy_nothing_is_judged():
    text = printed(compare(side(), side(VARIANTS["volume"])))
    assert "failed" not in text.replace("failed_over_share", "")
    assert "Bills that moved: api: +" in text
    assert printed(compare(side(), side())).splitlines() == ["small: nothing moved"]


def test_what_holds_for_several_patterns_is_said_once():
    comparison = compare(side(), side(VARIANTS["volume"]))
    text = printed(comparison, judge(comparison, read_policy(None)))
    assert text.count("requests_arrived") == 2
    assert "failed: api, rented, bought, hybrid: requests_arrived" in text
    assert "failed: api notes, rented notes, bought notes, hybrid notes: requests_arrived" in text


def test_markdown_begins_with_its_marker_and_escapes():
    comparison = compare(side(), side(VARIANTS["replica"]))
    hostile = Check("failed", [Finding("x", "a|b", "all", "failed", "<img src=x> @everyone `x`\n# y", "")])
    text = markdown(comparison, hostile)
    assert text.splitlines()[0] == MARKER
    assert r"a\|b: \<img src=x\> \@everyone \`x\` \# y" in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} == {6}


def test_markdown_of_no_change_says_so():
    comparison = compare(side(), side())
    assert "No figure moved." in markdown(comparison, judge(comparison, read_policy(None)))


def test_junit_has_a_case_for_each_finding():
    comparison = compare(side(), side(VARIANTS["replica"]))
    judged = judge(comparison, read_policy(None))
    suite = ElementTree.fromstring(junit(judged, "small"))[0]
    assert len(suite) == int(suite.get("tests")) == len(judged.findings)
    assert len(suite.findall("testcase/failure")) == int(suite.get("failures")) == len(judged.having("failed"))
    unknown = judge(compare(side(None, 1), side(None, 1)), read_policy(None))
    suite = ElementTree.fromstring(junit(unknown, "small"))[0]
    assert len(suite.findall("testcase/error")) == int(suite.get("errors")) == len(unknown.having("inconclusive")) > 0


def test_junit_survives_any_text():
    junit(Check("failed", [Finding("x", "", "all", "failed", "a\x00b\ufffe<&>", "")]), "n")
    ElementTree.fromstring(junit(Check("failed", [Finding("x", "", "all", "failed", "a\x00b<&>", "")]), "n"))


def test_which_limit_is_kept_otherwise_is_told():
    """An API whose first token takes 0.7 s in the middle has about half of them within that, and all in a minute."""
    comparison = compare(side(), side({"workloads.notes.objectives.ttft": "700ms"}))
    found = comparison.new.patterns["api"].workloads["notes"].objective
    (ttft, e2e) = found.limits
    assert (ttft.answer, e2e.answer) == ("missed", "met")
    assert 0.4 < ttft.share < 0.6
    said = f"missed: {kept_share(ttft.share)} of its requests within 0.7 s to the first token, 95 % wanted"
    text = printed(comparison, judge(comparison, read_policy(None)))
    assert f"Objectives kept otherwise: api, notes: before met; now {said}" in text
    assert f"- api, notes: before met; now {said}" in markdown(comparison)
    (line,) = [line for line in text.splitlines() if "objectives_missed" in line and "api notes" in line]
    assert said in line
    back = printed(compare(side({"workloads.notes.objectives.ttft": "700ms"}), side()))
    assert f"api, notes: before {said}; now met" in back


def test_another_verdict_is_told_where_nobody_judges():
    was, now = (
        side(),
        side({"workloads.notes.objectives.ttft": "700ms", "constraints.monthly_cost_at_most": "1 USD/month"}),
    )
    comparison = compare(was, now)
    assert f"Verdict: recommends nothing; before: {was.result.decision}" in printed(comparison).splitlines()
    assert "Verdict" not in printed(compare(was, was))
    assert "**Verdict**" in markdown(comparison)
    # A gate has said it above.
    assert "Verdict: " not in printed(comparison, judge(comparison, read_policy(None)))
