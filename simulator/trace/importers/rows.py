"""Requests on their way from a log to a trace: columns of numbers, in the order of the source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from simulator.trace.checks import DEFAULT_MAX_TOKENS, DEFAULT_PRIORITY
from simulator.trace.importers.values import NS
from simulator.trace.request_table import RequestTable

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

#: One array for each of `KINDS`, all of one length.
Rows: TypeAlias = "dict[str, NDArray[Any]]"

#: `time_ns` counts from 1970 or from a zero of the source's own; `identity` tells requests apart, 0 where unknown;
#: of a prompt, `cached` tokens came from a prompt cache, and `stored` were in it afterwards, as the log says.
KINDS: Final[dict[str, type[np.generic]]] = {
    "time_ns": np.int64, "workload": np.int16, "prompt_tokens": np.int32, "output_tokens": np.int32,
    "prefix_id": np.int32, "prefix_tokens": np.int32, "max_tokens": np.int32, "priority": np.int8,
    "identity": np.int64, "cached": np.int32, "stored": np.int32, "thinking_tokens": np.int32,
}  # fmt: skip
NOT_IN_TABLES: Final = ("identity", "cached", "stored")
#: What stands where a source does not say.
UNKNOWN: Final = {
    "workload": 0, "prefix_id": -1, "prefix_tokens": 0, "max_tokens": 0, "priority": 0, "identity": 0, "cached": 0,
    "stored": 0, "thinking_tokens": 0,
}  # fmt: skip


def make_rows(time_ns: ArrayLike, prompt_tokens: ArrayLike, output_tokens: ArrayLike, **known: ArrayLike) -> Rows:
    """Columns of which all that is not given is unknown."""
    given = {"time_ns": time_ns, "prompt_tokens": prompt_tokens, "output_tokens": output_tokens, **known}
    size = len(np.asarray(time_ns))
    return {
        name: np.asarray(given[name]).astype(kind) if name in given else np.full(size, UNKNOWN[name], kind)
        for name, kind in KINDS.items()
    }


def join_rows(parts: list[Rows]) -> Rows:
    """One after the other."""
    return {name: np.concatenate([part[name] for part in parts]) for name in KINDS}


def take_rows(rows: Rows, index: NDArray[Any]) -> Rows:
    """Those at these places, or where true."""
    return {name: column[index] for name, column in rows.items()}


def as_table(rows: Rows, workloads: tuple[str, ...], first_ns: int = 0) -> RequestTable:
    """Rows sorted by time as requests that arrive after this moment."""
    output = rows["output_tokens"]
    limit = np.where(
        rows["max_tokens"] > 0, np.maximum(rows["max_tokens"], output), np.maximum(output, DEFAULT_MAX_TOKENS)
    )
    return RequestTable(
        workloads=workloads,
        arrival_s=(rows["time_ns"] - first_ns) / NS,
        workload=rows["workload"],
        prompt_tokens=rows["prompt_tokens"],
        output_tokens=output,
        max_tokens=limit.astype(np.int32),
        prefix_id=rows["prefix_id"],
        prefix_tokens=rows["prefix_tokens"],
        priority=np.where(rows["priority"] > 0, rows["priority"], DEFAULT_PRIORITY).astype(np.int8),
        thinking_tokens=rows["thinking_tokens"],
    )


def as_rows(table: RequestTable) -> Rows:
    """Requests as rows, their times to the nanosecond."""
    columns = {name: getattr(table, name) for name in KINDS if name not in ("time_ns", *NOT_IN_TABLES)}
    return make_rows(np.round(table.arrival_s * NS).astype(np.int64), **columns)
