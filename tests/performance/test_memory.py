from __future__ import annotations

import pytest

from simulator.errors import InfeasibleCluster
from simulator.performance.memory import CONSERVATIVE_RESERVE_GIB, GPUS, RESERVE_GIB, kv_blocks, kv_capacity
from simulator.performance.profile import ModelShape, read_profile
from simulator.scenario.patterns import EngineSettings
from simulator.units import GIB


def test_70b_in_16_bits_leaves_two_a100_next_to_nothing():
    profile = read_profile("llama-3.3-70b-bf16-a100-80gb-x2")
    with pytest.raises(InfeasibleCluster, match=r"next to no room.*65\.7 GiB weights.*GiB for KV per GPU"):
        kv_capacity(profile, EngineSettings())
    # Who insists may have it.
    assert kv_capacity(profile, EngineSettings(num_gpu_blocks=2000)).tokens == 1999 * 16


@pytest.mark.parametrize("utilisation", [0.9, 0.92])
def test_32k_of_context_do_not_fit_beside_it(utilisation):
    profile = read_profile("llama-3.3-70b-bf16-a100-80gb-x2")
    engine = EngineSettings(max_model_len=32_768, gpu_memory_utilisation=utilisation)
    with pytest.raises(InfeasibleCluster, match=rf"79\.2 GiB x {utilisation:.2f} - 65\.7 GiB weights - 2\.0 GiB"):
        kv_capacity(profile, engine)


def test_the_longest_request_must_fit():
    profile = read_profile("llama-3.1-8b-bf16-l40s-x1")
    assert kv_capacity(profile, EngineSettings(max_model_len=131_072)).tokens > 131_072
    with pytest.raises(InfeasibleCluster, match="one request of max_model_len 8,192"):
        kv_capacity(profile, EngineSettings(num_gpu_blocks=100))


def test_four_bit_weights_leave_room_for_hundreds_of_sequences():
    capacity = kv_capacity(read_profile("llama-3.3-70b-w4a16-a100-80gb-x2"), EngineSettings())
    assert 300_000 < capacity.tokens < 380_000
    assert "for KV per GPU" in capacity.explain()


@pytest.mark.parametrize(
    ("shape", "tensor_parallel", "tokens"),
    [
        ((80, 8192, 64, 8, 128, 28672, 128256), 4, 484_016),  # Llama-3.1-70B
        ((28, 3584, 28, 4, 128, 18944, 152064), 1, 1_045_632),  # Qwen2.5-7B
        ((60, 7168, 56, 8, 128, 20480, 64000), 2, 332_688),  # Yi-34B
        ((32, 4096, 32, 32, 128, 11008, 32000), 1, 119_408),  # Llama-2-7B
    ],
)
def test_block_counts_are_near_those_vllm_reported(shape, tensor_parallel, tokens):
    """Tokens for which vLLM had room on H100 at 0.9, 16-bit weights (inference-sim golden files)."""
    names = ("layers", "hidden", "heads", "kv_heads", "head_dim", "intermediate", "vocab")
    model = ModelShape(name="x", hf_names=(), **dict(zip(names, shape, strict=True)))
    weights_gib = 2 * model.parameters / tensor_parallel / GIB
    per_token = model.kv_bytes_per_token(tensor_parallel)
    room_gib = 0.9 * GPUS["h100-80gb"].memory_gib - weights_gib
    assert 16 * kv_blocks(room_gib - RESERVE_GIB, per_token, 16) == pytest.approx(tokens, rel=0.03)
    assert 16 * kv_blocks(room_gib - CONSERVATIVE_RESERVE_GIB, per_token, 16) == pytest.approx(tokens, rel=0.08)


def test_the_conservative_reserve_leaves_less():
    profile = read_profile("llama-3.3-70b-w4a16-a100-80gb-x2")
    usual = kv_capacity(profile, EngineSettings())
    careful = kv_capacity(profile, EngineSettings(), reserve_gib=CONSERVATIVE_RESERVE_GIB)
    assert usual.kv_gib - careful.kv_gib == pytest.approx(CONSERVATIVE_RESERVE_GIB - RESERVE_GIB)
    assert careful.tokens < usual.tokens


def test_no_room_means_no_blocks():
    assert kv_blocks(-1.0, 1024, 16) == 0


def test_kv_bytes_per_token_of_a_70b():
    """80 layers x 8 heads x 128 x keys and values x 2 bytes = 320 KiB."""
    assert read_profile("llama-3.3-70b-bf16-a100-80gb-x4").model.kv_bytes_per_token(1) == 320 * 1024
