"""The canonical trace: a table of requests as CSV or Parquet, with a header beside it that says what it is.

Readers refuse what they do not know. A message names row and column, never what stands there, because a file in
the wrong format may hold text of patients; for the same reason an unknown column is named by its position.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import numpy as np

from simulator.errors import TraceError
from simulator.workload.request import RequestTable
from simulator.workload.trace_header import TraceHeader, read_header, replacing, write_header

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

REQUIRED = ("arrival_s", "workload", "prompt_tokens", "output_tokens")
OPTIONAL = ("prefix_id", "prefix_tokens", "max_tokens", "priority")

#: Lowest and highest value of each whole-number column.
_BOUNDS = {
    "prompt_tokens": (1, 10**7), "output_tokens": (1, 10**7), "prefix_id": (-1, 2**31 - 1),
    "prefix_tokens": (0, 10**7), "max_tokens": (1, 10**7), "priority": (1, 3),
}  # fmt: skip
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_DEFAULT_MAX_TOKENS = 4096
_DEFAULT_PRIORITY = 3


def write_trace(table: RequestTable, path: Path, *, source: str, licence: str, span_s: float) -> TraceHeader:
    """Write a table as `.csv` or `.parquet` and its header as `.yaml`; each appears whole or not at all.

    Raises:
        TraceError: Neither CSV nor Parquet.
    """
    import pandas as pd

    names = np.array(table.workloads, dtype=object)
    columns = {"workload": names[table.workload]}
    columns |= {name: getattr(table, name) for name in (*REQUIRED, *OPTIONAL) if name != "workload"}
    frame = pd.DataFrame({name: columns[name] for name in (*REQUIRED, *OPTIONAL)})
    suffix = _suffix(path)
    with replacing(path) as draft:
        if suffix == ".csv":
            frame.to_csv(draft, index=False, lineterminator="\n")
        else:
            frame.to_parquet(draft, index=False)
        checksum = _sha256(draft)
    header = TraceHeader(source, licence, span_s, len(table), (*REQUIRED, *OPTIONAL), checksum)
    write_header(header, path)
    return header


def read_trace(path: Path) -> RequestTable:
    """The requests of a canonical trace, checked against its header when there is one.

    Absent columns mean: no shared prefix, `max_tokens` of 4096 (or the output where longer), priority 3.

    Raises:
        TraceError: Everything wrong with it, the first row of each kind.
    """
    suffix, header = _suffix(path), read_header(path)
    if not path.is_file():
        raise TraceError(f"{path}: no such file")
    if header is not None and header.sha256 != _sha256(path):
        raise TraceError(f"{path}: its checksum differs from its header's: the trace was changed after it was written")
    frame = _frame(path, suffix)
    faults: list[str] = []
    columns = {name: _numbers(frame, name, faults) for name in frame.columns if name != "workload"}
    workloads, workload = _workloads(frame, faults)
    if not faults:
        faults += _relations(columns, len(frame), header)
    if faults:
        raise TraceError("\n".join(f"{path}: {fault}" for fault in faults))
    return _table(workloads, workload, columns)


def _frame(path: Path, suffix: str) -> pd.DataFrame:
    import pandas as pd

    try:
        csv = suffix == ".csv"
        frame = pd.read_csv(path, dtype=str, keep_default_na=False) if csv else pd.read_parquet(path)
    except (ValueError, OSError, pd.errors.ParserError, pd.errors.EmptyDataError):
        # The library's message may quote the file.
        raise TraceError(f"{path}: not readable as {suffix[1:]}") from None
    known = (*REQUIRED, *OPTIONAL)
    unknown = [str(position) for position, name in enumerate(frame.columns, 1) if name not in known]
    missing = [name for name in REQUIRED if name not in frame.columns]
    faults = [f"missing column {name}" for name in missing]
    if not isinstance(frame.index, pd.RangeIndex):  # what pandas makes of rows longer than the first
        faults.append("row 1: more values than columns")
    if unknown:
        faults.append(f"unknown column at position {', '.join(unknown)}; allowed are {', '.join(known)}")
    if faults:
        raise TraceError("\n".join(f"{path}: {fault}" for fault in faults))
    return frame


def _first(bad: NDArray[np.bool_]) -> int | None:
    """1-based data row of the first fault."""
    return int(np.argmax(bad)) + 1 if bad.any() else None


def _numbers(frame: pd.DataFrame, name: str, faults: list[str]) -> NDArray[np.float64]:
    import pandas as pd

    column = frame[name]
    if not (pd.api.types.is_string_dtype(column) or pd.api.types.is_numeric_dtype(column)):
        faults.append(f"column {name}: expected numbers")
        return np.zeros(len(frame))
    values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    if name == "arrival_s":
        bad, allowed = ~(np.isfinite(values) & (values >= 0)), "seconds, 0 or more"
    else:
        low, high = _BOUNDS[name]
        bad = ~((values >= low) & (values <= high) & (values == np.floor(values)))
        allowed = f"a whole number from {low:,} to {high:,}"
    if row := _first(bad):
        faults.append(f"row {row}, column {name}: expected {allowed}")
    return values


def _workloads(frame: pd.DataFrame, faults: list[str]) -> tuple[tuple[str, ...], NDArray[np.int16]]:
    import pandas as pd

    codes, names = pd.factorize(frame["workload"])
    wrong = [code for code, name in enumerate(names) if not (isinstance(name, str) and _NAME.fullmatch(name))]
    if row := _first(np.isin(codes, [-1, *wrong])):
        faults.append(f"row {row}, column workload: expected lower-case letters, digits and underscores")
    if len(names) > np.iinfo(np.int16).max:
        faults.append(f"column workload: more than {np.iinfo(np.int16).max:,} names")
    return tuple(map(str, names)), codes.astype(np.int16)


def _relations(columns: dict[str, NDArray[np.float64]], rows: int, header: TraceHeader | None) -> list[str]:
    arrival_s = columns["arrival_s"]
    checks = [("arrival_s", np.diff(arrival_s, prepend=0.0) < 0, "arrivals must ascend")]
    if "max_tokens" in columns:
        beyond = columns["output_tokens"] > columns["max_tokens"]
        checks.append(("output_tokens", beyond, "expected no more than max_tokens"))
    shared = columns.get("prefix_tokens", np.zeros(rows))
    checks.append(("prefix_tokens", shared > columns["prompt_tokens"], "expected no more than prompt_tokens"))
    nameless = (columns.get("prefix_id", np.full(rows, -1.0)) < 0) & (shared > 0)
    checks.append(("prefix_tokens", nameless, "expected 0 without a prefix_id"))
    if header is not None:
        checks.append(("arrival_s", arrival_s >= header.span_s, "expected less than the header's span_s"))
        if header.rows != rows:
            return [f"{rows} rows, but its header says {header.rows}"]
        if set(header.columns) != {"workload", *columns}:
            return ["its columns differ from its header's"]
    return [f"row {row}, column {name}: {what}" for name, bad, what in checks if (row := _first(bad))]


def _table(
    workloads: tuple[str, ...], workload: NDArray[np.int16], columns: dict[str, NDArray[np.float64]]
) -> RequestTable:
    rows = len(workload)
    defaults = {
        "prefix_id": np.full(rows, -1.0),
        "prefix_tokens": np.zeros(rows),
        "max_tokens": np.maximum(columns["output_tokens"], _DEFAULT_MAX_TOKENS),
        "priority": np.full(rows, float(_DEFAULT_PRIORITY)),
    }
    whole = {name: (defaults | columns)[name].astype(np.int32) for name in _BOUNDS}
    return RequestTable(
        workloads=workloads,
        arrival_s=columns["arrival_s"],
        workload=workload,
        prompt_tokens=whole["prompt_tokens"],
        output_tokens=whole["output_tokens"],
        max_tokens=whole["max_tokens"],
        prefix_id=whole["prefix_id"],
        prefix_tokens=whole["prefix_tokens"],
        priority=whole["priority"].astype(np.int8),
    )


def _suffix(path: Path) -> str:
    if path.suffix not in (".csv", ".parquet"):
        raise TraceError(f"{path}: a trace is a .csv or a .parquet file")
    return path.suffix


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
