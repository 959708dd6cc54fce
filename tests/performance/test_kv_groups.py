"""KV cache groups against what real servers printed, and laws."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.errors import InfeasibleCluster
from simulator.performance.architecture import KvLayers, known_model, known_models
from simulator.performance.kv_groups import kv_plan
from simulator.performance.memory import kv_capacity, measure_capacity
from simulator.performance.weight_formats import weights_gib
from simulator.scenario.patterns import EngineSettings
from simulator.units import GIB


def cut(name, gpus, number_bytes, budget, version, kv_gib):
    plan = kv_plan(known_model(name), gpus, number_bytes, 16, budget, version)
    return plan, int(kv_gib * GIB / plan.bytes_per_block)


def test_gpt_oss_as_a_public_log_has_it():
    """120b on four A100, vLLM 0.10.1.1, 45.32 GiB for KV: 2,640,144 tokens, 284.25 requests of 16,384."""
    plan, blocks = cut("gpt-oss-120b", 4, 2, 2048, (0, 10), 45.32)
    assert len(plan.groups) == 2
    assert plan.concurrency(blocks, 16_384) == pytest.approx(284.25, rel=1e-4)
    assert plan.logged_tokens(blocks, 16_384, (0, 10)) == pytest.approx(2_640_144, rel=1e-4)


def test_delta_nets_as_public_logs_have_them():
    """Qwen3.5-27B, vLLM 0.19.0: 290,864 tokens, 33.04 requests of 32,768. Qwen3.8-27B, FP8 KV, two GPUs: 302,921."""
    plan, _ = cut("qwen3.5-27b", 1, 2, 8192, (0, 19), 1)
    assert plan.block_size == 784
    assert plan.logged_tokens(1484, 32_768, (0, 19)) == 290_864
    assert plan.concurrency(1487, 32_768) == pytest.approx(33.04, abs=0.005)
    plan, blocks = cut("qwen3.5-27b", 2, 1, 2048, (0, 27), 4.99)
    assert plan.block_size == 1568
    assert plan.concurrency(blocks, 131_072) == pytest.approx(2.31, abs=0.005)
    assert plan.logged_tokens(blocks, 131_072, (0, 27)) == 302_921


@pytest.mark.parametrize(
    ("name", "kv_gib", "tokens"), [("kimi-k2", 46.80, 715_072), ("glm-5", 32.11, 344_192)]
)  # fmt: skip
def test_latent_attention_as_public_logs_have_it(name, kv_gib, tokens):
    """Eight H200; the index of sparse attention is another 132 bytes a layer."""
    plan, blocks = cut(name, 8, 2, 8192, (0, 20), kv_gib)
    assert plan.uniform
    assert blocks * plan.block_size == pytest.approx(tokens, rel=3e-4)


class Server:
    """A model on a GPU, for the memory model."""

    def __init__(self, name, gpu, gpus, quantisation):
        self.id, self.model, self.gpu, self.tensor_parallel = name, known_model(name), gpu, gpus
        self.weights_gib_per_gpu = weights_gib(self.model, gpus, quantisation, gpu)


SERVERS = [
    ("gpt-oss-20b", "l40s", 1, "mxfp4"),
    ("medgemma-27b", "l40s", 2, "bf16"),
    ("gemma-4-31b", "h100-80gb", 1, "w4a16"),
    ("qwen3.5-27b", "h100-80gb", 1, "bf16"),
    ("llama-4-scout", "h100-80gb", 4, "bf16"),
]


@pytest.mark.parametrize("wish", SERVERS, ids=[one[0] for one in SERVERS])
def test_what_the_scheduler_may_fill_always_fits(wish):
    """Its blocks are of one kind: whatever the requests are, groups hold no more of the pool than there is."""
    engine = EngineSettings(max_num_seqs=32, max_model_len=16_384).on(wish[1])
    capacity = kv_capacity(Server(*wish), engine)
    for length in (1, 40, 128, 700, 1024, 3000, 16_384):
        held = min(engine.max_num_seqs, (capacity.num_gpu_blocks - 1) // -(-length // 16))
        # A window has at most one block more than the tokens in it (it may start inside one).
        spare = held * sum(group.kind == "window" for group in capacity.plan.groups)
        per_block = max(group.block_size for group in capacity.plan.groups)
        rounding = held * len(capacity.plan.groups) * (per_block > 16)
        assert held * capacity.plan.request_blocks(length) <= capacity.pool_blocks + spare + rounding


def test_8_bits_hold_twice_as_much():
    for name in ("llama-3.1-8b", "qwen3-30b-a3b", "deepseek-v3"):
        server = Server(name, "h200", 8, "fp8")
        wide, narrow = (
            measure_capacity(server, EngineSettings(kv_cache_dtype=kind).on("h200")) for kind in ("auto", "fp8_e5m2")
        )
        assert narrow.tokens == pytest.approx(2 * wide.tokens, rel=1e-3)


def test_a_checkpoint_with_an_8_bit_cache_is_served_so():
    server = Server("llama-3.1-8b", "h100-80gb", 1, "fp8")
    engine = EngineSettings().on("h100-80gb")
    plain = measure_capacity(server, engine).tokens
    server.model = server.model.model_copy(update={"kv_cache_bits": 8})
    assert measure_capacity(server, engine).tokens == pytest.approx(2 * plain, rel=1e-3)
    wide = engine.model_copy(update={"kv_cache_dtype": "bfloat16"})
    assert measure_capacity(server, wide).tokens == plain


def test_too_many_seats_for_the_states_are_refused_with_how_many_fit():
    server = Server("qwen3.5-27b", "h100-80gb", 1, "bf16")
    with pytest.raises(InfeasibleCluster, match=r"Set max_num_seqs to (\d+) or less") as caught:
        kv_capacity(server, EngineSettings(max_model_len=16_384).on("h100-80gb"))
    most = int(str(caught.value).rsplit("max_num_seqs to ", 1)[1].split(" ")[0])
    assert kv_capacity(server, EngineSettings(max_model_len=16_384, max_num_seqs=most).on("h100-80gb")).tokens >= 16_384


def test_chunks_that_are_no_whole_blocks_need_one_block_more():
    """Chunks of 8,000 are 500 blocks of 16, and 62.5 of 128: vLLM starts with room for one request, and hangs."""
    server = Server("llama-4-scout", "h100-80gb", 4, "bf16")
    kinds = [one.model_copy(update={"span": one.span and 8000}) for one in server.model.kv]
    server.model = server.model.model_copy(update={"kv": tuple(kinds)})

    def start(block_size, more=0):
        # One chunk and a step in flight in three groups; of every fourth layer everything.
        chunk, whole = -(-(8000 + 1024) // block_size), 16_384 // block_size
        engine = EngineSettings(
            block_size=block_size, max_model_len=16_384, max_num_batched_tokens=1024, prefix_caching=False,
            vllm_version="0.20.0", num_gpu_blocks=3 * chunk + whole + 1 + more,
        )  # fmt: skip
        return kv_capacity(server, engine)

    assert start(16).requests == 1
    with pytest.raises(InfeasibleCluster, match="may need 344 of 341 blocks"):
        start(128)
    assert start(128, more=3).requests == pytest.approx(344 / 341)


@given(
    index=st.integers(0, len(known_models()) - 1), gpus=st.sampled_from([1, 2, 4, 8]),
    number_bytes=st.sampled_from([1, 2]), lengths=st.tuples(st.integers(1, 100_000), st.integers(1, 100_000)),
    blocks=st.integers(1000, 1_000_000),
)  # fmt: skip
def test_longer_requests_hold_no_less_and_no_more_than_all_layers_would(index, gpus, number_bytes, lengths, blocks):
    model = known_models()[index]
    plan = kv_plan(model, gpus, number_bytes, 16, 2048, (0, 33))
    short, long = sorted(lengths)
    assert plan.request_blocks(short) <= plan.request_blocks(long)
    assert plan.concurrency(blocks, long) <= plan.concurrency(blocks, short)
    most = sum(-(-long // group.block_size) + 1 + group.state_blocks for group in plan.groups)
    assert plan.request_blocks(long) <= most


def test_padding_gives_groups_of_the_larger_kind():
    """12 layers beside 13: one group of 13 each, as vLLM pads them, not 12 and 24."""
    kinds = (
        KvLayers(kind="window", span=128, layers=12, heads=8, head_dim=64),
        KvLayers(kind="full", layers=13, heads=8, head_dim=64),
    )
    model = known_model("gpt-oss-20b").model_copy(update={"kv": kinds})
    plan = kv_plan(model, 1, 2, 16, 2048, (0, 33))
    assert len(plan.groups) == 2
    assert plan.bytes_per_block == 13 * 16 * 2 * 8 * 64 * 2


@pytest.mark.parametrize(
    ("name", "gpu"), [("gpt-oss-20b", "h100-80gb"), ("gemma-3-27b", "h100-80gb"), ("qwen3.5-27b", "h200")]
)
def test_without_prefix_caching_the_scheduler_has_the_whole_pool(name, gpu):
    server = Server(name, gpu, 1, "mxfp4" if name.startswith("gpt") else "bf16")
    engine = EngineSettings(max_model_len=65_536, max_num_seqs=64, prefix_caching=False).on(gpu)
    by_group = kv_capacity(server, engine)
    assert by_group.by_group
    assert by_group.num_gpu_blocks == by_group.pool_blocks
    assert by_group.tokens == int(by_group.requests * 65_536)
    one_kind = kv_capacity(server, engine.model_copy(update={"prefix_caching": True}))
    assert not one_kind.by_group
    assert one_kind.tokens < by_group.tokens
