"""Every hosting pattern on the same demand, several times over, on as many cores as there are."""

from __future__ import annotations

import tempfile
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.analysis.metrics import RunSummary, Summariser
from simulator.engine.api.latency import months_in
from simulator.engine.clients import ClientRule
from simulator.engine.ledger import OutOfRoom
from simulator.engine.simulation import simulate
from simulator.experiment import checkpoint
from simulator.experiment.errand import Call
from simulator.experiment.image_backends import loads_of
from simulator.experiment.tables import RequestWriter
from simulator.experiment.workers import spread
from simulator.scenario.moments import moments_s
from simulator.scenario.yaml_source import Document
from simulator.workload.calendar import ClinicalCalendar
from simulator.workload.demand import share_of_month
from simulator.workload.synthesis import refuse_too_many, room_for, synthesise_parts
from simulator.workload.thinking import thinks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from simulator.engine.record import RequestLog
    from simulator.experiment.workers import Jobs, Workers
    from simulator.scenario.patterns import HostingPattern
    from simulator.scenario.schema import Scenario
    from simulator.scenario.workloads import AnyWorkload
    from simulator.trace.request_table import RequestTable

_POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Task:
    """One simulation: a replication of a hosting pattern.

    Attributes:
        replication: Number of the replication.
        pattern: Name of the first pattern that needs it.
        name: Of the file for its summary once it is done; None to keep nothing.
        tables: Whether its requests and levels are kept beside it.
    """

    replication: int
    pattern: str
    name: str | None = None
    tables: bool = False


class Demand:
    """What is asked in a replication; simulations of the same one that come one after the other draw it once.

    Only where it comes in one part, which a simulation holds as long as it lasts anyway.
    """

    def __init__(self) -> None:
        self._replication = -1
        self._only: list[tuple[RequestTable, float]] = []

    def parts(
        self, scenario: Scenario, replication: int, calendar: ClinicalCalendar
    ) -> Iterable[tuple[RequestTable, float]]:
        """As `synthesise_parts` has them, of a scenario that asks the same every time."""
        if replication == self._replication and self._only:
            return self._only
        self._only.clear()
        self._replication = replication
        return self._drawn(scenario, replication, calendar)

    def _drawn(
        self, scenario: Scenario, replication: int, calendar: ClinicalCalendar
    ) -> Iterator[tuple[RequestTable, float]]:
        parts = synthesise_parts(scenario, replication, calendar)
        first = next(parts)
        if first[1] >= scenario.horizon.duration_s:
            self._only = [first]
        yield first
        del first
        yield from parts


def representatives(scenario: Scenario, names: list[str]) -> dict[str, str]:
    """By pattern, the first one that determines the same simulation: often itself."""
    patterns = {name: scenario.hosting_patterns[name] for name in names}
    keys = {
        name: (checkpoint.simulation_key(pattern), str(checkpoint.permitted(scenario, pattern)))
        for name, pattern in patterns.items()
    }
    first = {key: name for name, key in reversed(keys.items())}
    return {name: first[key] for name, key in keys.items()}


def replicate(
    scenario: Scenario,
    names: list[str],
    *,
    replications: int,
    once: Sequence[str] = (),
    jobs: Jobs = 1,
    folder: Path | None = None,
    tables: bool = True,
    progress: Callable[[float], None] | None = None,
) -> dict[str, list[RunSummary]]:
    """Simulate patterns; those that differ only in money share their simulations.

    Args:
        scenario: The scenario.
        names: Patterns to simulate.
        replications: How many times each.
        once: More patterns, of which only the first replication is simulated and no table kept.
        jobs: Processes, or a cluster; the result does not depend on it.
        folder: Where finished simulations are kept, and found again by whoever asks for the same.
        tables: Whether it also gets the requests and levels of each first replication.
        progress: Called now and then with the share of the work done.

    Returns:
        By pattern, one summary per replication, in order.

    Raises:
        ScenarioError: There are too many requests.
    """
    chosen = representatives(scenario, names)
    alone = representatives(scenario, [*once])
    tasks = tasks_of(scenario, dict.fromkeys(chosen.values()), replications, kept=folder is not None, tables=tables)
    others = dict.fromkeys(name for name in alone.values() if name not in chosen.values())
    tasks += tasks_of(scenario, others, 1, kept=folder is not None)
    if not tasks:
        return {}
    refuse_too_many(scenario)
    with tempfile.TemporaryDirectory() as scratch:
        board = Path(scratch) / "progress"
        np.zeros(len(tasks)).tofile(board)
        done = Event()
        watcher = Thread(target=_watch, args=(board, done, progress), daemon=True)
        watcher.start()
        try:
            found = _run_all(scenario, tasks, board, jobs, folder)
        finally:
            done.set()
            watcher.join()
    by_task = {(tasks[number].replication, tasks[number].pattern): summary for number, summary in found.items()}
    found_all = {name: [by_task[number, other] for number in range(replications)] for name, other in chosen.items()}
    return found_all | {name: [by_task[0, other]] for name, other in alone.items()}


