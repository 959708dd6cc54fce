from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from simulator.errors import ProfileNotFound
from simulator.performance.profile import Curve, PerformanceProfile, available_profiles, load_profile, read_profile

PROFILES = available_profiles()
OVERHEAD = json.loads((Path(__file__).parents[2] / "tools" / "overhead.json").read_text("utf-8"))


@pytest.fixture(params=PROFILES)
def profile(request):
    return read_profile(request.param)


def test_every_profile_says_where_it_comes_from_and_how_well_it_fits(profile):
    assert profile.id in PROFILES
    assert {"package", "wheel_sha256", "licence", "tables", "derived_on", "command"} <= profile.provenance.keys()
    assert profile.fit_error.mean_percent < 1.5
    assert profile.fit_error.p95_percent < 4.0
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
    bytes_each = {"bf16": (2.0, 2.0), "fp8": (1.0, 1.2), "w4a16": (0.5, 0.65)}[profile.quantisation]
    per_parameter = profile.weights_gib_per_gpu * profile.tensor_parallel * 1024**3 / profile.model.parameters
    assert bytes_each[0] <= per_parameter * (1 + 1e-4)
    assert per_parameter <= bytes_each[1] * (1 + 1e-4)


def test_the_70b_has_70_billion_parameters():
    """70.6 billion on its model card (meta-llama/Llama-3.1-70B, 2024-07)."""
    assert read_profile("llama-3.3-70b-bf16-a100-80gb-x4").model.parameters == pytest.approx(70.6e9, rel=0.002)


def test_attention_grows_with_context_and_batch(profile):
    assert list(profile.decode_attention.y) == sorted(profile.decode_attention.y)
    assert min(profile.decode_attention_per_kv_token.y) > 0
    assert profile.prefill_attention[2] > 0


def test_twice_the_tokens_never_take_less_time(profile):
    """Kernels get a little faster at the edge of a tile, but not by more than measurements scatter."""
    knots = dict(zip(profile.dense.x, profile.dense.y, strict=True))
    for tokens, seconds in knots.items():
        if 2 * tokens in knots:
            assert knots[2 * tokens] > 0.95 * seconds


def test_reading_weights_bounds_a_step_from_below(profile):
    """No step beats reading the weights once at the memory's data-sheet bandwidth (bytes per second)."""
    bandwidth = {"a100-80gb": 2.039e12, "l40s": 0.864e12, "h100-80gb": 3.35e12, "h200": 4.8e12}[profile.gpu]
    embedding_gib = 2 * profile.model.vocab * profile.model.hidden / profile.tensor_parallel / 1024**3
    read_s = (profile.weights_gib_per_gpu - embedding_gib) * 1024**3 / bandwidth
    assert profile.dense.y[0] + profile.lm_head.y[0] > read_s


def test_cross_socket_cards_are_slower_than_the_default():
    for quantisation in ("fp8", "w4a16"):
        name = f"llama-3.3-70b-{quantisation}-l40s-x4"
        assert read_profile(f"{name}-cross-socket").dense.y[-1] > 1.5 * read_profile(name).dense.y[-1]


def test_overheads_are_the_ones_the_tool_fitted(profile):
    assert profile.overhead.model_dump() == OVERHEAD[profile.gpu]
    assert profile.overhead.step.median_percent < 3.0


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
