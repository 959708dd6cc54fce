"""Many questions at once: each simulation is handed out once, and a question when all that it needs is there.

What is small is handed out together, as it takes longer to hand out than to answer: some questions at a time, each with
the simulations that no earlier one makes. What is large is handed out a simulation at a time.
"""

from __future__ import annotations

import tempfile
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from simulator.experiment.checks import unfit
from simulator.experiment.errand import Call, Sealed
from simulator.experiment.losses import asked
from simulator.experiment.model_length import with_model_lengths
from simulator.experiment.replications import call_of, is_kept, representatives, tasks_of
from simulator.experiment.workers import pool
from simulator.workload.synthesis import expected_in_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from simulator.experiment.workers import Jobs, Pool

#: Requests that are simulated in one go, some tenths of a second; what has more is handed out by itself.
_TOGETHER: Final = 30_000.0
#: An answer takes as long as so many requests.
_ANSWER: Final = 1_000.0
#: And no more questions than make so many portions of them all, so that nobody idles at the end.
_PORTIONS: Final = 16


@dataclass(frozen=True, slots=True)
class Question:
    """Some hosting patterns of a scenario, simulated without tables.

    Attributes:
        number: Its own among others.
        sealed: Gives the scenario.
        patterns: Names of the hosting patterns; all of the scenario where None.
        replications: How many; the scenario's where None.
    """

    number: int
    sealed: Callable[[], Sealed]
    patterns: tuple[str, ...] | None = None
    replications: int | None = None


@dataclass(slots=True)
class _Open:
    """A question that has no answer yet.

    Attributes:
        question: The question.
        told: Its number, names of patterns and number of replications.
        names: Files of all its simulations.
        mine: Those that it makes itself.
        requests: How many it simulates itself, and what stands for its answer.
        alone: Whether it is large, or simulates more.
        missing: How many of the others are not there yet.
    """

    question: Question
    told: tuple[int, tuple[str, ...], int]
    names: tuple[str, ...]
    mine: tuple[str, ...] = ()
    requests: float = 0.0
    alone: bool = False
    missing: int = 0


@dataclass(slots=True)
class _Desk:
    """What is being simulated for whom.

    Attributes:
        function: See `answers`.
        store: The folder.
        jobs: Who works.
        workers: The same, at work.
        most: Questions that are handed out together.
        waiting: Questions by the file of a simulation that is being made.
        ready: Questions to be handed out together.
        at_hand: What they make.
        blocked: Questions that wait.
    """

    function: Callable[..., Any]
    store: Path
    jobs: Jobs
    workers: Pool
    most: int
    waiting: dict[str, list[_Open]] = field(default_factory=dict)
    ready: list[_Open] = field(default_factory=list)
    at_hand: set[str] = field(default_factory=set)
    blocked: int = 0

    def take(self, question: Question) -> Iterator[tuple[int, Any]]:
        """Hand out what a question needs."""
        scenario = with_model_lengths(question.sealed().scenario)
        names = question.patterns or tuple(scenario.hosting_patterns)
        replications = question.replications or scenario.experiment.replications
        refused = unfit(scenario, names)
        fit = [name for name in names if name not in refused]
        patterns = dict.fromkeys(representatives(scenario, fit).values())
        tasks = {task.name: task for task in tasks_of(scenario, patterns, replications, kept=True)}
        missing = {name: task for name, task in tasks.items() if name and not is_kept(self.store, task)}
        mine = {name: task for name, task in missing.items() if name not in self.waiting}
        requests = expected_in_all(scenario) * len(mine) + _ANSWER
        told = question.number, names, replications
        one = _Open(question, told, tuple(name for name in tasks if name), tuple(mine), requests)
        one.alone = requests > _TOGETHER or (not isinstance(self.jobs, int) and bool(asked(scenario)))
        self.waiting |= {name: [] for name in mine}
        awaited = missing.keys() if one.alone else missing.keys() - mine.keys()
        if one.alone or not awaited <= self.at_hand:
            for name in awaited:
                self.waiting[name].append(one)
            one.missing = len(awaited)
            self.blocked += bool(awaited)
        for task in mine.values() if one.alone else ():
            self.workers.submit(call_of(scenario, task))
        yield from self._ask(one)

    def next(self) -> Iterator[tuple[int, Any]]:
        """See what comes back; answers, or a simulation that makes questions ready."""
        call, result = self.workers.next()
        if call.makes is not None:
            yield from self._made([call.makes])
            return
        for number, names, answer in result:
            yield number, answer
            yield from self._made(names)

    def hand_out_ready(self) -> None:
        """Hand out what is ready."""
        if not self.ready:
            return
        told = [(one.told, one.mine) for one in self.ready]
        reads = dict.fromkeys(name for one in self.ready for name in one.names if name not in one.mine)
        sealed = [one.question.sealed() for one in self.ready]
        self.workers.submit(Call(_answered, sealed, (self.function, told), reads=tuple(reads)))
        self.ready, self.at_hand = [], set()

    def _made(self, names: Iterable[str]) -> Iterator[tuple[int, Any]]:
        for name in names:
            for one in self.waiting.pop(name):
                one.missing -= 1
                self.blocked -= not one.missing
                yield from self._ask(one)

    def _ask(self, one: _Open) -> Iterator[tuple[int, Any]]:
        if one.missing:
            return
        question = one.question
        if one.alone and not isinstance(self.jobs, int) and asked(scenario := question.sealed().scenario):
            # It simulates more, which is handed out from here as well.
            yield question.number, self.function(scenario, self.store, *one.told, self.jobs)
            return
        if one.alone:
            one.mine = ()
        self.ready.append(one)
        self.at_hand |= {*one.mine}
        if one.alone or len(self.ready) >= self.most or sum(each.requests for each in self.ready) > _TOGETHER:
            self.hand_out_ready()


def _answered(
    scenarios: Sequence[Sealed],
    folder: Path,
    function: Callable[..., Any],
    told: Sequence[tuple[tuple[int, tuple[str, ...], int], tuple[str, ...]]],
) -> list[tuple[int, tuple[str, ...], Any]]:
    """Number, simulations and answer of some questions, on any machine."""
    return [
        (one[0], made, function(sealed.scenario, folder, *one, 1))
        for sealed, (one, made) in zip(scenarios, told, strict=True)
    ]


def answers(
    questions: Sequence[Question], function: Callable[..., Any], *, jobs: Jobs, store: Path | None
) -> Iterator[tuple[int, Any]]:
    """Number and answer of each question, as they come.

    Args:
        questions: The questions, looked into when somebody has time for them.
        function: Of a module: `function(scenario, folder, number, patterns, replications, jobs)` finds the simulations
            in the folder, or makes them there.
        jobs: Processes, or a cluster; no answer depends on it.
        store: Where finished simulations are kept, and found again.

    Raises:
        ScenarioError: A scenario cannot be simulated.
    """
    with tempfile.TemporaryDirectory() if store is None else nullcontext(store) as place:
        folder = Path(place)
        with pool(jobs, folder) as workers:
            desk = _Desk(function, folder, jobs, workers, max(1, len(questions) // _PORTIONS))
            for question in questions:
                yield from desk.take(question)
                while workers.in_flight + desk.blocked // desk.most >= workers.window:
                    if not workers.in_flight:
                        desk.hand_out_ready()
                    yield from desk.next()
            desk.hand_out_ready()
            while workers.in_flight:
                yield from desk.next()
                desk.hand_out_ready()
