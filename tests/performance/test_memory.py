from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.errors import InfeasibleCluster
from simulator.performance.architecture import known_model
from simulator.performance.memory import GRAPH_LAYER_GIB, kv_blocks, kv_capacity, measure_capacity, reserve
from simulator.performance.profile import ModelShape, read_profile
from simulator.performance.weight_formats import weights_gib
from simulator.scenario.gpus import GPUS, batch_defaults
from simulator.scenario.patterns import Cluster, EngineSettings
from simulator.units import GIB


def test_70b_in_16_bits_runs_on_two_a100_with_little_room():
    """vLLM starts as soon as one request fits; what is left holds a few."""
    profile = read_profile("llama-3.3-70b-bf16-a100-80gb-x2")
    assert 2 < kv_capacity(profile, EngineSettings()).requests < 6
    assert kv_capacity(profile, EngineSettings(num_gpu_blocks=2000)).tokens == 1999 * 16


def test_what_does_not_fit_is_refused_with_the_arithmetic():
    profile = read_profile("llama-3.3-70b-bf16-a100-80gb-x2")
    engine = EngineSettings(max_model_len=65_536)
    with pytest.raises(InfeasibleCluster, match=r"max_model_len 65,536.*79\.2 GiB x 0\.92 - 65\.7 GiB weights"):
        kv_capacity(profile, engine)


def test_the_longest_request_must_fit():
    profile = read_profile("llama-3.1-8b-bf16-l40s-x1")
    assert kv_capacity(profile, EngineSettings(max_model_len=131_072)).tokens > 131_072
    with pytest.raises(InfeasibleCluster, match="one request of max_model_len 8,192"):
        kv_capacity(profile, EngineSettings(num_gpu_blocks=512))
    assert kv_capacity(profile, EngineSettings(num_gpu_blocks=513)).requests == 1


@given(
    st.sampled_from(["gpt-oss-120b-mxfp4-h100-80gb-x1", "gpt-oss-20b-mxfp4-l40s-x1", "medgemma-27b-bf16-l40s-x2"]),
    st.integers(256, 131_072),
    st.floats(0.6, 0.95),
    st.booleans(),
)
def test_law_what_starts_holds_its_longest_request(name, longest, share, prefix_caching):
    """As the scheduler counts it too, in which every layer keeps every token where prefixes are cached."""
    profile = read_profile(name)
    engine = EngineSettings(max_model_len=longest, gpu_memory_utilisation=share, prefix_caching=prefix_caching)
    try:
        capacity = kv_capacity(profile, engine.on(profile.gpu))
    except InfeasibleCluster:
        return
    assert capacity.requests >= 1.0
    assert capacity.tokens >= longest


def test_four_bit_weights_leave_room_for_hundreds_of_sequences():
    capacity = kv_capacity(read_profile("llama-3.3-70b-w4a16-a100-80gb-x2"), EngineSettings())
    assert 300_000 < capacity.tokens < 380_000
    assert "for KV per GPU" in capacity.explain()


@pytest.mark.parametrize(
    ("model", "tensor_parallel", "peak_gib"),
    [("llama-3.1-8b", 1, 4.76), ("qwen3-0.6b", 1, 5.56), ("qwen3-32b", 1, 5.64), ("llama-3.3-70b", 2, 4.84)],
)
def test_the_peak_of_profiling_is_what_vllm_logged(model, tensor_parallel, peak_gib):
    """H100, vLLM 0.11 (llm-d-benchmark, empirical-vllm-memory-results): it follows the vocabulary, not the weights."""
    shape = known_model(model)
    assert shape is not None
    engine = EngineSettings(vllm_version="0.11.0").on("h100-80gb")
    assert reserve(shape, tensor_parallel, engine).peak_gib == pytest.approx(peak_gib, abs=0.01)


def test_sampling_by_hand():
    """1,024 sequences x 128,256 entries x 38 bytes, and 4,096 numbers of 2 bytes for 8,192 + 2 x 1,024 rows."""
    shape = known_model("llama-3.1-8b")
    assert shape is not None
    found = reserve(shape, 1, EngineSettings(vllm_version="0.11.0").on("h100-80gb"))
    assert found.peak_gib * GIB == 1024 * 128_256 * 38 + 2 * 4096 * (8192 + 2 * 1024) + 32 * 1024**2
    assert (found.non_torch_gib, found.graphs_gib) == (0.13, 0.0)


