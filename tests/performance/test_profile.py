from __future__ import annotations

import json
import re

import pytest
from pydantic import ValidationError

from simulator.errors import ProfileError, ProfileNotFound
from simulator.performance.build import shipped_overhead
from simulator.performance.config_json import read_model
from simulator.performance.profile import (
    Curve,
    PerformanceProfile,
    StepTimeBand,
    available_profiles,
    load_profile,
    read_profile,
    read_profile_file,
)
from simulator.performance.step_time import ProfiledStepTime
from simulator.performance.weight_formats import weights_gib

PROFILES = available_profiles()


@pytest.fixture(params=PROFILES)
def profile(request):
    return read_profile(request.param)


def test_every_profile_says_where_it_comes_from_and_how_well_it_fits(profile):
    assert profile.id in PROFILES
    assert {"package", "wheel_sha256", "licence", "tables", "derived_on", "command"} <= profile.provenance.keys()
    # Attention that stops growing with the context is no straight line.
    windows = any(one.span and one.span > 128 for one in profile.model.kv_layers)
    assert profile.fit_error.mean_percent < (5.0 if windows else 1.5)
    assert profile.fit_error.p95_percent < (20.0 if windows else 6.5)
    # What had to be inferred is said.
    assert profile.notes or profile.label == "derived"


def test_an_id_says_what_is_inside(profile):
    found = load_profile(
        model=profile.model.name,
        gpu=profile.gpu,
        tensor_parallel=profile.tensor_parallel,
        quantisation=profile.quantisation,
        variant=profile.variant,
    )
    assert found == profile


def test_weights_are_those_of_the_parameters(profile):
    expected = weights_gib(profile.model, profile.tensor_parallel, profile.quantisation, profile.gpu)
    assert profile.weights_gib_per_gpu == pytest.approx(expected, abs=1e-3)
    bits = {"bf16": (16, 16), "fp8": (8, 10), "int8": (8, 10), "w4a16": (4, 5.2), "mxfp4": (4.25, 6.0)}[
        profile.quantisation
    ]
    per_parameter = 8 * profile.weights_gib_per_gpu * profile.tensor_parallel * 1024**3 / profile.model.parameters
    assert bits[0] * (1 - 1e-4) <= per_parameter <= bits[1] * (1 + 1e-4)


def test_a_model_has_the_shape_its_name_stands_for(profile):
    assert profile.model.same_shape(read_model(profile.model.name))


def test_the_70b_has_70_billion_parameters():
    """70.6 billion on its model card (meta-llama/Llama-3.1-70B, 2024-07)."""
    assert read_profile("llama-3.3-70b-bf16-a100-80gb-x4").model.parameters == pytest.approx(70.6e9, rel=0.002)


def test_attention_grows_with_context_and_batch(profile):
    assert list(profile.decode_attention.y) == sorted(profile.decode_attention.y)
    assert min(profile.decode_attention_per_kv_token.y) > 0
    assert profile.prefill_attention[2] > 0


def test_twice_the_tokens_never_take_less_time(profile):
    """Another kernel takes over here and there and is a little faster: by 13 % at most in the tables (FP8, H200)."""
    knots = dict(zip(profile.dense.x, profile.dense.y, strict=True))
    for tokens, seconds in knots.items():
        if 2 * tokens in knots:
            assert knots[2 * tokens] > 0.85 * seconds


def test_reading_weights_bounds_a_step_from_below(profile):
    """No step beats reading the weights it needs once at the memory's data-sheet bandwidth (bytes per second)."""
    bandwidths = {
        "a100-80gb": 2.039e12, "a100-80gb-pcie": 1.935e12, "l40s": 0.864e12, "h100-80gb": 3.35e12, "h200": 4.8e12,
        "a100-40gb": 1.555e12, "h100-pcie": 2.0e12, "h100-nvl": 3.9e12,
        "rtx-pro-6000": 1.597e12, "l4": 0.3e12,
    }  # fmt: skip
    bandwidth = bandwidths[profile.gpu]
    model = profile.model
    needed = model.model_copy(update={"experts": model.experts_per_token, "tied_embeddings": True, "encoder": None})
    read_s = weights_gib(needed, profile.tensor_parallel, profile.quantisation) * 1024**3 / bandwidth
    assert profile.dense.y[0] + profile.lm_head.y[0] > read_s


def test_cross_socket_cards_are_slower_than_the_default():
    for quantisation in ("fp8", "w4a16"):
        name = f"llama-3.3-70b-{quantisation}-l40s-x4"
        assert read_profile(f"{name}-cross-socket").dense.y[-1] > 1.5 * read_profile(name).dense.y[-1]


def test_overheads_are_the_ones_the_tool_fitted(profile):
    expected = shipped_overhead(profile.model, profile.gpu, profile.tensor_parallel)
    assert json.loads(profile.overhead.model_dump_json()) == expected
    assert profile.overhead.step.median_percent < 3.0


