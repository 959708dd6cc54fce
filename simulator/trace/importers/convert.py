"""From a log to a canonical trace: read, screen, sort, de-identify, write; all of it or nothing."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.errors import TraceError
from simulator.trace.canonical import trace_suffix, write_chunks
from simulator.trace.checks import NESTED, OPTIONAL, REQUIRED, SOMETIMES, THINKING
from simulator.trace.header import TraceHeader
from simulator.trace.importers.cached import CachedDemand
from simulator.trace.importers.context import check_wishes
from simulator.trace.importers.detect import refused
from simulator.trace.importers.rows import UNKNOWN, Rows, as_table, take_rows
from simulator.trace.importers.source import source_files
from simulator.trace.importers.spill import Spill
from simulator.trace.importers.values import NS
from simulator.units import WEEK_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from simulator.trace.importers.context import Context, Format
    from simulator.trace.request_table import RequestTable

_MONDAY_NS: Final = 4 * 86_400 * NS  # 1970-01-05
_ALLOWED: Final = "only times, token counts and what the user mapped were read; everything else was dropped unread"
_WEEKS: Final = "dates were dropped: times keep their place in the week, not the week"
_KEYS: Final = "identities and sessions became small numbers under a random key that was thrown away"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user wants of an import beside what its format needs.

    Attributes:
        tolerate: Share of rows that may be wrong, 0 to 1.
        keep_dates: Say in the header on which day the trace begins.
        source: Origin, instead of the format's.
        licence: Terms, instead of the format's.
        smallest: A workload of fewer requests is not named: a rare clinic's few may be somebody's.
    """

    tolerate: float = 0.0
    keep_dates: bool = False
    source: str | None = None
    licence: str | None = None
    smallest: int = 5


def convert(
    kind: Format, source: Path, target: Path, context: Context, wish: Wish, on_rows: Callable[[int], None] | None = None
) -> TraceHeader:
    """Import a file or a folder and write it as a canonical trace; `context.tally` tells what became of every row.

    Args:
        kind: What the source is.
        source: A file, or a folder of them.
        target: A `.csv` or `.parquet` file.
        context: How it is read, and what is counted.
        wish: What becomes of it.
        on_rows: Told now and then how many rows were read.

    Raises:
        TraceError: Something is broken, too many rows are wrong, or nothing is left; the target is as it was before.
    """
    trace_suffix(target)
    if not target.parent.is_dir():
        raise TraceError(f"{target}: there is no folder {target.parent}")
    check_wishes(context, kind)
    files = source_files(source, kind.patterns)
    if os.path.realpath(target) in [os.path.realpath(path) for path in files]:
        raise TraceError(f"{target}: source and target are the same file")
    tally = context.tally
    with _spilt(kind, files, target.parent, context, on_rows) as (spill, counts, known):
        tally.judge(wish.tolerate)
        if not spill.rows:
            nowhere = [f"{source}: {one}" for one in tally.nowhere()]
            raise TraceError(
                "\n".join([*tally.faults(), *nowhere, f"{source}: there is no request in it{_why(tally.left_out)}"])
            )
        tally.disordered = spill.disordered
        context.own_zero = context.own_zero or kind.own_zero
        first_ns = 0 if context.own_zero else spill.first_ns
        small = (counts < wish.smallest) & (counts > 0) & (np.arange(len(counts)) > 0)
        tally.unnamed = int(counts[small].sum())
        context.nest()
        known.update({NESTED} if len(context.nesting) else ())
        if known & {"cached", "stored"} and "prefix_id" not in known:
            context.cached = CachedDemand()
            known.update(("prefix_id", "prefix_tokens"))
        header = _header(kind, context, wish, first_ns, spill.last_ns, known)
        tables = _tables(spill, context, first_ns, known, small)
        # What is said of prefixes is known when the last of them is written.
        header = write_chunks(tables, target, header, lambda written: replace(written, assumed=context.said()))
    tally.imported = header.rows
    return header


