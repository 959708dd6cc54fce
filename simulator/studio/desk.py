"""The desk: answers the newest question, coarsely and at once, then ever more finely, until another one is asked."""

from __future__ import annotations

import logging
from dataclasses import replace
from threading import Condition, Thread
from typing import TYPE_CHECKING

from simulator.engine.simulation import is_compiled, prepare
from simulator.errors import SimulatorError
from simulator.experiment.workers import spread
from simulator.studio.answer import Memory, answer, calls
from simulator.studio.question import Question

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from simulator.scenario.schema import Scenario
    from simulator.studio.answer import Answer
    from simulator.studio.question import Fineness


class Desk:
    """Works in a thread of its own; what it found is looked up by whoever wants to show it.

    Args:
        store: Where simulations are kept.
        jobs: Processes.
        patience_s: How long a first answer may wait to be seen before a finer one is worked on, which takes the page
            its time.
    """

    def __init__(self, store: Path, jobs: int = 1, patience_s: float = 0.0) -> None:
        self.memory = Memory(store)
        self._store, self._jobs, self._patience_s = store, jobs, patience_s
        self._changed = Condition()
        # A question, its number, as the same may be asked again, and how finely it was answered when it was asked.
        self._question: tuple[int, Question, Fineness | None] | None = None
        self._asked = self._seen = 0
        self._answer: Answer | None = None
        self._fault = ""
        self._working = False
        self._closed = False
        self._number = 0
        self._thread = Thread(target=self._work, daemon=True)
        self._thread.start()

    @property
    def state(self) -> tuple[int, Answer | None, bool, str]:
        """Number of the newest answer, the answer, whether a finer one is being worked on, and what went wrong."""
        with self._changed:
            return self._number, self._answer, self._working, self._fault

    def ask(self, scenario: Scenario) -> Answer | None:
        """Ask a question; the newest one counts.

        Returns:
            Its answer, where all that this needs is kept: nothing is simulated here.
        """
        question = Question(scenario)
        found = self.known(question)
        known = None if found is None else found.fineness
        with self._changed:
            self._asked += 1
            self._question, self._fault, self._working = (self._asked, question, known), "", True
            if found is not None:
                self._say(found)
            self._changed.notify_all()
        return found

    def known(self, question: Question) -> Answer | None:
        """The finest answer that needs no simulation; None where there is none."""
        try:
            fineness = question.finest_kept(self._store)
            return None if fineness is None else answer(question, fineness, self.memory, outlook=False)
        except SimulatorError:
            # It is worked out again, and said then.
            return None

    def wait_for_news(self, number: int, timeout_s: float) -> None:
        """Wait until there is another answer than this one, or no finer one is being worked on."""
        with self._changed:
            self._changed.wait_for(lambda: self._number != number or not self._working, timeout_s)

    def seen(self, number: int) -> None:
        """Say that the answer of this number is on the page."""
        with self._changed:
            self._seen = number
            self._changed.notify_all()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until there is nothing to do; whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._working, timeout_s)

    def close(self) -> None:
        """Take no more questions, and end with what is in hand."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _say(self, found: Answer) -> None:
        self._answer, self._number = found, self._number + 1

    def _work(self) -> None:
        done: tuple[int, Question, Fineness | None] | None = None
        loaded = False
        while (asked := self._next(done)) is not None:
            done = asked
            fault = ""
            try:
                self._refine(*asked)
            except SimulatorError as error:
                fault = str(error)
            except Exception as error:  # a fault of ours: the page says so, and the next question is answered
                logging.getLogger(__name__).exception("an answer failed")
                fault = f"internal fault: {type(error).__name__}: {error}"
            with self._changed:
                if self._question is asked:
                    self._working, self._fault = False, fault
                    self._changed.notify_all()
            if not loaded and is_compiled():
                # What was kept took no engine; the next question may.
                prepare()
                loaded = True

    def _next(self, done: tuple[int, Question, Fineness | None] | None) -> tuple[int, Question, Fineness | None] | None:
        """The newest question once there is another one; None when no more are taken."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._question is not done)
            return None if self._closed else self._question

    def _refine(self, number: int, question: Question, known: Fineness | None) -> None:
        """Every fineness in turn that is not there yet, as long as nothing else is asked."""
        # What other volumes and prices cost takes far longer than a verdict, which therefore comes first, once.
        looked = known is not None
        if looked:
            self._let_see(number)
        for fineness in self._steps(question, known):
            if not self._simulated(number, question, fineness):
                return
            for outlook in (False,) if fineness.week else (True,) if looked else (False, True):
                found = answer(question, fineness, self.memory, jobs=self._jobs, outlook=outlook)
                with self._changed:
                    if not self._wanted(number):
                        return
                    self._say(found)
                    self._changed.notify_all()
                if not outlook:
                    self._let_see(number)
                looked = outlook

    def _steps(self, question: Question, known: Fineness | None) -> Iterator[Fineness]:
        """What is still to be said of a question."""
        every = [*question.finenesses()]
        if known is not None:
            # It was said when the question was asked, without what other volumes and prices would do.
            yield from every[min(every.index(known) + 1, len(every) - 1) :]
            return
        for fineness in every:
            if not fineness.week or self._saves(question, fineness):
                yield fineness

    def _saves(self, question: Question, week: Fineness) -> bool:
        """Whether a week is less to simulate than what the whole horizon still lacks."""
        short, whole = (
            sum(of.horizon.duration_s for of, _ in question.missing(fineness, self._store))
            for fineness in (week, replace(week, week=False))
        )
        return 2.0 * short < whole

    def _simulated(self, number: int, question: Question, fineness: Fineness) -> bool:
        """Whether all that a fineness needs is kept now; a few simulations at a time, as long as it is wanted."""
        wanted = calls(question, fineness, self._store)
        # A week is over before processes have started.
        jobs = 1 if fineness.week else self._jobs
        for start in range(0, len(wanted), jobs):
            with self._changed:
                if not self._wanted(number):
                    return False
            for _ in spread(wanted[start : start + jobs], jobs, self._store):
                pass
        return True

    def _let_see(self, number: int) -> None:
        """Let the page show what was said before its time is taken."""
        with self._changed:
            said = self._number
            self._changed.wait_for(lambda: self._seen >= said or not self._wanted(number), self._patience_s)

    def _wanted(self, number: int) -> bool:
        return self._asked == number and not self._closed
