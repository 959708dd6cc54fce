"""The overheads of one's own server, from a light replay: what its profile's kernels leave out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.bench.replay_check import measured, simulated
from simulator.engine.vllm.plan import plan_of
from simulator.errors import ProfileError, TraceError
from simulator.performance.profile import Basis, StepTimeBand
from simulator.wording import article

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.bench.replay_record import ReplayRecord
    from simulator.bench.serving import Served
    from simulator.performance.profile import PerformanceProfile
    from simulator.scenario.patterns import EngineSettings

#: What is fitted, and a step of it that moves the result visibly, in seconds. `output_s` cannot be told from
#: `frontend_base_s` by a client and is part of it.
FITTED: Final = {
    "per_step_s": 1e-4, "per_sequence_s": 1e-6, "frontend_base_s": 1e-3, "frontend_per_prompt_token_s": 1e-6,
}  # fmt: skip
#: Fewer requests say too little.
LEAST_REQUESTS: Final = 30
#: Medians, in per cent, beyond which a fit says nothing about its server: inter-token time, and TTFT, of which a few
#: milliseconds of noise are a larger part. The recorded fits of this repository lie below a third of them.
MOST_PERCENT: Final = (15.0, 30.0)
#: A replay is light when hardly any request waits for others: the third that met most others under way has a median
#: TTFT of at most so many times that of the third that met fewest.
_LIGHT: Final = 3.0
#: How much requests may differ in inter-token time beyond what the simulation says, relative to the median.
_NOISE: Final = 0.2


def fit_overhead(
    record: ReplayRecord,
    profile: PerformanceProfile,
    settings: EngineSettings,
    *,
    completed_only: bool = False,
    anyway: bool = False,
) -> PerformanceProfile:
    """The profile with the overheads under which the simulation of a replay comes nearest to it.

    Least squares, through the engine itself, over every request's TTFT and mean inter-token time, each relative to its
    mean; residuals above 5 % count linearly. The band of the profile becomes wide enough for 95 of 100 requests.

    Args:
        record: The replay.
        profile: Of what its server runs on.
        settings: Of the server.
        completed_only: Leave out what was not completed instead of refusing.
        anyway: Take a fit that explains nothing, labelled as estimated.

    Raises:
        TraceError: Not every request was completed, or there are too few.
        ProfileError: The fit is further off than `MOST_PERCENT`; the message says what is likely wrong.
    """
    from scipy.optimize import least_squares

    theirs = measured(record, completed_only=completed_only)
    if len(theirs.ttft_s) < LEAST_REQUESTS:
        raise TraceError(f"{len(theirs.ttft_s)} requests are too few to fit on: {LEAST_REQUESTS} at least")
    units = np.array([*FITTED.values()])

    def served(shares: NDArray[np.float64]) -> Served:
        values = dict(zip(FITTED, ((shares - 1.0) * units).tolist(), strict=True))
        changed = profile.overhead.model_copy(update=values | {"output_s": 0.0})
        return simulated(record, plan_of(profile.model_copy(update={"overhead": changed}), settings), settings)

    def residuals(shares: NDArray[np.float64]) -> NDArray[np.float64]:
        ours = served(shares)
        return np.concatenate(
            [(mine - real) / np.mean(real) for mine, real in zip(_seen(ours), _seen(theirs), strict=True)]
        )

    # From 1 up, so that a tenth of it is never nothing: the engine answers in steps. Far from the best place its
    # answer is too jagged for derivatives; the medians lead there.
    start = np.ones(len(units))
    for _ in range(4):
        ours = served(start)
        late, slow = (float(np.median(real - mine)) for mine, real in zip(_seen(ours), _seen(theirs), strict=True))
        start += np.array([slow, 0.0, late - slow, 0.0]) / units
        start = np.maximum(start, 1.0)
    steps = np.full(len(units), 0.1)
    best = least_squares(residuals, start + 0.1, bounds=(1.0, np.inf), diff_step=steps, loss="soft_l1", f_scale=0.05)
    ours = served(best.x)
    ratios = [real / mine for mine, real in zip(_seen(ours), _seen(theirs), strict=True)]
    errors = [100.0 * np.abs(mine / real - 1.0) for mine, real in zip(_seen(ours), _seen(theirs), strict=True)]
    late, slow = (float(np.median(error)) for error in errors)
    loose = slow > MOST_PERCENT[0] or late > MOST_PERCENT[1]
    if loose and not anyway:
        bare = served(np.ones(len(units)))
        raise ProfileError(
            f"the best fit is {slow:.1f} % off in inter-token time and {late:.1f} % in TTFT, in the median (at most "
            f"{MOST_PERCENT[0]:g} and {MOST_PERCENT[1]:g}): {_cause(theirs, ours, bare)}; --anyway writes it, labelled "
            "as estimated"
        )
    trace, version = record.trace, record.server.version
    source = f"replay of {trace.name} ({trace.sha256[:12]}), vLLM {version}, {record.recorded_on}"
    front_end, step = (
        Basis(
            label="estimated" if loose else "measured",
            source=source,
            rows=len(error),
            median_percent=round(float(np.median(error)), 2),
            max_percent=round(float(np.max(error)), 2),
        )
        for error in errors
    )
    values = dict(zip(FITTED, ((best.x - 1.0) * units).tolist(), strict=True))
    changed = profile.overhead.model_copy(update=values | {"output_s": 0.0, "step": step, "front_end": front_end})
    low, high = (float(value) for value in np.quantile(ratios[1], (0.025, 0.975)))
    known = profile.step_time_band
    band = StepTimeBand(
        low=round(max(0.1, min(known.low, low)), 3),
        high=round(max(known.high, high), 3),
        source=f"{known.source}; and 95 of 100 requests of {article(source)}",
    )
    return profile.model_copy(update={"overhead": changed, "step_time_band": band})


def _cause(theirs: Served, ours: Served, bare: Served) -> str:
    """Why a fit explains so little, by what is seen: queueing, another machine, or noise."""
    ttft_s, gap_s = _seen(theirs)
    _, bare_gap_s = _seen(bare)
    _, our_gap_s = _seen(ours)
    others = np.argsort(_under_way(theirs), kind="stable")
    third = len(others) // 3
    if np.median(ttft_s[others[-third:]]) > _LIGHT * np.median(ttft_s[others[:third]]):
        return "many requests waited for others, so this is no light replay; send fewer a second"
    slower = float(np.median(bare_gap_s / gap_s))
    if slower > 1.0 + MOST_PERCENT[0] / 100.0:
        return (
            f"the profile alone takes {slower:.2f} times as long for a token as the server, so it is of another GPU, "
            "model or format, or --engine says something else than the server's settings"
        )
    if _spread(gap_s) > _spread(our_gap_s) + _NOISE:
        return "requests of the same kind differ much more than they should, so something else ran on the machine"
    return "the profile is of another GPU, model or format, or --engine says something else than the server's settings"


def _under_way(served: Served) -> NDArray[np.int64]:
    """Requests that each of them met, sent before and not answered."""
    ends_s = np.sort(served.arrival_s + served.e2e_s)
    return np.arange(len(ends_s)) - np.searchsorted(ends_s, served.arrival_s, side="right")


def _spread(values: NDArray[np.float64]) -> float:
    """Of the middle half, relative to the median."""
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return float((high - low) / middle)


def _seen(served: Served) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """TTFT of all requests, and the mean inter-token time of those with more than one token."""
    many = served.output_tokens > 1
    return served.ttft_s, ((served.e2e_s - served.ttft_s)[many]) / (served.output_tokens[many] - 1)
