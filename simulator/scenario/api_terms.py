"""What a contract with a provider says beside the price of a token: free tokens, a discount, a minimum, a fee."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from simulator.scenario.base import Config, Faults, FieldError, Share, UsdPerMonth, check

Tokens = Annotated[int, Field(gt=0, le=10**13)]


class Terms(Config):
    """What a month's tokens cost by contract beside their prices; each API has its own, for itself.

    In this order: free tokens, the discount on the others, and what falls short of the minimum then.
    """

    free_tokens: Tokens | None = None
    """Tokens a month, of prompts and answers together, that cost nothing; this or the two below."""
    free_prompt_tokens: Tokens | None = None
    """Prompt tokens a month that cost nothing, those read from the provider's cache counted."""
    free_output_tokens: Tokens | None = None
    """Output tokens a month that cost nothing."""
    discount: Share = 0.0
    """Share taken off what the tokens cost, as for a spend that is committed to."""
    minimum: UsdPerMonth = Decimal(0)
    """What a month's tokens cost at least: a minimum charge, or a spend that is committed to, used or not."""
    fee: UsdPerMonth = Decimal(0)
    """Paid every month on top, whatever is used; it counts towards no minimum."""

    @check
    def _free_once(self) -> Faults:
        for name in ("free_prompt_tokens", "free_output_tokens"):
            if self.free_tokens is not None and getattr(self, name) is not None:
                yield FieldError((name,), "free_tokens counts these already; give one of them")
