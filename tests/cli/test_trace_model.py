"""`simulator trace fit` and `trace synthesise`, as a shell sees them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from simulator.scenario.fragment import load_demand
from simulator.trace.canonical import read_trace
from simulator.trace.header import read_header
from tests.cli.command import run
from tests.parts import ROOT

WEEK = str(ROOT / "traces" / "clinic_week.csv")
CLINIC = str(ROOT / "scenarios" / "ci_small.yaml")


@pytest.fixture(scope="module")
def fragment(tmp_path_factory):
    path = tmp_path_factory.mktemp("fit") / "clinic.yaml"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["simulator"])
        from simulator.cli.main import main

        with pytest.raises(SystemExit) as stop:
            main(["trace", "fit", WEEK, "--begins", "mon", "-o", str(path)])
    assert stop.value.code == 0
    return path


def test_what_is_learned_says_where_from_and_makes_any_number_of_months(fragment, tmp_path, capsys):
    text = fragment.read_text()
    week = read_header(Path(WEEK))
    assert text.startswith(f"# Learned by `simulator trace fit` from {week.rows:,} requests in 7 days.")
    assert week.sha256 in text
    assert max(map(len, text.splitlines())) <= 120
    target = tmp_path / "q.parquet"
    code, out, err = run(["trace", "synthesise", str(fragment), str(target), "--months", "3", "--seed", "7"], capsys)
    assert (code, out) == (0, "")
    made, header = read_trace(target), read_header(target)
    assert header.span_s == pytest.approx(3 * 730 * 3600)
    assert (header.week_offset_s, header.start_date) == (0.0, "2027-03-01")
    assert len(made) == pytest.approx(week.rows * 3 * 730 / 168, rel=0.03)
    mine = made.workload == made.workloads.index("clinical_documentation")
    assert ((made.arrival_s[mine] // 86_400) % 7).max() < 5


def test_the_same_seed_makes_the_same_file(fragment, tmp_path, capsys):
    sums = []
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        target = tmp_path / f"{name}.csv"
        run(["trace", "synthesise", str(fragment), str(target), "--duration", "1d", "--seed", seed], capsys)
        sums.append(read_header(target).sha256)
    assert sums[0] == sums[1] != sums[2]


def test_a_scenario_gives_what_a_run_would_see(tmp_path, capsys):
    target = tmp_path / "w.csv"
    assert run(["trace", "synthesise", CLINIC, str(target)], capsys)[0] == 0
    np.testing.assert_array_equal(read_trace(target).arrival_s, read_trace(Path(WEEK)).arrival_s)
    assert (
        run(["trace", "synthesise", CLINIC, str(target), "--coarse", "--workload", "radiology_anomaly"], capsys)[0] == 0
    )
    coarse, whole = read_trace(target), read_trace(Path(WEEK))
    kept = whole.arrival_s[whole.workload == whole.workloads.index("radiology_anomaly")]
    np.testing.assert_array_equal(coarse.arrival_s, np.floor(kept * 1024) / 1024)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "absent.csv"], "absent.csv: no such file"),
        (["fit", WEEK, "--workload", "letters"], "no workload letters; it has"),
        (["fit", WEEK, "--begins", "monday"], "is no moment of the week"),
        (["synthesise", CLINIC, "t.csv", "--workload", "letters"], "no such workload; expected one of"),
        (["synthesise", CLINIC, "t.csv", "--months", "1", "--duration", "1d"], "give this or --duration"),
        (["synthesise", CLINIC, "t.csv", "--start", "2027-02-30"], "expected a date"),
        (["synthesise", CLINIC, "t.txt"], "a trace is a .csv or a .parquet file"),
        (["compare", WEEK, "absent.csv"], "absent.csv: no such file"),
        (["compare", WEEK, WEEK, "--workload", "letters"], "no workload letters; it has"),
        (["compare", WEEK, WEEK, "--learned-from", WEEK], "only a scenario or fragment learns"),
        (["compare", CLINIC, WEEK], "a trace is a .csv or a .parquet file"),
        (["compare", WEEK, WEEK, "--scenario", CLINIC, "--pattern", "apu"], "expected one of api, self_hosted, hybrid"),
        (["synthesise", WEEK, "t.csv"], "clinic_week.csv"),
    ],
)
def test_bad_input_is_exit_code_two_with_a_reason(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(["trace", *arguments], capsys)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_a_fragment_is_a_scenario_without_the_rest(tmp_path):
    path = tmp_path / "f.yaml"
    path.write_text(
        "workloads:\n  notes:\n    volume: {requests_per_month: 100}\n"
        "    prompt_tokens: {kind: constant, tokens: 5}\n    output_tokens: {kind: constant, tokens: 5}\n"
    )
    demand = load_demand(path, time_zone="Europe/Berlin")
    assert demand.horizon.duration_s == 730 * 3600
    assert demand.horizon.time_zone == "Europe/Berlin"
    month = load_demand(ROOT / "scenarios" / "health_system.yaml")
    assert month.horizon.month == "2026-04"
    week = load_demand(ROOT / "scenarios" / "health_system.yaml", duration="7d")
    assert (str(week.horizon.start_local.date()), week.horizon.duration_s) == ("2026-04-01", 7 * 86_400)
    assert week.horizon.holidays == "US"


def test_a_comparison_says_what_agrees(fragment, tmp_path, capsys):
    target = tmp_path / "w.parquet"
    run(["trace", "synthesise", str(fragment), str(target), "--duration", "7d"], capsys)
    code, out, err = run(["trace", "compare", str(target), str(fragment), "--no-simulate", "--json"], capsys)
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document["block_s"] == 86_400
    assert document["simulated"] == []
    # A model and what it makes: the same thing seen twice.
    judged = [one for one in document["statistics"] if one["error"] is not None]
    within = [abs(one["first"] - one["second"]) <= one["error"] for one in judged]
    assert np.mean(within) > 0.8
    assert document["hour_of_week"]["distance"] <= document["hour_of_week"]["chance"]
    narrow = document["hour_of_week"]["chance"]
    code, out, _ = run(
        ["trace", "compare", str(target), str(fragment), "--no-simulate", "--json", "--learned-from", WEEK], capsys
    )
    assert code == 0
    assert json.loads(out)["hour_of_week"]["chance"] > narrow
    code, out, _ = run(["trace", "compare", str(target), str(target), "--no-simulate"], capsys)
    assert code == 0
    assert "0.0 % of the requests would have to move, within chance" in out
    assert "Kolmogorov-Smirnov distances: prompt tokens 0.000" in out
