"""When requests arrive, given how many are expected in each cell of the calendar."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simulator.errors import Fault, ScenarioError
from simulator.scenario.workloads import BatchArrivals, OnOffArrivals, PoissonArrivals

if TYPE_CHECKING:
    from simulator.scenario.workloads import RateVariation, SyntheticWorkload
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


def _trains(
    expected: NDArray[np.float64], cells: Cells, arrivals: OnOffArrivals, rng: np.random.Generator
) -> NDArray[np.float64]:
    """The trains of all clients; see `_trains_of_one`."""
    share = expected / arrivals.clients
    most_per_s = float((share / cells.length_s).max())
    if most_per_s * arrivals.gap >= 1.0:
        message = (
            f"on_off: at the peak {most_per_s:.3g} requests a second fall to each client, which sends at most "
            f"{1.0 / arrivals.gap:.3g} (1 / gap); give more clients or a shorter gap"
        )
        raise ScenarioError([Fault("scenario", 0, "workloads", message)])
    return np.concatenate([_trains_of_one(share, cells, arrivals, rng) for _ in range(arrivals.clients)])


def _trains_of_one(
    expected: NDArray[np.float64], cells: Cells, arrivals: OnOffArrivals, rng: np.random.Generator
) -> NDArray[np.float64]:
    """A stationary renewal process of trains in demand (expected requests so far) rather than in time.

    Demand `train_mean` gathers between two starts on average, so the profile's volume is kept; a train that would
    start during the one before waits for its end.
    """
    until = np.concatenate([[0.0], np.cumsum(expected)])
    mean, sigma = arrivals.train_mean, arrivals.idle_sigma
    # The first interval is the one that happens to cover the beginning: longer than most, and part of it is over.
    heads = mean * np.exp(sigma * rng.standard_normal(1) + 0.5 * sigma * sigma) * rng.random()
    while heads[-1] < until[-1]:
        more = int(1.1 * (until[-1] - heads[-1]) / mean) + 10
        gathered = mean * np.exp(sigma * rng.standard_normal(more) - 0.5 * sigma * sigma)
        heads = np.concatenate([heads, heads[-1] + np.cumsum(gathered)])
    heads = heads[heads < until[-1]]
    heads_s = np.interp(heads, until, np.append(cells.start_s, cells.start_s[-1] + cells.length_s[-1]))
    sizes = rng.geometric(1.0 / mean, len(heads_s))
    gaps_s = rng.exponential(arrivals.gap, int(sizes.sum()))
    first = np.cumsum(sizes) - sizes
    lasts_s = np.add.reduceat(gaps_s, first) if len(first) else gaps_s
    # A train starts when it is due and its predecessor is over: as a customer of a queue with one server.
    ahead_s = np.cumsum(lasts_s) - lasts_s
    starts_s = np.maximum.accumulate(heads_s - ahead_s) + ahead_s
    since_s = np.cumsum(gaps_s)
    return np.asarray(np.repeat(starts_s - since_s[first] if len(first) else starts_s, sizes) + since_s)


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


_DRAW: dict[type, Callable[..., NDArray[np.float64]]] = {
    PoissonArrivals: _poisson,
    BatchArrivals: _batches,
    OnOffArrivals: _trains,
}


def draw_arrivals(
    workload: SyntheticWorkload,
    expected: NDArray[np.float64],
    cells: Cells,
    rng: Callable[[str], np.random.Generator],
) -> NDArray[np.float64]:
    """Arrival times in seconds since the start of the horizon, ascending; those beyond its end are dropped.

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
    arrival_s = np.sort(_DRAW[type(workload.arrivals)](expected, cells, workload.arrivals, rng("arrivals")))
    return np.asarray(arrival_s[arrival_s < cells.start_s[-1] + cells.length_s[-1]])
