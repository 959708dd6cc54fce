"""Replications until the intervals are narrow enough."""

from __future__ import annotations

import json

import pytest

from simulator.cli.main import main
from simulator.experiment.checks import load_checked
from simulator.results import run
from simulator.study.precision import LEAST, MOST, run_until
from tests.parts import SCENARIOS

SCENARIO = SCENARIOS / "ci_small.yaml"


@pytest.fixture
def scenario():
    # Without objectives it is intervals alone that ask for more.
    workloads = {f"workloads.{name}.objectives": None for name in ("clinical_documentation", "radiology_anomaly")}
    return load_checked(SCENARIO, settings={"horizon.duration": "24h"} | workloads)


def widest(results):
    latencies = [(one.latency["e2e_s"].p99, one.latency["e2e_s"].ci95) for one in results.patterns]
    costs = [(one.monthly_cost_usd.mean, one.monthly_cost_usd.ci95) for one in results.patterns]
    return max((high - low) / 2 / mean for mean, (low, high) in latencies + costs)


def test_it_stops_when_every_interval_is_narrow_enough(scenario, tmp_path):
    rough, fine = (run_until(scenario, share, folder=tmp_path) for share in (0.4, 0.05))
    assert LEAST <= rough.replications < fine.replications
    assert widest(rough) <= 0.4
    assert widest(fine) <= 0.05


def test_the_answer_is_that_of_as_many_replications(scenario, tmp_path):
    found = run_until(scenario, 0.2, folder=tmp_path)
    assert found.to_json() == run(scenario, replications=found.replications).to_json()


def test_the_command_takes_auto(tmp_path, capsys):
    words = ["run", str(SCENARIO), "--set", "horizon.duration=6h", "--output", str(tmp_path / "r"), "--json", "-q"]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--replications", "auto", "--precision", "0.5"])
    assert ended.value.code == 0
    assert LEAST <= json.loads(capsys.readouterr().out)["replications"] <= MOST
    with pytest.raises(SystemExit) as ended:
        main([*words, "--replications", "many"])
    assert ended.value.code == 2
