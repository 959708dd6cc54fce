"""Profiles derived anew; needs the tables of `aiconfigurator-core`."""

from __future__ import annotations

import json

import pytest

from simulator.errors import ProfileError
from simulator.performance.boards import SHEETS
from simulator.performance.build import build_profile, step_times, write_text
from simulator.performance.config_json import from_config, read_model
from simulator.performance.kernel_wishes import check_wish
from simulator.performance.profile import PerformanceProfile, read_profile
from simulator.performance.step_time import ProfiledStepTime, interpolate
from simulator.performance.weight_formats import WEIGHT_BYTES, weights_gib
from tests.cli.command import run
from tests.performance.test_config_json import PUBLISHED


@pytest.mark.needs("kernel tables")
@pytest.mark.parametrize(
    "name",
    [
        "llama-3.1-8b-bf16-a100-80gb-x1", "llama-3.3-70b-w4a16-a100-80gb-x2", "llama-3.3-70b-fp8-l40s-x4",
        "llama-2-7b-bf16-h100-80gb-x1", "mixtral-8x7b-bf16-h100-80gb-x2", "llama-3.3-70b-int8-a100-80gb-x2",
        "gpt-oss-120b-mxfp4-h100-80gb-x1", "medgemma-27b-bf16-l40s-x2",
    ],
)  # fmt: skip
def test_a_shipped_profile_is_what_its_command_gives(name):
    shipped = read_profile(name)
    built = build_profile(
        shipped.model, shipped.gpu, shipped.tensor_parallel, shipped.quantisation, variant=shipped.variant,
        command=shipped.provenance["command"], today=shipped.provenance["derived_on"],
    )  # fmt: skip
    assert built == shipped
    assert PerformanceProfile.model_validate_json(write_text(built)) == built


@pytest.mark.parametrize(
    ("name", "packed"),
    [
        ("llama-3.1-8b-bf16-a100-80gb-x1", False),
        ("llama-3.1-8b-bf16-l40s-x1", False),
        ("llama-3.1-8b-bf16-h100-80gb-x1", True),
    ],
)
def test_decodes_beside_a_prompt_lose_the_packed_kernel_where_it_is_flash_attention_2(name, packed):
    profile = read_profile(name)
    if packed:
        assert profile.mixed_decode_attention is None
        return
    step = ProfiledStepTime(profile, 64, 2048)
    chunk = [(8, 560)]
    beside_s = step.step_s(32, 32 * 700, chunk) - step.step_s(0, 0, chunk)
    beside_s -= step.table(64, 2048).dense_s[40] - step.table(64, 2048).dense_s[8]
    beside_s -= step.table(64, 2048).per_step_s[33] - step.table(64, 2048).per_step_s[1]
    # 64 tokens of a prompt over what a decode has before it and a tile more; no less than without a prompt.
    tile_s = 64 * profile.prefill_attention[2] * 32 * (700 + 128)
    base, slope = profile.decode_attention, profile.decode_attention_per_kv_token
    alone_s = interpolate(base, 32) + interpolate(slope, 32) * 32 * 700
    assert beside_s == pytest.approx(max(tile_s, alone_s), rel=0.12)
    assert beside_s > 1.05 * alone_s


@pytest.mark.needs("kernel tables")
def test_the_command_derives_a_model_of_ones_own(tmp_path, capsys):
    config = {
        "architectures": ["LlamaForCausalLM"], "num_hidden_layers": 60, "hidden_size": 7168, "num_attention_heads": 56,
        "num_key_value_heads": 8, "intermediate_size": 20480, "vocab_size": 64000,
    }  # fmt: skip
    folder = tmp_path / "Yi-34B-Chat"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    target = tmp_path / "yi.json"
    arguments = ["profile", "build", "--model", str(folder), "--gpu", "h100", "--tp", "2", "--output", str(target)]
    code, _, err = run(arguments, capsys)
    assert code == 0, err
    profile = PerformanceProfile.model_validate_json(target.read_bytes())
    assert (profile.id, profile.label) == ("yi-34b-bf16-h100-80gb-x2", "derived")
    assert profile.fit_error.mean_percent < 1.5
    code, out, _ = run(["profile", "show", str(target)], capsys)
    assert code == 0
    assert "34.4 billion parameters" in out


@pytest.mark.needs("kernel tables")
def test_a_model_that_does_not_fit_is_refused_with_the_arithmetic():
    said = r"44\.4 GiB x 0\.92 - 0\.1 GiB outside PyTorch - 65\.7 GiB weights = -25\.0"
    with pytest.raises(ProfileError, match=said):
        build_profile(read_model("llama-3.3-70b"), "l40s", 2, "bf16")


