"""Requests released in batches, sent at a steady pace or as a client with a few of them open at a time gets to them."""

from __future__ import annotations

from heapq import heapreplace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from simulator.scenario.arrivals import BatchArrivals, BatchClient
    from simulator.workload.calendar import Cells


def draw_batches(
    expected: NDArray[np.float64], cells: Cells, arrivals: BatchArrivals, rng: np.random.Generator
) -> Iterator[NDArray[np.float64]]:
    """Releases at the start of each active span and every so often within it, sized by the demand until the next.

    What is released in each stretch of the calendar.
    """
    end_s = cells.end_s
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
    free_s = [-np.inf] * (arrivals.client.concurrency if arrivals.client else 0)
    for _, stretch in cells.stretches():
        some = slice(*np.searchsorted(edges[:-1], [stretch.start_s[0], stretch.end_s]))
        if arrivals.client is not None:
            yield _worked_off(edges[some], sizes[some], arrivals.client, free_s, rng)
            continue
        first = np.cumsum(sizes[some]) - sizes[some]
        place = np.arange(int(sizes[some].sum())) - np.repeat(first, sizes[some])
        yield np.asarray(np.repeat(edges[some], sizes[some]) + arrivals.spacing * place)


def _worked_off(
    released_s: NDArray[np.float64],
    sizes: NDArray[np.int64],
    client: BatchClient,
    free_s: list[float],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """When a client sends that keeps at most so many requests open, each answered after a drawn time.

    An approximation of a closed loop: the times to answer are assumed, not those that the simulation finds. What is
    left of one batch when the next is released is worked off first. `free_s`, when each of its places is free, is
    kept up to date.
    """
    answers_s = client.answer * np.exp(
        client.answer_sigma * rng.standard_normal(int(sizes.sum())) - 0.5 * client.answer_sigma**2
    )
    sent_s = np.empty(len(answers_s))
    due_s = np.repeat(released_s, sizes)
    for number, (due, answer) in enumerate(zip(due_s.tolist(), answers_s.tolist(), strict=True)):
        start_s = max(due, free_s[0])
        sent_s[number] = start_s
        heapreplace(free_s, start_s + answer)
    return sent_s
