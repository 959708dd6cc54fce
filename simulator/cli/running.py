"""Running a scenario for a person: a progress bar, warnings, a directory to keep."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from simulator.cli.counting import speaking
from simulator.decision.words import percent
from simulator.engine.simulation import is_compiled
from simulator.errors import RunStoreError, SimulationGone
from simulator.experiment import checkpoint
from simulator.experiment.eviction import StoreInUse, most_bytes
from simulator.experiment.model_length import with_model_lengths
from simulator.experiment.store import open_place
from simulator.files import make_folder
from simulator.results import Results, run
from simulator.study.precision import run_until
from simulator.wording import elapsed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from simulator.experiment.workers import Jobs
    from simulator.scenario.schema import Scenario


def _told(name: str, lasted_s: float, share: float) -> str:
    """A line of a log about a run under way.

    >>> _told("clinic", 80.0, 0.25), _told("clinic", 140.0, 1.0)
    ('simulating clinic: 25.0 % after 80.0 s', 'clinic is simulated, and weighed up: 140.0 s')
    """
    if share >= 1.0:
        return f"{name} is simulated, and weighed up: {elapsed(lasted_s)}"
    return f"simulating {name}: {percent(share)} after {elapsed(lasted_s)}"


def run_with_progress(
    scenario: Scenario,
    *,
    patterns: Sequence[str] | None,
    jobs: Jobs,
    store: Path,
    until: float | None = None,
    quiet: bool,
) -> Results:
    """`run`, or `run_until` intervals are so narrow, with a bar on standard error, or now and then a line of a log."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), TextColumn("left"),
    )  # fmt: skip
    console = Console(stderr=True)
    silent = quiet or not console.is_terminal
    done = [0.0]

    def say(lasted_s: float) -> None:
        typer.echo(_told(scenario.name, lasted_s, done[0]), err=True)

    def advance(share: float) -> None:
        done[0] = share
        bar.update(task, completed=share, description=simulating if share else first)

    with ExitStack() as opened:
        bar = opened.enter_context(Progress(*columns, console=console, transient=True, disable=silent))
        if silent and not quiet:
            opened.enter_context(speaking(say))
        simulating = f"simulating {scenario.name}"
        first = simulating if is_compiled() else "compiling the engine, once for this version of it"
        task = bar.add_task(first, total=1.0)
        how = run if until is None else partial(run_until, share=until)
        return how(
            scenario,
            patterns=patterns,
            jobs=jobs,
            folder=store,
            progress=advance,
        )


#: After so many, somebody empties the store all the time.
_TRIES: Final = 20


@dataclass(frozen=True, slots=True)
class KeptRun:
    """A run directory in the making.

    Attributes:
        scenario: The question.
        target: Where the run will be kept.
        in_use: Where its simulations are kept; an interrupted run continues from there, and a price needs no other.
    """

    scenario: Scenario
    target: Path
    in_use: StoreInUse

    @property
    def store(self) -> Path:
        """Its folder."""
        return self.in_use.folder

    def finished(self) -> int:
        """The number of simulations that need not be repeated."""
        scenario = with_model_lengths(self.scenario)
        return checkpoint.finished(self.store, scenario, scenario.hosting_patterns)

    def write(self, results: Results, more: Callable[[Path], object] | None = None) -> None:
        """Write the directory, and in it what `more` makes of it.

        Raises:
            RunStoreError: The place cannot be written.
        """
        results.keep(self.target, more)


def run_and_keep(kept: KeptRun, simulate: Callable[[], Results], more: Callable[[Path], object] | None) -> Results:
    """Simulate and write the directory; what others remove from the store meanwhile is simulated again.

    Args:
        kept: Where.
        simulate: Gives the answer to its scenario.
        more: See `KeptRun.write`.

    Raises:
        RunStoreError: The place cannot be written.
    """
    for _ in range(_TRIES):
        results = simulate()
        with suppress(SimulationGone):
            kept.write(results, more)
            return results
    results = simulate()
    kept.write(results, more)
    return results


def keep_run(scenario: Scenario, output: Path | None, patterns: Sequence[str] | None, store: Path) -> KeptRun:
    """A place to keep a run: `output`, or a folder under `runs` named after the scenario and its hash.

    Args:
        scenario: The question.
        output: The place.
        patterns: Hosting patterns it is about, where not all.
        store: Where simulations are kept beyond the run.

    Raises:
        RunStoreError: Something else is there, or it cannot be written.
    """
    name = "-".join([scenario.name, scenario.sha256[:12], *sorted(patterns or ())])
    return KeptRun(scenario, open_place(output or Path("runs") / name), open_store(store))


def open_store(store: Path) -> StoreInUse:
    """The folder of stored simulations, made where it is not there.

    Raises:
        RunStoreError: It cannot be made.
        SimulatorError: Its size is no number.
    """
    most_bytes()
    return StoreInUse(make_folder(store, RunStoreError).resolve())


def bound_store(store: StoreInUse) -> None:
    """Keep the store from growing without end, and say so on standard error."""
    if freed := store.bound():
        from rich.console import Console

        said = (
            f"removed {freed / 1e6:.0f} MB of {store.folder} that were used longest ago: it keeps "
            f"{most_bytes() / 1e9:.3g} GB (SIMULATOR_STORE_GB)"
        )
        Console(stderr=True).print(said, highlight=False, soft_wrap=True)
    store.close()
