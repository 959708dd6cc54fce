"""A trace replayed whole and by portions: the same requests, whatever is read and handed over at a time."""

from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator.errors import ScenarioError, TraceError
from simulator.trace.canonical import write_trace
from simulator.trace.nesting import Nesting
from simulator.trace.request_table import COLUMNS, RequestTable, joined
from simulator.units import DAY_S, WEEK_S
from simulator.workload import recorded
from simulator.workload import recording as reading
from simulator.workload.calendar import ClinicalCalendar
from simulator.workload.demand import demands
from simulator.workload.recorded import content, played
from simulator.workload.recording import recording
from simulator.workload.replay import expected_replayed, replayed
from simulator.workload.synthesis import room_for, synthesise, synthesise_parts
from tests.workload.clinic import scenario, source

#: A clock goes back on the 14th day in Chicago.
TWO_WEEKS = {"start": "2027-10-25", "duration": "14d", "time_zone": "America/Chicago"}


@contextmanager
def at_once(rows, portion, *, held=0):
    """So many rows are read and laid, and about so many requests are handed over, at a time."""
    for known in (reading._recording, recorded._content, recorded._played):
        known.cache_clear()
    with ExitStack() as stack:
        stack.enter_context(patch.multiple("simulator.workload.recording", _HELD_ROWS=held, _AT_ONCE=rows))
        stack.enter_context(patch("simulator.workload.replay._AT_ONCE", rows))
        stack.enter_context(
            patch.multiple("simulator.workload.calendar", _WHOLE_REQUESTS=portion, _STRETCH_REQUESTS=portion)
        )
        yield
    for known in (reading._recording, recorded._content, recorded._played):
        known.cache_clear()


def written(path, span_s, size=150, seed=0):
    """Two workloads, arrivals of which many come at once, and prefixes that begin with one another."""
    rng = np.random.default_rng(seed)
    prefix_id = rng.integers(-1, 12, size).astype(np.int32)
    prompt = rng.integers(500, 900, size).astype(np.int32)
    ids = np.arange(1, 12)
    table = RequestTable(
        ("notes", "scans"),
        np.sort(np.floor(rng.uniform(0, span_s, size) / 3600.0) * 3600.0),
        rng.integers(0, 2, size).astype(np.int16),
        prompt,
        rng.integers(1, 200, size).astype(np.int32),
        np.full(size, 200, np.int32),
        prefix_id,
        np.where(prefix_id < 0, 0, 400).astype(np.int32),
        rng.integers(1, 4, size).astype(np.int8),
        nesting=Nesting.of(ids, (ids - 1) // 2, 40 * np.floor(np.log2(ids + 1)).astype(np.int64)),
    )
    write_trace(table, path, source="s", licence="l", span_s=span_s)
    return str(path)


def prefixes(table):
    return {one: table.nesting.outer(one) for one in np.unique(table.prefix_id).tolist()}


def compare(demand, rows, portion):
    whole = synthesise(demand, 0)
    sums = demands(demand)
    with at_once(rows, portion):
        parts = list(synthesise_parts(demand, 0))
        assert demands(demand) == sums
    table = joined([part for part, _ in parts])
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(table, name), getattr(whole, name), err_msg=name, strict=True)
    for part, _ in parts:
        assert prefixes(part) == {one: whole.nesting.outer(one) for one in np.unique(part.prefix_id).tolist()}
    return parts


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.integers(30, 200),
    portion=st.integers(20, 400),
    suffix=st.sampled_from(["csv", "parquet"]),
    days=st.sampled_from([3, 7, 10, 21]),
    replay=st.fixed_dictionaries(
        {"align": st.sampled_from(["start", "week"]), "repeat": st.booleans()},
        optional={"speed": st.sampled_from([0.3, 3.0]), "begins": st.sampled_from(["sun 23:59", "wed 13:30"])},
    ),
)
def test_the_same_bytes_whatever_is_read_and_handed_over_at_a_time(tmp_path, rows, portion, suffix, days, replay):
    """Beside a batch that is released on the hour, as the recorded ones come, and what is drawn is not divided."""
    week = replay["align"] == "week"
    replay = {key: value for key, value in replay.items() if key != ("speed" if week else "begins")}
    replay["repeat"] &= not week or days >= 7
    file = written(tmp_path / f"{days}.{suffix}", days * DAY_S)
    batch = source(
        volume={"requests_per_month": 30},
        arrivals={"kind": "batches", "every": "6h"},
        prompt_tokens={"kind": "constant", "tokens": 90},
    )
    compare(
        scenario(
            TWO_WEEKS,
            a_batch=batch,
            both={"trace": {"file": file, **replay}},
            notes={"trace": {"file": file, "workloads": ["notes"], **replay}, "max_tokens": 80},
            z_batch=batch,
        ),
        rows,
        portion,
    )


def test_a_portion_has_about_as_many_requests_as_are_handed_over_at_a_time(tmp_path):
    file = written(tmp_path / "week.parquet", WEEK_S, size=4_000)
    demand = scenario(TWO_WEEKS, notes={"trace": {"file": file}})
    parts = compare(demand, 300, 500)
    assert len(parts) == pytest.approx(16, abs=1)
    # No more than is asked for, one hour more, and nothing of the next portion.
    assert max(len(part) for part, _ in parts) < 600
    assert len(list(synthesise_parts(demand, 0))) == 1


