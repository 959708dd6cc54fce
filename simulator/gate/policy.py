"""What a gate lets pass, as a file."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator

from simulator.errors import ScenarioError, nearest
from simulator.gate.metrics import METRICS, Direction
from simulator.scenario.base import Config, Faults, FieldError, PositiveInt, Share, check
from simulator.scenario.faults import faults_of, in_file_order
from simulator.scenario.yaml_source import read_document

Severity = Literal["fail", "warn"]
Number = Annotated[float, Field(strict=False)]
Amount = Annotated[float, Field(strict=False, ge=0)]


class Rule(Config):
    """What one figure may do."""

    metric: Annotated[str, Field(json_schema_extra={"enum": list(METRICS)})]
    """Which figure, such as monthly_cost_usd or e2e_p99_s."""
    patterns: list[str] | None = None
    """Hosting patterns it is about; all when absent."""
    workloads: list[str] | None = None
    """Workloads it is about. When absent: changes of the pattern as a whole and of each workload that has the metric,
    limits of the pattern as a whole."""
    direction: Direction | None = None
    """Which way is better; the metric's own when absent. `same`: both ways count."""
    relative: Share | None = None
    """Change that is tolerated, as a share of the baseline. It must exceed both tolerances to count."""
    absolute: Amount | None = None
    """Change that is tolerated, in the metric's unit. It must exceed both tolerances to count."""
    at_most: Number | None = None
    """Limit of the new value, whatever the baseline."""
    at_least: Number | None = None
    """Limit of the new value, whatever the baseline."""
    severity: Severity = "fail"
    """Whether a breach fails the gate or is only shown."""

    @field_validator("metric")
    @classmethod
    def _known_metric(cls, value: str) -> str:
        if value not in METRICS:
            raise ValueError(f"no such metric; {nearest(value, METRICS)}")
        return value

    @check
    def _says_something(self) -> Faults:
        given = (self.relative, self.absolute, self.at_most, self.at_least)
        if all(value is None for value in given):
            yield ValueError("give a tolerance (relative, absolute) or a limit (at_most, at_least)")
        if self.workloads is not None and not METRICS[self.metric].of_workloads:
            yield FieldError(("workloads",), f"{self.metric} is of a hosting pattern as a whole, not of its workloads")
        if self.at_most is not None and self.at_least is not None and self.at_most < self.at_least:
            yield FieldError(("at_most",), "may not be less than at_least")

    @property
    def compares(self) -> bool:
        """Whether the baseline matters to it."""
        return self.relative is not None or self.absolute is not None


class Policy(Config):
    """What a gate lets pass."""

    schema_version: Literal[1] = 1
    """Version of this file format."""
    replications_at_least: PositiveInt = 3
    """With fewer in either result, quantiles are not judged: the gate is inconclusive."""
    recommendation: Literal["fail", "warn", "ignore"] = "fail"
    """What it means that another hosting pattern is recommended."""
    missing_pattern: Literal["fail", "warn", "ignore"] = "fail"
    """What it means that a hosting pattern of the baseline is gone or no longer feasible."""
    rules: Annotated[list[Rule], Field(min_length=1)]
    """What each figure may do."""


def policy_schema() -> str:
    """JSON Schema of policy files, for editors, ending in a line feed."""
    schema = {"$schema": "http://json-schema.org/draft-07/schema#", **Policy.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def read_policy(path: Path | None) -> Policy:
    """Read a policy; the shipped one without a path.

    Raises:
        ScenarioError: Everything that is wrong, each with file, line and key.
    """
    if path is None:
        with resources.as_file(resources.files("simulator.gate") / "data" / "default_policy.yaml") as shipped:
            return read_policy(shipped)
    document = read_document(path)
    try:
        policy = Policy.model_validate(document.data)
    except ValidationError as error:
        raise ScenarioError(in_file_order([*document.faults, *faults_of(error, document, Policy)])) from None
    if document.faults:
        raise ScenarioError(in_file_order(document.faults))
    return policy
