"""How well two demands agree: each statistic in blocks of time, its difference held against the blocks' spread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.units import DAY_S, HOUR_S
from simulator.workload.clumping import hourly_dispersion
from simulator.workload.dispersion import dispersion_about, gap_variation
from simulator.workload.fit import expected_demand, rank_correlation
from simulator.workload.hours import Hours, dispersion
from simulator.workload.weeks import Seen, agreement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from simulator.trace.request_table import RequestTable
    from simulator.workload.dispersion import Demand
    from simulator.workload.weeks import HourOfWeek

SCALES_S = {"1 s": 1.0, "10 s": 10.0, "1 min": 60.0, "10 min": 600.0, "1 h": HOUR_S}
_QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
#: Blocks of the shorter one; whole days where that leaves enough.
_BLOCKS, _FEWEST_BLOCKS = 10, 5
_WINDOWS_PER_BLOCK = 8


@dataclass(frozen=True, slots=True)
class Observed:
    """Requests seen over a time; a model is seen several times.

    Attributes:
        table: Requests, arrivals from 0 to `span_s`.
        span_s: Seconds seen.
        begins_s: Seconds from Monday 00:00 to arrival 0; None where unknown.
        learned_from: Of a model, the recording it was learned from; None where it is no model, or that is not at hand.
    """

    table: RequestTable
    span_s: float
    begins_s: float | None
    learned_from: Observed | None = None


@dataclass(frozen=True, slots=True)
class Statistic:
    """One figure of both.

    Attributes:
        name: What it is.
        first: Mean over blocks of the one.
        second: Of the other.
        error: Difference that chance alone exceeds once in twenty times (Welch); None from a single block.
    """

    name: str
    first: float
    second: float
    error: float | None

    @property
    def within(self) -> bool | None:
        """Whether they differ by no more than chance explains."""
        return None if self.error is None else abs(self.first - self.second) <= self.error


@dataclass(frozen=True, slots=True)
class Goodness:
    """Agreement of two demands.

    Attributes:
        block_s: Length of the blocks.
        statistics: In the order of a report.
        distances: Kolmogorov-Smirnov distance of the distributions of prompt tokens, output tokens and gaps.
        hour_of_week: None where they have no two hours in common, or do not say when they begin.
    """

    block_s: float
    statistics: list[Statistic]
    distances: dict[str, float]
    hour_of_week: HourOfWeek | None


def compare(first: Sequence[Observed], second: Sequence[Observed]) -> Goodness:
    """Compare what was seen of one demand with what was seen of another.

    Where it is known what a model was learned from, the chance of that recording counts beside that of its draws.
    """
    lessons = [one.learned_from for one in (first[0], second[0]) if one.learned_from is not None]
    shortest_s = min(one.span_s for one in (*first, *second, *lessons))
    block_s = DAY_S if shortest_s >= _FEWEST_BLOCKS * DAY_S else shortest_s / _BLOCKS
    left, right, *taught = (_by_block(seen, block_s) for seen in (first, second, *([one] for one in lessons)))
    statistics = [
        _welch(name, left[name], right[name], [one[name] for one in taught if name in one])
        for name in left
        if name in right
    ]
    return Goodness(
        block_s, [one for one in statistics if one is not None], _distances(first, second), _weeks(first, second)
    )


def _by_block(seen: Sequence[Observed], block_s: float) -> dict[str, NDArray[np.float64]]:
    """Every statistic of every block; NaN where a block has too little to tell."""
    rows = [row for one in seen for row in _blocks(one, block_s)]
    return {name: np.array([row.get(name, np.nan) for row in rows]) for name in rows[0]} if rows else {}


def _blocks(one: Observed, block_s: float) -> Iterator[dict[str, float]]:
    demand = expected_demand(one.table.arrival_s, one.span_s, one.begins_s)
    before = seen_before(one.table)
    for number in range(int(one.span_s / block_s + 1e-9)):
        begin_s = number * block_s
        low, high = np.searchsorted(one.table.arrival_s, [begin_s, begin_s + block_s])
        rows = slice(int(low), int(high))
        yield _statistics(one.table, rows, begin_s, block_s, demand, before)


def _statistics(
    table: RequestTable, rows: slice, begin_s: float, block_s: float, demand: Demand, before: NDArray[np.int32]
) -> dict[str, float]:
    arrival_s = table.arrival_s[rows] - begin_s
    prompt, output = table.prompt_tokens[rows], table.output_tokens[rows]
    found = {"requests per hour": len(arrival_s) / block_s * HOUR_S}
    # Shorter than the hours of the profile, which follows whatever an hour did.
    longest_s = min(block_s / _WINDOWS_PER_BLOCK, HOUR_S / 3.0 if len(demand.edge_s) > 2 else np.inf)
    scales = {name: scale_s for name, scale_s in SCALES_S.items() if scale_s <= longest_s}
    part = demand.between(begin_s, begin_s + block_s)
    for name, scale_s in scales.items():
        found[f"dispersion of counts, {name}"] = dispersion_about(arrival_s, part, scale_s)
    for name, scale_s in scales.items():
        found[f"variation of gaps, {name}"] = gap_variation(arrival_s, scale_s)
    if len(arrival_s):
        for label, tokens in (("prompt", prompt), ("output", output)):
            found[f"{label} tokens, mean"] = float(tokens.mean())
            found |= {f"{label} tokens, {name}": float(np.quantile(tokens, at)) for name, at in _QUANTILES.items()}
        found["correlation of prompt and output"] = rank_correlation(prompt, output)
        found["prompt tokens seen before"] = float(before[rows].sum() / prompt.sum())
    return found


def seen_before(table: RequestTable) -> NDArray[np.int32]:
    """Of each prompt, the tokens that an earlier request had sent at the beginning of its own, by all they share."""
    ids, tokens = table.nesting.chains(table.prefix_id, np.minimum(table.prefix_tokens, table.prompt_tokens))
    at = np.broadcast_to(np.arange(len(table)), ids.shape)[ids >= 0]
    own, identity = tokens[ids >= 0].astype(np.int64), np.unique(ids[ids >= 0], return_inverse=True)[1]
    order = np.lexsort((at, identity))
    own, identity, at = own[order], identity[order], at[order]
    # The longest so far of each identity: those of the next begin above all of its.
    floor = identity * (np.int64(1) << 32)
    longest = np.maximum.accumulate(floor + own) - floor
    before = np.where(np.diff(identity, prepend=-1) == 0, np.roll(longest, 1), 0)
    found = np.zeros(len(table), np.int64)
    np.maximum.at(found, at, np.minimum(own, before))
    return found.astype(np.int32)


def _welch(
    name: str, left: NDArray[np.float64], right: NDArray[np.float64], taught: Sequence[NDArray[np.float64]]
) -> Statistic | None:
    """Difference of the means of blocks; blocks that taught a model add their mean's variance."""
    from scipy.stats import t

    left, right, *taught = (blocks[np.isfinite(blocks)] for blocks in (left, right, *taught))
    if not (len(left) and len(right)):
        return None
    means, samples = (float(left.mean()), float(right.mean())), (left, right, *taught)
    if any(len(blocks) < 2 for blocks in samples):
        return Statistic(name, *means, None)
    parts = [float(blocks.var(ddof=1)) / len(blocks) for blocks in samples]
    total = sum(parts)
    if total == 0.0:
        return Statistic(name, *means, 0.0)
    freedom = total**2 / sum(part**2 / (len(blocks) - 1) for part, blocks in zip(parts, samples, strict=True))
    return Statistic(name, *means, float(t.ppf(0.975, freedom) * np.sqrt(total)))


