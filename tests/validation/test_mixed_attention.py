"""What decodes take beside a prompt under FlashAttention 2: a law, held to others' timings of both together."""

from __future__ import annotations

import csv
from types import SimpleNamespace

import numpy as np
import pytest

from simulator.performance.build import TILE_KEYS, TILE_ROWS, _fit_prefill_attention
from tests.parts import MEASUREMENTS

TABLES = MEASUREMENTS.parent / "llmservingsim" / "profiles"
CHUNK, PAST = 16, 512
#: Of a layer's matrix products, about: they weigh the fit of what prompts take.
DENSE_US, TOKEN_US = 100.0, 0.5


@pytest.mark.needs("measurements")
@pytest.mark.parametrize(
    ("gpu", "model"),
    [
        ("RTX4090", "meta-llama/Llama-3.1-8B"), ("RTXPRO6000", "meta-llama/Llama-3.1-8B"),
        ("RTXPRO6000", "Qwen/Qwen3-32B"), ("RTXPRO6000", "Qwen/Qwen3-30B-A3B-Instruct-2507"),
    ],
)  # fmt: skip
def test_a_decode_beside_a_prompt_computes_as_much_as_a_tile_of_prompt_tokens(gpu, model):
    with (TABLES / gpu / model / "bf16" / "tp1" / "attention.csv").open() as file:
        names = ("prefill_chunk", "kv_prefill", "n_decode", "kv_decode")
        us = {tuple(int(row[name]) for name in names): float(row["time_us"]) for row in csv.DictReader(file)}
    prompts = SimpleNamespace(
        prefill_attention_s=lambda chunk, past: us[chunk, past, 0, 0], dense_s=lambda chunk: DENSE_US + chunk * TOKEN_US
    )
    per_pair_us = _fit_prefill_attention(prompts)[2]
    places = [
        (n, context) for chunk, past, n, context in us
        if (chunk, past) == (CHUNK, PAST) and n >= 8 and 256 <= context <= 2048 and (0, 0, n, context) in us
    ]  # fmt: skip
    assert len(places) >= 16
    beside_us = np.array([us[CHUNK, PAST, *place] - us[CHUNK, PAST, 0, 0] for place in places])
    packed = np.array([us[0, 0, *place] for place in places]) / beside_us
    law = np.array([TILE_ROWS * per_pair_us * n * (context + TILE_KEYS) for n, context in places]) / beside_us
    assert np.median(law) == pytest.approx(1.0, abs=0.15)
    assert np.median(np.abs(law - 1.0)) < 0.5 * np.median(np.abs(packed - 1.0))
