"""What a provider's prompt cache holds: beginnings of prompts that were sent a short while ago."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from simulator.engine.arrival import Arrival
    from simulator.scenario.apis import PromptCache


#: Prefixes that are kept without looking which of them are too old.
_FEW = 10_000


class CachedPrefixes:
    """How much of each shared prefix was sent, and when last.

    As OpenAI and Azure document it: prompts of some length whose beginnings are equal, found in steps of tokens, while
    the last use is minutes ago (Microsoft Learn, "Prompt caching", 2026). Nothing is found that nobody has sent: the
    next turn of a conversation finds the prompt of the last one, not the answer to it, nor its own question.

    Args:
        rules: How long it keeps what.
        outer: The prefixes that one begins with, the shortest first: identities, and how many of their tokens.
    """

    __slots__ = ("_full", "_outer", "_rules", "_sent")

    def __init__(self, rules: PromptCache, outer: Callable[[int], Sequence[tuple[int, int]]] = lambda _: ()) -> None:
        self._rules = rules
        self._outer = outer
        #: By prefix, lengths that were sent and when last, longest and oldest first: a shorter one that came before
        #: a longer one says nothing more.
        self._sent: dict[int, list[tuple[int, float]]] = {}
        self._full = _FEW

    def read(self, arrival: Arrival, now_s: float) -> int:
        """Prompt tokens of a request that are cached now."""
        shared = _shared(arrival)
        found = self._known(arrival.prefix_id, shared, now_s)
        for prefix, tokens in self._outer(arrival.prefix_id):
            found = max(found, self._known(prefix, min(tokens, shared), now_s))
        return self._whole(found)

    def _known(self, prefix: int, tokens: int, now_s: float) -> int:
        """So many tokens of a prefix were sent and are not too old."""
        oldest_s = now_s - self._rules.kept
        return next((min(sent, tokens) for sent, sent_s in self._sent.get(prefix, ()) if sent_s >= oldest_s), 0)

    def _whole(self, tokens: int) -> int:
        """So much of a beginning is kept: whole steps from the least on."""
        least, step = self._rules.minimum, self._rules.step
        return 0 if tokens < least else least + (tokens - least) // step * step

    def write(self, arrival: Arrival, now_s: float) -> int:
        """The request was read; tokens that are kept and were not before, which some providers charge for."""
        prefix, tokens = arrival.prefix_id, _shared(arrival)
        if prefix < 0 or tokens < self._rules.minimum:
            return 0
        written = self._whole(tokens) - self.read(arrival, now_s)
        oldest_s = now_s - self._rules.kept
        self._note(prefix, tokens, now_s)
        for outer, begin in self._outer(prefix):
            self._note(outer, min(begin, tokens), now_s)
        if len(self._sent) > self._full:
            # Every conversation has a prefix of its own: without an end to them they would fill the memory.
            self._sent = {one: sent for one, sent in self._sent.items() if sent[-1][1] >= oldest_s}
            self._full = max(_FEW, 2 * len(self._sent))
        return written

    def _note(self, prefix: int, tokens: int, now_s: float) -> None:
        oldest_s = now_s - self._rules.kept
        longer = [one for one in self._sent.get(prefix, ()) if one[0] > tokens and one[1] >= oldest_s]
        self._sent[prefix] = [*longer, (tokens, now_s)]


def _shared(arrival: Arrival) -> int:
    """Providers say of prompts that they are kept, and nothing of answers."""
    return min(arrival.prefix_tokens, arrival.prompt_tokens)
