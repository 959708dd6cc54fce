"""Import a profile from tables of timed operators, as LLMServingSim's profiler writes them.

A folder `MODEL/FORMAT` holds `meta.yaml` and `tp1/`: `dense.csv` (one pass through each layer, by tokens),
`per_sequence.csv` (output head and sampler, by sequences), `attention.csv` (one layer's attention over prompt chunk,
tokens before it, decodes and their context, timed together), for mixtures `moe.csv` (by tokens and activated experts),
and `skew.csv`, plain or gzipped (decodes of unequal context beside decodes of their mean and of their longest).

Three things that single kernels do not tell are in such tables. Decodes that share a step with a prompt lose the kernel
that is made for decodes, and their attention takes up to twice as long: a profile has curves of its own for them. A
batch of unequal contexts takes longer than one of their mean. And the experts a step activates grow with its tokens.
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from scipy.optimize import isotonic_regression, nnls

from simulator.errors import ProfileError
from simulator.performance.build import shipped_overhead
from simulator.performance.profile import PerformanceProfile, profile_id
from simulator.performance.weight_formats import weights_gib
from simulator.reading import read_unpacked

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from simulator.performance.architecture import ModelShape

    Floats = NDArray[np.float64]

FORMATS: Final = ("llmservingsim",)
#: Layers that a step passes once, and those that each layer of the model has twice; it has all others once.
_ONCE: Final = ("embedding", "final_layernorm")
_TWICE: Final = ("layernorm",)
#: Context up to which attention is fitted, and which a profile calls measured: where most requests live.
CONTEXT_TOKENS: Final = 2048
#: Spread of the contexts of a batch, as that of a lognormal: clinical prompts have 0.45 to 0.6 (assumed).
SIGMA: Final = 0.5
#: What of a skewed batch must be seen above its noise.
_VISIBLE_US: Final = 5.0
#: What a profile says of its tables, and characters of it that are one line.
_ABOUT: Final = ("gpu", "model", "profiled_at", "profiler_version", "vllm_version")
_LINE: Final = 500
#: More than any table has of anything.
_MOST: Final = 1e12
#: A curve has two ends.
_LEAST_COUNTS: Final = 2
_ATTENTION: Final = ("prefill_chunk", "kv_prefill", "n_decode", "kv_decode", "time_us")
_SKEW: Final = ("n", "pc", "kp", "kv_big", "t_mean_us", "t_max_us", "t_skew_us")


@dataclass(frozen=True, slots=True)
class _Tables:
    """What a folder holds, in seconds; attention of all layers together, a row `(chunk, past, decodes, context, s)`."""

    about: Mapping[str, Any]
    tokens: list[int]
    dense_s: Floats
    sequences: list[int]
    per_sequence_s: Floats
    attention: Floats
    skew: Floats


def import_profile(folder: Path, model: ModelShape, gpu: str, *, command: str = "") -> PerformanceProfile:
    """Make a profile of a folder of operator tables.

    Args:
        folder: `MODEL/FORMAT`, with `meta.yaml` and `tp1`. Of several GPUs the tables lack the all-reduce.
        model: Shape of the model they were timed for.
        gpu: What scenarios call the GPU.
        command: Kept as provenance.

    Raises:
        ProfileError: A file is missing, cannot be read, or has other columns; all faults at once.
    """
    try:
        return _fitted(_read(folder, model), model, gpu, command)
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:5])
        raise ProfileError("\n".join(f"{folder}: make no profile: {fault}" for fault in faults)) from None
    except RuntimeError as error:  # of the fit, which did not converge
        raise ProfileError(f"{folder}: no curve fits these tables: {error}") from None


def _fitted(tables: _Tables, model: ModelShape, gpu: str, command: str) -> PerformanceProfile:
    """Raises ValidationError where figures are no profile's, RuntimeError where no curve fits."""
    batches, base, slope = _decodes_alone(tables)
    mixed_batches, mixed_base, mixed_slope, prefill = _mixed(tables)
    alone, beside = _skew(tables, mixed=False), _skew(tables, mixed=True)
    about = tables.about
    overhead = shipped_overhead(model, "h100-80gb", 1) | {
        # The tables time the sampler. What a host adds hides behind the step before.
        "per_step_s": 0.0,
        "per_sequence_s": 0.0,
        "step": {
            "label": "estimated",
            "source": "not in the tables; assumed to hide behind the step before (asynchronous scheduling)",
            "rows": 0,
            "median_percent": 0.0,
            "max_percent": 0.0,
        },
    }
    error = _fit_error(tables, (batches, base, slope), (mixed_batches, mixed_base, mixed_slope), prefill)
    content: dict[str, Any] = {
        "schema_version": 1,
        "id": profile_id(model.name, gpu, 1, "bf16"),
        "model": model.model_dump(),
        "gpu": gpu,
        "tensor_parallel": 1,
        "quantisation": "bf16",
        "weights_gib_per_gpu": round(weights_gib(model, 1, "bf16"), 3),
        "label": "derived",
        "provenance": {
            "device": str(about.get("gpu", gpu)),
            "tables": f"LLMServingSim profiler {about.get('profiler_version', '?')}, {about.get('model', model.name)}",
            "vllm": str(about.get("vllm_version", "?")),
            "measured_on": str(about.get("profiled_at", "?"))[:10],
            "command": command,
        },
        "notes": (
            f"Attention is fitted on contexts up to {CONTEXT_TOKENS} tokens.",
            f"Contexts of a batch are taken to spread as a lognormal of sigma {SIGMA} (assumed): the longest of 128 is "
            f"{_longest(128):.1f} times the mean, and attention {100 * _extra(128, alone):.0f} % longer for it, "
            f"{100 * _extra(128, beside):.0f} % beside a prompt.",
        ),
        "measured": {
            "tokens": tables.tokens[-1],
            "sequences": min(int(batches[-1]), tables.sequences[-1]),
            "context_tokens": CONTEXT_TOKENS,
        },
        "dense": _curve(tables.tokens, tables.dense_s),
        "lm_head": _curve(tables.sequences, tables.per_sequence_s),
        "decode_attention": _curve(batches, base),
        "decode_attention_per_kv_token": _curve(batches, slope * [1.0 + _extra(n, alone) for n in batches]),
        "mixed_decode_attention": _curve(mixed_batches, mixed_base),
        "mixed_decode_attention_per_kv_token": _curve(
            mixed_batches, mixed_slope * [1.0 + _extra(n, beside) for n in mixed_batches]
        ),
        "prefill_attention": tuple(float(f"{value:.6g}") for value in prefill),
        "overhead": overhead,
        "fit_error": error,
    }
    return PerformanceProfile.model_validate(content)


