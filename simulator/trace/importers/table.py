"""Logs with a record for each request: which of its fields is what, and nothing else of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from simulator.errors import TraceError
from simulator.trace.importers.context import label_field
from simulator.trace.importers.locales import decimals
from simulator.trace.importers.read import read_records
from simulator.trace.importers.read_json import LISTS
from simulator.trace.importers.rows import Rows, make_rows
from simulator.trace.importers.screen import MOST, Screen
from simulator.trace.importers.shape import Shape, paths, under
from simulator.trace.importers.token_sums import token_sums
from simulator.trace.importers.values import NS, instants_ns, numbers, seconds_ns, whole
from simulator.trace.importers.wanted import wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from simulator.trace.importers.context import Context
    from simulator.trace.importers.records import Fields, Records, Unpack

REQUIRED: Final = ("time", "prompt_tokens", "output_tokens")
_ODD_SHARE: Final = 0.25
_NO_MOMENT: Final = "time: not a moment between 2000 and 2100 (`time_format` says how others are written)"
_NOT_AS_SAID: Final = (
    "time: neither as `time_format` says, nor ISO 8601, nor a count since 1970; or not from 2000 to 2100"
)


@dataclass(frozen=True, slots=True)
class Table:
    """Where a log keeps what a trace needs. This is the allow-list: no other field is looked at.

    Attributes:
        fields: What each is called, best name first: `time`, `prompt_tokens`, `output_tokens`; where there are such,
            `cache_read` and `cache_write` (tokens of the prompt that a prompt cache gave or took), `reasoning` (of the
            output), `max_tokens`, `identity`, `session`, `duration`; and those that `labels` or `leave_out` name.
        labels: Fields by whose values the user may name workloads.
        leave_out: By field, why a record with this value is no request that was served, or None.
        required: Fields without whose columns a table is none of these.
        parts: By field that is an object or a list of such, names in it; no other of it is looked at.
        unpack: Records inside one JSON value.
        shape: What `unpack` looks at, by what is looked at of a record; None for all of it.
        unpacked: The fields of what `unpack` gives, where they are called otherwise there.
        prepare: Fields made out of others, in place, before anything is counted.
        unit_s: Seconds of one tick of times with a zero of their own; None for moments of a calendar.
        time_unit: Of moments that are counts since 1970, in place of the one that their size tells.
        duration_unit_s: Seconds of one tick of `duration`.
        ends: Times are those of the end, to be put back by `duration` where that is known.
        apart: `cache`, `reasoning`: what `prompt_tokens` or `output_tokens` leave out by this log's own rules.
        block_tokens: Tokens of one of the `blocks` whose names tell which prompts begin alike.
        time_form: `strptime` format in which this log writes its times, unless the user names one.
        assumed: Sentences for the header.
    """

    fields: Fields
    labels: tuple[str, ...] = ()
    leave_out: Mapping[str, Callable[[Any], str | None]] = field(default_factory=dict)
    required: tuple[str, ...] = REQUIRED
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unpack: Unpack | None = None
    shape: Callable[[Shape], Shape] | None = None
    unpacked: Fields | None = None
    prepare: Callable[[Records, Context], None] | None = None
    unit_s: float | None = None
    time_unit: str | None = None
    duration_unit_s: float = 1.0
    ends: bool = False
    apart: frozenset[str] = frozenset()
    block_tokens: int | None = None
    time_form: str | None = None
    assumed: tuple[str, ...] = ()

    def read(self, path: Path, context: Context) -> Iterator[Rows]:
        """Rows of one file, in the order they stand there."""
        context.assume(*self.assumed)
        table = self._where(context) if context.where else self
        names = table.fields, table.unpacked
        for records in read_records(
            path, names[0], table.required, context.tally, table.unpack, names[1], table.looked_at()
        ):
            yield table.rows(records, context)

    def looked_at(self) -> Shape | None:
        """What is looked at of a JSON value."""
        if self.unpack is not None and self.shape is None:
            return None
        fields = self.unpacked or self.fields
        record = paths(name for key, names in fields.items() if key not in self.parts for name in names)
        for key, parts in self.parts.items():
            record = record.also(paths(fields[key], paths(parts).listed()))
        return under(record, LISTS) if self.shape is None else self.shape(record)

    def _where(self, context: Context) -> Table:
        """The same with the fields by whose values the user wants records or not."""
        paths = {f"where {path}": path for path in context.where}
        unknown = [path for path in paths.values() if self.unpacked is not None and path not in self.unpacked]
        if unknown:
            names = ", ".join(self.unpacked or ())
            raise TraceError("\n".join(f"`where` {path}: expected one of {names}" for path in unknown))
        fields = {field: self.fields.get(path, (path,)) for field, path in paths.items()}
        return replace(
            self,
            fields=dict(self.fields) | fields,
            required=(*self.required, *fields),
            unpacked=None if self.unpacked is None else dict(self.unpacked) | {key: (at,) for key, at in paths.items()},
            leave_out={key: wanted(context.where[path]) for key, path in paths.items()} | dict(self.leave_out),
        )

    def rows(self, records: Records, context: Context) -> Rows:
        """Rows of these records; counts those that are left out or wrong."""
        label_field(context.labels, self.labels)
        if self.prepare is not None:
            self.prepare(records, context)
        screen = Screen(records, context)
        for name, reason in self.leave_out.items():
            screen.leave_out_by(name, reason)
        for name in REQUIRED:
            screen.look(name, self.fields[name])
        prompt_absent, output_absent = screen.absent("prompt_tokens"), screen.absent("output_tokens")
        screen.leave_out_where(prompt_absent & output_absent, "no token counts: failed, or no call of a language model")
        time_ns = self._times(records, context, screen)
        screen.leave_out_where(output_absent, "no output: failed, or not a generation")
        screen.reject(prompt_absent, "prompt_tokens: nothing there, though there is an output")
        prompt, output, cached, stored, thinking = token_sums(screen, self.apart)
        screen.leave_out_where(output == 0, "no output: failed, or not a generation")
        screen.reject(prompt == 0, "prompt_tokens: 0 with an output")
        said = prompt + np.where(thinking > 0, 0, output)
        known = self._known(records, context, prompt, said, screen) | {
            "cached": cached, "stored": stored, "thinking_tokens": thinking,
        }  # fmt: skip
        return screen.passed(make_rows(time_ns, prompt, output, **known))

    def _known(
        self,
        records: Records,
        context: Context,
        prompt: NDArray[np.int64],
        said: NDArray[np.int64],
        screen: Screen,
    ) -> dict[str, NDArray[Any]]:
        """The columns beside those that each log has; `said`: the prompt, and what follows on it."""
        labels = context.labels
        known: dict[str, NDArray[Any]] = {}
        if "max_tokens" in self.fields:
            limit = numbers(records.columns["max_tokens"])
            # A limit that was not kept, or makes no sense, was none.
            known["max_tokens"] = np.where(whole(limit, 1, MOST), limit, 0)
        if "identity" in self.fields:
            known["identity"] = context.identities(records.columns["identity"])
        if "session" in self.fields and context.sessions:
            context.assume("requests of one session are taken to extend one another and the answers between them")
            known["prefix_id"] = context.ordinals(records.columns["session"])
            known["prefix_tokens"] = np.where(known["prefix_id"] >= 0, said, 0)
        if self.block_tokens is not None:
            blocks = records.columns["blocks"]
            many = np.array([len(one) if isinstance(one, list) else 0 for one in blocks], np.int64)
            beyond = (many - 1) * self.block_tokens >= prompt
            # A prompt may be a block or two longer than its length says; in a log of another kind most are.
            if np.count_nonzero(beyond) > _ODD_SHARE * len(beyond):
                screen.reject(
                    beyond,
                    f"blocks: more of {self.block_tokens} tokens than the prompt has; of another format "
                    "(mooncake: 512 tokens and milliseconds, qwen-bailian: 16 tokens and seconds)",
                )
            paths = context.paths(self.block_tokens)
            known["prefix_id"], known["prefix_tokens"] = paths.assign(blocks, prompt)
        if labels.by is not None:
            known["workload"] = labels.indices(records.columns[labels.by])
        return known

    def _times(self, records: Records, context: Context, screen: Screen) -> NDArray[np.int64]:
        values = records.columns["time"]
        screen.reject(screen.absent("time"), "time: nothing there")
        if self.unit_s is None:
            form = context.time_form or self.time_form
            time_ns, bad = instants_ns(values, context.zone, form, self.time_unit)
            screen.reject(bad, _NO_MOMENT if context.time_form is None else _NOT_AS_SAID)
        else:
            time_ns, bad = seconds_ns(decimals(values), self.unit_s)
            screen.reject(bad, "time: not a number of 0 or more")
        if self.ends:
            lasted_s = numbers(decimals(records.columns["duration"])) * self.duration_unit_s
            known = (lasted_s >= 0) & (lasted_s < 86_400)
            time_ns = time_ns - np.round(np.where(known, lasted_s, 0.0) * NS).astype(np.int64)
        return time_ns
