"""Time-weighted levels of a replica, integrated in equal intervals of the horizon.

They hold from one change to the next; memory grows with the horizon, not with traffic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.engine.vllm.compiled import compiled

if TYPE_CHECKING:
    from simulator.engine.vllm.state import State

INTERVAL_S = 3600.0


@compiled
def hold(s: State, r: int, until_s: float, sequences: int, waiting: int, kv_blocks: float) -> None:
    """Record levels that held since the last call."""
    rep = s.replicas[r]
    until_s = min(until_s, s.settings[0].horizon_s)
    while until_s > rep.hour_ends_s:
        _add(s, r, rep.hour_ends_s, sequences, waiting, kv_blocks)
        rep.hour += 1
        rep.hour_ends_s += INTERVAL_S
    _add(s, r, until_s, sequences, waiting, kv_blocks)


@compiled
def _add(s: State, r: int, until_s: float, sequences: int, waiting: int, kv_blocks: float) -> None:
    rep = s.replicas[r]
    held_s = until_s - rep.held_since_s
    rep.held_since_s = until_s
    if sequences or waiting:
        level = s.levels[r, rep.hour]
        level.sequence_s += sequences * held_s
        level.waiting_s += waiting * held_s
        level.kv_block_s += kv_blocks * held_s


@compiled
def busy(s: State, r: int, start_s: float, end_s: float) -> None:
    """Record that steps were executing from start to end."""
    end_s = min(end_s, s.settings[0].horizon_s)
    while start_s < end_s:
        hour = int(start_s / INTERVAL_S)
        cut_s = min(end_s, (hour + 1) * INTERVAL_S)
        s.levels[r, hour].busy_s += cut_s - start_s
        start_s = cut_s


@compiled
def waited(s: State, r: int, since_s: float, until_s: float) -> None:
    """Add the wait of one request that was not part of the levels held."""
    hour = min(int(until_s / INTERVAL_S), s.settings[0].hours - 1)
    s.levels[r, hour].waiting_s += until_s - since_s
