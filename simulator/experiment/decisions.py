"""What a router decided, over all replications, and what that was expected to cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator.cost.api_lines import TokenRates, token_rates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.analysis.decisions import Decided
    from simulator.analysis.metrics import RunSummary
    from simulator.cost.prices import PriceBook
    from simulator.scenario.patterns import HostingPattern


@dataclass(frozen=True, slots=True)
class DecisionResult:
    """Requests that a router sent to one backend for one reason, mean of the replications.

    Attributes:
        target: Name of the backend; None when it was refused at once.
        reason: Why there.
        requests: How many in a replication.
        estimated_cost_usd: What an API charges for their prompts and for answers of their workloads' mean length; 0
            for a cluster and for provisioned units, whose rent runs anyway.
    """

    target: str | None
    reason: str
    requests: int
    estimated_cost_usd: float


def decision_results(pattern: HostingPattern, runs: Sequence[RunSummary], book: PriceBook) -> list[DecisionResult]:
    """Combine replications, and price each."""
    # Units are paid by the hour: one request more costs nothing.
    rates = {name: token_rates(api, book) for name, api in pattern.metered.items() if api.paid_by_the_token}
    found: dict[tuple[str, str], list[Decided]] = {}
    for run in runs:
        for one in run.decisions:
            found.setdefault((one.target, one.reason), []).append(one)
    return [
        DecisionResult(
            target or None,
            reason,
            round(sum(one.requests for one in made) / len(runs)),
            sum(_estimated_usd(one, rates.get(target)) for one in made) / len(runs),
        )
        for (target, reason), made in found.items()
    ]


def _estimated_usd(made: Decided, rates: TokenRates | None) -> float:
    if rates is None:
        return 0.0
    prompt, output = rates.usual.prompt.usd_per_million, rates.usual.output.usd_per_million
    return (made.prompt_tokens * float(prompt) + made.expected_output_tokens * float(output)) / 1e6
