import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator.errors import TraceError
from simulator.trace.canonical import read_trace, write_trace
from simulator.trace.checks import OPTIONAL, REQUIRED
from simulator.trace.header import read_header
from simulator.trace.request_table import RequestTable

SECRET = "Jane Doe, born 1950"


def some_table(arrival_s):
    size = len(arrival_s)
    rng = np.random.default_rng(size)
    prompt = rng.integers(1, 10**7, size, dtype=np.int32)
    output = rng.integers(1, 5000, size, dtype=np.int32)
    return RequestTable(
        workloads=("notes", "letters"),
        arrival_s=np.sort(np.asarray(arrival_s, np.float64)),
        workload=np.arange(size, dtype=np.int16) % 2,
        prompt_tokens=prompt,
        output_tokens=output,
        max_tokens=output + 7,
        prefix_id=np.arange(size, dtype=np.int32) - 1,
        prefix_tokens=np.where(np.arange(size) > 0, prompt // 2, 0).astype(np.int32),
        priority=np.full(size, 2, np.int8),
        thinking_tokens=(output * (np.arange(size) % 3) // 2 * (size % 2)).astype(np.int32),
    )


def assert_same(left, right):
    assert [left.workloads[i] for i in left.workload] == [right.workloads[i] for i in right.workload]
    for field in dataclasses.fields(RequestTable):
        if field.name not in ("workloads", "workload", "nesting", "links"):
            ours, theirs = getattr(left, field.name), getattr(right, field.name)
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)
    ids = np.unique(left.prefix_id).tolist()
    assert [left.nesting.outer(one) for one in ids] == [right.nesting.outer(one) for one in ids]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.floats(0, 1e7), max_size=20))
def test_what_is_written_is_read(tmp_path, suffix, arrival_s):
    path = tmp_path / f"month{suffix}"
    table = some_table(arrival_s)
    header = write_trace(table, path, source="synthetic: two workloads", licence="CC0-1.0", span_s=1e7 + 1)
    assert read_header(path) == header
    assert header.rows == len(table)
    assert_same(table, read_trace(path))
    assert {entry.name for entry in tmp_path.iterdir()} <= {f"month{s}" for s in (".csv", ".parquet", ".yaml")}


def csv(tmp_path, text):
    path = tmp_path / "t.csv"
    path.write_text(text)
    return path


def test_absent_columns_have_defaults(tmp_path):
    rows = "workload,output_tokens,prompt_tokens,arrival_s\nnotes,9000,10,0.5\nnotes,5,1,0.5\n"
    table = read_trace(csv(tmp_path, rows))
    assert table.max_tokens.tolist() == [9000, 4096]
    assert table.prefix_id.tolist() == [-1, -1]
    assert table.prefix_tokens.tolist() == [0, 0]
    assert table.priority.tolist() == [3, 3]


HEAD = "arrival_s,workload,prompt_tokens,output_tokens,prefix_id,prefix_tokens,max_tokens,priority\n"
GOOD = "0.5,notes,10,5,1,4,8,3\n"


@pytest.mark.parametrize(
    ("row", "place"),
    [
        (f"{SECRET},notes,10,5,1,4,8,3", "row 2, column arrival_s"),
        ("nan,notes,10,5,1,4,8,3", "row 2, column arrival_s"),
        ("inf,notes,10,5,1,4,8,3", "row 2, column arrival_s"),
        ("-1,notes,10,5,1,4,8,3", "row 2, column arrival_s"),
        ("0.4,notes,10,5,1,4,8,3", "row 2, column arrival_s: arrivals must ascend"),
        (f"1,{SECRET},10,5,1,4,8,3".replace(", ", " "), "row 2, column workload"),
        ("1,,10,5,1,4,8,3", "row 2, column workload"),
        ("1,notes,0,5,1,0,8,3", "row 2, column prompt_tokens"),
        ("1,notes,1.5,5,1,0,8,3", "row 2, column prompt_tokens"),
        ("1,notes,10,0,1,4,8,3", "row 2, column output_tokens"),
        ("1,notes,10,9,1,4,8,3", "row 2, column output_tokens: expected no more than max_tokens"),
        ("1,notes,10,5,1,16,8,3", "row 2, column prefix_tokens: expected no more than prompt_tokens and output_tokens"),
        ("1,notes,10,5,-1,4,8,3", "row 2, column prefix_tokens: expected 0 without a prefix_id"),
        ("1,notes,10,5,1,4,8,4", "row 2, column priority"),
        ("1,notes,10,5,1,4,8", "row 2, column priority"),
    ],
)
def test_a_fault_names_row_and_column_and_no_content(tmp_path, row, place):
    with pytest.raises(TraceError) as caught:
        read_trace(csv(tmp_path, HEAD + GOOD + row.replace(SECRET, f'"{SECRET}"') + "\n"))
    assert place in str(caught.value)
    assert "Jane" not in str(caught.value)


def test_an_unknown_column_is_named_by_position_only(tmp_path):
    for text in (f"arrival_s,workload,{SECRET},output_tokens\n", f'"{SECRET}"\n'):
        with pytest.raises(TraceError, match="unknown column at position") as caught:
            read_trace(csv(tmp_path, text))
        assert "Jane" not in str(caught.value)
        assert "missing column prompt_tokens" in str(caught.value)


