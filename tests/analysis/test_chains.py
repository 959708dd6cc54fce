"""Chains counted by how and where they ended, by hand and beside a loop."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from simulator.analysis.chains import ChainCounts, count_chains
from simulator.engine.record import ChainLog, Outcome

WORKLOADS = ("scribe", "letter", "coding")
ends = st.tuples(st.sampled_from(Outcome), st.integers(0, 2), st.booleans())


def counted(rows):
    """Of rows of an outcome, the workload it is of, and whether it counts."""
    outcome, ended_in, chosen = zip(*rows, strict=True)
    nothing = np.zeros(len(rows))
    log = ChainLog(
        workload=nothing.astype(np.int16),
        begun_s=nothing,
        ended_s=nothing,
        outcome=np.array(outcome, np.int8),
        ended_in=np.array(ended_in, np.int16),
        by_api_s=nothing,
    )
    return count_chains(log, np.array(chosen, np.bool_), WORKLOADS)


def test_each_chain_ends_once_and_a_failed_one_in_the_workload_that_failed():
    rows = [
        *[(Outcome.COMPLETED, 2, True)] * 5,
        *[(Outcome.UNFINISHED, 1, True)] * 3,
        *[(Outcome.REJECTED, 1, True)] * 2,
        (Outcome.TIMED_OUT, 2, True),
        (Outcome.CANCELLED, 2, True),
        *[(Outcome.REJECTED, 0, False)] * 7,
        *[(Outcome.COMPLETED, 2, False)] * 4,
    ]
    assert counted(rows) == ChainCounts(begun=12, completed=5, unfinished=3, ended_in={"letter": 2, "coding": 2})


@given(st.lists(ends, min_size=1, max_size=40))
def test_law_they_add_up_to_those_that_began(rows):
    found, failed = counted(rows), {Outcome.REJECTED, Outcome.TIMED_OUT, Outcome.CANCELLED}
    assert found.begun == sum(chosen for _, _, chosen in rows)
    assert found.completed + found.unfinished + sum(found.ended_in.values()) == found.begun
    for number, name in enumerate(WORKLOADS):
        here = [outcome for outcome, ended_in, chosen in rows if chosen and ended_in == number]
        assert found.ended_in.get(name, 0) == sum(outcome in failed for outcome in here)
    assert 0 not in found.ended_in.values()
