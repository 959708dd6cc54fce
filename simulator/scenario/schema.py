"""The scenario: one question, and the candidate answers to compare."""

from __future__ import annotations

import hashlib
import json
from copy import deepcopy
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, PrivateAttr, ValidationError

from simulator.errors import ScenarioError
from simulator.scenario.base import Config, Faults, FieldError, Name, Seconds, UsdPerMonth, check
from simulator.scenario.compliance import Compliance
from simulator.scenario.costs import Prices, rates_of
from simulator.scenario.faults import faults_of, in_file_order
from simulator.scenario.horizon import Horizon
from simulator.scenario.merging import apply_settings
from simulator.scenario.patterns import HostingPattern
from simulator.scenario.resilience import Component, FailureRates
from simulator.scenario.rollout import Rollout
from simulator.scenario.rules import RuleTable
from simulator.scenario.team import Team
from simulator.scenario.workloads import AnyWorkload, SyntheticWorkload, follows_of
from simulator.scenario.yaml_source import Document
from simulator.wording import counted

if TYPE_CHECKING:
    from collections.abc import Mapping


class Constraints(Config):
    """What an answer must respect before its cost counts."""

    phi_may_leave: bool = True
    """Whether protected health information may go to an API under a business associate agreement."""
    monthly_cost_at_most: UsdPerMonth | None = None
    """Budget."""
    team: Team | None = None
    """Who would run a cluster; without it, staffing readiness is not assessed."""
    survives: list[Component] = Field(default_factory=list)
    """What may fail in the busiest hour without a workload missing its limits for the requests of that hour (without
    limits: leaving more than one in a hundred unanswered): a replica, a machine, a site, an API. Each is simulated.
    What a pattern does not have cannot fail it."""
    failures: FailureRates = FailureRates()
    """How often such things fail, and for how long."""


class Experiment(Config):
    """How the question is simulated."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 20261123
    """Root of every random stream."""
    replications: Annotated[int, Field(ge=1, le=1000)] = 5
    """Independent repetitions; intervals come from their spread."""
    warm_up: Seconds = 0.0
    """Time at the beginning of the horizon left out of latency, utilisation and cost."""


class Scenario(Config):
    """One question about where language models should run."""

    schema_version: Literal[1] = 1
    """Version of this file format."""
    name: Name
    """Short name: lower-case letters, digits and underscores."""
    description: str = ""
    """One paragraph for the report."""
    horizon: Horizon
    """What is simulated, and when."""
    workloads: Annotated[dict[Name, AnyWorkload], Field(min_length=1)]
    """The demand, by workload."""
    hosting_patterns: Annotated[dict[Name, HostingPattern], Field(min_length=1)]
    """The candidate answers, by name."""
    constraints: Constraints = Constraints()
    """What an answer must respect."""
    compliance: Compliance | None = None
    """Who may see protected health information; not assessed when absent."""
    prices: Prices = Prices()
    """Price book and billing month."""
    experiment: Experiment = Experiment()
    """Seed, replications, warm-up."""
    rollout: Rollout | None = None
    """How the site grows into this volume, and when its hosting pattern changes; for `simulator rollout`."""
    rules: dict[Name, RuleTable] = Field(default_factory=dict)
    """Rules of thumb of one's own, shown beside the verdict with those of the source document."""

    _document: Document = PrivateAttr(default_factory=lambda: Document({}))

    @classmethod
    def from_document(cls, document: Document) -> Scenario:
        """A scenario from merged data.

        Raises:
            ScenarioError: Everything that is wrong.
        """
        try:
            scenario = cls.model_validate(document.data, context=rates_of(document.data))
        except ValidationError as error:
            # A key that could not be read is not also missing.
            known = {(fault.file, fault.key) for fault in document.faults}
            faults = [fault for fault in faults_of(error, document, cls) if (fault.file, fault.key) not in known]
            raise ScenarioError(in_file_order([*document.faults, *faults])) from None
        if document.faults:
            raise ScenarioError(in_file_order(document.faults))
        scenario._document = document
        return scenario

    def with_overrides(self, settings: Mapping[str, Any]) -> Scenario:
        """The same scenario with other values, by dotted key path such as `{"experiment.seed": 7}`.

        Raises:
            ScenarioError: The result is not a valid scenario.
        """
        document = deepcopy(self._document)
        apply_settings(document, settings)
        return Scenario.from_document(document)

    def __repr__(self) -> str:
        counts = f"{counted(len(self.workloads), 'workload')}, {counted(len(self.hosting_patterns), 'hosting pattern')}"
        return f"<Scenario {self.name}: {counts}; {self.sha256[:12]}>"

    __str__ = __repr__

    def origin(self, *key: str | int) -> tuple[str, int]:
        """File and line a key was written at, or its nearest ancestor."""
        return self._document.origin(key)

    @property
    def override_names(self) -> tuple[str, ...]:
        """Names of the file's `overrides:` blocks."""
        return self._document.overrides

    @property
    def resolved(self) -> dict[str, Any]:
        """The file as merged with what it extends and what was set, before defaults."""
        return deepcopy(self._document.data)

    def says(self, section: str) -> bool:
        """Whether a section is in `resolved`."""
        return section in self._document.data

    @property
    def merged(self) -> Document:
        """The same with where each value stands, to set others in it."""
        return deepcopy(self._document)

    @property
    def sha256(self) -> str:
        """Hash of `resolved`."""
        canonical = json.dumps(
            self._document.data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str
        )
        return hashlib.sha256(canonical.encode()).hexdigest()

    @check
    def _something_comes_first(self) -> Faults:
        synthetic = [name for name, load in self.workloads.items() if isinstance(load, SyntheticWorkload)]
        stated = {name: follows for name, load in self.workloads.items() if (follows := follows_of(load)) is not None}
        strange = {
            name: follows.workload
            for name, follows in stated.items()
            if follows.workload not in synthetic or follows.workload == name
        }
        for name, followed in strange.items():
            known = ", ".join(other for other in synthetic if other != name)
            message = f"'{followed}' is no other synthetic workload; expected one of: {known or 'none here'}"
            yield FieldError(("workloads", name, "follows", "workload"), message)
        if strange:
            return
        for name in stated:
            if (begin := self.chain(name))[0] in stated:
                message = f"{' follows '.join(reversed(begin))} follows {stated[begin[0]].workload}: none comes first"
                yield FieldError(("workloads", name, "follows", "workload"), message)

    def chain(self, workload: str) -> tuple[str, ...]:
        """The workloads whose requests follow one another up to this one, which is the last; each once."""
        found = [workload]
        while (follows := follows_of(self.workloads[found[0]])) is not None and follows.workload not in found:
            found.insert(0, follows.workload)
        return tuple(found)

    @property
    def chains(self) -> dict[str, tuple[str, ...]]:
        """`chain` of every workload that follows another."""
        return {name: along for name in self.workloads if len(along := self.chain(name)) > 1}

    @check
    def _warm_up_inside(self) -> Faults:
        if self.experiment.warm_up >= self.horizon.duration_s:
            yield FieldError(("experiment", "warm_up"), "must be shorter than the horizon")
