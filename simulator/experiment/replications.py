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
from simulator.engine.clients import ClientRule
from simulator.engine.ledger import OutOfRoom
from simulator.engine.simulation import is_compiled, prepare, simulate
from simulator.experiment import checkpoint
from simulator.experiment.tables import RequestWriter
from simulator.scenario.moments import moments_s
from simulator.scenario.workloads import RecordedWorkload
from simulator.workload.calendar import ClinicalCalendar
from simulator.workload.synthesis import refuse_too_many, room_for, synthesise_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from simulator.engine.record import RequestLog
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
        kept: Folder for its summary once it is done; None to keep nothing.
        tables: Whether its requests and levels are kept beside it.
    """

    replication: int
    pattern: str
    kept: Path | None = None
    tables: bool = False


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
    jobs: int = 1,
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
        jobs: Processes; the result does not depend on it.
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
    tasks = [
        Task(replication, name, folder, tables and replication == 0 and folder is not None)
        for replication in range(replications)
        for name in dict.fromkeys(chosen.values())
    ]
    tasks += [Task(0, name, folder) for name in dict.fromkeys(alone.values()) if name not in chosen.values()]
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
            found = _run_all(scenario, tasks, board, jobs)
        finally:
            done.set()
            watcher.join()
    by_task = {(tasks[number].replication, tasks[number].pattern): summary for number, summary in found}
    found_all = {name: [by_task[number, other] for number in range(replications)] for name, other in chosen.items()}
    return found_all | {name: [by_task[0, other]] for name, other in alone.items()}


def _run_all(scenario: Scenario, tasks: list[Task], board: Path, jobs: int) -> list[tuple[int, RunSummary]]:
    # Reading what is kept is quicker than starting processes.
    if jobs == 1 or len(tasks) == 1 or all(_kept(scenario, task) for task in tasks):
        return [_run(scenario, task, number, board) for number, task in enumerate(tasks)]
    from joblib import Parallel, delayed

    if not is_compiled():
        # Or each process would.
        prepare()
    parallel = Parallel(n_jobs=jobs, backend="loky", return_as="generator_unordered")
    # Ordered by number afterwards: what arrives first depends on the machine.
    results = parallel(delayed(_run)(scenario, task, number, board) for number, task in enumerate(tasks))
    return sorted(results, key=lambda result: int(result[0]))


def _place(scenario: Scenario, task: Task) -> Path | None:
    """Where the summary of a task is kept, or will be."""
    return task.kept and task.kept / checkpoint.file_name(scenario, task.pattern, task.replication)


def _kept(scenario: Scenario, task: Task) -> bool:
    """Whether a task's summary is there, and its tables if they are wanted."""
    place = _place(scenario, task)
    if place is None or not place.is_file():
        return False
    return not task.tables or checkpoint.table_path(place, "requests").is_file()


def _run(scenario: Scenario, task: Task, number: int, board: Path) -> tuple[int, RunSummary]:
    marks: np.memmap[Any, Any] = np.memmap(board, np.float64, "r+")
    kept = _place(scenario, task)
    if kept is not None and _kept(scenario, task) and (known := checkpoint.load(kept, tables=task.tables)):
        marks[number] = 1.0
        return number, known
    horizon_s = scenario.horizon.duration_s

    def on_progress(now_s: float) -> None:
        marks[number] = now_s / horizon_s

    summary, tables = _simulated(scenario, task, kept, on_progress)
    if kept is not None:
        checkpoint.save(kept, summary, tables)
    marks[number] = 1.0
    return number, summary


def _simulated(
    scenario: Scenario, task: Task, kept: Path | None, on_progress: Callable[[float], None]
) -> tuple[RunSummary, dict[str, str]]:
    """Simulate; where more requests come than was ever expected, they are counted and it is done again.

    Returns:
        The summary, and the checksums of the tables.
    """
    calendar = ClinicalCalendar(scenario.horizon)
    try:
        return _with_room(scenario, task, kept, on_progress, calendar, room_for(scenario, calendar))
    except OutOfRoom:
        count = sum(len(part) for part, _ in synthesise_parts(scenario, task.replication, calendar))
        return _with_room(scenario, task, kept, on_progress, calendar, count)


def _with_room(
    scenario: Scenario,
    task: Task,
    kept: Path | None,
    on_progress: Callable[[float], None],
    calendar: ClinicalCalendar,
    room: int,
) -> tuple[RunSummary, dict[str, str]]:
    """Simulate; what is settled is summarised, and where tables are wanted written, while the run goes on."""
    pattern = scenario.hosting_patterns[task.pattern]
    allowed = checkpoint.permitted(scenario, pattern)
    names = tuple(scenario.workloads), pattern.backend_names
    summariser = Summariser(
        *names,
        {name: workload.objectives for name, workload in scenario.workloads.items()},
        horizon_s=scenario.horizon.duration_s,
        warm_up_s=scenario.experiment.warm_up,
        timeline=pattern.varies,
        apis=pattern.metered.keys(),
    )
    with RequestWriter(kept, *names) if task.tables and kept is not None else nullcontext() as writer:

        def on_settled(table: RequestTable, log: RequestLog, decisions: tuple[str, ...]) -> None:
            summariser.add(table, log, decisions)
            if writer is not None:
                writer.add(table, log, decisions)

        record = simulate(
            pattern,
            synthesise_parts(scenario, task.replication, calendar),
            horizon_s=scenario.horizon.duration_s,
            seed=scenario.experiment.seed,
            replication=task.replication,
            allowed_backends=[allowed[name] for name in scenario.workloads],
            ttft_limit_s=[_ttft_limit_s(scenario, name) for name in scenario.workloads],
            moments_s=partial(moments_s, horizon=scenario.horizon),
            clients=[_clients(load) for load in scenario.workloads.values()],
            room=room,
            on_settled=on_settled,
            on_progress=on_progress,
        )
        if writer is not None:
            writer.finish(record.levels)
    return summariser.finish(record), {} if writer is None else writer.sha256


def _clients(load: AnyWorkload) -> ClientRule | None:
    rule = None if isinstance(load, RecordedWorkload) else load.clients
    return None if rule is None else ClientRule(rule.count, rule.think, rule.think_kind == "exponential")


def _ttft_limit_s(scenario: Scenario, workload: str) -> float:
    objectives = scenario.workloads[workload].objectives
    return inf if objectives is None or objectives.ttft is None else objectives.ttft


def _watch(board: Path, done: Event, progress: Callable[[float], None] | None) -> None:
    while progress is not None and not done.wait(_POLL_S):
        progress(float(np.fromfile(board).mean()))
    if progress is not None:
        progress(1.0)
