"""The hours of the week: what shape a recording shows, and how far chance strays from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simulator.units import DAY_S, HOUR_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

_WEEKEND = np.array([False] * 5 + [True] * 2)
_WHOLE = 0.999


@dataclass(frozen=True, slots=True)
class Hours:
    """Requests by hour, a row of 24 for every day that was seen, wholly or in part.

    Attributes:
        counts: Requests, days x 24.
        seen: Share of each hour that was seen, days x 24.
        weekday: Of each day, 0 Monday.
    """

    counts: NDArray[np.float64]
    seen: NDArray[np.float64]
    weekday: NDArray[np.int64]

    @staticmethod
    def of(arrival_s: NDArray[np.float64], span_s: float, begins_s: float) -> Hours:
        """From arrivals between 0, which is `begins_s` after Monday 00:00, and `span_s`."""
        days = np.arange(int(begins_s // DAY_S), int(np.ceil((begins_s + span_s) / DAY_S - 1e-9)))
        edge_s = np.arange(days[0] * 24, (days[-1] + 1) * 24 + 1) * HOUR_S - begins_s
        seen = np.diff(edge_s.clip(0.0, span_s)) / HOUR_S
        counts = np.histogram(arrival_s, edge_s)[0].astype(np.float64)
        return Hours(counts.reshape(-1, 24), seen.reshape(-1, 24), (days % 7).astype(np.int64))

    @staticmethod
    def together(parts: Sequence[Hours]) -> Hours:
        """Days of several."""
        return Hours(*(np.concatenate([getattr(one, name) for one in parts]) for name in Hours.__slots__))

    @property
    def week(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Requests, and hours seen, of each hour of the week, 7 x 24."""
        counts, seen = np.zeros((7, 24)), np.zeros((7, 24))
        np.add.at(counts, self.weekday, self.counts)
        np.add.at(seen, self.weekday, self.seen)
        return counts, seen

    @property
    def repeated(self) -> bool:
        """Whether every weekday that was wholly seen was seen so twice or more."""
        times = np.bincount(self.weekday[self._whole], minlength=7)
        return bool(times.any() and (times[times > 0] > 1).all())

    @property
    def _whole(self) -> NDArray[np.bool_]:
        return np.asarray((self.seen > _WHOLE).all(axis=1))

    def alike(self) -> Iterator[NDArray[np.int64]]:
        """Whole days that share their hours: of one weekday where each was seen twice, else weekdays and weekends.

        One day alone is left out.
        """
        kind = self.weekday if self.repeated else _WEEKEND[self.weekday].astype(np.int64)
        for one in np.unique(kind[self._whole]):
            days = np.flatnonzero(self._whole & (kind == one))
            if len(days) > 1 and self.counts[days].any():
                yield days


def dispersion(hours: Hours) -> float | None:
    """Variance over mean of hourly counts, given how busy their days were; at least 1, None without two days alike.

    Sum of (count - day x hour)^2 over day x hour, over the degrees of freedom.
    """
    square, freedom = 0.0, 0
    for days in hours.alike():
        expected = _day_by_hour(hours.counts[days])
        square += float((_over_root(hours.counts[days] - expected, expected) ** 2).sum())
        freedom += _freedom(expected)
    return max(square / freedom, 1.0) if freedom else None


def strays(hours: Hours, week: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Counts of whole days less what their like lead one to expect, over its root; None without two days alike.

    Scaled up for what the days' own mean takes away. How busy a day was is part of it where every weekday was seen
    twice; where not, nobody can tell it from its weekday.

    Args:
        hours: What was seen.
        week: Its `shape`: over the root of a mean of few days, small counts would stray too little.

    Returns:
        Days x 24.
    """
    found = []
    for days in hours.alike():
        counts, size = hours.counts[days], len(days)
        if hours.repeated:
            excess = (counts - counts.mean(axis=0)) * np.sqrt(size / (size - 1))
        else:
            expected = _day_by_hour(counts)
            excess = (counts - expected) * np.sqrt(size * int((expected[0] > 0).sum()) / max(_freedom(expected), 1))
        found.append(_over_root(excess, week[hours.weekday[days]]))
    return np.concatenate(found) if found else None


def _day_by_hour(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum())


def _freedom(expected: NDArray[np.float64]) -> int:
    return (int((expected.sum(axis=1) > 0).sum()) - 1) * (int((expected.sum(axis=0) > 0).sum()) - 1)


def _over_root(excess: NDArray[np.float64], expected: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.divide(excess, np.sqrt(expected), out=np.zeros_like(excess), where=expected > 0))


def shape(hours: Hours, dispersion: float) -> NDArray[np.float64]:
    """Requests per hour of each hour of the week, 7 x 24, as far as they recur.

    Each day's volume times the hours of all days; weekdays and weekends keep hours of their own as far as those stray
    beyond chance, and where every weekday was seen twice so does every hour of the week. Of a single week nobody can
    tell an hour's nature from a swing of the rate: in the four two-week recordings of ServeGen what strays from day
    times hour in one week has correlations of 0.10, -0.07, -0.05 and -0.01 with what does in the other.
    """
    counts, seen = hours.week
    seen_h = seen.sum(axis=0)
    week = np.tile(np.divide(counts.sum(axis=0), seen_h, out=np.zeros(24), where=seen_h > 0), (7, 1))
    week = _daily(week, counts, seen)
    kinds = np.stack([~_WEEKEND, _WEEKEND]).astype(np.float64)
    own = _own(kinds @ (week * seen), kinds @ counts, dispersion)
    week = _daily(week * own[_WEEKEND.astype(np.int64)], counts, seen)
    return week * _own(week * seen, counts, dispersion) if hours.repeated else week


def _daily(week: NDArray[np.float64], counts: NDArray[np.float64], seen: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each day as busy as it was; one that was not seen as the others are on average."""
    usual = (week * seen).sum(axis=1)
    return np.asarray(week * np.divide(counts.sum(axis=1), usual, out=np.ones(7), where=usual > 0)[:, None])


def _own(expected: NDArray[np.float64], counts: NDArray[np.float64], dispersion: float) -> NDArray[np.float64]:
    """Factors on what was expected, drawn towards 1 as far as chance may have moved the counts.

    Empirical Bayes: cells stray by chance (`dispersion` over what was expected, relative and squared) and by a nature
    of their own (what they stray beyond that); each counts by its share. That what was expected was fitted to the same
    counts is left out, which draws them a little more.
    """
    seen, total = expected > 0, float(expected.sum())
    if total == 0.0:
        return np.ones_like(expected)
    strays = np.divide(counts, expected, out=np.ones_like(expected), where=seen) - 1.0
    # Weighted by what is expected.
    by_chance = dispersion * int(seen.sum())
    own = max((float((expected * strays**2).sum()) - by_chance) / total, 1e-9)
    chance = np.divide(dispersion, expected, out=np.full_like(expected, np.inf), where=seen)
    return np.asarray(1.0 + own / (own + chance) * strays)
