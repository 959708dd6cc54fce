"""The answer to a question; what was simulated for one is remembered, so that a price is put on it at once."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from simulator.experiment.replications import call_of
from simulator.experiment.tables import Tables
from simulator.plots import Plots
from simulator.report.currency import Shown
from simulator.results import gather, judge
from simulator.studio.question import Fineness

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from simulator.decision.evidence import Evidence
    from simulator.experiment.errand import Call
    from simulator.experiment.workers import Jobs
    from simulator.results import Depth, Results
    from simulator.scenario.schema import Scenario
    from simulator.studio.question import Question

#: Scenarios of which what was simulated is remembered, in each fineness.
_REMEMBERED: Final = 24


@dataclass(frozen=True)
class Answer:
    """A scenario answered, more or less finely.

    Attributes:
        scenario: The question.
        results: The answer.
        fineness: What is behind it.
        outlook: Whether it also looks at other volumes and prices.
    """

    scenario: Scenario
    results: Results
    fineness: Fineness
    outlook: bool = True

    @cached_property
    def plain(self) -> dict[str, Any]:
        """Its document."""
        return self.results.document()

    @cached_property
    def document(self) -> Mapping[str, Any]:
        """The same with amounts in the currency that people are shown."""
        shown: Mapping[str, Any] = Shown.of(self.scenario.prices).amounts(self.plain)
        return shown

    @cached_property
    def plots(self) -> Plots:
        """Figures of it."""
        return Plots(self.scenario, self.plain, self.results.tables)


@dataclass(slots=True)
class Memory:
    """What was simulated of the last questions, read from the store once and worked up as far as no price matters.

    Attributes:
        store: Where simulations are kept.
    """

    store: Path
    _known: OrderedDict[tuple[object, ...], Evidence] = field(default_factory=OrderedDict)
    _lock: Any = field(default_factory=Lock)

    def evidence(self, question: Question, fineness: Fineness, jobs: Jobs) -> Evidence:
        """What was simulated for a question; what is missing is simulated now.

        Raises:
            ScenarioError: It cannot be.
        """
        key = question.key(fineness)
        with self._lock:
            if (known := self._known.get(key)) is not None:
                self._known.move_to_end(key)
                return known
        of = question.week if fineness.week and question.week else question
        found = gather(
            of.sized, of.names, fineness.replications, jobs, self.store, tables=not fineness.week, band=fineness.whole
        )
        with self._lock:
            self._known[key] = found
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return found


def calls(question: Question, fineness: Fineness, store: Path) -> list[Call]:
    """Simulations that are not kept yet as calls for whoever works them out. Raises ScenarioError."""
    return [call_of(of, task, number) for number, (of, task) in enumerate(question.missing(fineness, store))]


def answer(question: Question, fineness: Fineness, memory: Memory, *, jobs: Jobs = 1, outlook: bool = True) -> Answer:
    """The answer to a question; what is kept is not simulated again.

    Args:
        question: The question.
        fineness: How finely.
        memory: What was simulated.
        jobs: Who simulates.
        outlook: Whether it also looks at other volumes and prices, which takes far longer than a verdict; a whole
            answer may simulate some for that.

    Raises:
        ScenarioError: The scenario cannot be simulated.
    """
    evidence = memory.evidence(question, fineness, jobs)
    depth: Depth = "choice" if not outlook else "volumes" if fineness.whole else "prices"
    results = judge(
        question.sized, [*question.sized.hosting_patterns], question.refusals, evidence,
        Tables() if fineness.week else _tables(question, memory.store), depth=depth, jobs=jobs, place=memory.store,
    )  # fmt: skip
    return Answer(question.scenario, results, fineness, outlook)


def _tables(question: Question, store: Path) -> Tables:
    """Where the tables of its first replications lie."""
    tasks = {task.pattern: task for _, task in question.simulations(Fineness(1))}
    return Tables({name: store / str(task.name) for name, task in tasks.items()}, shared=question.simulated_as)
