"""The overheads of one's own server, from a light replay: what its profile's kernels leave out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.bench.replay_check import measured, sent
from simulator.bench.serving import Served, serve
from simulator.engine.vllm.plan import plan_of
from simulator.errors import TraceError
from simulator.performance.profile import Basis

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.bench.replay_record import ReplayRecord
    from simulator.performance.profile import PerformanceProfile
    from simulator.scenario.patterns import EngineSettings

#: What is fitted, and a step of it that moves the result visibly, in seconds. `output_s` cannot be told from
#: `frontend_base_s` by a client and is part of it.
FITTED: Final = {
    "per_step_s": 1e-4, "per_sequence_s": 1e-6, "frontend_base_s": 1e-3, "frontend_per_prompt_token_s": 1e-6,
}  # fmt: skip
#: Fewer requests say too little.
LEAST_REQUESTS: Final = 30


def fit_overhead(record: ReplayRecord, profile: PerformanceProfile, settings: EngineSettings) -> PerformanceProfile:
    """The profile with the overheads under which the simulation of a replay comes nearest to it.

    Least squares, through the engine itself, over every request's TTFT and mean inter-token time, each relative to its
    mean; residuals above 5 % count linearly.

    Raises:
        TraceError: Not every request was completed, or there are too few.
    """
    from scipy.optimize import least_squares

    theirs, table = measured(record), sent(record)
    if len(theirs.ttft_s) < LEAST_REQUESTS:
        raise TraceError(f"{len(theirs.ttft_s)} requests are too few to fit on: {LEAST_REQUESTS} at least")
    units = np.array([*FITTED.values()])

    def simulated(shares: NDArray[np.float64]) -> Served:
        values = dict(zip(FITTED, ((shares - 1.0) * units).tolist(), strict=True))
        changed = profile.overhead.model_copy(update=values | {"output_s": 0.0})
        return serve(settings, plan_of(profile.model_copy(update={"overhead": changed}), settings), table)

    def residuals(shares: NDArray[np.float64]) -> NDArray[np.float64]:
        ours = simulated(shares)
        return np.concatenate(
            [(mine - real) / np.mean(real) for mine, real in zip(_seen(ours), _seen(theirs), strict=True)]
        )

    # From 1 up, so that a tenth of it is never nothing: the engine answers in steps. Far from the best place its
    # answer is too jagged for derivatives; the medians lead there.
    start = np.ones(len(units))
    for _ in range(4):
        ours = simulated(start)
        late, slow = (float(np.median(real - mine)) for mine, real in zip(_seen(ours), _seen(theirs), strict=True))
        start += np.array([slow, 0.0, late - slow, 0.0]) / units
        start = np.maximum(start, 1.0)
    steps = np.full(len(units), 0.1)
    best = least_squares(residuals, start + 0.1, bounds=(1.0, np.inf), diff_step=steps, loss="soft_l1", f_scale=0.05)
    errors = [
        100.0 * np.abs(mine / real - 1.0) for mine, real in zip(_seen(simulated(best.x)), _seen(theirs), strict=True)
    ]
    trace, version = record.trace, record.server.version
    source = f"replay of {trace.name} ({trace.sha256[:12]}), vLLM {version}, {record.recorded_on}"
    front_end, step = (
        Basis(
            label="measured",
            source=source,
            rows=len(error),
            median_percent=round(float(np.median(error)), 2),
            max_percent=round(float(np.max(error)), 2),
        )
        for error in errors
    )
    values = dict(zip(FITTED, ((best.x - 1.0) * units).tolist(), strict=True))
    changed = profile.overhead.model_copy(update=values | {"output_s": 0.0, "step": step, "front_end": front_end})
    return profile.model_copy(update={"overhead": changed})


def _seen(served: Served) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """TTFT of all requests, and the mean inter-token time of those with more than one token."""
    many = served.output_tokens > 1
    return served.ttft_s, ((served.e2e_s - served.ttft_s)[many]) / (served.output_tokens[many] - 1)
