"""The metrics of a vLLM server, computed from the stamps of simulated requests.

Names, labels and bucket bounds are those of vLLM's `/metrics` endpoint (read from a running server of the version the
engine follows). A request is counted where vLLM counts it: prompt and first token when the first token is there, the
rest when the last is. Three things differ, because a simulation has no such detail: inter-token times are the mean of
their request, gauges are the mean of their hour, and times are those of the client, what an earlier backend lost
included.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.export.openmetrics import Family, Series, bound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

_TTFT: Final = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0),
    *(160.0, 640.0, 2560.0),
)
_GAPS: Final = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0),
)
_REQUEST: Final = (
    *(0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0),
    *(1920.0, 7680.0),
)
_TOKENS: Final = tuple(float(step * 10**power) for power in range(6) for step in (1, 2, 5))

#: Most that neighbouring bounds made by `finer` are apart: a quantile interpolated between them is at most as far off.
_FINE: Final = 1.05


@dataclass(frozen=True, slots=True)
class Backend:
    """What one backend of one hosting pattern did.

    Attributes:
        labels: Those of all its series.
        requests: Its rows of the requests table.
        hosted: Whether it is a cluster of our own.
    """

    labels: Mapping[str, str]
    requests: pd.DataFrame
    hosted: bool


@dataclass(frozen=True, slots=True)
class Histogram:
    """One histogram: at which stamp a request is counted, with which value, how many times."""

    name: str
    help: str
    bounds: tuple[float, ...]
    at: str
    value: Callable[[pd.DataFrame], pd.Series[float]]
    weight: Callable[[pd.DataFrame], pd.Series[float]] | None = None
    refined: bool = False
    hosted_only: bool = False


def _between(first: str, last: str) -> Callable[[pd.DataFrame], pd.Series[float]]:
    return lambda rows: rows[last] - rows[first]


def _gap_s(rows: pd.DataFrame) -> pd.Series[float]:
    return (rows["last_token_s"] - rows["first_token_s"]) / (rows["output_tokens"] - 1).where(lambda gaps: gaps > 0)


HISTOGRAMS: Final = (
    Histogram(
        "time_to_first_token_seconds", "Time to the first token.", _TTFT, "first_token_s",
        _between("arrival_s", "first_token_s"), refined=True,
    ),
    Histogram(
        "e2e_request_latency_seconds", "End-to-end latency.", _REQUEST, "last_token_s",
        _between("arrival_s", "last_token_s"), refined=True,
    ),
    Histogram(
        "inter_token_latency_seconds", "Time between tokens, the mean of its request.", _GAPS, "last_token_s", _gap_s,
        weight=lambda rows: rows["output_tokens"] - 1,
    ),
    Histogram(
        "request_time_per_output_token_seconds", "Mean time between the tokens of a request.", _GAPS, "last_token_s",
        _gap_s,
    ),
    Histogram(
        "request_queue_time_seconds", "Time waiting.", _REQUEST, "last_token_s",
        _between("enqueued_s", "scheduled_s"), hosted_only=True,
    ),
    Histogram(
        "request_prefill_time_seconds", "Time from being scheduled to the first token.", _REQUEST, "last_token_s",
        _between("scheduled_s", "first_token_s"), hosted_only=True,
    ),
    Histogram(
        "request_decode_time_seconds", "Time from the first token to the last.", _REQUEST, "last_token_s",
        _between("first_token_s", "last_token_s"), hosted_only=True,
    ),
    Histogram(
        "request_inference_time_seconds", "Time from being scheduled to the last token.", _REQUEST, "last_token_s",
        _between("scheduled_s", "last_token_s"), hosted_only=True,
    ),
    Histogram(
        "request_prompt_tokens", "Prompt tokens.", _TOKENS, "last_token_s", lambda rows: rows["prompt_tokens"],
    ),
    Histogram(
        "request_generation_tokens", "Output tokens.", _TOKENS, "last_token_s", lambda rows: rows["output_tokens"],
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Counter:
    """One counter: at which stamp a request adds to it, and how much."""

    name: str
    help: str
    at: str
    column: str | None
    hosted_only: bool = False


COUNTERS: Final = (
    Counter("prompt_tokens", "Prompt tokens of requests that got their first token.", "first_token_s", "prompt_tokens"),
    Counter("generation_tokens", "Output tokens of finished requests.", "last_token_s", "output_tokens"),
    Counter("request_success", "Finished requests.", "last_token_s", None),
    Counter("prefix_cache_queries", "Prompt tokens looked up.", "scheduled_s", "prompt_tokens", hosted_only=True),
    Counter(
        "prefix_cache_hits",
        "Prompt tokens found in the prefix cache.",
        "scheduled_s",
        "cached_tokens",
        hosted_only=True,
    ),
    Counter("num_preemptions", "Preemptions.", "last_token_s", "preemptions", hosted_only=True),
)


def finer(bounds: Sequence[float], above: float) -> tuple[float, ...]:
    """The same bounds, with others between those from `above` on, each at most 5 % over the one before.

    >>> finer((0.5, 1.0, 1.1), above=1.0)
    (0.5, 1.0, 1.0488, 1.1)
    """
    found = [bounds[0]]
    for low, high in pairwise(bounds):
        steps = int(np.ceil(np.log(high / low) / np.log(_FINE))) if high > above else 1
        found += [float(f"{low * (high / low) ** (step / steps):.5g}") for step in range(1, steps)]
        found.append(high)
    return tuple(found)


def histogram(kind: Histogram, patterns: Sequence[Sequence[Backend]], times_s: Values, *, fine: bool) -> Family:
    """Cumulative counts of every bucket at each time, and their sums.

    The backends of a hosting pattern share their bounds, so that they can be added up.

    Args:
        kind: Which.
        patterns: Backends of each hosting pattern.
        times_s: Seconds since the start of the horizon, ascending.
        fine: Whether the slowest tenth of latencies has finer buckets than vLLM's.
    """
    family = Family(f"vllm:{kind.name}", "histogram", kind.help)
    for backends in patterns:
        taken = [(one.labels, *_events(kind, one)) for one in backends if one.hosted or not kind.hosted_only]
        bounds = _bounds(kind, [values for _, _, values, _ in taken], fine=fine)
        for labels, at_s, values, weights in taken:
            family.series.extend(_cumulated(labels, bounds, times_s, (at_s, values, weights)))
    return family


def _events(kind: Histogram, backend: Backend) -> tuple[Values, Values, Values]:
    """When which values were observed, and how many times."""
    rows = backend.requests
    at_s, values = rows[kind.at].to_numpy(float), kind.value(rows).to_numpy(float)
    weights = np.ones(len(rows)) if kind.weight is None else kind.weight(rows).to_numpy(float)
    known = ~(np.isnan(at_s) | np.isnan(values)) & (weights > 0)
    return at_s[known], values[known], weights[known]


def _bounds(kind: Histogram, observed: Sequence[Values], *, fine: bool) -> tuple[float, ...]:
    """vLLM's from the last one below every value to the first above, finer ones where asked for, and infinity."""
    known = [values for values in observed if len(values)]
    if not known:
        return (*kind.bounds[:1], np.inf)
    bounds = kind.bounds
    if fine and kind.refined:
        bounds = finer(bounds, min(float(np.quantile(values, 0.9)) for values in known))
    least, most = min(map(np.min, known)), max(map(np.max, known))
    low, high = np.searchsorted(bounds, [least, most], "left")
    return (*bounds[max(0, low - 1) : high + 1], np.inf)


