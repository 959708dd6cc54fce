"""Running a scenario for a person: a progress bar, warnings, a directory to keep."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from simulator.cost.checks import price_warnings
from simulator.cost.prices import load_price_book
from simulator.decision.results import Results, run
from simulator.engine.simulation import replica_plan
from simulator.errors import Fault, ScenarioError
from simulator.experiment.store import manifest, write_run
from simulator.performance.profile import load_profile
from simulator.performance.step_time import ProfiledStepTime
from simulator.scenario.patterns import ApiPattern
from simulator.workload.calendar import ClinicalCalendar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from simulator.performance.profile import PerformanceProfile
    from simulator.scenario.patterns import Cluster
    from simulator.scenario.schema import Scenario


def run_with_progress(
    scenario: Scenario,
    *,
    patterns: Sequence[str] | None,
    replications: int | None,
    jobs: int,
    tables: Path | None,
    quiet: bool,
) -> Results:
    """`run` with a bar on standard error, or nothing when quiet."""
    if quiet:
        return run(scenario, patterns=patterns, replications=replications, jobs=jobs, tables=tables)
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TextColumn("left"),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"simulating {scenario.name}", total=1.0)
        return run(
            scenario,
            patterns=patterns,
            replications=replications,
            jobs=jobs,
            tables=tables,
            progress=lambda share: bar.update(task, completed=share),
        )


@dataclass(slots=True)
class KeptRun:
    """A run directory in the making.

    Attributes:
        scenario: The question.
        tables: Where the simulations leave their requests and levels.
        output: Where to keep the run; a folder under `runs` when None.
        target: Where it was kept, once written.
    """

    scenario: Scenario
    tables: Path
    output: Path | None
    target: Path | None = None

    def write(self, results: Results) -> None:
        """Write the directory.

        Raises:
            ScenarioError: The place cannot be written.
        """
        summary = results.to_json()
        self.target = self.output or Path("runs") / f"{self.scenario.name}-{self.scenario.sha256[:12]}"
        calendar = ClinicalCalendar(self.scenario.horizon)
        inputs = {
            "profiles": {
                profile.id: profile.provenance | {"label": profile.label} for profile in _profiles(self.scenario)
            },
            "holidays": {str(day): name for day, name in calendar.holidays.items()},
        }
        try:
            write_run(
                self.target, self.scenario, summary, manifest(self.scenario, results.document(), inputs), self.tables
            )
        except OSError as error:
            raise ScenarioError(
                [Fault("--output", 0, str(self.target), f"cannot be written: {error.strerror}")]
            ) from error


@contextmanager
def keep_run(scenario: Scenario, output: Path | None) -> Iterator[KeptRun]:
    """A place for what the simulations leave, removed in the end."""
    with tempfile.TemporaryDirectory(prefix="simulator-") as folder:
        yield KeptRun(scenario, Path(folder), output)


def warnings_about(scenario: Scenario) -> list[str]:
    """What deserves doubt: prices, models that retire, profiles that are estimates or left behind."""
    book = load_price_book(scenario.prices.book)
    last_day = scenario.horizon.end_local.date()
    today = datetime.now(tz=UTC).date()
    found = []
    for name, pattern in scenario.hosting_patterns.items():
        # Prices age with the calendar on the wall; a model must live until the later of today and the horizon.
        aged = [message for _, message in price_warnings(pattern, book, today) if "retires" not in message]
        later = price_warnings(pattern, book, max(last_day, today))
        retired = [message for _, message in later if "retires" in message]
        found += [f"{name}: {message}" for message in (*retired, *aged)]
    for profile in _profiles(scenario):
        if profile.label != "measured":
            noted = f": {profile.notes[0]}" if profile.notes else ""
            found.append(f"profile {profile.id} is {profile.label}{noted}")
    for name, pattern in scenario.hosting_patterns.items():
        if not isinstance(pattern, ApiPattern) and _extrapolates(pattern.cluster):
            found.append(f"{name}: max_num_seqs reaches beyond the largest batch of its profile")
    return list(dict.fromkeys(found))


def _extrapolates(cluster: Cluster) -> bool:
    model = replica_plan(cluster).step_time
    return isinstance(model, ProfiledStepTime) and model.extrapolates


def _profiles(scenario: Scenario) -> list[PerformanceProfile]:
    profiles = {}
    for pattern in scenario.hosting_patterns.values():
        if not isinstance(pattern, ApiPattern):
            cluster = pattern.cluster
            profile = load_profile(
                model=cluster.model,
                gpu=cluster.gpu,
                tensor_parallel=cluster.tensor_parallel,
                quantisation=cluster.quantisation,
                variant=cluster.variant,
            )
            profiles[profile.id] = profile
    return list(profiles.values())
