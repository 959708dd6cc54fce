"""A synthetic workload learned from recorded requests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.scenario.workloads import WEEKDAYS
from simulator.trace.request_table import RequestTable
from simulator.units import DAY_S, HOUR_S, MONTH_HOURS, WEEK_S
from simulator.workload.clumping import fit_clumping, hourly_dispersion, trains_of
from simulator.workload.dispersion import Demand
from simulator.workload.hours import Hours, dispersion, shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_WEEK_HOURS = 168
#: No length stands for fewer requests than this.
_FEWEST_PER_LENGTH = 5
_MOST_LENGTHS = 200
_MOST_VARIANTS = 65_536
#: Of prefixes one after the other, as a scenario may have them.
_MOST_LEVELS = 8
#: A time constant is known from so many of it.
_CONSTANTS_SEEN = 3.0
#: A clock is coarse from here on, where so many different moments lie on its grid.
_FINEST_GRID_S = 0.1
_FEWEST_MOMENTS = 20


@dataclass(frozen=True, slots=True)
class Learned:
    """A workload as a scenario writes it, and what to know about it.

    Attributes:
        workload: Keys and values of a synthetic workload.
        notes: What was and was not learned, a sentence each.
    """

    workload: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def fit_workload(table: RequestTable, span_s: float, begins_s: float | None) -> Learned:
    """Learn one workload from all requests of a table.

    Args:
        table: Requests; arrivals from 0 to `span_s`.
        span_s: Seconds recorded.
        begins_s: Seconds from Monday 00:00 local time to arrival 0; None where unknown.
    """
    learned = Learned({})
    weights, demand = _profile(table.arrival_s, span_s, begins_s, learned)
    # The recorded hours may be busier than the week they belong to.
    rate_per_week = len(table) / span_s * WEEK_S if weights is None else float(weights.sum())
    learned.workload["volume"] = {"requests_per_month": _short(rate_per_week * float(MONTH_HOURS) / _WEEK_HOURS)}
    if weights is None:
        learned.workload["profile"] = "flat"
    else:
        relative = weights / weights.max()
        learned.workload["profile"] = [[round(float(weight), 4) for weight in row] for row in relative]
        learned.workload["days"] = [day for day, row in zip(WEEKDAYS, relative, strict=True) if row.sum() > 0]
    demand = _days(table.arrival_s, demand, learned)
    _clumping(table.arrival_s, demand, weights is not None, learned)
    learned.workload["prompt_tokens"] = lengths(table.prompt_tokens)
    thinking = table.thinking_tokens
    # Thoughts that used up the limit leave an answer of a token here, the least that one has.
    answer = np.maximum(table.output_tokens - thinking, 1)
    learned.workload["output_tokens"] = lengths(answer)
    if thinking.any():
        thought = thinking > 0
        learned.workload["reasoning"] = {
            "thinking_tokens": lengths(thinking[thought]), "share": round(float(thought.mean()), 4)
        }  # fmt: skip
    learned.workload["correlation"] = round(rank_correlation(table.prompt_tokens, answer), 3)
    _prefixes(table, learned)
    learned.workload["max_tokens"] = int(table.max_tokens.max())
    learned.workload["priority"] = int(np.bincount(table.priority).argmax())
    return learned


def expected_demand(arrival_s: NDArray[np.float64], span_s: float, begins_s: float | None) -> Demand:
    """What a trace's own profile leads one to expect; see `fit_workload`."""
    return _profile(arrival_s, span_s, begins_s, Learned({}))[1]


def only_workloads(table: RequestTable, names: Sequence[str]) -> RequestTable:
    """The requests of some workloads, which keep their places among the names."""
    mine = np.isin(table.workload, [table.workloads.index(name) for name in names])
    return table.rows(mine)


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def _seconds(seconds: float) -> str:
    return f"{round(1000.0 * seconds, 3):g}ms" if seconds < 1.0 else f"{round(seconds, 3):.9g}s"