def test_the_command_in_the_provenance_names_the_profile(profile):
    words = profile.provenance["command"].split()
    assert words[:3] == ["simulator", "profile", "build"]
    values = dict(zip(words[3::2], words[4::2], strict=True))
    assert values["--model"] == profile.model.name
    assert values["--gpu"] == profile.gpu
    assert int(values["--tp"]) == profile.tensor_parallel
    assert (values["--quant"], values.get("--variant")) == (profile.quantisation, profile.variant)


def test_bands_hold_one_and_are_wider_where_kernels_were_inferred(profile):
    band, usual = profile.step_time_band, StepTimeBand()
    assert band.low <= 1.0 <= band.high
    if profile.label == "estimated":
        assert band.high / band.low > usual.high / usual.low
    else:
        assert band == usual


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_a_scaled_profile_scales_every_step(profile, factor):
    plain, scaled = (ProfiledStepTime(p, 256, 2048) for p in (profile, profile.scaled(factor)))
    for step in ((1, 100, []), (64, 50_000, [(512, 300), (16, 0)]), (0, 0, [(2048, 0)])):
        assert scaled.step_s(*step) == pytest.approx(factor * plain.step_s(*step))
    assert profile.scaled(factor).overhead.frontend_base_s == profile.overhead.frontend_base_s


def test_a_profile_of_ones_own_is_read_from_its_file(tmp_path):
    profile = read_profile(PROFILES[0])
    path = tmp_path / "own.json"
    path.write_text(profile.model_dump_json())
    assert read_profile_file(path) == profile
    path.write_text(profile.model_dump_json().replace('"tensor_parallel":2', '"tensor_parallel":0', 1) + "x")
    with pytest.raises(ProfileError, match=re.escape(str(path))):
        read_profile_file(path)
    with pytest.raises(ProfileError, match="cannot be read"):
        read_profile_file(tmp_path / "missing.json")


def test_an_unknown_profile_names_the_nearest():
    with pytest.raises(ProfileNotFound, match=r"llama-3\.3-70b-w4a16-a100-80gb-x2"):
        load_profile(model="llama-3.3-70b", gpu="a100-80g", tensor_parallel=2, quantisation="w4a16")


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ((1, 2), (0.1,), "2"),
        ((1, 2, 3), (0.1, 0.2), "3 knots but 2 values"),
        ((1, 1), (0.1, 0.2), "increase"),
        ((0, 1), (0.1, 0.2), "greater than 0"),
        ((1, 2), (0.1, -0.2), "greater than or equal to 0"),
        ((1, 2), (0.1, float("nan")), "nan|finite"),
    ],
)
def test_a_curve_is_a_function(x, y, message):
    with pytest.raises(ValidationError, match=message):
        Curve(x=x, y=y)


@pytest.mark.parametrize("change", [{"speed": 1}, {"tensor_parallel": "2"}, {"quantisation": "int3"}])
def test_a_profile_file_is_read_strictly(change):
    content = json.loads(read_profile(PROFILES[0]).model_dump_json())
    with pytest.raises(ValidationError):
        PerformanceProfile.model_validate_json(json.dumps(content | change))


def test_a_model_is_found_by_any_of_its_names():
    """MedGemma and Gemma 3 have one shape; scenarios may say either."""
    wish = {"gpu": "l40s", "tensor_parallel": 2, "quantisation": "bf16"}
    assert load_profile(model="gemma-3-27b-it", **wish) == load_profile(model="medgemma-27b", **wish)


def test_what_does_not_ship_says_how_to_make_it():
    with pytest.raises(
        ProfileNotFound, match=r"'simulator profile build --model kimi-k2 --gpu h200 --tp 8 --quant fp8'"
    ):
        load_profile(model="kimi-k2", gpu="h200", tensor_parallel=8, quantisation="fp8")
    with pytest.raises(ProfileNotFound) as caught:
        load_profile(model="unheard-of", gpu="h200", tensor_parallel=8, quantisation="fp8")
    assert "build" not in str(caught.value)


def test_the_library_says_what_is_behind_each():
    found = {name: read_profile(name).basis for name in PROFILES}
    assert found["llama-3.1-8b-bf16-a100-80gb-x1"] == "kernels of this GPU"
    assert found["gpt-oss-120b-mxfp4-h100-80gb-x1"] == "kernels put together"
    assert found["llama-3.1-8b-bf16-h100-pcie-x1"] == "kernels of another board, by data sheets"
    for name, basis in found.items():
        assert (basis == "kernels of this GPU") == (read_profile(name).label == "derived")


def test_experts_are_never_read_faster_than_memory_allows():
    """On L40S few experts stay in the cache while they are timed: 8 of 128 are 6 % of 28 GiB, 2 ms at 864 GB/s."""
    profile = read_profile("qwen3-30b-a3b-fp8-l40s-x1")
    assert profile.dense.y[0] > profile.model.expert_parameters * 8 / 128 / 0.864e12
