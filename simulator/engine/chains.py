"""What became of chains of workloads, from what became of their requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simulator.engine.record import ChainLog, Outcome

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.engine.record import RequestLog
    from simulator.trace.request_table import RequestTable


def chains_of(table: RequestTable, log: RequestLog, sent: NDArray[np.intp], clusters: int) -> ChainLog | None:
    """The chains of a run that is over.

    Args:
        table: All requests, those that were never sent included.
        log: What became of them.
        sent: Rows of those that were sent.
        clusters: How many of the backends are clusters; the others are APIs.

    Returns:
        None where no workload follows another.
    """
    if table.links is None:
        return None
    after, was_sent = table.links.after, np.zeros(len(table), np.bool_)
    was_sent[sent] = True
    # The next turn of a conversation begins a chain of its own.
    follows = (after >= 0) & (table.workload != table.workload[after])
    if not follows.any():
        return None
    begun_s = np.where(was_sent, table.arrival_s, np.nan)
    outcome, ended_in = log.outcome.copy(), table.workload.copy()
    answered_by_api = was_sent & (log.outcome == Outcome.COMPLETED) & (log.backend >= clusters)
    by_api_s = np.where(answered_by_api, log.last_token_s - log.scheduled_s, np.nan)
    known, left = ~follows, np.flatnonzero(follows)
    while len(left):
        # Their parents are known: one workload further down the chain each time.
        ready = left[known[after[left]]]
        parent, never = after[ready], ready[~was_sent[ready]]
        begun_s[ready] = begun_s[parent]
        by_api_s[ready] += by_api_s[parent]
        before = after[never]
        outcome[never] = np.where(outcome[before] == Outcome.COMPLETED, Outcome.UNFINISHED, outcome[before])
        ended_in[never] = ended_in[before]
        known[ready] = True
        left = left[~known[left]]
    rows = np.flatnonzero(follows & ~np.isnan(begun_s))
    rows = rows[np.argsort(begun_s[rows], kind="stable")]
    completed = outcome[rows] == Outcome.COMPLETED
    return ChainLog(
        workload=table.workload[rows],
        begun_s=begun_s[rows],
        ended_s=np.where(completed, log.last_token_s[rows], np.nan),
        outcome=outcome[rows],
        ended_in=ended_in[rows],
        by_api_s=np.where(completed, by_api_s[rows], np.nan),
    )
