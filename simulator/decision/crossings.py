"""Clusters against APIs: the volume at which they cost the same, for those compared and for every model in the book."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from simulator.cost.api_lines import token_rates
from simulator.decision.break_even import NoBreakEven, blended_price, break_even
from simulator.decision.retirement import judged_until
from simulator.decision.screening import cost_of
from simulator.decision.words import percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from simulator.cost.prices import PriceBook
    from simulator.experiment.pattern_result import PatternResult, Tokens
    from simulator.scenario.patterns import HostingPattern
    from simulator.scenario.schema import Scenario
    from simulator.units import TokenPrice


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where a cluster and an API cost the same.

    Attributes:
        cluster: Pattern with a fixed monthly cost.
        api: Metered pattern, or a model of the price book.
        usd_per_million_tokens: What the API charges for the mix of tokens at hand.
        tokens_per_month: Volume at which they cross; None when the API never costs as much.
        within_capacity: Whether the cluster could serve that volume.
        capacity_share: The volume as a share of what the cluster could serve: the utilisation at which it breaks even.
        same_model: Whether both serve the same open model; otherwise they may differ in quality.
        available: Whether the model answers until the last simulated day.
        text: The same in words.
    """

    cluster: str
    api: str
    usd_per_million_tokens: float
    tokens_per_month: int | None
    within_capacity: bool
    capacity_share: float | None
    same_model: bool
    available: bool
    text: str


def crossings(
    scenario: Scenario, results: Sequence[PatternResult], book: PriceBook, capacity: Mapping[str, int]
) -> list[Crossing]:
    """Every self-hosted pattern against every API it is compared with, at the mix of tokens the scenario has.

    Args:
        scenario: The scenario.
        results: Patterns that may be used.
        book: Price book.
        capacity: Tokens a month each cluster could serve, by pattern.
    """
    found = []
    for cluster in _clusters(results, capacity):
        for api in results:
            pattern = scenario.hosting_patterns[api.name]
            if pattern.hosted or len(pattern.metered) > 1 or api.tokens is None or not api.tokens.output:
                continue
            (metered,) = pattern.metered.values()
            if not metered.paid_by_the_token:
                # Paid by the hour: its tokens have no price that volume could undercut.
                continue
            rates = token_rates(metered, book).usual
            price = _blended(rates.prompt, rates.output, api.tokens)
            entry = book.api_prices.get(metered.model)
            same = serves_same_model(scenario.hosting_patterns[cluster.name], metered.model)
            gone = entry is not None and entry.retired(judged_until(scenario, book))
            found.append(_crossing(cluster, api.name, price, capacity[cluster.name], same_model=same, gone=gone))
    return found


def crossings_by_model(
    scenario: Scenario, results: Sequence[PatternResult], book: PriceBook, capacity: Mapping[str, int]
) -> list[Crossing]:
    """The same against every model of the price book, dearest first; see `crossings`."""
    found = []
    for cluster in _clusters(results, capacity):
        if cluster.tokens is None or not cluster.tokens.output:
            continue
        for key, entry in book.api_prices.items():
            price = _blended(entry.prompt, entry.output, cluster.tokens)
            same = serves_same_model(scenario.hosting_patterns[cluster.name], key)
            gone = entry.retired(judged_until(scenario, book))
            found.append(_crossing(cluster, key, price, capacity[cluster.name], same_model=same, gone=gone))
    return sorted(found, key=lambda row: (row.cluster, -row.usd_per_million_tokens, row.api))


def serves_same_model(pattern: HostingPattern, api_model: str) -> bool:
    """Whether an API's key of the price book names the one model a pattern's clusters serve.

    Its weights may still be of another precision: a provider rarely says.
    """
    own = {one.cluster.model for one in pattern.hosted.values()}
    name = api_model.rpartition("/")[2]
    return any(name == model or name.startswith(f"{model}-") for model in own) and len(own) == 1


def headline(rows: Sequence[Crossing], results: Sequence[PatternResult]) -> Crossing | None:
    """The crossing of the cheapest cluster with the cheapest API."""
    cost = {result.name: cost_of(result) for result in results}
    known = [row for row in rows if row.cluster in cost and row.api in cost]
    return min(known, key=lambda row: (cost[row.cluster], cost[row.api]), default=None)


def _clusters(results: Sequence[PatternResult], capacity: Mapping[str, int]) -> Iterator[PatternResult]:
    return (result for result in results if result.name in capacity and result.kind == "self_hosted")


def _blended(prompt: TokenPrice, output: TokenPrice, tokens: Tokens) -> TokenPrice:
    return blended_price(prompt, output, prompt_tokens=tokens.prompt, output_tokens=tokens.output)


def _crossing(
    cluster: PatternResult, api: str, price: TokenPrice, capacity: int, *, same_model: bool, gone: bool
) -> Crossing:
    answer = break_even(Decimal(str(round(cost_of(cluster), 2))), price, capacity)
    never = isinstance(answer, NoBreakEven)
    if isinstance(answer, NoBreakEven):
        text = f"{cluster.name} never undercuts {api} within its capacity: {answer.reason}"
    else:
        share = percent(answer.capacity_share or 0.0)
        volume = f"{answer.tokens_per_month / 1e6:,.0f}M tokens a month"
        text = f"{cluster.name} undercuts {api} from {volume}, {share} of what it could serve"
    return Crossing(
        cluster=cluster.name,
        api=api,
        usd_per_million_tokens=float(price.usd_per_million),
        tokens_per_month=answer.tokens_per_month,
        within_capacity=not never,
        capacity_share=answer.capacity_share,
        same_model=same_model,
        available=not gone,
        text=text,
    )
