"""Hardware along a rollout: what is bought beside what is there, and what it fetches when it is left.

It is written off in equal months, as its bill has it, from its price down to its `residual`. What it fetches before
that is the `residual` and, of the rest that is not yet written off, the share that the rollout's `resale` says. What
has been written off while it is there is bought again, as in the cash of a run, and the old set fetches its `residual`.
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
        tax_usd: The tax on it.
    """

    price_usd: float
    residual_usd: float
    months: int
    bought: int = 1
    tax_usd: float = 0.0

    def fetches_usd(self, month: int, resale: float) -> float:
        """What it fetches before the first day of a month."""
        used = month - self.bought - self._renewals(month) * self.months
        left = max(0.0, 1.0 - used / self.months)
        return self.residual_usd + resale * left * (self.price_usd - self.residual_usd)

    def due_usd(self, month: int) -> float:
        """What is paid in a month to have it again, less what the old set fetches."""
        return self._again_usd if month > self.bought and (month - self.bought) % self.months == 0 else 0.0

    def renewals_usd(self, month: int) -> float:
        """All of that until the first day of a month."""
        return self._renewals(month) * self._again_usd

    def _renewals(self, month: int) -> int:
        return max(0, (month - self.bought - 1) // self.months)

    @property
    def _again_usd(self) -> float:
        return self.price_usd + self.tax_usd - self.residual_usd


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
                tax_usd=max(0.0, new.tax_usd - old.tax_usd),
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
            price, residual = float(bought.price_usd), float(bought.residual_usd)
            assets.append(Asset(price, residual, compute.amortisation, tax_usd=price * vat))
    return Upfront(float(once_usd(pattern, vat)), tuple(assets))


def buy(stock: Stock, pattern: str, wanted: Upfront, month: int) -> tuple[Upfront, Stock]:
    """What is bought of what a phase needs, and what is there from then on."""
    held = {name: (most, assets) for name, most, assets in stock}
    there, assets = held.get(pattern, (Upfront(), ()))
    new = wanted.beyond(there, month)
    held[pattern] = (max(there, wanted, key=lambda one: one.paid_usd), (*assets, *new.assets))
    return new, tuple((name, *held[name]) for name in sorted(held))


def parted(stock: Stock, plan: Rollout, at: int) -> tuple[Stock, Stock]:
    """Hardware that no phase from this one on uses, and what is there without it."""
    used = {phase.pattern for phase in plan.phases[at:]}
    return tuple(one for one in stock if one[0] not in used), tuple(one for one in stock if one[0] in used)


def fetched_usd(stock: Stock, plan: Rollout, month: int) -> float:
    """What it fetches before the first day of a month."""
    return sum((one.fetches_usd(month, plan.resale) for _, _, assets in stock for one in assets), 0.0)


def due_usd(stock: Stock, month: int) -> float:
    """What is paid in a month for what has been written off, less what that fetches."""
    return sum((one.due_usd(month) for _, _, assets in stock for one in assets), 0.0)


def left_over_usd(stock: Stock, plan: Rollout, month: int) -> float:
    """What it fetches before the first day of a month, less all that was paid until then to have it again."""
    again = sum((one.renewals_usd(month) for _, _, assets in stock for one in assets), 0.0)
    return fetched_usd(stock, plan, month) - again


def is_ever_left(plan: Rollout, at: int) -> bool:
    """Whether a later phase leaves the hardware of this one for good."""
    pattern = plan.phases[at].pattern
    after = [{phase.pattern for phase in plan.phases[later:]} for later in range(at + 1, len(plan.phases))]
    return any(pattern not in used for used in after)
