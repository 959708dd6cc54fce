"""Demand drawn a few days at a time: the same process, whole at the seams."""

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator.trace.canonical import write_trace
from simulator.trace.request_table import RequestTable, joined
from simulator.units import DAY_S, WEEK_S
from simulator.workload.synthesis import synthesise, synthesise_parts
from tests.workload.clinic import scenario, source
from tests.workload.test_synthesis import ALL_KINDS, assert_equal, columns

TWO_WEEKS = {"start": "2027-10-25", "duration": "14d", "time_zone": "America/Chicago"}  # a clock goes back on the 14th


def by(days):
    return patch.multiple("simulator.workload.calendar", _WHOLE_DAYS=days, _STRETCH_DAYS=days)


def by_count(requests):
    return patch.multiple("simulator.workload.calendar", _WHOLE_REQUESTS=requests, _STRETCH_REQUESTS=requests)


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32), shorter=st.sampled_from([*map(by, (1, 2, 5)), *map(by_count, (500, 1000))]))
def test_each_part_has_the_arrivals_of_its_stretch_and_they_make_up_the_table(seed, shorter):
    demand = scenario(TWO_WEEKS, seed, **ALL_KINDS)
    with shorter:
        parts = list(synthesise_parts(demand, 0))
        whole = synthesise(demand, 0)
    assert len(parts) >= 3
    begin_s = 0.0
    for part, end_s in parts:
        assert (np.diff(part.arrival_s) >= 0).all()
        assert (begin_s <= part.arrival_s).all()
        assert (part.arrival_s < end_s).all()
        begin_s = end_s
    assert end_s == demand.horizon.duration_s
    assert_equal(columns(joined([part for part, _ in parts])), columns(whole))


def test_a_horizon_of_seven_weeks_is_one_part():
    for weeks, count in ((7, 1), (8, 4), (52, 26)):
        demand = scenario({"start": "2027-01-04", "duration": f"{weeks}w"}, notes=source())
        assert len(list(synthesise_parts(demand, 0))) == count


