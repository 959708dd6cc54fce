"""Clusters against APIs: the volumes at which they cost less, for those compared and for every model in the book."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from simulator.cost.usage import ApiUse
from simulator.decision.cost_curve import REACH_TOKENS
from simulator.decision.retirement import judged_until
from simulator.decision.screening import cost_of
from simulator.decision.undercut import Bills, Range, nearest, undercuts
from simulator.decision.words import percent, usd, volume
from simulator.scenario.api_terms import Terms
from simulator.scenario.apis import Standard
from simulator.scenario.patterns import ApiPattern
from simulator.wording import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from simulator.cost.prices import ApiPrice, PriceBook
    from simulator.decision.costing import Costing
    from simulator.experiment.pattern_result import PatternResult
    from simulator.scenario.patterns import HostingPattern
    from simulator.scenario.schema import Scenario

#: How far is looked for a break-even: so many times what the replicas of the scenario serve in their busiest hour.
_AHEAD: Final = 8
#: Ranges told in words.
_TOLD: Final = 3


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where a pattern with a cluster costs no more than a metered one, by the bills of both.

    Attributes:
        cluster: Pattern with a cluster.
        api: Metered pattern, or a model of the price book.
        usd_per_million_tokens: What another million tokens of the mix at hand costs at the API.
        tokens_per_month: Least volume at which the cluster costs no more; None when it never costs less.
        within_capacity: Whether the replicas of the scenario can serve that volume, in their busiest hour too.
        capacity_share: The volume as a share of what those replicas could serve, never short of work: the utilisation
            at which they break even.
        same_model: Whether both serve the same open model; otherwise they may differ in quality.
        available: Whether the model answers until the last simulated day.
        text: The same in words.
        replicas: Replicas the cluster has there.
        cluster_usd: What it costs there, a month; None when it never costs less.
        api_usd: What the API costs there, a month; None when the cluster never costs less.
        ranges: All volumes at which the cluster costs no more. There are several where replicas are added.
        looked_up_to: Tokens a month up to which was looked.
        cached_share: Share of the API's prompt tokens that are charged as read from its cache at the simulated volume.
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
    replicas: int = 0
    cluster_usd: float | None = None
    api_usd: float | None = None
    ranges: tuple[Range, ...] = ()
    looked_up_to: int = 0
    cached_share: float = 0.0


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two that are compared."""

    name: str
    bills: Bills
    models: Sequence[str] = ()
    gone: bool = False


def crossings(
    scenario: Scenario, results: Sequence[PatternResult], book: PriceBook, costings: Mapping[str, Costing]
) -> list[Crossing]:
    """Every pattern with a cluster against every one without, at the mix of tokens the scenario has.

    Args:
        scenario: The scenario.
        results: Patterns that may be used.
        book: Price book.
        costings: What prices them, by name.
    """
    found, until = [], judged_until(scenario, book)
    apis = [
        _metered(name, costings[name], book, until)
        for name in _served(results, costings)
        if not scenario.hosting_patterns[name].hosted
    ]
    for name in _served(results, costings):
        pattern = scenario.hosting_patterns[name]
        if pattern.hosted:
            own = _Side(name, Bills(costings[name]))
            found += [_crossing(own, api, pattern) for api in apis]
    return found


