"""The document's claims asked of the simulator: its case studies as scenarios, run and read off."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import Field

from simulator.results import Results, run
from simulator.scenario.base import Config
from simulator.scenario.loading import load_scenario

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from simulator.experiment.pattern_result import PatternResult


class Question(Config):
    """One figure of a claim that a scenario answers."""

    claim: str
    """Number of the claim."""
    what: str
    """What is read off."""
    scenario: str
    """File below the folder of scenarios."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of the scenario that change, by dotted key path; null removes."""
    pattern: str
    """Hosting pattern."""
    figure: Literal[
        "monthly_cost_usd",
        "usd_per_million_tokens",
        "capacity_percent",
        "busy_percent",
        "million_tokens",
        "capacity_tokens_per_s",
    ]
    """What of its result."""
    unit: str
    """Unit of the answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A question and what the simulation says; None where the result has no such figure."""

    question: Question
    value: float | None


def questions() -> list[Question]:
    """Every question, in the order of the claims."""
    raw = resources.files("simulator.audit").joinpath("data", "simulated.json").read_bytes()
    return [Question.model_validate(one) for one in json.loads(raw)]


def answers(
    scenarios: Path,
    asked: Iterable[Question],
    *,
    jobs: int = 1,
    store: Path | None = None,
    on_run: Callable[[str], None] | None = None,
) -> list[Answer]:
    """Simulate what is asked, one replication of each scenario.

    Args:
        scenarios: The folder of the scenarios.
        asked: Questions; those about the same scenario and settings share a run.
        jobs: Processes; the answers do not depend on it.
        store: Where finished simulations are kept and found.
        on_run: Called with a scenario's name before it is simulated.

    Raises:
        ScenarioError: A scenario is missing or wrong.
    """
    together: dict[str, list[Question]] = {}
    for question in asked:
        together.setdefault(json.dumps([question.scenario, question.settings], sort_keys=True), []).append(question)
    found = []
    for group in together.values():
        if on_run is not None:
            on_run(group[0].scenario)
        scenario = load_scenario(scenarios / group[0].scenario)
        if group[0].settings:
            scenario = scenario.with_overrides(group[0].settings)
        patterns = list(dict.fromkeys(question.pattern for question in group))
        results = run(
            scenario,
            patterns=patterns,
            replications=1,
            jobs=jobs,
            folder=store,
            tables=False,
            band=False,
            outlook=False,
        )
        found += [Answer(question, _read(results, question)) for question in group]
    return found


def _read(results: Results, question: Question) -> float | None:
    return _FIGURES[question.figure](results, results.pattern(question.pattern))


def _share(name: str) -> Callable[[Results, PatternResult], float | None]:
    def percent(_: Results, result: PatternResult) -> float | None:
        share = (result.utilisation or {}).get(name)
        return None if share is None else 100.0 * share

    return percent


def _million_tokens(results: Results, result: PatternResult) -> float | None:
    if result.usage is None:
        return None
    served = result.usage.served_prompt_tokens + result.usage.served_output_tokens
    return served * float(results.month_hours) / result.usage.hours / 1e6


_FIGURES: Final[dict[str, Callable[[Results, PatternResult], float | None]]] = {
    "monthly_cost_usd": lambda _, result: result.monthly_cost_usd.mean if result.monthly_cost_usd else None,
    "usd_per_million_tokens": lambda _, result: result.usd_per_million_tokens,
    "capacity_percent": _share("capacity_fraction"),
    "busy_percent": _share("busy_fraction"),
    "million_tokens": _million_tokens,
    "capacity_tokens_per_s": lambda results, result: (
        results.capacity_tokens_per_month[result.name] / float(results.month_hours) / 3600.0
    ),
}
