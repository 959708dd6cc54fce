"""What kernel tables leave out of a step and of the time to first token, fitted on real serving measurements."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import poisson

from simulator.performance.profile import PerformanceProfile
from simulator.performance.step_time import ProfiledStepTime

#: What TTFT has beyond the steps falls into two groups, 9 to 11 ms on A100 and L40S and mostly 6 to 8 ms on H100,
#: whatever the model: a matter of the hosts, then. H200 is assumed to be like H100.
HOSTS = {"a100-80gb": 0, "l40s": 0, "h100-80gb": 1, "h200": 1}
PARAMETERS = ("per_step_s", "per_sequence_s", "frontend_base_s", "frontend_per_prompt_token_s", "output_s")
#: A request that finds no free slot waits for something else than the front end.
MOST_STEPS_WAITED = 5.0
#: The prompts come out longer than configured, for want of a common tokeniser; and block-size 16 leaves half a block.
RETOKENISED, UNCACHED = 1.05, 8
#: Streaming a token to the client; TTFT holds only its sum with the front end, so the share is a guess.
OUTPUT_S = 0.0015
SOURCE = "inference-sim sim-to-real validation, vLLM 0.15.1, bf16 dense models"


@dataclass(frozen=True)
class Row:
    """One measurement beside what kernels alone explain.

    Attributes:
        profile: The profile it was made with.
        itl_s: Measured time between tokens.
        ttft_s: Measured time to first token.
        sequences: Mean sequences of the steps a request sees.
        kernel_itl_s: Step time by the profile, without overhead.
        kernel_own_s: What the request's own chunk adds to its first step.
    """

    name: str
    profile: str
    gpu: str
    itl_s: float
    ttft_s: float
    sequences: float
    kernel_itl_s: float
    kernel_own_s: float


def _bare(profile: dict[str, Any]) -> PerformanceProfile:
    """The profile without overhead."""
    basis = {"label": "estimated", "source": "none", "rows": 1, "median_percent": 0.0, "max_percent": 0.0}
    overhead = dict.fromkeys(PARAMETERS, 0.0) | {"step": basis, "front_end": basis}
    return PerformanceProfile.model_validate_json(json.dumps(profile | {"overhead": overhead}))


def _rows(path: Path, profiles: list[dict[str, Any]]) -> Iterator[Row]:
    """Rows of quality A and A-, of open arrivals and 16-bit weights, for which there is a profile."""
    known = {
        (name, profile["gpu"], profile["tensor_parallel"]): _bare(profile)
        for profile in profiles
        if profile["quantisation"] == "bf16"
        for name in profile["model"]["hf_names"]
    }
    needed = ("rate_rps", "itl_server_ms", "ttft_mean_ms", "e2e_mean_ms", "prompt_len_spec", "output_len_spec")
    with path.open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            gpu = row["gpu"].lower().removesuffix("-sxm")
            profile = known.get((row["model"], gpu, int(row["tp"] or 0)))
            if profile is None or row["quality"] not in {"A", "A-"} or not row["quant"].startswith(("FP16", "BF16")):
                continue
            if all(row[name] for name in needed):
                yield _row(row, profile)


def _row(row: dict[str, str], profile: PerformanceProfile) -> Row:
    """What this row's steps should last by the kernels.

    Sequences in flight follow from Little's law, rate x (end to end - TTFT), and are Poisson about it: arrivals are
    Poisson and nobody queues. A request sees them and itself, and in some steps another request's uncached tail.
    """
    itl_s, ttft_s, e2e_s = (float(row[name]) / 1e3 for name in ("itl_server_ms", "ttft_mean_ms", "e2e_mean_ms"))
    rate_per_s = float(row["rate_rps"])
    shared, question = (int(digits) for digits in re.findall(r"\d+", row["prompt_len_spec"])[:2])
    prompt = RETOKENISED * (shared + question)
    context = prompt + float(row["output_len_spec"]) / 2
    max_num_seqs = int(float(row["max_num_seqs"]))
    model = ProfiledStepTime(profile, max_num_seqs, int(float(row["max_num_batched_tokens"])))
    others = poisson(rate_per_s * (e2e_s - ttft_s))
    chunk = [(UNCACHED, int(prompt) - UNCACHED)]
    arrivals_a_step = min(1.0, rate_per_s * itl_s)
    sequences = kernel_s = own_s = 0.0
    within = float(others.cdf(max_num_seqs - 2))
    for n in range(1, max_num_seqs):
        share = float(others.pmf(n - 1)) / within
        alone_s = model.step_s(n, round(n * context), [])
        beside_s = model.step_s(n, round(n * context), chunk)
        sequences += share * n
        kernel_s += share * (alone_s + arrivals_a_step * (beside_s - alone_s))
        own_s += share * (beside_s - alone_s)
    return Row(row["id"], profile.id, profile.gpu, itl_s, ttft_s, sequences, kernel_s, own_s)


def _robust(design: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Coefficients of at least 0; both sides are relative, and what is off by far more than 3 % counts little."""
    start = np.full(design.shape[1], 1e-3)
    fit = least_squares(
        lambda x: (design @ (x * 1e-3)) - target, start, bounds=(0, np.inf), loss="soft_l1", f_scale=0.03, xtol=1e-12
    )
    return np.asarray(fit.x * 1e-3)