def _profile(
    arrival_s: NDArray[np.float64], span_s: float, begins_s: float | None, learned: Learned
) -> tuple[NDArray[np.float64] | None, Demand]:
    """Requests per hour of the week (7 x 24), None for a flat profile; and what they lead one to expect."""
    flat = Demand(np.array([0.0, span_s]), np.array([0.0, float(len(arrival_s))]))
    if begins_s is None or span_s < DAY_S:
        reason = "the trace does not say when in the week it begins" if begins_s is None else "less than a day"
        learned.notes.append(f"profile: flat, not learned ({reason})")
        return None, flat
    first = (begins_s // HOUR_S) * HOUR_S - begins_s
    edge_s = np.unique(np.clip(np.arange(first, span_s + HOUR_S, HOUR_S), 0.0, span_s))
    hour = (((edge_s[:-1] + begins_s) // HOUR_S) % _WEEK_HOURS).astype(np.int64)
    seen = Hours.of(arrival_s, span_s, begins_s)
    weights = shape(seen, dispersion(seen) or hourly_dispersion(arrival_s, span_s))
    if span_s < WEEK_S:
        learned.notes.append(f"profile: learned from {span_s / DAY_S:.1f} days; other days take the mean of these")
    expected = weights.ravel()[hour] * np.diff(edge_s) / HOUR_S
    return weights, Demand(edge_s, np.concatenate([[0.0], np.cumsum(expected)]))


def _days(arrival_s: NDArray[np.float64], demand: Demand, learned: Learned) -> Demand:
    """Log deviation of whole days about their weekday, where every weekday was seen twice.

    Returns:
        What was to be expected once it is known how busy each day was.
    """
    days = int(demand.span_s // DAY_S)
    if days < 14:
        learned.notes.append("day_variation: not learned (less than two weeks)")
        return demand
    edges = np.arange(days + 1) * DAY_S
    expected, counts = demand.within(edges), np.histogram(arrival_s, edges)[0]
    busy = expected > 10.0
    freedom = busy.sum() - len({day % 7 for day in np.flatnonzero(busy)})
    if freedom <= 0:
        return demand
    ratio = np.divide(counts, expected, out=np.ones(days), where=busy)
    beyond = float(((ratio[busy] - 1.0) ** 2).sum() / freedom - (1.0 / expected[busy]).mean())
    learned.workload["day_variation"] = round(float(np.sqrt(np.log1p(max(beyond, 0.0)))), 4)
    edge_s = np.union1d(demand.edge_s, edges)
    day = np.minimum(edge_s[:-1] // DAY_S, days - 1).astype(np.int64)
    return Demand(edge_s, np.concatenate([[0.0], np.cumsum(demand.within(edge_s) * ratio[day])]))


def _clumping(arrival_s: NDArray[np.float64], demand: Demand, hourly: bool, learned: Learned) -> None:
    # An hourly profile may follow what lasts an hour or longer; shorter windows see what it leaves.
    found = fit_clumping(arrival_s, demand, HOUR_S / 2 if hourly else demand.span_s)
    if found.swing_sigma > 0.0 and found.swing_s > demand.span_s / _CONSTANTS_SEEN:
        learned.notes.append(
            f"rate_variation: not learned (its time constant, {_seconds(found.swing_s)}, is more than a third of the "
            f"{_seconds(demand.span_s)} recorded: too short a time to know it)"
        )
    elif found.swing_sigma > 0.0:
        constant_s = min(max(found.swing_s, 1.0), 7 * DAY_S)
        learned.workload["rate_variation"] = {
            "sigma": round(min(max(found.swing_sigma, 0.001), 2.0), 4), "time_constant": _seconds(constant_s)
        }  # fmt: skip
    if (grid_s := time_grid_s(arrival_s)) is not None:
        learned.notes.append(
            f"arrivals: not learned (they lie on a grid of {grid_s:g} s, so that what clumps is the clock; `simulator "
            f"trace shift --jitter {grid_s:g}s` spreads them first)"
        )
        return
    trains = trains_of(arrival_s, demand, found)
    if trains is not None:
        learned.workload["arrivals"] = {
            "kind": "on_off", "train_mean": _short(trains.size_mean), "gap": _seconds(trains.gap_s),
            "gap_variation": round(min(max(trains.gap_variation, 0.01), 10.0), 3),
            "idle_sigma": round(min(trains.idle_sigma, 2.0), 3),
        }  # fmt: skip
    elif found.burst_mean > 1.0:
        learned.workload["arrivals"] = {
            "kind": "poisson", "burst_mean": round(found.burst_mean, 4),
            "burst_spacing": _seconds(found.burst_spacing_s),
        }  # fmt: skip


def time_grid_s(arrival_s: NDArray[np.float64]) -> float | None:
    """Seconds of which all arrivals are multiples, apart from where they begin, where a clock was that coarse.

    By chance 20 moments to the microsecond do not lie on a grid of a tenth of a second.
    """
    moments = np.unique(np.round(arrival_s * 1e6).astype(np.int64))
    if len(moments) < _FEWEST_MOMENTS:
        return None
    grid_s = float(np.gcd.reduce(np.diff(moments))) / 1e6
    return grid_s if grid_s >= _FINEST_GRID_S else None


def lengths(tokens: NDArray[np.int32]) -> dict[str, Any]:
    """Observed token counts as an `empirical` distribution: means of equal shares, finer for the longest 2 %.

    No value stands for fewer than five requests, so a single one cannot be found in it.
    """
    ordered = np.sort(tokens)
    size = len(ordered)
    if size < 2 * _FEWEST_PER_LENGTH or ordered[0] == ordered[-1]:
        return {"kind": "constant", "tokens": max(round(float(ordered.mean())), 1)}
    shares = np.unique(np.concatenate([np.linspace(0, 0.98, _MOST_LENGTHS), np.linspace(0.98, 1, 41)]))
    cuts = np.unique(np.rint(shares * size).astype(np.int64))
    kept = [0]
    for cut in cuts[1:]:
        if cut - kept[-1] >= _FEWEST_PER_LENGTH and size - cut >= _FEWEST_PER_LENGTH:
            kept.append(int(cut))
    bounds = np.array([*kept, size])
    weights = np.diff(bounds)
    values = np.maximum(np.rint(np.add.reduceat(ordered, bounds[:-1]) / weights), 1).astype(np.int64)
    different, place = np.unique(values, return_inverse=True)
    together = np.bincount(place, weights)
    return {
        "kind": "empirical",
        "values": different.tolist(),
        "weights": [round(1000.0 * float(weight) / size, 3) for weight in together],
    }


def rank_correlation(first: NDArray[np.int32], second: NDArray[np.int32]) -> float:
    """Correlation of the normal scores of the ranks: what a Gaussian copula needs."""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    if len(first) < 3:
        return 0.0
    one, other = (np.asarray(ndtri(rankdata(values) / (len(values) + 1.0))) for values in (first, second))
    if one.std() == 0.0 or other.std() == 0.0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def _prefixes(table: RequestTable, learned: Learned) -> None:
    """How many prefixes there are, so that as many distinct ones are seen among as many requests; level below level."""
    ids, tokens = table.nesting.chains(table.prefix_id, np.minimum(table.prefix_tokens, table.prompt_tokens))
    depth = (ids >= 0).sum(axis=0)
    above, begin, several = len(table), np.zeros(len(table), np.int64), 1
    levels: list[dict[str, Any]] = []
    for level in range(min(len(ids), _MOST_LEVELS)):
        having = np.flatnonzero(depth > level)
        # The outermost stands in the last row that a request has.
        own, ends = (rows[depth[having] - 1 - level, having] for rows in (ids, tokens))
        uses, distinct = len(having), len(np.unique(own))
        if uses < 0.005 * len(table) or uses == 0:
            break
        if distinct > 0.95 * uses or distinct > _MOST_VARIANTS:
            which = "shared_prefix" if not levels else f"shared_prefix: level {level + 1}"
            learned.notes.append(f"{which}: not learned ({distinct} different ones in {uses} requests)")
            break
        variants = max(round(_variants(distinct, uses) / several), 1)
        levels.append({
            "tokens": max(round(float((ends - begin[having]).mean())), 1),
            "variants": variants,
            "share": round(uses / above, 4),
        })  # fmt: skip
        above, several = uses, several * variants
        begin[having] = ends
    if levels:
        learned.workload["shared_prefix"] = levels[0] if len(levels) == 1 else levels


def _variants(distinct: int, uses: int) -> int:
    """Size v of a pool of which `uses` draws find `distinct`: v (1 - exp(-uses / v)) = distinct."""
    from scipy.optimize import brentq

    def missing(pool: float) -> float:
        return float(pool * -np.expm1(-uses / pool)) - distinct

    if missing(distinct * 1.0001) >= 0 or uses > 20 * distinct:
        return distinct
    return min(round(float(brentq(missing, distinct, 1e3 * uses))), _MOST_VARIANTS)
