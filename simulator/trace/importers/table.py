"""Logs with a record for each request: which of its fields is what, and nothing else of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from simulator.trace.checks import BOUNDS
from simulator.trace.importers.context import label_field
from simulator.trace.importers.read import read_records
from simulator.trace.importers.records import Records
from simulator.trace.importers.rows import Rows, make_rows
from simulator.trace.importers.values import NS, instants_ns, numbers, seconds_ns, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from simulator.trace.importers.context import Context
    from simulator.trace.importers.records import Fields, Unpack

REQUIRED: Final = ("time", "prompt_tokens", "output_tokens")
_MOST: Final = BOUNDS["prompt_tokens"][1]


@dataclass(frozen=True, slots=True)
class Table:
    """Where a log keeps what a trace needs. This is the allow-list: no other field is looked at.

    Attributes:
        fields: What each is called, best name first: `time`, `prompt_tokens`, `output_tokens`; where there are such,
            `max_tokens`, `identity`, `session`, `duration` in seconds; and those that `labels` or `leave_out` name.
        labels: Fields by whose values the user may name workloads.
        leave_out: By field, why a record with this value is no request that was served, or None.
        unpack: Records inside one JSON value.
        unit_s: Seconds of one tick of times with a zero of their own; None for moments of a calendar.
        ends: Times are those of the end, to be put back by `duration` where that is known.
        adds: Fields whose tokens the prompt has beside those of `prompt_tokens`, such as those read from a cache.
        block_tokens: Tokens of one of the `blocks` whose names tell which prompts begin alike.
        time_form: `strptime` format in which this log writes its times, unless the user names one.
        assumed: Sentences for the header.
    """

    fields: Fields
    labels: tuple[str, ...] = ()
    leave_out: Mapping[str, Callable[[Any], str | None]] = field(default_factory=dict)
    unpack: Unpack | None = None
    unit_s: float | None = None
    ends: bool = False
    adds: tuple[str, ...] = ()
    block_tokens: int | None = None
    time_form: str | None = None
    assumed: tuple[str, ...] = ()

    def read(self, path: Path, context: Context) -> Iterator[Rows]:
        """Rows of one file, in the order they stand there."""
        context.assume(*self.assumed)
        for records in read_records(path, self.fields, REQUIRED, context.tally, self.unpack):
            yield self.rows(records, context)

    def rows(self, records: Records, context: Context) -> Rows:
        """Rows of these records; counts those that are left out or wrong."""
        label_field(context.labels, self.labels)
        screen = _Screen(records, context)
        for name, reason in self.leave_out.items():
            screen.leave_out([reason(value) for value in records.columns[name]])
        time_ns = self._times(records, context, screen)
        prompt = screen.count("prompt_tokens", 0)
        for name in self.adds:
            prompt = prompt + screen.count(name, 0, absent=0)
        screen.reject(prompt > _MOST, f"prompt_tokens: more than {_MOST:,}")
        output = screen.count("output_tokens", 0)
        screen.leave_out_where(output == 0, "no output: failed, or not a generation")
        screen.reject(prompt == 0, "prompt_tokens: 0 with an output")
        return screen.passed(make_rows(time_ns, prompt, output, **self._known(records, context, prompt, output)))

    def _known(
        self, records: Records, context: Context, prompt: NDArray[np.int64], output: NDArray[np.int64]
    ) -> dict[str, NDArray[Any]]:
        """The columns that this log has beside those that each must have."""
        labels = context.labels
        known: dict[str, NDArray[Any]] = {}
        if "max_tokens" in self.fields:
            limit = numbers(records.columns["max_tokens"])
            # A limit that was not kept, or makes no sense, was none.
            known["max_tokens"] = np.where(whole(limit, 1, _MOST), np.maximum(limit, output), 0)
        if "identity" in self.fields:
            known["identity"] = context.identities(records.columns["identity"])
        if "session" in self.fields and context.sessions:
            context.assume("requests of one session are taken to extend one another")
            known["prefix_id"] = context.ordinals(records.columns["session"])
            known["prefix_tokens"] = np.where(known["prefix_id"] >= 0, prompt, 0)
        if self.block_tokens is not None:
            paths = context.paths(self.block_tokens)
            known["prefix_id"], known["prefix_tokens"] = paths.assign(records.columns["blocks"], prompt)
        if labels.by is not None:
            known["workload"] = labels.indices(records.columns[labels.by])
        return known

    def _times(self, records: Records, context: Context, screen: _Screen) -> NDArray[np.int64]:
        values = records.columns["time"]
        if self.unit_s is None:
            time_ns, bad = instants_ns(values, context.zone, context.time_form or self.time_form)
            screen.reject(bad, "time: not a moment between 2000 and 2100 (--time-format says how others are written)")
        else:
            time_ns, bad = seconds_ns(values, self.unit_s)
            screen.reject(bad, "time: not a number of 0 or more")
        if self.ends:
            lasted_s = numbers(records.columns["duration"])
            known = (lasted_s >= 0) & (lasted_s < 86_400)
            time_ns = time_ns - np.round(np.where(known, lasted_s, 0.0) * NS).astype(np.int64)
        return time_ns


class _Screen:
    """Which records of a chunk are still good; each is counted once, for the first thing that keeps it out."""

    def __init__(self, records: Records, context: Context) -> None:
        self.records, self.tally = records, context.tally
        self.lines = np.array(records.lines, np.int64)
        self.good = np.ones(len(self.lines), np.bool_)

    def leave_out(self, reasons: list[str | None]) -> None:
        """Count as no request those with a reason."""
        for reason in dict.fromkeys(reasons):
            if reason is not None:
                self.leave_out_where(np.array([one == reason for one in reasons], np.bool_), reason)

    def reject(self, bad: NDArray[np.bool_], reason: str) -> None:
        """Count as wrong those that are bad."""
        out = self.good & bad
        if out.any():
            self.tally.reject(self.records.path, self.lines[out].tolist(), reason)
            self.good &= ~out

    def leave_out_where(self, out: NDArray[np.bool_], reason: str) -> None:
        """Count as no request those where it is true."""
        self.tally.leave_out(reason, int((self.good & out).sum()))
        self.good &= ~out

    def count(self, name: str, low: int, absent: int | None = None) -> NDArray[np.int64]:
        """A column of whole numbers; those that are none are wrong, unless they may be absent."""
        values = self.records.columns[name]
        if absent is not None:
            values = [absent if value in (None, "") else value for value in values]
        found = numbers(values)
        bad = ~whole(found, low, _MOST)
        self.reject(bad, f"{name}: not a whole number from {low} to {_MOST:,}")
        return np.where(bad, 1, found).astype(np.int64)

    def passed(self, rows: Rows) -> Rows:
        """Those that are good."""
        return rows if self.good.all() else {name: column[self.good] for name, column in rows.items()}