def _distances(first: Sequence[Observed], second: Sequence[Observed]) -> dict[str, float]:
    from scipy.stats import ks_2samp

    pick: dict[str, Callable[[RequestTable], NDArray[Any]]] = {
        "prompt tokens": lambda table: table.prompt_tokens,
        "output tokens": lambda table: table.output_tokens,
        "gaps": lambda table: np.diff(table.arrival_s),
    }
    found = {}
    for name, of in pick.items():
        one, other = (np.concatenate([of(each.table) for each in seen]) for seen in (first, second))
        if len(one) and len(other):
            found[name] = float(ks_2samp(one, other, method="asymp").statistic)
    return found


def _week(seen: Sequence[Observed]) -> Seen | None:
    """Hours of the week seen; None where a beginning is unknown."""
    if any(one.begins_s is None for one in seen):
        return None
    hours = Hours.together([Hours.of(one.table.arrival_s, one.span_s, one.begins_s or 0.0) for one in seen])
    clumped = dispersion(hours) or max(hourly_dispersion(one.table.arrival_s, one.span_s) for one in seen)
    lesson = seen[0].learned_from
    return Seen(hours, clumped, None if lesson is None else _week([lesson]))


def _weeks(first: Sequence[Observed], second: Sequence[Observed]) -> HourOfWeek | None:
    one, other = _week(first), _week(second)
    return None if one is None or other is None else agreement(one, other)
