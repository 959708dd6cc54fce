"""Time-weighted levels of a replica, integrated in equal intervals of the horizon."""

from __future__ import annotations

import math

import numpy as np

from simulator.engine.record import ReplicaLevels

INTERVAL_S = 3600.0


class LevelMeter:
    """Integrates levels that hold from one change to the next; memory grows with the horizon, not with traffic."""

    __slots__ = ("_busy", "_edge_s", "_horizon_s", "_index", "_kv_blocks", "_sequences", "_since_s", "_waiting")

    def __init__(self, horizon_s: float) -> None:
        bins = max(1, math.ceil(horizon_s / INTERVAL_S))
        self._horizon_s = horizon_s
        self._since_s = 0.0
        self._index = 0
        self._edge_s = INTERVAL_S
        self._busy = [0.0] * bins
        self._sequences = [0.0] * bins
        self._waiting = [0.0] * bins
        self._kv_blocks = [0.0] * bins

    def hold(self, until_s: float, sequences: int, waiting: int, kv_blocks: float) -> None:
        """Record levels that held since the last call."""
        if until_s > self._horizon_s:
            until_s = self._horizon_s
        while until_s > self._edge_s:
            self._add(self._edge_s, sequences, waiting, kv_blocks)
            self._index += 1
            self._edge_s += INTERVAL_S
        self._add(until_s, sequences, waiting, kv_blocks)

    def _add(self, until_s: float, sequences: int, waiting: int, kv_blocks: float) -> None:
        held_s = until_s - self._since_s
        self._since_s = until_s
        if sequences or waiting:
            index = self._index
            self._sequences[index] += sequences * held_s
            self._waiting[index] += waiting * held_s
            self._kv_blocks[index] += kv_blocks * held_s

    def busy(self, start_s: float, end_s: float) -> None:
        """Record that steps were executing from start to end."""
        if start_s >= self._horizon_s:
            # The step behind the one that crosses the horizon.
            return
        index = int(start_s / INTERVAL_S)
        if end_s <= (index + 1) * INTERVAL_S and end_s <= self._horizon_s:
            self._busy[index] += end_s - start_s
            return
        end_s = min(end_s, self._horizon_s)
        while start_s < end_s:
            index = int(start_s / INTERVAL_S)
            cut_s = min(end_s, (index + 1) * INTERVAL_S)
            self._busy[index] += cut_s - start_s
            start_s = cut_s

    def waited(self, since_s: float, until_s: float) -> None:
        """Add the wait of one request that was not part of the levels held."""
        self._waiting[min(int(until_s / INTERVAL_S), len(self._waiting) - 1)] += until_s - since_s

    def levels(self, *, steps: int, preemptions: int, kv_blocks: int, max_num_seqs: int) -> ReplicaLevels:
        """Close the record."""
        return ReplicaLevels(
            interval_s=INTERVAL_S,
            busy_s=np.array(self._busy),
            sequence_s=np.array(self._sequences),
            waiting_s=np.array(self._waiting),
            kv_block_s=np.array(self._kv_blocks),
            steps=steps,
            preemptions=preemptions,
            kv_blocks=kv_blocks,
            max_num_seqs=max_num_seqs,
        )