def tasks_of(
    scenario: Scenario, patterns: Iterable[str], replications: int, *, kept: bool, tables: bool = False
) -> list[Task]:
    """One for each replication of each pattern, which no two of share a simulation."""
    stems = {name: checkpoint.stem(scenario, name) if kept else None for name in patterns}
    return [
        Task(number, name, stem and f"{stem}-{number}.json", tables and kept and number == 0)
        for number in range(replications)
        for name, stem in stems.items()
    ]


def call_of(scenario: Scenario, task: Task, number: int = 0, board: Path | None = None) -> Call:
    """A task as it is given to others, with what it needs of the scenario."""
    alone = {task.pattern: scenario.hosting_patterns[task.pattern]}
    bare = scenario.model_copy(update={"hosting_patterns": alone, "rollout": None, "rules": {}, "description": ""})
    bare._document = Document({})
    return Call(simulated, bare, (task, number, board), makes=task.name)


def _run_all(
    scenario: Scenario, tasks: list[Task], board: Path, jobs: Jobs, folder: Path | None
) -> dict[int, RunSummary]:
    if not isinstance(jobs, int):
        return _run_there(scenario, tasks, board, jobs, folder)
    # Reading what is kept is quicker than starting processes.
    if jobs == 1 or len(tasks) == 1 or all(is_kept(folder, task) for task in tasks):
        demand = Demand()
        found: dict[int, RunSummary] = {}
        # What is simulated once comes last, and its replication first.
        for number, task in sorted(enumerate(tasks), key=lambda one: one[1].replication):
            found.update([simulated(scenario, folder, task, number, board, demand)])
        return found
    calls = (call_of(scenario, task, number, board) for number, task in enumerate(tasks))
    # By number: what arrives first depends on the machine.
    return dict(answer for _, answer in spread(calls, jobs, folder))


def _run_there(
    scenario: Scenario, tasks: list[Task], board: Path, workers: Workers, folder: Path | None
) -> dict[int, RunSummary]:
    """On a cluster, what is not kept here."""
    marks: np.memmap[Any, Any] = np.memmap(board, np.float64, "r+")
    found, missing = {}, []
    for number, task in enumerate(tasks):
        known = None
        if folder is not None and task.name is not None and is_kept(folder, task):
            known = checkpoint.load(folder / task.name, tables=task.tables)
        if known is None:
            missing.append(call_of(scenario, task, number))
        else:
            found[number], marks[number] = known, 1.0
    for _, (number, summary) in spread(missing, workers, folder):
        found[number], marks[number] = summary, 1.0
    return found


def is_kept(folder: Path | None, task: Task) -> bool:
    """Whether a task's summary is there, and its tables if they are wanted."""
    if folder is None or task.name is None or not (folder / task.name).is_file():
        return False
    return not task.tables or checkpoint.table_path(folder / task.name, "requests").is_file()


def simulated(
    scenario: Scenario,
    folder: Path | None,
    task: Task,
    number: int,
    board: Path | None,
    demand: Demand | None = None,
) -> tuple[int, RunSummary]:
    """The summary of a task, kept or simulated and then kept, with its number; on any machine.

    Args:
        scenario: The scenario.
        folder: Where it is kept.
        task: What to simulate.
        number: Its own among others.
        board: File of the shares that are done, by number.
        demand: What those before it have drawn.
    """
    marks: NDArray[np.float64] = np.zeros(number + 1) if board is None else np.memmap(board, np.float64, "r+")
    kept = folder / task.name if folder is not None and task.name is not None else None
    if kept is not None and is_kept(folder, task) and (known := checkpoint.load(kept, tables=task.tables)):
        marks[number] = 1.0
        return number, known
    horizon_s = scenario.horizon.duration_s

    def on_progress(now_s: float) -> None:
        marks[number] = now_s / horizon_s

    summary, tables = _simulated(scenario, task, kept, demand or Demand(), on_progress)
    if kept is not None:
        checkpoint.save(kept, summary, tables)
    marks[number] = 1.0
    return number, summary


