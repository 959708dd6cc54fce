"""A small file that says what the fields of a log are: written once, kept beside the log, shared, and tested."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, ValidationError

from simulator.errors import ScenarioError, TraceError
from simulator.scenario.base import Config
from simulator.scenario.faults import faults_of
from simulator.scenario.yaml_source import read_document

if TYPE_CHECKING:
    from pathlib import Path

Path_ = Annotated[str, Field(min_length=1, max_length=500)]
Unit = Literal["s", "ms", "us", "ns", "excel"]


class Columns(Config):
    """Where each field stands: a column, or a path with dots into JSON; several are tried one after the other."""

    time: Path_ | list[Path_] | None = None
    """Moment at which a request arrived, or ended where there is a `duration`."""
    arrival_s: Path_ | list[Path_] | None = None
    """In place of `time`: since a zero of the log's own, in seconds unless `units` says otherwise."""
    prompt_tokens: Path_ | list[Path_] | None = None
    """Tokens of the prompt."""
    output_tokens: Path_ | list[Path_] | None = None
    """Tokens of the answer."""
    cache_read: Path_ | list[Path_] | None = None
    """Of the prompt, tokens that a prompt cache gave."""
    cache_write: Path_ | list[Path_] | None = None
    """Of the prompt, tokens that a prompt cache took."""
    reasoning: Path_ | list[Path_] | None = None
    """Of the answer, tokens of reasoning."""
    max_tokens: Path_ | list[Path_] | None = None
    """Limit of the answer that the client sent."""
    identity: Path_ | list[Path_] | None = None
    """What tells a request from all others: one that comes twice counts once."""
    session: Path_ | list[Path_] | None = None
    """What the requests of one conversation have in common."""
    duration: Path_ | list[Path_] | None = None
    """How long it took; times are then those of its end."""
    status: Path_ | list[Path_] | None = None
    """Its outcome: a code of HTTP or a word; what was not served is left out."""
    label: Path_ | list[Path_] | None = None
    """What `labels` names workloads by, such as a model or a department."""


class Units(Config):
    """Units of times that are numbers."""

    time: Unit | None = None
    """Of moments, since 1970, or days of a spreadsheet (`excel`); else their size tells it."""
    arrival_s: Literal["s", "ms", "us", "ns"] | None = None
    """Of times with a zero of the log's own."""
    duration: Literal["s", "ms", "us", "ns"] | None = None
    """Of durations."""


class LogMapping(Config):
    """What the fields of a log are."""

    columns: Columns
    """Where each field stands."""
    units: Units = Units()
    """Units of times that are numbers."""
    records: Path_ | None = None
    """Path to the list of records in a JSON document, such as `benchmarks[].requests[]`."""
    where: dict[Path_, list[str | int | float | bool] | str | int | float | bool] = Field(default_factory=dict)
    """By column or path, the values of records that are wanted; `*` stands for anything, `!` before it for not."""
    apart: list[Literal["cache", "reasoning"]] = Field(default_factory=list)
    """What `prompt_tokens` leave out (cache) or `output_tokens` do (reasoning)."""
    time_format: Path_ | None = None
    """`strptime` form of times that are neither ISO 8601 nor a count."""
    zone: Path_ | None = None
    """IANA time zone of times without one, and of the hours of the week."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Workload by value of `label`."""
    workload: Path_ | None = None
    """Workload of requests that `labels` does not name."""
    source: str | None = None
    """What the header says of the origin."""
    licence: str | None = None
    """What the header says of the terms."""

    def names(self) -> dict[str, tuple[str, ...]]:
        """The columns of each field, best first."""
        given = {name: getattr(self.columns, name) for name in type(self.columns).model_fields}
        return {name: tuple([one] if isinstance(one, str) else one) for name, one in given.items() if one}

    def wanted(self) -> dict[str, tuple[str, ...]]:
        """The patterns of each path, as `--where` has them."""
        return {
            path: tuple(_pattern(one) for one in (values if isinstance(values, list) else [values]))
            for path, values in self.where.items()
        }


def _pattern(value: str | int | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def read_mapping(path: Path) -> LogMapping:
    """A mapping file.

    Raises:
        TraceError: Everything that is wrong with it, by line and key.
    """
    try:
        document = read_document(path)
    except ScenarioError as error:
        raise TraceError(str(error)) from None
    faults = document.faults
    if not faults:
        try:
            return LogMapping.model_validate(document.data)
        except ValidationError as error:
            faults = faults_of(error, document, LogMapping)
    raise TraceError("\n".join(str(replace(fault, key=_plain(fault.key))) for fault in faults))


def _plain(key: str) -> str:
    """A key without the values of a log's rows, which those of labels are."""
    return "labels.…" if key.startswith("labels.") else key
