from __future__ import annotations

import json

import pytest

from simulator.decision.band import with_band_ends
from simulator.errors import ScenarioError
from simulator.experiment.checks import load_checked
from simulator.performance.clusters import cluster_profile
from simulator.performance.profile import read_profile
from simulator.results import run
from tests.experiment.small import small
from tests.parts import SCENARIOS

TEXT = (SCENARIOS / "ci_small.yaml").read_text("utf-8")


@pytest.fixture(scope="module")
def scenario():
    return small()


def with_own_profile(folder, file):
    path = folder / "small.yaml"
    path.write_text(TEXT.replace("gpu: ", f"profile: {file}, gpu: ", 1))
    return path


def test_every_cluster_is_simulated_at_both_ends(scenario):
    names = list(scenario.hosting_patterns)
    widened, added = with_band_ends(scenario, names)
    clusters = [name for name in names if hasattr(scenario.hosting_patterns[name], "cluster")]
    assert len(added) == 2 * len(clusters)
    for name in clusters:
        band = cluster_profile(scenario.hosting_patterns[name].cluster).step_time_band
        factors = [widened.hosting_patterns[f"{name}~{end}"].cluster.step_time_factor for end in ("low", "high")]
        assert factors == [band.low, band.high]


def test_longer_steps_make_for_longer_waits(scenario):
    results = run(scenario, replications=1)
    found = [result for result in results.patterns if result.step_time_band is not None]
    assert found
    for result in found:
        band = result.step_time_band
        for name, workload in result.workloads.items():
            low, high = band.low.e2e_p99_s[name], band.high.e2e_p99_s[name]
            assert low < workload.latency["e2e_s"].p99 < high
    assert "step_time_band" in json.loads(results.to_json())["patterns"][0]


def test_a_cluster_may_bring_its_own_profile(tmp_path):
    shipped = read_profile("llama-3.1-8b-bf16-l40s-x1")
    folder = tmp_path / "curves"
    folder.mkdir()
    (folder / "own.json").write_text(shipped.scaled(2.0).model_dump_json())
    path = with_own_profile(tmp_path, "curves/own.json")
    own = load_checked(path).hosting_patterns["self_hosted"].cluster
    assert cluster_profile(own).dense.y == pytest.approx([2.0 * value for value in shipped.dense.y])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        ("{}", "Field required"),
        (read_profile("qwen3-14b-bf16-l40s-x1").model_dump_json(), "is a profile of model qwen3-14b, not"),
    ],
)
def test_a_wrong_profile_file_is_a_fault_of_its_line(content, message, tmp_path):
    if content is not None:
        (tmp_path / "own.json").write_text(content)
    path = with_own_profile(tmp_path, "own.json")
    with pytest.raises(ScenarioError) as caught:
        load_checked(path)
    fault = caught.value.faults[0]
    assert message in fault.message
    assert fault.key.endswith("cluster.profile")
    assert fault.line == 1 + TEXT[: TEXT.index("gpu: ")].count("\n")


def test_at_each_end_each_workload_has_its_own_answer():
    """Notes may take an hour, letters a millisecond."""
    limits = {
        f"workloads.{name}.objectives": {"end_to_end": limit} for name, limit in (("notes", "1h"), ("letters", "1ms"))
    }
    found = run(small(limits), patterns=["rented"], replications=1, tables=False, outlook=False)
    band = found.pattern("rented").step_time_band
    for end in (band.low, band.high):
        assert (end.missed, end.cannot_tell, end.overloaded) == (["letters"], [], False)
