"""Fitting a profile on steps: known ones are found again, and real ones of vLLM on a processor are explained."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.bench.fit import errors_percent, fit
from simulator.bench.measure import grid, measure
from simulator.bench.overhead_fit import fit_overhead
from simulator.bench.replay_check import compare_replay, engine_of
from simulator.bench.replay_record import read_replay
from simulator.bench.step_record import StepRecord, read_steps
from simulator.cli.main import main
from simulator.errors import ProfileError
from simulator.performance.architecture import known_model
from simulator.performance.profile import read_profile
from simulator.performance.step_time import LinearStepTime, ProfiledStepTime
from simulator.scenario.patterns import EngineSettings
from tests.bench.fake_vllm import MACHINE, started
from tests.parts import ROOT

RECORDED = Path(__file__).parent / "recorded" / "cpu"
SHOWN = ("itl_mean_s", "ttft_mean_s", "e2e_mean_s", "e2e_p99_s")
#: The server of the recorded replays was started so.
SERVER = (
    "max_num_seqs=32", "max_num_batched_tokens=2048", "max_model_len=4096", "enforce_eager=true",
    "async_scheduling=false",
)  # fmt: skip


def record_of(step_time, engine, noise=0.0):
    points = measure(started(step_time), grid(engine, 60_000), repeats=3)
    rng = np.random.default_rng(3)
    noisy = [
        point.model_copy(update={"seconds": tuple(s * rng.lognormal(0, noise) for s in point.seconds)})
        for point in points
    ]
    return StepRecord(
        schema_version=1,
        simulator_version="0",
        recorded_on="2026-11-24",
        command="",
        model=known_model("llama-3.1-8b"),
        gpu="a100-80gb",
        tensor_parallel=1,
        quantisation="bf16",
        engine=engine,
        machine=MACHINE,
        points=tuple(noisy),
    )


@pytest.mark.parametrize(
    ("name", "seqs", "budget", "mean", "most"),
    [
        # Its decodes lose their packed kernel beside a prompt, of which a fit has one factor for all batches.
        ("llama-3.1-8b-bf16-a100-80gb-x1", 256, 2048, 2.5, 8.0),
        # Cliffs between the places that are measured.
        ("llama-3.3-70b-w4a16-a100-80gb-x2", 128, 2048, 4.0, 15.0),
        ("qwen3-14b-fp8-l40s-x1", 256, 2048, 4.0, 15.0),
        ("llama-3.3-70b-fp8-h200-x2", 1024, 8192, 4.0, 15.0),
    ],
)
def test_a_profile_is_found_again(name, seqs, budget, mean, most):
    engine = EngineSettings(max_num_seqs=seqs, max_num_batched_tokens=budget, max_model_len=16_384)
    record = record_of(ProfiledStepTime(read_profile(name), seqs, budget), engine)
    found = fit(record)
    errors = np.abs(errors_percent(found, record))
    assert np.mean(errors) < mean
    assert np.max(errors) < most
    assert found.label == "measured"


@given(st.floats(0.001, 0.05), st.floats(1e-6, 1e-3), st.floats(1e-6, 1e-3), st.floats(1e-9, 1e-6), st.floats(0.1, 10))
@settings(max_examples=40)
def test_a_linear_step_is_found_and_times_scale(base_s, prefill_s, decode_s, kv_s, factor):
    """Context of a chunk enters a linear step once and a profile's by pairs: none is staged, so both are the same."""

    class WithoutPast:
        def step_s(self, decodes, kv_tokens, chunks):
            new = sum(q for q, _ in chunks)
            return base_s + prefill_s * new + decode_s * decodes + kv_s * kv_tokens

    engine = EngineSettings(max_num_seqs=64, max_model_len=4096, enforce_eager=True)
    record = record_of(WithoutPast(), engine)
    found = fit(record)
    assert np.median(np.abs(errors_percent(found, record))) < 0.5
    assert np.quantile(np.abs(errors_percent(found, record)), 0.9) < 2.0
    slower = [point.model_copy(update={"seconds": tuple(factor * s for s in point.seconds)}) for point in record.points]
    scaled = fit(record.model_copy(update={"points": tuple(slower)}))
    ours, theirs = (ProfiledStepTime(one, 64, 2048, enforce_eager=True) for one in (found, scaled))
    bare = found.overhead.per_step_s + 8 * found.overhead.per_sequence_s
    assert theirs.step_s(8, 0, []) - bare == pytest.approx(factor * (ours.step_s(8, 0, []) - bare), rel=1e-3)


def test_noise_is_averaged_and_shows_in_the_band():
    engine = EngineSettings(max_num_seqs=128)
    step_time = ProfiledStepTime(read_profile("llama-3.1-8b-bf16-a100-80gb-x1"), 128, 2048)
    clean, noisy = (fit(record_of(step_time, engine, noise)) for noise in (0.0, 0.05))
    assert noisy.fit_error.mean_percent < 5
    assert noisy.step_time_band.high > clean.step_time_band.high


