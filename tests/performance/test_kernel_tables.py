"""What is inferred where kernel tables have a gap, held against rows that they have."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from simulator.performance.config_json import read_model
from simulator.performance.kernel_rows import table_of
from simulator.performance.kernel_tables import KernelTimes, head_parts
from simulator.performance.kernel_wishes import SYSTEMS

#: GPUs that other boards are told from.
TIMED = ("a100-80gb", "l40s", "h100-80gb", "h200")
#: Sequences and contexts of the tables.
POINTS = [(sequences, context) for sequences in (8, 16, 32, 64, 128) for context in (256, 512, 1024, 2048, 4096)]


def times_of(gpu, heads, kv_heads):
    model = read_model("llama-3.1-8b").model_copy(update={"heads": heads, "kv_heads": kv_heads})
    return KernelTimes(model, gpu, 1, "bf16")


@pytest.mark.parametrize(("kv_heads", "parts"), [(1, 1), (8, 1), (12, 3), (16, 2), (32, 4), (40, 5), (11, 11)])
def test_heads_are_cut_into_parts_that_were_timed(kv_heads, parts):
    assert head_parts(kv_heads) == parts
    assert kv_heads % parts == 0


@pytest.mark.needs("kernel tables")
@pytest.mark.parametrize("gpu", TIMED)
def test_a_part_of_the_heads_and_more_sequences_tell_the_time_of_all(gpu):
    """Left out: 8 key-value heads, told from 4 and from 2 of them, with and without the query heads cut alike."""
    cut, kept = [], []
    for heads in (8, 32):
        timed = times_of(gpu, heads, 8)
        truth = np.array([timed.decode_attention_s(*point) for point in POINTS])
        for parts in (2, 4):
            for found, part in (
                (cut, times_of(gpu, heads // parts, 8 // parts)),
                (kept, times_of(gpu, heads, 8 // parts)),
            ):
                told = np.array([part.decode_attention_s(parts * n, context) for n, context in POINTS])
                found.append(np.mean(np.abs(told / truth - 1.0)))
    assert np.mean(cut) < 0.06
    assert np.mean(cut) < np.mean(kept)


@pytest.mark.needs("kernel tables")
def test_attention_without_groups_is_that_of_a_quarter_of_the_heads():
    whole, part = times_of("h100-80gb", 32, 32), times_of("h100-80gb", 8, 8)
    assert whole.decode_attention_s(20, 700) == part.decode_attention_s(80, 700)
    assert "4 times the sequences with one in 4 of the heads" in whole.notes[0]
    assert whole.label == "derived"


@pytest.mark.needs("kernel tables")
@pytest.mark.parametrize("gpu", TIMED)
def test_chunks_computed_together_start_attention_once(gpu):
    """Chunks timed together, told from one alone: what a start takes is the time of the shortest."""
    system, version = SYSTEMS[gpu]
    rows = table_of(system, "attention", "vllm", version, "context_attention_perf.parquet")
    flash = rows.kernel_source.str.contains("flash_attn") & ~rows.kernel_source.str.endswith("fa4")
    rows = rows[flash & (rows.head_dim == 128) & (rows.num_key_value_heads == 8) & (rows.num_heads == 32)]
    rows = rows[rows.kv_cache_dtype == "bfloat16"]
    if "window_size" in rows:
        rows = rows[rows.window_size == 0]
    timed = rows.groupby(["batch_size", "isl"]).latency.median()
    once, each = [], []
    for chunks, tokens in itertools.product((2, 4, 8), (16, 64, 256, 512, 1024)):
        alone, start, together = timed[1, tokens], timed[1, 16], timed[chunks, tokens]
        once.append((start + chunks * (alone - start)) / together - 1.0)
        each.append(chunks * alone / together - 1.0)
    assert np.mean(np.abs(once)) < 0.25
    assert np.mean(np.abs(each)) > 3 * np.mean(np.abs(once))
