"""Where a fixed monthly cost and a price per token meet, and when bought hardware has paid for itself.

The break-even is a property of the API one compares with: the cluster that breaks even at ten per cent of its
capacity against one model never does against another. So the answer says when it lies beyond what the cluster
can do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

from simulator.cost.tco import Number, exact, to_decimal
from simulator.units import MONTH_HOURS, TokenPrice


@dataclass(frozen=True, slots=True)
class BreakEven:
    """From this volume on, the fixed cost is no more than the API's.

    Attributes:
        tokens_per_month: Prompt plus output tokens.
        capacity_share: The same as a share of the cluster's capacity; None where no capacity was given.
    """

    tokens_per_month: int
    capacity_share: float | None = None


@dataclass(frozen=True, slots=True)
class NoBreakEven:
    """No volume this cluster can serve makes the fixed cost the cheaper one.

    Attributes:
        reason: Why, in words.
        tokens_per_month: Volume at which the costs would meet; None where they never do.
        capacity_share: The same as a share of the capacity, above 1.
    """

    reason: str
    tokens_per_month: int | None = None
    capacity_share: float | None = None


def blended_price(
    prompt: TokenPrice, output: TokenPrice, *, prompt_tokens: Number, output_tokens: Number
) -> TokenPrice:
    """Mean price of a token in this mix of prompt and output.

    >>> ten, thirty = TokenPrice.per_million("10"), TokenPrice.per_million("30")
    >>> print(round(blended_price(ten, thirty, prompt_tokens=3, output_tokens=1).usd_per_million, 2))
    15.00

    Raises:
        ValueError: A negative count, or no tokens at all.
    """
    prompts, outputs = exact(prompt_tokens), exact(output_tokens)
    if min(prompts, outputs) < 0 or not prompts + outputs:
        raise ValueError("a mix needs some prompt or output tokens, and none of them negative")
    usd = exact(prompt.usd_per_million) * prompts + exact(output.usd_per_million) * outputs
    return TokenPrice(to_decimal(usd / (prompts + outputs)))


def capacity_tokens(tokens_per_s: float, month_hours: Decimal = MONTH_HOURS, share: float = 1.0) -> int:
    """Whole tokens a month at this share of a steady rate.

    >>> capacity_tokens(1500, Decimal(720), share=0.4)
    1555200000
    """
    return math.floor(exact(tokens_per_s) * 3600 * exact(month_hours) * exact(share))


def capacity_share(tokens_per_month: int, capacity_tokens_per_month: int) -> float:
    """How much of a cluster's monthly capacity a volume takes; above 1 it does not fit."""
    if capacity_tokens_per_month <= 0:
        raise ValueError("the capacity must be positive")
    return tokens_per_month / capacity_tokens_per_month


def break_even(
    fixed_usd_per_month: Decimal, price: TokenPrice, capacity_tokens_per_month: int | None = None
) -> BreakEven | NoBreakEven:
    """Volume from which a fixed monthly cost undercuts an API, if the cluster can serve it.

    Args:
        fixed_usd_per_month: Everything that is paid whatever is served; not negative.
        price: The API's price of a token, blended for the mix at hand.
        capacity_tokens_per_month: What the cluster can serve; unbounded when absent.

    Raises:
        ValueError: A negative cost or a capacity that is not positive.
    """
    if fixed_usd_per_month < 0:
        raise ValueError("a monthly cost is not negative")
    if not price.usd_per_million:
        return NoBreakEven("the API costs nothing per token")
    tokens = math.ceil(exact(fixed_usd_per_month) * 1_000_000 / exact(price.usd_per_million))
    if capacity_tokens_per_month is None:
        return BreakEven(tokens)
    share = capacity_share(tokens, capacity_tokens_per_month)
    if tokens <= capacity_tokens_per_month:
        return BreakEven(tokens, share)
    reason = (
        f"the costs meet at {tokens / 1e6:,.0f}M tokens a month, "
        f"{100 * share:,.1f} % of the {capacity_tokens_per_month / 1e6:,.0f}M this cluster can serve"
    )
    return NoBreakEven(reason, tokens, share)


def payback_months(
    upfront_usd: Decimal, reference_usd_per_month: Decimal, running_usd_per_month: Decimal
) -> Decimal | None:
    """Months until a purchase has paid for itself.

    Args:
        upfront_usd: What is paid before the first month.
        reference_usd_per_month: What the alternative costs.
        running_usd_per_month: What the purchase costs to run, without its amortisation: that is the upfront
            payment again, and it would count twice.

    Returns:
        Upfront payment over monthly savings; None where nothing is saved.
    """
    saving_usd = exact(reference_usd_per_month) - exact(running_usd_per_month)
    return to_decimal(exact(upfront_usd) / saving_usd) if saving_usd > 0 else None
