"""Whether a result agrees with itself: figures that are said twice must say the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.gate.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.gate.result_file import Figures, PatternFigures, ResultFile

#: Figures that are means over replications of those listed `by_replication`, to the nine digits that are published.
_MEANS: Final = ("monthly_cost_usd", "ttft_p99_s", "itl_p99_s", "e2e_p99_s", "busy_fraction")
_SLACK: Final = 1e-6
#: Lines of a bill are shown in whole cents.
_CENT: Final = 0.01


def contradictions(side: ResultFile) -> list[str]:
    """Sentences about what a result says in two ways that differ; an edited file, or a bug."""
    return [f"{side.path}: {one}" for pattern in side.result.patterns for one in _of_pattern(pattern)]


def _of_pattern(pattern: PatternFigures) -> Iterator[str]:
    for workload, figures in pattern.by_replication.items():
        part: Figures | None = pattern if workload == "all" else pattern.workloads.get(workload)
        for name in _MEANS:
            values = [value for value in figures.get(name, []) if value is not None]
            said = None if part is None else METRICS[name].pick(part)
            if said is None or not values or len(values) < len(figures[name]):
                continue
            mean = float(np.mean(values))
            if abs(mean - said) > _SLACK * max(abs(mean), abs(said)):
                yield f"{name} of {pattern.name} ({workload}) is {said:.9g}, but {mean:.9g} in the mean by_replication"
    cost, lines = pattern.monthly_cost_usd, pattern.cost_lines_usd
    if cost is not None and lines:
        total = sum(lines.values())
        if abs(total - cost.mean) > _CENT * len(lines) + _SLACK * abs(cost.mean):
            yield f"monthly_cost_usd of {pattern.name} is {cost.mean:.9g}, but its lines add up to {total:.9g}"
