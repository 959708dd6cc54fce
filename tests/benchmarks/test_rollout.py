"""How long three years take, and the same at other prices."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from simulator.engine.vllm.dispatch import prepare
from simulator.experiment import replications
from simulator.experiment.checks import load_checked
from simulator.study.rollout import rollout

SCENARIO = Path(__file__).parents[2] / "scenarios" / "health_system_rollout.yaml"
DEARER = {"hosting_patterns.hybrid.costs.compute.replica_hour": "3 USD/h"}


@pytest.mark.benchmark
def test_thirty_six_months(tmp_path, monkeypatch):
    prepare()
    jobs = min(2, os.cpu_count() or 1)
    began = time.perf_counter()
    first = rollout(load_checked(SCENARIO), jobs=jobs, store=tmp_path)
    taken = time.perf_counter() - began
    monkeypatch.setattr(replications, "simulate", None)
    began = time.perf_counter()
    again = rollout(load_checked(SCENARIO, settings=DEARER), jobs=jobs, store=tmp_path)
    print(
        f"\n36 months, 3 patterns, {jobs} processes: {taken:.0f} s; other prices: {time.perf_counter() - began:.1f} s"
    )
    assert len(first.projection.months) == 36
    costs = [found.projection.months[-1].patterns["hybrid"].monthly_cost_usd for found in (first, again)]
    assert costs[1] > costs[0]