def _cumulated(
    labels: Mapping[str, str], bounds: Sequence[float], times_s: Values, events: tuple[Values, Values, Values]
) -> Iterator[Series]:
    at_s, values, weights = events
    when, bucket = np.searchsorted(times_s, at_s, "left"), np.searchsorted(bounds, values, "left")
    counts = np.zeros((len(times_s) + 1, len(bounds)))
    np.add.at(counts, (when, bucket), weights)
    totals = counts[:-1].cumsum(axis=0).cumsum(axis=1).astype(np.int64)
    for number, upper in enumerate(bounds):
        yield Series("_bucket", {**labels, "le": bound(upper)}, totals[:, number])
    sums = np.zeros(len(times_s) + 1)
    np.add.at(sums, when, values * weights)
    yield Series("_count", labels, totals[:, -1])
    yield Series("_sum", labels, sums[:-1].cumsum())


def counter(kind: Counter, backends: Sequence[Backend], times_s: Values) -> Family:
    """What had been counted at each time."""
    family = Family(f"vllm:{kind.name}", "counter", kind.help)
    for backend in backends:
        if kind.hosted_only and not backend.hosted:
            continue
        rows = backend.requests
        at_s = rows[kind.at].to_numpy(float)
        amounts = np.ones(len(rows), np.int64) if kind.column is None else rows[kind.column].to_numpy(np.int64)
        counts = np.zeros(len(times_s) + 1, np.int64)
        known = ~np.isnan(at_s)
        np.add.at(counts, np.searchsorted(times_s, at_s[known], "left"), amounts[known])
        labels = {**backend.labels, "finished_reason": "stop"} if kind.name == "request_success" else backend.labels
        family.series.append(Series("_total", labels, counts[:-1].cumsum()))
    return family
