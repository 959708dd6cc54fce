"""A recorded trace on a horizon: nothing invented, nothing lost, every hour of the week kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator.errors import ScenarioError
from simulator.experiment.checkpoint import demand_key
from simulator.experiment.checks import check, load_checked
from simulator.trace.canonical import write_trace
from simulator.trace.request_table import RequestTable
from simulator.units import DAY_S, HOUR_S, WEEK_S
from simulator.workload.calendar import ClinicalCalendar, to_local
from simulator.workload.replay import replayed as when_replayed
from simulator.workload.synthesis import synthesise
from tests.parts import ROOT
from tests.workload.clinic import APRIL, WEEK, scenario, source

MONDAY_TO_SUNDAY = {"start": "2027-04-05", "duration": "7d"}


def trace(path, arrival_s, span_s=WEEK_S, header=True):
    """Two workloads in turn; the prompt of each request tells which row it was."""
    size = len(arrival_s)
    table = RequestTable(
        workloads=("notes", "scans"),
        arrival_s=np.array(arrival_s, np.float64),
        workload=(np.arange(size) % 2).astype(np.int16),
        prompt_tokens=np.arange(10, size + 10, dtype=np.int32),
        output_tokens=np.full(size, 100, np.int32),
        max_tokens=np.full(size, 500, np.int32),
        prefix_id=(np.arange(size) % 3 - 1).astype(np.int32),
        prefix_tokens=np.where(np.arange(size) % 3 > 0, 4, 0).astype(np.int32),
        priority=np.full(size, 2, np.int8),
    )
    write_trace(table, path, source="s", licence="l", span_s=span_s)
    if not header:
        path.with_suffix(".yaml").unlink()
    return str(path)


def replayed(file, horizon=MONDAY_TO_SUNDAY, **replay):
    table = synthesise(scenario(horizon, notes={"trace": {"file": file, **replay}}), 0)
    return table.arrival_s, table.prompt_tokens - 10


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_week_on_its_week_is_what_was_recorded(tmp_path, suffix):
    recorded = np.sort(np.random.default_rng(1).uniform(0, WEEK_S, 200))
    arrival_s, rows = replayed(trace(tmp_path / f"t{suffix}", recorded))
    np.testing.assert_array_equal(arrival_s, recorded)
    np.testing.assert_array_equal(rows, np.arange(200))


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    first=st.integers(1, 27),
    days=st.integers(1, 40),
    weeks=st.integers(1, 3),
    begins=st.sampled_from(["mon", "wed 13:30", "sun 23:59"]),
    zone=st.sampled_from(["UTC", "America/Chicago"]),
)
def test_every_request_keeps_its_hour_of_the_week(tmp_path, first, days, weeks, begins, zone):
    """Through clock changes as well: March 2027 has one, on the 14th at 02:00 in Chicago."""
    recorded = np.sort(np.random.default_rng(weeks).uniform(0, weeks * WEEK_S, 300))
    file = trace(tmp_path / f"{weeks}.csv", recorded, weeks * WEEK_S)
    horizon = {"start": f"2027-03-{first:02d}", "duration": f"{days}d", "time_zone": zone}
    arrival_s, rows = replayed(file, horizon, begins=begins)
    demand = scenario(horizon, notes=source())
    begins_s = {"mon": 0.0, "wed 13:30": 2 * DAY_S + 13.5 * HOUR_S, "sun 23:59": 7 * DAY_S - 60.0}[begins]
    for at_s, row in zip(arrival_s.tolist(), rows.tolist(), strict=True):
        local = to_local(demand.horizon, at_s)
        seen_s = (
            local.weekday() * DAY_S + local.hour * HOUR_S + local.minute * 60 + local.second + local.microsecond * 1e-6
        )
        wanted_s = (begins_s + recorded[row]) % WEEK_S
        skipped = 6 * DAY_S + 2 * HOUR_S <= wanted_s < 6 * DAY_S + 3 * HOUR_S
        assert seen_s == pytest.approx(wanted_s, abs=1e-3) or (skipped and seen_s == pytest.approx(wanted_s + HOUR_S))


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(weeks=st.integers(1, 9), span_days=st.integers(7, 30), speed=st.sampled_from([0.5, 1.0, 7.0]))
def test_a_repeated_trace_sends_every_request_as_often_as_the_next(tmp_path, weeks, span_days, speed):
    recorded = np.sort(np.random.default_rng(span_days).uniform(0, span_days * DAY_S, 100))
    file = trace(tmp_path / f"{span_days}.csv", recorded, span_days * DAY_S)
    horizon = {"start": "2027-04-05", "duration": f"{weeks}w"}
    arrival_s, rows = replayed(file, horizon, align="start", speed=speed)
    seen = np.bincount(rows, minlength=100)
    assert seen.max() - seen.min() <= 1
    assert len(rows) == np.sum(np.floor((weeks * WEEK_S * speed - recorded) / (span_days * DAY_S)) + 1)
    by_week = replayed(file, horizon)[1]
    # Ten days by the week: once to their end, then the first seven of them again and again.
    whole = span_days // 7 * WEEK_S
    first_pass = min(weeks * WEEK_S, span_days * DAY_S)
    assert np.sum(by_week >= 0) == np.sum(recorded < first_pass) + sum(
        np.sum((recorded < whole) & (recorded + k * whole >= first_pass) & (recorded + k * whole < weeks * WEEK_S))
        for k in range(1, 10)
    )


def test_a_trace_that_is_not_repeated_waits_for_its_day(tmp_path):
    file = trace(tmp_path / "monday.csv", [3600.0, 7200.0], DAY_S)
    arrival_s, _ = replayed(file, APRIL, repeat=False)  # April 2027 begins on a Thursday
    np.testing.assert_array_equal(arrival_s, [4 * DAY_S + 3600, 4 * DAY_S + 7200])
    arrival_s, _ = replayed(file, APRIL, repeat=False, align="start")
    np.testing.assert_array_equal(arrival_s, [3600, 7200])
    arrival_s, _ = replayed(file, {"start": "2027-04-06", "duration": "3d"}, repeat=False)
    assert len(arrival_s) == 0


@pytest.mark.parametrize("align", ["start", "week"])
def test_a_horizon_has_its_first_moment_and_not_its_last(tmp_path, align):
    file = trace(tmp_path / "edges.csv", [0.0, DAY_S - 1e-6, DAY_S], 2 * DAY_S)
    replay = {"file": file, "repeat": False, "align": align}
    given = scenario({"start": "2027-04-05", "duration": "1d"}, notes={"trace": replay})
    (table,) = when_replayed(given.workloads["notes"], ClinicalCalendar(given.horizon).cells)
    assert table.prompt_tokens.tolist() == [10, 11]
    assert table.arrival_s.tolist() == [0.0, DAY_S - 1e-6]


def test_an_hour_that_happens_twice_is_filled_once(tmp_path):
    file = trace(tmp_path / "t.csv", [6 * DAY_S + 1.5 * HOUR_S, 6 * DAY_S + 2.5 * HOUR_S])
    horizon = {"start": "2027-11-01", "duration": "7d", "time_zone": "America/Chicago"}
    arrival_s, _ = replayed(file, horizon)
    np.testing.assert_array_equal(arrival_s, [6 * DAY_S + 1.5 * HOUR_S, 6 * DAY_S + 3.5 * HOUR_S])
    assert ClinicalCalendar(scenario(horizon, notes=source()).horizon).cells.wall_s[-1] == 6 * DAY_S + 22 * HOUR_S


def test_recorded_and_synthetic_workloads_mix_and_leave_each_other_alone(tmp_path):
    file = trace(tmp_path / "t.csv", np.linspace(0, WEEK_S - 1, 60))
    made = source(shared_prefix={"tokens": 100, "variants": 5})
    mixed = synthesise(
        scenario(
            WEEK,
            made=made,
            notes={"trace": {"file": file, "workloads": ["notes"]}, "max_tokens": 80, "priority": 1},
            both={"trace": {"file": file}},
        ),
        3,
    )
    alone = synthesise(scenario(WEEK, made=made), 3)
    rows = {name: mixed.workload == code for code, name in enumerate(mixed.workloads)}
    np.testing.assert_array_equal(mixed.arrival_s[rows["made"]], alone.arrival_s)
    assert (rows["notes"].sum(), rows["both"].sum()) == (30, 60)
    assert set(mixed.output_tokens[rows["notes"]]) == {80} == set(mixed.max_tokens[rows["notes"]])
    assert (set(mixed.priority[rows["notes"]]), set(mixed.priority[rows["both"]])) == ({1}, {2})
    ids = {name: set(mixed.prefix_id[mine].tolist()) - {-1} for name, mine in rows.items()}
    # The same file shares its prefixes whoever replays it; made-up ones are others.
    assert ids["notes"] == ids["both"]
    assert not ids["both"] & ids["made"]


VALID = (ROOT / "scenarios" / "recorded_clinic.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "line", "message"),
    [
        (("clinic_week.csv, workloads: [clin", "clinic_wek.csv, workloads: [clin"), 15, "trace.file: "),
        (("[clinical_documentation]", "[documentation]"), 15, "trace.workloads: 'documentation' is not in the trace"),
        (("[clinical_documentation]}", "[clinical_documentation], speed: 2}"), 15, "trace.speed: a trace at another"),
        (("[clinical_documentation]}", "[clinical_documentation], align: day}"), 15, "expected 'week' or 'start'"),
        (("[clinical_documentation]}", "[clinical_documentation], begins: monday}"), 15, "trace.begins"),
        (("priority: 1", "profile: flat"), 19, "unknown key"),
        (("[clinical_documentation]}", "[clinical_documentation], repeated: true}"), 15, "did you mean 'repeat'?"),
        (("    volume: {requests_per_month: 900} # assumed: 30 discharges a day\n", ""), 21, "volume: is missing"),
        (
            ("[clinical_documentation]}", "[clinical_documentation], begins: tue, align: start}"),
            15,
            "needs align: week",
        ),
    ],
)
def test_a_wrong_replay_is_refused_with_its_line(tmp_path, change, line, message):
    assert change[0] in VALID
    path = tmp_path / "s.yaml"
    path.write_text(VALID.replace(*change, 1).replace("../traces", str(ROOT / "traces")), encoding="utf-8")
    with pytest.raises(ScenarioError) as caught:
        load_checked(path)
    (fault,) = caught.value.faults
    assert fault.line == line
    assert message in f"{fault.key}: {fault.message}"


@pytest.mark.parametrize(
    ("span_s", "header", "replay", "message"),
    [
        (DAY_S, True, {}, "the trace lasts 24.0 h, less than a week; give repeat: false, or align: start"),
        (WEEK_S, False, {}, "no header that says how long it lasts"),
        (WEEK_S, False, {"repeat": False}, None),
        (DAY_S, True, {"align": "start"}, None),
        (WEEK_S - HOUR_S, True, {}, None),  # a week in which clocks are put forward
    ],
)
def test_what_is_repeated_must_last_long_enough(tmp_path, span_s, header, replay, message):
    file = trace(tmp_path / "t.csv", [0.0, 1.0], span_s, header)
    demand = scenario(WEEK, notes={"trace": {"file": file, **replay}})
    if message is None:
        return check(demand)
    with pytest.raises(ScenarioError, match=message):
        check(demand)
    return None


def test_what_is_in_a_trace_decides_whether_a_simulation_is_known_not_where_it_lies(tmp_path):
    (tmp_path / "b").mkdir()
    times = [1.0, 2.0, 3.0]
    keys = [
        demand_key(scenario(WEEK, notes={"trace": {"file": trace(place, content)}}))
        for place, content in [
            (tmp_path / "a.csv", times),
            (tmp_path / "b" / "a.csv", times),
            (tmp_path / "a.csv", [1.0, 2.0, 4.0]),
        ]
    ]
    assert keys[0] == keys[1] != keys[2]
