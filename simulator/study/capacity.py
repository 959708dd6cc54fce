"""Whether a cluster is of the right size.

What fails over, what rules of thumb say of it, and the answer that counts: cost and p99 of one replica more and one
less, simulated with the same requests.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.cost.bill import backend_bills
from simulator.decision.chance import undecided, untold
from simulator.decision.costing import grown
from simulator.decision.retirement import unavailable
from simulator.decision.screening import cost_of, falls_short
from simulator.decision.thresholds import contradictions, judged
from simulator.decision.words import percent, usd
from simulator.experiment.checks import as_scenario, check_patterns
from simulator.experiment.model_length import with_model_lengths
from simulator.experiment.pattern_result import document
from simulator.experiment.replications import replicate
from simulator.experiment.summary import Tabular
from simulator.results import run
from simulator.scenario.narrowing import named_patterns, with_patterns
from simulator.version import package_version
from simulator.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from os import PathLike

    import pandas as pd

    from simulator.analysis.metrics import RunSummary
    from simulator.decision.thresholds import RuleResult
    from simulator.experiment.pattern_result import PatternResult
    from simulator.experiment.workers import Jobs
    from simulator.results import Results
    from simulator.scenario.patterns import HostingPattern
    from simulator.scenario.schema import Scenario


@dataclass(frozen=True, slots=True)
class Share:
    """Shares of what arrived (requests) and of what was served (tokens)."""

    requests: float
    tokens: float


@dataclass(frozen=True, slots=True)
class Failover:
    """What left its first backend, all replications together.

    Attributes:
        share: Of the requests, and of the prompt and output tokens.
        by_reason: The same by reason.
        api_usd_per_month: What the APIs of the pattern cost.
    """

    share: Share
    by_reason: dict[str, Share]
    api_usd_per_month: float


@dataclass(frozen=True, slots=True)
class Option:
    """The pattern as it is, or with another number of replicas.

    Attributes:
        label: What it is.
        replicas: By cluster.
        monthly_cost_usd: Mean over replications.
        more_usd: Beyond the cost of the pattern as it is.
        e2e_p99_s: Of all requests.
        ttft_p99_s: Of all requests.
        failover_share: Of the requests.
        falls_short: Why it will not do; None where it meets every objective, or nobody can tell.
        cannot_tell: Of which objectives the replications cannot tell whether it meets them.
    """

    label: str
    replicas: dict[str, int]
    monthly_cost_usd: float
    more_usd: float
    e2e_p99_s: float | None
    ttft_p99_s: float | None
    failover_share: float
    falls_short: str | None
    cannot_tell: str | None = None


@dataclass(frozen=True, slots=True)
class CapacityAdvice:
    """What can be said about the size of one pattern's clusters.

    Attributes:
        name: The hosting pattern.
        failover: None where there is nothing to fail over to.
        rules: Rules of thumb; none where nothing can fail over.
        contradictions: Rules that hold at once and say different things.
        options: As it is first, then one replica more or less of each cluster.
        recommended: Label of the cheapest option that meets every objective; None where none does, or nobody can tell.
        text: The answer in words.
    """

    name: str
    failover: Failover | None
    rules: list[RuleResult]
    contradictions: list[str]
    options: list[Option]
    recommended: str | None
    text: str

    def document(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True, repr=False)
class Capacity(Tabular):
    """The answer.

    Attributes:
        scenario: The question.
        patterns: Advice about each pattern that has a cluster and can be simulated.
    """

    scenario: Scenario
    patterns: tuple[CapacityAdvice, ...]

    def summary(self) -> pd.DataFrame:
        """One row per hosting pattern and option: replicas of its clusters together, cost, waits, what it misses."""
        import pandas as pd

        return pd.DataFrame(
            {"pattern": one.name}
            | asdict(option)
            | {"replicas": sum(option.replicas.values()), "recommended": option.label == one.recommended}
            for one in self.patterns
            for option in one.options
        )

    def document(self) -> dict[str, Any]:
        """The published JSON document as plain data."""
        about = {"name": self.scenario.name, "sha256": self.scenario.sha256}
        head = {"schema_version": 1, "simulator_version": package_version(), "scenario": about}
        return head | {"patterns": [document(one.document()) for one in self.patterns]}

    def __repr__(self) -> str:
        said = "; ".join(f"{one.name}: {one.recommended or 'no choice'}" for one in self.patterns)
        return f"<Capacity of {self.scenario.name}: {said or 'no cluster'}>"


def capacity(
    scenario: Scenario | str | PathLike[str],
    *,
    patterns: str | Sequence[str] | None = None,
    replications: int | None = None,
    jobs: Jobs = 1,
    store: str | PathLike[str] | None = None,
) -> Capacity:
    """Whether the clusters of a scenario are of the right size; see `capacity_advice` for its arguments.

    Raises:
        ScenarioError: The scenario cannot be simulated, has no such pattern, or none of these can be simulated.
    """
    scenario = as_scenario(scenario)
    names, place = named_patterns(scenario, patterns), None if store is None else Path(store)
    found = capacity_advice(scenario, patterns=names, replications=replications, jobs=jobs, store=place)
    return Capacity(scenario, tuple(found))


def capacity_advice(
    scenario: Scenario,
    *,
    patterns: Sequence[str] | None = None,
    replications: int | None = None,
    jobs: Jobs = 1,
    store: Path | None = None,
) -> list[CapacityAdvice]:
    """Advice about every pattern that has a cluster and can be simulated.

    Args:
        scenario: The question.
        patterns: Only these; all when absent.
        replications: Replaces the scenario's.
        jobs: Processes, or a cluster; the result does not depend on it.
        store: Where finished simulations are kept, and found again.

    Raises:
        ScenarioError: The scenario cannot be simulated, or none of these patterns can.
    """
    barred = check_patterns(scenario, [*scenario.hosting_patterns])
    scenario = with_model_lengths(scenario)
    known = scenario.hosting_patterns
    chosen = [name for name in patterns or known if name in known and known[name].hosted and name not in barred]
    neighbours = {name: _neighbours(known[name]) for name in chosen}
    wide = {_key(name, label): pattern for name in chosen for label, pattern in neighbours[name].items()}
    stand_for = {_key(name, label): [name] for name in chosen for label in neighbours[name]}
    wider = with_patterns(scenario, {name: known[name] for name in chosen} | wide, stand_for)
    if not chosen:
        return []
    results = run(wider, replications=replications, jobs=jobs, folder=store, tables=False, band=False, outlook=False)
    runs = replicate(wider, chosen, replications=results.replications, jobs=jobs, folder=store, tables=False)
    return [_advice(results, name, runs[name], [*neighbours[name]]) for name in chosen]


def _key(name: str, label: str) -> str:
    # No scenario can name a pattern so.
    return f"{name}~{label}"


def _neighbours(pattern: HostingPattern) -> dict[str, HostingPattern]:
    """The pattern with one replica more, and where it has several with one less, of each of its clusters."""
    found: dict[str, HostingPattern] = {}
    for name, one in pattern.hosted.items():
        scaling = one.cluster.autoscaling
        least = scaling.most() if scaling else 1
        for count in (one.cluster.replicas - 1, one.cluster.replicas + 1):
            if count < least:
                continue
            other = grown(one, count / one.cluster.replicas)
            label = f"{name}: {counted(count, 'replica')}"
            clusters = getattr(pattern, "clusters", None)
            changes: dict[str, object] = {"cluster": other.cluster, "costs": other.costs}
            if clusters is not None:
                changes = {"clusters": clusters | {name: other}}
            found[label] = pattern.model_copy(update=changes)
    return found


def _advice(results: Results, name: str, runs: Sequence[RunSummary], labels: Sequence[str]) -> CapacityAdvice:
    present = results.pattern(name)
    pattern = results.scenario.hosting_patterns[name]
    # Of nothing that arrived, nothing fails over: that is no reason for fewer replicas.
    told = present.cannot_tell is None
    failover = _failover(results, present, pattern, runs) if pattern.metered and told else None
    rules: list[RuleResult] = []
    if failover is not None:
        spent = failover.api_usd_per_month
        rules = judged({"failover_share": failover.share.requests, "overflow_usd_per_month": spent})
    options = [_option(results, "as it is", name, present)]
    options += [_option(results, label, _key(name, label), present) for label in labels]
    fit = [option for option in options if option.falls_short is None]
    best = min(fit, key=lambda option: option.monthly_cost_usd, default=None)
    keys = {"as it is": name} | {label: _key(name, label) for label in labels}
    rivals = [replace(results.pattern(keys[option.label]), name=option.label) for option in fit]
    doubt = undecided(sorted(rivals, key=lambda one: (one.cost_usd, one.name)))
    return CapacityAdvice(
        name=name,
        failover=failover,
        rules=rules,
        contradictions=contradictions(rules),
        options=options,
        recommended=best.label if best and doubt is None else None,
        text=doubt.text if doubt else _words(options[0], best, present.cannot_tell),
    )


def _failover(
    results: Results, present: PatternResult, pattern: HostingPattern, runs: Sequence[RunSummary]
) -> Failover:
    arrived = sum(run.total.arrived for run in runs)
    tokens = sum(run.total.prompt_tokens + run.total.output_tokens for run in runs)

    def share(reasons: Iterable[str]) -> Share:
        names = list(reasons)
        moved = sum(run.total.failed_over[reason] for run in runs for reason in names)
        moved_tokens = sum(run.total.failed_over_tokens[reason] for run in runs for reason in names)
        return Share(moved / arrived if arrived else 0.0, moved_tokens / tokens if tokens else 0.0)

    assert present.usage is not None
    bills = backend_bills(pattern, present.usage, results.book, results.month_hours)
    spent = sum(float(bills[api].total_usd) for api in pattern.metered)
    reasons = runs[0].total.failed_over
    return Failover(share(reasons), {reason: share([reason]) for reason in reasons}, spent)


def _option(results: Results, label: str, key: str, present: PatternResult) -> Option:
    result = results.pattern(key)
    pattern = results.scenario.hosting_patterns[key]
    waits = {metric: result.latency.get(metric) for metric in ("e2e_s", "ttft_s")}
    return Option(
        label=label,
        replicas={name: one.cluster.replicas for name, one in pattern.hosted.items()},
        monthly_cost_usd=cost_of(result),
        more_usd=cost_of(result) - cost_of(present),
        e2e_p99_s=waits["e2e_s"].p99 if waits["e2e_s"] else None,
        ttft_p99_s=waits["ttft_s"].p99 if waits["ttft_s"] else None,
        failover_share=result.requests.failover_share if result.requests else 0.0,
        falls_short="; ".join(
            filter(None, (unavailable(results.scenario, pattern, results.book), falls_short(results.scenario, result)))
        )
        or None,
        cannot_tell=untold(result),
    )


def _words(present: Option, best: Option | None, cannot_tell: str | None) -> str:
    if cannot_tell:
        return cannot_tell
    if best is None:
        return f"neither as it is nor with one replica more or less: {present.falls_short}; see simulator plan"
    if best is present:
        return f"as it is: {usd(present.monthly_cost_usd)} USD a month, and no neighbour does it for less"
    change = f"{usd(abs(best.more_usd))} USD a month {'less' if best.more_usd < 0 else 'more'}"
    why = "and every objective is still met" if present.falls_short is None else f"since {present.falls_short}"
    return f"{best.label}: {change}, {why}; {percent(best.failover_share)} of the requests fail over"
