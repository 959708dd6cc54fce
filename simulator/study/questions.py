"""Many questions at once: each simulation is handed out once, and a question when all that it needs is there."""

from __future__ import annotations

import tempfile
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.experiment.checks import unfit
from simulator.experiment.errand import Call
from simulator.experiment.losses import asked
from simulator.experiment.model_length import with_model_lengths
from simulator.experiment.replications import call_of, is_kept, representatives, tasks_of
from simulator.experiment.workers import pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from simulator.experiment.workers import Jobs, Pool
    from simulator.scenario.schema import Scenario


@dataclass(frozen=True, slots=True)
class Question:
    """Some hosting patterns of a scenario, simulated without tables.

    Attributes:
        number: Its own among others.
        scenario: The scenario.
        patterns: Names of the hosting patterns.
        replications: How many.
    """

    number: int
    scenario: Scenario
    patterns: tuple[str, ...]
    replications: int


@dataclass(slots=True)
class _Open:
    """A question, and how many of its simulations are not there yet."""

    question: Question
    names: tuple[str, ...]
    missing: int = 0


@dataclass(slots=True)
class _Desk:
    """What is being simulated for whom.

    Attributes:
        function: See `answers`.
        store: The folder.
        jobs: Who works.
        workers: The same, at work.
        waiting: Questions by the file of a simulation that is in flight.
    """

    function: Callable[..., Any]
    store: Path
    jobs: Jobs
    workers: Pool
    waiting: dict[str, list[_Open]] = field(default_factory=dict)

    def take(self, question: Question) -> Iterator[tuple[int, Any]]:
        """Hand out what a question needs."""
        scenario = with_model_lengths(question.scenario)
        refused = unfit(scenario, question.patterns)
        fit = [name for name in question.patterns if name not in refused]
        patterns = dict.fromkeys(representatives(scenario, fit).values())
        tasks = tasks_of(scenario, patterns, question.replications, kept=True)
        one = _Open(question, tuple(task.name for task in tasks if task.name))
        for task in tasks:
            if task.name is None or is_kept(self.store, task):
                continue
            if task.name not in self.waiting:
                self.waiting[task.name] = []
                self.workers.submit(call_of(scenario, task))
            self.waiting[task.name].append(one)
            one.missing += 1
        yield from self._ask(one)

    def next(self) -> Iterator[tuple[int, Any]]:
        """See what comes back; an answer, or a simulation that makes questions ready."""
        call, result = self.workers.next()
        if call.makes is None:
            yield call.arguments[0], result
            return
        for one in self.waiting.pop(call.makes):
            one.missing -= 1
            yield from self._ask(one)

    def _ask(self, one: _Open) -> Iterator[tuple[int, Any]]:
        if one.missing:
            return
        question = one.question
        told = question.number, question.patterns, question.replications
        if not isinstance(self.jobs, int) and asked(question.scenario):
            # It simulates more, which is handed out from here as well.
            yield question.number, self.function(question.scenario, self.store, *told, self.jobs)
            return
        self.workers.submit(Call(self.function, question.scenario, (*told, 1), reads=one.names))


def answers(
    questions: Iterable[Question], function: Callable[..., Any], *, jobs: Jobs, store: Path | None
) -> Iterator[tuple[int, Any]]:
    """Number and answer of each question, as they come.

    Args:
        questions: The questions, taken when somebody has time for them.
        function: Of a module: `function(scenario, folder, number, patterns, replications, jobs)` finds the simulations
            in the folder.
        jobs: Processes, or a cluster; no answer depends on it.
        store: Where finished simulations are kept, and found again.

    Raises:
        ScenarioError: A scenario cannot be simulated.
    """
    with tempfile.TemporaryDirectory() if store is None else nullcontext(store) as place:
        folder = Path(place)
        with pool(jobs, folder) as workers:
            desk = _Desk(function, folder, jobs, workers)
            for question in questions:
                yield from desk.take(question)
                while workers.in_flight >= workers.window:
                    yield from desk.next()
            while workers.in_flight:
                yield from desk.next()
