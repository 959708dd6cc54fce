"""How long an API takes to answer: drawn per request, slower beyond the provider's usage tier."""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.scenario.apis import Flex

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.engine.api.own_provider import OwnProvider
    from simulator.engine.arrival import Arrival
    from simulator.scenario.apis import MeteredApi, UsageTier

MONTH_S = 730 * 3600.0
#: Values that are drawn at once.
_AT_ONCE: Final = 16_384


def months_in(horizon_s: float) -> int:
    """Months of a usage tier that a horizon is: at least one, and none of them cut short by its end."""
    return max(1, round(horizon_s / MONTH_S))


class Latency:
    """Times to first token and per further token.

    Args:
        api: The API's configuration.
        rng: Stream of the latencies of later calls.
        ttft_s: By request, room for what is drawn for its first call.
        token_s: The same for each further token.
        provider: Says itself how long an answer takes; the scenario does when absent.
        month_s: Time after which the usage tier begins anew.

    Attributes:
        ttft_s: What is drawn; for a provider of one's own two shares of all calls, from 0 to 1.
        token_s: The same.
        volume: The month, and the tokens of its admitted calls; counted where there is a tier.
    """

    def __init__(
        self,
        api: MeteredApi,
        rng: np.random.Generator,
        ttft_s: NDArray[np.float64],
        token_s: NDArray[np.float64],
        provider: OwnProvider | None = None,
        month_s: float = MONTH_S,
    ) -> None:
        if api.ttft is None or api.output_tokens_per_s is None:
            raise ValueError(f"{api.model} has no latencies")
        self._tier, self._delay_s, self._month_s = api.usage_tier, api.network_delay, month_s
        self._ttft, self._speed = api.ttft, api.output_tokens_per_s
        self._flex = api.deployment if isinstance(api.deployment, Flex) else None
        self._rng = rng
        self._provider = provider if provider is not None and provider.answers else None
        self.ttft_s, self.token_s = ttft_s, token_s
        self.volume = np.zeros(2, np.int64)

    def draw(self, rows: slice, rng: np.random.Generator, *, kept: bool = True) -> None:
        """Draw for the first calls of these requests; not kept, so that the stream goes on as if they were."""
        ttft_s, token_s = (self.ttft_s[rows], self.token_s[rows]) if kept else np.empty((2, rows.stop - rows.start))
        if self._provider is not None:
            rng.random(out=ttft_s)
            rng.random(out=token_s)
            return
        _draw_lognormal(rng, ttft_s, self._ttft.sigma)
        ttft_s *= self._ttft.median
        _draw_lognormal(rng, token_s, -self._speed.sigma)
        token_s /= self._speed.median
        if self._flex is not None:
            wait = self._flex.wait
            token_s *= self._flex.slowdown
            ttft_s *= self._flex.slowdown
            wait_s = np.empty(len(ttft_s))
            _draw_lognormal(rng, wait_s, wait.sigma)
            ttft_s += wait.median * wait_s

    def stamps(
        self, now_s: float, arrival: Arrival, attempt: int, output_tokens: int, slowdown: float
    ) -> tuple[float, float]:
        """When the first and the last token of a call admitted now come, the API slowed down so many times.

        The network is as fast as ever: its delay comes on top.
        """
        if self._tier is not None:
            slowdown *= self._beyond(self._tier, now_s, arrival.prompt_tokens + output_tokens)
        if self._provider is not None:
            row = arrival.index
            first = self.ttft_s.item(row), self.token_s.item(row)
            share = first if attempt == 1 else (float(self._rng.random()), float(self._rng.random()))
            first_s, last_s = self._provider.answer_s(now_s, arrival.prompt_tokens, output_tokens, share)
            begin_s = now_s + (first_s * slowdown + self._delay_s)
            return begin_s, begin_s + (last_s - first_s) * slowdown
        if attempt == 1:
            ttft_s, token_s = self.ttft_s.item(arrival.index), self.token_s.item(arrival.index)
        else:
            ttft_s = self._ttft.median * exp(self._ttft.sigma * self._rng.standard_normal())
            token_s = exp(-self._speed.sigma * self._rng.standard_normal()) / self._speed.median
            if self._flex is not None:
                wait_s = self._flex.wait.median * exp(self._flex.wait.sigma * self._rng.standard_normal())
                ttft_s, token_s = ttft_s * self._flex.slowdown + wait_s, token_s * self._flex.slowdown
        first_s = now_s + (ttft_s * slowdown + self._delay_s)
        return first_s, first_s + (output_tokens - 1) * token_s * slowdown

    @property
    def expected_ttft_s(self) -> float:
        """Time to first token of half of the calls."""
        ttft_s = self._ttft.median
        if self._flex is not None:
            ttft_s = ttft_s * self._flex.slowdown + self._flex.wait.median
        return ttft_s + self._delay_s

    def _beyond(self, tier: UsageTier, now_s: float, tokens: int) -> float:
        """Count the tokens of an admitted call; how many times as long it takes for the volume of the month."""
        month, counted = int(now_s // self._month_s), self.volume
        counted[:] = month, tokens + (counted.item(1) if month == counted.item(0) else 0)
        return tier.slowdown if counted.item(1) > tier.tokens_per_month else 1.0


def _draw_lognormal(rng: np.random.Generator, values: NDArray[np.float64], sigma: float) -> None:
    """Fill with values of median 1, so many at once that they stay in a processor's cache."""
    for begin in range(0, len(values), _AT_ONCE):
        some = values[begin : begin + _AT_ONCE]
        rng.standard_normal(out=some)
        some *= sigma
        np.exp(some, out=some)
