"""Derive a performance profile from kernel timings.

A step's time is taken apart into dense layers by token count, output head by sequences, decode attention by sequences
and context, and prefill attention by chunk and past. Dense layers have cliffs where a kernel's tile is full, so they
are knots, at the rows of the tables, which lie on both sides of each cliff; attention is smooth, so it is a formula.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import isotonic_regression, nnls

from simulator.errors import ProfileError
from simulator.performance.boards import SCALED, SCALED_BAND
from simulator.performance.kernel_composed import ComposedTimes
from simulator.performance.kernel_rows import PACKAGE
from simulator.performance.kernel_tables import KernelTimes
from simulator.performance.kernel_wishes import (
    CROSS_SOCKET,
    FORMATS,
    SYSTEMS,
    VERSION,
    WHEEL_SHA256,
    check_possible,
    chip,
    told_whole,
)
from simulator.performance.outside_torch import NON_TORCH_GIB
from simulator.performance.profile import HOSTS_BAND, HOSTS_SOURCE, PerformanceProfile, profile_id
from simulator.performance.roofline import BAND, BAND_OF_SEVERAL, RooflineTimes
from simulator.performance.weight_formats import weights_gib
from simulator.scenario.gpus import GPUS

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.performance.architecture import ModelShape

SEQUENCES = [1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024]
CONTEXTS = [128, 256, 512, 1024, 2048, 4096, 8192]
#: The same where layers have a window: on both sides of it.
WINDOW_CONTEXTS = [128, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 8192]
#: A window of fewer tokens is full as good as always, and one of more hardly ever.
BENDS = (512, 5000)
CHUNKS = (16, 64, 256, 512, 1024, 2048)
PASTS = (0, 256, 1024, 4096, 8192)
#: Steps on which two ways of inferring a profile are compared: decodes, and tokens of a prompt chunk.
TYPICAL_STEPS = ((64, 0), (16, 512))
ASSUMED_BAND = (0.8, 1.2)
#: vLLM's default share of GPU memory.
MEMORY_SHARE = 0.92
#: Tables of GPUs on which vLLM runs FlashAttention 2 (`vllm/v1/attention/backends/fa_utils.py`: 3 is for Hopper).
FLASH_ATTENTION_2 = frozenset(("a100_sxm", "l40s", "rtx_pro_6000_server"))
#: Rows of a tile of queries, and keys that a tile takes to start (`flash_fwd_launch_template.h`, split-KV: 64 x 128).
TILE_ROWS, TILE_KEYS = 64, 128


def shipped_overhead(model: ModelShape, gpu: str, tensor_parallel: int) -> dict[str, Any]:
    """What kernel tables leave out, as `tools/fit_overhead.py` fitted it.

    A step on several GPUs waits for worker processes; sampling goes through the whole vocabulary for each sequence;
    before Hopper each sequence costs every key-value head of every layer something more; and the front end depends on
    the host.
    """
    text = (resources.files("simulator.performance") / "data" / "overhead.json").read_text("utf-8")
    fitted = json.loads(text)
    heads = model.layers * max(1.0, model.kv_heads / tensor_parallel)
    like = chip(gpu) if gpu in SYSTEMS else "h100-80gb"
    per_sequence_s = fitted["per_sequence_and_vocabulary_entry_s"] * model.vocab
    per_sequence_s += fitted["per_sequence_kv_head_and_layer_s"].get(like, 0.0) * heads
    return {
        "per_step_s": fitted["per_step_on_several_gpus_s"] if tensor_parallel > 1 else 0.0,
        "per_sequence_s": float(f"{per_sequence_s:.3g}"),
        "eager_per_layer_s": fitted["eager_per_layer_s"],
        "v0_per_step_s": fitted["v0_engine_per_step_s"].get(like, 0.0),
        "frontend_base_s": fitted["frontend_base_s"].get(like, fitted["frontend_base_s"]["h100-80gb"]),
        "frontend_per_prompt_token_s": 0.0,
        "output_s": fitted["output_s"],
        "step": fitted["step"],
        "front_end": fitted["front_end"],
    }


def build_profile(
    model: ModelShape,
    gpu: str,
    tensor_parallel: int,
    quantisation: str,
    *,
    variant: str | None = None,
    command: str = "",
    today: str = "",
    fitted: bool = True,
) -> PerformanceProfile:
    """Derive the profile of a model on a GPU group.

    Args:
        model: Its shape.
        gpu: GPU type.
        tensor_parallel: GPUs among which it is split.
        quantisation: Weight format.
        variant: Another inference where some kernels were not timed.
        command: Kept as provenance.
        today: Kept as provenance, ISO date.
        fitted: Whether what was fitted on served runs corrects the tables.

    Raises:
        ProfileError: There are no timings for this, the weights do not fit, or the package is missing.
    """
    times = step_times(model, gpu, tensor_parallel, quantisation, variant, fitted=fitted)
    if model.kv_cache_bits == 8:
        times.notes.append("attention as over a KV cache of 16 bits, where the checkpoint's has 8: cautious")
    weights = weights_gib(model, tensor_parallel, quantisation, gpu)
    _check_memory(gpu, tensor_parallel, weights)
    window = _bend(model)
    contexts = WINDOW_CONTEXTS if window else CONTEXTS
    base, slope, ends = _fit_decode_attention(times.decode_attention_s, contexts, window)
    prefill = _fit_prefill_attention(times)
    knots = times.knots()
    dense = [times.dense_s(tokens) for tokens in knots]
    content: dict[str, Any] = {
        "schema_version": 1,
        "id": profile_id(model.name, gpu, tensor_parallel, quantisation, variant),
        "model": model.model_dump(mode="json"),
        "gpu": gpu,
        "tensor_parallel": tensor_parallel,
        "quantisation": quantisation,
        "variant": variant,
        "weights_gib_per_gpu": round(weights, 3),
        "label": times.label,
        "provenance": {
            "package": f"{PACKAGE} {VERSION}",
            "wheel_sha256": WHEEL_SHA256,
            "licence": "Apache-2.0, NVIDIA Corporation & Affiliates",
            "tables": times.system if times.system == "data sheet" else f"{times.system} vllm {times.version}",
            "derived_on": today,
            "command": command,
        },
        "notes": times.notes,
        "measured": {
            "tokens": min(times.max_tokens, knots[-1]),
            "sequences": SEQUENCES[-1],
            "context_tokens": contexts[-1],
        },
        "dense": _curve(knots, list(isotonic_regression(dense).x) if model.experts > 1 else dense),
        "lm_head": _curve(SEQUENCES, [times.lm_head_s(sequences) for sequences in SEQUENCES]),
        "decode_attention": _curve(SEQUENCES, base),
        "decode_attention_per_kv_token": _curve(SEQUENCES, slope),
        "prefill_attention": [float(f"{value:.6g}") for value in prefill],
        **({"window_attention_per_kv_token": _curve(SEQUENCES, ends), "window_tokens": window} if window else {}),
        **_beside_prompts(times, model, contexts, prefill[2]),
        "step_time_band": _band(times, (model, gpu, tensor_parallel, quantisation, variant)),
        "overhead": shipped_overhead(model, gpu, tensor_parallel),
    }
    content["fit_error"] = _fit_error(times, content)
    return PerformanceProfile.model_validate_json(json.dumps(content))


Times = KernelTimes | ComposedTimes | RooflineTimes


def step_times(
    model: ModelShape,
    gpu: str,
    tensor_parallel: int,
    quantisation: str,
    variant: str | None = None,
    *,
    fitted: bool = True,
) -> Times:
    """The best that is known of a model's steps: kernels as timed, put together of those, or a roofline.

    Raises:
        ProfileError: See `build_profile`.
    """
    check_possible(model, gpu, tensor_parallel, quantisation, variant)
    if variant is not None:
        return KernelTimes(model, gpu, tensor_parallel, quantisation, variant, fitted=fitted)
    whole = gpu in SYSTEMS and told_whole(model, quantisation)
    for way in (KernelTimes, ComposedTimes) if whole else (ComposedTimes,):
        try:
            return way(model, gpu, tensor_parallel, quantisation, fitted=fitted)
        except ProfileError as error:
            why = str(error)
    return RooflineTimes(model, gpu, tensor_parallel, quantisation, why)


def write_text(profile: PerformanceProfile) -> str:
    """A profile as JSON with one line per key: short, and readable in a diff."""
    content = json.loads(profile.model_dump_json())
    # Curves that most have not.
    content = {
        key: value for key, value in content.items() if value is not None or not key.startswith(("mixed_", "window_"))
    }
    return "{\n" + ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in content.items()) + "\n}\n"


def _band(times: Times, wish: tuple[ModelShape, str, int, str, str | None]) -> dict[str, Any]:
    """How far step times may be off: the spread between hosts, and between ways of inferring what was not timed."""
    model, gpu, tensor_parallel, quantisation, variant = wish
    low, high, source = *HOSTS_BAND, HOSTS_SOURCE
    if isinstance(times, RooflineTimes):
        low, high = BAND if tensor_parallel == 1 else BAND_OF_SEVERAL
        return {"low": low, "high": high, "source": "rooflines of steps that were timed or served, beside them"}
    if gpu in SCALED:
        low, high = SCALED_BAND
        return {"low": low, "high": high, "source": "a timed GPU told from another by data sheets, beside its tables"}
    other = _alternative(gpu, tensor_parallel, quantisation, variant) if isinstance(times, KernelTimes) else None
    if times.spread is not None:
        low, high = low * times.spread[0], high * times.spread[1]
        source = f"{source}; and the spread of the served runs its factor was fitted on"
    elif times.label == "estimated" and other is not None:
        twin = KernelTimes(model, gpu, tensor_parallel, quantisation, other[0])
        ratios = [1.0, *(_typical_s(twin, *step) / _typical_s(times, *step) for step in TYPICAL_STEPS)]
        low, high = low * min(ratios), high * max(ratios)
        source = f"{source}; and the variant '{other[0] or 'default'}' on two typical steps"
    elif times.label == "estimated":
        (low, high), source = ASSUMED_BAND, "assumed: some kernels were inferred and nothing else tells of them"
    return {"low": round(low, 3), "high": round(high, 3), "source": source}


def _alternative(gpu: str, tensor_parallel: int, quantisation: str, variant: str | None) -> tuple[str | None] | None:
    """The other way of inferring the same profile, if there is one."""
    variants = [*FORMATS[gpu][quantisation], *([CROSS_SOCKET] if gpu == "l40s" and tensor_parallel >= 4 else [])]
    others = [name for name in variants if name != variant]
    return (others[0],) if others else None


def _typical_s(times: Times, sequences: int, chunk: int) -> float:
    """A step of decodes at 700 tokens of context, with a prompt chunk or without."""
    seconds = times.dense_s(sequences + chunk) + times.lm_head_s(sequences)
    seconds += times.decode_attention_s(sequences, 700)
    return seconds + (times.prefill_attention_s(chunk, 0) if chunk else 0.0)


def _check_memory(gpu: str, tensor_parallel: int, weights: float) -> None:
    free = GPUS[gpu].memory_gib * MEMORY_SHARE - NON_TORCH_GIB[1] - weights
    if free <= 0:
        raise ProfileError(
            f"the model does not fit {tensor_parallel} x {gpu}: {GPUS[gpu].memory_gib:.1f} GiB x {MEMORY_SHARE} - "
            f"{NON_TORCH_GIB[1]:.1f} GiB outside PyTorch - {weights:.1f} GiB weights = {free:.1f} GiB per GPU; "
            "use more GPUs or smaller weights"
        )


def _curve(x: list[int], y: list[float]) -> dict[str, Any]:
    """Knots with six significant digits."""
    return {"x": x, "y": [float(f"{value:.6g}") for value in y]}


def _beside_prompts(times: Times, model: ModelShape, contexts: list[int], per_pair_s: float) -> dict[str, Any]:
    """Attention of decodes in a step that also computes a prompt, where that is another kernel than without.

    FlashAttention 2 packs the query heads that share a key-value head into one tile when every sequence has one query,
    and splits long contexts among multiprocessors (`flash_api.cpp`, `seqlenq_ngroups_swapped`). With a prompt in the
    step it does neither: each query head of each decode fills a tile of 64 rows by itself, and computes as much as 64
    tokens of a prompt over the same context. On four tables of attention timed together (LLMServingSim's, RTX PRO 6000
    and RTX 4090, Llama-3.1-8B, Qwen3-32B and 30B-A3B) this tells what 8 to 128 decodes take beside a prompt
    (`tests/validation/test_mixed_attention.py`).
    """
    if times.system not in FLASH_ATTENTION_2 or any(one.kind != "full" for one in model.kv_layers):
        return {}
    tile_s = TILE_ROWS * per_pair_s

    def beside_s(sequences: int, context: int) -> float:
        return max(times.decode_attention_s(sequences, context), tile_s * sequences * (context + TILE_KEYS))

    base, slope, _ = _fit_decode_attention(beside_s, contexts)
    return {
        "mixed_decode_attention": _curve(SEQUENCES, base),
        "mixed_decode_attention_per_kv_token": _curve(SEQUENCES, slope),
    }


def _bend(model: ModelShape) -> int | None:
    """Context at which attention stops growing in some layers; None where a straight line tells it."""
    spans = {one.span for one in model.kv_layers if one.span}
    bends = [span for span in spans if BENDS[0] <= span <= BENDS[1]]
    return bends[0] if len(spans) == len(bends) == 1 else None


def _fit_decode_attention(
    attention_s: Callable[[int, int], float], contexts: list[int], window: int | None = None
) -> tuple[list[float], list[float], list[float]]:
    """Intercept, slope per token of context, and what of it ends beyond a window, by sequences.

    Raw rows are noisy, so they are made monotone first.
    """
    base, onward, ends = [], [], []
    for sequences in SEQUENCES:
        seconds = isotonic_regression([attention_s(sequences, context) for context in contexts]).x
        context = np.array(contexts) * sequences
        beyond = np.maximum(0, context - (window or contexts[-1]) * sequences)
        # What grows up to the window alone, and what grows on: neither is less than nothing.
        columns = [np.ones_like(seconds), context - beyond, context] if window else [np.ones_like(seconds), context]
        weights = 1.0 / np.maximum(seconds, 1e-9)
        fit, _ = nnls(np.column_stack(columns) * weights[:, None], seconds * weights)
        base.append(float(fit[0]))
        onward.append(float(fit[-1]))
        ends.append(float(fit[1]) if window else 0.0)
    if window:
        # The last slope may fall; going on so beyond the last knot would end below nothing.
        onward[-1], ends[-1] = max(onward[-2:]), max(ends[-2:])
    return list(isotonic_regression(base).x), [a + b for a, b in zip(onward, ends, strict=True)], ends


def _fit_prefill_attention(times: Times) -> tuple[float, ...]:
    """`a + b q + c q (p + q/2)`, least squares weighted by the step it is part of."""
    points = [(q, p) for q in CHUNKS for p in PASTS]
    seconds = np.array([times.prefill_attention_s(q, p) for q, p in points])
    weights = 1.0 / (seconds + np.array([times.dense_s(q) for q, _ in points]))
    rows = np.array([[1.0, q, q * (p + q / 2)] for q, p in points])
    scale = rows.max(axis=0)
    fit, _ = nnls(rows / scale * weights[:, None], seconds * weights)
    return tuple(float(value) for value in fit / scale)


def _fit_error(times: Times, profile: dict[str, Any], steps: int = 500) -> dict[str, float]:
    """Error of the curves against the tables on random steps of decodes and up to three chunks, in per cent."""
    rng = np.random.default_rng(1)
    errors = []
    fixed, per_token, per_pair = profile["prefill_attention"]

    def at(name: str, x: int) -> float:
        return float(np.interp(x, profile[name]["x"], profile[name]["y"]))

    for _ in range(steps):
        sequences = int(np.exp(rng.uniform(0, np.log(257))))
        context = int(np.clip(rng.lognormal(np.log(700), 0.8), 150, 4000))
        chunks = [(int(rng.integers(16, 2049)), int(rng.integers(0, 4097))) for _ in range(rng.integers(0, 4))]
        tokens, rows = sequences + sum(q for q, _ in chunks), sequences + len(chunks)
        true = times.dense_s(tokens) + times.lm_head_s(rows) + times.decode_attention_s(sequences, context)
        true += sum(times.prefill_attention_s(q, p) for q, p in chunks)
        ours = at("dense", tokens) + at("lm_head", rows) + at("decode_attention", sequences)
        ours += at("decode_attention_per_kv_token", sequences) * sequences * context
        if "window_tokens" in profile:
            beyond = sequences * max(0, context - profile["window_tokens"])
            ours -= at("window_attention_per_kv_token", sequences) * beyond
        ours += sum(fixed + per_token * q + per_pair * q * (p + q / 2) for q, p in chunks)
        errors.append(100 * abs(ours / true - 1))
    return {
        "steps": steps,
        "mean_percent": round(float(np.mean(errors)), 2),
        "p95_percent": round(float(np.quantile(errors, 0.95)), 2),
        "max_percent": round(float(np.max(errors)), 2),
    }