def _read(folder: Path, model: ModelShape) -> _Tables:
    faults: list[str] = []
    inside = folder / "tp1"

    def table(name: str, columns: Iterable[str], *, needed: bool = True) -> list[dict[str, str]]:
        try:
            return _rows(inside / name, tuple(columns), needed=needed)
        except ProfileError as fault:
            faults.append(str(fault))
            return []

    about = _about(folder / "meta.yaml", faults)
    dense = table("dense.csv", ("layer", "tokens", "time_us"))
    head = table("per_sequence.csv", ("layer", "sequences", "time_us"))
    attention = _numbers(table("attention.csv", _ATTENTION), _ATTENTION, inside / "attention.csv", faults)
    skew = _numbers(table("skew.csv", _SKEW, needed=False), _SKEW, inside / "skew.csv", faults)
    mixture = model.experts > 1
    columns = ("tokens", "activated_experts", "time_us")
    experts = _numbers(table("moe.csv", columns) if mixture else [], columns, inside / "moe.csv", faults)
    by_tokens = _by_layer(dense, "tokens", inside / "dense.csv", faults)
    by_sequences = _by_layer(head, "sequences", inside / "per_sequence.csv", faults)
    if not faults and not (by_tokens and by_sequences and len(attention) and (len(experts) or not mixture)):
        faults.append(f"{inside}: a table has no rows")
    if faults:
        raise ProfileError("\n".join(faults))
    tokens, sequences = (_counts(layers) for layers in (by_tokens, by_sequences))
    for name, counts in (("dense.csv", tokens), ("per_sequence.csv", sequences)):
        if len(counts) < _LEAST_COUNTS:
            raise ProfileError(f"{inside / name}: there are not two counts at which every layer was timed")
    times = dict.fromkeys(by_tokens, model.layers) | dict.fromkeys(_TWICE, 2 * model.layers) | dict.fromkeys(_ONCE, 1)
    dense_s = np.sum([times[name] * _at(tokens, layer) for name, layer in by_tokens.items()], axis=0)
    if mixture:
        dense_s = dense_s + model.layers * np.array([_experts_us(experts, count, model) for count in tokens])
    attention[:, -1] *= 1e-6 * model.layers
    return _Tables(
        about=about,
        tokens=tokens,
        dense_s=1e-6 * np.asarray(isotonic_regression(dense_s).x),
        sequences=sequences,
        per_sequence_s=1e-6 * np.sum([_at(sequences, layer) for layer in by_sequences.values()], axis=0),
        attention=attention,
        skew=skew,
    )


