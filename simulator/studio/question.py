"""A scenario as a question: which simulations would answer it, and how finely."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

from simulator.decision.band import with_band_ends
from simulator.experiment.checks import check_patterns, unfit
from simulator.experiment.losses import asked
from simulator.experiment.model_length import with_model_lengths
from simulator.experiment.replications import is_kept, representatives, tasks_of
from simulator.scenario.workloads import RecordedWorkload
from simulator.units import HOUR_S, WEEK_S
from simulator.workload.volume import month_hours

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from simulator.experiment.checks import Unfit
    from simulator.experiment.replications import Task
    from simulator.scenario.schema import Scenario

#: A horizon of fewer weeks is simulated as it is.
_LEAST_WEEKS: Final = 3
#: So many times is the first week simulated for a coarse ±: a t interval of fewer is as wide as the figure.
_WEEKS: Final = 4


@dataclass(frozen=True, slots=True)
class Fineness:
    """How much is known.

    Attributes:
        replications: How many replications are behind it.
        whole: Whether it is all that `simulator run` would say: the ends of the step-time bands, other volumes and
            other prices too.
        week: Whether only the first week of the horizon was simulated.
    """

    replications: int
    whole: bool = False
    week: bool = False


@dataclass(frozen=True)
class Question:
    """A scenario, and what of it does not change while it is answered.

    Attributes:
        scenario: The scenario.
    """

    scenario: Scenario

    @cached_property
    def sized(self) -> Scenario:
        """With how long a request its clusters take. Raises ScenarioError."""
        return with_model_lengths(self.scenario)

    @cached_property
    def refusals(self) -> dict[str, Unfit]:
        """Why some of its patterns are not simulated. Raises ScenarioError."""
        every = [*self.sized.hosting_patterns]
        found = unfit(self.sized, every)
        # Of a scenario in which nothing is left it says what `run` does.
        return found if len(found) < len(every) else check_patterns(self.scenario, every)

    @cached_property
    def names(self) -> list[str]:
        """Patterns that are simulated."""
        return [name for name in self.sized.hosting_patterns if name not in self.refusals]

    @cached_property
    def simulated_as(self) -> dict[str, str]:
        """By pattern, the first one with the same simulation."""
        return representatives(self.sized, self.names)

    @cached_property
    def week(self) -> Question | None:
        """The same of the first week alone, billed as the month it is of; None where a week would say little else.

        That is where the horizon is not much longer, demand has a trend or is recorded, or something happens within
        the month: what breaks, or what is taken away to see what that does.
        """
        horizon, loads = self.sized.horizon, self.sized.workloads.values()
        if (
            horizon.duration_s < _LEAST_WEEKS * WEEK_S + self.sized.experiment.warm_up
            or any(isinstance(load, RecordedWorkload) or load.trend is not None for load in loads)
            or any(self.sized.hosting_patterns[name].faults for name in self.names)
            or asked(self.sized)
        ):
            return None
        first = {"start": f"{horizon.start_local:%Y-%m-%d}", "duration": WEEK_S + self.sized.experiment.warm_up}
        short = horizon.model_copy(update={"month": None, "end": None, **first})
        prices = self.sized.prices.model_copy(update={"month": month_hours(self.sized) * HOUR_S})
        return Question(self.scenario.model_copy(update={"horizon": short, "prices": prices}))

    def finenesses(self) -> Iterator[Fineness]:
        """From the least there is to all there is; each needs what the one before needs, beyond a week alone."""
        count, all_of_them = 1, self.scenario.experiment.replications
        if self.week is not None:
            yield Fineness(1, week=True)
            if all_of_them > 1:
                yield Fineness(min(_WEEKS, all_of_them), week=True)
                # One replication has no interval, which the weeks had.
                count = 2
        while count < all_of_them:
            yield Fineness(count)
            count *= 2
        yield Fineness(all_of_them)
        yield Fineness(all_of_them, whole=True)

    def simulations(self, fineness: Fineness) -> list[tuple[Scenario, Task]]:
        """All that an answer needs, each with the scenario it is one of. Raises ScenarioError."""
        if fineness.week:
            assert self.week is not None
            return [(self.week.sized, replace(task, tables=False)) for task in self.week._usual(fineness.replications)]
        found = [(self.sized, task) for task in self._usual(fineness.replications)]
        return [*found, *self._ends] if fineness.whole else found

    def _usual(self, replications: int) -> list[Task]:
        return [task for task in self._all if task.replication < replications]

    @cached_property
    def _all(self) -> list[Task]:
        own = dict.fromkeys(self.simulated_as.values())
        return tasks_of(self.sized, own, self.scenario.experiment.replications, kept=True, tables=True)

    @cached_property
    def _ends(self) -> list[tuple[Scenario, Task]]:
        """Those at the ends of step-time bands."""
        wider, ends = with_band_ends(self.sized, self.names)
        own = dict.fromkeys(representatives(wider, ends).values())
        return [(wider, task) for task in tasks_of(wider, own, 1, kept=True)]

    def missing(self, fineness: Fineness, store: Path) -> list[tuple[Scenario, Task]]:
        """Those that are not kept yet. Raises ScenarioError."""
        return [(of, task) for of, task in self.simulations(fineness) if not is_kept(store, task)]

    def finest_kept(self, store: Path) -> Fineness | None:
        """The finest answer that needs no simulation; None where there is none. Raises ScenarioError."""
        every = reversed([*self.finenesses()])
        return next((fineness for fineness in every if not self.missing(fineness, store)), None)

    def key(self, fineness: Fineness) -> tuple[object, ...]:
        """The same for two questions whose simulations are the same, whatever these are called and cost."""
        tasks = {(task.pattern, task.replication): task.name for _, task in self.simulations(fineness)}
        named = [(name, tasks[self.simulated_as[name], 0]) for name in self.names]
        return fineness, *named, *sorted(map(str, tasks.values()))
