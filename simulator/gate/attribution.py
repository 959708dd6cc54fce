"""Why a bill changed: each dollar of the difference to price, volume, capacity, policy or simulation.

The new run is priced again with the old prices: what that leaves of the difference is quantity, the rest is price (a
price index after Paasche). Of the quantity, what the old usage would cost on the new machines is capacity. The rest
follows the usage: it belongs to whatever was changed. Where several things were, volume takes what the old usage would
cost scaled to the new demand, and what is left belongs to the others; where those are two, no bill can part them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from simulator.cost.bill import monthly_bill
from simulator.cost.usage import ApiUse, Usage
from simulator.errors import PriceNotFound
from simulator.scenario.apis import Provisioned, Reserved
from simulator.scenario.costs import ClusterCosts, Purchase

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from simulator.cost.prices import PriceBook
    from simulator.gate.inputs import Cause
    from simulator.scenario.apis import MeteredApi
    from simulator.scenario.patterns import Cluster, HostingPattern

#: Kinds of change that move usage, in the order in which they take their part.
_OF_USAGE: Final[tuple[Cause, ...]] = ("volume", "capacity", "policy")


@dataclass(frozen=True, slots=True)
class Billed:
    """One side of a comparison: everything its bill follows from."""

    pattern: HostingPattern
    usage: Usage
    book: PriceBook
    month_hours: Decimal

    @property
    def usd(self) -> Decimal:
        """The monthly bill. Raises PriceNotFound."""
        return monthly_bill(self.pattern, self.usage, self.book, self.month_hours).total_usd


@dataclass(frozen=True, slots=True)
class Attribution:
    """Parts of a difference between two bills, which sum to it.

    Attributes:
        by_usd: USD by cause.
        together_usd: USD of causes that cannot be told apart.
        together: Those causes.
    """

    by_usd: dict[Cause, Decimal]
    together_usd: Decimal = Decimal(0)
    together: tuple[Cause, ...] = ()


def attribute(base: Billed, new: Billed, causes: Collection[Cause]) -> Attribution | None:
    """Part the difference between two bills of one hosting pattern.

    Args:
        base: Before.
        new: After.
        causes: Kinds of the changes in what was asked of this pattern.

    Returns:
        None where one of the bills cannot be computed.
    """
    try:
        repriced = _at_old_prices(base, new)
        quantity = repriced.usd - base.usd
        found: dict[Cause, Decimal] = {"price": new.usd - repriced.usd}
        found["capacity"] = _on_new_machines(base, repriced)
        rest = quantity - found["capacity"]
        moved = [cause for cause in _OF_USAGE if cause in causes] or ["simulation"]
        if len(moved) > 1 and moved[0] == "volume":
            found["volume"] = replace(base, usage=_scaled(base.usage, new.usage)).usd - base.usd
            rest -= found["volume"]
            moved = moved[1:]
    except (PriceNotFound, KeyError, ValueError):  # or the parts of a result do not fit each other
        return None
    if len(moved) == 1:
        found[moved[0]] = found.get(moved[0], Decimal(0)) + rest
        return Attribution(found)
    return Attribution(found, rest, tuple(moved))


def _at_old_prices(base: Billed, new: Billed) -> Billed:
    """The new side with the prices of the old one, wherever the old one had any."""
    old, pattern = base.pattern, new.pattern
    changes: dict[str, Any] = {}
    if pattern.hosted and old.hosted:
        changes |= _hosted_at_old_prices(old, pattern)
    if pattern.metered and old.metered:
        changes |= _metered_at_old_prices(old, pattern)
    priced = pattern.model_copy(update=changes)
    # A pattern's only API is called as its model is, and the model is part of the price.
    renamed = {name: new.usage.apis[old] for name, old in zip(priced.metered, pattern.metered, strict=True)}
    book = base.book.model_copy(
        update={
            name: {**entries, **getattr(base.book, name)} for name, entries in new.book if isinstance(entries, dict)
        }
    )
    return Billed(priced, replace(new.usage, apis=renamed), book, base.month_hours)


def _hosted_at_old_prices(old: HostingPattern, new: HostingPattern) -> dict[str, Any]:
    one, other = getattr(old, "cluster", None), getattr(new, "cluster", None)
    if one is not None and other is not None:
        return {"costs": _costs(old.costs, one, new.costs, other)}  # type: ignore[union-attr, arg-type]
    return (
        {
            "clusters": {
                name: cluster.model_copy(
                    update={
                        "costs": _costs(
                            old.hosted[name].costs, old.hosted[name].cluster, cluster.costs, cluster.cluster
                        )
                    }
                )
                if name in old.hosted
                else cluster
                for name, cluster in new.hosted.items()
            }
        }
        if other is None
        else {}
    )


def _costs(old: ClusterCosts, old_cluster: Cluster, new: ClusterCosts, new_cluster: Cluster) -> ClusterCosts:
    """The old costs; a purchase whose price has changed along with the number of GPUs, at the old price of one."""
    before, after = old.compute, new.compute
    gpus, more = (one.replicas * one.tensor_parallel for one in (old_cluster, new_cluster))
    if not (isinstance(before, Purchase) and isinstance(after, Purchase)) or gpus == more or before == after:
        return old
    return old.model_copy(update={"compute": before.model_copy(update={"for_gpus": before.for_gpus or gpus})})


def _metered_at_old_prices(old: HostingPattern, new: HostingPattern) -> dict[str, Any]:
    def priced(api: MeteredApi, before: MeteredApi) -> MeteredApi:
        changes = {name: getattr(before, name) for name in ("prices", "costs", "model")}
        if isinstance(before.deployment, Provisioned) and isinstance(api.deployment, Provisioned):
            changes["deployment"] = api.deployment.model_copy(update={"unit_hour": before.deployment.unit_hour})
        if isinstance(before.deployment, Reserved) and isinstance(api.deployment, Reserved):
            prices = {name: getattr(before.deployment, name) for name in ("input_price", "output_price")}
            changes["deployment"] = api.deployment.model_copy(update=prices)
        return api.model_copy(update=changes)

    one, other = getattr(old, "api", None), getattr(new, "api", None)
    if one is not None and other is not None:
        return {"api": priced(other, one)}
    if other is not None:
        return {}
    known = old.metered
    return {"apis": {name: priced(api, known[name]) if name in known else api for name, api in new.metered.items()}}


def _on_new_machines(base: Billed, repriced: Billed) -> Decimal:
    """What the old usage would cost more on the new machines; nothing where those are other backends altogether."""
    if list(repriced.usage.clusters) != list(base.usage.clusters) or list(repriced.usage.apis) != list(base.usage.apis):
        return Decimal(0)
    return replace(repriced, usage=base.usage).usd - base.usd


def _scaled(old: Usage, new: Usage) -> Usage:
    """The old usage of APIs with as many times the tokens as are served now, an hour."""
    prompt = _ratio(old.served_prompt_tokens, new.served_prompt_tokens, old, new)
    output = _ratio(old.served_output_tokens, new.served_output_tokens, old, new)
    apis: Mapping[str, ApiUse] = {name: use.times(prompt, output) for name, use in old.apis.items()}
    return replace(old, apis=apis)


def _ratio(before: int, after: int, old: Usage, new: Usage) -> float:
    return (after / new.hours) / (before / old.hours) if before else 1.0
