"""How long three years take, and the same at other prices."""

from __future__ import annotations

import os
import time

import pytest

from simulator.engine.simulation import prepare
from simulator.experiment import replications
from simulator.experiment.checks import load_checked
from simulator.study.rollout import rollout
from tests.parts import SCENARIOS

SCENARIO = SCENARIOS / "health_system_rollout.yaml"
DEARER = {"hosting_patterns.hybrid.costs.compute.replica_hour": "3 USD/h"}


@pytest.mark.benchmark
def test_thirty_six_months(tmp_path, monkeypatch, sized):
    prepare()
    months = sized(36)
    # What adoption and phases say of later months is not asked.
    length = {"rollout.months": months}
    jobs = min(2, os.cpu_count() or 1)
    began = time.perf_counter()
    first = rollout(load_checked(SCENARIO, settings=length), jobs=jobs, store=tmp_path)
    taken = time.perf_counter() - began
    monkeypatch.setattr(replications, "simulate", None)
    began = time.perf_counter()
    again = rollout(load_checked(SCENARIO, settings=DEARER | length), jobs=jobs, store=tmp_path)
    again_s = time.perf_counter() - began
    print(f"\n{months} months, 3 patterns, {jobs} processes: {taken:.0f} s; other prices: {again_s:.1f} s")
    assert len(first.projection.months) == months
    costs = [found.projection.months[-1].patterns["hybrid"].monthly_cost_usd for found in (first, again)]
    assert costs[1] > costs[0]
