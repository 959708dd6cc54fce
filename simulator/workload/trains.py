"""Requests a program sends in trains, with silence between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simulator.errors import Fault, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from simulator.scenario.arrivals import OnOffArrivals
    from simulator.workload.calendar import Cells


def draw_trains(
    expected: NDArray[np.float64], cells: Cells, arrivals: OnOffArrivals, rng: np.random.Generator
) -> Iterator[NDArray[np.float64]]:
    """The trains of all clients that begin in each stretch of the calendar; see `_trains_of_one`.

    Raises:
        ScenarioError: A client would have to send faster than it can.
    """
    share = expected / arrivals.clients
    most_per_s = float((share / cells.length_s).max())
    if most_per_s * arrivals.gap >= 1.0:
        message = (
            f"on_off: at the peak {most_per_s:.3g} requests a second fall to each client, which sends at most "
            f"{1.0 / arrivals.gap:.3g} (1 / gap); give more clients or a shorter gap"
        )
        raise ScenarioError([Fault("scenario", 0, "workloads", message)])
    clients = [_trains_of_one(share, cells, arrivals, rng) for _ in range(arrivals.clients)]
    for trains in zip(*clients, strict=True):
        yield np.concatenate(trains)


def _trains_of_one(
    expected: NDArray[np.float64], cells: Cells, arrivals: OnOffArrivals, rng: np.random.Generator
) -> Iterator[NDArray[np.float64]]:
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
    heads_s = np.interp(heads, until, np.append(cells.start_s, cells.end_s))
    sizes = rng.geometric(1.0 / mean, len(heads_s))
    over_s = -np.inf
    for _, stretch in cells.stretches():
        some = slice(*np.searchsorted(heads_s, [stretch.start_s[0], stretch.end_s]))
        sent_s, over_s = _one_after_another(heads_s[some], sizes[some], over_s, arrivals, rng)
        yield sent_s


def _one_after_another(
    heads_s: NDArray[np.float64],
    sizes: NDArray[np.int64],
    over_s: float,
    arrivals: OnOffArrivals,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], float]:
    """Requests of trains that are due at these moments, the one before them over at `over_s`; when the last one is."""
    if not len(heads_s):
        return np.zeros(0), over_s
    spread = arrivals.gap_variation**2
    gaps_s = rng.gamma(1.0 / spread, arrivals.gap * spread, int(sizes.sum()))
    first = np.cumsum(sizes) - sizes
    lasts_s = np.add.reduceat(gaps_s, first)
    # A train starts when it is due and its predecessor is over: as a customer of a queue with one server.
    ahead_s = np.cumsum(lasts_s) - lasts_s
    starts_s = np.maximum.accumulate(np.maximum(heads_s - ahead_s, over_s)) + ahead_s
    since_s = np.cumsum(gaps_s)
    return np.repeat(starts_s - since_s[first], sizes) + since_s, float(starts_s[-1] + lasts_s[-1])
