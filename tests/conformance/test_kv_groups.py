"""KV cache groups beside vLLM's own planner, where it is installed, for models nobody has published."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.performance.architecture import KvLayers, ModelShape
from simulator.performance.kv_groups import kv_plan

pytestmark = [pytest.mark.slow, pytest.mark.needs("vLLM"), pytest.mark.filterwarnings("ignore")]

WINDOWS = (128, 512, 1024, 4096)


def shape(*kv):
    return ModelShape(
        name="m", hf_names=(), layers=sum(one.layers for one in kv), hidden=64, heads=32, kv_heads=8, head_dim=64,
        intermediate=1, vocab=1, kv=kv,
    )  # fmt: skip


@st.composite
def mixed(draw):
    """Full layers beside windows, chunks or states, in numbers of which vLLM makes groups."""
    full = KvLayers(
        kind="full", layers=draw(st.integers(1, 24)), heads=draw(st.sampled_from([2, 4, 8, 16])),
        head_dim=draw(st.sampled_from([64, 128, 256])),
    )  # fmt: skip
    other = draw(st.sampled_from(["window", "chunk", "state", "none", "state beside latent"]))
    layers = draw(st.integers(1, 48))
    if other == "none":
        return shape(full)
    if other.startswith("state"):
        if "latent" in other:
            full = KvLayers(kind="latent", layers=full.layers, heads=1, head_dim=draw(st.sampled_from([320, 576])))
        numbers = {"state_16_bits": 8 * draw(st.integers(1, 10_000)), "state_32_bits": 8 * draw(st.integers(1, 60_000))}
        return shape(KvLayers(kind="state", layers=layers, **numbers), full)
    wide = draw(st.booleans())
    heads = full.heads * (2 if wide else 1)
    span = draw(st.sampled_from(WINDOWS))
    return shape(KvLayers(kind=other, span=span, layers=layers, heads=heads, head_dim=full.head_dim), full)


class _Cut:
    """The parts of vLLM that plan a KV cache, fed with one model."""

    def __init__(self, model, tensor_parallel, number_bytes, block_size, budget, length, align):
        import torch
        from vllm.v1.core import kv_cache_planning as planning
        from vllm.v1.core.kv_cache_utils import get_kv_cache_capacity
        from vllm.v1.kv_cache_interface import (
            ChunkedLocalAttentionSpec,
            FullAttentionSpec,
            MambaSpec,
            MLAAttentionSpec,
            SlidingWindowSpec,
        )

        dtype = torch.bfloat16 if number_bytes == 2 else torch.uint8
        ours = kv_plan(model, tensor_parallel, number_bytes, block_size, budget, (0, 33), prefix_caching=align)
        specs = {}
        for kind in model.kv_layers:
            for layer in range(kind.layers):
                name = f"{kind.kind}.{layer}"
                common = {
                    "block_size": ours.block_size, "num_kv_heads": max(1, kind.heads // tensor_parallel),
                    "head_size": kind.head_dim, "dtype": dtype,
                }  # fmt: skip
                if kind.kind == "full":
                    specs[name] = FullAttentionSpec(**common)
                elif kind.kind == "latent":
                    specs[name] = MLAAttentionSpec(**common | {"num_kv_heads": 1})
                elif kind.kind == "window":
                    specs[name] = SlidingWindowSpec(**common, sliding_window=kind.span)
                elif kind.kind == "chunk":
                    specs[name] = ChunkedLocalAttentionSpec(**common, attention_chunk_size=kind.span)
                else:
                    page = max(one.token_bytes(tensor_parallel, number_bytes) for one in model.kv_layers)
                    specs[name] = MambaSpec(
                        block_size=ours.block_size,
                        shapes=((kind.state_16_bits // tensor_parallel,), (kind.state_32_bits // tensor_parallel,)),
                        dtypes=(torch.bfloat16, torch.float32),
                        page_size_padded=page * ours.block_size,
                        mamba_cache_mode="align" if align else "none",
                    )
        layout = SimpleNamespace(is_block_outermost=False, is_block_compact=True, is_layer_compact=False, name="LBNHC")
        self.config = SimpleNamespace(
            scheduler_config=SimpleNamespace(disable_hybrid_kv_cache_manager=False, max_num_batched_tokens=budget),
            cache_config=SimpleNamespace(
                get_resolved_kv_cache_layout=lambda: layout, num_gpu_blocks_override=None,
                prefix_cache_retention_interval=None, mamba_cache_mode="align" if align else "none",
            ),
            attention_config=SimpleNamespace(hisparse_config=None),
            parallel_config=SimpleNamespace(decode_context_parallel_size=1, prefill_context_parallel_size=1),
            model_config=SimpleNamespace(max_model_len=length), max_in_flight_tokens=2 * budget,
        )  # fmt: skip
        self.groups = planning.get_kv_cache_groups(self.config, specs)
        self.bytes_per_block = planning._get_kv_cache_bytes_per_block(self.groups, layout)
        self.capacity = get_kv_cache_capacity
        self.ours = ours

    def logged(self, blocks):
        found = SimpleNamespace(num_blocks=blocks, kv_cache_groups=self.groups, hisparse_host_num_blocks=None)
        return self.capacity(self.config, found)


@given(
    model=mixed(), gpus=st.sampled_from([1, 2, 4]), number_bytes=st.sampled_from([1, 2]),
    budget=st.sampled_from([2048, 8192]), length=st.integers(1, 200_000), blocks=st.integers(100, 100_000),
    align=st.booleans(),
)  # fmt: skip
def test_groups_and_capacity_are_vllms(model, gpus, number_bytes, budget, length, blocks, align):
    real = _Cut(model, gpus, number_bytes, 16, budget, length, align)
    assert len(real.ours.groups) == len(real.groups)
    assert real.ours.bytes_per_block == real.bytes_per_block
    tokens, concurrency = real.logged(blocks)
    assert real.ours.concurrency(blocks, length) == pytest.approx(concurrency, rel=1e-12)
    assert real.ours.logged_tokens(blocks, length, (0, 33)) == pytest.approx(tokens, abs=1)
