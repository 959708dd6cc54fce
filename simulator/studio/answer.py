"""What is simulated for an answer, and how finely; a question whose simulations are kept costs none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator.decision.band import with_band_ends
from simulator.errors import ScenarioError
from simulator.experiment.checks import unfit
from simulator.experiment.model_length import with_model_lengths
from simulator.experiment.replications import call_of, is_kept, representatives, tasks_of
from simulator.results import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from simulator.experiment.errand import Call
    from simulator.experiment.replications import Task
    from simulator.experiment.workers import Jobs
    from simulator.results import Results
    from simulator.scenario.schema import Scenario


@dataclass(frozen=True, slots=True, order=True)
class Fineness:
    """How much is known.

    Attributes:
        replications: How many replications are behind it.
        whole: Whether it is all that `simulator run` would say: the ends of the step-time bands, other volumes and
            other prices too.
    """

    replications: int
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """A scenario answered, more or less finely.

    Attributes:
        scenario: The question.
        results: The answer.
        fineness: What is behind it.
    """

    scenario: Scenario
    results: Results
    fineness: Fineness


def finenesses(scenario: Scenario) -> Iterator[Fineness]:
    """From the least there is to all there is; each needs what the one before needs, and twice as many replications."""
    count, asked = 1, scenario.experiment.replications
    while count < asked:
        yield Fineness(count)
        count *= 2
    yield Fineness(asked)
    yield Fineness(asked, whole=True)


def missing(scenario: Scenario, fineness: Fineness, store: Path) -> list[tuple[Scenario, Task]]:
    """Simulations that are not kept yet, each with the scenario it is one of.

    Raises:
        ScenarioError: The scenario cannot be simulated.
    """
    sized = with_model_lengths(scenario)
    names = [name for name in sized.hosting_patterns if name not in unfit(sized, [*sized.hosting_patterns])]
    chosen = representatives(sized, names)
    tasks = tasks_of(sized, dict.fromkeys(chosen.values()), fineness.replications, kept=True, tables=True)
    found = [(sized, task) for task in tasks if not is_kept(store, task)]
    if fineness.whole:
        wider, ends = with_band_ends(sized, names)
        own = dict.fromkeys(representatives(wider, ends).values())
        found += [(wider, task) for task in tasks_of(wider, own, 1, kept=True) if not is_kept(store, task)]
    return found


def calls(scenario: Scenario, fineness: Fineness, store: Path) -> list[Call]:
    """The same as calls for whoever works them out."""
    return [call_of(of, task, number) for number, (of, task) in enumerate(missing(scenario, fineness, store))]


def finest_kept(scenario: Scenario, store: Path) -> Fineness | None:
    """The finest answer that needs no simulation; None where there is none."""
    best = None
    try:
        for fineness in finenesses(scenario):
            if missing(scenario, fineness, store):
                break
            best = fineness
    except ScenarioError:
        return None
    return best


def answer(scenario: Scenario, fineness: Fineness, store: Path, *, jobs: Jobs = 1, outlook: bool = True) -> Answer:
    """The answer of a scenario; what is kept is not simulated again.

    Args:
        scenario: The question.
        fineness: How finely.
        store: Where simulations are kept.
        jobs: Who simulates.
        outlook: Whether it also looks at other volumes and prices; a whole answer may simulate some for that.

    Raises:
        ScenarioError: The scenario cannot be simulated.
    """
    results = run(
        scenario,
        replications=fineness.replications,
        jobs=jobs,
        folder=store,
        band=fineness.whole,
        outlook=outlook,
        volumes=fineness.whole,
    )
    return Answer(scenario, results, fineness if outlook else Fineness(fineness.replications))
