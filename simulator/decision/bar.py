"""One assumption moved by itself, and what that does to a choice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What has no range of its own is tried at half and at twice what the scenario says.
HALF, TWICE = 0.5, 2.0


@dataclass(frozen=True, slots=True)
class Bar:
    """One assumption.

    Attributes:
        factor: What is moved.
        unit: Of `low`, `base`, `high` and `flips_at`.
        low: Lower end.
        base: What the scenario says.
        high: Upper end.
        margin_low_usd: Margin at the lower end; None where the recommended pattern is out, or alone.
        margin_high_usd: The same at the upper end.
        recommended_low: The pattern to choose at the lower end; None where nothing is left.
        recommended_high: The same at the upper end.
        flips_at: Nearest value from which another pattern should be chosen, within the range or beyond; None: never.
        basis: Where the range comes from.
        text: What would change, in words; empty where nothing would.
    """

    factor: str
    unit: str
    low: float
    base: float
    high: float
    margin_low_usd: float | None
    margin_high_usd: float | None
    recommended_low: str | None
    recommended_high: str | None
    flips_at: float | None
    basis: str
    text: str = ""

    @property
    def flips(self) -> bool:
        """Whether another pattern should be chosen somewhere within the range."""
        return self.flips_at is not None and self.low <= self.flips_at <= self.high

    @property
    def swing_usd(self) -> float:
        """How far the margin moves between the ends."""
        ends = [end for end in (self.margin_low_usd, self.margin_high_usd) if end is not None]
        return max(ends) - min(ends) if len(ends) > 1 else 0.0


def margin_usd(best: str, costs: Mapping[str, float]) -> float | None:
    """What the cheapest other pattern costs beyond the best; None where the best is out, or alone."""
    others = [cost for name, cost in costs.items() if name != best]
    return min(others) - costs[best] if best in costs and others else None


def winner(costs: Mapping[str, float]) -> str | None:
    """The cheapest."""
    return min(costs, key=lambda name: (costs[name], name), default=None)
