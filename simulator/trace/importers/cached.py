"""Cached tokens as demand: what a log says that a prompt cache gave becomes shared prefixes of the trace.

A log says how much of a prompt a cache gave, not which request had sent it. Those of one workload are taken to lie on
one chain, each beginning of a prompt the beginning of the longer ones, so that a replay gives a request no more than
the log does: it finds the longest beginning that was sent within five minutes (OpenAI and Azure document 5 to 10,
Anthropic 5), and no more than its own. A request that found all there was is taken to have sent as much more as one
after it found, or as it wrote by the log's own count: the next turn of a conversation finds the prompt of the last.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.trace.importers.values import NS

if TYPE_CHECKING:
    from simulator.trace.importers.rows import Rows

KEPT_NS: Final = 300 * NS
#: So many requests before one are looked at for who had sent what it found.
_LOOKED_AT: Final = 256


@dataclass(slots=True)
class _Chain:
    """One workload's: lengths that were sent and when last, and requests that may have sent more than is known.

    Attributes:
        sent: Longest and oldest first, as in `engine/api/prompt_cache.py`.
        may: Row, prompt tokens, moment and cached tokens of requests that found all there was.
    """

    sent: list[tuple[int, int]] = field(default_factory=list)
    may: deque[tuple[int, int, int, int]] = field(default_factory=lambda: deque(maxlen=_LOOKED_AT))

    def longest(self, now_ns: int) -> int:
        """That a request finds now."""
        return next((length for length, at_ns in self.sent if at_ns >= now_ns - KEPT_NS), 0)

    def send(self, length: int, now_ns: int) -> None:
        """A request sent so much; what is no longer than that says nothing more, unless it came later."""
        longer = [one for one in self.sent if one[0] > length and one[1] >= now_ns - KEPT_NS]
        later = [one for one in self.sent if one[0] <= length and one[1] > now_ns]
        self.sent = [*longer, (length, now_ns), *later]

    def had_sent(self, length: int, now_ns: int) -> int | None:
        """The last row that can have sent what one found; those after it found no more than they did."""
        for place in range(len(self.may) - 1, -1, -1):
            at, prompt, at_ns, _ = self.may[place]
            if at_ns < now_ns - KEPT_NS:
                return None
            if prompt >= length:
                after = list(self.may)[place + 1 :]
                self.may = deque((one for one in after if one[3] >= length), maxlen=_LOOKED_AT)
                self.send(length, at_ns)
                return at
        return None


class CachedDemand:
    """Prefixes of requests by time, a chunk at a time.

    Attributes:
        given_tokens: That the log says a cache gave.
        kept_tokens: Of these, those that a cache gives the requests of the trace.
    """

    def __init__(self) -> None:
        self.given_tokens = 0
        self.kept_tokens = 0
        self._chains: dict[int, _Chain] = {}

    def told(self) -> str:
        """What became of them, for the header."""
        share = self.kept_tokens / self.given_tokens if self.given_tokens else 1.0
        return (
            f"of the {self.given_tokens:,} prompt tokens that a prompt cache gave by the log, the prefixes of this "
            f"trace keep {100 * share:.1f} %: prompts of a workload are taken to share their beginnings, as far as "
            "each found some"
        )

    def assign(self, rows: Rows) -> Rows:
        """The rows with `prefix_id`, the workload's, and `prefix_tokens`."""
        prefix = np.zeros(len(rows["time_ns"]), np.int64)
        columns = (rows[name].tolist() for name in ("workload", "time_ns", "prompt_tokens", "cached", "stored"))
        for at, (workload, now_ns, prompt, cached, stored) in enumerate(zip(*columns, strict=True)):
            chain = self._chains.setdefault(workload, _Chain())
            found = chain.longest(now_ns)
            if cached > found and (sender := chain.had_sent(cached, now_ns)) is not None:
                prefix[sender] = found = cached
            self.given_tokens += cached
            self.kept_tokens += min(cached, found)
            own = cached
            if found <= cached:
                own = max(cached, stored)
                if own > cached:
                    chain.may.clear()
                chain.may.append((at, prompt, now_ns, cached))
            if own:
                prefix[at] = own
                chain.send(own, now_ns)
        for chain in self._chains.values():
            chain.may.clear()
        shared = prefix > 0
        return rows | {
            "prefix_tokens": prefix.astype(np.int32),
            "prefix_id": np.where(shared, rows["workload"], -1).astype(np.int32),
        }
