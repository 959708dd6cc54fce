"""What a canonical trace may hold: its columns, their bounds, and the first fault of each kind in a file."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from simulator.trace.header import LONGEST_S
from simulator.trace.nesting import FLAT, Nesting, parsed
from simulator.trace.request_table import RequestTable

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from simulator.trace.header import TraceHeader

REQUIRED: Final = ("arrival_s", "workload", "prompt_tokens", "output_tokens")
OPTIONAL: Final = ("prefix_id", "prefix_tokens", "max_tokens", "priority")
#: Shorter prefixes that the shared one begins with; optional too, and written only where there are any.
NESTED: Final = "outer_prefixes"
#: Of the output, what a reasoning model thought before its answer; the same holds of it.
THINKING: Final = "thinking_tokens"
SOMETIMES: Final = (THINKING, NESTED)

#: Lowest and highest value of each whole-number column.
BOUNDS: Final = {
    "prompt_tokens": (1, 10**7), "output_tokens": (1, 10**7), "prefix_id": (-1, 2**31 - 1),
    "prefix_tokens": (0, 10**7), "max_tokens": (1, 10**7), "priority": (1, 3), "thinking_tokens": (0, 10**7),
}  # fmt: skip
DEFAULT_MAX_TOKENS: Final = 4096
DEFAULT_PRIORITY: Final = 3
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")


def is_workload_name(name: object) -> bool:
    """Lower-case letters, digits and underscores, at most 64."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


