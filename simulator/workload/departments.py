"""A workload as the sum of departments that differ in volume, days, lengths and prefix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simulator.workload.arrivals import draw_arrivals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from simulator.scenario.workloads import SyntheticWorkload
    from simulator.workload.calendar import Cells

    Streams = Callable[[str], np.random.Generator]


def draw_departments(
    workload: SyntheticWorkload, expected: NDArray[np.float64], cells: Cells, rng: Streams
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.int64]]]:
    """Arrivals of what begins in each stretch of the calendar, ascending, and the department of each.

    A workload without departments is one.

    Each has its own days, swings and bursts; their volumes are lognormal, drawn anew in every replication, and sum to
    what is expected.
    """
    if workload.departments is None:
        for arrival_s in draw_arrivals(workload, expected, cells, rng):
            yield arrival_s, np.zeros(len(arrival_s), np.int64)
        return
    count = workload.departments.count
    weight = np.exp(workload.departments.share_sigma * rng("departments").standard_normal(count))
    departments = [
        draw_arrivals(workload, expected * share, cells, lambda purpose, of=number: rng(f"{purpose}/{of}"))  # type: ignore[misc]
        for number, share in enumerate(weight / weight.sum())
    ]
    for parts in zip(*departments, strict=True):
        arrival_s = np.concatenate(parts)
        department = np.repeat(np.arange(count), [len(part) for part in parts])
        order = np.argsort(arrival_s, kind="stable")
        yield arrival_s[order], department[order]


def length_spread(workload: SyntheticWorkload) -> float:
    """Log standard deviation of how much longer the requests of a department are than those of others."""
    return workload.departments.length_sigma if workload.departments else 0.0


def length_factors(workload: SyntheticWorkload, rng: Streams) -> NDArray[np.float64] | None:
    """By department, how much longer its requests are than others, of mean 1; None where all are alike."""
    spread = length_spread(workload)
    if workload.departments is None or spread == 0.0:
        return None
    return np.asarray(
        np.exp(spread * rng("department lengths").standard_normal(workload.departments.count) - 0.5 * spread**2)
    )
