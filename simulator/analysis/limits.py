"""How a run keeps its limits: requests within a limit, within others near it, and when they came."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DAY_S: Final = 86_400.0
#: Blocks of a run that is shorter than as many days.
_FEWEST_BLOCKS: Final = 8


def _factors() -> NDArray[np.float64]:
    fine = np.arange(-256, 257) / 128.0
    coarse = np.arange(33, 193) / 16.0
    return np.concatenate([np.exp2(-coarse[::-1]), np.exp2(fine), np.exp2(coarse)])


#: Factors on a limit at which requests are counted too: half a per cent apart from a quarter to four times, 4 % beyond,
#: up to 4,096 times and as far down. Exact powers of two are among them, and 1.
FACTORS: Final = _factors()
#: Times are doubles, counted in seconds from the start of the horizon: what takes a limit exactly may seem to take some
#: nanoseconds more. So much beyond it is the limit still, which is less than any client could measure.
EQUAL_S: Final = 1e-6
#: Which of them is the limit itself.
AT_LIMIT: Final = int(np.searchsorted(FACTORS, 1.0))
#: Factors on the time that an API itself takes, at which the requests it answered are counted: 1.1 % apart.
API_TIMES: Final = np.exp2(np.arange(-128, 129) / 64.0)


@dataclass(frozen=True, slots=True)
class LimitCounts:
    """Requests of one workload in one run, held against one limit.

    Attributes:
        metric: `ttft_s` or `e2e_s`.
        limit_s: The limit.
        within: By interval that ends at a factor of `FACTORS`, requests whose latency over the limit lies in it; what
            lies beyond the last, or got no answer, is in none.
        judged: By block of time, requests that arrived in it and of which it is known whether they kept the limit.
        met: By block, those of them that were within the limit.
        undecided: Requests that are not judged: still open at the horizon, the limit not run out.
        by_api: Requests that an API answered and that would be within the limit if, once it had let them in, it took so
            many times as long, by factor of `API_TIMES`.
    """

    metric: str
    limit_s: float
    within: list[int]
    judged: list[int]
    met: list[int]
    undecided: int = 0
    by_api: list[int] = field(default_factory=lambda: [0] * len(API_TIMES))


class LimitTally:
    """Counts requests against one limit, a part at a time."""

    def __init__(self, metric: str, limit_s: float, begin_s: float, end_s: float) -> None:
        """Begin with none.

        Args:
            metric: `ttft_s` or `e2e_s`.
            limit_s: The limit.
            begin_s: When the first request may arrive.
            end_s: When the last one may.
        """
        self.metric, self.limit_s = metric, limit_s
        self._edges_s = limit_s * FACTORS + EQUAL_S
        self._begin_s = begin_s
        length_s = max(end_s - begin_s, 1e-9)
        self._block_s = min(_DAY_S, length_s / _FEWEST_BLOCKS)
        self._blocks = int(np.ceil(length_s / self._block_s - 1e-9))
        self._within = np.zeros(len(FACTORS), np.int64)
        self._judged = np.zeros(self._blocks, np.int64)
        self._met = np.zeros(self._blocks, np.int64)
        self._at_most = np.zeros(len(API_TIMES) + 1, np.int64)
        self.undecided = 0

    def add(
        self, arrival_s: NDArray[np.float64], latency_s: NDArray[np.float64], api_s: NDArray[np.float64] | None = None
    ) -> NDArray[np.bool_]:
        """Take the next requests and say which of them were within the limit.

        Args:
            arrival_s: When they came.
            latency_s: What they took: one without an answer for ever; one of which nobody knows, NaN, counts nowhere.
            api_s: What an API itself took of that, once it had let them in; NaN, or none at all, where none answered.
        """
        edge = np.searchsorted(self._edges_s, latency_s)
        met: NDArray[np.bool_] = edge <= AT_LIMIT
        block = ((arrival_s - self._begin_s) / self._block_s).astype(np.int64).clip(0, self._blocks - 1)
        unknown = np.isnan(latency_s)
        if unknown.any():
            # Sorted, they come after all edges.
            self.undecided += int(unknown.sum())
            self._judged -= np.bincount(block[unknown], minlength=self._blocks)
        self._within += np.bincount(edge, minlength=len(FACTORS) + 1)[: len(FACTORS)]
        self._judged += np.bincount(block, minlength=self._blocks)
        self._met += np.bincount(block[met], minlength=self._blocks)
        if api_s is not None:
            self._add_api(latency_s, api_s, met)
        return met

    def _add_api(self, latency_s: NDArray[np.float64], api_s: NDArray[np.float64], met: NDArray[np.bool_]) -> None:
        """Count how much longer an API might have taken for the answers it gave."""
        answered = api_s > 0.0
        own_s, kept = api_s[answered], met[answered]
        most = (self.limit_s - latency_s[answered] + own_s) / own_s
        # Rounding must not say otherwise of the time it did take.
        most = np.where(kept, np.maximum(most, 1.0), np.minimum(most, np.nextafter(1.0, 0.0)))
        self._at_most += np.bincount(np.searchsorted(API_TIMES, most, side="right"), minlength=len(API_TIMES) + 1)

    @property
    def share(self) -> float | None:
        """Share of the requests within the limit; None without any."""
        judged = int(self._judged.sum())
        return int(self._met.sum()) / judged if judged else None

    @property
    def counts(self) -> LimitCounts:
        """What was counted."""
        return LimitCounts(
            self.metric,
            self.limit_s,
            self._within.tolist(),
            self._judged.tolist(),
            self._met.tolist(),
            self.undecided,
            self._at_most[::-1].cumsum()[-2::-1].tolist(),
        )
