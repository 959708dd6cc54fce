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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import poisson

from simulator.bench.measurements import Experiment, Stage, read_measurements
from simulator.bench.validate import find_profile
from simulator.errors import ProfileError
from simulator.performance.profile import PerformanceProfile, available_profiles, read_profile
from simulator.performance.step_time import ProfiledStepTime

TARGET = Path(__file__).resolve().parents[1] / "simulator" / "performance" / "data" / "overhead.json"
#: What TTFT has beyond the steps falls into two groups, 9 to 11 ms on A100 and L40S and mostly 6 to 8 ms on H100,
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
    """

    name: str
    profile: PerformanceProfile
    itl_s: float
    ttft_s: float
    sequences: float
    kernel_itl_s: float
    kernel_own_s: float


def rows_of(path: Path) -> Iterator[Row]:
    """All rows for which there is a profile."""
    shipped = [read_profile(name) for name in available_profiles()]
    for experiment in read_measurements(path, ("A", "A-")).experiments:
        if experiment.kind != "open" or experiment.quantisation != "bf16":
            continue
        try:
            profile = find_profile(experiment, (), shipped)
        except ProfileError:
            continue
        for stage in experiment.stages:
            if {"itl_mean_s", "ttft_mean_s", "e2e_mean_s"} <= stage.measured.keys():
                yield row_of(experiment, stage, bare(profile))


def bare(profile: PerformanceProfile) -> PerformanceProfile:
    """The profile without overhead."""
    names = ("per_step_s", "per_sequence_s", "frontend_base_s", "frontend_per_prompt_token_s", "output_s")
    return profile.model_copy(update={"overhead": profile.overhead.model_copy(update=dict.fromkeys(names, 0.0))})


def row_of(experiment: Experiment, stage: Stage, profile: PerformanceProfile) -> Row:
    """What this row's steps should last by the kernels.

    Sequences in flight follow from Little's law, rate x (end to end - TTFT), and are Poisson about it: arrivals are
    Poisson and nobody queues. A request sees them and itself, and in some steps another request's uncached tail.
    """
    itl_s, ttft_s, e2e_s = (stage.measured[f"{name}_mean_s"] for name in ("itl", "ttft", "e2e"))
    prompt, most = experiment.prompt_tokens, experiment.max_num_seqs
    context = prompt + experiment.output_tokens / 2
    model = ProfiledStepTime(profile, most, experiment.max_num_batched_tokens)
    others = poisson(stage.rate_per_s * (e2e_s - ttft_s))
    arrivals_a_step = min(1.0, stage.rate_per_s * itl_s)
    sequences = kernel_s = own_s = 0.0
    within = float(others.cdf(most - 2))
    for n in range(1, most):
        share = float(others.pmf(n - 1)) / within
        alone_s = model.step_s(n, round(n * context), [])
        beside_s = model.step_s(n, round(n * context), [(UNCACHED, prompt - UNCACHED)])
        sequences += share * n
        kernel_s += share * (alone_s + arrivals_a_step * (beside_s - alone_s))
        own_s += share * (beside_s - alone_s)
    return Row(stage.row, profile, itl_s, ttft_s, sequences, kernel_s, own_s)


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
    """On the time between tokens, for all GPUs together."""
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
        ("GPU", lambda row: row.profile.gpu),
    ):
        print(f"steps: each {name} by a fit on the others: {summary(held_out(rows, group))}")
    return fitted, basis("derived", f"time between tokens; {SOURCE}", errors)


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
    every = list(rows_of(parser.parse_args().measurements))
    rows = [row for row in every if row.profile.model.experts == 1]
    (several_s, per_vocabulary_s), step = fit_step(rows)
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
        "frontend_base_s": {gpu: float(f"{base_s[host] - OUTPUT_S:.3g}") for gpu, host in HOSTS.items()},
        "output_s": OUTPUT_S,
        "step": step,
        "front_end": front_end,
    }
    TARGET.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
