"""Hardware along a rollout: what is bought beside what is there, and what it fetches when it is left.

It is written off in equal months, as its bill has it, from its price down to its `residual`. What it fetches before
that is the `residual` and, of the rest that is not yet written off, the share that the rollout's `resale` says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from simulator.cost.cash import once_usd
from simulator.scenario.costs import Purchase

if TYPE_CHECKING:
    from simulator.scenario.patterns import HostingPattern
    from simulator.scenario.rollout import Rollout


@dataclass(frozen=True, slots=True)
class Asset:
    """Hardware that was bought together.

    Attributes:
        price_usd: What it cost, taxes left out.
        residual_usd: What it still fetches when it has been written off.
        months: Over which it is written off.
        bought: Month since the start in which it was bought.
    """

    price_usd: float
    residual_usd: float
    months: int
    bought: int = 1

    def fetches_usd(self, month: int, resale: float) -> float:
        """What it fetches before the first day of a month."""
        left = max(0.0, 1.0 - (month - self.bought) / self.months)
        return self.residual_usd + resale * left * (self.price_usd - self.residual_usd)


@dataclass(frozen=True, slots=True)
class Upfront:
    """What a hosting pattern takes before its first month.

    Attributes:
        paid_usd: All of it: hardware, the tax on it, and all else that is paid once.
        assets: The hardware of each of its clusters that buys some.
    """

    paid_usd: float = 0.0
    assets: tuple[Asset, ...] = ()

    def beyond(self, there: Upfront, month: int) -> Upfront:
        """What is bought of it in a month, where some of it is there."""
        nothing = (Asset(0.0, 0.0, 1),) * len(self.assets)
        added = [
            replace(
                new,
                price_usd=max(0.0, new.price_usd - old.price_usd),
                residual_usd=max(0.0, new.residual_usd - old.residual_usd),
                bought=month,
            )
            for new, old in zip(self.assets, there.assets or nothing, strict=True)
        ]
        return Upfront(max(0.0, self.paid_usd - there.paid_usd), tuple(one for one in added if one.price_usd))


#: By pattern, in the order of their names: the most that was ever there, and what of it can still be sold.
Stock = tuple[tuple[str, Upfront, tuple[Asset, ...]], ...]


def upfront(pattern: HostingPattern, vat: float) -> Upfront:
    """What a hosting pattern takes before its first month."""
    assets = []
    for one in pattern.hosted.values():
        compute = one.costs.compute
        if isinstance(compute, Purchase):
            bought = compute.whole(one.cluster.replicas, one.cluster.tensor_parallel)
            assets.append(Asset(float(bought.price_usd), float(bought.residual_usd), compute.amortisation))
    return Upfront(float(once_usd(pattern, vat)), tuple(assets))


def buy(stock: Stock, pattern: str, wanted: Upfront, month: int) -> tuple[Upfront, Stock]:
    """What is bought of what a phase needs, and what is there from then on."""
    held = {name: (most, assets) for name, most, assets in stock}
    there, assets = held.get(pattern, (Upfront(), ()))
    new = wanted.beyond(there, month)
    held[pattern] = (max(there, wanted, key=lambda one: one.paid_usd), (*assets, *new.assets))
    return new, tuple((name, *held[name]) for name in sorted(held))


def sell(stock: Stock, plan: Rollout, at: int, month: int) -> tuple[float, Stock]:
    """What hardware fetches that no phase from this one on uses, and what is there without it."""
    used = {phase.pattern for phase in plan.phases[at:]}
    left = [one for one in stock if one[0] not in used]
    return _fetch_usd(left, month, plan.resale), tuple(one for one in stock if one[0] in used)


def at_the_end_usd(stock: Stock, plan: Rollout, months: int) -> float:
    """What is still there after the last month fetches."""
    return _fetch_usd(stock, months + 1, plan.resale)


def _fetch_usd(stock: Stock | list[tuple[str, Upfront, tuple[Asset, ...]]], month: int, resale: float) -> float:
    return sum((one.fetches_usd(month, resale) for _, _, assets in stock for one in assets), 0.0)


def is_ever_left(plan: Rollout, at: int) -> bool:
    """Whether a later phase leaves the hardware of this one for good."""
    pattern = plan.phases[at].pattern
    after = [{phase.pattern for phase in plan.phases[later:]} for later in range(at + 1, len(plan.phases))]
    return any(pattern not in used for used in after)
