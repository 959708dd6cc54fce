"""What a provider's prompt cache holds: beginnings of prompts that were seen a short while ago."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.engine.arrival import Arrival
    from simulator.scenario.apis import PromptCache


#: Prefixes that are kept without looking which of them are too old.
_FEW = 10_000


class CachedPrefixes:
    """Shared prefixes by when they were last used.

    As OpenAI and Azure document it: prompts of some length whose beginnings are equal, found in steps of tokens, while
    the last use is minutes ago (Microsoft Learn, "Prompt caching", 2026).
    """

    __slots__ = ("_full", "_rules", "_used_s")

    def __init__(self, rules: PromptCache) -> None:
        self._rules = rules
        self._used_s: dict[int, float] = {}
        self._full = _FEW

    def read(self, arrival: Arrival, now_s: float) -> int:
        """Prompt tokens of a request that are cached now."""
        used_s = self._used_s.get(arrival.prefix_id)
        shared, least = arrival.prefix_tokens, self._rules.minimum
        if used_s is None or now_s - used_s > self._rules.kept or shared < least:
            return 0
        return least + (shared - least) // self._rules.step * self._rules.step

    def write(self, arrival: Arrival, now_s: float) -> None:
        """The request was read."""
        if arrival.prefix_id < 0:
            return
        self._used_s[arrival.prefix_id] = now_s
        if len(self._used_s) > self._full:
            # Every conversation has a prefix of its own: without an end to them they would fill the memory.
            oldest_s = now_s - self._rules.kept
            self._used_s = {prefix: at_s for prefix, at_s in self._used_s.items() if at_s >= oldest_s}
            self._full = max(_FEW, 2 * len(self._used_s))
