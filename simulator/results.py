"""A scenario answered: run it, price it, judge it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from simulator.compliance.check import assess
from simulator.cost.bill import monthly_bill
from simulator.cost.overrides import book_excerpt, price_keys, scenario_book
from simulator.decision.band import with_band, with_band_ends
from simulator.decision.costing import costings_of
from simulator.decision.evidence import Evidence
from simulator.decision.outlook import with_outlook
from simulator.decision.screening import screen
from simulator.decision.verdict import Decision, decide
from simulator.decision.volumes import volume_points
from simulator.errors import UnknownName
from simulator.experiment import checkpoint
from simulator.experiment.checks import as_scenario, check_patterns
from simulator.experiment.keeping import keep
from simulator.experiment.losses import losses
from simulator.experiment.model_length import with_model_lengths
from simulator.experiment.pattern_result import (
    PatternResult,
    document,
    pattern_result,
    plain,
    published,
    refused,
    with_losses,
)
from simulator.experiment.replications import replicate, representatives
from simulator.experiment.store import open_place
from simulator.experiment.summary import Tabular, summary_rows
from simulator.experiment.tables import Tables, temporary_tables
from simulator.extensions import using
from simulator.scenario.narrowing import named_patterns
from simulator.version import package_version
from simulator.workload.demand import demands
from simulator.workload.recording import trace_checksums
from simulator.workload.volume import month_hours, request_names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from os import PathLike

    import pandas as pd

    from simulator.analysis.metrics import RunSummary
    from simulator.cost.bill import Bill
    from simulator.cost.prices import PriceBook
    from simulator.cost.usage import Usage
    from simulator.experiment.checks import Unfit
    from simulator.experiment.drawn import Drawn
    from simulator.experiment.measured import Measured
    from simulator.experiment.workers import Jobs
    from simulator.experiment.workload_result import Interval
    from simulator.extensions import Extensions
    from simulator.plots import Plots
    from simulator.scenario.schema import Scenario

#: How far a decision looks: at what it chooses alone, at break-evens too, at other prices, or also at other volumes.
Depth = Literal["choice", "verdict", "prices", "volumes"]


@dataclass(frozen=True, slots=True, repr=False)
class Results(Tabular):
    """The answer to a scenario; attributes mirror the published JSON document.

    Attributes:
        scenario: The question.
        replications: How many there were.
        month_hours: Length of the month that is billed.
        book: Price book.
        patterns: One result per hosting pattern, in the scenario's order.
        decision: The verdict.
        capacity_tokens_per_month: What each cluster could serve of this mix, by pattern.
        demand: What each workload asks of the month and what was drawn; empty where nothing was simulated.
        tables: Requests and levels of each first replication, read when asked for.
    """

    scenario: Scenario
    replications: int
    month_hours: Decimal
    book: PriceBook
    patterns: list[PatternResult]
    decision: Decision
    capacity_tokens_per_month: dict[str, int]
    demand: dict[str, Drawn] = field(default_factory=dict)
    tables: Tables = field(default_factory=Tables, repr=False)

    def pattern(self, name: str) -> PatternResult:
        """The result of one pattern.

        Raises:
            UnknownName: There is none of that name.
        """
        results = {result.name: result for result in self.patterns}
        if name not in results:
            raise UnknownName("hosting pattern", name, results)
        return results[name]

    def document(self) -> dict[str, Any]:
        """The published JSON document as plain data; nothing in it depends on the machine or the clock."""
        said = {
            "schema_version": 1,
            "simulator_version": package_version(),
            "scenario": {"name": self.scenario.name, "sha256": self.scenario.sha256} | _traces(self.scenario),
            "seed": self.scenario.experiment.seed,
            "replications": self.replications,
            "horizon_days": self.scenario.horizon.duration_s / 86_400.0,
            "month_hours": float(self.month_hours),
            "currency": "USD",
            **_shown_in(self),
            "price_book": {"id": self.book.id, "date": str(self.book.date), "sha256": self.book.sha256}
            | ({"overridden": sorted(overridden)} if (overridden := self.scenario.prices.overrides) else {}),
            "demand": self.demand,
            **_budget(self.scenario),
            "patterns": [published(result) for result in self.patterns],
            "compliance": assess(self.scenario, [result.name for result in self.patterns]).document(),
            "decision": self.decision,
            "inputs": {
                "scenario": self.scenario.resolved,
                "prices": book_excerpt(self.scenario.prices, set(price_keys(self.scenario)), self.book.on),
            },
        }
        return dict(document(said))

    def save(self, folder: str | PathLike[str]) -> Path:
        """Keep it as a run directory, which `simulator.open_run` reads and `simulator.write_report` makes a page of.

        Returns:
            The directory.

        Raises:
            RunStoreError: Something other than a run is there, or it cannot be written.
        """
        place = open_place(Path(folder))
        self.keep(place)
        return place

    def keep(self, place: Path, more: Callable[[Path], object] | None = None) -> None:
        """The same at a place that `open_place` has seen; `more` writes what else is to be in it."""
        keep(place, self.scenario, self.document(), self.to_json(), self.tables, more)

    def to_json(self) -> bytes:
        """The document as bytes, identical for the same scenario, seed and version."""
        return json.dumps(self.document(), indent=2, ensure_ascii=False).encode() + b"\n"

    def summary(self) -> pd.DataFrame:
        """One row per feasible hosting pattern and workload (`all` for the pattern as a whole), tidy.

        `…_low` and `…_high` are the ends of 95 % intervals over replications; empty with one.
        """
        import pandas as pd

        return pd.DataFrame(summary_rows(map(plain, map(published, self.patterns))))

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
        """Figures: `results.plot.cost()`, `.latency()`, `.week()` and friends."""
        from simulator.plots import Plots

        return Plots(self.scenario, self.document(), self.tables)

    def __repr__(self) -> str:
        patterns = ", ".join(result.name for result in self.patterns)
        chosen = self.decision.recommended or "nothing"
        return f"<Results of {self.scenario.name}: {patterns}; replications: {self.replications}; recommends {chosen}>"


def _traces(scenario: Scenario) -> dict[str, Any]:
    """Checksums of what is replayed: the scenario's own hash knows only the names of the files."""
    checksums = trace_checksums(scenario)
    return {"traces": checksums} if checksums else {}