def test_a_long_step_needs_more_than_sampling():
    """V0 computed a prompt whole: 20,000 tokens x (3 x 14,336 + 3 x 4,096) x 2 bytes."""
    shape = known_model("llama-3.1-8b")
    assert shape is not None
    engine = EngineSettings(max_model_len=20_000, max_num_batched_tokens=20_000, vllm_version="0.6.0")
    peak = reserve(shape, 1, engine).peak_gib * GIB
    assert peak == pytest.approx(20_000 * 3 * (14_336 + 4096) * 2 + 32 * 1024**2)


@pytest.mark.parametrize(
    ("version", "flashinfer", "bytes_"),
    [("0.8.5", False, 38), ("0.10.1", True, 14), ("0.12.0", True, 38), ("0.16.0", False, 38), ("0.19.1", False, 14),
     ("0.22.0", False, 14), (None, False, 18.125)],
)  # fmt: skip
def test_sampling_by_version(version, flashinfer, bytes_):
    shape = known_model("llama-3.1-8b")
    assert shape is not None
    many, few = (
        reserve(shape, 1, EngineSettings(vllm_version=version, max_num_seqs=n), flashinfer=flashinfer)
        for n in (256, 128)
    )
    assert (many.peak_gib - few.peak_gib) * GIB == 128 * (128_256 * bytes_ + 4 * 4096)


def test_graphs_are_part_of_the_budget_since_0_20():
    shape = known_model("llama-3.1-8b")
    assert shape is not None
    before, since, eager = (
        reserve(shape, 1, EngineSettings(vllm_version=version, enforce_eager=eager)).graphs_gib
        for version, eager in (("0.19.1", False), ("0.20.0", False), ("0.20.0", True))
    )
    assert before == eager == 0.0
    assert since > 0.25


def test_qwen_on_a_4090_as_its_log_has_it():
    """Qwen2.5-7B, vLLM with graphs in the budget: 0.53 GiB of graphs, 4.45 GiB for KV, 83,376 tokens."""
    shape = known_model("qwen2.5-7b")
    assert shape is not None
    assert reserve(shape, 1, EngineSettings(vllm_version="0.22.0")).graphs_gib == pytest.approx(0.53, abs=0.02)
    assert 16 * kv_blocks(4.45, 16 * shape.kv_bytes_per_token(1)) == pytest.approx(83_376, rel=0.001)


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
    """Tokens for which vLLM had room on H100 at 0.9 with 256 seats, 16-bit weights (inference-sim golden files)."""
    names = ("layers", "hidden", "heads", "kv_heads", "head_dim", "intermediate", "vocab")
    model = ModelShape(name="x", hf_names=(), **dict(zip(names, shape, strict=True)))
    needed = reserve(model, tensor_parallel, EngineSettings(vllm_version="0.11.0"))
    room_gib = 0.9 * GPUS["h100-80gb"].memory_gib - weights_gib(model, tensor_parallel, "bf16") - needed.gib
    per_token = model.kv_bytes_per_token(tensor_parallel)
    assert 16 * kv_blocks(room_gib, 16 * per_token) == pytest.approx(tokens, rel=0.03)


def test_memory_for_kv_can_be_stated():
    """160 KiB a token: 20 GiB are 131,072 tokens, of which one block stays empty."""
    profile = read_profile("llama-3.3-70b-w4a16-a100-80gb-x2")
    assert kv_capacity(profile, EngineSettings(kv_cache_memory="20 GiB")).tokens == 131_072 - 16
    assert kv_capacity(profile, EngineSettings(kv_cache_memory=20 * GIB, gpu_memory_utilisation=0.3)).tokens == 131_056
    with pytest.raises(InfeasibleCluster, match=r"kv_cache_memory 70\.0 GiB is more than 79\.2 GiB - 18\.4 GiB"):
        kv_capacity(profile, EngineSettings(kv_cache_memory="70 GiB"))
    with pytest.raises(ValueError, match="either num_gpu_blocks or kv_cache_memory"):
        EngineSettings(kv_cache_memory="20 GiB", num_gpu_blocks=10)


