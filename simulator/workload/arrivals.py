"""When requests arrive, given how many are expected in each cell of the calendar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simulator.errors import SimulatorError
from simulator.extensions import find
from simulator.scenario.arrivals import AtOnceArrivals, BatchArrivals, CustomArrivals, OnOffArrivals, PoissonArrivals
from simulator.units import HOUR_S, MINUTE_S
from simulator.workload.batches import draw_batches
from simulator.workload.trains import draw_trains

if TYPE_CHECKING:
    from simulator.scenario.arrivals import RateVariation, Slots
    from simulator.scenario.workloads import SyntheticWorkload
    from simulator.workload.calendar import Cells


def day_multipliers(sigma: float, days: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Lognormal day multipliers with mean 1: the day-to-day variation that Kim & Whitt 2014 find beside Poisson."""
    return np.asarray(np.exp(sigma * rng.standard_normal(days) - 0.5 * sigma * sigma))


def _spread(counts: NDArray[np.int64], cells: Cells, rng: np.random.Generator) -> NDArray[np.float64]:
    """Uniform moments within the cells."""
    start_s, length_s = np.repeat(cells.start_s, counts), np.repeat(cells.length_s, counts)
    return np.asarray(start_s + length_s * rng.random(len(start_s)))


def _poisson(
    expected: NDArray[np.float64], cells: Cells, arrivals: PoissonArrivals, rng: np.random.Generator
) -> Iterator[NDArray[np.float64]]:
    """Poisson bursts of geometric size; one request each when their mean is 1."""
    for rows, stretch in cells.stretches():
        yield _bursts(expected[rows], stretch, arrivals, rng)


def _bursts(
    expected: NDArray[np.float64], cells: Cells, arrivals: PoissonArrivals, rng: np.random.Generator
) -> NDArray[np.float64]:
    heads_s = _spread(rng.poisson(expected / arrivals.burst_mean), cells, rng)
    if arrivals.slots is not None:
        heads_s = _at_slots(heads_s, cells, arrivals.slots, rng)
    if arrivals.burst_mean == 1.0:
        return heads_s
    sizes = rng.geometric(1.0 / arrivals.burst_mean, len(heads_s))
    gaps_s = rng.exponential(arrivals.burst_spacing, int(sizes.sum()))
    first = np.cumsum(sizes) - sizes
    gaps_s[first] = 0.0
    since_start = np.cumsum(gaps_s)
    return np.asarray(np.repeat(heads_s - since_start[first], sizes) + since_start)


def _at_slots(
    heads_s: NDArray[np.float64], cells: Cells, slots: Slots, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Moved to about a slot of their own local hour, so that every hour keeps its number.

    What would fall before the full hour falls before the next one instead.
    """
    cell = np.searchsorted(cells.start_s, heads_s, side="right") - 1
    into_hour_s = (cells.wall_s[cell] + heads_s - cells.start_s[cell]) % HOUR_S
    slot_s = MINUTE_S * np.array(slots.minutes, np.float64)[rng.integers(0, len(slots.minutes), len(heads_s))]
    wanted_s = (slot_s + slots.spread * rng.uniform(-1.0, 1.0, len(heads_s))) % HOUR_S
    moved_s = heads_s - into_hour_s + wanted_s
    # A horizon may begin or end within an hour.
    inside = (moved_s >= cells.start_s[0]) & (moved_s < cells.end_s)
    return np.where(inside, moved_s, heads_s)


def _varied(
    expected: NDArray[np.float64], cells: Cells, variation: RateVariation, rng: np.random.Generator
) -> tuple[NDArray[np.float64], Cells]:
    """Cells of at most a quarter of the time constant, each multiplied by its own draw of the swinging rate."""
    parts = np.maximum(np.ceil(4.0 * cells.length_s / variation.time_constant), 1.0).astype(np.int64)
    of = np.repeat(np.arange(len(parts)), parts)
    length_s = (cells.length_s / parts)[of]
    start_s = cells.start_s[of] + length_s * (np.arange(len(of)) - np.repeat(np.cumsum(parts) - parts, parts))
    fine = replace(
        cells,
        start_s=start_s,
        length_s=length_s,
        wall_s=cells.wall_s[of] + start_s - cells.start_s[of],
        weekday=cells.weekday[of],
        hour=cells.hour[of],
        day=cells.day[of],
    )
    keep = np.exp(-np.diff(start_s, prepend=start_s[0]) / variation.time_constant)
    # x[i] = keep[i] x[i-1] + sqrt(1 - keep[i]^2) z[i] with x of variance 1 throughout.
    level, levels = 0.0, np.empty(len(of))
    for number, (k, z) in enumerate(zip(keep.tolist(), rng.standard_normal(len(of)).tolist(), strict=True)):
        level = k * level + (1.0 - k * k) ** 0.5 * z if number else z
        levels[number] = level
    swing = np.exp(variation.sigma * levels - 0.5 * variation.sigma**2)
    return (expected / parts)[of] * swing, fine


def _at_once(
    expected: NDArray[np.float64], cells: Cells, _arrivals: AtOnceArrivals, _rng: np.random.Generator
) -> Iterator[NDArray[np.float64]]:
    """As many as are expected, when the horizon begins."""
    for number, _ in enumerate(cells.stretches()):
        yield np.zeros(0 if number else round(float(expected.sum())))


def _custom(
    expected: NDArray[np.float64], cells: Cells, arrivals: CustomArrivals, rng: np.random.Generator
) -> Iterator[NDArray[np.float64]]:
    """What the process of that name draws for each stretch; it may run on into the next one, as a burst may."""
    draw = find("arrivals", arrivals.name)
    for rows, stretch in cells.stretches():
        found = np.array(draw(expected[rows], stretch.start_s, stretch.length_s, rng, **arrivals.options), np.float64)
        if found.ndim != 1 or not np.isfinite(found).all() or (found < stretch.start_s[0]).any():
            raise SimulatorError(
                f"the arrival process '{arrivals.name}' must give moments, in seconds, from {stretch.start_s[0]:g} on"
            )
        yield found


_DRAW: dict[type, Callable[..., Iterator[NDArray[np.float64]]]] = {
    PoissonArrivals: _poisson,
    BatchArrivals: draw_batches,
    OnOffArrivals: draw_trains,
    AtOnceArrivals: _at_once,
    CustomArrivals: _custom,
}


def draw_arrivals(
    workload: SyntheticWorkload,
    expected: NDArray[np.float64],
    cells: Cells,
    rng: Callable[[str], np.random.Generator],
) -> Iterator[NDArray[np.float64]]:
    """Arrival times of what begins in each stretch of the calendar, ascending, in seconds since the horizon's start.

    A burst may run on into the next stretch; what is beyond the end of the horizon is dropped.

    Args:
        workload: Its arrivals and variation.
        expected: Expected requests per cell.
        cells: The calendar.
        rng: Random streams by purpose: `days`, `rate`, `arrivals`.

    Raises:
        ScenarioError: Clients cannot send as much as they should.
    """
    expected = expected * day_multipliers(workload.day_variation, len(cells.days), rng("days"))[cells.day]
    if workload.rate_variation is not None:
        expected, cells = _varied(expected, cells, workload.rate_variation, rng("rate"))
    for arrival_s in _DRAW[type(workload.arrivals)](expected, cells, workload.arrivals, rng("arrivals")):
        arrival_s.sort()
        yield arrival_s[: np.searchsorted(arrival_s, cells.end_s)]