def _simulated(
    scenario: Scenario, task: Task, kept: Path | None, demand: Demand, on_progress: Callable[[float], None]
) -> tuple[RunSummary, dict[str, str]]:
    """Simulate; where more requests come than was ever expected, they are counted and it is done again.

    Returns:
        The summary, and the checksums of the tables.
    """
    calendar = ClinicalCalendar(scenario.horizon)
    try:
        return _with_room(scenario, task, kept, demand, on_progress, calendar, room_for(scenario, calendar))
    except OutOfRoom:
        count = sum(len(part) for part, _ in synthesise_parts(scenario, task.replication, calendar))
        return _with_room(scenario, task, kept, demand, on_progress, calendar, count)


def _with_room(
    scenario: Scenario,
    task: Task,
    kept: Path | None,
    demand: Demand,
    on_progress: Callable[[float], None],
    calendar: ClinicalCalendar,
    room: int,
) -> tuple[RunSummary, dict[str, str]]:
    """Simulate; what is settled is summarised, and where tables are wanted written, while the run goes on."""
    pattern = _with_tiers_of(scenario, scenario.hosting_patterns[task.pattern])
    allowed = checkpoint.permitted(scenario, pattern)
    names = tuple(scenario.workloads), pattern.backend_names
    summariser = Summariser(
        *names,
        {name: workload.objectives for name, workload in scenario.workloads.items()},
        horizon_s=scenario.horizon.duration_s,
        warm_up_s=scenario.experiment.warm_up,
        timeline=pattern.varies,
        apis={name: api.network_delay for name, api in pattern.metered.items()},
        thinking=[name for name, load in scenario.workloads.items() if thinks(load)],
    )
    with RequestWriter(kept, *names) if task.tables and kept is not None else nullcontext() as writer:

        def on_settled(table: RequestTable, log: RequestLog, decisions: tuple[str, ...]) -> None:
            summariser.add(table, log, decisions)
            if writer is not None:
                writer.add(table, log, decisions)

        record = simulate(
            pattern,
            demand.parts(scenario, task.replication, calendar),
            horizon_s=scenario.horizon.duration_s,
            seed=scenario.experiment.seed,
            replication=task.replication,
            allowed_backends=[allowed[name] for name in scenario.workloads],
            ttft_limit_s=[_ttft_limit_s(scenario, name) for name in scenario.workloads],
            adapters=[workload.adapter for workload in scenario.workloads.values()],
            images=loads_of(scenario, pattern),
            moments_s=partial(moments_s, horizon=scenario.horizon),
            clients=[_clients(load) for load in scenario.workloads.values()],
            room=room,
            on_settled=on_settled,
            on_progress=on_progress,
        )
        if writer is not None:
            writer.finish(record.levels)
    return summariser.finish(record), {} if writer is None else writer.sha256


def _with_tiers_of(scenario: Scenario, pattern: HostingPattern) -> HostingPattern:
    """The pattern with as much of each usage tier, which is for a month, as a month of the horizon asks of a month's.

    So a week shows as many slow answers as its month has, and a busy hour is not taken for a busy month.
    """
    tiers = {name: api.usage_tier for name, api in pattern.metered.items() if api.usage_tier is not None}
    if not tiers:
        return pattern
    share = share_of_month(scenario) / months_in(scenario.horizon.duration_s)
    apis = dict(pattern.metered)
    for name, tier in tiers.items():
        part = tier.model_copy(update={"tokens_per_month": share * tier.tokens_per_month})
        apis[name] = apis[name].model_copy(update={"usage_tier": part})
    several = getattr(pattern, "apis", None) is not None
    return pattern.model_copy(update={"apis": apis} if several else {"api": next(iter(apis.values()))})


def _clients(load: AnyWorkload) -> ClientRule | None:
    rule = load.clients
    return None if rule is None else ClientRule(rule.count, rule.think, rule.think_kind == "exponential")


def _ttft_limit_s(scenario: Scenario, workload: str) -> float:
    objectives = scenario.workloads[workload].objectives
    return inf if objectives is None or objectives.ttft is None else objectives.ttft


def _watch(board: Path, done: Event, progress: Callable[[float], None] | None) -> None:
    while progress is not None and not done.wait(_POLL_S):
        progress(float(np.fromfile(board).mean()))
    if progress is not None:
        progress(1.0)
