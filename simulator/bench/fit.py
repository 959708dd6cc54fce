"""Turn measured engine steps into a performance profile.

A step is a sum of what `PerformanceProfile` names: dense layers by tokens, sequences, context of decodes by batch,
prompt chunks. Decode batches, single chunks, several chunks and mixtures are measured, so what differs in time can be
told apart. One non-negative least squares finds all, relative to each step's time.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pydantic import ValidationError
from scipy.optimize import nnls

from simulator.bench.step_record import LEAST_POINTS, MeasuredStep, StepRecord
from simulator.errors import ProfileError
from simulator.performance.build import shipped_overhead
from simulator.performance.cuda_graphs import capture_sizes
from simulator.performance.profile import PerformanceProfile, profile_id
from simulator.performance.step_time import ProfiledStepTime
from simulator.performance.weight_formats import weights_gib
from simulator.scenario.gpus import GPUS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from simulator.scenario.patterns import EngineSettings

    Floats = NDArray[np.float64]

#: Weight of one point against the attention of a chunk that grows with its length alone.
_DOUBT: Final = 0.05
#: A fit that is further off in the mean on steps it has not seen, in per cent, is no profile of its machine: those of
#: the recorded steps of this repository are off by 1.3 %.
MOST_PERCENT: Final = 15.0
#: The middle half of the repetitions of a step, relative to its median, on a machine that does something else besides.
_NOISE: Final = 0.1


def fit(record: StepRecord, source: str = "", *, anyway: bool = False) -> PerformanceProfile:
    """The profile that explains measured steps best.

    Args:
        record: What `simulator bench measure` wrote.
        source: Name of the file, kept as provenance.
        anyway: Take a fit that explains nothing, labelled as estimated.

    Raises:
        ProfileError: There are too few points, or none of a kind that is needed; or the fit is further off than
            `MOST_PERCENT`, and the message says what is likely wrong.
    """
    points = [point for point in record.points if not point.held_back]
    _check(points)
    seconds = np.array([np.median(point.seconds) for point in points])
    knots = sorted({_padded(point.shape.tokens, record.engine) for point in points if point.shape.sequences == 1})
    knots = sorted({*knots, *(_padded(p.shape.tokens, record.engine) for p in points if not p.shape.chunks)})
    batches = sorted({point.shape.decodes for point in points if not point.shape.chunks})
    if (most := max(point.shape.decodes for point in record.points)) > max(batches):
        raise ProfileError(f"a step has {most:,} decodes, more than the {max(batches):,} of any that is fitted alone")
    rows = np.array([_row(point, record.engine, knots, batches) for point in points])
    found = _solved(rows, seconds)
    of_slopes, more_beside = slice(len(knots), len(knots) + len(batches)), 0.0
    mixed = np.array([bool(point.shape.decodes and point.shape.chunks) for point in points])
    if mixed.any():
        # Context never costs decodes less beside a prompt; it may cost more, here by one share at each size of a batch.
        alone = _solved(rows[~mixed], seconds[~mixed])[of_slopes]
        beside = np.where(mixed, rows[:, of_slopes] @ alone, 0.0)
        more = _solved(np.column_stack([rows, beside]), seconds, doubtful=-3)
        found, more_beside = more[:-1], float(more[-1])
    dense, slopes, (per_sequence_s, per_decode_s, *chunk) = np.split(found, [of_slopes.start, of_slopes.stop])
    most = max(batches)
    engine, machine = record.engine, record.machine
    content: dict[str, Any] = {
        "schema_version": 1,
        "id": profile_id(record.model.name, record.gpu, record.tensor_parallel, record.quantisation),
        "model": record.model,
        "gpu": record.gpu,
        "tensor_parallel": record.tensor_parallel,
        "quantisation": record.quantisation,
        "weights_gib_per_gpu": round(weights_gib(record.model, record.tensor_parallel, record.quantisation), 6),
        "label": "measured",
        "provenance": {
            "device": machine.device,
            "driver": machine.driver or "none",
            "vllm": machine.vllm,
            "torch": machine.torch,
            "measured_on": record.recorded_on,
            "command": record.command,
            "steps": source,
        },
        "notes": (
            f"Measured with {'asynchronous' if machine.async_scheduling else 'synchronous'} scheduling"
            f"{', without CUDA graphs' if engine.enforce_eager else ''}, on one machine.",
        ),
        "measured": {
            "tokens": max(point.shape.tokens for point in points),
            "sequences": most,
            "context_tokens": max(
                [p.shape.context_tokens for p in points] + [n + before for p in points for n, before in p.shape.chunks]
            ),
        },
        "dense": _curve(knots, dense),
        "lm_head": _curve([1, most], [per_sequence_s, most * per_sequence_s]),
        "decode_attention": _curve([1, most], [per_decode_s, most * per_decode_s]),
        "decode_attention_per_kv_token": _curve(batches, slopes),
        **(_beside(batches, most, per_decode_s, slopes + more_beside * alone) if more_beside else {}),
        "prefill_attention": tuple(float(f"{value:.6g}") for value in chunk),
        "overhead": _overhead(record, points),
        "fit_error": {"steps": 0, "mean_percent": 0.0, "p95_percent": 0.0, "max_percent": 0.0},
    }
    try:
        profile = PerformanceProfile.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ProfileError(f"these steps make no profile: {where}: {first['msg']}") from None
    errors = errors_percent(profile, record)
    mean, p95 = float(np.mean(np.abs(errors))), float(np.quantile(np.abs(errors), 0.95))
    if (loose := mean > MOST_PERCENT) and not anyway:
        raise ProfileError(
            f"the best fit is {mean:.1f} % off in the mean on steps it has not seen (at most {MOST_PERCENT:g}): "
            f"{_cause(points)}; --anyway writes it, labelled as estimated"
        )
    judged = {
        "fit_error": {
            "steps": len(errors),
            "mean_percent": round(mean, 2),
            "p95_percent": round(p95, 2),
            "max_percent": round(float(np.max(np.abs(errors))), 2),
        },
        "step_time_band": {
            "low": round(max(0.5, 1 - p95 / 100), 3),
            "high": round(1 + p95 / 100, 3),
            "source": "95 of 100 measured steps that the fit had not seen, on this one machine",
        },
    }
    return PerformanceProfile.model_validate(content | judged | ({"label": "estimated"} if loose else {}))


def _cause(points: Sequence[MeasuredStep]) -> str:
    """Why a fit explains so little."""
    quartiles = [np.quantile(point.seconds, (0.25, 0.5, 0.75)) for point in points]
    spread = float(np.median([(high - low) / middle for low, middle, high in quartiles]))
    if spread > _NOISE:
        return f"repetitions of one step differ by {100 * spread:.0f} %, so something else ran on the machine"
    return (
        f"repetitions of one step agree to {100 * spread:.0f} %, so steps take other times than this form of model "
        "has: a mixture of experts, another attention, or clocks that changed on the way"
    )


def errors_percent(profile: PerformanceProfile, record: StepRecord) -> Floats:
    """How far a profile is off, in per cent, on the points the fit had not seen; on all where none was held back."""
    bare = {"per_step_s": 0.0, "per_sequence_s": 0.0}
    kernels = profile.model_copy(update={"overhead": profile.overhead.model_copy(update=bare)})
    engine = record.engine
    model = ProfiledStepTime(
        kernels, engine.max_num_seqs, engine.max_num_batched_tokens, enforce_eager=engine.enforce_eager
    )
    points = [point for point in record.points if point.held_back] or record.points
    ours = [model.step_s(p.shape.decodes, round(float(np.median(p.kv_tokens))), p.shape.chunks) for p in points]
    return np.array([100.0 * (mine / np.median(p.seconds) - 1.0) for mine, p in zip(ours, points, strict=True)])


def _check(points: Sequence[MeasuredStep]) -> None:
    """Refuse what no profile can be made of."""
    faults = []
    if len(points) < LEAST_POINTS:
        faults.append(f"{len(points)} points are too few: {LEAST_POINTS} at least")
    if len({point.shape.decodes for point in points if not point.shape.chunks}) < 2:
        faults.append("there are not two decode batches of different size")
    if len({point.shape.tokens for point in points if point.shape.sequences == 1 and point.shape.chunks}) < 2:
        faults.append("there are not two prompt chunks of different length")
    if faults:
        raise ProfileError("\n".join(faults))


def _padded(tokens: int, engine: EngineSettings) -> int:
    """Tokens that the dense layers really compute."""
    sizes = [] if engine.enforce_eager else capture_sizes(engine.max_num_seqs, engine.max_num_batched_tokens)
    return sizes[bisect_left(sizes, tokens)] if sizes and tokens <= sizes[-1] else tokens


def _row(point: MeasuredStep, engine: EngineSettings, knots: Sequence[int], batches: Sequence[int]) -> list[float]:
    """By how much each parameter enters the time of a step: dense layers by knot, slopes by batch, five more."""
    shape = point.shape
    kv_tokens = float(np.median(point.kv_tokens)) if shape.decodes else 0.0
    pairs = sum(new * (before + 0.5 * new) for new, before in shape.chunks)
    dense = _shares(knots, _padded(shape.tokens, engine))
    slopes = np.array(_shares(batches, shape.decodes)) * kv_tokens if shape.decodes else np.zeros(len(batches))
    new = sum(count for count, _ in shape.chunks)
    return [*dense, *slopes.tolist(), shape.sequences, shape.decodes, float(bool(shape.chunks)), new, pairs]


def _solved(rows: Floats, seconds: Floats, doubtful: int = -2) -> Floats:
    """Parameters, none below 0, that explain steps best, relative to the time of each.

    Args:
        rows: By how much each parameter enters each step.
        seconds: Times of the steps.
        doubtful: The column that a chunk's length enters alone.
    """
    # Columns differ by ten orders of magnitude.
    scale = np.maximum(rows.max(axis=0), 1e-12)
    relative = rows / scale / seconds[:, None]
    # What grows with a chunk's length is in the dense layers, unless a batch of as many decodes says otherwise.
    doubt = np.zeros(rows.shape[1])
    doubt[doubtful] = _DOUBT * float(np.max(relative[:, doubtful]))
    wanted = np.append(np.ones(len(rows)), 0.0)
    return np.asarray(nnls(np.vstack([relative, doubt]), wanted, maxiter=100 * len(doubt))[0] / scale)


def _beside(batches: Sequence[int], most: int, per_decode_s: float, slopes: Floats) -> dict[str, Any]:
    """Attention of decodes beside a prompt, where FlashAttention 2 has another kernel (`performance/build.py`)."""
    return {
        "mixed_decode_attention": _curve([1, most], [per_decode_s, most * per_decode_s]),
        "mixed_decode_attention_per_kv_token": _curve(batches, slopes),
    }


def _shares(knots: Sequence[int], at: int) -> list[float]:
    """Shares of the knots in a piecewise linear function at one place; beyond the ends, as `interpolate` goes on."""
    right = min(max(bisect_left(knots, at), 1), len(knots) - 1)
    left = right - 1
    share = (at - knots[left]) / (knots[right] - knots[left])
    shares = [0.0] * len(knots)
    shares[left], shares[right] = 1.0 - share, share
    return shares


def _curve(x: Sequence[int], y: Sequence[float] | Floats) -> dict[str, Any]:
    """Knots with six significant digits."""
    return {"x": tuple(x), "y": tuple(float(f"{value:.6g}") for value in y)}


def _overhead(record: StepRecord, points: Sequence[MeasuredStep]) -> dict[str, Any]:
    """Host time of a step, measured; and a front end, which only clients can see."""
    shipped = shipped_overhead(record.model, record.gpu, record.tensor_parallel) if record.gpu in GPUS else None
    # A chunk is staged as a new request, whose admission costs more than going on with one.
    points = [point for point in points if not point.shape.chunks]
    host = np.array([np.median(point.host_s) for point in points])
    design = np.array([[1.0, point.shape.sequences] for point in points])
    if record.machine.async_scheduling:
        per_step_s = per_sequence_s = 0.0
        off, why = [0.0], "hides behind the step before under asynchronous scheduling"
    else:
        per_step_s, per_sequence_s = nnls(design / host[:, None], np.ones(len(host)))[0]
        off = (100.0 * np.abs(design @ [per_step_s, per_sequence_s] / host - 1.0)).tolist()
        why = "time in vLLM's scheduler, before and after a step"
    nowhere = {
        "label": "estimated",
        "source": "not measured: 'simulator bench fit-overhead' takes it from a replay",
        "rows": 0,
        "median_percent": 0.0,
        "max_percent": 0.0,
    }
    return {
        "per_step_s": float(f"{per_step_s:.4g}"),
        "per_sequence_s": float(f"{per_sequence_s:.4g}"),
        "frontend_base_s": shipped["frontend_base_s"] if shipped else 0.0,
        "frontend_per_prompt_token_s": 0.0,
        "output_s": shipped["output_s"] if shipped else 0.0,
        "step": {
            "label": "measured",
            "source": f"{why}; vLLM {record.machine.vllm}, {record.recorded_on}",
            "rows": len(points),
            "median_percent": round(float(np.median(off)), 2),
            "max_percent": round(float(np.max(off)), 2),
        },
        "front_end": shipped["front_end"] if shipped else nowhere,
    }
