"""Which records of a log are requests that were served, which are none, and which are wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from simulator.trace.checks import BOUNDS
from simulator.trace.importers import locales
from simulator.trace.importers.records import ABSENT
from simulator.trace.importers.values import numbers, whole

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from simulator.trace.importers.context import Context
    from simulator.trace.importers.records import Records
    from simulator.trace.importers.rows import Rows

MOST: Final = BOUNDS["prompt_tokens"][1]
_PARTED: Final = "counts in a column that shows a comma before fractions, or parted thousands, were read as such"
#: Kinds of values that are looked at once for all that are equal.
_HASHED: Final = frozenset({str, int, bool})


class Screen:
    """Which records of a chunk are still good; each is counted once, for the first thing that keeps it out."""

    def __init__(self, records: Records, context: Context) -> None:
        self.records, self.context, self.tally = records, context, context.tally
        self.good = np.ones(len(records.lines), np.bool_)
        self._absent: dict[str, NDArray[np.bool_]] = {}

    def look(self, name: str, names: tuple[str, ...]) -> None:
        """Note whether a field that every request has stands in any record."""
        self.tally.look(name, names, found=not bool(self.absent(name).all()))

    def absent(self, name: str) -> NDArray[np.bool_]:
        """Where the log says that there is no such value."""
        if name not in self._absent:
            values = self.records.columns[name]
            kinds = set(map(type, values))
            if str in kinds:
                absent = [value is None or (type(value) is str and value in ABSENT) for value in values]
            else:
                absent = [value is None for value in values] if type(None) in kinds else [False] * len(values)
            self._absent[name] = np.array(absent, np.bool_)
        return self._absent[name]

    def leave_out_by(self, name: str, reason: Callable[[Any], str | None]) -> None:
        """Count as no request those whose value in this column is a reason."""
        values = self.records.columns.get(name, [])
        kinds = set(map(type, values)) - {type(None)}
        if len(kinds) < 2 and kinds <= _HASHED:  # equal values of several kinds may differ in their reasons
            reasons = {value: reason(value) for value in set(values)}
            if any(reasons.values()):
                self.leave_out([reasons[value] for value in values])
        else:
            self.leave_out([reason(value) for value in values])

    def leave_out(self, reasons: list[str | None]) -> None:
        """Count as no request those with a reason."""
        for reason in dict.fromkeys(reasons):
            if reason is not None:
                self.leave_out_where(np.array([one == reason for one in reasons], np.bool_), reason)

    def reject(self, bad: NDArray[np.bool_], reason: str) -> None:
        """Count as wrong those that are bad."""
        out = self.good & bad
        if out.any():
            self.tally.reject(self.records.path, self.records.places(np.flatnonzero(out).tolist()), reason)
            self.good &= ~out

    def leave_out_where(self, out: NDArray[np.bool_], reason: str) -> None:
        """Count as no request those where it is true."""
        self.tally.leave_out(reason, int((self.good & out).sum()))
        self.good &= ~out

    def count(self, name: str) -> NDArray[np.int64]:
        """A column of whole numbers, 0 where there is none; what is something else is wrong."""
        values, absent = self.records.columns[name], self.absent(name)
        if absent.any():
            values = [0 if gone else value for gone, value in zip(absent, values, strict=True)]
        plain = locales.counts(values)
        if plain is not values:
            self.context.assume(_PARTED)
        found = numbers(plain)
        bad = ~whole(found, 0, MOST)
        self.reject(bad, f"{name}: not a whole number from 0 to {MOST:,}")
        return np.where(bad, 1, found).astype(np.int64)

    def passed(self, rows: Rows) -> Rows:
        """Those that are good."""
        return rows if self.good.all() else {name: column[self.good] for name, column in rows.items()}
