"""A result as it was kept: the JSON document of `simulator run --json`, or a run directory.

Only what a comparison reads is looked at, so that results of later versions with more keys can still be compared.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from simulator.cost.prices import PriceBook
from simulator.cost.usage import Usage
from simulator.errors import Fault, RunStoreError, ScenarioError
from simulator.reading import read_json
from simulator.scenario.faults import faults_of, in_file_order
from simulator.scenario.schema import Scenario
from simulator.scenario.yaml_source import Document, read_document

#: More than any run has, and less than a float can hold.
Count = Annotated[int, Field(ge=0, le=2**63)]


class Documented(Protocol):
    """What has a published JSON document."""

    def document(self) -> dict[str, Any]:
        """The document as plain data."""
        ...


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class Money(_Part):
    """USD a month, mean over replications."""

    mean: float


class Waits(_Part):
    """Seconds, mean over replications of each figure."""

    mean: float
    p50: float
    p90: float
    p95: float
    p99: float


class Counts(_Part):
    """Requests of a replication."""

    arrived: Count
    completed: Count
    failed_over: dict[str, Count]


class JudgedLimit(_Part):
    """How one limit was kept."""

    metric: Literal["ttft_s", "ttfat_s", "e2e_s", "chain_s"]
    limit_s: float
    share: float
    answer: Literal["met", "missed", "cannot_tell"]


class Judged(_Part):
    """What is said of a workload's objectives; results of earlier versions do not say it."""

    answer: Literal["met", "missed", "cannot_tell"]
    target_share: float | None = None
    limits: list[JudgedLimit] = []


class Figures(_Part):
    """What a workload and a hosting pattern as a whole have in common."""

    requests: Counts | None = None
    latency: dict[str, Waits | None] = {}
    goodput: float | None = None
    availability: float | None = None
    objective_met: bool | None = None
    objective: Judged | None = None


class PatternFigures(Figures):
    """One hosting pattern."""

    name: str
    kind: str
    feasible: bool
    infeasible_reasons: list[str] = []
    monthly_cost_usd: Money | None = None
    cost_lines_usd: dict[str, float] = {}
    usd_per_million_tokens: float | None = None
    utilisation: dict[str, float | None] | None = None
    workloads: dict[str, Figures] = {}
    usage: dict[str, Any] | None = None
    by_replication: dict[str, dict[str, list[float | None]]] = {}


class Named(_Part):
    """Name and hash of the scenario."""

    name: str
    sha256: str


class Book(_Part):
    """The price book that was used."""

    id: str
    date: str
    sha256: str


class Open(_Part):
    """A choice that is not settled."""

    candidates: list[str]


class Recommended(_Part):
    """The verdict."""

    recommended: str | None
    undecided: Open | None = None

    @property
    def candidates(self) -> set[str]:
        """Patterns that may be the choice; the choice alone where there is one."""
        if self.undecided is not None:
            return set(self.undecided.candidates)
        return {self.recommended} if self.recommended else set()

    def __str__(self) -> str:
        if self.undecided is not None:
            return f"cannot tell which of {', '.join(self.undecided.candidates)}"
        return f"recommends {self.recommended or 'nothing'}"


class Inputs(_Part):
    """The question as merged from files and settings, and the price entries it names."""

    scenario: dict[str, Any]
    prices: dict[str, dict[str, Any]]


class Result(_Part):
    """The published document, as far as a comparison needs it."""

    schema_version: Literal[1]
    simulator_version: str
    scenario: Named
    seed: int
    replications: int
    horizon_days: float
    month_hours: float
    currency: str
    price_book: Book
    patterns: list[PatternFigures]
    decision: Recommended
    inputs: Inputs | None = None

    @model_validator(mode="after")
    def _one_a_replication(self) -> Self:
        for pattern in self.patterns:
            for part, figures in pattern.by_replication.items():
                for figure, values in figures.items():
                    if len(values) != self.replications:
                        raise ValueError(
                            f"{figure} of {pattern.name} ({part}) has {len(values)} values by_replication, expected "
                            f"{self.replications}, one a replication"
                        )
        return self


@dataclass(frozen=True)
class ResultFile:
    """A result and where it lies.

    Attributes:
        path: As the user gave it.
        result: What it says.
    """

    path: str
    result: Result

    @cached_property
    def patterns(self) -> dict[str, PatternFigures]:
        """By name, in the scenario's order."""
        return {pattern.name: pattern for pattern in self.result.patterns}

    @cached_property
    def scenario(self) -> Scenario | None:
        """The question; None where the result does not carry it, or this version cannot read it."""
        if self.result.inputs is None:
            return None
        try:
            return Scenario.from_document(Document(self.result.inputs.scenario))
        except ScenarioError:
            return None

    @cached_property
    def book(self) -> PriceBook | None:
        """The entries of the price book that the result used; None where it does not carry them."""
        if self.result.inputs is None:
            return None
        try:
            asked = self._asked()
            return PriceBook.model_validate(
                {**self.result.price_book.model_dump(), **self.result.inputs.prices, **asked}
            )
        except ValidationError:
            return None

    def _asked(self) -> dict[str, Any]:
        """What the scenario asks of the book."""
        found = self.scenario
        return {} if found is None else {"on": found.horizon.start_local.date(), "vat": found.prices.vat}

    def usage(self, pattern: str) -> Usage | None:
        """What the pattern's bill charges for; None where the result does not carry it."""
        found = self.patterns[pattern].usage
        try:
            return None if found is None else TypeAdapter(Usage).validate_python(found)
        except ValidationError:
            return None


#: A result in any of its forms, see `as_result`.
Source = ResultFile | Documented | Mapping[str, Any] | str | PathLike[str]


def as_result(given: Source) -> ResultFile:
    """A result in any of its forms.

    Args:
        given: A JSON document of `simulator run --json` or a run directory by its path; the document itself; or what
            has one, such as `simulator.Results`.

    Raises:
        RunStoreError: It cannot be read, or is no result; names every key that is wrong.
    """
    if isinstance(given, ResultFile):
        return given
    if isinstance(given, (str, PathLike)):
        return read_result(Path(given))
    name, data = ("document", given) if isinstance(given, Mapping) else (type(given).__name__, given.document())
    try:
        return ResultFile(name, Result.model_validate(data))
    except ValidationError as error:
        faults = faults_of(error, Document(dict(data), {(): (name, 0)}), Result)
        raise RunStoreError("\n".join(map(str, in_file_order(faults)))) from None


def read_result(path: Path) -> ResultFile:
    """Read a result.

    Args:
        path: A JSON document of `simulator run --json`, or a run directory.

    Raises:
        RunStoreError: It cannot be read, or is no result; names every key that is wrong.
    """
    file = path / "summary.json" if path.is_dir() else path
    try:
        data = read_json(file)
    except json.JSONDecodeError as error:
        raise RunStoreError(str(Fault(str(file), error.lineno, "", f"is not valid JSON: {error.msg}"))) from None
    except (OSError, ValueError) as error:
        raise RunStoreError(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not isinstance(data, dict) or "patterns" not in data:
        raise RunStoreError(
            f"{file}: is no result; expected the document of 'simulator run --json', or a run directory"
        )
    try:
        return ResultFile(str(path), Result.model_validate(data))
    except ValidationError as error:
        # JSON is YAML, whose reader knows the lines; it is slow, and only needed here.
        try:
            document = read_document(file)
        except ScenarioError:  # longer than a scenario may be
            document = Document(data, {(): (str(file), 0)})
        faults = faults_of(error, document, Result)
        raise RunStoreError("\n".join(map(str, in_file_order(faults)))) from None