def test_what_is_drawn_beside_a_trace_is_drawn_as_without_it(tmp_path):
    file = written(tmp_path / "week.parquet", WEEK_S, size=4_000)
    made = source(volume={"requests_per_month": 800}, turns={"mean": 4, "think": {"median": "10h", "sigma": 0.2}})
    alone = synthesise(scenario(TWO_WEEKS, 1, made=made), 0)
    with at_once(100, 500):
        parts = list(synthesise_parts(scenario(TWO_WEEKS, 1, made=made, notes={"trace": {"file": file}}), 0))
    assert len(parts) > 10
    beside = joined([part.rows(part.workload == 0) for part, _ in parts])
    for name in ("arrival_s", "prompt_tokens", "output_tokens"):
        np.testing.assert_array_equal(getattr(beside, name), getattr(alone, name))


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    days=st.sampled_from([0.2, 3, 10, 21]),
    align=st.sampled_from(["start", "week"]),
    speed=st.sampled_from([0.3, 1.0, 5.0]),
    repeat=st.booleans(),
    start=st.sampled_from(["2027-10-25", "2027-10-28"]),
)
def test_how_many_come_is_known_before_any_is_read(tmp_path, days, align, speed, repeat, start):
    """To what an hour of the trace holds at most, in every cell and so in all."""
    week = align == "week"
    file = written(tmp_path / f"{days}.parquet", days * DAY_S, size=2_000)
    replay = {"align": align, "repeat": repeat and not (week and days < 7), **({} if week else {"speed": speed})}
    demand = scenario({**TWO_WEEKS, "start": start}, notes={"trace": {"file": file, **replay}})
    load, cells = demand.workloads["notes"], ClinicalCalendar(demand.horizon).cells
    came = np.concatenate([part.arrival_s for part in replayed(load, cells)])
    seen = np.array([(came < edge).sum() for edge in cells.start_s.tolist()])
    before = np.concatenate([[0.0], np.cumsum(expected_replayed(load, cells))[:-1]])
    busiest = recording(file).hours.requests.reshape(-1).max() * 2
    # An hour of the clock that happens twice, and the share of an hour in which a repetition begins.
    copies = 1 + cells.end_s * speed / (days * DAY_S) if repeat else 1
    assert np.abs(seen - before).max() <= busiest * 2 + copies * busiest * (days == 0.2)
    assert room_for(demand) > len(came)


def test_what_changes_on_disk_meanwhile_is_not_taken_for_the_same(tmp_path):
    file = written(tmp_path / "t.parquet", WEEK_S)
    with at_once(10, 1000):
        known = recording(file)
        next(iter(known.parts()))
        written(tmp_path / "t.parquet", WEEK_S, seed=1)
        with pytest.raises(TraceError, match=r"t\.parquet: was changed while it was replayed"):
            next(iter(known.parts()))


def test_more_than_can_be_simulated_is_said_at_once(tmp_path):
    """An hour again and again, at a thousand times its speed."""
    file = written(tmp_path / "t.csv", 3600.0, size=3_000)
    demand = scenario(
        {"start": "2027-01-04", "duration": "52w"}, notes={"trace": {"file": file, "align": "start", "speed": 1000}}
    )
    with pytest.raises(ScenarioError, match="26,208,000,000 requests are too many"):
        next(synthesise_parts(demand, 0))


@pytest.mark.parametrize("limit", [None, 60])
def test_sums_are_those_of_the_table(tmp_path, limit):
    file = written(tmp_path / "t.parquet", 10 * DAY_S)
    load = {"trace": {"file": file, "workloads": ["scans"]}, **({"max_tokens": limit} if limit else {})}
    demand = scenario(TWO_WEEKS, scans=load)
    whole = recording(file).held
    table = whole.rows(whole.workload == whole.workloads.index("scans"))
    most = table.max_tokens if limit is None else limit
    with at_once(7, 100):
        found = content(demand.workloads["scans"])
        brought = played(demand.workloads["scans"], demand)
        came = synthesise(demand, 0)
    for counted, tokens in (
        (found.prompt, table.prompt_tokens),
        (found.answered, table.prompt_tokens + np.minimum(table.output_tokens, most)),
        (found.reserved, table.prompt_tokens + most),
    ):
        np.testing.assert_array_equal(np.repeat(counted.value, counted.count), np.sort(tokens))
        assert counted.share_above(700) == pytest.approx(np.mean(tokens > 700))
    first = table.rows(table.arrival_s < WEEK_S)
    assert (found.repeated.requests, found.repeated.prompt_tokens) == (len(first), first.prompt_tokens.sum())
    assert brought.measured.requests == len(came)
    assert (
        brought.measured.prompt_tokens
        == came.prompt_tokens.sum()
        == pytest.approx(brought.cell_tokens.sum() - brought.measured.output_tokens)
    )