def test_rows_that_are_too_long_and_files_of_another_kind_are_refused(tmp_path):
    for text in (HEAD + GOOD.strip() + f",{SECRET}\n", HEAD + GOOD + GOOD.strip() + f",{SECRET}\n", ""):
        with pytest.raises(TraceError) as caught:
            read_trace(csv(tmp_path, text))
        assert "Jane" not in str(caught.value)
    binary = tmp_path / "b.parquet"
    binary.write_text(SECRET)
    with pytest.raises(TraceError, match="not readable as parquet"):
        read_trace(binary)
    with pytest.raises(TraceError, match="no such file"):
        read_trace(tmp_path / "absent.csv")
    with pytest.raises(TraceError, match=r"\.csv or a \.parquet"):
        read_trace(tmp_path / "absent.txt")


def test_timestamps_in_parquet_are_not_seconds(tmp_path):
    path = tmp_path / "t.parquet"
    frame = pd.DataFrame({"arrival_s": pd.to_datetime(["2027-04-01"]), "workload": ["notes"], "prompt_tokens": [1]})
    frame.assign(output_tokens=[1]).to_parquet(path)
    with pytest.raises(TraceError, match="column arrival_s: expected numbers"):
        read_trace(path)


def test_a_trace_changed_after_it_was_written_is_refused(tmp_path):
    path = tmp_path / "t.csv"
    write_trace(some_table([1.0, 2.0]), path, source="s", licence="l", span_s=10.0)
    path.write_text(path.read_text().replace("notes", "note"))
    with pytest.raises(TraceError, match="checksum"):
        read_trace(path)


def test_arrivals_lie_inside_the_span(tmp_path):
    path = tmp_path / "t.csv"
    write_trace(some_table([1.0, 10.0]), path, source="s", licence="l", span_s=10.0)
    with pytest.raises(TraceError, match=r"row 2, column arrival_s: expected less than the header's span_s"):
        read_trace(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("rows: 2", "rows: two"), "rows: expected int"),
        (("rows: 2", "rows: 3"), "2 rows, but its header says 3"),
        (("licence: l\n", ""), "missing key licence"),
        (("licence: l\n", "licence: l\nnote: x\n"), "unknown key"),
        (("schema_version: 1", "schema_version: 2"), "schema_version: expected 1"),
        (("span_s: 10.0", "span_s: .nan"), "span_s: expected a positive number"),
        (("- priority\n", ""), "its columns differ from its header's"),
        (("licence: l", "licence: [l"), "not readable as yaml"),
    ],
)
def test_a_wrong_header_is_refused(tmp_path, change, message):
    path = tmp_path / "t.csv"
    write_trace(some_table([1.0, 2.0]), path, source="s", licence="l", span_s=10.0)
    beside = path.with_suffix(".yaml")
    assert change[0] in beside.read_text()
    beside.write_text(beside.read_text().replace(*change))
    with pytest.raises(TraceError, match=message):
        read_trace(path)


def test_columns_are_the_contract():
    assert REQUIRED == ("arrival_s", "workload", "prompt_tokens", "output_tokens")
    assert set(OPTIONAL) == {"prefix_id", "prefix_tokens", "max_tokens", "priority"}


NESTED = "arrival_s,workload,prompt_tokens,output_tokens,prefix_id,prefix_tokens,outer_prefixes\n"


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_prefixes_that_begin_with_others_are_kept(tmp_path, suffix):
    """Patient 7 follows template 3, which follows hospital prompt 0; 3 also stands alone, and 5 begins with nothing."""
    table = read_trace(
        csv(tmp_path, NESTED + "0,a,900,9,7,800,0:100 3:400\n1,a,900,9,3,400,0:100\n2,a,900,9,5,10,\n3,a,9,9,-1,0,\n")
    )
    assert [table.nesting.outer(one) for one in (7, 3, 0, 5)] == [((0, 100), (3, 400)), ((0, 100),), (), ()]
    path = tmp_path / f"again{suffix}"
    header = write_trace(table, path, source="s", licence="l", span_s=10.0)
    assert header.columns[-1] == "outer_prefixes"
    assert_same(table, read_trace(path))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("0,a,900,9,7,800,0-100", "row 1, column outer_prefixes: expected"),
        ("0,a,900,9,7,800,0:100 3:100", "row 1, column outer_prefixes: expected"),
        ("0,a,900,9,7,800,x:100", "row 1, column outer_prefixes: expected"),
        ("0,a,900,9,-1,0,0:100", "row 1, column outer_prefixes: expected"),
        ("0,a,900,9,7,800,-4:100", "row 1, column outer_prefixes: expected"),
        ("0,a,900,9,7,800,0:100\n1,a,900,9,7,800,0:99", "row 2, column outer_prefixes: a prefix begins with the same"),
        ("0,a,900,9,7,800,0:100\n1,a,900,9,7,800,", "row 2, column outer_prefixes: a prefix begins with the same"),
        (
            "0,a,900,9,7,800,0:100 3:400\n1,a,900,9,3,400,",
            "row 2, column outer_prefixes: a prefix begins with the same",
        ),
        (f"0,a,900,9,7,800,{SECRET}", "row 1, column outer_prefixes: expected"),
    ],
)
def test_wrong_levels_are_refused_by_row(tmp_path, rows, message):
    path = csv(tmp_path, NESTED)
    path.write_text(NESTED + rows.replace(SECRET, f'"{SECRET}"') + "\n")
    with pytest.raises(TraceError, match=message) as refused:
        read_trace(path)
    assert "Jane" not in str(refused.value)