def crossings_by_model(
    scenario: Scenario, results: Sequence[PatternResult], book: PriceBook, costings: Mapping[str, Costing]
) -> list[Crossing]:
    """The same for clusters alone, against every model on sale, dearest first; see `crossings` and `_compared`.

    A model takes the place of the cheapest pattern's with one API paid by the token: it costs its standard price for
    the same tokens, as many of them cached, and all that the pattern costs besides, but for what its own contract says:
    prices, terms, and lines and a provider of code of one's own. Where there is none, it costs its tokens alone, none
    of them cached.
    """
    found, until = [], judged_until(scenario, book)
    stand_in = _stand_in(scenario, results, costings)
    models: dict[Costing, list[_Side]] = {}
    for name in _served(results, costings):
        pattern = scenario.hosting_patterns[name]
        if not pattern.hosted or pattern.metered:
            continue
        base = stand_in or _tokens_alone(costings[name], next(iter(book.api_prices)))
        if base not in models:
            compared = _compared(scenario, book).items()
            models[base] = [_of_model(base, key, gone=entry.retired(until)) for key, entry in compared]
        own = _Side(name, Bills(costings[name]))
        found += [_crossing(own, api, pattern) for api in models[base]]
    return sorted(found, key=lambda row: (row.cluster, -row.usd_per_million_tokens, row.api))


def _compared(scenario: Scenario, book: PriceBook) -> dict[str, ApiPrice]:
    """Models that a break-even is worth knowing of: those on sale, and those the scenario names.

    A zone or a region of a provider costs its surcharge more than the same model elsewhere, and is left out.
    """
    named = {api.model for pattern in scenario.hosting_patterns.values() for api in pattern.metered.values()}
    sold = {key for key, entry in book.on_sale().items() if entry.deployment in ("global", "direct", "regional")}
    return {key: entry for key, entry in book.api_prices.items() if key in sold | named}


def serves_same_model(pattern: HostingPattern, api_model: str) -> bool:
    """Whether an API's key of the price book names the one model a pattern's clusters serve.

    Its weights may still be of another precision: a provider rarely says.
    """
    own = {one.cluster.model for one in pattern.hosted.values()}
    name = api_model.rpartition("/")[2]
    return any(name == model or name.startswith(f"{model}-") for model in own) and len(own) == 1


def headline(rows: Sequence[Crossing], results: Sequence[PatternResult]) -> Crossing | None:
    """The crossing of the cheapest cluster with the cheapest API; a hybrid's only where there is no other cluster."""
    cost = {result.name: cost_of(result) for result in results}
    known = [row for row in rows if row.cluster in cost and row.api in cost]
    hybrid = {result.name: result.kind == "hybrid" for result in results}
    return min(known, key=lambda row: (hybrid[row.cluster], cost[row.cluster], cost[row.api]), default=None)


def _served(results: Sequence[PatternResult], costings: Mapping[str, Costing]) -> list[str]:
    """Patterns that served something, so that it is known what more would cost."""
    known = (result.name for result in results if result.name in costings)
    return [name for name in known if costings[name].tokens_per_month > 0.0]


def _metered(name: str, costing: Costing, book: PriceBook, until: date) -> _Side:
    models = [api.model for api in costing.pattern.metered.values()]
    entries = [book.api_prices[model] for model in models if model in book.api_prices]
    return _Side(name, Bills(costing), models, gone=any(entry.retired(until) for entry in entries))


def _stand_in(scenario: Scenario, results: Sequence[PatternResult], costings: Mapping[str, Costing]) -> Costing | None:
    """The cheapest pattern that is one API paid by the token, at its own tokens."""
    alone = [
        result
        for result in results
        if result.name in _served(results, costings)
        and not (pattern := scenario.hosting_patterns[result.name]).hosted
        and [api.paid_by_the_token for api in pattern.metered.values()] == [True]
    ]
    cheapest = min(alone, key=lambda result: (cost_of(result), result.name), default=None)
    return None if cheapest is None else costings[cheapest.name]


def _tokens_alone(cluster: Costing, model: str) -> Costing:
    """An API that costs nothing but the tokens that a cluster served."""
    speed = {"ttft": {"median": "1s"}, "output_tokens_per_s": {"median": 50}}
    api = ApiPattern.model_validate({"kind": "metered_api", "api": {"model": model, **speed}})
    served = ApiUse(cluster.usage.served_prompt_tokens, 0, cluster.usage.served_output_tokens)
    return replace(cluster, pattern=api, usage=replace(cluster.usage, clusters={}, apis={model: served}))


