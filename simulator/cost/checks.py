"""What can be said about a hosting pattern's prices before anything is simulated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from typing import Final

from simulator.cost.prices import STALE_AFTER_DAYS, ApiPrice, GpuOffer, PriceBook
from simulator.errors import PriceNotFound
from simulator.scenario.costs import Rental
from simulator.scenario.patterns import ApiPattern, HostingPattern, MeteredApi, SelfHostedPattern

_API: Final = "api.model"
_OFFER: Final = "costs.compute.offer"


def price_faults(pattern: HostingPattern, book: PriceBook) -> list[tuple[str, str]]:
    """Names the book does not have: key within the pattern and message."""
    lookups: list[tuple[str, str, Callable[[str], object]]] = []
    api, offer = _api(pattern), _offer(pattern)
    if offer is not None:
        lookups.append((_OFFER, offer, book.gpu_offer))
    if api is not None and api.prices is None:
        lookups.append((_API, api.model, book.api))
    faults = []
    for key, name, look_up in lookups:
        try:
            look_up(name)
        except PriceNotFound as error:
            faults.append((key, str(error)))
    return faults


def price_warnings(pattern: HostingPattern, book: PriceBook, on: date) -> list[tuple[str, str]]:
    """Prices that deserve doubt on that day, such as a run's last: key within the pattern and message.

    A price is doubtful when it is old or recalled from memory, a model when it has retired (whatever contract
    prices it), an offer when its GPU is not the cluster's. Names the book does not have are left to
    `price_faults`.
    """
    warnings: list[tuple[str, str]] = []
    offer = book.gpu_offers.get(_offer(pattern) or "")
    if offer is not None and not isinstance(pattern, ApiPattern):
        warnings += [(_OFFER, doubt) for doubt in _price_doubts(offer, on)]
        if offer.gpu != pattern.cluster.gpu:
            warnings.append((_OFFER, f"the offer is for {offer.gpu}, the cluster runs on {pattern.cluster.gpu}"))
    api = _api(pattern)
    entry = book.api_prices.get(api.model) if api else None
    if api is not None and entry is not None:
        if api.prices is None:
            warnings += [(_API, doubt) for doubt in _price_doubts(entry, on)]
        if entry.retired(on):
            warnings.append((_API, f"{api.model} retires on {entry.retires_on}: {entry.retirement_source}"))
    return warnings


def _price_doubts(entry: ApiPrice | GpuOffer, on: date) -> Iterator[str]:
    if entry.stale(on):
        yield f"the price dates from {entry.captured_on}, over {STALE_AFTER_DAYS} days before {on}"
    if entry.basis == "memory":
        yield "the price is recalled from memory, without a document"


def _api(pattern: HostingPattern) -> MeteredApi | None:
    return None if isinstance(pattern, SelfHostedPattern) else pattern.api


def _offer(pattern: HostingPattern) -> str | None:
    if isinstance(pattern, ApiPattern) or not isinstance(pattern.costs.compute, Rental):
        return None
    return pattern.costs.compute.offer
