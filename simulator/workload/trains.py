"""Requests a program sends in trains, with silence between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simulator.errors import Fault, ScenarioError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.scenario.arrivals import OnOffArrivals
    from simulator.workload.calendar import Cells


def draw_trains(
    expected: NDArray[np.float64], cells: Cells, arrivals: OnOffArrivals, rng: np.random.Generator
) -> NDArray[np.float64]:
    """The trains of all clients; see `_trains_of_one`.

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
    spread = arrivals.gap_variation**2
    gaps_s = rng.gamma(1.0 / spread, arrivals.gap * spread, int(sizes.sum()))
    first = np.cumsum(sizes) - sizes
    lasts_s = np.add.reduceat(gaps_s, first) if len(first) else gaps_s
    # A train starts when it is due and its predecessor is over: as a customer of a queue with one server.
    ahead_s = np.cumsum(lasts_s) - lasts_s
    starts_s = np.maximum.accumulate(heads_s - ahead_s) + ahead_s
    since_s = np.cumsum(gaps_s)
    return np.asarray(np.repeat(starts_s - since_s[first] if len(first) else starts_s, sizes) + since_s)
