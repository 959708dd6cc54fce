"""A recorded hour through 4 × A100 and a 70B model: the same from CSV and from Parquet."""

from __future__ import annotations

import json

import pytest

import simulator
from simulator.trace.editing import cut
from tests.cli.command import run
from tests.parts import ROOT, TRACES

SCENARIO = """
name: recorded_hour
horizon: {start: 2026-04-06, duration: 1h, time_zone: UTC}
workloads:
  conversations:
    trace: {file: TRACE, align: start, repeat: false}
hosting_patterns:
  self_hosted:
    kind: self_hosted
    cluster: {model: llama-3.3-70b, gpu: a100-80gb, tensor_parallel: 4, quantisation: bf16}
    costs:
      compute: {kind: rental, offer: azure/nd96amsr-a100-v4}
experiment: {replications: 1}
"""


def simulated(folder, trace):
    """The result as a document, without what names the scenario and its files."""
    scenario = folder / f"{trace.suffix[1:]}.yaml"
    scenario.write_text(SCENARIO.replace("TRACE", trace.name))
    document = json.loads(simulator.run(simulator.load_scenario(scenario)).to_json())
    requests = document["patterns"][0]["requests"]
    return {key: value for key, value in document.items() if key not in ("scenario", "inputs")}, requests


def both(folder, source):
    for suffix in ("csv", "parquet"):
        yield simulated(folder, cut_to(source, folder / f"hour.{suffix}"))


def cut_to(source, target):
    cut(source, target, start_s=0.0, end_s=None, workloads=())
    return target


def test_a_clinics_day(tmp_path):
    week = ROOT / "traces" / "clinic_week.csv"
    cut(week, tmp_path / "day.csv", start_s=36_000.0, end_s=39_600.0, workloads=())
    (csv, requests), (parquet, _) = both(tmp_path, tmp_path / "day.csv")
    assert csv == parquet
    assert requests["arrived"] > 20


@pytest.mark.slow
@pytest.mark.needs("public traces")
@pytest.mark.parametrize(("part", "rows"), [("conv", 19_366), ("code", 8_819)])
def test_azures_hour(tmp_path, capsys, part, rows):
    for suffix in ("csv", "parquet"):
        source, target = TRACES / f"AzureLLMInferenceTrace_{part}.csv", tmp_path / f"hour.{suffix}"
        asked = ["trace", "convert", "--format", "azure-llm-2023", str(source), str(target)]
        assert run(asked, capsys)[0] == 0
    (csv, requests), (parquet, _) = (simulated(tmp_path, tmp_path / f"hour.{s}") for s in ("csv", "parquet"))
    assert csv == parquet
    # Conservation: every recorded request arrives, and ends in exactly one way.
    ends = ("completed", "rejected", "timed_out", "cancelled", "unfinished")
    assert requests["arrived"] == rows == sum(requests[end] for end in ends)
