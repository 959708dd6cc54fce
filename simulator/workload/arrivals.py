"""When requests arrive, given how many are expected in each cell of the calendar."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simulator.scenario.workloads import PoissonArrivals

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.scenario.workloads import BatchArrivals, SyntheticWorkload
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
) -> NDArray[np.float64]:
    """Poisson bursts of geometric size; one request each when their mean is 1."""
    heads_s = _spread(rng.poisson(expected / arrivals.burst_mean), cells, rng)
    if arrivals.burst_mean == 1.0:
        return heads_s
    sizes = rng.geometric(1.0 / arrivals.burst_mean, len(heads_s))
    gaps_s = rng.exponential(arrivals.burst_spacing, int(sizes.sum()))
    first = np.cumsum(sizes) - sizes
    gaps_s[first] = 0.0
    since_start = np.cumsum(gaps_s)
    return np.asarray(np.repeat(heads_s - since_start[first], sizes) + since_start)


def _batches(
    expected: NDArray[np.float64], cells: Cells, arrivals: BatchArrivals, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Releases at the start of each active span and every so often within it, sized by the demand until the next."""
    end_s = float(cells.start_s[-1] + cells.length_s[-1])
    active = np.concatenate([[False], expected > 0, [False]])
    bounds_s = np.append(cells.start_s, end_s)
    spans = zip(bounds_s[active[1:] & ~active[:-1]], bounds_s[~active[1:] & active[:-1]], strict=True)
    edges = np.concatenate([*(np.arange(start_s, stop_s, arrivals.every) for start_s, stop_s in spans), [end_s]])
    until = np.concatenate([[0.0], np.cumsum(expected)])
    at_edges = np.interp(edges, np.append(cells.start_s, end_s), until)
    due = np.diff(at_edges)
    sigma = arrivals.size_sigma
    noise = np.exp(sigma * rng.standard_normal(len(due)) - 0.5 * sigma * sigma)
    sizes = rng.poisson(due * noise)
    first = np.cumsum(sizes) - sizes
    place = np.arange(int(sizes.sum())) - np.repeat(first, sizes)
    return np.asarray(np.repeat(edges[:-1], sizes) + arrivals.spacing * place)


def draw_arrivals(
    workload: SyntheticWorkload,
    expected: NDArray[np.float64],
    cells: Cells,
    day_rng: np.random.Generator,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Arrival times in seconds since the start of the horizon, ascending; those beyond its end are dropped.

    Args:
        workload: Its arrivals and day-to-day variation.
        expected: Expected requests per cell.
        cells: The calendar.
        day_rng: Stream of the day multipliers.
        rng: Stream of the arrivals.
    """
    expected = expected * day_multipliers(workload.day_variation, len(cells.days), day_rng)[cells.day]
    draw = _poisson if isinstance(workload.arrivals, PoissonArrivals) else _batches
    arrival_s = np.sort(draw(expected, cells, workload.arrivals, rng))  # type: ignore[arg-type]
    return np.asarray(arrival_s[arrival_s < cells.start_s[-1] + cells.length_s[-1]])
