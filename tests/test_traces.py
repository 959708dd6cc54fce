"""The shipped traces are what their command makes."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np

import simulator
from simulator.workload.request import RequestTable
from simulator.workload.synthesis import synthesise
from simulator.workload.trace import read_trace

ROOT = Path(__file__).parents[1]


def test_the_week_of_a_clinic_is_that_of_the_scenario():
    kept = read_trace(ROOT / "traces" / "clinic_week.csv")
    made = synthesise(simulator.load_scenario(ROOT / "scenarios" / "ci_small.yaml"), 0)
    for column in fields(RequestTable):
        if column.name == "prefix_id":
            # Identities are renumbered; which requests share one is kept.
            pairs = set(zip(kept.prefix_id.tolist(), made.prefix_id.tolist(), strict=True))
            assert len(pairs) == len({one for one, _ in pairs}) == len({other for _, other in pairs})
        elif column.name == "workload":
            # A trace lists its workloads in the order they appear.
            assert [kept.workloads[n] for n in kept.workload] == [made.workloads[n] for n in made.workload]
        elif column.name != "workloads":
            np.testing.assert_array_equal(getattr(kept, column.name), getattr(made, column.name), column.name)