def _step_design(rows: list[Row]) -> tuple[np.ndarray, np.ndarray]:
    itl_s = np.array([row.itl_s for row in rows])
    design = np.array([[1.0, row.sequences] for row in rows]) / itl_s[:, None]
    return design, (itl_s - np.array([row.kernel_itl_s for row in rows])) / itl_s


def _held_out(rows: list[Row]) -> np.ndarray:
    """Errors of each row by a fit on the rows of other profiles, in per cent."""
    design, target = _step_design(rows)
    errors = []
    for i, row in enumerate(rows):
        others = [j for j, other in enumerate(rows) if other.profile != row.profile]
        errors.append(abs(design[i] @ _robust(design[others], target[others]) - target[i]))
    return 100 * np.array(errors)


def _fit_step(rows: list[Row]) -> tuple[np.ndarray, dict[str, Any]]:
    """A constant and a part per sequence, on the time between tokens, for all GPUs together."""
    design, target = _step_design(rows)
    fitted = _robust(design, target)
    errors = 100 * np.abs(design @ fitted - target)
    for row, error in zip(rows, errors, strict=True):
        print(
            f"{row.name:50s}{row.gpu:10s}{row.sequences:6.1f} sequences: kernels {row.kernel_itl_s * 1e3:6.2f} ms of "
            f"{row.itl_s * 1e3:6.2f}, {error:4.1f} % off with overhead"
        )
    held_out = _held_out(rows)
    print(f"steps: each profile by a fit on the others: median {np.median(held_out):.1f} %, max {held_out.max():.1f} %")
    return fitted, _basis("derived", f"time between tokens; {SOURCE}", errors)


def _fit_front_end(rows: list[Row]) -> tuple[np.ndarray, dict[str, Any]]:
    """A constant per group of hosts, on what TTFT has beyond the wait in the engine.

    Half the step in flight, the one scheduled ahead of it, and the request's own. A part per prompt token is not
    identified: it comes out between 3.6 and 9.7 us depending on two rows, and explains no more than the constant.
    """
    quick = [row for row in rows if row.ttft_s < MOST_STEPS_WAITED * row.itl_s]
    ttft_s = np.array([row.ttft_s for row in quick])
    design = np.eye(max(HOSTS.values()) + 1)[[HOSTS[row.gpu] for row in quick]] / ttft_s[:, None]
    target = 1.0 - np.array([2.5 * row.itl_s + row.kernel_own_s for row in quick]) / ttft_s
    fitted = _robust(design, target)
    errors = 100 * np.abs(design @ fitted - target)
    print(f"TTFT: median {np.median(errors):.1f} % off, max {errors.max():.1f} %; ms by host group: {fitted * 1e3}")
    source = f"mean TTFT beyond 2.5 steps; its split into front end and output is assumed; {SOURCE}"
    return fitted, _basis("estimated", source, errors)


def fit(path: Path, profiles: list[dict[str, Any]]) -> dict[str, Any]:
    """Overhead by GPU; prints every row and the errors.

    Raises:
        SystemExit: A group of hosts has no row: all profiles are needed.
    """
    rows = list(_rows(path, profiles))
    if {HOSTS[row.gpu] for row in rows} != set(HOSTS.values()):
        raise SystemExit("the overhead is fitted on all profiles together: leave --only away")
    (per_step_s, per_sequence_s), step = _fit_step(rows)
    base_s, front_end = _fit_front_end(rows)
    return {
        gpu: {
            "per_step_s": float(f"{per_step_s:.3g}"),
            "per_sequence_s": float(f"{per_sequence_s:.3g}"),
            "frontend_base_s": float(f"{base_s[host] - OUTPUT_S:.3g}"),
            "frontend_per_prompt_token_s": 0.0,
            "output_s": OUTPUT_S,
            "step": step,
            "front_end": front_end,
        }
        for gpu, host in HOSTS.items()
    }


def _basis(label: str, source: str, errors: np.ndarray) -> dict[str, Any]:
    return {
        "label": label,
        "source": source,
        "rows": len(errors),
        "median_percent": round(float(np.median(errors)), 1),
        "max_percent": round(float(np.max(errors)), 1),
    }
