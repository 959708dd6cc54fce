"""How well the hours of the week of two demands agree, and how far apart chance alone would take them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simulator.workload.hours import Hours, shape, strays

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Enough for a 95 % quantile known to a hundredth of its probability.
_DRAWS = 1000
_SEED = 95
#: More days than this are drawn as so many, scaled.
_MOST_DAYS = 6


@dataclass(frozen=True, slots=True)
class HourOfWeek:
    """Shares of the hours of the week both have seen.

    Attributes:
        hours: How many those are.
        distance: Half the sum of the absolute differences: the share of requests that would have to move.
        chance: The same distance if only chance differed, once in twenty times exceeded.
    """

    hours: int
    distance: float
    chance: float

    @property
    def within(self) -> bool:
        """Whether they differ by no more than chance explains."""
        return self.distance <= self.chance


@dataclass(frozen=True, slots=True)
class Seen:
    """The hours seen of one demand.

    Attributes:
        hours: All days, of every draw of a model.
        dispersion: Variance over mean of hourly counts; see `simulator.workload.hours.dispersion`.
        learned_from: Of a model, the recording it was learned from; None where it is no model, or that is not at hand.
    """

    hours: Hours
    dispersion: float
    learned_from: Seen | None = None

    @property
    def knows_days(self) -> bool:
        """Whether it shows how far whole days stray: it has every weekday twice, and no model made up how they do."""
        return self.hours.repeated and (self.learned_from is None or self.learned_from.knows_days)

    @property
    def weeks(self) -> float:
        """Weeks it covers, of the hours it has seen at all."""
        seen = self.hours.week[1]
        return float(np.median(seen[seen > 0]))

    def rate(self, common: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Requests per hour of these hours of the week, nothing elsewhere."""
        counts, seen = self.hours.week
        return np.asarray(np.divide(counts, seen, out=np.zeros((7, 24)), where=common))

    @property
    def strays(self) -> NDArray[np.float64]:
        """Strays of its days; where no two are alike, of made-up ones whose hours stray on their own."""
        found = strays(self.hours, shape(self.hours, self.dispersion))
        if found is None:
            return np.random.default_rng(_SEED).normal(0.0, np.sqrt(self.dispersion), (50, 24))
        return found


def agreement(first: Seen, second: Seen) -> HourOfWeek | None:
    """Distance of the hours of the week, and what it is by chance; None with fewer than two hours in common."""
    common = (first.hours.week[1] > 0.99) & (second.hours.week[1] > 0.99)
    rates = [one.rate(common) for one in (first, second)]
    if common.sum() < 2 or not all(rate.any() for rate in rates):
        return None
    chance = float(np.quantile(_by_chance(first, second, common), 0.95))
    return HourOfWeek(int(common.sum()), float(_distance(*rates)), chance)


def _distance(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Half the sum of the absolute differences of shares, over the last two axes."""
    one, other = (rate / rate.sum(axis=(-2, -1), keepdims=True) for rate in (first, second))
    return np.asarray(0.5 * np.abs(one - other).sum(axis=(-2, -1)))


def _by_chance(first: Seen, second: Seen, common: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Distances of two demands that have the same week: a bootstrap of whole days, `_DRAWS` of it.

    Strays are those of days seen, so that hours stray together as they did.
    """
    rng, sigma = np.random.default_rng(_SEED), _day_sigma(first, second, common)
    shapes = [np.where(common, shape(one.hours, one.dispersion), 0.0) for one in (first, second)]
    usual = (shapes[0] / shapes[0].sum() + shapes[1] / shapes[1].sum()) / 2.0
    return _distance(_drawn(first, usual, sigma, rng), _drawn(second, usual, sigma, rng))


def _drawn(one: Seen, usual: NDArray[np.float64], sigma: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Requests per hour of the week that the one might have seen were its week the usual one, _DRAWS x 7 x 24.

    A model strays twice: as the recording it was learned from, and as its own draws.
    """
    common, lesson = usual > 0.0, one.learned_from
    week = usual * float(one.rate(common).sum())
    if lesson is not None:
        taught = np.where(common, lesson.hours.week[1], 0.0)
        drawn = _strayed(week, taught, lesson.strays, 0.0 if lesson.knows_days else sigma, rng)
        week = np.where(taught > 0.0, [_learned(counts, taught, lesson.dispersion) for counts in drawn], week)
    own_sigma = 0.0 if one.knows_days or lesson is not None else sigma
    seen = np.where(common, one.hours.week[1], 0.0)
    return _strayed(week, seen, one.strays, own_sigma, rng) / np.where(common, seen, 1.0)


def _strayed(
    week: NDArray[np.float64],
    seen: NDArray[np.float64],
    pool: NDArray[np.float64],
    sigma: float,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Requests where so many are expected per hour of the week, _DRAWS x 7 x 24.

    Args:
        week: Expected per hour; one week, or one for each draw.
        seen: Hours seen of each hour of the week.
        pool: Strays of days.
        sigma: Log deviation of whole days beside that.
        rng: Random numbers.
    """
    times = max(round(float(np.median(seen[seen > 0]))), 1)
    drawn = min(times, _MOST_DAYS)
    days = pool[rng.integers(0, len(pool), (_DRAWS, 7, drawn))] * rng.choice([-1.0, 1.0], (_DRAWS, 7, drawn, 1))
    expected = week * seen
    # Strays may take a small hour below nothing: cut there, they would be too small.
    counts = expected + np.sqrt(expected.clip(0.0)) * days.sum(axis=2) / np.sqrt(drawn)
    return np.asarray(counts * np.exp(sigma / np.sqrt(times) * rng.standard_normal((_DRAWS, 7, 1))))


def _learned(counts: NDArray[np.float64], seen: NDArray[np.float64], dispersion: float) -> NDArray[np.float64]:
    """Requests per hour of the week that a fit makes of these, 7 x 24."""
    times = 2 if seen.max() >= 2.0 else 1
    week = [np.tile(part / times, (times, 1)) for part in (counts, seen)]
    return shape(Hours(week[0], week[1], np.arange(7 * times) % 7), dispersion)


def _day_sigma(first: Seen, second: Seen, common: NDArray[np.bool_]) -> float:
    """Log deviation of whole days, from how far the weekdays' shares of the two sides lie apart.

    Most weekdays are taken to be alike: the deviation is the median one (Gaussian, with the small-sample factor
    n / (n - 0.8) of Croux and Rousseeuw 1992), less what independent hours would stray. Days seen twice say it better.
    """
    if first.knows_days and second.knows_days:
        return 0.0
    sides = (first, second)
    days = [one.rate(common).sum(axis=1) for one in sides]
    both = (days[0] > 0) & (days[1] > 0)
    size = int(both.sum())
    if size < 3:
        return 0.0
    ratio = np.log(days[0][both] / days[1][both])
    apart = 1.4826 * size / (size - 0.8) * float(np.median(np.abs(ratio - np.median(ratio))))
    # Hours stray in all that was seen, days only in what was recorded: a model has those it was learned from.
    hourly = sum(
        part.dispersion / (day[both] * part.weeks)
        for one, day in zip(sides, days, strict=True)
        for part in (one, one.learned_from)
        if part is not None
    )
    beyond = max(apart**2 - float(np.median(hourly)), 0.0)
    return float(np.sqrt(beyond / sum(1.0 / (one.learned_from or one).weeks for one in sides)))
