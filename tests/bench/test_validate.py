from __future__ import annotations

import importlib.util
import json

import pytest

from simulator.bench.measurements import read_measurements
from simulator.bench.validate import compare, engine_settings, find_profile
from simulator.engine.plan import plan_of
from simulator.errors import ProfileError
from simulator.performance.profile import read_profile
from tests.bench.test_measurements import write
from tests.command import run

MODEL = "llama-3.1-8b-bf16-a100-80gb-x1"


def experiment_of(path, *changes):
    return read_measurements(write(path, *changes), ["A"]).experiments[0]


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_a_server_that_is_slower_by_a_known_factor_is_found_so(factor, tmp_path):
    """Measure our own simulation, scale it, and the error must be that factor: nothing in between bends it."""
    quiet = {"rate_rps": "0.2", "duration_s": "600"}
    experiment = experiment_of(tmp_path / "m.csv", quiet)
    truth = compare(experiment, read_profile(MODEL), 1)[0].simulated
    change = {"itl_server_ms": f"{truth['itl_mean_s'] * 1e3 * factor}", "e2e_mean_ms": f"{truth['e2e_mean_s'] * 1e3}"}
    row = compare(experiment_of(tmp_path / "m.csv", quiet | change), read_profile(MODEL), 1)[0]
    assert row.error("itl_mean_s") == pytest.approx(1 / factor - 1, rel=1e-9)
    assert row.error("e2e_mean_s") == pytest.approx(0.0, abs=1e-9)
    assert row.in_band("e2e_mean_s")
    assert not row.in_band("itl_mean_s")
    assert not row.saturated
    # The engine starts up in stage 0: its tail is not compared.
    assert "e2e_p99_s" not in row.metrics()


def test_a_later_stage_alone_finds_a_warm_cache(tmp_path):
    stage = {"id": "a-s1", "stage": "1", "rate_rps": "4", "duration_s": "60"}
    both = compare(experiment_of(tmp_path / "a.csv", {}, stage), read_profile(MODEL), 1)[1]
    alone = compare(experiment_of(tmp_path / "b.csv", stage), read_profile(MODEL), 1)[0]
    assert alone.simulated["ttft_mean_s"] == pytest.approx(both.simulated["ttft_mean_s"], rel=0.05)
    assert "e2e_p99_s" in alone.metrics()


def test_a_profile_is_found_by_shape_and_ones_own_comes_first(tmp_path):
    experiment = experiment_of(tmp_path / "m.csv", {"model": "meta-llama/Meta-Llama-3-8B-Instruct"})
    shipped = [read_profile(MODEL)]
    assert find_profile(experiment, (), shipped).id == MODEL
    own = shipped[0].model_copy(update={"id": "own"})
    assert find_profile(experiment, [own], shipped).id == "own"
    unknown = experiment_of(tmp_path / "m.csv", {"model": "Mine/Own-8B"})
    with pytest.raises(ProfileError, match="simulator profile build --model CONFIG.json --gpu a100-80gb"):
        find_profile(unknown, (), shipped)
    named = own.model_copy(update={"model": own.model.model_copy(update={"name": "own-8b", "layers": 33})})
    assert find_profile(unknown, [named], shipped) is named


def test_settings_are_the_server_s_or_vllm_s_for_the_board(tmp_path):
    lean = {"max_num_seqs": "", "max_num_batched_tokens": "", "gpu": "H100-80GB-SXM", "kv_blocks": "12000"}
    settings = engine_settings(experiment_of(tmp_path / "m.csv", lean))
    assert (settings.max_num_seqs, settings.max_num_batched_tokens, settings.num_gpu_blocks) == (1024, 8192, 12000)
    assert plan_of(read_profile(MODEL), settings).num_gpu_blocks == 12000


def test_the_command_reports_errors_groups_and_what_it_left_out(tmp_path, capsys):
    path = write(tmp_path / "m.csv", {}, {"id": "b", "stage": "summary"}, {"id": "c-s0", "model": "Mine/Own-8B"})
    arguments = ["bench", "validate", "--measurements", str(path), "--replications", "1", "--quiet"]
    code, out, _ = run([*arguments, "--json"], capsys)
    found = json.loads(out)
    assert code == 0
    (case,) = found["cases"]
    assert case["id"] == "a-s0"
    # Alone on the server, a request takes as much longer as its steps do.
    assert 0.9 < case["leverage"] < 1.5
    metric = case["metrics"]["itl_mean_s"]
    assert metric["error_percent"] == pytest.approx(100 * (metric["simulated"] / metric["measured"] - 1), abs=0.01)
    headline = found["median_absolute_error"]
    assert list(headline) == ["ttft_mean", "ttft_p99", "itl_mean", "e2e_mean", "e2e_p99"]
    assert headline["itl_mean"] == pytest.approx(abs(metric["error_percent"]) / 100, abs=1e-4)
    assert sorted(row for rows in found["not_replayed"].values() for row in rows) == ["b", "c-s0"]
    page = tmp_path / "v.html"
    code, out, err = run([*arguments, "--plot", str(page)], capsys)
    assert code == 0
    for part in ("open, unsaturated", "best published simulators", "not replayed, 1 rows"):
        assert part in out
    assert 'src="http' not in page.read_text()


def test_nothing_to_compare_is_an_error(tmp_path, capsys):
    path = write(tmp_path / "m.csv", {"model": "Mine/Own-8B"})
    code, _, err = run(["bench", "validate", "--measurements", str(path), "--quiet"], capsys)
    assert code == 2
    assert "nothing could be compared" in err


@pytest.mark.skipif(not importlib.util.find_spec("aiconfigurator_core"), reason="needs aiconfigurator-core")
def test_profiles_that_do_not_ship_are_derived_when_asked_for(tmp_path, capsys):
    rows = {"model": "01-ai/Yi-34B", "tp": "2"}, {"id": "b-s0", "model": "Mine/Own-8B"}
    path = write(tmp_path / "m.csv", *rows)
    arguments = ["bench", "validate", "--measurements", str(path), "--replications", "1", "--quiet", "--json"]
    code, out, _ = run([*arguments, "--derive"], capsys)
    found = json.loads(out)
    assert code == 0
    assert [row["profile"] for row in found["cases"]] == ["yi-34b-bf16-a100-80gb-x2"]
    assert "no known model" in next(iter(found["not_replayed"]))