def _budget(scenario: Scenario) -> dict[str, Any]:
    """What may be spent; nothing where the scenario does not say."""
    most = scenario.constraints.monthly_cost_at_most
    return {} if most is None else {"budget_usd_per_month": float(most)}


def _shown_in(results: Results) -> dict[str, Any]:
    """The currency people are shown, its rate, and what each pattern costs in it; nothing for the dollar."""
    prices = results.scenario.prices
    if prices.currency == "USD":
        return {}
    rate = prices.rates[prices.currency]

    def converted(cost: Interval) -> dict[str, Any]:
        return {
            "mean": cost.mean / rate.usd,
            "ci95": cost.ci95 and [end / rate.usd for end in cost.ci95],
        }

    costs = {one.name: converted(one.monthly_cost_usd) for one in results.patterns if one.monthly_cost_usd}
    about = {"currency": prices.currency, "usd": rate.usd, "on": str(rate.on), "source": rate.source}
    return {"shown_in": about | {"monthly_cost": costs}}


def run(
    scenario: Scenario | str | PathLike[str],
    *,
    patterns: str | Sequence[str] | None = None,
    replications: int | None = None,
    jobs: Jobs = 1,
    folder: str | PathLike[str] | None = None,
    tables: bool = True,
    band: bool = True,
    outlook: bool = True,
    volumes: bool = True,
    break_evens: bool = True,
    progress: Callable[[float], None] | None = None,
    extensions: Extensions | None = None,
) -> Results:
    """Simulate, price and judge a scenario.

    Args:
        scenario: The scenario, or the file it stands in.
        patterns: Names of the hosting patterns to compare, or one of them; all when absent.
        replications: Replaces the scenario's.
        jobs: Processes, or a cluster from `simulator.on_cluster`; the result does not depend on it.
        folder: Where finished simulations are kept, and found when a run is repeated; without one, their tables last
            as long as the result does.
        tables: Whether requests and levels of each first replication are kept too.
        band: Whether clusters are also simulated at both ends of their profile's band.
        outlook: Whether the decision also says what other volumes would cost.
        volumes: Whether patterns are also simulated at those where they could miss limits they keep, or keep others.
        break_evens: Whether the decision finds the volumes at which clusters and APIs cost the same; the outlook does.
        progress: Called now and then with the share of the work done.
        extensions: Routers, arrival processes and lengths of one's own, by group and name; see `simulator.using`.

    Raises:
        ScenarioError: The scenario cannot be simulated, has no such pattern, or no model of it fits its GPUs.
        ValueError: Fewer than one replication or process.
    """
    with using(**(extensions or {})):
        return _run(
            as_scenario(scenario), patterns, replications, jobs, folder, tables=tables, band=band, outlook=outlook,
            volumes=volumes, break_evens=break_evens, progress=progress,
        )  # fmt: skip


