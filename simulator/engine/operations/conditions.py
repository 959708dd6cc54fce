"""When a metered API fails or is slow."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class Episode(NamedTuple):
    """A stretch of time in which an API is not as usual.

    Attributes:
        start_s: When it begins.
        end_s: When it is over.
        error_share: Share of the calls that fail: 1 in an outage, less in a brown-out.
        slowdown: Factor on the time that answers take.
    """

    start_s: float
    end_s: float
    error_share: float = 1.0
    slowdown: float = 1.0


class Conditions:
    """The episodes of an API, in order of time; where several overlap, the worst of each counts.

    Args:
        episodes: In any order.
    """

    def __init__(self, episodes: Iterable[Episode] = ()) -> None:
        self._to_come = sorted(episodes, reverse=True)
        self._under_way: list[Episode] = []

    def at(self, now_s: float) -> tuple[float, float]:
        """Share of the calls that fail, and the factor on times; asked in order of time."""
        while self._to_come and self._to_come[-1].start_s <= now_s:
            self._under_way.append(self._to_come.pop())
        if not self._under_way:
            return 0.0, 1.0
        self._under_way = [episode for episode in self._under_way if now_s < episode.end_s]
        return (
            max((episode.error_share for episode in self._under_way), default=0.0),
            max((episode.slowdown for episode in self._under_way), default=1.0),
        )

    def next_change_s(self, now_s: float) -> float:
        """Until when it stays as it is now; infinite for ever."""
        self.at(now_s)
        ends_s = [episode.end_s for episode in self._under_way]
        return min([*ends_s, *(episode.start_s for episode in self._to_come[-1:])], default=inf)

    def breaks(self, now_s: float, until_s: float) -> float | None:
        """When an outage cuts off an answer that comes from now until then; None when none does."""
        for episode in reversed(self._to_come):
            if episode.start_s >= until_s:
                return None
            if episode.start_s > now_s and episode.error_share == 1.0:
                return episode.start_s
        return None
