"""From what replications measured to what they say of the billed month.

Each workload's counts are scaled by the requests that the month is known to ask over those that arrived: a ratio
estimator (Cochran, Sampling Techniques, 3rd ed. 1977, ch. 6). How many arrive in the measured hours is chance and
calendar; what a request needs is what is simulated to be known. Scaling by the hours alone takes a Monday for every
day, and scaling by the requests that were expected would leave the chance of the arrivals in the bill. Where requests
are alike and what one needs does not hang on how many came, the estimate is the truth in expectation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from simulator.cost.usage import ApiUse, ClusterUse, Usage
from simulator.scenario.autoscaling import QueueScaling
from simulator.workload.work import Charged, Work

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from decimal import Decimal

    from simulator.analysis.metrics import BackendUse, RunSummary
    from simulator.scenario.patterns import HostingPattern
    from simulator.workload.demand import Demand


def monthly_counts(measured: Sequence[int], requests: Sequence[int], asked: float) -> list[int]:
    """A count of the month by replication.

    What a replication's count lies above the mean only because more requests came to it is taken out:
    u - mean(u) (n - mean(n)) / mean(n). The mean over replications is the ratio estimate exactly, and their spread is
    that of its error.

    Args:
        measured: The count in each replication.
        requests: The requests it is about.
        asked: Requests of the month.
    """
    size, arrived, total = len(measured), sum(requests), sum(measured)
    if not arrived:
        return [0] * size
    scale = asked * size / arrived
    return [
        max(0, round(scale * (count - total * (one * size - arrived) / (arrived * size))))
        for count, one in zip(measured, requests, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Month:
    """One workload's way from measured counts to the month's.

    Attributes:
        demand: What it asks.
        settled: Requests by replication that its counts are about.
    """

    demand: Demand
    settled: Sequence[int]

    def counts(self, measured: Sequence[int], factor: float = 1.0) -> list[int]:
        """A count of the month by replication; see `monthly_counts`."""
        return monthly_counts(measured, self.settled, self.demand.billed * factor)


def monthly_usages(
    pattern: HostingPattern,
    runs: Sequence[RunSummary],
    demand: Mapping[str, Demand],
    month_hours: Decimal,
    timetable: Mapping[str, float] | None = None,
) -> list[Usage]:
    """What each replication says that a hosting pattern does in the billed month.

    Token counts scale workload by workload. Replicas are paid by the clock, in the share of it measured, or what their
    timetable makes of it; the share in which they are busy scales with the tokens computed, and ends at all of it.

    A request that is open at the end says nothing of what it needs, unless the pattern cannot keep up.

    Args:
        pattern: The hosting pattern.
        runs: Its replications.
        demand: What each workload asks.
        month_hours: Hours of the billed month.
        timetable: See `beyond_measured`; nothing where all is as measured.
    """
    overloaded = any(run.saturation == "overloaded" for run in runs)
    settled = [_by_workload(run, overloaded) for run in runs]
    months = {name: _Month(one, [row[name] for row in settled]) for name, one in demand.items()}
    work = {backend: _work(runs, backend, months) for backend in runs[0].backends}
    apis = {name: _charged(runs, name, months) for name in pattern.metered}
    beyond = timetable or {}
    clusters = {
        name: _clusters(pattern, runs, name, work[name], float(month_hours), beyond.get(name, 0.0))
        for name in pattern.hosted
    }
    return [
        Usage(
            hours=float(month_hours),
            clusters={name: uses[number] for name, uses in clusters.items()},
            apis={name: uses[number] for name, uses in apis.items()},
            served_prompt_tokens=sum(one.prompt_tokens for rows in work.values() for one in rows[number].values()),
            served_output_tokens=sum(one.output_tokens for rows in work.values() for one in rows[number].values()),
            work={backend: rows[number] for backend, rows in work.items()},
        )
        for number in range(len(runs))
    ]


def _by_workload(run: RunSummary, overloaded: bool) -> dict[str, int]:
    """Requests of each workload whose need is known."""
    return {
        name: part.arrived - (0 if overloaded else part.outcomes["unfinished"]) for name, part in run.workloads.items()
    }


def _work(runs: Sequence[RunSummary], backend: str, months: Mapping[str, _Month]) -> list[dict[str, Work]]:
    """Work of a backend by replication and workload."""
    found: list[dict[str, Work]] = [{} for _ in runs]
    for name, month in months.items():
        done = [run.backends[backend].work[name] for run in runs]
        requests = month.counts([one.requests for one in done])
        tokens = _tokens(month, done)
        for number, row in enumerate(found):
            row[name] = Work(requests[number], *tokens[number])
    return found


def _charged(runs: Sequence[RunSummary], backend: str, months: Mapping[str, _Month]) -> list[ApiUse]:
    """What an API charges for by replication, all workloads together."""
    total = [ApiUse(0, 0, 0)] * len(runs)
    for name, month in months.items():
        charged = [run.backends[backend].charged[name] for run in runs]
        uses = _api_uses(month, charged)
        long = {
            above: _api_uses(month, [_long(one, above) for one in charged])
            for above in sorted({above for one in charged for above in one.long})
        }
        for at, use in enumerate(uses):
            total[at] += replace(use, long={above: _part(parts[at], use) for above, parts in long.items()})
    return total


def _long(charged: Charged, above: int) -> Charged:
    """What long requests alone are charged."""
    prompt, cached, written, output = charged.long.get(above, (0, 0, 0, 0))
    return Charged(prompt, cached, output, written)


def _part(part: ApiUse, whole: ApiUse) -> ApiUse:
    """A part that is in nothing more than the whole."""
    cached = min(part.cached_prompt_tokens, whole.cached_prompt_tokens)
    written = min(part.cache_write_tokens, whole.cache_write_tokens)
    prompt = max(min(part.prompt_tokens, whole.prompt_tokens), cached + written)
    return ApiUse(prompt, cached, min(part.output_tokens, whole.output_tokens), written)


def _api_uses(month: _Month, charged: Sequence[Charged]) -> list[ApiUse]:
    """The same of one workload."""
    written = month.counts([one.written_tokens for one in charged], month.demand.prompt_factor)
    return [
        # Rounded parts may be a token more than the rounded whole.
        ApiUse(max(prompt, cached + new), cached, output, new)
        for (prompt, cached, output), new in zip(_tokens(month, charged), written, strict=True)
    ]


def _tokens(month: _Month, done: Sequence[Work | Charged]) -> list[tuple[int, int, int]]:
    """Prompt, cached prompt and output tokens of the month by replication."""
    longer, answers = month.demand.prompt_factor, month.demand.output_factor
    prompt = month.counts([one.prompt_tokens for one in done], longer)
    cached = month.counts([one.cached_prompt_tokens for one in done], longer)
    output = month.counts([one.output_tokens for one in done], answers)
    return [(whole, min(whole, part), answer) for whole, part, answer in zip(prompt, cached, output, strict=True)]


def _clusters(
    pattern: HostingPattern,
    runs: Sequence[RunSummary],
    name: str,
    work: Sequence[Mapping[str, Work]],
    month_hours: float,
    beyond: float,
) -> list[ClusterUse]:
    """What a cluster does by replication."""
    measured = sum(one.computed_tokens for run in runs for one in run.backends[name].work.values())
    monthly = sum(one.computed_tokens for works in work for one in works.values())
    found = []
    for run, works in zip(runs, work, strict=True):
        use, busier = run.backends[name], monthly / measured * run.hours / month_hours if measured else 1.0
        assert use.utilisation is not None
        tokens = sum(one.prompt_tokens + one.output_tokens for one in works.values())
        busy = min(1.0, use.utilisation.busy_fraction * busier)
        found.append(ClusterUse(busy, tokens, _paid_share(pattern, name, use, run.hours, busier, beyond)))
    return found


def _paid_share(
    pattern: HostingPattern, name: str, use: BackendUse, hours: float, busier: float, beyond: float
) -> float:
    """Share of the month for which replicas are paid.

    As measured, by the clock; but replicas that come because requests wait, beyond the fewest, come with the demand,
    and those that follow a timetable come as they do in an ordinary week.
    """
    if not pattern.varies or use.replica_hours is None:
        return 1.0
    cluster = pattern.hosted[name].cluster
    share = use.replica_hours / (hours * cluster.replicas)
    if not isinstance(cluster.autoscaling, QueueScaling):
        return min(1.0, max(0.0, share + beyond))
    always = min(share, cluster.autoscaling.at_least / cluster.replicas)
    return min(1.0, always + (share - always) * busier)