@pytest.mark.parametrize(
    ("gpu", "quantisation", "variant", "size", "model", "message"),
    [
        ("a100-20gb", "bf16", None, 1, "llama-3.1-8b", "there are: a100-80gb"),
        ("h100-nvl", "int8", None, 2, "llama-3.3-70b", "no int8 timings for H100; choose fp8"),
        ("l40s", "int8", None, 1, "llama-3.1-8b", "choose fp8"),
        ("h200", "int3", None, 1, "llama-3.1-8b", "choose bf16, fp8, w4a16"),
        ("a100-80gb", "w4a16", "marlin", 2, "llama-3.3-70b", "there are: trt-llm"),
        ("l40s", "bf16", "cross-socket", 2, "llama-3.3-70b", "there are: none"),
        ("h100-80gb", "bf16", None, 5, "qwen2.5-7b", "do not divide among 5"),
        ("h100-80gb", "fp8", None, 2, "mixtral-8x7b", "bf16 only"),
    ],
)
def test_what_the_tables_cannot_answer_is_refused(gpu, quantisation, variant, size, model, message):
    with pytest.raises(ProfileError, match=message):
        check_wish(gpu, quantisation, variant, size, read_model(model))


@pytest.mark.parametrize("quantisation", sorted(WEIGHT_BYTES))
def test_weights_halve_with_twice_the_gpus(quantisation):
    model = read_model("llama-3.3-70b")
    assert weights_gib(model, 2, quantisation) == pytest.approx(2 * weights_gib(model, 4, quantisation))


#: One of each kind that attention, windows, gates and heads make, on cards with a table each.
KINDS = (
    ("Llama-3.1-8B", 1), ("gemma-7b", 1), ("gemma-2-9b", 1), ("gemma-2-27b", 2), ("medgemma-27b-text-it", 2),
    ("c4ai-command-r7b-12-2024", 1), ("c4ai-command-a-03-2025", 8), ("EXAONE-4.0-32B", 2), ("Olmo-3-7B", 1),
    ("Ministral-8B-Instruct-2410", 1), ("Apertus-70B-2509", 4), ("Minitron-8B-Base", 1), ("opt-30b", 2),
    ("gpt-j-6b", 1), ("falcon-40b", 4), ("stablelm-2-12b", 1), ("gpt-neox-20b", 1), ("BioMedLM", 1),
)  # fmt: skip


@pytest.mark.needs("kernel tables")
@pytest.mark.parametrize(("name", "gpus"), KINDS)
@pytest.mark.parametrize("gpu", ["h100-80gb", "l40s"])
def test_nothing_is_read_faster_than_memory_gives_it(name, gpus, gpu):
    """A decode reads all matrices and every key and value in reach once; a step of many reads them no slower than half.

    In reach is what a window has not closed behind: up to it, all layers read the whole context.
    """
    shape, faults = from_config(PUBLISHED[name][0], name)
    assert faults == []
    gpus = min(gpus, shape.kv_heads)
    times = step_times(shape, gpu, gpus, "bf16")
    bytes_per_s = 1e9 * SHEETS[gpu].bandwidth_gb_s
    matrices_s = 2 * shape.matrix_parameters / gpus / bytes_per_s
    assert 1.0 < times.dense_s(1) / matrices_s < 2.0
    for sequences, context in ((64, 900), (16, 3500)):
        reach = sum(
            one.layers * one.token_bytes(gpus, 2) * min(context, one.span or context) for one in shape.kv_layers
        )
        assert times.decode_attention_s(sequences, context) > 0.95 * sequences * reach / bytes_per_s


@pytest.mark.needs("kernel tables")
def test_a_network_without_a_gate_takes_as_long_as_one_as_large():
    """Two matrices of width 3w/2 have the weights of three of width w."""
    gated, _ = from_config(PUBLISHED["Llama-3.1-8B"][0], "a")
    wide = gated.model_copy(update={"gated": False, "intermediate": gated.intermediate * 3 // 2})
    assert wide.matrix_parameters == gated.matrix_parameters
    of_two, of_three = (step_times(one, "h100-80gb", 1, "bf16") for one in (wide, gated))
    for tokens in (1, 64, 2048):
        assert of_two.dense_s(tokens) == pytest.approx(of_three.dense_s(tokens), rel=0.02)


@pytest.mark.needs("kernel tables")
@pytest.mark.parametrize(
    ("name", "gpu", "gpus", "window"),
    [
        ("gemma-2-27b", "h100-80gb", 1, 4096), ("c4ai-command-r7b-12-2024", "l40s", 1, 4097),
        ("EXAONE-4.0-32B", "h100-80gb", 2, 4096), ("gemma-4-31B-it", "h100-80gb", 1, 1024),
        ("medgemma-4b-it", "l40s", 1, 1024), ("Ministral-8B-Instruct-2410", "l40s", 1, None),
        ("Llama-3.1-8B", "h100-80gb", 1, None),
    ],
)  # fmt: skip
def test_where_attention_bends_the_curves_do(name, gpu, gpus, window):
    """Steps at contexts of 150 to 4,000 tokens; Ministral's window of 32,768 is out of reach."""
    shape, _ = from_config(PUBLISHED[name][0], name)
    profile = build_profile(shape, gpu, gpus, "bf16")
    assert profile.window_tokens == window
    assert profile.fit_error.p95_percent < 5
