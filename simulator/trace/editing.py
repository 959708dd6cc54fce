"""Traces out of traces: a part of one, several as one, more or fewer requests, another time. All in constant memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.errors import TraceError
from simulator.streams import stream
from simulator.trace.canonical import all_columns, read_chunks, write_chunks
from simulator.trace.checks import OPTIONAL, REQUIRED, SOMETIMES
from simulator.trace.header import TraceHeader, read_header
from simulator.trace.importers.rows import Rows, as_rows, as_table, take_rows
from simulator.trace.importers.spill import Spill
from simulator.trace.importers.values import NS
from simulator.trace.nesting import FLAT, Nesting
from simulator.units import DAY_S, WEEK_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from simulator.trace.request_table import RequestTable

_MOST_PREFIXES: Final = 2**31 - 1


def header_of(path: Path) -> TraceHeader:
    """The header of a trace, or what can be said of one that has none."""
    known = read_header(path)
    if known is not None:
        return known
    last_s, nested, thinking = 0.0, False, False
    for chunk in read_chunks(path):
        last_s = float(chunk.arrival_s[-1]) if len(chunk) else last_s
        nested |= len(chunk.nesting) > 0
        thinking |= bool(chunk.thinking_tokens.any())
    columns = all_columns(nested=nested, thinking=thinking)
    return TraceHeader("not stated", "not stated", float(int(last_s) + 1), 0, columns, "")


def cut(path: Path, target: Path, *, start_s: float, end_s: float | None, workloads: Sequence[str]) -> TraceHeader:
    """The requests of a stretch of time, which then begins at 0, and of some workloads.

    Raises:
        TraceError: The stretch is empty or lies outside, or there is no such workload.
    """
    whole = header_of(path)
    end_s = whole.span_s if end_s is None else end_s
    if not start_s < end_s <= whole.span_s:
        raise TraceError(f"`start_s` and `end_s`: expected a stretch between 0 and {whole.span_s:,.0f} s")
    seen: set[str] = set()

    def parts() -> Iterable[RequestTable]:
        for chunk in read_chunks(path):
            seen.update(chunk.workloads)
            keep = (chunk.arrival_s >= start_s) & (chunk.arrival_s < end_s)
            if workloads:
                wanted = [number for number, name in enumerate(chunk.workloads) if name in workloads]
                keep &= np.isin(chunk.workload, wanted)
            rows = take_rows(as_rows(chunk), keep)
            table = as_table(rows, chunk.workloads)
            yield replace(table, arrival_s=chunk.arrival_s[keep] - start_s).nested(chunk.nesting)
        if unknown := [name for name in workloads if name not in seen]:
            raise TraceError(f"`workloads` {unknown[0]}: expected one of {', '.join(sorted(seen))}")

    return write_chunks(parts(), target, replace(moved(whole, start_s), span_s=end_s - start_s))


def merge(paths: Sequence[Path], target: Path) -> TraceHeader:
    """Several traces as one. Where all know their place in the week, the same hour of the week stays the same.

    Raises:
        TraceError: One of them is wrong, or their clocks differ.
    """
    headers = [header_of(path) for path in paths]
    zones = {header.time_zone for header in headers}
    if len(zones) > 1:
        raise TraceError(
            f"their time zones differ ({', '.join(str(zone) for zone in zones)}): import them with one `zone`"
        )
    offsets = [header.week_offset_s for header in headers]
    placed = [offset for offset in offsets if offset is not None]
    first_s = min(placed) if len(placed) == len(headers) else 0.0
    delays_s = [offset - first_s if len(placed) == len(headers) else 0.0 for offset in map(_number, offsets)]
    dates = {header.start_date for header in headers}
    header = replace(
        headers[0],
        source="; ".join(dict.fromkeys(header.source for header in headers)),
        licence="; ".join(dict.fromkeys(header.licence for header in headers)),
        span_s=max(delay + header.span_s for delay, header in zip(delays_s, headers, strict=True)),
        columns=_columns(headers),
        week_offset_s=first_s if len(placed) == len(headers) else None,
        start_date=headers[0].start_date if len(dates) == 1 and not any(delays_s) else None,
        deidentified=tuple(dict.fromkeys(one for header in headers for one in header.deidentified)),
        assumed=tuple(dict.fromkeys(one for header in headers for one in header.assumed)),
    )

    def later(number: int) -> Callable[[Rows], Rows]:
        return lambda rows: rows | {"time_ns": rows["time_ns"] + round(delays_s[number] * NS)}

    return _rewrite([(path, later(number)) for number, path in enumerate(paths)], target, header)


def scale(path: Path, target: Path, factor: float, *, seed: int, within_s: float) -> TraceHeader:
    """More or fewer requests in the same time: a random part of them, or copies beside each other.

    Each further copy is moved as a whole, around the end of the trace, by up to `within_s` either way, so that its
    bursts stay bursts and do not fall on those of the others; it shares no prefix with them. What is left of the
    factor is a copy of which a random part is kept.

    Raises:
        TraceError: The trace is wrong, or there would be too many prefixes.
    """
    header = header_of(path)
    span_ns = round(header.span_s * NS)
    copies = [1.0] * int(factor) + ([factor % 1.0] if factor % 1.0 else [])
    within_s = min(within_s, header.span_s / 2)

    def copy(number: int, share: float) -> Callable[[Rows], Rows]:
        draw = stream(seed, number, "trace/scale")
        by_ns = round(draw.uniform(-within_s, within_s) * NS) if number else 0

        def change(rows: Rows) -> Rows:
            kept = take_rows(rows, draw.random(len(rows["time_ns"])) < share) if share < 1.0 else rows
            return kept | {"time_ns": (kept["time_ns"] + by_ns) % span_ns} if by_ns else kept

        return change

    told = f"scaled by {factor:g} with seed {seed}: " + (
        "a random part of the requests" if factor < 1 else f"copies moved by up to {within_s:,.0f} s"
    )
    header = replace(header, assumed=(*header.assumed, told))
    return _rewrite([(path, copy(number, share)) for number, share in enumerate(copies)], target, header)


def shift(path: Path, target: Path, by_s: float, *, wrap: bool, jitter_s: float = 0.0, seed: int = 1) -> TraceHeader:
    """Every request later or earlier; with `wrap` what leaves at one end comes back at the other.

    With `jitter_s` each is later by a random part of that in addition, for a clock that ticked no finer.

    Raises:
        TraceError: A request would come before the start.
    """
    header = header_of(path)
    span_ns, by_ns, jitter_ns = (round(seconds * NS) for seconds in (header.span_s, by_s, jitter_s))
    draw = stream(seed, 0, "trace/jitter")

    def change(rows: Rows) -> Rows:
        time_ns = rows["time_ns"] + by_ns
        if not wrap and len(time_ns) and time_ns[0] < 0:
            first_s = rows["time_ns"][0] / NS
            raise TraceError(f"`by_s`: the first request comes at {first_s:,.3f} s and cannot be so much earlier")
        if jitter_ns:
            time_ns = time_ns + draw.integers(0, jitter_ns, len(time_ns))
        return rows | {"time_ns": time_ns % span_ns if wrap else time_ns}

    if jitter_ns:
        header = replace(header, assumed=(*header.assumed, f"times were spread over {jitter_s:g} s with seed {seed}"))
    span_s = header.span_s if wrap else header.span_s + by_s + jitter_s
    return _rewrite([(path, change)], target, replace(header, span_s=span_s))


def moved(header: TraceHeader, by_s: float) -> TraceHeader:
    """The header of a trace that begins so much later."""
    offset_s, start = header.week_offset_s, header.start_date
    if offset_s is not None:
        if start is not None:
            days = int((offset_s % DAY_S + by_s) // DAY_S)
            start = (date.fromisoformat(start) + timedelta(days=days)).isoformat()
        offset_s = (offset_s + by_s) % WEEK_S
    return replace(header, week_offset_s=offset_s, start_date=start if offset_s is not None else None)


def _rewrite(parts: Sequence[tuple[Path, Callable[[Rows], Rows]]], target: Path, header: TraceHeader) -> TraceHeader:
    """Write what becomes of some traces, by time; their prefixes are not those of each other."""
    names: dict[str, int] = {}
    nesting = FLAT
    if not target.parent.is_dir():
        raise TraceError(f"{target}: there is no folder {target.parent}")
    with Spill(target.parent) as spill:
        for number, (path, change) in enumerate(parts):
            for chunk in read_chunks(path):
                places = [names.setdefault(name, len(names)) for name in chunk.workloads]
                if len(names) > np.iinfo(np.int16).max:
                    raise TraceError(f"together they have more than {np.iinfo(np.int16).max:,} workloads")
                rows = change(as_rows(chunk))
                rows["workload"] = np.array(places, np.int16)[rows["workload"]] if places else rows["workload"]
                apart = partial(_apart, number=number, of=len(parts))
                rows["prefix_id"] = apart(rows["prefix_id"])
                nested = chunk.nesting
                moved = apart(nested.prefix_id), apart(nested.outer_id), nested.outer_tokens
                nesting = nesting.with_(Nesting.of(*moved))
                spill.add(rows)
        tables = (as_table(rows, tuple(names)).nested(nesting) for rows in spill.sorted())
        return write_chunks(tables, target, header)


def _apart(prefix_id: NDArray[np.int32], number: int, of: int) -> NDArray[np.int32]:
    apart = np.where(prefix_id >= 0, prefix_id.astype(np.int64) * of + number, -1)
    if len(apart) and apart.max() > _MOST_PREFIXES:
        raise TraceError("there would be more prefixes than can be numbered")
    return apart.astype(np.int32)


def _columns(headers: Sequence[TraceHeader]) -> tuple[str, ...]:
    known = {name for header in headers for name in header.columns}
    return (*REQUIRED, *(name for name in (*OPTIONAL, *SOMETIMES) if name in known))


def _number(offset_s: float | None) -> float:
    return offset_s or 0.0
