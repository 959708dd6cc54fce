"""Counts of requests and tokens, beside the same counted one by one."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from simulator.analysis.tally import BACKEND, FAILOVER, LOST, OUTCOME, WORKLOAD, Tally, by, tally
from simulator.engine.record import Outcome, Reason, RequestLog
from tests.engine.demand import table

BACKENDS = 2
request = st.fixed_dictionaries(
    {
        "workload": st.integers(0, 2),
        "backend": st.integers(-1, BACKENDS - 1),
        "outcome": st.sampled_from(list(Outcome)),
        "failover": st.sampled_from(list(Reason)),
        "lost": st.sampled_from(list(Reason)),
        "attempts": st.integers(0, 3),
        "prompt": st.integers(1, 2**20),
        "output": st.integers(1, 2**20),
        "thinking": st.integers(0, 2**21),
        "cached_tokens": st.integers(0, 2**20),
        "billed_prompt_tokens": st.integers(0, 2),
        "billed_output_tokens": st.integers(0, 2**20),
        "written_tokens": st.integers(0, 2**20),
        "wasted_tokens": st.integers(0, 2**20),
    }
)
LOGGED = (
    "backend", "outcome", "failover", "lost", "attempts", "cached_tokens", "billed_prompt_tokens",
    "billed_output_tokens", "wasted_tokens", "written_tokens",
)  # fmt: skip


def counted(rows):
    def column(name):
        return [row[name] for row in rows]

    demand = table(
        np.zeros(len(rows)), column("prompt"), column("output"), workload=column("workload"), workloads=("a", "b", "c")
    )
    demand.thinking_tokens[:] = np.minimum(column("thinking"), demand.output_tokens)
    log = RequestLog.empty(len(rows))
    for name in LOGGED:
        getattr(log, name)[:] = column(name)
    return tally(demand, log, 3, BACKENDS)


WORTH = {
    "requests": lambda row: 1,
    "repeated": lambda row: row["attempts"] > 1,
    "prompt_tokens": lambda row: row["prompt"],
    "cached_tokens": lambda row: row["cached_tokens"],
    "output_tokens": lambda row: row["output"],
    "thinking_tokens": lambda row: min(row["thinking"], row["output"]),
    "unanswered": lambda row: row["thinking"] >= row["output"],
    "billed_prompt_tokens": lambda row: row["billed_prompt_tokens"],
    # An API that charges for no prompt has no price for a cached one.
    "billed_cached_tokens": lambda row: row["cached_tokens"] if row["billed_prompt_tokens"] else 0,
    "billed_output_tokens": lambda row: row["billed_output_tokens"],
    "billed_written_tokens": lambda row: row["written_tokens"] if row["billed_prompt_tokens"] else 0,
    "wasted_tokens": lambda row: row["wasted_tokens"],
}


@given(st.lists(request, max_size=40))
def test_law_each_request_stands_at_its_place_with_all_that_it_has(rows):
    found = counted(rows)
    assert set(WORTH) == {field.name for field in fields(Tally)}
    for name, worth in WORTH.items():
        counts = Counter()
        for row in rows:
            # Nobody's requests stand behind those of the last backend.
            at = row["backend"] if row["backend"] >= 0 else BACKENDS
            counts[row["workload"], at, int(row["outcome"]), int(row["failover"]), int(row["lost"])] += worth(row)
        got = getattr(found, name)
        assert {tuple(place): got[tuple(place)] for place in np.argwhere(got)} == {
            place: count for place, count in counts.items() if count
        }, name


@given(st.lists(request, max_size=40), st.integers(0, 40))
def test_law_parts_add_up_to_the_whole(rows, cut):
    whole, parts = counted(rows), counted(rows[:cut]) + counted(rows[cut:])
    for field in fields(Tally):
        np.testing.assert_array_equal(getattr(whole, field.name), getattr(parts, field.name))


@given(st.lists(request, max_size=40), st.sets(st.sampled_from(list(Outcome)), min_size=1))
def test_law_a_choice_along_an_axis_is_that_of_the_rows(rows, outcomes):
    chosen = counted(rows).of(OUTCOME, *sorted(outcomes))
    again = counted([row for row in rows if row["outcome"] in outcomes])
    for axis in (WORKLOAD, BACKEND, FAILOVER, LOST):
        assert by(axis, chosen.output_tokens) == by(axis, again.output_tokens)
    assert sum(by(OUTCOME, chosen.requests)) == sum(row["outcome"] in outcomes for row in rows)