def test_a_fit_that_explains_nothing_is_refused_and_says_whether_it_was_noise():
    engine = EngineSettings(max_num_seqs=64)
    step_time = ProfiledStepTime(read_profile("llama-3.1-8b-bf16-a100-80gb-x1"), 64, 2048)
    busy = record_of(step_time, engine, noise=1.0)
    with pytest.raises(ProfileError, match="something else ran on the machine"):
        fit(busy)
    assert fit(busy, anyway=True).label == "estimated"

    class Jumping:
        """Every other batch takes four times as long: no curve of a dense model."""

        def step_s(self, decodes, kv_tokens, chunks):
            return 0.01 * (4 if (decodes + sum(q for q, _ in chunks)) % 3 else 1)

    with pytest.raises(ProfileError, match="repetitions of one step agree to 0 %"):
        fit(record_of(Jumping(), engine))


def test_host_time_is_the_overhead_of_a_step_unless_it_is_hidden():
    engine = EngineSettings(max_num_seqs=32)
    step_time = LinearStepTime(0.01, 1e-4, 1e-4, 1e-7)
    record = record_of(step_time, engine)
    assert fit(record).overhead.per_step_s == pytest.approx(2e-4, rel=0.01)
    hidden = record.model_copy(update={"machine": MACHINE.model_copy(update={"async_scheduling": True})})
    assert fit(hidden).overhead.per_step_s == 0.0
    assert "hides" in fit(hidden).overhead.step.source


def test_too_little_is_refused_with_every_reason():
    record = record_of(LinearStepTime(0.01, 1e-4, 1e-4, 1e-7), EngineSettings(max_num_seqs=32))
    one = next(point for point in record.points if point.shape.decodes and not point.held_back)
    with pytest.raises(ProfileError, match="too few") as refused:
        fit(record.model_copy(update={"points": (one,)}))
    assert str(refused.value).count("\n") == 2


def test_a_file_that_holds_no_steps_is_refused(tmp_path):
    (tmp_path / "a.json").write_text('{"schema_version": 2}')
    with pytest.raises(ProfileError, match="schema_version"):
        read_steps(tmp_path / "a.json")


def test_real_steps_of_vllm_on_a_processor_are_explained():
    """8 layers of 512 on one core of an AMD EPYC; vLLM 0.32.0, `tools/prove_replay.py cpu`."""
    record = read_steps(RECORDED / "steps.json.gz")
    assert record.machine.vllm == "0.32.0"
    profile = fit(record)
    assert profile.fit_error.steps == 16
    assert profile.fit_error.mean_percent < 5


@pytest.mark.parametrize("load", ["light", "half"])
def test_steps_overheads_and_replays_of_a_real_server_agree(load):
    """Measure, fit, replay, validate; the server computed on one core while the client had the other."""
    profile = fit(read_steps(RECORDED / "steps.json.gz"))
    calibration, record = (read_replay(RECORDED / f"{name}.json.gz") for name in ("calibration", load))
    settings = engine_of(record, SERVER)
    found = compare_replay(record, fit_overhead(calibration, profile, settings), settings)
    errors = {name: abs(ours / theirs - 1) for name, (theirs, ours) in found.items()}
    assert max(errors[name] for name in SHOWN) < 0.10


def test_the_page_has_the_errors_that_come_out_of_the_recordings():
    page = (ROOT / "docs/validation.md").read_text(encoding="utf-8").replace("\N{MINUS SIGN}", "-")
    profile = fit(read_steps(RECORDED / "steps.json.gz"))
    calibration = read_replay(RECORDED / "calibration.json.gz")
    fitted = fit_overhead(calibration, profile, engine_of(calibration, SERVER))
    for how, made in (("as measured in process", profile), ("overheads from another replay", fitted)):
        for rate, name in ((1, "light"), (3, "half")):
            row = re.search(rf"^\| {rate} requests?/s, {how} \| (\d+) \|(.*)\|$", page, re.MULTILINE)
            record = read_replay(RECORDED / f"{name}.json.gz")
            found = compare_replay(record, made, engine_of(record, SERVER))
            ours = [100 * (found[key][1] / found[key][0] - 1) for key in SHOWN]
            assert int(row[1]) == len(record.requests.outcome)
            assert [float(cell.strip(" %")) for cell in row[2].split("|")] == pytest.approx(ours, abs=0.06)


def test_the_comparison_can_be_drawn(tmp_path):
    profile = fit(read_steps(RECORDED / "steps.json.gz"))
    (tmp_path / "own.json").write_text(profile.model_dump_json())
    words = ["--replay", RECORDED / "light.json.gz", "--profile", tmp_path / "own.json", "--plot", tmp_path / "p.html"]
    with pytest.raises(SystemExit) as ended:
        main(["bench", "validate", *map(str, words), *(word for one in SERVER for word in ("--engine", one))])
    assert ended.value.code == 0
    assert "share of requests" in (tmp_path / "p.html").read_text(encoding="utf-8")
