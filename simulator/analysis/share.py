"""A share of requests and its interval, where the requests of one run are no independent draws.

A burst makes many requests late at once, so that a hundred late ones may be a single event. The interval is that of
Clopper and Pearson for as many requests as there effectively are: the number of independent ones whose share would
spread as this one does (E. L. Korn and B. I. Graubard, Confidence intervals for proportions with small expected number
of positive counts estimated from survey data, Survey Methodology 24, 1998, 193-201). The spread is taken from blocks of
time against the same blocks of other replications, or of each other where there is a single one; from whole
replications where those differ by more than their blocks explain. Which of the two it is, an F test at 25 % decides
(T. A. Bancroft, Analysis and inference for incompletely specified models, Biometrics 20, 1964, 427-442, who advises
that level).

What happened in no replication, no interval knows of.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.analysis.output_analysis import student

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: At which the replications are taken for alike.
_ALIKE: Final = 0.25
#: Nobody will run more.
_MOST_REPLICATIONS: Final = 100_000


@dataclass(frozen=True)
class ShareSample:
    """Requests within a limit.

    Attributes:
        judged: Requests by replication and block of time.
        met: Those of them within the limit.
    """

    judged: NDArray[np.int64]
    met: NDArray[np.int64]

    @cached_property
    def requests(self) -> int:
        """How many there are."""
        return int(self.judged.sum())

    @cached_property
    def share(self) -> float:
        """Of all requests together; NaN where there are none."""
        return int(self.met.sum()) / self.requests if self.requests else float("nan")

    @property
    def replications(self) -> int:
        """How many there are."""
        return len(self.judged)

    def interval(self, level: float) -> tuple[float, float]:
        """The interval of the share; everything where there is no request."""
        return self._interval(self.share, level, self.replications)

    def replications_to_tell(self, target: float, level: float) -> int | None:
        """How many replications would tell whether the share is as great as wanted, should it stay what it is.

        None where no number of them up to 100,000 would: it is too near.
        """

        def tells(count: int) -> bool:
            low, high = self._interval(self.share, level, count)
            return low >= target or high < target

        if not self.requests:
            return None
        high = self.replications
        while not tells(high):
            if high >= _MOST_REPLICATIONS:
                return None
            high = min(2 * high, _MOST_REPLICATIONS)
        low = max(high // 2, self.replications)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if tells(middle) else (middle, high)
        return high

    def _interval(self, share: float, level: float, replications: int) -> tuple[float, float]:
        """The interval that so many replications like these would have."""
        if not self.requests:
            return 0.0, 1.0
        from scipy.special import betaincinv

        count = self._effective(level, replications)
        met, tail = share * count, (1.0 - level) / 2.0
        low = float(betaincinv(met, count - met + 1.0, tail)) if met > 0.0 else 0.0
        high = float(betaincinv(met + 1.0, count - met, 1.0 - tail)) if met < count else 1.0
        return low, high

    def _effective(self, level: float, replications: int) -> float:
        """Independent requests that would say as much."""
        inflation, freedom = self._spread
        each = self.requests / self.replications
        degrees = max(1.0, freedom * (replications - 1 if self.replications > 1 else replications))
        doubt = NormalDist().inv_cdf(0.5 + level / 2.0) / student(degrees, level)
        return float(each * replications / max(1.0, inflation) * min(1.0, doubt) ** 2)

    @cached_property
    def _spread(self) -> tuple[float, float]:
        """How many times its variance exceeds that of independent requests, and degrees of freedom a replication."""
        from scipy.special import fdtrc

        blocks = max(1, int((self.judged.sum(axis=0) > 0).sum()))
        share, total, runs = self.share, self.requests, self.replications
        alone = share * (1.0 - share) * total
        off = self.met - share * self.judged
        if runs == 1:
            # Blocks differ for their place in the calendar too: too wide rather than too narrow.
            freedom = max(1, blocks - 1)
            found = blocks / freedom * float((off**2).sum())
            return (found / alone if alone else 1.0), freedom
        many = runs / (runs - 1)
        within = many * float(((off - off.mean(axis=0)) ** 2).sum())
        between = many * float(((off.sum(axis=1) - off.sum() / runs) ** 2).sum())
        if not alone:
            return 1.0, blocks
        ratio = between / within if within else 0.0
        alike = float(fdtrc(runs - 1, max(1, (blocks - 1) * (runs - 1)), ratio)) >= _ALIKE
        return max(within, between) / alone, (blocks if alike else 1)
