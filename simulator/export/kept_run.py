"""A run directory, read back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.errors import RunStoreError, UnknownName
from simulator.experiment.runs import read_summary, reading
from simulator.experiment.summary import Tabular, summary_rows
from simulator.experiment.tables import Tables
from simulator.reading import read_json
from simulator.scenario.loading import load_scenario

if TYPE_CHECKING:
    from os import PathLike

    import pandas as pd

    from simulator.plots import Plots
    from simulator.scenario.schema import Scenario


@dataclass(frozen=True, slots=True, repr=False)
class KeptRun(Tabular):
    """A run that was kept: the tables, figures and document of a result.

    Attributes:
        path: Its directory.
        published: The published JSON document.
        scenario: The question.
        start_epoch_s: When its horizon starts, in seconds since 1970 (UTC).
        horizon_s: How long that is.
        tables: Requests and levels of the first replication.
    """

    path: Path
    published: dict[str, Any]
    scenario: Scenario
    start_epoch_s: float
    horizon_s: float
    tables: Tables

    @property
    def patterns(self) -> list[str]:
        """Hosting patterns that were simulated."""
        return [pattern["name"] for pattern in self.published["patterns"] if pattern["feasible"]]

    def cost_usd(self, pattern: str) -> float:
        """Monthly cost, mean over replications."""
        return float(
            next(one for one in self.published["patterns"] if one["name"] == pattern)["monthly_cost_usd"]["mean"]
        )

    def pattern(self, name: str) -> dict[str, Any]:
        """What the document says of one pattern.

        Raises:
            UnknownName: There is none of that name.
        """
        rows = {row["name"]: row for row in self.published["patterns"]}
        if name not in rows:
            raise UnknownName("hosting pattern", name, rows)
        return dict(rows[name])

    @property
    def recommended(self) -> str | None:
        """The verdict."""
        found = self.published["decision"]["recommended"]
        return None if found is None else str(found)

    def document(self) -> dict[str, Any]:
        """The published JSON document as plain data."""
        return self.published

    def summary(self) -> pd.DataFrame:
        """One row per feasible hosting pattern and workload; see `Results.summary`."""
        import pandas as pd

        return pd.DataFrame(summary_rows(self.published["patterns"]))

    @property
    def requests(self) -> pd.DataFrame:
        """One row per request of each first replication; `tables.requests` reads a part of them."""
        return self.tables.requests()

    @property
    def levels(self) -> pd.DataFrame:
        """One row per replica and hour of each first replication."""
        return self.tables.levels()

    @property
    def plot(self) -> Plots:
        """Figures: `run.plot.cost()`, `.latency()`, `.week()` and friends."""
        from simulator.plots import Plots

        return Plots(self.scenario, self.published, self.tables)

    def __repr__(self) -> str:
        names = ", ".join(row["name"] for row in self.published["patterns"])
        return f"<KeptRun of {self.scenario.name}: {names}; recommends {self.recommended or 'nothing'}>"


def open_run(path: str | PathLike[str]) -> KeptRun:
    """Read a run directory back.

    Raises:
        RunStoreError: It is none, or incomplete.
    """
    path = Path(path)
    summary = read_summary(path)
    try:
        made_by = read_json(path / "manifest.json")
        start, end = (datetime.fromisoformat(made_by["horizon"][name]).timestamp() for name in ("start", "end"))
        shared = dict(made_by["same_simulation"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunStoreError(f"{path} is not a whole run directory: manifest.json: {error}") from None
    with reading(path):
        scenario = load_scenario(path / "scenario.yaml")
    return KeptRun(path, summary, scenario, start, end - start, Tables(run=path, shared=shared))


def read_run(path: Path) -> KeptRun:
    """The same for who needs the requests.

    Raises:
        RunStoreError: It is none, or incomplete, or nothing in it was simulated.
    """
    run = open_run(path)
    if not (path / "requests.parquet").is_file():
        raise RunStoreError(f"{path} holds no requests.parquet: nothing in it was simulated")
    return run
