"""The log of a real server, a line a request with the engine's own stamps, beside the simulation of the same requests.

The form is that of LLMServingSim's bench runs: JSON lines with `input_toks`, `output_toks`, and `queued_ts`,
`scheduled_ts`, `first_token_ts` and `last_token_ts` on one monotonic clock in seconds. Counts and times are read,
nothing else; a line with any other field than these is refused, because it may hold what nobody should store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from simulator.bench.serving import Served, request_table, serve
from simulator.engine.vllm.plan import plan_of
from simulator.errors import TraceError
from simulator.reading import read_unpacked

if TYPE_CHECKING:
    from pathlib import Path

    from rich.table import Table

    from simulator.performance.profile import PerformanceProfile
    from simulator.scenario.patterns import EngineSettings

Positive = Annotated[int, Field(gt=0, le=10_000_000)]
Seconds = Annotated[float, Field(ge=0)]
#: Faults of a file that are shown.
_SHOWN: Final = 20
#: What is compared: as measured, and its name for people.
_SEEN: Final = {"ttft": "time to first token", "tpot": "time per output token", "e2e": "end to end"}
_LEVELS: Final = (50, 90, 95, 99)


class LoggedRequest(BaseModel):
    """A line of the log; TTFT counts from `queued_ts`, when the engine had it."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    request_id: str | int | None = None
    input_toks: Positive
    output_toks: Positive
    arrival_time: Seconds | None = None
    queued_ts: Seconds
    scheduled_ts: Seconds | None = None
    first_token_ts: Seconds
    last_token_ts: Seconds

    @model_validator(mode="after")
    def _is_in_order(self) -> Self:
        if not self.queued_ts <= self.first_token_ts <= self.last_token_ts:
            raise ValueError("queued_ts, first_token_ts and last_token_ts must not go back")
        return self


def read_requests(path: Path) -> tuple[Served, list[int]]:
    """What a server logged of each request, in order of arrival, and the lengths of their prompts.

    Raises:
        TraceError: The file cannot be read, or a line is of another form; all faults at once, without what it holds.
    """
    try:
        lines = read_unpacked(path).splitlines()
    except (OSError, ValueError) as error:
        raise TraceError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    found, faults = [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found.append(LoggedRequest.model_validate_json(line))
        except ValidationError as error:
            # Neither the value nor the name of a field that nobody knows: both may be somebody's.
            known = LoggedRequest.model_fields
            for one in error.errors(include_input=False, include_url=False):
                place = str(one["loc"][0]) if one["loc"] else ""
                what = f"{place}: {one['msg']}" if place in known or not place else "a field that is not allowed"
                faults.append(f"{path}: line {number}: {what if place else one['msg']}")
    if not found and not faults:
        faults.append(f"{path}: holds no request")
    if faults:
        more = [f"and {len(faults) - _SHOWN} faults more"] if len(faults) > _SHOWN else []
        raise TraceError("\n".join(faults[:_SHOWN] + more))
    found.sort(key=lambda one: one.queued_ts)
    queued_s = np.array([one.queued_ts for one in found])
    served = Served(
        arrival_s=queued_s - queued_s[0],
        ttft_s=np.array([one.first_token_ts for one in found]) - queued_s,
        e2e_s=np.array([one.last_token_ts for one in found]) - queued_s,
        output_tokens=np.array([one.output_toks for one in found], np.int64),
        preemptions=np.zeros(len(found), np.int64),
    )
    return served, [one.input_toks for one in found]


def simulated(
    theirs: Served, prompt_tokens: list[int], profile: PerformanceProfile, settings: EngineSettings
) -> Served:
    """The same requests, queued at the same moments; the stamps are the engine's, so there is no front end."""
    engine = profile.overhead.model_copy(
        update={"frontend_base_s": 0.0, "frontend_per_prompt_token_s": 0.0, "output_s": 0.0}
    )
    plan = plan_of(profile.model_copy(update={"overhead": engine}), settings)
    return serve(settings, plan, request_table(theirs.arrival_s, prompt_tokens, theirs.output_tokens))


def document(theirs: Served, ours: Served, profile: str) -> dict[str, Any]:
    """Both sides by metric, in seconds, with the error in per cent; and how far off a request is, in the median."""
    metrics: dict[str, Any] = {}
    for name in _SEEN:
        real, mine = (_values(served, name) for served in (theirs, ours))
        errors = 100.0 * np.abs(mine / real - 1.0)
        metrics[name] = {
            "request_median_absolute_error_percent": round(float(np.median(errors)), 2),
            **{
                level: {
                    "measured": float(take(real)),
                    "simulated": float(take(mine)),
                    "error_percent": round(100.0 * (float(take(mine)) / float(take(real)) - 1.0), 2),
                }
                for level, take in _statistics()
            },
        }
    return {"schema_version": 1, "profile": profile, "requests": len(theirs.arrival_s), "metrics": metrics}


def table(found: dict[str, Any], title: str) -> Table:
    """The comparison for a person."""
    from rich.table import Table

    grid = Table("", title=title, title_justify="left")
    for name in ("measured, ms", "simulated, ms", "error, %"):
        grid.add_column(name, justify="right")
    for name, told in _SEEN.items():
        one = found["metrics"][name]
        for level, _ in _statistics():
            row = one[level]
            cells = (f"{1000 * row[side]:,.1f}" for side in ("measured", "simulated"))
            grid.add_row(f"{told}, {level}", *cells, f"{row['error_percent']:+.1f}")
        grid.add_row("  of a request, in the median", "", "", f"{one['request_median_absolute_error_percent']:.1f}")
    return grid


def _statistics() -> list[tuple[str, Any]]:
    percentiles = [(f"p{level}", lambda values, level=level: np.percentile(values, level)) for level in _LEVELS]
    return [("mean", np.mean), *percentiles]


def _values(served: Served, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    if name == "tpot":
        many = served.output_tokens > 1
        return (served.e2e_s - served.ttft_s)[many] / (served.output_tokens[many] - 1)
    return served.ttft_s if name == "ttft" else served.e2e_s
