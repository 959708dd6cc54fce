"""The JSON document of `simulator compare` and `simulator check`, and its schema."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from simulator.experiment.pattern_result import document
from simulator.gate.inputs import Cause
from simulator.gate.metrics import METRICS, Unit
from simulator.gate.result_file import Result
from simulator.scenario.base import Config
from simulator.scenario.yaml_source import dotted
from simulator.version import package_version

if TYPE_CHECKING:
    from simulator.gate.check import Check
    from simulator.gate.comparison import Comparison, CostChange, MetricChange
    from simulator.gate.result_file import ResultFile


class Side(Config):
    """One of the two results."""

    path: str
    """Where it was read, as given."""
    scenario: str
    """Name of the scenario."""
    scenario_sha256: str
    """Hash of the scenario."""
    price_book: str
    """Id of the price book."""
    price_book_sha256: str
    """Hash of the price book."""
    simulator_version: str
    """Version that simulated it."""
    seed: int
    """Root of its random streams."""
    replications: int
    """How many there were."""
    recommended: str | None
    """The hosting pattern it recommends."""


class Change(Config):
    """Something that was asked differently."""

    key: str
    """Dotted key path, in the scenario or below price_book."""
    base: Any
    """Its value before, null where it was absent."""
    new: Any
    """Its value now, null where it is absent."""
    cause: Cause
    """What kind of change it is."""


class CostLine(Config):
    """A line of the bill that differs."""

    key: str
    """Name of the line."""
    base_usd: float
    """USD a month before."""
    new_usd: float
    """USD a month now."""


class Cost(Config):
    """The bill of a hosting pattern, where it differs."""

    pattern: str
    """Hosting pattern."""
    base_usd: float
    """USD a month before."""
    new_usd: float
    """USD a month now."""
    change_usd: float
    """New less base."""
    by_usd: dict[Cause, float] | None
    """USD of the change by cause; null where it cannot be told."""
    together: list[Cause]
    """Causes that cannot be told apart."""
    together_usd: float
    """What those are together."""
    lines: list[CostLine]
    """Lines that differ."""


class Figure(Config):
    """A figure before and after."""

    pattern: str
    """Hosting pattern."""
    workload: str
    """Workload, `all` for the hosting pattern as a whole."""
    metric: str
    """Which figure."""
    unit: Unit
    """Its unit."""
    base: float | None
    """Before, null where there was none."""
    new: float | None
    """Now, null where there is none."""
    change: float | None
    """New less base."""
    relative: float | None
    """Change over base."""
    change_ci95: tuple[float, float] | None
    """95 % interval of the change over replications, null where there is none."""


class Judged(Config):
    """What one rule says about one figure."""

    rule: str
    """A metric, `recommendation` or `missing_pattern`."""
    pattern: str
    """Hosting pattern, empty where it is about the verdict."""
    workload: str
    """Workload, or `all`."""
    outcome: Literal["passed", "warned", "inconclusive", "failed"]
    """What came of it."""
    message: str
    """The figures, and what was allowed."""
    cause: str
    """What explains them, in one line."""


class Judgement(Config):
    """What the gate says."""

    outcome: Literal["passed", "warned", "inconclusive", "failed"]
    """The worst finding."""
    exit_code: Literal[0, 1, 3]
    """Of `simulator check`."""
    findings: list[Judged]
    """One for each rule and figure."""


class GateDocument(Config):
    """What `simulator compare --json` and `simulator check --json` print."""

    schema_version: Literal[1]
    """Version of this document."""
    simulator_version: str
    """Version that compared."""
    base: Side
    """Before."""
    new: Side
    """After."""
    paired: bool
    """Whether both drew the same random numbers, so that intervals are those of the differences."""
    notes: list[str]
    """What to know when reading it."""
    changes: list[Change]
    """What was asked differently."""
    missing: dict[str, str]
    """Hosting patterns without figures now, and why."""
    added: list[str]
    """Hosting patterns that only the new result has."""
    costs: list[Cost]
    """Bills that differ."""
    metrics: list[Figure]
    """Every figure that either side has."""
    check: Judgement | None
    """What the gate says; null from `simulator compare`."""


def gate_document(comparison: Comparison, judged: Check | None = None) -> bytes:
    """The document as bytes, the same for the same results."""
    found = GateDocument(
        schema_version=1,
        simulator_version=package_version(),
        base=_side(comparison.base),
        new=_side(comparison.new),
        paired=comparison.paired,
        notes=comparison.notes,
        changes=[
            Change(key=dotted(change.key), base=change.base, new=change.new, cause=change.cause)
            for change in comparison.changes
        ],
        missing=comparison.missing,
        added=comparison.added,
        costs=[_cost(cost) for cost in comparison.costs],
        metrics=[_figure(change) for change in comparison.metrics],
        check=None if judged is None else _judgement(judged),
    )
    plain = document(found.model_dump(mode="python"))
    return json.dumps(plain, indent=2, ensure_ascii=False).encode() + b"\n"


def result_schema() -> str:
    """JSON Schema of a result, as far as a comparison reads it; it has more keys. Ends in a line feed."""
    schema = {"$schema": "http://json-schema.org/draft-07/schema#", **Result.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def gate_schema() -> str:
    """JSON Schema of the document, ending in a line feed."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **GateDocument.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _side(side: ResultFile) -> Side:
    result = side.result
    return Side(
        path=side.path,
        scenario=result.scenario.name,
        scenario_sha256=result.scenario.sha256,
        price_book=result.price_book.id,
        price_book_sha256=result.price_book.sha256,
        simulator_version=result.simulator_version,
        seed=result.seed,
        replications=result.replications,
        recommended=result.decision.recommended,
    )


def _cost(cost: CostChange) -> Cost:
    parts = cost.attribution
    return Cost(
        pattern=cost.pattern,
        base_usd=cost.base_usd,
        new_usd=cost.new_usd,
        change_usd=cost.new_usd - cost.base_usd,
        by_usd=None if parts is None else {cause: float(usd) for cause, usd in parts.by_usd.items()},
        together=[] if parts is None else list(parts.together),
        together_usd=0.0 if parts is None else float(parts.together_usd),
        lines=[CostLine(key=key, base_usd=base, new_usd=new) for key, (base, new) in cost.lines.items()],
    )


def _figure(change: MetricChange) -> Figure:
    moved = change.change
    known = moved is not None and moved.low is not None and moved.high is not None
    return Figure(
        pattern=change.pattern,
        workload=change.workload,
        metric=change.metric,
        unit=METRICS[change.metric].unit,
        base=change.base,
        new=change.new,
        change=None if moved is None else moved.mean,
        relative=change.relative,
        change_ci95=(moved.low, moved.high) if known else None,  # type: ignore[union-attr, arg-type]
    )


def _judgement(judged: Check) -> Judgement:
    rows = [{name: getattr(finding, name) for name in finding.__slots__} for finding in judged.findings]
    return Judgement(
        outcome=judged.outcome,
        exit_code=judged.exit_code,  # type: ignore[arg-type]
        findings=[Judged(**row) for row in rows],
    )
