"""What can be said about a hosting pattern's prices before anything is simulated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from functools import partial

from simulator.cost.api_lines import token_rates, unit_price
from simulator.cost.lines import service_line
from simulator.cost.prices import STALE_AFTER_DAYS, ApiPrice, Entry, PriceBook, ServicePrice, UnitPrice
from simulator.errors import PriceNotFound
from simulator.scenario.apis import MeteredApi, Provisioned
from simulator.scenario.costs import Purchase, Rental, Service
from simulator.scenario.patterns import Cluster, HostingPattern, api_key, costs_key
from simulator.wording import article, counted


def price_faults(pattern: HostingPattern, book: PriceBook) -> list[tuple[str, str]]:
    """Names the book does not have: key within the pattern and message."""
    lookups: list[tuple[str, Callable[[], object]]] = [
        (key, partial(book.gpu_offer, str(rental.offer))) for key, rental, _ in _offers(pattern)
    ]
    for key, api in _apis(pattern):
        if isinstance(api.deployment, Provisioned):
            lookups.append((key, partial(unit_price, api.deployment, api.model, book)))
        elif api.paid_by_the_token:
            lookups.append((key, partial(token_rates, api, book)))
    lookups += [(key, partial(service_line, "", service, book)) for key, service in _services(pattern)]
    faults = []
    for key, look_up in lookups:
        try:
            look_up()
        except PriceNotFound as error:
            faults.append((key, str(error)))
    return faults


def price_warnings(pattern: HostingPattern, book: PriceBook, on: date) -> list[tuple[str, str]]:
    """Prices that deserve doubt on that day, such as a run's last: key within the pattern and message.

    A price is doubtful when it is old or recalled from memory, an offer when its GPU is not the cluster's or its price
    is discounted twice, a purchase when its price is for another number of GPUs. Names the book does not have are left
    to `price_faults`.
    """
    warnings: list[tuple[str, str]] = []
    for key, rental, cluster in _offers(pattern):
        offer = book.gpu_offers.get(str(rental.offer))
        if offer is None:
            continue
        warnings += [(key, doubt) for doubt in _price_doubts(offer, on)]
        if offer.gpu != cluster.gpu:
            warnings.append((key, f"the offer is for {offer.gpu}, the cluster runs on {cluster.gpu}"))
        if offer.kind in {"reserved", "spot"} and (rental.commitment or rental.spot):
            warnings.append((key, f"the price is already {article(offer.kind)} one, and is discounted again"))
    for name, one in pattern.hosted.items():
        compute, gpus = one.costs.compute, one.cluster.replicas * one.cluster.tensor_parallel
        if isinstance(compute, Purchase) and (compute.for_gpus or gpus) != gpus:
            doubt = (
                f"the price is for {counted(compute.for_gpus or gpus, 'GPU')}, the cluster has {gpus}: taken in "
                "proportion; gpu_each and "
                "chassis_each say what one costs"
            )
            warnings.append((".".join((*costs_key(pattern, name), "compute")), doubt))
    for key, api in _apis(pattern):
        priced_by = _priced_by(api, book)
        if priced_by is not None:
            warnings += [(key, doubt) for doubt in _price_doubts(priced_by, on)]
    for key, service in _services(pattern):
        if service.price in book.services:
            warnings += [(key, doubt) for doubt in _price_doubts(book.services[service.price], on)]
    return warnings


def _priced_by(api: MeteredApi, book: PriceBook) -> ApiPrice | ServicePrice | UnitPrice | None:
    """The entry an API is priced by; None for contract prices and for what the book does not have."""
    if isinstance(api.deployment, Provisioned):
        unit = book.provisioned_units.get(api.deployment.price_key(api.model))
        return unit if api.deployment.unit_hour is None else None
    if api.prices is not None or not api.paid_by_the_token:
        return None
    return book.services.get(api.model) or book.api_prices.get(api.model)


def _price_doubts(entry: Entry, on: date) -> Iterator[str]:
    if entry.stale(on):
        yield f"the price dates from {entry.captured_on}, over {STALE_AFTER_DAYS} days before {on}"
    if entry.basis == "memory":
        yield "the price is recalled from memory, without a document"


def _apis(pattern: HostingPattern) -> Iterator[tuple[str, MeteredApi]]:
    for name, api in pattern.metered.items():
        yield ".".join((*api_key(pattern, name), "model")), api


def _services(pattern: HostingPattern) -> Iterator[tuple[str, Service]]:
    where = {costs_key(pattern, name): one.costs.services for name, one in pattern.hosted.items()}
    where |= {(*api_key(pattern, name), "costs"): api.costs.services for name, api in pattern.metered.items()}
    for key, services in where.items():
        for name, service in services.items():
            yield ".".join((*key, "services", name, "price")), service


def _offers(pattern: HostingPattern) -> Iterator[tuple[str, Rental, Cluster]]:
    for name, one in pattern.hosted.items():
        compute = one.costs.compute
        if isinstance(compute, Rental) and compute.offer is not None:
            yield ".".join((*costs_key(pattern, name), "compute", "offer")), compute, one.cluster
