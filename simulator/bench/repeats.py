"""Runs of the same: how far real servers differ among themselves, beside how far a simulation is off."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from simulator.bench.validate import Comparison


@dataclass(frozen=True, slots=True)
class Repeats:
    """What runs of the same measured of a metric, in its unit.

    Attributes:
        runs: How many, two at least.
        lowest: The least.
        median: The middle.
        highest: The greatest.
    """

    runs: int
    lowest: float
    median: float
    highest: float

    def hold(self, value: float) -> bool:
        """Whether a value lies among them."""
        return self.lowest <= value <= self.highest


def repeats_of(row: Comparison, rows: Iterable[Comparison], metric: str) -> Repeats | None:
    """What the rows of the same run measured, the row itself among them; None where it stands alone."""
    same = [other for other in rows if metric in other.metrics() and _run(other) == _run(row)]
    found = [other.stage.measured[metric] for other in same]
    return Repeats(len(found), min(found), median(found), max(found)) if len(found) > 1 else None


def _run(row: Comparison) -> tuple[object, ...]:
    """What rows of the same run agree in.

    The token budget may differ, as prompts that come again leave a block each to compute and no step fills it; so may
    KV blocks, which few sources state.
    """
    served, load = row.experiment, row.stage
    cache = (served.kv_dtype, served.prefix_caching)
    server = (served.model, served.gpu, served.tensor_parallel, served.quantisation, served.vllm_version, *cache)
    requests = (served.kind, served.prompt_tokens, served.output_tokens, served.repeating, served.max_num_seqs)
    return (*server, *requests, load.rate_per_s, load.duration_s, load.requests, load.concurrency, load.starts_up)
