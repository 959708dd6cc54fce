"""What became of every row of a source: imported, left out for a reason, wrong, or a duplicate."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final

from simulator.errors import TraceError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

#: Places named of each kind of fault.
_NAMED: Final = 5


@dataclass(slots=True)
class Tally:
    """Counts of one import; `rows = imported - drawn + intervals + duplicates + left out + wrong`.

    Attributes:
        rows: Records read, or intervals of a log that only counts.
        imported: Requests in the trace.
        intervals: Intervals out of which requests were drawn.
        drawn: Requests drawn out of them.
        duplicates: Of one and the same request, by its identity in the source.
        unnamed: Imported requests of workloads so small that their name was dropped.
        disordered: Rows that began before the row ahead of them; they were sorted.
        left_out: By reason, records that are no request that was served.
        wrong: By reason, records that could not be understood.
        places: By reason, where the first of these stand.
        looked: By field that every request has, the names under which it was looked for.
        seen: Of these, those that some record had.
    """

    rows: int = 0
    imported: int = 0
    intervals: int = 0
    drawn: int = 0
    duplicates: int = 0
    unnamed: int = 0
    disordered: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    wrong: dict[str, int] = field(default_factory=dict)
    places: dict[str, list[str]] = field(default_factory=dict)
    looked: dict[str, tuple[str, ...]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def clear(self) -> None:
        """Count anew; whoever looks into it goes on doing so."""
        for one in fields(self):
            setattr(self, one.name, getattr(Tally(), one.name))

    def look(self, name: str, names: tuple[str, ...], *, found: bool) -> None:
        """A field was looked for under these names, and some record had it or none."""
        self.looked[name] = names
        if found:
            self.seen.add(name)

    def nowhere(self) -> list[str]:
        """What was looked for and stands in no record."""
        return [
            f"{name}: nothing stands at {' or '.join(names)} in any of {self.rows:,} records"
            for name, names in self.looked.items()
            if name not in self.seen
        ]

    def draw(self, requests: int) -> None:
        """Count an interval out of which so many requests are drawn."""
        self.intervals += 1
        self.drawn += requests

    def regroup(self, parts: int, intervals: int) -> None:
        """So many records read were parts of so many intervals: those are the rows."""
        self.rows += intervals - parts

    def leave_out(self, reason: str, count: int) -> None:
        """Count records that are right but are not wanted."""
        if count:
            self.left_out[reason] = self.left_out.get(reason, 0) + count

    def reject(self, path: Path, lines: Iterable[int | str], reason: str) -> None:
        """Count records that are wrong, and remember where the first of them stand."""
        for line in lines:
            self.wrong[reason] = self.wrong.get(reason, 0) + 1
            places = self.places.setdefault(reason, [])
            if len(places) < _NAMED:
                places.append(f"{path}:{line}")

    def judge(self, tolerated_share: float) -> None:
        """Refuse the import when more rows are wrong than is tolerated.

        Raises:
            TraceError: Every kind of fault, with how many there are and where the first stand.
        """
        wrong = sum(self.wrong.values())
        if wrong > tolerated_share * self.rows:
            share = f"{wrong:,} of {self.rows:,} rows are wrong, {tolerated_share:.4g} of them are tolerated"
            raise TraceError(
                "\n".join([*self.faults(), *self.nowhere(), f"nothing was imported: {share} (`tolerate`)"])
            )

    def faults(self) -> list[str]:
        """A line for each kind of wrong row."""
        return [
            f"{places[0]}: {reason}" + (f" ({self.wrong[reason]:,} rows: {_short(places)})" if len(places) > 1 else "")
            for reason, places in self.places.items()
        ]

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        wrong = [{"reason": key, "count": count, "first": self.places[key]} for key, count in self.wrong.items()]
        names = ("rows", "imported", "intervals", "drawn", "duplicates", "unnamed", "disordered")
        counts = {name: getattr(self, name) for name in names}
        return counts | {"left_out": dict(self.left_out), "wrong": wrong}


def _short(places: list[str]) -> str:
    """`lines 3, 7, 9` of one file, `2 files` … as far as they are named."""
    lines = [place.rpartition(":")[2] for place in places]
    files = {place.rpartition(":")[0] for place in places}
    more = ", …" if len(lines) == _NAMED else ""
    records = [line.partition(" (record ")[2].removesuffix(")") for line in lines]
    if len(files) > 1:
        return ", ".join(places)
    return f"records {', '.join(records)}{more}" if all(records) else f"lines {', '.join(lines)}{more}"
