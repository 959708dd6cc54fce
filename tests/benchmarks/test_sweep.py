"""How much faster a sweep is on two cores, and when its simulations are stored."""

from __future__ import annotations

import time

import pytest

from simulator.study.axes import grid, parse_axes
from simulator.study.sweep import configurations, tabulate
from tests.parts import SCENARIOS

SCENARIO = SCENARIOS / "ci_small.yaml"
OVER = [
    "hosting_patterns.hybrid.cluster.replicas=1:4:4",
    "workloads.clinical_documentation.output_tokens.mean=100:400:5",
    "workloads.radiology_anomaly.output_tokens.mean=100:550:10",
]


@pytest.mark.benchmark
def test_two_hundred_configurations(tmp_path, sized):
    given = configurations(SCENARIO, grid(parse_axes(OVER)))
    given = given[: sized(len(given))]
    # Processes start once, and stay for the sweeps after.
    tabulate(given[:4], jobs=2)
    lasted_s = {}
    for label, jobs, store in (("one core", 1, "a"), ("two cores", 2, "b"), ("stored", 1, "a")):
        start_s = time.perf_counter()
        tabulate(given, jobs=jobs, store=tmp_path / store)
        lasted_s[label] = time.perf_counter() - start_s
    print(f"\n{len(given)} configurations of ci_small: " + ", ".join(f"{k} {v:.1f} s" for k, v in lasted_s.items()))
    print(f"two cores: {lasted_s['one core'] / lasted_s['two cores']:.2f} times as fast")
