"""What is said of a trace: against published figures, textbook processes and plain counting."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.trace.canonical import write_trace
from simulator.trace.header import TraceHeader
from simulator.trace.request_table import RequestTable
from simulator.trace.statistics import SMALL_CELL, hour_of_week, index_of_dispersion, statistics
from tests.cli.command import run
from tests.parts import TRACES

WEEK_S = 604_800.0


def header(span_s, offset_s=None):
    return TraceHeader("s", "l", span_s, 0, (), "", week_offset_s=offset_s)


def table(arrival_s, workload=None, prompt=None, output=None):
    size = len(arrival_s)
    return RequestTable(
        workloads=("notes", "letters"),
        arrival_s=np.asarray(arrival_s, np.float64),
        workload=np.zeros(size, np.int16) if workload is None else np.asarray(workload, np.int16),
        prompt_tokens=np.full(size, 100, np.int32) if prompt is None else np.asarray(prompt, np.int32),
        output_tokens=np.full(size, 10, np.int32) if output is None else np.asarray(output, np.int32),
        max_tokens=np.full(size, 4096, np.int32),
        prefix_id=np.full(size, -1, np.int32),
        prefix_tokens=np.zeros(size, np.int32),
        priority=np.full(size, 3, np.int8),
    )


# Measured independently of this code; two digits, as they were noted.
PUBLISHED = {
    "conv": {"cv": 1.09, "cv5": 1.04, "prompt": (1155, 1020, 4083, 4142), "output": (211, 129, 451, 601), "corr": 0.09,
             "log": (6.63, 0.99), "dispersion_1s": 1.39},
    "code": {"cv": 13.2, "cv5": 9.9, "prompt": (2048, 1469, 7303, 7436), "output": (28, 13, 90, 251), "corr": -0.005,
             "log": (7.00, 1.36), "dispersion_1s": None},
}  # fmt: skip


@pytest.mark.needs("public traces")
@pytest.mark.parametrize("part", PUBLISHED)
def test_azures_traces_have_their_known_figures(tmp_path, capsys, part):
    target = str(tmp_path / "t.parquet")
    source = str(TRACES / f"AzureLLMInferenceTrace_{part}.csv")
    assert run(["trace", "convert", "--format", "azure-llm-2023", source, target], capsys)[0] == 0
    code, out, _ = run(["trace", "inspect", target, "--json"], capsys)
    found, known = json.loads(out), PUBLISHED[part]
    assert code == 0
    assert found["inter_arrival_cv"]["all"] == pytest.approx(known["cv"], rel=0.01)
    assert found["inter_arrival_cv"]["5min"] == pytest.approx(known["cv5"], rel=0.01)
    if known["dispersion_1s"]:
        assert found["index_of_dispersion"]["1s"] == pytest.approx(known["dispersion_1s"], abs=0.006)
    lengths = found["workloads"]["requests"]
    for kind in ("prompt", "output"):
        quantiles = tuple(lengths[f"{kind}_tokens"][key] for key in ("mean", "p50", "p95", "p99"))
        assert quantiles == pytest.approx(known[kind], rel=0.02)
    assert lengths["log_correlation_of_lengths"] == pytest.approx(known["corr"], abs=0.005)
    logs = (lengths["prompt_tokens"]["log_mean"], lengths["prompt_tokens"]["log_sd"])
    assert logs == pytest.approx(known["log"], abs=0.006)


def test_poisson_arrivals_have_dispersion_one_and_regular_ones_none():
    rng = np.random.default_rng(5)
    poisson = np.sort(rng.uniform(0, 50_000, 100_000))
    for scale_s in (1.0, 10.0, 60.0):
        # The standard error of the index over k intervals is sqrt(2 / k).
        slack = 4 * np.sqrt(2 * scale_s / 50_000)
        assert index_of_dispersion(poisson, scale_s, 50_000) == pytest.approx(1, abs=slack)
        assert index_of_dispersion(poisson, scale_s, 50_000, within_s=300) == pytest.approx(1, abs=slack)
    found = statistics(table(poisson), header(50_000))
    assert found["inter_arrival_cv"]["all"] == pytest.approx(1, abs=0.02)
    regular = np.arange(0, 1000, 0.5)
    assert index_of_dispersion(regular, 1.0, 1000) == 0
    assert statistics(table(regular), header(1000))["inter_arrival_cv"]["all"] == pytest.approx(0, abs=1e-9)
    # Pairs at one moment: twice a Poisson process.
    pairs = np.repeat(np.sort(rng.uniform(0, 50_000, 50_000)), 2)
    assert index_of_dispersion(pairs, 10.0, 50_000) == pytest.approx(2, abs=0.2)


def test_a_trend_counts_only_across_windows():
    rng = np.random.default_rng(6)
    rate = np.repeat([1.0, 9.0], 3600)
    arrival_s = np.repeat(np.arange(7200), rng.poisson(rate)) + 0.5
    assert index_of_dispersion(arrival_s, 10.0, 7200) > 10
    assert index_of_dispersion(arrival_s, 10.0, 7200, within_s=300) == pytest.approx(1, abs=0.25)


@given(
    st.lists(st.floats(0, 0.999), max_size=300).map(sorted),
    st.floats(100, 3 * WEEK_S),
    st.one_of(st.none(), st.floats(0, WEEK_S - 1)),
)
def test_rates_times_hours_are_the_requests(places, span_s, offset_s):
    arrival_s = np.array(places) * span_s
    cells = hour_of_week(arrival_s, header(span_s, offset_s))
    # Counted one by one, without the arithmetic of the module.
    counts = np.zeros((7, 24), int)
    for moment in arrival_s:
        hour = int((moment + (offset_s or 0.0)) // 3600)
        counts[hour // 24 % 7, hour % 24] += 1
    for day in range(7):
        for hour in range(24):
            if 0 < counts[day, hour] < SMALL_CELL:
                assert cells[day][hour] is None
            elif counts[day, hour]:
                assert cells[day][hour] >= counts[day, hour] / 4


def test_a_whole_week_has_one_hour_in_each_cell():
    arrival_s = np.repeat(np.arange(0, WEEK_S, 3600.0), 7)
    assert hour_of_week(arrival_s, header(WEEK_S, 5000.0)) == [[pytest.approx(7.0)] * 24] * 7
    half = hour_of_week(arrival_s[arrival_s < 86_400], header(86_400, 12 * 3600.0))
    assert half[0] == [None] * 12 + [pytest.approx(7.0)] * 12
    assert half[1] == [pytest.approx(7.0)] * 12 + [None] * 12


def test_what_is_rare_is_not_shown(tmp_path, capsys):
    arrival_s = [*np.arange(20) * 600.0, 100_000.0]
    path = tmp_path / "t.csv"
    write_trace(table(arrival_s, [0] * 20 + [1]), path, source="s", licence="l", span_s=WEEK_S)
    code, out, _ = run(["trace", "inspect", str(path), "--json"], capsys)
    found = json.loads(out)
    assert code == 0
    assert found["workloads"]["letters"] == {"requests": None, "why": "fewer than 5 requests"}
    assert found["requests_per_hour_of_week"][1][3] is None
    assert found["workloads"]["notes"]["requests_per_hour_of_week"][0][:4] == [6.0, 6.0, 6.0, None]
    code, out, err = run(["trace", "inspect", str(path), "--plot", str(tmp_path / "t.html")], capsys)
    assert code == 0
    assert "few" in out
    html = (tmp_path / "t.html").read_text()
    assert "plotly" in html
    assert "letters" not in html


def test_correlation_of_lengths():
    rng = np.random.default_rng(7)
    logs = rng.multivariate_normal([6, 5], [[0.2, 0.12], [0.12, 0.2]], 20_000)
    lengths = np.exp(logs).astype(np.int32) + 1
    found = statistics(table(np.arange(20_000.0), prompt=lengths[:, 0], output=lengths[:, 1]), header(20_000.0))
    assert found["workloads"]["notes"]["log_correlation_of_lengths"] == pytest.approx(0.6, abs=0.03)
    same = statistics(table(np.arange(20.0)), replace(header(20.0), week_offset_s=1.0))
    assert same["workloads"]["notes"]["log_correlation_of_lengths"] is None
    assert same["hours_are"] == "of the week"
