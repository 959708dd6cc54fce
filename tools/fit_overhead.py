"""Fit what kernel tables leave out of a step and of the time to first token, on real serving measurements.

    python tools/fit_overhead.py MEASUREMENTS.csv

Prints every row, and the errors of fits that had not seen a row's profile, model or GPU; writes
`simulator/performance/data/overhead.json`, from which `simulator profile build` and `tools/derive_profiles.py` take it.
Rows of quality A and A-, open arrivals, dense models in 16 bits; mixtures of experts are only looked at.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import least_squares, nnls
from scipy.stats import poisson

from simulator.bench.measurements import Experiment, Stage, read_measurements
from simulator.errors import ProfileError
from simulator.performance.architecture import known_model
from simulator.performance.build import build_profile
from simulator.performance.kernel_wishes import FORMATS
from simulator.performance.profile import Overhead, PerformanceProfile
from simulator.performance.step_time import ProfiledStepTime

TARGET = Path(__file__).resolve().parents[1] / "simulator" / "performance" / "data" / "overhead.json"
#: What TTFT has beyond the steps falls into two groups, some 10 ms on A100 and L40S and mostly 6 to 8 ms on H100,
#: whatever the model: a matter of the hosts, then. H200 is assumed to be like H100.
HOSTS = {"a100-80gb": "a100-l40s", "l40s": "a100-l40s", "h100-80gb": "h100", "h200": "h100"}
#: Half the step in flight, the one scheduled ahead of it, and the request's own.
STEPS_WAITED = 2.5
#: A request that finds no free slot waits for something else than the front end.
MOST_STEPS_WAITED = 5.0
#: A cached prompt leaves half a block of 16 to compute.
UNCACHED = 8
#: Streaming a token to the client; TTFT holds only its sum with the front end, so the share is a guess.
OUTPUT_S = 0.0015
#: GPUs on which vLLM runs FlashAttention 2.
OLDER = ("a100-80gb", "l40s")
#: What the V0 engine took more on the same bf16 model on A100, about, by the makers of the collection; on H100 it is
#: fitted.
V0_STATED_S = {"a100-80gb": 0.001}
LONE_SOURCE = (
    "bf16: open loops of the validation below and one request at a time; other formats: one request at a time, "
    "DeepSeek-R1 distills of Qwen2.5-14B and 32B, model cards of Red Hat / Neural Magic, vLLM 0.7.2"
)
SOURCE = "inference-sim sim-to-real validation, vLLM 0.15.1, bf16 dense models"


@dataclass(frozen=True)
class Row:
    """One measurement beside what kernels alone explain.

    Attributes:
        itl_s: Measured time between tokens.
        ttft_s: Measured time to first token.
        sequences: Mean sequences of the steps a request sees.
        kernel_itl_s: Step time by the profile, without overhead.
        kernel_own_s: What the request's own chunk adds to its first step.
        dense_s: The part of the step time that is dense layers.
        heads: Sequences x layers x key-value heads of one GPU.
    """

    name: str
    profile: PerformanceProfile
    itl_s: float
    ttft_s: float
    sequences: float
    kernel_itl_s: float
    kernel_own_s: float
    dense_s: float
    heads: float


def rows_of(path: Path) -> Iterator[Row]:
    """All open rows of 16 bits whose model is known."""
    for experiment in read_measurements(path, ("A", "A-")).experiments:
        if experiment.kind != "open" or experiment.quantisation != "bf16":
            continue
        try:
            profile = bare(experiment.model, experiment.gpu, experiment.tensor_parallel, "bf16")
        except ProfileError:
            continue
        for stage in experiment.stages:
            if {"itl_mean_s", "ttft_mean_s", "e2e_mean_s"} <= stage.measured.keys():
                yield row_of(experiment, stage, profile)


def lone_rows_of(path: Path) -> Iterator[Row]:
    """Rows of one request at a time, long enough for latencies that were printed to a tenth of a second."""
    for experiment in read_measurements(path, ("B",)).experiments:
        (stage, *others) = experiment.stages
        if experiment.kind != "closed" or others or stage.concurrency != 1 or not experiment.name.startswith("rh"):
            continue
        if experiment.output_tokens < 256 or experiment.tensor_parallel > 1:
            continue
        with suppress(ProfileError):
            yield lone_row_of(experiment, stage, bare(experiment.model, experiment.gpu, 1, experiment.quantisation))


@cache
def bare(model: str, gpu: str, tensor_parallel: int, quantisation: str) -> PerformanceProfile:
    """The tables' own profile: nothing fitted, no overhead."""
    shape = known_model(model)
    if shape is None:
        raise ProfileError(f"{model} is no known model")
    profile = build_profile(shape, gpu, tensor_parallel, quantisation, fitted=False)
    nothing = dict.fromkeys((name for name in Overhead.model_fields if name.endswith("_s")), 0.0)
    return profile.model_copy(update={"overhead": profile.overhead.model_copy(update=nothing)})


