"""The desk: answers the newest question, coarsely and at once, then ever more finely, until another one is asked."""

from __future__ import annotations

import logging
from threading import Condition, Thread
from typing import TYPE_CHECKING

from simulator.errors import SimulatorError
from simulator.experiment.workers import spread
from simulator.studio.answer import answer, calls, finenesses, finest_kept

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.scenario.schema import Scenario
    from simulator.studio.answer import Answer, Fineness


class Desk:
    """Works in a thread of its own; what it found is looked up by whoever wants to show it.

    Args:
        store: Where simulations are kept.
        jobs: Processes.
    """

    def __init__(self, store: Path, jobs: int = 1) -> None:
        self._store, self._jobs = store, jobs
        self._changed = Condition()
        # A question and its number: the same may be asked again.
        self._question: tuple[int, Scenario] | None = None
        self._asked = 0
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
        found = self._priced(scenario)
        with self._changed:
            self._asked += 1
            self._question, self._fault, self._working = (self._asked, scenario), "", True
            if found is not None:
                self._say(found)
            self._changed.notify_all()
        return found

    def _priced(self, scenario: Scenario) -> Answer | None:
        fineness = finest_kept(scenario, self._store)
        if fineness is None:
            return None
        try:
            return answer(scenario, fineness, self._store, outlook=False)
        except SimulatorError:
            # It is worked out again, and said then.
            return None

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
        done: tuple[int, Scenario] | None = None
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

    def _next(self, done: tuple[int, Scenario] | None) -> tuple[int, Scenario] | None:
        """The newest question once there is another one; None when no more are taken."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._question is not done)
            return None if self._closed else self._question

    def _refine(self, number: int, scenario: Scenario) -> None:
        """Every fineness in turn that is not there yet, as long as nothing else is asked."""
        known = finest_kept(scenario, self._store)
        for fineness in finenesses(scenario):
            # It was said when the question was asked.
            if known is not None and fineness <= known and not fineness.whole:
                continue
            if not self._simulated(number, scenario, fineness):
                return
            # What other volumes cost takes as long again as the first answer.
            first = known is None and fineness.replications == 1
            for outlook in (False, True) if first else (True,):
                found = answer(scenario, fineness, self._store, jobs=self._jobs, outlook=outlook)
                with self._changed:
                    if not self._wanted(number):
                        return
                    self._say(found)
                    self._changed.notify_all()

    def _simulated(self, number: int, scenario: Scenario, fineness: Fineness) -> bool:
        """Whether all that a fineness needs is kept now; a few simulations at a time, as long as it is wanted."""
        wanted = calls(scenario, fineness, self._store)
        for start in range(0, len(wanted), self._jobs):
            with self._changed:
                if not self._wanted(number):
                    return False
            for _ in spread(wanted[start : start + self._jobs], self._jobs, self._store):
                pass
        return True

    def _wanted(self, number: int) -> bool:
        return self._asked == number and not self._closed
