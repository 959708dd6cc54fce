"""Numbers, nouns and articles meet in one place, and what is generated has none of the slips."""

from __future__ import annotations

import ast
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

import simulator
from simulator.decision.words import seconds, sentence
from simulator.report.brief import brief
from simulator.report.console import render
from simulator.report.warnings import warnings_about
from simulator.wording import article, counted, elapsed, is_or_are, plural
from tests.experiment.small import small
from tests.parts import ROOT


@pytest.mark.parametrize(
    ("noun", "said"),
    [
        ("appeal", "an appeal"),
        ("note", "a note"),
        ("hour", "an hour"),
        ("user", "a user"),
        ("unit", "a unit"),
        ("European region", "a European region"),
        ("one-off", "a one-off"),
        ("MLOps engineer", "an MLOps engineer"),
        ("API", "an API"),
        ("GPU", "a GPU"),
        ("H100", "an H100"),
        ("L40S", "an L40S"),
        ("A100", "an A100"),
        ("B200", "a B200"),
        ("8-bit format", "an 8-bit format"),
        ("11th", "an 11th"),
        ("110 V", "a 110 V"),
        ("undecided case", "an undecided case"),
        ("estimated profile", "an estimated profile"),
        ("derived profile", "a derived profile"),
    ],
)
def test_articles_go_by_sound(noun, said):
    assert article(noun) == said


@given(st.integers(0, 10**9), st.sampled_from(["replication", "policy", "day", "batch", "box", "ML engineer"]))
def test_one_is_one_and_all_else_is_several(number, noun):
    said = counted(number, noun)
    assert said == f"{number:,} {noun if number == 1 else plural(noun)}"
    assert is_or_are(number) == ("is" if number == 1 else "are")


@given(st.floats(0.01, 2e6))
def test_what_lasts_is_told_in_a_unit_that_keeps_three_digits_and_its_value(value_s):
    number, unit = elapsed(value_s).split()
    size = {"s": 1, "min": 60, "h": 3600, "d": 86_400}[unit]
    told = float(number.replace(",", ""))
    assert told * size == pytest.approx(value_s, rel=0.006, abs=0.006)
    assert told < 1000 or unit == "d"
    assert (unit == "s") == (value_s < 300)


def test_what_was_told_of_before():
    assert (elapsed(84_791), elapsed(30_057), seconds(84_791)) == ("23.6 h", "8.35 h", "23.6 h")
    assert sentence("api meets every objective", ["api"]) == "api meets every objective."
    assert sentence("nothing fits", ["api"]) == "Nothing fits."


#: What no text may say: an article before the other kind of sound, one of several, a share without its space, a latency
#: in thousands of seconds.
SLIPS = {
    "article": re.compile(
        r"\ba (?=[aeio]\w)(?!one|once|eu)|\ban (?=[bcdfgjkpqtvwyz][a-z]+|no[a-z]|[lmrs][aeiou])", re.IGNORECASE
    ),
    "one of several": re.compile(
        r"(?<![\d.,])1 (?:\w+ )?"
        r"(?:replications|engineers|patterns|workloads|days|months|replicas|requests|points|GPUs)\b"
    ),
    "space before %": re.compile(r"\d%"),
    "hours in seconds": re.compile(r"\b(?:\d{1,3},\d{3}|[4-9]\d{3}|\d{5,})(?:\.\d+)? s\b"),
}
WORLDS = st.fixed_dictionaries(
    {},
    optional={
        "workloads.notes.volume.clinicians": st.sampled_from([1, 7, 400]),
        "workloads.notes.objectives": st.sampled_from(
            [{"ttft": "1ms"}, {"end_to_end": "72h"}, {"ttft": "2s", "end_to_end": "4h"}, {"availability": "99.9 %"}]
        ),
        "constraints.team": st.sampled_from(
            [{"ml_engineers": 1, "rules_out": True}, {"ml_engineers": 2}, {"ml_engineers": 0.5, "rules_out": True}]
        ),
        "constraints.monthly_cost_at_most": st.sampled_from(["1 USD/month", "800 USD/month"]),
        "constraints.phi_may_leave": st.booleans(),
        "hosting_patterns.rented.cluster.replicas": st.sampled_from([1, 2]),
        "hosting_patterns.rented.cluster.engine.max_num_seqs": st.sampled_from([1, 64]),
        "hosting_patterns.api.api.deployment": st.just({"kind": "standard"}),
        "horizon.duration": st.sampled_from(["6h", "1d"]),
    },
)


def slips(text):
    plain = " ".join(text.split())
    return [
        (kind, plain[max(0, m.start() - 40) : m.end() + 20]) for kind, at in SLIPS.items() for m in at.finditer(plain)
    ]


def test_the_sweep_sees_what_it_is_for():
    for text in ("a appeal", "an note", "1 replications", "1 ML engineers are", "100%", "within 84,791 s", "7200 s"):
        assert slips(text), text
    for text in ("an appeal", "a one-off", "11 replications", "1 replication", "100 %", "300 s", "21 ML engineers"):
        assert not slips(text), text


@pytest.mark.slow
@settings(max_examples=12)
@given(WORLDS, st.sampled_from([1, 2]))
def test_no_page_of_any_world_has_a_slip(world, replications):
    assert slips(page(world, replications)) == []


@pytest.mark.parametrize(
    "world",
    [
        {},
        {
            "workloads.notes.objectives": {"ttft": "1ms", "end_to_end": "72h"},
            "constraints.team": {"ml_engineers": 1, "rules_out": True},
            "constraints.phi_may_leave": False,
        },
    ],
)
def test_no_page_of_a_world_has_a_slip(world):
    assert slips(page(world, 1)) == []


def page(world, replications):
    """All that a terminal shows of one."""
    scenario = small(world)
    results = simulator.run(scenario, replications=replications, band=False)
    console = Console(width=300, record=True, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115
    with console.file:
        console.print(brief(results), render(results, warnings_about(scenario), with_rules_of_thumb=True))
    return console.export_text()


def test_no_source_puts_an_article_before_what_it_does_not_know_or_a_share_without_its_space():
    """Texts in the sources: `a {unit}` is a matter of sound, `{share:.1%}` has no space."""
    found = []
    for path in sorted((ROOT / "simulator").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if not re.search(r"\ban? \{|%\}", text):
            continue
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.JoinedStr):
                continue
            parts = list(zip([ast.Constant(""), *node.values], node.values, strict=False))
            for before, value in parts:
                if not isinstance(value, ast.FormattedValue):
                    continue
                article_before = isinstance(before, ast.Constant) and re.search(r"(^|[\s(])an? $", str(before.value))
                spec = value.format_spec and ast.literal_eval(ast.unparse(value.format_spec).removeprefix("f"))
                if article_before or re.fullmatch(r"[+,.\d]*%", spec or ""):
                    found.append(f"{path.name}:{node.lineno}: {ast.unparse(node)[:90]}")
    assert found == []
