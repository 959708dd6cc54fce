"""A month is what is asked of it, whatever part of it was simulated."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simulator
from simulator.analysis.output_analysis import estimate
from simulator.experiment.monthly_usage import monthly_counts
from simulator.trace.canonical import write_trace
from simulator.trace.request_table import RequestTable
from simulator.workload.demand import demands
from tests.experiment.small import small

API = {
    "model": "contract",
    "prices": {"prompt": "10 USD/1M tokens", "output": "30 USD/1M tokens", "source": "contract"},
    "ttft": {"median": "500ms", "sigma": 0.2},
    "output_tokens_per_s": {"median": 100, "sigma": 0.1},
    "error_share": 0.0,
}
#: A request costs 1,000 × 10 + 200 × 30 USD over a million.
USD = (1_000 * 10 + 200 * 30) / 1e6
WEEKDAYS = ["mon", "tue", "wed", "thu", "fri"]
ALL_WEEK = [*WEEKDAYS, "sat", "sun"]


def alike(**workload):
    """Requests of which each costs the same."""
    return {
        "profile": "clinical_documentation",
        "prompt_tokens": {"kind": "constant", "tokens": 1_000},
        "output_tokens": {"kind": "constant", "tokens": 200},
        **workload,
    }


def api_month(horizon, warm_up="0s", replications=1, **workloads):
    changes = {
        "horizon": horizon,
        "workloads": {name: alike(**load) for name, load in workloads.items()},
        "hosting_patterns": {"api": {"kind": "metered_api", "api": API}},
        "experiment.warm_up": warm_up,
    }
    return simulator.run(small(changes), replications=replications, tables=False, outlook=False)


horizons = st.one_of(
    st.tuples(st.sampled_from(["2026-04-06", "2026-04-10", "2026-11-24"]), st.sampled_from([1, 3, 7, 10])).map(
        lambda pair: {"start": pair[0], "duration": f"{pair[1]}d"}
    ),
    # Across a clock change either way, half an hour of it on Lord Howe.
    st.sampled_from(
        [
            {"start": "2026-03-06", "duration": "4d", "time_zone": "America/Chicago", "holidays": "US"},
            {"start": "2026-10-30", "duration": "4d", "time_zone": "America/Chicago"},
            {"start": "2026-04-03", "duration": "4d", "time_zone": "Australia/Lord_Howe"},
            {"start": "2026-11-23", "duration": "7d", "time_zone": "America/Chicago", "holidays": "US"},
            {"month": "2028-02"},
            {"month": "2026-02", "holidays": "US"},
        ]
    ),
)


@settings(max_examples=25)
@given(
    horizon=horizons,
    days=st.sampled_from([WEEKDAYS, ALL_WEEK, ["mon", "fri", "sat"]]),
    asked=st.sampled_from(["requests_per_month", "denials_per_month"]),
    warm_up=st.sampled_from(["0s", "5h"]),
    holiday_factor=st.sampled_from([1.0, 0.0]),
)
def test_law_a_bill_of_some_days_is_that_of_the_month(horizon, days, asked, warm_up, holiday_factor):
    notes = {"volume": {asked: 9_000}, "days": days, "holiday_factor": holiday_factor}
    found = api_month(horizon, warm_up, notes=notes)
    result = found.pattern("api")
    if result.requests.arrived:
        assert result.monthly_cost_usd.mean == pytest.approx(9_000 * USD, rel=1e-6)
    else:
        assert found.decision.reasons[0].startswith("cannot tell: nothing arrived")


@settings(max_examples=15)
@given(horizon=horizons.filter(lambda one: "month" not in one), warm_up=st.sampled_from(["0s", "5h"]))
def test_law_working_days_make_730_of_168_ordinary_weeks(horizon, warm_up):
    found = api_month(horizon, warm_up, notes={"volume": {"clinicians": 20, "notes_per_day": 10}, "days": WEEKDAYS})
    assert found.pattern("api").monthly_cost_usd.mean == pytest.approx(200 * 5 * 730 / 168 * USD, rel=1e-6)


def test_a_calendar_month_has_its_own_working_days():
    horizon, volume = {"month": "2027-04"}, {"clinicians": 20, "notes_per_day": 10}
    scenario = small({"horizon": horizon, "workloads.notes.volume": volume})
    scenario = scenario.with_overrides({"workloads.notes.days": WEEKDAYS, "experiment.warm_up": "3d"})
    assert demands(scenario)["notes"].billed == pytest.approx(22 * 200)


def test_workloads_of_other_days_scale_apart():
    """On a Monday one workload sends all of its week, another a seventh: 4.3 and 30.4 of them make a month."""
    loads = {
        "appeals": {"volume": {"requests_per_month": 3_000}, "days": ["mon"], "profile": "flat"},
        "radiology": {"volume": {"requests_per_month": 6_000}, "profile": "flat"},
    }
    found = api_month({"start": "2026-04-06", "duration": "1d"}, **loads)
    costs = {name: load.cost for name, load in found.pattern("api").workloads.items()}
    assert costs["appeals"].monthly_usd == pytest.approx(3_000 * USD, rel=1e-6)
    assert costs["radiology"].monthly_usd == pytest.approx(6_000 * USD, rel=1e-6)
    assert [cost.usd_per_unit for cost in costs.values()] == pytest.approx([USD, USD], rel=1e-6)
    drawn = found.document()["demand"]
    assert drawn["appeals"]["expected_requests"] == pytest.approx(3_000 * 168 / 730)
    assert drawn["radiology"]["expected_requests"] == pytest.approx(6_000 * 24 / 730)


def test_a_trend_is_billed_at_its_level_and_said():
    trend = {"seasons": {"apr": 1.5}}
    horizon = {"start": "2026-04-06", "duration": "3d"}
    found = api_month(horizon, notes={"volume": {"requests_per_month": 8_000}, "trend": trend})
    assert found.pattern("api").monthly_cost_usd.mean == pytest.approx(12_000 * USD, rel=1e-6)
    assert any("8,000 requests a month are asked, 12,000 at its trend" in note for note in found.demand["notes"].notes)


def test_a_season_without_demand_is_said_and_costs_nothing():
    loads = {
        "notes": {"volume": {"requests_per_month": 8_000}, "trend": {"seasons": {"apr": 0.0}}},
        "letters": {"volume": {"requests_per_month": 6_000}},
    }
    found = api_month({"start": "2026-04-06", "duration": "3d"}, **loads)
    assert found.pattern("api").monthly_cost_usd.mean == pytest.approx(6_000 * USD, rel=1e-6)
    assert found.demand["notes"].notes == [
        "notes: 8,000 requests a month are asked, 0 at its trend: costs are of these"
    ]
    assert found.decision.recommended == "api"


def test_batches_that_came_out_small_are_billed_as_asked_and_said():
    arrivals = {"kind": "batches", "every": "6h", "spacing": "1s", "size_sigma": 0.8}
    volume = {"denials_per_month": 20_000}
    found = api_month(
        {"start": "2026-04-06", "duration": "7d"},
        appeals={"volume": volume, "days": ["mon"], "profile": "flat", "arrivals": arrivals},
    )
    one = found.demand["appeals"]
    assert abs(one.drawn_requests_per_month / 20_000 - 1.0) > 0.05, "a case in which chance is worth a word"
    assert one.drawn_requests_per_month == pytest.approx(one.arrived_requests * 730 / 168)
    assert any(f"as many as {one.drawn_requests_per_month:,.0f} a month were drawn" in note for note in one.notes)
    assert found.pattern("api").monthly_cost_usd.mean == pytest.approx(20_000 * USD, rel=1e-6)


def test_power_is_that_of_a_month_not_of_a_monday():
    """Busy time of a Monday is asked for on 4.35 days of a month; a hundred idle watts are paid all along."""
    days = {"workloads.letters": None, "workloads.notes.days": ["mon"], "workloads.notes.profile": "flat"}
    month = {}
    for length in ("1d", "7d"):
        found = simulator.run(
            small(days | {"horizon.duration": length}), patterns=["bought"], replications=3, tables=False, outlook=False
        )
        month[length] = found.pattern("bought")
    assert month["1d"].cost_lines_usd["power"] == pytest.approx(month["7d"].cost_lines_usd["power"], rel=0.002)
    busy = [one.usage.clusters["cluster"].busy_fraction for one in month.values()]
    assert busy[0] == pytest.approx(busy[1], rel=0.03)
    # By hand: what is simulated of a Monday is a seventh of the week's share.
    assert busy[0] == pytest.approx(month["1d"].utilisation["busy_fraction"] / 7, rel=0.1)


@pytest.fixture(scope="module")
def week(tmp_path_factory):
    """A recorded week: ten short requests an hour from Monday to Friday, four times as long on Saturday, no Sunday."""
    arrival_s = np.arange(0.0, 6 * 86_400.0, 360.0)
    longer = np.where(arrival_s >= 5 * 86_400.0, 4, 1)
    size = len(arrival_s)
    table = RequestTable(
        ("notes",),
        arrival_s,
        np.zeros(size, np.int16),
        (1_000 * longer).astype(np.int32),
        (200 * longer).astype(np.int32),
        np.full(size, 4_096, np.int32),
        np.full(size, -1, np.int32),
        np.zeros(size, np.int32),
        np.full(size, 3, np.int8),
    )
    path = tmp_path_factory.mktemp("trace") / "week.csv"
    write_trace(table, path, source="made up", licence="none", span_s=7 * 86_400.0)
    return str(path)


def replay_month(week, horizon, **trace):
    changes = {
        "horizon": horizon,
        "workloads": {"notes": {"trace": {"file": week} | trace}},
        "hosting_patterns": {"api": {"kind": "metered_api", "api": API}},
    }
    return simulator.run(small(changes), replications=1, tables=False, outlook=False)


@pytest.mark.parametrize(("start", "days"), [(6, 1), (6, 3), (10, 2), (6, 7), (8, 10)])
def test_a_repeated_recording_is_billed_for_what_it_brings_in_a_month(week, start, days):
    horizon = {"start": f"2026-04-{start:02d}", "duration": f"{days}d"}
    found = replay_month(week, horizon)
    assert found.pattern("api").monthly_cost_usd.mean == pytest.approx(240 * (5 + 4) * USD * 730 / 168, rel=2e-3)


def test_a_recording_that_is_not_repeated_goes_on_as_measured(week):
    found = replay_month(week, {"start": "2026-04-06", "duration": "2d"}, repeat=False)
    assert found.pattern("api").monthly_cost_usd.mean == pytest.approx(480 * USD * 730 / 48, rel=1e-5)
    twice = replay_month(week, {"start": "2026-04-06", "duration": "2d"}, align="start", speed=2.0)
    assert twice.pattern("api").monthly_cost_usd.mean == pytest.approx(240 * 9 * USD * 730 / 84, rel=2e-3)


@pytest.mark.parametrize(
    ("start", "duration"), [("2026-04-11", "2d"), ("2026-04-12", "1d"), ("2026-04-11", "1d")], ids=str
)
def test_no_verdict_on_what_nobody_saw(start, duration):
    found = api_month(
        {"start": start, "duration": duration}, notes={"volume": {"requests_per_month": 40_000}, "days": WEEKDAYS}
    )
    decision = json.loads(found.to_json())["decision"]
    assert (decision["recommended"], decision["verdict"]) == (None, "cannot_tell")
    assert decision["reasons"][0].startswith("cannot tell: nothing arrived in the")
    assert decision["rules_fired"] == ["demand"]
    assert not decision["what_would_change_it"]


def test_no_verdict_when_one_workload_is_not_there():
    horizon = {"start": "2026-04-07", "duration": "1d"}
    found = api_month(
        horizon,
        appeals={"volume": {"requests_per_month": 3_000}, "days": ["mon"]},
        notes={"volume": {"requests_per_month": 3_000}},
    )
    assert found.decision.recommended is None
    assert found.decision.reasons[0] == "cannot tell: nothing arrived for appeals in the 24 h that were measured"


@pytest.mark.parametrize(("requests", "told"), [(20, False), (3_000, True)])
def test_a_handful_of_requests_carries_no_verdict(requests, told):
    volume = {"requests_per_month": requests}
    found = api_month({"start": "2026-04-06", "duration": "1d"}, notes={"volume": volume, "profile": "flat"})
    assert (found.decision.recommended is not None) is told
    if not told:
        assert "too few to tell from" in found.decision.reasons[0] or "nothing arrived" in found.decision.reasons[0]


def test_what_waits_for_a_batch_is_billed_as_what_was_answered():
    """A day of a batch API that answers after half a day: half is open at the end, and is paid for all the same."""
    batch = API | {
        "deployment": {"kind": "batch", "turnaround": {"median": "12h", "sigma": 0.0}, "submit_every": "1h"},
    }
    del batch["ttft"], batch["output_tokens_per_s"]
    changes = {
        "horizon": {"start": "2026-04-06", "duration": "1d"},
        "workloads": {"notes": alike(volume={"requests_per_month": 9_000}, profile="flat")},
        "hosting_patterns": {"batch": {"kind": "metered_api", "api": batch}},
    }
    result = simulator.run(small(changes), replications=1, tables=False, outlook=False).pattern("batch")
    assert result.requests.unfinished > 0.3 * result.requests.arrived
    assert result.monthly_cost_usd.mean == pytest.approx(9_000 * USD, rel=1e-6)


counts = st.lists(st.tuples(st.integers(1, 1_000), st.integers(1, 1_000)), min_size=1, max_size=8)


@given(counts, st.floats(1e4, 1e7))
def test_law_replications_average_to_the_ratio(drawn, asked):
    needs, requests = zip(*((each * n, n) for each, n in drawn), strict=True)
    found = monthly_counts(needs, requests, asked)
    if min(found) > 0:
        assert np.mean(found) == pytest.approx(asked * sum(needs) / sum(requests), abs=1.0)
    alike = monthly_counts([7 * n for n in requests], requests, asked)
    assert alike == [round(7 * asked)] * len(alike)


def test_intervals_hold_the_truth_as_often_as_they_say_and_are_narrower():
    """Days differ by a log deviation of 0.4, requests need 0.8 about a mean of 50; 95 % of 3,000 intervals."""
    rng, size, asked, mean = np.random.default_rng(11), 8, 40_000.0, 50.0
    held, widths, plain_widths = 0, [], []
    for _ in range(3_000):
        requests = rng.poisson(400 * np.exp(0.4 * rng.standard_normal(size) - 0.08))
        needs = [int(np.exp(0.8 * rng.standard_normal(n) - 0.32).sum() * mean) for n in requests]
        found = estimate(monthly_counts(needs, requests.tolist(), asked))
        held += found.low <= asked * mean <= found.high
        widths.append(found.high - found.low)
        plain = estimate([need * asked / 400 for need in needs])
        plain_widths.append(plain.high - plain.low)
    assert 0.93 < held / 3_000 < 0.965
    assert np.mean(widths) < 0.2 * np.mean(plain_widths)


TIMETABLE = {
    "kind": "schedule",
    "first_replicas": 1,
    "changes": [{"at": "every weekday 07:00", "replicas": 3}, {"at": "every weekday 19:00", "replicas": 1}],
}


@pytest.mark.parametrize(
    ("start", "days", "first", "warm_up"),
    [("2026-04-06", 1, 1, "0s"), ("2026-04-09", 3, 1, "0s"), ("2026-04-11", 2, 1, "0s"), ("2026-04-06", 7, 3, "0s"),
     ("2026-03-27", 4, 1, "6h")],
)  # fmt: skip
def test_replicas_of_a_timetable_are_paid_as_in_an_ordinary_week(start, days, first, warm_up):
    """By hand: three replicas for 60 hours and one for 108 are 288 hours of a week; a dollar each, 730 h / 168 h of it.

    Whichever days were measured, whatever they began with, and however long a clock change makes one of them.
    """
    cluster = {"model": "llama-3.1-8b", "gpu": "l40s", "replicas": 3}
    scaling = TIMETABLE | {"first_replicas": first, "drain": "1s"}
    changes = {
        "horizon": {"start": start, "duration": f"{days}d", "time_zone": "Europe/Berlin"},
        "workloads": {"notes": alike(volume={"requests_per_month": 600})},
        "hosting_patterns.rented.cluster": {**cluster, "autoscaling": scaling},
        "experiment.warm_up": warm_up,
    }
    found = simulator.run(small(changes), patterns="rented", replications=1, tables=False, outlook=False, band=False)
    assert found.pattern("rented").monthly_cost_usd.mean == pytest.approx(288.0 * 730.0 / 168.0, rel=0.003)