def _about(path: Path, faults: list[str]) -> Mapping[str, Any]:
    try:
        found = YAML(typ="safe", pure=True).load(read_unpacked(path).decode("utf-8"))
    except OSError as error:
        faults.append(f"{path}: cannot be read: {error.strerror}")
        return {}
    except (ValueError, TypeError, RecursionError, YAMLError):
        faults.append(f"{path}: cannot be read: it is no YAML")
        return {}
    if not isinstance(found, dict):
        faults.append(f"{path}: does not say what was timed")
        return {}
    told = {key: found[key] for key in _ABOUT if found.get(key) is not None}
    faults += [f"{path}: {key}: expected a line of text" for key, value in told.items() if not _is_line(value)]
    return told


def _is_line(value: object) -> bool:
    if isinstance(value, (dict, list, set, tuple, bytes)):
        return False
    text = str(value)
    return len(text) <= _LINE and text.isprintable()


def _rows(path: Path, columns: tuple[str, ...], *, needed: bool) -> list[dict[str, str]]:
    """Rows of a table, plain or gzipped; none where it may be missing.

    Raises:
        ProfileError: It cannot be read, or lacks a column.
    """
    packed = path.with_name(f"{path.name}.gz")
    try:
        text = read_unpacked(path if path.exists() or not packed.exists() else packed).decode("utf-8")
    except FileNotFoundError:
        if not needed:
            return []
        raise ProfileError(f"{path}: there is no such table") from None
    except (OSError, ValueError) as error:
        raise ProfileError(f"{path}: cannot be read: {error}") from None
    table = csv.DictReader(io.StringIO(text))
    try:
        if missing := [name for name in columns if name not in (table.fieldnames or ())]:
            raise ProfileError(f"{path}: has no column {', '.join(missing)}")
        return list(table)
    except csv.Error as error:
        raise ProfileError(f"{path}: cannot be read as CSV: {error}") from None


def _numbers(rows: list[dict[str, str]], columns: tuple[str, ...], path: Path, faults: list[str]) -> Floats:
    found = np.zeros((len(rows), len(columns)))
    for line, row in enumerate(rows, start=2):
        try:
            found[line - 2] = [_number(row[name]) for name in columns]
        except (TypeError, ValueError):
            faults.append(f"{path}: line {line}: expected numbers not below 0 in {', '.join(columns)}")
            break
    return found


def _number(text: str) -> float:
    value = float(text)
    if not 0.0 <= value <= _MOST:
        raise ValueError(text)
    return value


def _by_layer(rows: list[dict[str, str]], key: str, path: Path, faults: list[str]) -> dict[str, dict[int, float]]:
    """Microseconds of each layer by its count."""
    values = _numbers(rows, (key, "time_us"), path, faults)
    found: dict[str, dict[int, float]] = {}
    for row, (count, time_us) in zip(rows, values.tolist(), strict=True):
        found.setdefault(row["layer"], {})[int(count)] = time_us
    return found


def _counts(layers: Mapping[str, Mapping[int, float]]) -> list[int]:
    """The counts at which every layer was timed."""
    return sorted(set.intersection(*(set(layer) for layer in layers.values())) - {0})


def _at(counts: list[int], layer: Mapping[int, float]) -> Floats:
    return np.array([layer[count] for count in counts])


def _experts_us(table: Floats, tokens: int, model: ModelShape) -> float:
    """One layer's experts: as many as tokens that choose alike and independently are expected to activate.

    Both ways are interpolated: by the logarithm of tokens, and along activated experts, which cost alike.
    """
    active = model.experts * (1.0 - (1.0 - model.experts_per_token / model.experts) ** tokens)
    counts = sorted(set(table[:, 0]))

    def at(count: float) -> float:
        rows = table[table[:, 0] == count]
        return float(np.interp(active, rows[:, 1], rows[:, 2]))

    return float(np.interp(math.log(tokens), np.log(counts), [at(count) for count in counts]))


def _decodes_alone(tables: _Tables) -> tuple[Floats, Floats, Floats]:
    """Intercept and slope per token of context by batch, of steps without prompts, each relative to its step."""
    chunk, _, decodes, context, seconds = tables.attention.T
    fitted = (chunk == 0) & (decodes > 0) & (context <= CONTEXT_TOKENS)
    batches = np.unique(decodes[fitted])
    if len(batches) < 2:
        raise ProfileError("attention.csv: there are not two batches of decodes alone")
    base, slope = [], []
    for count in batches:
        rows = fitted & (decodes == count)
        weight = 1.0 / (seconds[rows] + np.interp(count, tables.tokens, tables.dense_s))
        columns = np.column_stack([np.ones(rows.sum()), count * context[rows]])
        found, _ = nnls(columns * weight[:, None], seconds[rows] * weight)
        base.append(found[0])
        slope.append(found[1])
    return batches, np.asarray(isotonic_regression(base).x), np.array(slope)


