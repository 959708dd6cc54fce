"""Any log with a record for each request, whose fields the user names; and Azure diagnostics, which vary like one."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from simulator.errors import TraceError
from simulator.trace.importers.context import Format
from simulator.trace.importers.log_analytics import PORTAL_TIME, unpack_azure
from simulator.trace.importers.records import is_absent
from simulator.trace.importers.table import Table
from simulator.trace.importers.wanted import served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from simulator.trace.importers.context import Context
    from simulator.trace.importers.records import Records
    from simulator.trace.importers.rows import Rows

_NAMES: Final = (
    "time", "prompt_tokens", "output_tokens", "cache_read", "cache_write", "reasoning", "max_tokens", "identity",
    "session", "duration", "status", "label", "arrival_s",
)  # fmt: skip
_PLAIN: Final = Table(
    fields={name: (name,) for name in ("time", "prompt_tokens", "output_tokens", "label", "duration")},
    labels=("label",),
    leave_out={"status": served},
)
# Public queries disagree on where the counts stand, and no schema is published; hence --column.
_DIAGNOSTICS: Final = Table(
    fields={
        "time": ("TimeGenerated", "TimeGenerated [UTC]", "time"),
        "prompt_tokens": (
            "properties_s.usage.prompt_tokens", "properties_s.promptTokens", "properties.usage.prompt_tokens",
            "properties.promptTokens", "properties_s.responseBody.usage.prompt_tokens",
        ),
        "output_tokens": (
            "properties_s.usage.completion_tokens", "properties_s.completionTokens",
            "properties.usage.completion_tokens", "properties.completionTokens",
            "properties_s.responseBody.usage.completion_tokens",
        ),
        "identity": ("CorrelationId", "correlationId"),
        # A code of HTTP; `ResultType` is a word or a code of some other kind.
        "status": ("ResultSignature", "resultSignature", "resultSignature_s", "httpStatusCode_d", "httpStatusCode_s"),
        "label": ("properties_s.modelDeploymentName", "properties.modelDeploymentName"),
        "duration": ("duration",),
    },
    labels=("label",),
    leave_out={"status": served},
    unpack=unpack_azure,
    time_form=PORTAL_TIME,
)  # fmt: skip
#: Seconds of a tick, by the units that users name.
UNITS_S: Final = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
#: Between the names of two columns that make a moment together.
BESIDE: Final = " + "
#: A unit at the end of a column's name.
_IN_NAME: Final = re.compile(r"(?:_|(?<=[a-z]))(s|[Mm]s|us|ns)$|(?:_)(secs|seconds|millis|milliseconds)$")
_WORDS: Final = {"secs": "s", "seconds": "s", "millis": "ms", "milliseconds": "ms", "Ms": "ms"}


def _read(path: Path, context: Context, table: Table) -> Iterator[Rows]:
    """With the user's columns in place of the format's. `duration` says that times are those of the end."""
    own = context.columns
    fields = dict(table.fields) | dict(own)
    table = replace(
        table,
        fields=fields,
        ends="duration" in own,
        duration_unit_s=_duration_unit_s(context) if "duration" in own else 1.0,
        time_unit=context.units.get("time"),
        apart=frozenset(context.apart),
        unpack=table.unpack if context.records is None else _under(context.records),
    )
    if parts := next((name.split(BESIDE) for name in own.get("time", ()) if BESIDE in name), None):
        fields = fields | {"time": (parts[0],), "clock": (parts[1],)}
        table = replace(table, fields=fields, required=(*table.required, "clock"), prepare=_beside)
    if "arrival_s" in own:
        if "time" in own:
            raise TraceError("`columns`: either time, a moment, or arrival_s, seconds from a zero of the log's own")
        context.own_zero = True
        unit_s = UNITS_S[context.units.get("arrival_s", "s")]
        table = replace(table, fields=fields | {"time": fields["arrival_s"]}, unit_s=unit_s)
    yield from table.read(path, context)


def _beside(records: Records, context: Context) -> None:  # noqa: ARG001 - as `Table` calls it
    """A moment whose day stands in one column and its time of day in another."""
    columns = records.columns
    columns["time"] = [
        day if is_absent(day) or is_absent(clock) else f"{day} {clock}"
        for day, clock in zip(columns["time"], columns["clock"], strict=True)
    ]


def _duration_unit_s(context: Context) -> float:
    """Seconds of a tick of `duration`: as the user says, or as the column's name ends; there is no guess."""
    unit = context.units.get("duration")
    names = context.columns["duration"]
    if unit is None:
        found = {
            _WORDS.get(match[1] or match[2], match[1] or match[2])
            for name in names
            if (match := _IN_NAME.search(name.rpartition(".")[2]))
        }
        unit = found.pop() if len(found) == 1 else None
    if unit is None:
        raise TraceError("`units`: say what duration is counted in: `units` duration=s, ms, us or ns")
    return UNITS_S[unit]


def _under(path: str) -> Callable[[Any], Iterator[Any]]:
    """What takes the records out of a JSON value that lie at a path, in which `[]` stands for every entry of a list."""
    steps = [step for part in path.split(".") for step in re.findall(r"\[\]|[^\[\]]+", part)]

    def unpack(value: Any, at: int = 0) -> Iterator[Any]:  # noqa: ANN401 - whatever the file holds
        if at == 0 and steps[0] == "[]" and not isinstance(value, list):
            at = 1  # an outermost list on several lines comes entry by entry
        while at < len(steps) and steps[at] != "[]":
            if isinstance(value, list) and at == 0:
                break
            value = value[steps[at]]
            at += 1
        if at == len(steps) and not isinstance(value, list):
            yield value
            return
        for one in value:
            yield from unpack(one, at + (at < len(steps) and steps[at] == "[]"))

    return unpack


FORMATS = (
    Format(name="csv", read=partial(_read, table=_PLAIN), source="a table of requests", columns=_NAMES, free=True),
    Format(name="json", read=partial(_read, table=_PLAIN), source="records of requests", columns=_NAMES, free=True),
    Format(
        name="azure-diagnostics",
        read=partial(_read, table=_DIAGNOSTICS),
        source="Azure OpenAI diagnostics",
        columns=_NAMES,
        free=True,
    ),
)
