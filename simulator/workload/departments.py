"""A workload as the sum of departments that differ in volume, days, lengths and prefix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simulator.workload.arrivals import draw_arrivals

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from simulator.scenario.workloads import SyntheticWorkload
    from simulator.workload.calendar import Cells

    Streams = Callable[[str], np.random.Generator]


def draw_departments(
    workload: SyntheticWorkload, expected: NDArray[np.float64], cells: Cells, rng: Streams
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Arrivals, ascending, and the department of each; a workload without departments is one.

    Each has its own days, swings and bursts; their volumes are lognormal, drawn anew in every replication, and sum to
    what is expected.
    """
    if workload.departments is None:
        arrival_s = draw_arrivals(workload, expected, cells, rng)
        return arrival_s, np.zeros(len(arrival_s), np.int64)
    count = workload.departments.count
    weight = np.exp(workload.departments.share_sigma * rng("departments").standard_normal(count))
    parts = [
        draw_arrivals(workload, expected * share, cells, lambda purpose, of=number: rng(f"{purpose}/{of}"))  # type: ignore[misc]
        for number, share in enumerate(weight / weight.sum())
    ]
    arrival_s = np.concatenate(parts)
    department = np.repeat(np.arange(count), [len(part) for part in parts])
    order = np.argsort(arrival_s, kind="stable")
    return arrival_s[order], department[order]


def scale_lengths(
    workload: SyntheticWorkload,
    prompt: NDArray[np.int32],
    output: NDArray[np.int32],
    department: NDArray[np.int64],
    rng: Streams,
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Token counts times the factor of their department, within the limits of the workload."""
    spread = workload.departments.length_sigma if workload.departments else 0.0
    if workload.departments is None or spread == 0.0:
        return prompt, output
    factor = np.exp(spread * rng("department lengths").standard_normal(workload.departments.count) - 0.5 * spread**2)
    longest = getattr(workload.prompt_tokens, "at_most", np.iinfo(np.int32).max)
    scaled = [
        np.clip(np.rint(tokens * factor[department]), 1, limit).astype(np.int32)
        for tokens, limit in ((prompt, longest), (output, workload.max_tokens))
    ]
    return scaled[0], scaled[1]