def row_of(experiment: Experiment, stage: Stage, profile: PerformanceProfile) -> Row:
    """What this row's steps should last by the kernels.

    Sequences in flight follow from Little's law, rate x (end to end - TTFT), and are Poisson about it: arrivals are
    Poisson and nobody queues. A request sees them and itself, and in some steps another request's uncached tail.
    """
    itl_s, ttft_s, e2e_s = (stage.measured[f"{name}_mean_s"] for name in ("itl", "ttft", "e2e"))
    prompt, most = experiment.prompt_tokens, experiment.max_num_seqs
    context = prompt + experiment.output_tokens / 2
    model = ProfiledStepTime(profile, most, experiment.max_num_batched_tokens)
    dense_s = model.table(most, most).dense_s
    others = poisson(stage.rate_per_s * (e2e_s - ttft_s))
    arrivals_a_step = min(1.0, stage.rate_per_s * itl_s)
    sequences = kernel_s = own_s = dense = 0.0
    within = float(others.cdf(most - 2))
    for n in range(1, most):
        share = float(others.pmf(n - 1)) / within
        alone_s = model.step_s(n, round(n * context), [])
        beside_s = model.step_s(n, round(n * context), [(UNCACHED, prompt - UNCACHED)])
        sequences += share * n
        kernel_s += share * (alone_s + arrivals_a_step * (beside_s - alone_s))
        own_s += share * (beside_s - alone_s)
        dense += share * float(dense_s[n])
    shape = profile.model
    heads = sequences * shape.layers * shape.kv_heads / profile.tensor_parallel
    return Row(stage.row, profile, itl_s, ttft_s, sequences, kernel_s, own_s, dense, heads)


