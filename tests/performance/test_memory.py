from __future__ import annotations

import pytest

from simulator.errors import InfeasibleCluster, ProfileNotFound
from simulator.performance.memory import kv_capacity
from simulator.performance.profile import load_profile, read_profile
from simulator.scenario.patterns import EngineSettings


def test_70b_in_16_bits_leaves_two_a100_next_to_nothing():
    profile = read_profile("llama-3.3-70b-bf16-a100-80gb-x2")
    with pytest.raises(InfeasibleCluster, match=r"next to no room.*65\.7 GiB weights.*GiB for KV per GPU"):
        kv_capacity(profile, EngineSettings())
    # Who insists may have it.
    assert kv_capacity(profile, EngineSettings(num_gpu_blocks=2000)).tokens == 1999 * 16


def test_the_longest_request_must_fit():
    profile = read_profile("llama-3.1-8b-bf16-l40s-x1")
    assert kv_capacity(profile, EngineSettings(max_model_len=131_072)).tokens > 131_072
    with pytest.raises(InfeasibleCluster, match="one request of max_model_len 8,192"):
        kv_capacity(profile, EngineSettings(num_gpu_blocks=100))


def test_four_bit_weights_leave_room_for_hundreds_of_sequences():
    capacity = kv_capacity(read_profile("llama-3.3-70b-w4a16-a100-80gb-x2"), EngineSettings())
    assert 300_000 < capacity.tokens < 380_000
    assert "for KV per GPU" in capacity.explain()


def test_block_counts_are_near_those_vllm_reported():
    """Llama-3.1-70B bf16 on 4 H100 at 0.9: vLLM had room for 484,016 to 486,800 tokens (inference-sim golden files)."""
    profile = read_profile("llama-3.3-70b-bf16-h100-80gb-x4")
    tokens = kv_capacity(profile, EngineSettings(gpu_memory_utilisation=0.9)).tokens
    assert tokens == pytest.approx(484_016, rel=0.03)


def test_kv_bytes_per_token_of_a_70b():
    """80 layers x 8 heads x 128 x keys and values x 2 bytes = 320 KiB."""
    assert read_profile("llama-3.3-70b-bf16-a100-80gb-x4").model.kv_bytes_per_token(1) == 320 * 1024


def test_an_unknown_profile_names_the_nearest():
    with pytest.raises(ProfileNotFound, match="llama-3.3-70b-w4a16-a100-80gb-x2"):
        load_profile(model="llama-3.3-70b", gpu="a100-80g", tensor_parallel=2, quantisation="w4a16")