def test_a_stretch_has_no_more_requests_than_are_drawn_at_a_time():
    """But for those of one more hour, the least that is drawn; what is little is not cut at all."""
    demand = scenario(TWO_WEEKS, 3, notes=source(volume={"requests_per_month": 50_000}, day_variation=0.0))
    whole = synthesise(demand, 0)
    busiest = np.bincount((whole.arrival_s // 3600.0).astype(int)).max()
    with by_count(2000):
        parts = [len(part) for part, _ in synthesise_parts(demand, 0)]
    # Five deviations of a Poisson count beyond what is expected.
    assert max(parts) <= 2000 + busiest + 5 * 2000**0.5
    assert len(parts) == pytest.approx(len(whole) / 2000, abs=3)
    with by_count(len(whole) * 1.1):
        assert [len(part) for part, _ in synthesise_parts(demand, 0)] == [len(whole)]


@pytest.mark.parametrize(
    "settings",
    [
        *({name: load} for name, load in ALL_KINDS.items()),
        {"bursts": source(arrivals={"kind": "poisson", "burst_mean": 10, "burst_spacing": "4h"})},
        {"files": source(arrivals={"kind": "batches", "every": "7h", "spacing": "20min"})},
        {"long": source(volume={"charts_per_month": 300}, turns={"mean": 5, "think": {"median": "5h", "sigma": 0.3}})},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_stretches_change_neither_how_much_nor_how_long(settings):
    """What begins in one stretch and runs on into the next is neither lost nor sent twice."""
    demand = scenario(TWO_WEEKS, 5, **settings)
    counts, tokens = {}, {}
    for name, days, requests in (("whole", 14, 10**9), ("cut", 1, 100)):
        with by(days), by_count(requests):
            tables = [synthesise(demand, number) for number in range(40)]
        counts[name] = np.array([len(table) for table in tables], np.float64)
        tokens[name] = np.array([table.prompt_tokens.mean() for table in tables])
    for seen in (counts, tokens):
        error = np.sqrt(sum(values.var(ddof=1) / len(values) for values in seen.values()))
        assert abs(seen["whole"].mean() - seen["cut"].mean()) <= 4.0 * error + 1e-9
        assert seen["cut"].std() <= 2.0 * seen["whole"].std() + 1e-9


@pytest.mark.parametrize("shorter", [by(1), by_count(100)], ids=["days", "requests"])
def test_a_client_that_is_behind_stays_behind(shorter):
    """A backlog is worked off first on the next day, one request after another."""
    slow = source(
        volume={"requests_per_month": 20_000},
        arrivals={
            "kind": "batches",
            "every": "6h",
            "client": {"concurrency": 1, "answer": "3min", "answer_sigma": 0.0},
        },
    )
    with shorter:
        arrival_s = synthesise(scenario(TWO_WEEKS, 1, queued=slow), 0).arrival_s
    assert len(arrival_s) > 6000
    np.testing.assert_allclose(np.diff(arrival_s), 180.0)


@pytest.mark.parametrize("shorter", [by(1), by_count(5000)], ids=["days", "requests"])
def test_trains_of_one_client_do_not_overlap_at_a_seam(shorter):
    program = source(
        volume={"requests_per_month": 400_000},
        arrivals={"kind": "on_off", "train_mean": 5000, "gap": "3s", "gap_variation": 0.01, "idle_sigma": 0.1},
    )
    with shorter:
        arrival_s = synthesise(scenario(TWO_WEEKS, 1, agent=program), 0).arrival_s
    assert np.diff(arrival_s).min() > 2.5


@pytest.mark.parametrize("shorter", [by(1), by_count(50)], ids=["days", "requests"])
def test_turns_go_on_in_the_next_stretch(shorter):
    charts = source(
        volume={"charts_per_month": 900}, turns={"mean": 4, "think": {"median": "10h", "sigma": 0.2}},
        output_tokens={"kind": "constant", "tokens": 50},
    )  # fmt: skip
    with shorter:
        table = synthesise(scenario(TWO_WEEKS, 2, charts=charts), 0)
    longer = 0
    for conversation in np.unique(table.prefix_id):
        mine = table.prefix_id == conversation
        assert (np.diff(table.prompt_tokens[mine]) > 0).all()
        longer += len(np.unique(table.arrival_s[mine] // DAY_S)) > 1
    assert longer > 100


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    days=st.sampled_from([1, 2, 3, 5]),
    hours=st.sampled_from([5, 24, 168, 240, 340]),
    align=st.sampled_from(["start", "week"]),
    repeat=st.booleans(),
    speed=st.sampled_from([1.0, 3.0]),
    zone=st.sampled_from(["UTC", "America/Chicago", "America/Sao_Paulo"]),
)
def test_a_recording_is_played_the_same_whatever_the_stretch(tmp_path, days, hours, align, repeat, speed, zone):
    file, span_s = tmp_path / f"{hours}.csv", hours * 3600.0
    recorded = np.sort(np.random.default_rng(hours).uniform(0, span_s, 60))
    prompt = np.arange(10, 70)
    write_trace(joined([like(recorded, prompt)]), file, source="s", licence="l", span_s=span_s)
    week = align == "week"
    replay = {"file": str(file), "align": align, "repeat": repeat and not (week and span_s < WEEK_S)}
    replay |= {} if week else {"speed": speed}
    # A clock goes back on the 14th day in Chicago; in São Paulo of 2018 one went forward at midnight.
    start = "2018-10-29" if zone == "America/Sao_Paulo" else "2027-10-25"
    demand = scenario({"start": start, "duration": "14d", "time_zone": zone}, notes={"trace": replay})
    whole = synthesise(demand, 0)
    with by(days):
        parts = synthesise(demand, 0)
    assert_equal(columns(parts), columns(whole))


def like(arrival_s, prompt):
    size = len(arrival_s)
    same = np.full(size, 20, np.int32)
    return RequestTable(
        ("notes",), arrival_s, np.zeros(size, np.int16), prompt.astype(np.int32), same, same,
        np.full(size, -1, np.int32), np.zeros(size, np.int32), np.full(size, 3, np.int8),
    )  # fmt: skip