class Checks:
    """Turns frames into tables and remembers the first fault of each kind."""

    def __init__(self, header: TraceHeader | None) -> None:
        self.header = header
        self.faults: dict[str, str] = {}
        self.rows = 0
        self._names: dict[str, int] = {}
        self._last_s = 0.0
        self._columns: list[str] = []
        self._outer: dict[int, tuple[int, int] | None] = {}

    def table(self, frame: pd.DataFrame) -> RequestTable:
        """The next requests; none when something is wrong with them."""
        self._columns = list(map(str, frame.columns))
        if not self._known(frame):
            self.rows += len(frame)
            return empty_table()
        columns = {name: self._numbers(frame, name) for name in frame.columns if name in BOUNDS or name == "arrival_s"}
        workload = self._workloads(frame)
        if not self.faults:
            self._relations(columns, len(frame))
        nesting = self._nesting(frame, columns) if NESTED in frame.columns and not self.faults else FLAT
        self.rows += len(frame)
        if self.faults:
            return empty_table()
        return replace(table_of(tuple(self._names), workload, columns), nesting=nesting)

    def end(self) -> None:
        """What only the whole trace can show."""
        if self.header is None or self.faults:
            return
        if self.header.rows != self.rows:
            self.faults["rows"] = f"{self.rows} rows, but its header says {self.header.rows}"
        elif set(self.header.columns) != set(self._columns):
            self.faults["columns"] = "its columns differ from its header's"

    def _known(self, frame: pd.DataFrame) -> bool:
        import pandas as pd

        known = (*REQUIRED, *OPTIONAL, *SOMETIMES)
        unknown = [str(position) for position, name in enumerate(frame.columns, 1) if name not in known]
        faults = {f"missing {name}": f"missing column {name}" for name in REQUIRED if name not in frame.columns}
        if not isinstance(frame.index, pd.RangeIndex):  # what pandas makes of rows longer than the first
            faults["long"] = f"row {self.rows + 1}: more values than columns"
        if unknown:
            position = ", ".join(unknown)
            faults["unknown"] = f"unknown column at position {position}; allowed are {', '.join(known)}"
        if len(set(frame.columns)) < len(frame.columns):
            faults["twice"] = "a column stands there twice"
        self.faults = faults | self.faults
        return not faults

    def _fault(self, column: str, bad: NDArray[np.bool_], what: str) -> None:
        if bad.any():
            row = self.rows + int(np.argmax(bad)) + 1
            self.faults.setdefault(f"{column}: {what}", f"row {row}, column {column}: {what}")

    def _numbers(self, frame: pd.DataFrame, name: str) -> NDArray[np.float64]:
        import pandas as pd

        column = frame[name]
        if not (pd.api.types.is_string_dtype(column) or pd.api.types.is_numeric_dtype(column)):
            self.faults.setdefault(name, f"column {name}: expected numbers")
            return np.zeros(len(frame))
        values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
        if name == "arrival_s":
            bad = ~((values >= 0) & (values < LONGEST_S))
            self._fault(name, bad, f"expected seconds, 0 or more and less than {LONGEST_S:,.0f}")
        else:
            low, high = BOUNDS[name]
            bad = ~((values >= low) & (values <= high) & (values == np.floor(values)))
            self._fault(name, bad, f"expected a whole number from {low:,} to {high:,}")
        return values

    def _workloads(self, frame: pd.DataFrame) -> NDArray[np.int16]:
        import pandas as pd

        try:
            codes, names = pd.factorize(frame["workload"])
        except TypeError:  # a column of lists or the like
            codes, names = np.full(len(frame), -1), pd.Index([])
        wrong = [code for code, name in enumerate(names) if not is_workload_name(name)]
        expected = "expected lower-case letters, digits and underscores"
        self._fault("workload", np.isin(codes, [-1, *wrong]), expected)
        if wrong or (codes < 0).any():
            return np.zeros(len(frame), np.int16)
        places = [self._names.setdefault(str(name), len(self._names)) for name in names]
        if len(self._names) > np.iinfo(np.int16).max:
            self.faults["names"] = f"column workload: more than {np.iinfo(np.int16).max:,} names"
        return np.array(places, np.int64)[codes].astype(np.int16) if places else codes.astype(np.int16)

    def _relations(self, columns: dict[str, NDArray[np.float64]], rows: int) -> None:
        arrival_s = columns["arrival_s"]
        self._fault("arrival_s", np.diff(arrival_s, prepend=self._last_s) < 0, "arrivals must ascend")
        if "max_tokens" in columns:
            beyond = columns["output_tokens"] > columns["max_tokens"]
            self._fault("output_tokens", beyond, "expected no more than max_tokens")
        thought = columns.get(THINKING, np.zeros(rows))
        self._fault(THINKING, thought > columns["output_tokens"], "expected no more than output_tokens")
        shared = columns.get("prefix_tokens", np.zeros(rows))
        whole = columns["prompt_tokens"] + columns["output_tokens"]
        self._fault("prefix_tokens", shared > whole, "expected no more than prompt_tokens and output_tokens together")
        nameless = (columns.get("prefix_id", np.full(rows, -1.0)) < 0) & (shared > 0)
        self._fault("prefix_tokens", nameless, "expected 0 without a prefix_id")
        if self.header is not None:
            beyond = arrival_s >= self.header.span_s
            self._fault("arrival_s", beyond, "expected less than the header's span_s")
        self._last_s = float(arrival_s[-1]) if rows else self._last_s

    def _nesting(self, frame: pd.DataFrame, columns: dict[str, NDArray[np.float64]]) -> Nesting:
        """What the prefixes of these rows begin with; the same wherever one stands."""
        prefix_id = columns.get("prefix_id", np.full(len(frame), -1.0)).astype(np.int64).tolist()
        texts = frame[NESTED].fillna("").tolist()
        bad, other = np.zeros(len(texts), np.bool_), np.zeros(len(texts), np.bool_)
        seen: set[tuple[int, object]] = set()
        found: dict[int, tuple[int, int]] = {}
        for row, one in enumerate(zip(prefix_id, texts, strict=True)):
            if one in seen:
                continue
            try:
                outer = parsed(one[1]) if isinstance(one[1], str) else None
            except ValueError:
                outer = None
            bad[row] = outer is None or (bool(outer) and one[0] < 0)
            if bad[row] or outer is None:
                continue
            seen.add(one)
            path = [*outer, (one[0], 0)]
            for before, (identity, _) in zip([None, *outer], path, strict=True):
                other[row] |= identity >= 0 and self._outer.setdefault(identity, before) != before
                if before is not None:
                    found[identity] = before
        self._fault(NESTED, bad, "expected the prefixes that prefix_id begins with, such as 4:100 17:1200, or nothing")
        self._fault(NESTED, other, "a prefix begins with the same prefixes wherever it stands")
        outer_id, tokens = np.array([*found.values()], np.int64).reshape(-1, 2).T
        return Nesting.of(np.array([*found], np.int64), outer_id, tokens)


def table_of(
    workloads: tuple[str, ...], workload: NDArray[np.int16], columns: dict[str, NDArray[np.float64]]
) -> RequestTable:
    """Columns of the right kinds, with the defaults of those that are absent."""
    rows = len(workload)
    defaults = {
        "prefix_id": np.full(rows, -1.0),
        "prefix_tokens": np.zeros(rows),
        "max_tokens": np.maximum(columns["output_tokens"], DEFAULT_MAX_TOKENS),
        "priority": np.full(rows, float(DEFAULT_PRIORITY)),
        THINKING: np.zeros(rows),
    }
    kinds = dict.fromkeys(BOUNDS, np.int32) | {"priority": np.int8}
    whole: dict[str, Any] = {name: (defaults | columns)[name].astype(kind) for name, kind in kinds.items()}
    return RequestTable(workloads=workloads, arrival_s=columns["arrival_s"], workload=workload, **whole)


def empty_table() -> RequestTable:
    """No requests."""
    nothing: dict[str, NDArray[np.float64]] = {name: np.zeros(0) for name in ("arrival_s", *BOUNDS)}
    return table_of((), np.zeros(0, np.int16), nothing)
