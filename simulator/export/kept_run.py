"""A run directory, as exports read it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from simulator.errors import RunStoreError
from simulator.experiment.runs import read_summary
from simulator.experiment.tables import Tables
from simulator.reading import read_json
from simulator.scenario.loading import load_scenario

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.scenario.schema import Scenario


@dataclass(frozen=True, slots=True)
class KeptRun:
    """A run that was kept.

    Attributes:
        path: Its directory.
        summary: The published JSON document.
        scenario: The question.
        start_epoch_s: When its horizon starts, in seconds since 1970 (UTC).
        horizon_s: How long that is.
        tables: Requests and levels of the first replication.
    """

    path: Path
    summary: dict[str, Any]
    scenario: Scenario
    start_epoch_s: float
    horizon_s: float
    tables: Tables

    @property
    def patterns(self) -> list[str]:
        """Hosting patterns that were simulated."""
        return [pattern["name"] for pattern in self.summary["patterns"] if pattern["feasible"]]

    def cost_usd(self, pattern: str) -> float:
        """Monthly cost, mean over replications."""
        return float(
            next(one for one in self.summary["patterns"] if one["name"] == pattern)["monthly_cost_usd"]["mean"]
        )


def read_run(path: Path) -> KeptRun:
    """Read a run directory.

    Raises:
        RunStoreError: It is none, or incomplete.
    """
    summary = read_summary(path)
    try:
        made_by = read_json(path / "manifest.json")
        start, end = (datetime.fromisoformat(made_by["horizon"][name]).timestamp() for name in ("start", "end"))
        shared = dict(made_by["same_simulation"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunStoreError(f"{path} is not a whole run directory: manifest.json: {error}") from None
    if not (path / "requests.parquet").is_file():
        raise RunStoreError(f"{path} holds no requests.parquet: nothing in it was simulated")
    scenario = load_scenario(path / "scenario.yaml")
    return KeptRun(path, summary, scenario, start, end - start, Tables(run=path, shared=shared))