@given(seqs=st.integers(1, 1024), tokens=st.integers(1024, 16_384), share=st.floats(0.3, 1.0), step=st.integers(1, 512))
def test_law_what_asks_for_more_leaves_less(seqs, tokens, share, step):
    profile = read_profile("llama-3.1-8b-bf16-h100-80gb-x1")

    def left(seqs, tokens, share):
        engine = EngineSettings(max_num_seqs=seqs, max_num_batched_tokens=tokens, gpu_memory_utilisation=share)
        return measure_capacity(profile, engine).kv_gib

    base = left(seqs, tokens, share)
    # A number of seats that is no captured size is one more, for two more graphs of 32 layers.
    assert left(seqs + step, tokens, share) <= base + 2 * 32 * GRAPH_LAYER_GIB + 1e-9
    assert left(seqs, tokens + step, share) <= base + 1e-9
    assert left(seqs, tokens, min(1.0, share + 0.01)) >= base


@pytest.mark.parametrize(
    ("gpu", "version", "expected"),
    [
        ("h100-80gb", (0, 33), (1024, 8192)),
        ("h200", (0, 33), (1024, 8192)),
        ("rtx-pro-6000", (0, 33), (1024, 8192)),
        ("a100-80gb", (0, 33), (256, 2048)),
        ("a100-80gb-pcie", (0, 33), (256, 2048)),
        ("l40s", (0, 33), (256, 2048)),
        ("a100-80gb", (0, 8), (1024, 8192)),
        ("h100-80gb", (0, 7), (256, 2048)),
        ("b200", (0, 33), (1024, 16_384)),
        ("b200", (0, 22), (1024, 8192)),
        ("an-unknown-one", (0, 33), (256, 2048)),
    ],
)
def test_batches_by_gpu_and_version(gpu, version, expected):
    """`get_batch_defaults` of vLLM 0.7.2, 0.8.5, 0.11, 0.22, 0.28 and 0.33, for the server."""
    assert batch_defaults(gpu, version) == expected


@pytest.mark.parametrize(
    ("gpu", "engine", "expected"),
    [
        ("h100-80gb", {}, (1024, 8192)),
        ("a100-80gb", {}, (256, 2048)),
        ("h100-80gb", {"max_num_seqs": 128}, (128, 8192)),
        ("h100-80gb", {"max_num_batched_tokens": 512}, (512, 512)),
        ("h100-80gb", {"max_num_seqs": 4, "max_model_len": 1024}, (4, 4096)),
        ("h100-80gb", {"vllm_version": "0.7.2"}, (256, 2048)),
        ("h100-80gb", {"chunked_prefill": False}, (1024, 8192)),
        ("a100-80gb", {"chunked_prefill": False, "max_model_len": 32_768}, (256, 32_768)),
    ],
)
def test_a_cluster_takes_what_vllm_would(gpu, engine, expected):
    cluster = Cluster(model="llama-3.1-8b", gpu=gpu, engine=EngineSettings(**engine))
    assert (cluster.engine.max_num_seqs, cluster.engine.max_num_batched_tokens) == expected
    stated = {key for key in engine if key.startswith("max_num")}
    back = cluster.moved({"gpu": "a100-80gb"}).moved({"gpu": gpu})
    assert back.engine == cluster.engine
    assert cluster.engine.model_fields_set & {"max_num_seqs", "max_num_batched_tokens"} == stated


def test_no_room_means_no_blocks():
    assert kv_blocks(-1.0, 1024) == 0


def test_kv_bytes_per_token_of_a_70b():
    """80 layers x 8 heads x 128 x keys and values x 2 bytes = 320 KiB."""
    assert read_profile("llama-3.3-70b-bf16-a100-80gb-x4").model.kv_bytes_per_token(1) == 320 * 1024


def test_the_memory_of_a_gpu_is_what_its_source_says():
    """Within the figures it quotes, or that of the board it is said to be like, or 0.99 of what nvidia-smi reports."""
    like = {"as the SXM board": "a100-80gb", "as L40S": "l40s"}
    for name, gpu in GPUS.items():
        quoted = re.search(r"\((\d[\d.]*) (?:to|, and) (\d[\d.]*)", gpu.source)
        reported = re.search(r"([\d,]+) MiB", gpu.source)
        same = next((GPUS[other] for words, other in like.items() if words in gpu.source), None)
        if quoted:
            assert float(quoted[1]) <= gpu.memory_gib <= float(quoted[2]), name
        elif reported:
            assert gpu.memory_gib == pytest.approx(0.99 * int(reported[1].replace(",", "")) / 1024, rel=0.006), name
        elif same:
            assert gpu.memory_gib == same.memory_gib, name
