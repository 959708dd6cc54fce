"""How a run keeps its limits: requests within a limit, within others near it, and when they came."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Self

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
#: Requests that came too near to the end to be followed for the whole limit are left out where they are more than this
#: share of all, and more than that share of them is open and the oldest for more than this part of the limit.
_MANY: Final = 0.01
_RARE: Final = 0.001
_LONG: Final = 0.1


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
        undecided: Requests that are not judged: still open at the horizon, the limit not run out. Of those that came
            so near to the end others may be left out too, see `LimitTally`.
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


@dataclass(slots=True)
class _Counts:
    """What `LimitCounts` has of some requests, `by_api` by the interval of `API_TIMES` in which they get late."""

    within: NDArray[np.int64]
    judged: NDArray[np.int64]
    met: NDArray[np.int64]
    by_api: NDArray[np.int64]
    undecided: int = 0

    @classmethod
    def none(cls, blocks: int) -> Self:
        """Of no request, in so many blocks."""
        within, by_api = np.zeros(len(FACTORS), np.int64), np.zeros(len(API_TIMES) + 1, np.int64)
        return cls(within, np.zeros(blocks, np.int64), np.zeros(blocks, np.int64), by_api)

    def add(
        self,
        latency_s: NDArray[np.float64],
        edges_s: NDArray[np.float64],
        block: NDArray[np.int64],
        unknown: NDArray[np.bool_],
        met: NDArray[np.bool_],
    ) -> None:
        """Take requests by latency, which `edges_s` divide, and block; of the unknown nothing else is known."""
        blocks = len(self.judged)
        if unknown.any():
            self.undecided += int(unknown.sum())
            self.judged -= np.bincount(block[unknown], minlength=blocks)
        # To sort all takes a fraction of the time of finding the place of each; the unknown come after all edges.
        below = np.searchsorted(np.sort(latency_s), edges_s, side="right")
        self.within += np.diff(below, prepend=0)
        judged = np.bincount(block, minlength=blocks)
        self.judged += judged
        self.met += judged if met.all() else np.bincount(block[met], minlength=blocks)

    def __add__(self, other: _Counts) -> _Counts:
        return _Counts(
            self.within + other.within,
            self.judged + other.judged,
            self.met + other.met,
            self.by_api + other.by_api,
            self.undecided + other.undecided,
        )


class LimitTally:
    """Counts requests against one limit, a part at a time.

    Of requests that came nearer to the end than the limit is long, those that were in time are known, and those that
    will be late are still open: to count the first alone would make late ones seem rarer than they are. Where many came
    so near to the end, and open ones have waited for long, only those count that were followed for the whole limit.
    """

    def __init__(self, metric: str, limit_s: float, begin_s: float, end_s: float) -> None:
        """Begin with none.

        Args:
            metric: `ttft_s` or `e2e_s`.
            limit_s: The limit.
            begin_s: When the first request may arrive.
            end_s: When the last one may, and what is open is no longer followed.
        """
        self.metric, self.limit_s = metric, limit_s
        self._edges_s = limit_s * FACTORS + EQUAL_S
        self._begin_s, self._end_s = begin_s, end_s
        length_s = max(end_s - begin_s, 1e-9)
        self._block_s = min(_DAY_S, length_s / _FEWEST_BLOCKS)
        self._blocks = int(np.ceil(length_s / self._block_s - 1e-9))
        #: Of those that were followed for the whole limit, and of those that were not.
        self._followed, self._near_end = _Counts.none(self._blocks), _Counts.none(self._blocks)
        self._oldest_s = 0.0

    def add(
        self, arrival_s: NDArray[np.float64], latency_s: NDArray[np.float64], api_s: NDArray[np.float64] | None = None
    ) -> NDArray[np.bool_]:
        """Take the next requests and say which of them were within the limit.

        Args:
            arrival_s: When they came.
            latency_s: What they took: one without an answer for ever; one of which nobody knows, NaN, counts nowhere.
            api_s: What an API itself took of that, once it had let them in; NaN, or none at all, where none answered.
        """
        met: NDArray[np.bool_] = latency_s <= self._edges_s[AT_LIMIT]
        block = ((arrival_s - self._begin_s) / self._block_s).astype(np.int64)
        np.clip(block, 0, self._blocks - 1, out=block)
        unknown, near_end = np.isnan(latency_s), arrival_s > self._end_s - self.limit_s
        for counts, rows in ((self._followed, _rows(~near_end)), (self._near_end, _rows(near_end))):
            if not len(latency_s[rows]):
                continue
            counts.add(latency_s[rows], self._edges_s, block[rows], unknown[rows], met[rows])
            if api_s is not None:
                counts.by_api += self._late_by_api(latency_s[rows], api_s[rows], met[rows])
        if (open_still := arrival_s[unknown & near_end]).size:
            self._oldest_s = max(self._oldest_s, self._end_s - float(open_still.min()))
        return met

    def _late_by_api(
        self, latency_s: NDArray[np.float64], api_s: NDArray[np.float64], met: NDArray[np.bool_]
    ) -> NDArray[np.int64]:
        """Count how much longer an API might have taken for the answers it gave."""
        answered = _rows(api_s > 0.0)
        own_s, kept = api_s[answered], met[answered]
        most = (self.limit_s - latency_s[answered] + own_s) / own_s
        # Rounding must not say otherwise of the time it did take.
        most = np.where(kept, np.maximum(most, 1.0), np.minimum(most, np.nextafter(1.0, 0.0)))
        most.sort()
        return np.diff(np.searchsorted(most, API_TIMES), prepend=0, append=len(most))

    @property
    def _counted(self) -> _Counts:
        """What counts, see `LimitTally`."""
        late = self._near_end
        near_end, followed = int(late.judged.sum()) + late.undecided, int(self._followed.judged.sum())
        many = near_end > _MANY * (near_end + followed) and late.undecided > _RARE * near_end
        if not (many and self._oldest_s > _LONG * self.limit_s):
            return self._followed + late
        return replace(self._followed, undecided=self._followed.undecided + late.undecided)

    @property
    def known(self) -> tuple[int, int]:
        """Requests within the limit, and those they are of: what counts, or, where nothing does, all that is known."""
        counted = self._counted
        if not counted.judged.any():
            counted = self._followed + self._near_end
        return int(counted.met.sum()), int(counted.judged.sum())

    @property
    def undecided(self) -> int:
        """Requests that are still open, their limit not run out."""
        return self._counted.undecided

    @property
    def share(self) -> float | None:
        """Share of the requests within the limit; None without any."""
        counted = self._counted
        judged = int(counted.judged.sum())
        return int(counted.met.sum()) / judged if judged else None

    @property
    def counts(self) -> LimitCounts:
        """What was counted."""
        counted = self._counted
        return LimitCounts(
            self.metric,
            self.limit_s,
            counted.within.tolist(),
            counted.judged.tolist(),
            counted.met.tolist(),
            counted.undecided,
            counted.by_api[::-1].cumsum()[-2::-1].tolist(),
        )


def _rows(chosen: NDArray[np.bool_]) -> slice | NDArray[np.intp]:
    """Which they are; where it is all of them, or a stretch that begins or ends with all, nothing need be copied."""
    count = int(np.count_nonzero(chosen))
    if chosen[:count].all():
        return slice(count)
    if chosen[len(chosen) - count :].all():
        return slice(len(chosen) - count, None)
    return np.flatnonzero(chosen)
