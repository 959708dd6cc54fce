"""A share of requests and its interval, where the requests of one run are no independent draws.

A burst makes many requests late at once, so that a hundred late ones may be a single event. The interval is that of
Clopper and Pearson for as many requests as there effectively are: the number of independent ones whose share would
spread as this one does (E. L. Korn and B. I. Graubard, Confidence intervals for proportions with small expected number
of positive counts estimated from survey data, Survey Methodology 24, 1998, 193-201). The spread is taken from blocks of
time against the same blocks of other replications, or of each other where there is a single one; from whole
replications where those differ by more than their blocks explain, as an F test at 10 % says. One sample in ten does so
by chance, and three replications have but two degrees of freedom; so how little so few of them tell of a spread is
taken into account only where the test at 1 % says the same.

What happened in no replication, no interval knows of.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.analysis.output_analysis import fewest, student

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: At which the replications are taken for alike, and at which it is clear that they are not.
_ALIKE: Final = 0.1
_UNLIKE: Final = 0.01

#: Chance of taking a share for greater than a limit that it does not exceed.
_FALSE: Final = 0.01


def exceeds(counts: Sequence[float], totals: Sequence[float], limit: float) -> bool:
    """Whether a share is greater than a limit, beyond what chance would do to one that is not.

    Binomial, for as few requests as there effectively are where the counts of replications differ by more than those of
    independent requests would.

    Args:
        counts: By replication.
        totals: Requests that they are of.
        limit: Share that may be.
    """
    from scipy.special import betainc

    count, total, runs = sum(counts), sum(totals), len(counts)
    if count <= limit * total:
        return False
    share, inflation = count / total, 1.0
    if runs > 1 and share < 1.0:
        off = sum((one - share * whole) ** 2 for one, whole in zip(counts, totals, strict=True))
        inflation = max(1.0, runs / (runs - 1) * off / (total * share * (1.0 - share)))
    return bool(betainc(count / inflation, (total - count) / inflation + 1.0, limit) < _FALSE)


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

    def interval_at(self, share: float, level: float) -> tuple[float, float]:
        """The interval that another share of as many requests would have, which depend on each other as these do."""
        return self._interval(share, level, self.replications)

    def replications_to_tell(self, target: float, level: float) -> int | None:
        """How many replications would tell whether the share is as great as wanted, should it stay what it is.

        None where no number of them up to 100,000 would: it is too near.
        """

        def tells(count: int) -> bool:
            low, high = self._interval(self.share, level, count)
            return low >= target or high < target

        return fewest(tells, self.replications) if self.requests else None

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
        # Where all or none are within, no spread was estimated that could be in doubt.
        kept = 1.0 if self.share in (0.0, 1.0) else min(1.0, doubt) ** 2
        return float(each * replications / max(1.0, inflation) * kept)

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
        chance = float(fdtrc(runs - 1, max(1, (blocks - 1) * (runs - 1)), ratio))
        return (within if chance >= _ALIKE else between) / alone, blocks if chance >= _UNLIKE else 1
