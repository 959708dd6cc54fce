"""Twenty lines say what a run found: the verdict first and last, every figure as the results have it."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from rich.console import Console

import simulator
from simulator.cli.counting import speaking
from simulator.report.brief import brief
from tests.cli.command import run
from tests.experiment.small import TOO_LARGE, small
from tests.parts import ROOT


def shown(results, warnings=(), width=120):
    console = Console(width=width, record=True, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115
    with console.file:
        console.print(brief(results, warnings))
    return console.export_text()


@pytest.fixture(scope="module")
def results():
    return simulator.run(small())


def test_the_verdict_is_first_and_last_and_twenty_lines_are_enough(results):
    lines = shown(results, ["prices are old", "and more", "and more still"]).rstrip().splitlines()
    assert lines[0].startswith("Verdict: ")
    last = max(number for number, line in enumerate(lines) if line.startswith("Verdict: "))
    assert lines[last:] == lines[: len(lines) - last]
    assert len(lines) <= 20
    assert "--full" in "\n".join(lines)


@pytest.mark.parametrize("count", [1, 3, 4, 5])
def test_twenty_lines_are_enough_for_five_patterns(results, count):
    patterns = [replace(results.patterns[0], name=f"pattern_{number}") for number in range(count)]
    lines = shown(replace(results, patterns=patterns), ["prices are old", "and more"]).rstrip().splitlines()
    assert sum("pattern_" in line for line in lines) >= count
    assert len(lines) <= 20


@pytest.mark.parametrize("width", [100, 120, 200])
def test_no_line_is_wider_than_the_terminal_and_no_pattern_is_cut(results, width):
    text = shown(results, width=width)
    assert max(map(len, text.splitlines())) <= width
    for result in results.patterns:
        row = next(line for line in text.splitlines() if re.match(rf"[▸ ] {result.name} ", line))
        assert "…" not in row


def test_a_figure_and_its_interval_stand_in_columns_of_their_own(results):
    head = next(line for line in shown(results).splitlines() if line.startswith("hosting pattern"))
    assert head.count("±") == 2
    api = results.pattern("api")
    row = next(line for line in shown(results).splitlines() if line.startswith("▸ api"))
    cells = re.split(r"\s{2,}", row.strip())
    assert float(cells[1]) == pytest.approx(api.monthly_cost_usd.mean, abs=0.005)
    half = (api.monthly_cost_usd.ci95[1] - api.monthly_cost_usd.ci95[0]) / 2
    assert float(cells[2]) == pytest.approx(half, abs=0.005)


def test_one_replication_has_no_interval_and_says_so():
    text = shown(simulator.run(small(), replications=1))
    assert "1 replication: no interval" in text
    assert "1 replications" not in text


def test_what_is_not_feasible_or_missed_is_not_called_met():
    text = shown(simulator.run(small({"hosting_patterns.rented.cluster": TOO_LARGE}), replications=1))
    assert re.search(r"rented +not feasible", text)
    text = shown(simulator.run(small({"workloads.notes.objectives": {"ttft": "1ms"}}), replications=1))
    assert text.count("✗ missed") == 4


def test_limits_that_nothing_was_held_against_are_not_called_unstated():
    """A clinic of weekdays, on a Saturday."""
    weekend = {"horizon.start": "2026-04-11"} | {f"workloads.{name}.days": ["mon"] for name in ("notes", "letters")}
    text = shown(simulator.run(small(weekend), replications=1))
    assert "nothing arrived" in text
    assert "none stated" not in text


def test_a_log_hears_of_a_run_after_twenty_seconds_and_every_minute():
    waited, said = [], []
    with speaking(said.append, wait=lambda pause_s: waited.append(pause_s) or len(waited) > 3):
        pass
    assert (waited, said) == ([20.0, 60.0, 60.0, 60.0], [20.0, 80.0, 140.0])


def test_explain_begins_with_size_and_doubts_and_keeps_defaults_for_all(capsys):
    file = str(ROOT / "scenarios" / "ci_small.yaml")
    code, out, _ = run(["explain", file, "--set", "experiment.seed=7"], capsys)
    lines = out.splitlines()
    assert code == 0
    assert lines[0].startswith("The run: 3 hosting patterns, 6 replications of about ")
    assert lines[1].startswith("Take care: ")
    assert "--set experiment.seed" in out
    assert not re.search(r"│ default +│", out)
    hidden = int(re.search(r"^and (\d+) defaults: --all$", out, re.MULTILINE)[1])
    whole = run(["explain", file, "--set", "experiment.seed=7", "--all"], capsys)[1]
    assert len(re.findall(r"│ default +│", whole)) == hidden
    assert "defaults: --all" not in whole
