"""What a provider's prompt cache holds: beginnings of prompts that were sent a short while ago."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.engine.arrival import Arrival
    from simulator.scenario.apis import PromptCache


#: Prefixes that are kept without looking which of them are too old.
_FEW = 10_000


class CachedPrefixes:
    """How much of each shared prefix was sent, and when last.

    As OpenAI and Azure document it: prompts of some length whose beginnings are equal, found in steps of tokens, while
    the last use is minutes ago (Microsoft Learn, "Prompt caching", 2026). Nothing is found that nobody has sent: the
    next turn of a conversation finds the prompt of the last one, not the answer to it, nor its own question.
    """

    __slots__ = ("_full", "_rules", "_sent")

    def __init__(self, rules: PromptCache) -> None:
        self._rules = rules
        #: By prefix, lengths that were sent and when last, longest and oldest first: a shorter one that came before
        #: a longer one says nothing more.
        self._sent: dict[int, list[tuple[int, float]]] = {}
        self._full = _FEW

    def read(self, arrival: Arrival, now_s: float) -> int:
        """Prompt tokens of a request that are cached now."""
        oldest_s = now_s - self._rules.kept
        for tokens, sent_s in self._sent.get(arrival.prefix_id, ()):
            if sent_s >= oldest_s:
                return self._whole(min(tokens, arrival.prefix_tokens))
        return 0

    def _whole(self, tokens: int) -> int:
        """So much of a beginning is kept: whole steps from the least on."""
        least, step = self._rules.minimum, self._rules.step
        return 0 if tokens < least else least + (tokens - least) // step * step

    def write(self, arrival: Arrival, now_s: float) -> int:
        """The request was read; tokens that are kept and were not before, which some providers charge for."""
        prefix, tokens = arrival.prefix_id, arrival.prefix_tokens
        if prefix < 0 or tokens < self._rules.minimum:
            return 0
        written = self._whole(tokens) - self.read(arrival, now_s)
        oldest_s = now_s - self._rules.kept
        longer = [one for one in self._sent.get(prefix, ()) if one[0] > tokens and one[1] >= oldest_s]
        self._sent[prefix] = [*longer, (tokens, now_s)]
        if len(self._sent) > self._full:
            # Every conversation has a prefix of its own: without an end to them they would fill the memory.
            self._sent = {one: sent for one, sent in self._sent.items() if sent[-1][1] >= oldest_s}
            self._full = max(_FEW, 2 * len(self._sent))
        return written
