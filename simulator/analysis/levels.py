"""How much of its clusters a run used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.engine.record import ReplicaLevels, RunRecord


@dataclass(frozen=True, slots=True)
class Utilisation:
    """How much of a cluster is used, over the measured time, mean over replicas.

    Attributes:
        busy_fraction: Share of the time in which a step is executing.
        batch_occupancy: Running sequences over `max_num_seqs`.
        kv_occupancy: KV blocks in use over all.
    """

    busy_fraction: float
    batch_occupancy: float
    kv_occupancy: float


def utilisation(record: RunRecord, warm_up_s: float, cluster: str | None = None) -> Utilisation | None:
    """Utilisation of one cluster, or of all together; None without one."""
    levels = tuple(level for level in record.levels if cluster in (None, level.cluster))
    return utilisation_of(levels, record.horizon_s, warm_up_s) if levels else None


def replica_hours(record: RunRecord, warm_up_s: float, cluster: str) -> float | None:
    """Hours after the warm-up for which the replicas of a cluster were paid, all together; None for an API."""
    levels = [level for level in record.levels if level.cluster == cluster]
    if not levels:
        return None
    paid_s = 0.0
    for level in levels:
        starts = np.arange(len(level.busy_s)) * level.interval_s
        lengths = np.minimum(level.interval_s, record.horizon_s - starts)
        weight = np.clip((starts + lengths - warm_up_s) / lengths, 0.0, 1.0)
        paid_s += float((weight * (lengths if level.paid_s is None else level.paid_s)).sum())
    return paid_s / 3600.0


def utilisation_of(levels: tuple[ReplicaLevels, ...], horizon_s: float, warm_up_s: float) -> Utilisation:
    """Utilisation after the warm-up; an interval that the warm-up ends in counts by its share."""
    busy = batch = blocks = 0.0
    for level in levels:
        starts = np.arange(len(level.busy_s)) * level.interval_s
        ends = np.minimum(starts + level.interval_s, horizon_s)
        weight = np.clip((ends - warm_up_s) / (ends - starts), 0.0, 1.0)
        busy += float((weight * level.busy_s).sum())
        batch += float((weight * level.sequence_s).sum()) / level.max_num_seqs
        blocks += float((weight * level.kv_block_s).sum()) / level.kv_blocks
    measured_s = (horizon_s - warm_up_s) * len(levels)
    return Utilisation(busy / measured_s, batch / measured_s, blocks / measured_s)


def summed(record: RunRecord, name: str) -> NDArray[np.float64]:
    """A level summed over replicas, by interval; empty without a cluster."""
    rows = [getattr(level, name) for level in record.levels]
    return np.sum(rows, axis=0) if rows else np.zeros(0)
