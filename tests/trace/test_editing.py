"""Traces out of traces: nothing is lost, and time is where it belongs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator.errors import TraceError
from simulator.trace.canonical import read_trace, write_chunks
from simulator.trace.checks import OPTIONAL, REQUIRED
from simulator.trace.editing import cut, header_of, merge, scale, shift
from simulator.trace.header import TraceHeader
from simulator.trace.importers import spill
from simulator.trace.request_table import RequestTable
from tests.cli.command import run

QUIET = settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
SPAN_S = 100_000.0
#: Milliseconds, so that nothing is rounded.
ARRIVALS = st.lists(st.integers(0, 99_999_999), max_size=60).map(lambda ms: np.sort(np.array(ms, np.float64)) / 1000)


def table(arrival_s, names=("notes", "letters")):
    size = len(arrival_s)
    return RequestTable(
        workloads=names,
        arrival_s=np.asarray(arrival_s, np.float64),
        workload=(np.arange(size) % len(names)).astype(np.int16),
        prompt_tokens=np.arange(1, size + 1, dtype=np.int32),
        output_tokens=np.full(size, 10, np.int32),
        max_tokens=np.full(size, 4096, np.int32),
        prefix_id=(np.arange(size) % 3 - 1).astype(np.int32),
        prefix_tokens=np.where(np.arange(size) % 3 > 0, 1, 0).astype(np.int32),
        priority=np.full(size, 3, np.int8),
    )


def written(folder, arrival_s, name="t.parquet", span_s=SPAN_S, names=("notes", "letters"), **about):
    folder.mkdir(exist_ok=True)
    path = folder / name
    header = TraceHeader("made here", "CC0-1.0", span_s, 0, (*REQUIRED, *OPTIONAL), "", **about)
    write_chunks([table(arrival_s, names)], path, header)
    return path


def rows(trace):
    """All of each request, however workloads and prefixes are numbered."""
    columns = [trace.arrival_s.tolist(), [trace.workloads[index] for index in trace.workload]]
    columns += [
        getattr(trace, name).tolist() for name in ("prompt_tokens", "output_tokens", "prefix_tokens", "priority")
    ]
    return list(zip(*columns, strict=True))


@QUIET
@given(ARRIVALS, st.integers(1, 99_999))
def test_the_parts_of_a_trace_are_the_whole(tmp_path, arrival_s, middle_s):
    path = written(tmp_path / "a", arrival_s, week_offset_s=12_345.0, time_zone="UTC")
    cut(path, tmp_path / "one.csv", start_s=0.0, end_s=float(middle_s), workloads=())
    header = cut(path, tmp_path / "two.parquet", start_s=float(middle_s), end_s=None, workloads=())
    assert header.span_s == SPAN_S - middle_s
    assert header.week_offset_s == 12_345.0 + middle_s
    whole = merge([tmp_path / "one.csv", tmp_path / "two.parquet"], tmp_path / "all.parquet")
    assert whole.span_s == SPAN_S
    assert whole.week_offset_s == 12_345.0
    ours, theirs = rows(read_trace(tmp_path / "all.parquet")), rows(read_trace(path))
    assert [row[1:] for row in sorted(ours)] == [row[1:] for row in sorted(theirs)]
    assert [row[0] for row in ours] == pytest.approx([row[0] for row in theirs], abs=1e-8)


@QUIET
@given(ARRIVALS, ARRIVALS)
def test_a_merge_has_the_requests_of_all_and_shares_no_prefix_among_them(tmp_path, one, other):
    paths = [written(tmp_path / "a", one, names=("notes",)), written(tmp_path / "b", other, names=("letters", "notes"))]
    header = merge(paths, tmp_path / "m.csv")
    merged = read_trace(tmp_path / "m.csv")
    assert header.week_offset_s is None
    assert sorted(rows(merged)) == sorted(rows(read_trace(paths[0])) + rows(read_trace(paths[1])))
    groups = [set(read_trace(path).prefix_id.tolist()) - {-1} for path in paths]
    assert len(set(merged.prefix_id.tolist()) - {-1}) == sum(map(len, groups))


def test_a_merge_keeps_the_hour_of_the_week(tmp_path):
    one = written(tmp_path / "a", [0.0], week_offset_s=7200.0, time_zone="UTC", start_date="2026-11-23")
    other = written(tmp_path / "b", [0.0], week_offset_s=3600.0, time_zone="UTC", start_date="2026-11-23")
    header = merge([one, other], tmp_path / "m.csv")
    assert read_trace(tmp_path / "m.csv").arrival_s.tolist() == [0.0, 3600.0]
    assert (header.week_offset_s, header.start_date, header.span_s) == (3600.0, None, SPAN_S + 3600)
    third = written(tmp_path / "c", [0.0], week_offset_s=3600.0, time_zone="Europe/Berlin")
    with pytest.raises(TraceError, match="time zones differ"):
        merge([one, third], tmp_path / "m2.csv")
    assert not (tmp_path / "m2.csv").exists()


@QUIET
@given(ARRIVALS, st.integers(-50_000, 50_000))
def test_a_shift_around_the_end_can_be_undone(tmp_path, arrival_s, by_s):
    path = written(tmp_path / "a", arrival_s)
    shift(path, tmp_path / "b.parquet", float(by_s), wrap=True)
    shift(tmp_path / "b.parquet", tmp_path / "c.parquet", float(-by_s), wrap=True)
    assert sorted(rows(read_trace(tmp_path / "c.parquet"))) == sorted(rows(read_trace(path)))
    moved = np.sort((np.round(arrival_s * 1000) + by_s * 1000) % (SPAN_S * 1000)) / 1000
    assert read_trace(tmp_path / "b.parquet").arrival_s.tolist() == pytest.approx(moved.tolist(), abs=1e-8)


def test_a_shift_moves_the_span_and_never_before_the_start(tmp_path):
    path = written(tmp_path / "a", [10.0, 20.0])
    assert shift(path, tmp_path / "b.csv", 5.0, wrap=False).span_s == SPAN_S + 5
    assert read_trace(tmp_path / "b.csv").arrival_s.tolist() == [15.0, 25.0]
    shift(path, tmp_path / "b.csv", -10.0, wrap=False)
    assert read_trace(tmp_path / "b.csv").arrival_s.tolist() == [0.0, 10.0]
    with pytest.raises(TraceError, match=r"first request comes at 10\.000 s"):
        shift(path, tmp_path / "c.csv", -11.0, wrap=False)
    assert not (tmp_path / "c.csv").exists()


def test_jitter_spreads_a_coarse_clock_and_no_further(tmp_path):
    path = written(tmp_path / "a", np.repeat([0.0, 3.0, 6.0], 200))
    header = shift(path, tmp_path / "b.csv", 0.0, wrap=False, jitter_s=3.0, seed=4)
    spread = read_trace(tmp_path / "b.csv")
    assert header.span_s == SPAN_S + 3
    assert len(set(spread.arrival_s.tolist())) == 600
    np.testing.assert_array_equal(np.bincount((spread.arrival_s // 3).astype(int)), [200, 200, 200])
    # Spread evenly: the mean of 600 within five standard errors.
    assert np.mean(spread.arrival_s % 3) == pytest.approx(1.5, abs=5 * 3 / np.sqrt(12 * 600))
    assert shift(path, tmp_path / "c.csv", 0.0, wrap=False, jitter_s=3.0, seed=4).sha256 == header.sha256


@pytest.mark.parametrize("factor", [0.25, 1.0, 2.0, 3.5])
def test_scaling_thins_and_superposes(tmp_path, factor):
    rng = np.random.default_rng(3)
    path = written(tmp_path / "a", np.sort(rng.uniform(0, SPAN_S, 4000)))
    whole = read_trace(path)
    header = scale(path, tmp_path / "b.parquet", factor, seed=1, within_s=600.0)
    scaled = read_trace(tmp_path / "b.parquet")
    assert header.span_s == SPAN_S
    share = factor % 1.0
    # Within five standard deviations of the binomial count.
    assert abs(len(scaled) - 4000 * factor) <= 5 * np.sqrt(4000 * share * (1 - share))
    counts = np.bincount(scaled.prompt_tokens, minlength=4001)[1:]
    assert set(counts) <= {int(factor), int(factor) + (share > 0)}
    if factor == 1.0:
        assert [row[1:] for row in rows(scaled)] == [row[1:] for row in rows(whole)]
        assert scaled.arrival_s.tolist() == pytest.approx(whole.arrival_s.tolist(), abs=1e-9)
    if factor > 1:
        # No two copies fall on one another, and none is further from its place than it may be.
        first = scaled.arrival_s[scaled.prompt_tokens == 1]
        assert len(set(first.tolist())) == len(first)
        away = np.abs(first - whole.arrival_s[0])
        assert np.minimum(away, SPAN_S - away).max() <= 600
        assert len(set(scaled.prefix_id.tolist()) - {-1}) == 2 * np.ceil(factor)
    again = scale(path, tmp_path / "c.parquet", factor, seed=1, within_s=600.0)
    assert again.sha256 == header.sha256
    if factor != 1.0:
        assert scale(path, tmp_path / "d.parquet", factor, seed=2, within_s=600.0).sha256 != header.sha256


def test_superposition_keeps_bursts(tmp_path):
    # Trains of ten requests: laid over each other they stay trains, where jitter of each would make them Poisson.
    trains = np.concatenate([start + np.arange(10) * 0.01 for start in range(0, 90_000, 900)])
    path = written(tmp_path / "a", trains)
    scale(path, tmp_path / "b.parquet", 2.0, seed=1, within_s=300.0)
    gaps = np.diff(read_trace(tmp_path / "b.parquet").arrival_s)
    assert (gaps < 0.02).sum() == 2 * 9 * 100


def test_traces_longer_than_memory_are_sorted_in_runs(tmp_path, monkeypatch):
    rng = np.random.default_rng(4)
    path = written(tmp_path / "a", np.sort(rng.integers(0, 90_000, 5000).astype(np.float64)))
    shift(path, tmp_path / "b.parquet", 30_000.0, wrap=True)
    monkeypatch.setattr(spill, "RUN_ROWS", 512)
    monkeypatch.setattr(spill, "PIECE_ROWS", 64)
    monkeypatch.setattr("simulator.trace.canonical.CHUNK_ROWS", 300)
    shift(path, tmp_path / "c.parquet", 30_000.0, wrap=True)
    one, other = read_trace(tmp_path / "b.parquet"), read_trace(tmp_path / "c.parquet")
    for field in (one for one in dataclasses.fields(RequestTable) if one.name != "nesting"):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name), field.name)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a", "b.parquet", "b.yaml", "c.parquet", "c.yaml"]


def test_cutting_by_workload_and_its_faults(tmp_path, capsys):
    about = {"week_offset_s": 86_400 * 6.5, "start_date": "2026-11-29", "time_zone": "UTC"}
    path = written(tmp_path / "a", np.arange(10.0), **about)
    target = str(tmp_path / "b.csv")
    code, out, _ = run(["trace", "cut", str(path), target, "--workload", "letters", "--from", "2s"], capsys)
    assert (code, out) == (0, f"{target}: 4 requests, 99,998 s\n")
    assert read_trace(tmp_path / "b.csv").arrival_s.tolist() == [1.0, 3.0, 5.0, 7.0]
    cut(path, tmp_path / "c.csv", start_s=43_200.0, end_s=None, workloads=())
    assert header_of(tmp_path / "c.csv").start_date == "2026-11-30"
    assert header_of(tmp_path / "c.csv").week_offset_s == 0.0
    for options, message in [
        (("--workload", "lab"), "--workload lab: expected one of letters, notes"),
        (("--from", "2d"), "expected a stretch between 0 and 100,000 s"),
        (("--from", "5s", "--to", "5s"), "expected a stretch"),
        (("--to", "5"), "expected a duration such as"),
        (("--to", "5 parsecs"), "expected a duration"),
    ]:
        code, _, err = run(["trace", "cut", str(path), str(tmp_path / "d.csv"), *options], capsys)
        assert code == 2
        assert message in " ".join(err.replace("│", " ").split())
    assert not (tmp_path / "d.csv").exists()


def test_the_commands(tmp_path, capsys):
    path = str(written(tmp_path / "a", np.arange(10.0)))
    target = str(tmp_path / "b.parquet")
    assert run(["trace", "merge", path, path, "-o", target], capsys)[1] == f"{target}: 20 requests, 100,000 s\n"
    assert run(["trace", "scale", path, target, "--factor", "3"], capsys)[1] == f"{target}: 30 requests, 100,000 s\n"
    assert run(["trace", "shift", path, target, "--by", "1h"], capsys)[1] == f"{target}: 10 requests, 103,600 s\n"
    assert run(["trace", "shift", path, target, "--by", "-1h", "--wrap"], capsys)[0] == 0
    assert run(["trace", "shift", path, target, "--by", "-1h"], capsys)[0] == 2
    assert run(["trace", "validate", target], capsys)[0] == 0


def test_a_trace_without_a_header_can_be_changed(tmp_path):
    path = written(tmp_path / "a", [1.0, 2.5])
    path.with_suffix(".yaml").unlink()
    header = shift(path, tmp_path / "b.csv", 1.0, wrap=False)
    assert (header.source, header.span_s) == ("not stated", 4.0)


def test_levels_of_prefixes_stay_with_their_requests(tmp_path):
    columns = "arrival_s,workload,prompt_tokens,output_tokens,prefix_id,prefix_tokens,outer_prefixes\n"
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    first.write_text(columns + "0,a,900,9,7,800,0:100 3:400\n5,a,900,9,3,400,0:100\n")
    second.write_text(columns.replace(",outer_prefixes", "") + "1,b,900,9,7,800\n")
    merge([first, second], tmp_path / "both.parquet")
    both = read_trace(tmp_path / "both.parquet")
    outer = [[tokens for _, tokens in both.nesting.outer(one)] for one in both.prefix_id.tolist()]
    assert outer == [[100, 400], [], [100]]
    assert len(set(both.prefix_id.tolist())) == 3
    assert both.nesting.outer(int(both.prefix_id[0]))[1][0] == both.prefix_id[2]
    cut(tmp_path / "both.parquet", tmp_path / "part.csv", start_s=4.0, end_s=None, workloads=())
    part = read_trace(tmp_path / "part.csv")
    assert [len(part.nesting.outer(one)) for one in part.prefix_id.tolist()] == [1]