def _run(
    scenario: Scenario,
    patterns: str | Sequence[str] | None,
    replications: int | None,
    jobs: Jobs,
    folder: str | PathLike[str] | None,
    *,
    tables: bool,
    band: bool,
    outlook: bool,
    volumes: bool,
    break_evens: bool,
    progress: Callable[[float], None] | None,
) -> Results:
    count = scenario.experiment.replications if replications is None else replications
    if count < 1 or (isinstance(jobs, int) and jobs < 1):
        raise ValueError(f"needs at least one replication and one process, not {count} and {jobs}")
    names = named_patterns(scenario, patterns)
    refusals = check_patterns(scenario, names)
    scenario = with_model_lengths(scenario)
    simulated = [name for name in names if name not in refusals]
    place = None if folder is None else Path(folder)
    place, kept = _place(scenario, simulated, place) if tables else (place, Tables())
    evidence = gather(scenario, simulated, count, jobs, place, tables=tables, band=band, progress=progress)
    depth: Depth = "volumes" if volumes else "prices"
    if not outlook:
        depth = "verdict" if break_evens else "choice"
    return judge(scenario, names, refusals, evidence, kept, depth=depth, jobs=jobs, place=place)


def gather(
    scenario: Scenario,
    names: list[str],
    count: int,
    jobs: Jobs,
    place: Path | None,
    *,
    tables: bool = True,
    band: bool = True,
    progress: Callable[[float], None] | None = None,
) -> Evidence:
    """Simulate all that a verdict is about, or find it where it is kept.

    Args:
        scenario: From `with_model_lengths`.
        names: Patterns that can be simulated.
        count: Replications.
        jobs: Who simulates.
        place: Where simulations are kept.
        tables: Whether requests and levels of each first replication are kept too.
        band: Whether clusters are also simulated at both ends of their profile's band.
        progress: Called now and then with the share of the work done.
    """
    widened, ends = with_band_ends(scenario, names) if band else (scenario, [])
    runs = replicate(
        widened, names, replications=count, once=ends, jobs=jobs, folder=place, tables=tables, progress=progress
    )
    return Evidence(scenario, runs, demands(scenario), Decimal(str(month_hours(scenario))))


def judge(
    scenario: Scenario,
    names: Sequence[str],
    refusals: Mapping[str, Unfit],
    evidence: Evidence,
    kept: Tables,
    *,
    depth: Depth = "volumes",
    jobs: Jobs = 1,
    place: Path | None = None,
) -> Results:
    """Put prices on what was simulated, and decide.

    Args:
        scenario: From `with_model_lengths`; it may differ in money from the one that was simulated.
        names: Patterns to compare.
        refusals: Why some of them were not simulated, from `check_patterns`.
        evidence: What was simulated.
        kept: Where the tables of it lie.
        depth: How far is looked.
        jobs: Who simulates other volumes, and what is lost.
        place: Where simulations are kept.
    """
    chosen = {name: scenario.hosting_patterns[name] for name in names}
    book, month = scenario_book(scenario.prices, scenario.horizon.start_local.date()), evidence.month_hours
    lost = losses(scenario, evidence.names, jobs=jobs, folder=place)

    def priced(measured: Mapping[str, Measured]) -> list[PatternResult]:
        found = []
        for name, pattern in chosen.items():
            if name in refusals:
                found.append(refused(name, pattern, refusals[name]))
                continue
            one = pattern_result(
                name,
                pattern,
                measured[name],
                book,
                month,
                patients=scenario.prices.patients,
                units=request_names(scenario),
                chains=scenario.chains,
            )
            found.append(with_losses(one, scenario, lost.get(name, [])))
        return found

    def bill_of(name: str) -> Callable[[Usage], Bill]:
        return lambda usage: monthly_bill(chosen[name], usage, book, month)

    results = [with_band(one, evidence.bands.get(one.name), bill_of(one.name)) for one in priced(evidence.measured)]
    monthly = evidence.capacity_tokens_per_month
    screening = screen(scenario, results, book)
    costings = costings_of(scenario, results, book, month, monthly, evidence.hourly)
    decision = decide(scenario, results, book, costings, screening, break_evens=depth != "choice")
    if depth in ("prices", "volumes"):
        each = [screen(scenario, priced(measured), book) for measured in evidence.each]

        def once(other: Scenario, names: list[str]) -> dict[str, list[RunSummary]]:
            return replicate(other, names, replications=1, jobs=jobs, folder=place, tables=False)

        demand, runs = evidence.demand, evidence.runs
        points = volume_points(scenario, screening, costings, demand, runs, once) if depth == "volumes" else None
        decision = with_outlook(decision, scenario, screening, each, costings, book, demand, points)
    return Results(scenario, evidence.replications, month, book, results, decision, monthly, evidence.drawn, kept)


def _place(scenario: Scenario, names: list[str], folder: Path | None) -> tuple[Path, Tables]:
    """Where the tables of these patterns will lie: in this folder, or in one that goes when nobody holds them."""
    shared = representatives(scenario, names)
    files = {name: checkpoint.file_name(scenario, name, 0) for name in shared.values()}
    if folder is None:
        return temporary_tables(files, shared)
    return folder, Tables({name: folder / file for name, file in files.items()}, shared=shared)
