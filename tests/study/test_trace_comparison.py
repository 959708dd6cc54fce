"""What two demands do to the same hosting patterns."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.scenario.fragment import fragment_text, load_demand
from simulator.study.trace_comparison import realisations, reference_patterns, simulate_both
from simulator.trace.canonical import read_trace
from simulator.trace.request_table import COLUMNS, RequestTable
from simulator.units import DAY_S, HOUR_S, WEEK_S
from simulator.workload.fit import fit_workload
from simulator.workload.goodness import Observed, compare
from tests.parts import ROOT, TRACES


def test_the_same_demand_costs_and_waits_the_same():
    week = read_trace(ROOT / "traces" / "clinic_week.csv")
    day = Observed(
        week.rows(week.arrival_s < DAY_S),
        DAY_S,
        0.0,
    )
    outcomes = simulate_both([day], [day], reference_patterns(day))
    assert {(one.pattern, one.metric) for one in outcomes} == {
        (pattern, metric)
        for pattern in ("cluster", "api")
        for metric in ("ttft_p99_s", "e2e_p99_s", "monthly_cost_usd", "usd_per_million_tokens")
    }
    assert all(one.difference == 0.0 and one.error is None and one.first > 0 for one in outcomes)


def test_a_model_is_seen_over_the_hours_of_the_trace():
    demand = load_demand(ROOT / "scenarios" / "ci_small.yaml")
    like = Observed(RequestTable(("x",), *(np.zeros(0) for _ in range(8))), 10 * HOUR_S, 2 * DAY_S + 7.5 * HOUR_S)
    for one in realisations(demand, like, 3):
        assert (one.span_s, one.begins_s) == (like.span_s, like.begins_s)
        assert 0 <= one.table.arrival_s.min() < one.table.arrival_s.max() < like.span_s
        # Wednesday 7:30 to 17:30: its first hour is no busier than any later one.
        hours = np.histogram(one.table.arrival_s, 10, (0, 10 * HOUR_S))[0]
        assert hours[0] < hours[2:].min()


def test_what_a_model_was_learned_from_is_simulated_beside_it():
    week = read_trace(ROOT / "traces" / "clinic_week.csv")

    def day(number):
        mine = (week.arrival_s // DAY_S).astype(int) == number
        columns = {name: getattr(week, name)[mine] for name in COLUMNS}
        columns["arrival_s"] = columns["arrival_s"] - number * DAY_S
        return Observed(RequestTable(week.workloads, **columns), DAY_S, number * DAY_S)

    monday, tuesday = day(0), day(1)
    drawn = realisations(load_demand(ROOT / "scenarios" / "ci_small.yaml"), tuesday, 1, monday)
    assert drawn[0].learned_from is monday
    patterns = {"api": reference_patterns(tuesday)["api"]}
    found = {one.metric: one for one in simulate_both([tuesday], drawn, patterns)}
    recorded = {one.metric: one for one in simulate_both([tuesday], [monday], patterns)}
    assert {metric: one.learned_from for metric, one in found.items()} == {
        metric: one.second for metric, one in recorded.items()
    }
    assert {metric: one.recordings_differ for metric, one in found.items()} == {
        metric: one.difference for metric, one in recorded.items()
    }
    assert all(one.recordings_differ is None for one in recorded.values())


@pytest.mark.slow
@pytest.mark.needs("public traces")
def test_what_half_a_public_trace_teaches_holds_for_the_other_half(tmp_path):
    """Azure 2023, conversations: dispersion within sampling error, simulated p99 within 15 %.

    Not so its code trace: there the recorded halves themselves differ twofold in p99, and a third in volume.
    """
    rows = np.loadtxt(
        TRACES / "AzureLLMInferenceTrace_conv.csv", delimiter=",", skiprows=1, dtype=str, encoding="utf-8"
    )
    at = rows[:, 0].astype("datetime64[ns]")
    arrival_s = (at - at[0]) / np.timedelta64(1, "s")
    span_s = float(arrival_s[-1]) + 0.001
    halves = [part(rows, arrival_s, low, low + span_s / 2) for low in (0.0, span_s / 2)]
    found = fit_workload(halves[0].table, halves[0].span_s, None)
    path = tmp_path / "conv.yaml"
    path.write_text(fragment_text([], {"conv": (found.workload, found.notes)}))
    drawn = realisations(load_demand(path), halves[1], 5, halves[0])
    goodness = compare([halves[1]], drawn)
    dispersion = [one for one in goodness.statistics if one.name.startswith("dispersion")]
    assert len(dispersion) >= 2
    assert all(one.within for one in dispersion)
    outcomes = simulate_both([halves[1]], drawn, reference_patterns(halves[1]), jobs=2)
    p99 = {(one.pattern, one.metric): one.difference for one in outcomes if "p99" in one.metric}
    assert len(p99) == 4
    # End to end on the cluster it is 15.3 %, of one draw: nearer to full, it magnifies what differs.
    assert max(map(abs, p99.values())) < 0.16, p99


def part(rows, arrival_s, low, high):
    mine = (arrival_s >= low) & (arrival_s < high)
    size = int(mine.sum())
    tokens = rows[mine, 1:].astype(np.int32)
    table = RequestTable(
        ("conv",), arrival_s[mine] - low, np.zeros(size, np.int16), tokens[:, 0], tokens[:, 1],
        np.full(size, 4096, np.int32), np.full(size, -1, np.int32), np.zeros(size, np.int32), np.full(size, 3, np.int8),
    )  # fmt: skip
    return Observed(table, high - low, None)


@pytest.mark.slow
@pytest.mark.needs("public traces")
def test_what_a_public_week_teaches_holds_for_the_next(tmp_path):
    """One client of ServeGen's m-large, two weeks: hour of week and dispersion within sampling error.

    The model of the first week is nearer to the second than the first week itself: it leaves out what strayed once.
    """
    arrival_s = servegen_client()
    weeks = [alike(arrival_s[(arrival_s >= low) & (arrival_s < low + WEEK_S)] - low) for low in (0.0, WEEK_S)]
    found = fit_workload(weeks[0].table, WEEK_S, 0.0)
    path = tmp_path / "client.yaml"
    path.write_text(fragment_text([], {"client": (found.workload, found.notes)}))
    recorded = compare([weeks[0]], [weeks[1]]).hour_of_week
    modelled = compare([weeks[1]], realisations(load_demand(path), weeks[1], 3, weeks[0]))
    assert modelled.hour_of_week.within
    assert modelled.hour_of_week.distance < 0.9 * recorded.distance
    # The model knows one week no better than that week: its band is narrower than that of two weeks by what it smooths.
    assert 0.7 * recorded.chance < modelled.hour_of_week.chance < recorded.chance
    dispersion = [one for one in modelled.statistics if one.name.startswith("dispersion")]
    assert len(dispersion) >= 4
    assert all(one.within for one in dispersion), dispersion


def servegen_client():
    """Arrivals drawn as ServeGen describes them: rate, gamma or Weibull gaps, for each ten minutes."""
    rng, parts = np.random.default_rng(48), []
    for line in (TRACES / "servegen_m-large_chunk-48-trace.csv").read_text().splitlines():
        begin_s, rate, _, kind, shape, scale = line.split(",")
        size = int(float(rate) * 900) + 50
        form = rng.gamma(float(shape), 1.0, size) if kind == "Gamma" else rng.weibull(float(shape), size)
        within_s = np.cumsum(float(scale) * form)
        parts.append(float(begin_s) + within_s[within_s < 600.0])
    return np.concatenate(parts)


def alike(arrival_s):
    """Requests of one length, over a week from a Monday."""
    size = len(arrival_s)
    column = {name: np.full(size, value, np.int32) for name, value in (("tokens", 100), ("most", 4096), ("none", -1))}
    zero = np.zeros(size, np.int32)
    table = RequestTable(
        ("client",), arrival_s, zero.astype(np.int16), column["tokens"], column["tokens"], column["most"],
        column["none"], zero, np.full(size, 3, np.int8),
    )  # fmt: skip
    return Observed(table, WEEK_S, 0.0)