@contextmanager
def _spilt(
    kind: Format, files: list[Path], folder: Path, context: Context, on_rows: Callable[[int], None] | None
) -> Iterator[tuple[Spill, NDArray[np.int64], set[str]]]:
    """All rows, how many of each workload, and which columns say something.

    They are read again where a record proves that its sender counts something apart, and others of that sender had
    been read before: once, for all proofs are known then.
    """
    for last in (False, True):
        known: set[str] = set()
        counts = np.zeros(len(context.labels.workloads), np.int64)
        with Spill(folder) as spill:
            for rows in _rows(kind, files, context):
                spill.add(rows)
                if on_rows is not None:
                    on_rows(context.tally.rows)
                counts += np.bincount(rows["workload"], minlength=len(counts))
                known |= {
                    name
                    for name in (*OPTIONAL, THINKING, "identity", "cached", "stored")
                    if (rows[name] != UNKNOWN[name]).any()
                }
            if last or not context.late:
                yield spill, counts, known
                return
        context.again()


def _rows(kind: Format, files: list[Path], context: Context) -> Iterator[Rows]:
    """Rows of all files; where they break off, or there are none, it may be for what is known of the first file."""
    some = False
    fault = ""
    try:
        for rows in _all_rows(kind, files, context):
            some = some or bool(len(rows["time_ns"]))
            yield rows
    except TraceError as error:
        fault = f"{error}\n"
        if some or kind.free or not refused(files[0]):
            raise
    if not some and not kind.free and (reason := refused(files[0])):
        raise TraceError(f"{fault}{files[0]}: {reason}")


def _all_rows(kind: Format, files: list[Path], context: Context) -> Iterator[Rows]:
    for path in files:
        yield from kind.read(path, context)
    if kind.end is not None:
        yield from kind.end(context)


def _why(left_out: dict[str, int]) -> str:
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in left_out.items())
    return f" (left out: {reasons})" if reasons else ""


def _header(kind: Format, context: Context, wish: Wish, first_ns: int, last_ns: int, known: set[str]) -> TraceHeader:
    dropped = () if kind.public else (_ALLOWED, *((_KEYS,) if known & {"identity", "prefix_id"} else ()))
    small = (f"workloads of fewer than {wish.smallest} requests are not named",) if context.tally.unnamed else ()
    dated = not context.own_zero
    return TraceHeader(
        source=wish.source or kind.source,
        licence=wish.licence or kind.licence,
        # A whole second later at least, so that every arrival lies before.
        span_s=float((last_ns - first_ns) // NS + 1),
        rows=0,
        columns=(*REQUIRED, *(name for name in (*OPTIONAL, *SOMETIMES) if name in known)),
        sha256="",
        time_zone=context.zone.key if dated else None,
        week_offset_s=_week_offset_s(first_ns, context) if dated else None,
        start_date=_local(first_ns, context).date().isoformat() if dated and wish.keep_dates else None,
        deidentified=(*dropped, *small, *((_WEEKS,) if dated and not wish.keep_dates else ())),
        assumed=context.said(),
    )


def _local(time_ns: int, context: Context) -> datetime:
    return datetime.fromtimestamp(time_ns // NS, UTC).astimezone(context.zone)


def _week_offset_s(time_ns: int, context: Context) -> float:
    """Seconds since Monday 00:00 of the local clock."""
    offset = _local(time_ns, context).utcoffset()
    shift_ns = 0 if offset is None else int(offset.total_seconds()) * NS
    return (time_ns + shift_ns - _MONDAY_NS) % (int(WEEK_S) * NS) / NS


def _tables(
    spill: Spill, context: Context, first_ns: int, known: set[str], small: NDArray[np.bool_]
) -> Iterable[RequestTable]:
    named = np.where(small, 0, np.arange(len(small))).astype(np.int16)
    for part in _unique(spill, context) if "identity" in known else spill.sorted():
        rows = part | {"workload": named[part["workload"]]}
        if context.cached is not None:
            rows = context.cached.assign(rows)
        yield as_table(rows, context.labels.workloads, first_ns).nested(context.nesting)


def _unique(spill: Spill, context: Context) -> Iterator[Rows]:
    """The rows without those that have moment and identity of another; of parts of a stream the last stays."""
    for rows in spill.sorted():
        order = np.lexsort((-rows["output_tokens"], rows["identity"], rows["time_ns"]))
        identity, time_ns = rows["identity"][order], rows["time_ns"][order]
        again = np.zeros(len(order), np.bool_)
        again[order[1:]] = (identity[1:] != 0) & (identity[1:] == identity[:-1]) & (time_ns[1:] == time_ns[:-1])
        context.tally.duplicates += int(again.sum())
        yield take_rows(rows, ~again)
