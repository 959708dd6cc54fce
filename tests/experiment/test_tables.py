from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.engine.record import Outcome, Reason, ReplicaLevels, RequestLog, RunRecord
from simulator.experiment import checkpoint
from simulator.experiment.tables import RequestWriter, Tables, join_tables, write_tables
from tests.engine.demand import table

SIZE = 40
BACKENDS, DECISIONS, LOADS = ("cluster", "api"), ("preferred", "next with room"), ("notes", "letters", "never")


@pytest.fixture(scope="module")
def demand():
    # The first half is of one workload alone.
    return table(np.arange(SIZE), workload=[0] * (SIZE // 2) + [1, 0] * (SIZE // 4), workloads=LOADS)


@pytest.fixture(scope="module")
def record(demand):
    log = RequestLog.empty(SIZE)
    rng = np.random.default_rng(1)
    log.outcome[:] = rng.integers(0, len(Outcome), SIZE)
    log.lost[:] = rng.integers(0, len(Reason), SIZE)
    # Stamps, backends and decisions that nobody has before the last quarter.
    late = slice(3 * SIZE // 4, None)
    log.first_token_s[late] = demand.arrival_s[late] + 1.0
    log.backend[late] = log.decision[late] = 1
    hours = np.arange(2.0)
    levels = ReplicaLevels(3600.0, hours, hours, hours, hours, steps=1, preemptions=0, kv_blocks=100, max_num_seqs=4)
    return RunRecord(BACKENDS, 7200.0, log, (levels, levels), DECISIONS)


def write_parts(kept, record, demand, cuts):
    with RequestWriter(kept, LOADS, BACKENDS) as writer:
        for low, high in pairwise([0, *cuts, SIZE]):
            # A reason is known from when it first was one.
            known = DECISIONS[:1] if high <= 3 * SIZE // 4 else DECISIONS
            writer.add(demand.rows(slice(low, high)), record.log.rows(slice(low, high)), known)
        writer.finish(record.levels)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@settings(max_examples=10)
@given(cuts=st.lists(st.integers(0, SIZE), max_size=4).map(sorted))
def test_law_a_table_written_in_parts_reads_as_the_whole(tmp_path_factory, record, demand, cuts):
    folder = tmp_path_factory.mktemp("tables")
    write_tables(folder / "whole.json", record, demand)
    write_parts(folder / "parts.json", record, demand, cuts)
    assert len(names(folder)) == 4
    whole, parts = (Tables({"a": folder / name}) for name in ("whole.json", "parts.json"))
    # Dictionaries too, which have names that a part lacks.
    pd.testing.assert_frame_equal(parts.requests(), whole.requests())
    pd.testing.assert_frame_equal(parts.levels(), whole.levels())
    assert list(parts.requests()["workload"].cat.categories) == list(LOADS)
    for kind in ("whole", "parts"):
        path = checkpoint.table_path(folder / f"{kind}.json", "requests")
        join_tables({"a": path, "absent": folder / "absent", "b": path}, folder / kind)
    joined, joined_parts = (pd.read_parquet(folder / kind) for kind in ("whole", "parts"))
    pd.testing.assert_frame_equal(joined_parts, joined)
    assert list(joined["pattern"]) == ["a"] * SIZE + ["b"] * SIZE


def test_a_table_is_joined_by_the_row_groups_it_was_written_in(tmp_path, record, demand):
    write_parts(tmp_path / "run.json", record, demand, [10, 25])
    path = checkpoint.table_path(tmp_path / "run.json", "requests")
    join_tables({"a": path, "b": path}, tmp_path / "joined")
    groups = pq.ParquetFile(tmp_path / "joined").metadata
    assert [groups.row_group(number).num_rows for number in range(groups.num_row_groups)] == [10, 15, 15] * 2


def test_a_table_of_no_requests_is_a_table(tmp_path, record, demand):
    none = slice(0)
    with RequestWriter(tmp_path / "run.json", LOADS, BACKENDS) as writer:
        writer.add(demand.rows(none), record.log.rows(none), record.decisions)
        writer.finish(())
    path = checkpoint.table_path(tmp_path / "run.json", "requests")
    join_tables({"a": path}, tmp_path / "requests.parquet")
    found = Tables(run=tmp_path).requests()
    assert len(found) == 0
    assert list(found)[:2] == ["pattern", "workload"]
    assert not checkpoint.table_path(tmp_path / "run.json", "levels").exists()


def test_a_table_is_whole_or_absent(tmp_path, record, demand):
    half = slice(SIZE // 2)
    place = checkpoint.table_path(tmp_path / "run.json", "requests")

    def fail():
        with RequestWriter(tmp_path / "run.json", LOADS, BACKENDS) as writer:
            writer.add(demand.rows(half), record.log.rows(half), record.decisions)
            # What a process that is killed here leaves.
            assert not place.exists()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert names(tmp_path) == []


def test_requests_come_after_levels_because_they_say_that_both_are_there(tmp_path, record, demand):
    with RequestWriter(tmp_path / "run.json", LOADS, BACKENDS) as writer:
        writer.add(demand, record.log, record.decisions)
        with pytest.raises(AttributeError, match="NoneType"):
            writer.finish([None])
    assert names(tmp_path) == []


def test_a_failed_attempt_leaves_the_older_table(tmp_path, record, demand):
    write_tables(tmp_path / "run.json", record, demand)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with RequestWriter(tmp_path / "run.json", LOADS, BACKENDS) as writer:
        writer.add(demand.rows(slice(1)), record.log.rows(slice(1)), record.decisions)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_row_groups_are_those_of_one_pattern_and_some_columns(tmp_path, record, demand):
    write_parts(tmp_path / "a.json", record, demand, [15])
    write_parts(tmp_path / "b.json", record, demand, [])
    kept = {"a": tmp_path / "a.json", "b": tmp_path / "b.json"}
    (tmp_path / "run").mkdir()
    join_tables(
        {name: checkpoint.table_path(path, "requests") for name, path in kept.items()},
        tmp_path / "run/requests.parquet",
    )
    for tables in (Tables(kept, shared={"c": "a"}), Tables(run=tmp_path / "run", shared={"c": "a"})):
        assert [len(group) for group in tables.row_groups()] == [15, SIZE - 15, SIZE]
        for name, sizes in (("a", [15, SIZE - 15]), ("b", [SIZE]), ("c", [15, SIZE - 15])):
            groups = list(tables.row_groups(pattern=name, columns=["arrival_s"]))
            assert [len(group) for group in groups] == sizes
            np.testing.assert_array_equal(np.concatenate([group["arrival_s"] for group in groups]), demand.arrival_s)
    assert list(Tables(run=tmp_path / "run").row_groups("levels")) == []