def _mixed(tables: _Tables) -> tuple[Floats, Floats, Floats, Floats]:
    """The same of decodes that share their step with a prompt, and the three parameters of prompts, all at once."""
    chunk, past, decodes, context, seconds = tables.attention.T
    rows = (chunk > 0) & (past <= CONTEXT_TOKENS) & (context <= CONTEXT_TOKENS)
    chunk, past, decodes, context, seconds = (column[rows] for column in (chunk, past, decodes, context, seconds))
    batches = np.unique(decodes[decodes > 0])
    if len(batches) < 2 or len(np.unique(chunk)) < 2:
        raise ProfileError("attention.csv: there are not two batches of decodes beside two prompt chunks")
    beside = [np.where(decodes == count, values, 0.0) for count in batches for values in (1.0, count * context)]
    columns = np.column_stack([np.ones(len(chunk)), chunk, chunk * (past + 0.5 * chunk), *beside])
    step_s = seconds + np.interp(chunk + decodes, tables.tokens, tables.dense_s)
    # A cost of what none of them has is none.
    scale = np.where((most := columns.max(axis=0)) > 0, most, 1.0)
    if not step_s.min() > 0:
        raise ProfileError("attention.csv: a step that takes no time")
    found = nnls(columns / scale / step_s[:, None], seconds / step_s)[0] / scale
    prefill, (base, slope) = found[:3], found[3:].reshape(-1, 2).T
    return batches, np.asarray(isotonic_regression(base).x), slope, prefill


def _skew(tables: _Tables, *, mixed: bool) -> dict[int, float]:
    """By batch: where between a batch of its mean context and one of its longest a batch of unequal contexts lies."""
    if not len(tables.skew):
        return {}
    count, chunk, past, longest, mean_us, most_us, us = tables.skew.T
    rows = (
        ((chunk > 0) == mixed) & (np.maximum(past, longest) <= 4 * CONTEXT_TOKENS) & (most_us - mean_us > _VISIBLE_US)
    )
    found = {}
    for batch in np.unique(count[rows]):
        same = rows & (count == batch)
        wide, extra = (most_us - mean_us)[same], (us - mean_us)[same]
        found[int(batch)] = max(0.0, float(wide @ extra / max(wide @ wide, np.finfo(float).tiny)))
    return found


def _longest(batch: float) -> float:
    """The longest context of a batch, relative to the mean: a lognormal's expected greatest (Blom's score)."""
    count = max(1.0, batch)
    score = NormalDist().inv_cdf((count - 0.375) / (count + 0.25))
    return max(1.0, math.exp(SIGMA * score - 0.5 * SIGMA**2))


def _extra(batch: float, places: Mapping[int, float]) -> float:
    """By how much attention takes longer because the contexts of a batch are unequal."""
    if not places:
        return 0.0
    return float(np.interp(batch, list(places), list(places.values()))) * (_longest(batch) - 1.0)


def _fit_error(
    tables: _Tables,
    alone: tuple[Floats, Floats, Floats],
    beside: tuple[Floats, Floats, Floats],
    prefill: Floats,
) -> dict[str, Any]:
    """Error of the curves on all rows up to the fitted context, each relative to its step, in per cent."""
    rows = (tables.attention[:, 1] <= CONTEXT_TOKENS) & (tables.attention[:, 3] <= CONTEXT_TOKENS)
    chunk, past, decodes, context, seconds = tables.attention[rows].T
    ours = np.where(chunk > 0, prefill[0] + chunk * (prefill[1] + prefill[2] * (past + 0.5 * chunk)), 0.0)
    for (batches, base, slope), which in ((alone, chunk == 0), (beside, chunk > 0)):
        here = which & (decodes > 0)
        ours += np.where(here, np.interp(decodes, batches, base), 0.0)
        ours += np.where(here, np.interp(decodes, batches, slope) * decodes * context, 0.0)
    step_s = seconds + np.interp(chunk + decodes, tables.tokens, tables.dense_s)
    errors = 100.0 * np.abs(ours - seconds) / step_s
    return {
        "steps": len(errors),
        "mean_percent": round(float(np.mean(errors)), 2),
        "p95_percent": round(float(np.quantile(errors, 0.95)), 2),
        "max_percent": round(float(np.max(errors)), 2),
    }


def _curve(counts: Iterable[float], seconds: Floats) -> dict[str, Any]:
    return {"x": tuple(int(count) for count in counts), "y": tuple(float(f"{value:.6g}") for value in seconds)}
