import re

import pytest
from rich.console import Console

import simulator
from simulator.report.console import render
from simulator.report.warnings import warnings_about
from tests.experiment.small import TOO_LARGE, small


def shown(results, warnings=(), width=100, **options):
    console = Console(width=width, record=True, file=open("/dev/null", "w", encoding="utf-8"), **options)  # noqa: SIM115
    with console.file:
        console.print(render(results, warnings))
    return console.export_text()


@pytest.fixture(scope="module")
def results():
    return simulator.run(small())


def test_second_opinions_are_there(results):
    text = " ".join(shown(results).split())
    decision = results.decision
    assert decision.confidence.text in text
    assert "staffing: the scenario does not say who would run a cluster" in text
    for row in decision.rule_tables:
        assert (f"{row.title}:" in text or f"{row.title} for {row.applies_to}:" in text) is (row.agrees is False)


def test_everything_asked_for_is_on_the_page(results):
    text = shown(results, ["prices are old"])
    for result in results.patterns:
        assert text.count(result.name) >= 3
    for words in (
        "small",
        "1 day from Monday 6 April 2026",
        "3 replications",
        "seed 7",
        "a month of 730 h, price book 2026-11",
        "p99",
        "within each limit",
        "TTFT 5 s",
        "for 95 %",
        "busy_fraction",
        "• prices are old",
        "What would change it",
    ):
        assert words in text
    assert any(line.startswith("Verdict: api ") for line in text.rstrip().splitlines()[-2:])


def test_unit_costs_are_those_of_the_results(results):
    text = shown(results)
    requests = text[text.index("What a request costs") :].splitlines()
    row = next(line for line in requests if line.strip().startswith("api"))
    cells = [float(cell) for cell in row.split()[1:]]
    costs = [load.cost.usd_per_unit for load in results.pattern("api").workloads.values()]
    assert cells == pytest.approx(costs, rel=0.05)
    assert "a note" in text
    assert "a patient" not in text


def test_the_figures_are_those_of_the_results(results):
    text = shown(results)
    rented = results.pattern("rented")
    row = next(line for line in text.splitlines() if line.strip().startswith("rented"))
    assert re.split(r"\s{2,}", row.strip())[:2] == ["rented", "730"]
    assert f"{rented.latency['e2e_s'].p50:.2f}" in text
    assert f"{100 * results.pattern('hybrid').api_share:.2g} %" in text


@pytest.mark.parametrize("width", [100, 120, 160])
def test_a_line_never_exceeds_the_page_and_no_name_is_cut(results, width):
    text = shown(results, width=width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "…" not in text


def test_the_recommended_pattern_is_marked_without_colour(results):
    marked = [line for line in shown(results, no_color=True).splitlines() if line.startswith("▸ ")]
    assert len(marked) == 3
    assert all(line.split()[1] == results.decision.recommended for line in marked)


def test_a_missed_request_is_never_rounded_away(results):
    text = shown(simulator.run(small({"workloads.notes.objectives": {"ttft": "1ms"}}), replications=1))
    assert "0.00 % ✗" in text
    assert "none" not in text
    assert "Verdict: no hosting pattern" in text


def test_a_pattern_that_is_not_feasible_says_so():
    text = shown(simulator.run(small({"hosting_patterns.rented.cluster": TOO_LARGE}), replications=1))
    assert re.search(r"rented +not feasible", text)
    assert "rented is out" in text


def test_an_overloaded_pattern_has_no_p99():
    busy = {"hosting_patterns.rented.cluster.engine.max_num_seqs": 1, "workloads.notes.volume.clinicians": 4000}
    found = simulator.run(small(busy), patterns=["rented"], replications=1)
    assert found.patterns[0].saturation == "overloaded"
    text = shown(found)
    assert re.search(r"rented .* grows .* grows", text)
    assert "grows: the queue does not drain" in text


def test_many_workloads_take_several_tables():
    notes = small().resolved["workloads"]["notes"]
    settings = {f"workloads.ward_{number}_notes": notes for number in range(7)}
    text = shown(simulator.run(small(settings), patterns=["api"], replications=1))
    assert text.count("within each limit") == 2
    assert max(len(line) for line in text.splitlines()) <= 100


def test_warnings_name_retired_models_and_estimated_profiles():
    found = warnings_about(small({"hosting_patterns.api.api.model": "azure/gpt-4-turbo"}))
    assert any(line.startswith("api: azure/gpt-4-turbo retires on 2026-10-23") for line in found)
    assert any(line.startswith("profile llama-3.1-8b-bf16-l40s-x1 is ") for line in found)
    # A cluster that does not fit has no step time to warn about.
    warnings_about(small({"hosting_patterns.rented.cluster": TOO_LARGE}))