def _of_model(base: Costing, model: str, *, gone: bool) -> _Side:
    """A model of the book in the place of the only API of a pattern."""
    ((old, api),) = base.pattern.metered.items()
    costs = api.costs.model_copy(update={"lines": {}})
    own = {"prices": None, "terms": Terms(), "deployment": Standard(), "provider": None, "costs": costs}
    other = api.model_copy(update={"model": model, **own})
    pattern = base.pattern.model_copy(update={"api": other, "apis": None})
    use = base.usage.apis[old]
    costing = replace(base, pattern=pattern, usage=replace(base.usage, apis={model: use}))
    return _Side(model, Bills(costing), [model], gone=gone)


def _crossing(own: _Side, api: _Side, pattern: HostingPattern) -> Crossing:
    costing, most = own.bills.costing, _most(own.bills.costing)
    ranges = undercuts(own.bills, api.bills, most)
    first = ranges[0].from_tokens if ranges else None
    replicas = costing.replicas if first is None else costing.replicas_at(first)
    capacity = costing.capacity_tokens_per_month
    uses = api.bills.costing.usage.apis.values()
    prompt = sum(use.prompt_tokens for use in uses)
    return Crossing(
        cluster=own.name,
        api=api.name,
        usd_per_million_tokens=_slope_usd(api.bills, most) * 1e6,
        tokens_per_month=first,
        within_capacity=first is not None and replicas == costing.replicas,
        capacity_share=first / capacity if first is not None and capacity else None,
        same_model=all(serves_same_model(pattern, model) for model in api.models),
        available=not api.gone,
        text=_told(own, api, ranges, most),
        replicas=replicas,
        cluster_usd=None if first is None else own.bills.at(first),
        api_usd=None if first is None else api.bills.at(first),
        ranges=ranges,
        looked_up_to=most,
        cached_share=sum(use.cached_prompt_tokens for use in uses) / prompt if prompt else 0.0,
    )


def _slope_usd(bills: Bills, most: int) -> float:
    """What another token costs, beyond those that are free or come to less than a minimum."""
    start = max((round(kink) for kink in bills.costing.kinks(most)), default=0)
    return (bills.at(most) - bills.at(start)) / (most - start)


def _most(costing: Costing) -> int:
    """How far is looked, in tokens a month."""
    busiest = costing.capacity_tokens_per_month / float(costing.hourly.max())
    return round(max(REACH_TOKENS, 2.0 * costing.tokens_per_month, _AHEAD * busiest))


def _told(own: _Side, api: _Side, ranges: Sequence[Range], most: int) -> str:
    if not ranges:
        least = nearest(own.bills, api.bills, most)
        gap = f"it costs {usd(least.more_usd)} USD more at {volume(least.tokens_per_month)}, where they are nearest"
        return f"{own.name} never undercuts {api.name} up to {volume(most)} a month: {gap}"
    if ranges == (Range(0, None),):
        return f"{own.name} undercuts {api.name} at any volume up to {volume(most)} a month"
    told = [_range(one) for one in ranges[:_TOLD]]
    if len(ranges) > _TOLD:
        told.append("further on at some volumes")
    text = f"{own.name} undercuts {api.name} {' and '.join(told)} a month"
    costing, first = own.bills.costing, ranges[0].from_tokens
    if not first or not costing.capacity_tokens_per_month:
        return text
    replicas = costing.replicas_at(first)
    if replicas > costing.replicas:
        return f"{text}, with {counted(replicas, 'replica')}"
    return f"{text}, {percent(first / costing.capacity_tokens_per_month)} of what it could serve"


def _range(one: Range) -> str:
    if one.to_tokens is None:
        return f"from {volume(one.from_tokens)}"
    start = f"from {volume(one.from_tokens)} " if one.from_tokens else ""
    return f"{start}up to {volume(one.to_tokens)}"