def lone_row_of(experiment: Experiment, stage: Stage, profile: PerformanceProfile) -> Row:
    """The same of one request at a time: what a token takes of the end to end, less the prompt's step."""
    prompt, output = experiment.prompt_tokens, experiment.output_tokens
    model = ProfiledStepTime(profile, 1, max(2048, prompt))
    first_s = model.step_s(0, 0, [(prompt, 0)])
    itl_s = (stage.measured["e2e_mean_s"] - first_s) / (output - 1)
    kernel_s = model.step_s(1, prompt + output // 2, [])
    dense_s = float(model.table(1, 1).dense_s[1])
    heads = float(profile.model.layers * profile.model.kv_heads)
    return Row(stage.row, profile, itl_s, first_s, 1.0, kernel_s, first_s, dense_s, heads)


def robust(design: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Coefficients of at least 0; both sides are relative, and what is off by far more than 3 % counts little."""
    scale = np.abs(design).max(axis=0)
    scale[scale == 0.0] = np.inf
    fit = least_squares(
        lambda x: (design / scale @ x) - target, np.full(design.shape[1], 1e-3),
        bounds=(0, np.inf), loss="soft_l1", f_scale=0.03, xtol=1e-12,
    )  # fmt: skip
    return np.asarray(fit.x / scale)


def step_design(rows: list[Row]) -> tuple[np.ndarray, np.ndarray]:
    """Terms of a step's overhead: a group of GPUs, whose workers are processes; sampling, by sequences x vocabulary.

    Sequences alone explain less (root mean square 5.3 % instead of 3.8 on profiles held out), and a constant on one
    GPU comes out as nothing.
    """
    itl_s = np.array([row.itl_s for row in rows])
    terms = [[float(row.profile.tensor_parallel > 1), row.sequences * row.profile.model.vocab] for row in rows]
    return np.array(terms) / itl_s[:, None], (itl_s - np.array([row.kernel_itl_s for row in rows])) / itl_s


def held_out(rows: list[Row], group: Callable[[Row], str]) -> np.ndarray:
    """Errors of each row by a fit on the rows of other groups, in per cent."""
    design, target = step_design(rows)
    groups = np.array([group(row) for row in rows])
    errors = np.empty(len(rows))
    for name in set(groups):
        out = groups == name
        if out.all():
            raise SystemExit(f"all rows belong to {name}: nothing is left to fit on")
        errors[out] = design[out] @ robust(design[~out], target[~out]) - target[out]
    return 100 * errors


def fit_step(rows: list[Row]) -> tuple[np.ndarray, dict[str, Any]]:
    """On the time between tokens, of Hopper GPUs."""
    design, target = step_design(rows)
    fitted = robust(design, target)
    errors = 100 * (design @ fitted - target)
    for row, error in zip(rows, errors, strict=True):
        print(
            f"{row.name:50s}{row.profile.id:42s}{row.sequences:6.1f} sequences: kernels {row.kernel_itl_s * 1e3:6.2f} ms "
            f"of {row.itl_s * 1e3:6.2f}, {error:+5.1f} % off with overhead"
        )
    for name, group in (
        ("profile", lambda row: row.profile.id),
        ("model", lambda row: row.profile.model.name),
    ):
        print(f"steps: each {name} by a fit on the others: {summary(held_out(rows, group))}")
    return fitted, basis("derived", f"time between tokens; {SOURCE}", errors)


def fit_older(rows: list[Row], lone: list[Row], per_vocabulary_s: float, v0_s: float) -> tuple[float, float]:
    """Of a GPU before Hopper: factor of its dense layers, and what a sequence costs each key-value head of a layer.

    Relative errors of three kinds, each kind of one weight: levels of the open rows, slopes between the loads of one
    server, and levels of the lone rows, less what the V0 engine took that served these.
    """
    kinds: list[list[tuple[float, float, float]]] = [[], [], []]
    points = [*((row, 0.0) for row in rows), *((row, v0_s) for row in lone)]
    beyond = {
        id(row): row.itl_s - engine_s - row.kernel_itl_s + row.dense_s
        - row.sequences * row.profile.model.vocab * per_vocabulary_s
        for row, engine_s in points
    }  # fmt: skip
    for row, engine_s in points:
        kinds[2 if engine_s else 0].append(
            (row.dense_s / row.itl_s, row.heads / row.itl_s, beyond[id(row)] / row.itl_s)
        )
    for low, high in pairwise(rows):
        if low.name.rpartition("-s")[0] == high.name.rpartition("-s")[0]:
            more_s = high.itl_s - low.itl_s
            kinds[1].append(
                ((high.dense_s - low.dense_s) / more_s, (high.heads - low.heads) / more_s,
                 (beyond[id(high)] - beyond[id(low)]) / more_s)
            )  # fmt: skip
    table = np.array([np.array(row) / len(kind) ** 0.5 for kind in kinds for row in kind])
    scale = table[:, :2].max(axis=0)
    fitted, _ = nnls(table[:, :2] / scale, table[:, 2])
    factor, head_s = (float(value) for value in fitted / scale)
    return factor, head_s


def reading_factor(rows: list[Row], engine_s: float, per_vocabulary_s: float) -> tuple[float, float, float]:
    """What reading the weights takes over what the tables say: median, least and most of its rows."""
    found = [
        (row.itl_s - engine_s - (row.kernel_itl_s - row.dense_s) - row.profile.model.vocab * per_vocabulary_s)
        / row.dense_s
        for row in rows
    ]
    return float(np.median(found)), min(found), max(found)


def eager_per_layer_s(path: Path) -> float:
    """Host time of a layer without CUDA graphs, from the smallest batches of the fastest format: those wait for it."""
    found = []
    for experiment in read_measurements(path, ("A",)).experiments:
        (stage, *_) = experiment.stages
        if experiment.eager and experiment.quantisation == "w4a16" and stage.concurrency == 4:
            shape = known_model(experiment.model)
            assert shape is not None
            found.append(stage.measured["tpot_p99_s"] / shape.layers)
    return float(np.median(found))


def summary(errors: np.ndarray) -> str:
    """Median, root mean square and largest error."""
    size = np.abs(errors)
    return f"median {np.median(size):.1f} %, rms {np.sqrt(np.mean(size**2)):.1f} %, max {size.max():.1f} %"


def fit_front_end(rows: list[Row]) -> tuple[dict[str, float], dict[str, Any]]:
    """A constant per group of hosts, on what TTFT has beyond the wait in the engine.

    A part per prompt token is not identified: it comes out between 3.6 and 9.7 us depending on two rows, and explains
    no more than the constant.
    """
    quick = [row for row in rows if row.ttft_s < MOST_STEPS_WAITED * row.itl_s]
    groups = sorted(set(HOSTS.values()))
    found = {HOSTS[row.profile.gpu] for row in quick}
    if found != set(groups):
        raise SystemExit(f"no rows of the hosts {set(groups) - found}")
    ttft_s = np.array([row.ttft_s for row in quick])
    design = np.array([[float(HOSTS[row.profile.gpu] == name) for name in groups] for row in quick]) / ttft_s[:, None]
    target = 1.0 - np.array([STEPS_WAITED * row.itl_s + row.kernel_own_s for row in quick]) / ttft_s
    fitted = robust(design, target)
    errors = 100 * (design @ fitted - target)
    print(f"TTFT: {summary(errors)}; ms by group of hosts: {dict(zip(groups, (fitted * 1e3).round(2), strict=True))}")
    source = f"mean TTFT beyond 2.5 steps; its split into front end and output is assumed; {SOURCE}"
    return dict(zip(groups, map(float, fitted), strict=True)), basis("estimated", source, errors)


def basis(label: str, source: str, errors: np.ndarray) -> dict[str, Any]:
    """As profiles keep it."""
    return {
        "label": label,
        "source": source,
        "rows": len(errors),
        "median_percent": round(float(np.median(np.abs(errors))), 1),
        "max_percent": round(float(np.max(np.abs(errors))), 1),
    }


def main() -> None:
    """Fit, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measurements", type=Path)
    path = parser.parse_args().measurements
    every, lone = list(rows_of(path)), list(lone_rows_of(path))
    rows = [row for row in every if row.profile.model.experts == 1]
    newer = [row for row in rows if row.profile.gpu not in OLDER]
    (several_s, per_vocabulary_s), step = fit_step(newer)
    factors: dict[str, dict[str, list[float]]] = {}
    heads: dict[str, float] = {}
    engine: dict[str, float] = {}
    for gpu in sorted({row.profile.gpu for row in lone} | set(OLDER)):
        own = {
            q: [row for row in lone if (row.profile.gpu, row.profile.quantisation) == (gpu, q)] for q in FORMATS[gpu]
        }
        factor = 1.0
        if gpu in OLDER:
            served = [row for row in rows if row.profile.gpu == gpu]
            engine_s = V0_STATED_S.get(gpu, 0.0)
            factor, heads[gpu] = fit_older(served, own["bf16"], per_vocabulary_s, engine_s)
            factors[gpu] = {"bf16": [round(factor, 3)] * 3}
        elif own["bf16"]:
            engine_s = float(
                np.median(
                    [row.itl_s - row.kernel_itl_s - row.profile.model.vocab * per_vocabulary_s for row in own["bf16"]]
                )
            )
        if own["bf16"]:
            engine[gpu] = float(f"{engine_s:.3g}")
        print(
            f"{gpu}: dense layers x{factor:.3f}, {heads.get(gpu, 0.0):.3g} s a head, V0 engine {1e3 * engine_s:.2f} ms a step"
        )
        for quantisation, some in own.items():
            if some and quantisation != "bf16":
                middle, low, high = reading_factor(some, engine_s, per_vocabulary_s)
                print(
                    f"{gpu} {quantisation}: reading weights x{middle:.3f} ({low:.3f} to {high:.3f}, {len(some)} rows)"
                )
                if some[0].profile.label == "derived":
                    continue  # its kernels were timed: the tables stand
                factors.setdefault(gpu, {})[quantisation] = [round(middle, 3), round(low, 3), round(high, 3)]
    # Nobody measured a H200 so; it is the same chip as H100.
    factors["h200"] = {"w4a16": factors["h100-80gb"]["w4a16"]}
    base_s, front_end = fit_front_end(rows)
    mixtures = [row for row in every if row.profile.model.experts > 1]
    if mixtures:
        design, target = step_design(mixtures)
        errors = 100 * (design @ np.array([several_s, per_vocabulary_s]) - target)
        print(f"mixtures of experts, never fitted on: {summary(errors)}")
    content = {
        "command": "python tools/fit_overhead.py MEASUREMENTS.csv",
        "per_step_on_several_gpus_s": float(f"{several_s:.3g}"),
        "per_sequence_and_vocabulary_entry_s": float(f"{per_vocabulary_s:.3g}"),
        "per_sequence_kv_head_and_layer_s": {gpu: float(f"{seconds:.3g}") for gpu, seconds in heads.items()},
        "eager_per_layer_s": float(f"{eager_per_layer_s(path):.3g}"),
        "v0_engine_per_step_s": engine,
        "dense_factor": factors,
        "dense_factor_source": LONE_SOURCE,
        "frontend_base_s": {gpu: float(f"{base_s[host] - OUTPUT_S:.3g}") for gpu, host in HOSTS.items()},
        "output_s": OUTPUT_S,
        "step": step,
        "front_end": front_end,
    }
    TARGET.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
