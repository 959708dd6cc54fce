"""Whether objectives are met: yes, no, or these replications cannot tell."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from simulator.analysis.limits import API_TIMES, FACTORS
from simulator.analysis.share import ShareSample

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from simulator.analysis.metrics import Group
    from simulator.scenario.patterns import HostingPattern

Answer = Literal["met", "missed", "cannot_tell"]
#: Of the interval that must lie on one side of what is wanted: a run judges dozens of objectives, and one answer in
#: twenty would be wrong by chance at the level of 95 % that is used elsewhere.
LEVEL: Final = 0.99
_MOST_SIGMA: Final = 0.5


@dataclass(frozen=True, slots=True)
class LimitSample:
    """Requests of one workload held against one limit, by replication.

    Attributes:
        metric: `ttft_s` or `e2e_s`.
        limit_s: The limit.
        sample: Requests within it, by replication and block of time.
        undecided: Requests that are not judged: open at the horizon, the limit not run out.
        within: Of all replications, requests within each factor of `FACTORS` on the limit.
        steady: Whether nothing but waiting can make a request late: no call fails and nothing breaks by chance.
        by_api: Of all replications, requests that an API answered and that would be within the limit, if it took as
            many times as long as a factor of `API_TIMES` says.
    """

    metric: str
    limit_s: float
    sample: ShareSample
    within: NDArray[np.int64]
    undecided: int = 0
    steady: bool = False
    by_api: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(API_TIMES), np.int64))

    def share_at(self, api_times: NDArray[np.float64], cluster_times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share within the limit were APIs and clusters slower; 0 without a request.

        Derived, and exact where nothing but their own speed counts.

        Args:
            api_times: How many times as long APIs take once they have let a request in; a quarter to four.
            cluster_times: How many times as long what clusters answer takes; infinite where it has no end.
        """
        if not self.sample.requests:
            return np.zeros(len(api_times))

        def answered(times: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.interp(np.log2(times), np.log2(API_TIMES), self.by_api)

        within = np.interp(-np.log2(cluster_times), np.log2(FACTORS), self.within)
        # Slower clusters make nothing later that an API answered; that takes as long as the API does.
        moved = within - answered(cluster_times) + answered(api_times)
        return np.clip(moved, 0.0, self.sample.requests) / self.sample.requests

    def within_by_far(self, target_share: float) -> bool:
        """Whether no request was late, and all by so much that hardly any would be.

        Twenty requests cannot show that 99 % are within a limit, not even if all are. That each took a tenth of the
        limit does: the share beyond the longest is at most what the share's interval says, and falls as the cube of
        the time from there on, or faster, as a lognormal does there whose logarithm spreads by half.
        """
        if not self.steady or self.undecided or int(self.sample.met.sum()) < self.sample.requests:
            return False
        longest = float(FACTORS[int(np.searchsorted(self.within, self.sample.requests))])
        beyond = 1.0 - self.sample.interval(LEVEL)[0]
        return beyond * longest**3 <= 1.0 - target_share

    def reached_s(self, share: float) -> float | None:
        """The time that so great a share of all requests are within, those without an answer counted.

        This is the quantile that is judged: it is at most the limit where, and only where, so great a share is within
        the limit. Known to half a per cent, farther than four times the limit or a quarter of it to 4 %.

        Returns:
            Seconds; None where fewer were answered.
        """
        total = self.sample.requests
        need = max(1, least_count(share, total))
        at = int(np.searchsorted(self.within, need))
        if not total or at == len(FACTORS):
            return None
        before = int(self.within[at - 1]) if at else 0
        begin = np.log2(FACTORS[at - 1]) if at else np.log2(FACTORS[0]) - 1.0
        part = (need - before) / (int(self.within[at]) - before)
        return self.limit_s * float(np.exp2(begin + part * (np.log2(FACTORS[at]) - begin)))

    def reached_interval_s(self, share: float, level: float) -> tuple[float, float | None] | None:
        """Its interval: the times that the ends of the share's interval are within (Woodruff 1952).

        Returns:
            Seconds, the upper end None where it lies beyond all that was seen; None without any answer.
        """
        low, high = self.sample.interval_at(share, level)
        ends = self.reached_s(low), self.reached_s(high) if high < 1.0 else None
        return None if ends[0] is None else (ends[0], ends[1])


@dataclass(frozen=True, slots=True)
class LimitResult:
    """How one limit was kept, all replications together.

    Attributes:
        metric: `ttft_s` or `e2e_s`.
        limit_s: The limit.
        requests: Requests that were held against it.
        undecided: Requests that were not: open at the horizon, the limit not run out.
        share: Share of them within it; 0 where there are none.
        ci95: Interval of the share.
        ci99: The one that decides the answer.
        answer: Whether the share is what is wanted.
        by_far: Whether the answer rests on how far all requests kept from the limit, too few to tell by their share.
        reached_s: The time that the wanted share of all requests are within; None where fewer were answered.
        reached_ci95_s: Its interval; the upper end is None where it lies beyond all that was seen.
    """

    metric: str
    limit_s: float
    requests: int
    undecided: int
    share: float
    ci95: tuple[float, float]
    ci99: tuple[float, float]
    answer: Answer
    by_far: bool
    reached_s: float | None
    reached_ci95_s: tuple[float, float | None] | None


@dataclass(frozen=True, slots=True)
class ObjectiveResult:
    """Whether a workload's objectives are met.

    Attributes:
        answer: Missed where any limit is, met where all are.
        target_share: Share of the requests that is wanted within each limit.
        limits: How each limit was kept.
        replications_to_tell: How many replications would tell, should the shares stay what they are; None where these
            do, and where 100,000 would not.
    """

    answer: Answer
    target_share: float
    limits: list[LimitResult]
    replications_to_tell: int | None

    @property
    def met(self) -> bool | None:
        """True, false, or None where nobody can tell."""
        return None if self.answer == "cannot_tell" else self.answer == "met"

    @property
    def as_measured(self) -> bool:
        """Whether the shares are what is wanted, chance left aside."""
        return all(limit.share >= self.target_share for limit in self.limits)

    @property
    def hardest(self) -> LimitResult:
        """The limit that the fewest requests are within."""
        return min(self.limits, key=lambda limit: limit.share)


def least_count(share: float, total: int) -> int:
    """Fewest requests of so many that are so great a share of them."""
    count = ceil(share * total - 1e-9)
    return count if not total or count / total >= share else count + 1


def limit_samples(groups: Sequence[Group], *, steady: bool = False) -> list[LimitSample]:
    """The counts of all replications, by limit; none where nothing arrived.

    Args:
        groups: One workload in each replication.
        steady: See `is_steady`.
    """
    found = []
    for counts in zip(*(group.limits for group in groups), strict=True):
        sample = ShareSample(
            np.array([one.judged for one in counts], np.int64), np.array([one.met for one in counts], np.int64)
        )
        within = np.sum([np.cumsum(one.within) for one in counts], axis=0)
        by_api = np.sum([one.by_api for one in counts], axis=0)
        open_still = sum(one.undecided for one in counts)
        if sample.requests or open_still:
            found.append(LimitSample(counts[0].metric, counts[0].limit_s, sample, within, open_still, steady, by_api))
    return found


def objective_result(samples: Sequence[LimitSample], target_share: float | None) -> ObjectiveResult | None:
    """Judge the limits of one workload; None where it has none, or nothing arrived."""
    if target_share is None or not samples:
        return None
    limits = [_limit(one, target_share) for one in samples]
    answer = joint(limit.answer for limit in limits)
    needed: list[int | None] = [
        None if one.undecided > one.sample.requests else one.sample.replications_to_tell(target_share, LEVEL)
        for one, limit in zip(samples, limits, strict=True)
        if limit.answer == "cannot_tell" and answer == "cannot_tell"
    ]
    known = [count for count in needed if count is not None]
    return ObjectiveResult(answer, target_share, limits, max(known) if known and None not in needed else None)


def is_steady(pattern: HostingPattern) -> bool:
    """Whether waiting alone can make a request of this pattern late: nothing fails by chance, no speed is wild.

    A lognormal whose logarithm spreads by more than 0.5 falls slower than `LimitSample.within_by_far` supposes.
    """
    apis = pattern.metered.values()
    spreads = [delay.sigma for api in apis for delay in (api.ttft, api.output_tokens_per_s) if delay]
    fails = any(api.error_share for api in apis)
    return not pattern.varies and not fails and max(spreads, default=0.0) <= _MOST_SIGMA


def joint(answers: Iterable[Answer]) -> Answer:
    """Of several: missed where any is, met where all are."""
    found = set(answers)
    return "missed" if "missed" in found else "cannot_tell" if "cannot_tell" in found else "met"


def _limit(one: LimitSample, target: float) -> LimitResult:
    low, high = ci99 = one.sample.interval(LEVEL)
    answer: Answer = "met" if low >= target else "missed" if high < target else "cannot_tell"
    # Those that are left out would on the whole have taken longer; where they are most of them, nobody can tell.
    best = (int(one.sample.met.sum()) + one.undecided) / (one.sample.requests + one.undecided)
    if one.undecided > one.sample.requests and best >= target:
        answer = "cannot_tell"
    by_far = answer == "cannot_tell" and one.within_by_far(target)
    return LimitResult(
        metric=one.metric,
        limit_s=one.limit_s,
        requests=one.sample.requests,
        undecided=one.undecided,
        share=one.sample.share if one.sample.requests else 0.0,
        ci95=one.sample.interval(0.95),
        ci99=ci99,
        answer="met" if by_far else answer,
        by_far=by_far,
        reached_s=one.reached_s(target),
        reached_ci95_s=one.reached_interval_s(target, 0.95),
    )
