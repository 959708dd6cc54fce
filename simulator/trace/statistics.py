"""What a trace is like: rates by hour of the week, burstiness by time scale, lengths and how they hang together.

Cells of a workload and an hour with fewer than `SMALL_CELL` requests are not shown: a rare clinic's one request may be
a person's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from simulator.units import HOUR_S, WEEK_S

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.trace.header import TraceHeader
    from simulator.trace.request_table import RequestTable

SMALL_CELL: Final = 5
#: Time scales in seconds, by the names they have in the output.
SCALES: Final = {"1s": 1.0, "10s": 10.0, "30s": 30.0, "1min": 60.0, "10min": 600.0, "1h": 3600.0, "1d": 86_400.0}
WINDOWS: Final = {"1min": 60.0, "5min": 300.0, "1h": 3600.0}
#: Within windows of this length the trend of the day is left out.
_TREND_S: Final = 300.0
#: Gaps or intervals below which nothing is said of their variance.
_FEWEST: Final = 7
_QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}


def statistics(table: RequestTable, header: TraceHeader) -> dict[str, Any]:
    """All of it as one document; None where there are too few requests to say.

    Args:
        table: The trace.
        header: Its span and its place in the week.
    """
    kinds = {name: table.workload == number for number, name in enumerate(table.workloads)}
    return {
        "requests": len(table),
        "span_s": header.span_s,
        "requests_per_s": len(table) / header.span_s,
        "hours_are": "of the week"
        if header.week_offset_s is not None
        else "since the start, as if on a Monday at 0:00",
        "inter_arrival_cv": inter_arrival_cv(table.arrival_s),
        "index_of_dispersion": {
            name: index_of_dispersion(table.arrival_s, scale_s, header.span_s) for name, scale_s in SCALES.items()
        },
        "index_of_dispersion_within_5min": {
            name: index_of_dispersion(table.arrival_s, scale_s, header.span_s, within_s=_TREND_S)
            for name, scale_s in SCALES.items()
            if scale_s < _TREND_S / 2
        },
        "requests_per_hour_of_week": hour_of_week(table.arrival_s, header),
        "workloads": {name: _workload(table, mask, header) for name, mask in kinds.items() if mask.any()},
    }


def hour_of_week(arrival_s: NDArray[np.float64], header: TraceHeader) -> list[list[float | None]]:
    """Requests per hour, 7 days from Monday by 24 hours; None where the trace does not reach or a cell is small."""
    offset_s = header.week_offset_s or 0.0
    counts = np.bincount((((arrival_s + offset_s) % WEEK_S) // HOUR_S).astype(np.int64), minlength=168)
    covered_h = _covered_hours(offset_s, header.span_s)
    rates = np.divide(counts, covered_h, out=np.zeros(168), where=covered_h > 0)
    hidden = (covered_h == 0) | ((counts > 0) & (counts < SMALL_CELL))
    cells = [None if out else float(rate) for rate, out in zip(rates, hidden, strict=True)]
    return [cells[24 * day : 24 * day + 24] for day in range(7)]


def _covered_hours(offset_s: float, span_s: float) -> NDArray[np.float64]:
    """How many hours of the trace fall into each hour of the week."""
    edges = np.arange(0.0, WEEK_S + HOUR_S, HOUR_S)

    def until(moment_s: float) -> NDArray[np.float64]:
        weeks, rest_s = divmod(moment_s, WEEK_S)
        return np.asarray(weeks + np.clip((rest_s - edges[:-1]) / HOUR_S, 0.0, 1.0))

    return until(offset_s + span_s) - until(offset_s)


def inter_arrival_cv(arrival_s: NDArray[np.float64]) -> dict[str, float | None]:
    """Standard deviation over mean of the gaps: of all, and the median of what windows of some length have within."""
    return {"all": _cv(arrival_s)} | {name: _window_cv(arrival_s, length) for name, length in WINDOWS.items()}


def _cv(arrival_s: NDArray[np.float64]) -> float | None:
    gaps = np.diff(arrival_s)
    return float(gaps.std() / gaps.mean()) if len(gaps) >= _FEWEST and gaps.mean() > 0 else None


def _window_cv(arrival_s: NDArray[np.float64], window_s: float) -> float | None:
    edges = np.flatnonzero(np.diff(arrival_s // window_s)) + 1
    found = [cv for part in np.split(arrival_s, edges) if (cv := _cv(part)) is not None]
    return float(np.median(found)) if found else None


def index_of_dispersion(
    arrival_s: NDArray[np.float64], scale_s: float, span_s: float, within_s: float | None = None
) -> float | None:
    """Variance over mean of the counts in intervals of this length; 1 for Poisson arrivals of a constant rate.

    Args:
        arrival_s: Ascending.
        scale_s: Length of an interval; a last one that is not whole is left out.
        span_s: Of the trace.
        within_s: Take the variance within windows of this length, so that a slow trend does not count.
    """
    intervals = int(span_s // scale_s)
    if intervals < _FEWEST or not len(arrival_s):
        return None
    bins = (arrival_s // scale_s).astype(np.int64)
    counts = np.bincount(bins[bins < intervals], minlength=intervals).astype(np.float64)
    if within_s is not None:
        width = int(within_s // scale_s)
        if len(counts) < width:
            return None
        windows = counts[: len(counts) // width * width].reshape(-1, width)
        mean = float(windows.mean())
        return float(windows.var(axis=1, ddof=1).mean() / mean) if mean > 0 else None
    mean = float(counts.mean())
    return float(counts.var(ddof=1) / mean) if mean > 0 else None


def _workload(table: RequestTable, mask: NDArray[np.bool_], header: TraceHeader) -> dict[str, Any]:
    count = int(mask.sum())
    if count < SMALL_CELL:
        return {"requests": None, "why": f"fewer than {SMALL_CELL} requests"}
    prompt, output = table.prompt_tokens[mask], table.output_tokens[mask]
    shared = np.where(table.prefix_id[mask] >= 0, np.minimum(prompt, table.prefix_tokens[mask]), 0)
    return {
        "requests": count,
        "prompt_tokens": _lengths(prompt),
        "output_tokens": _lengths(output),
        "log_correlation_of_lengths": _correlation(np.log(prompt), np.log(output)),
        "prefix_share_of_prompt_tokens": float(shared.sum() / prompt.sum()),
        "inter_arrival_cv": inter_arrival_cv(table.arrival_s[mask]),
        "requests_per_hour_of_week": hour_of_week(table.arrival_s[mask], header),
    }


def _lengths(tokens: NDArray[np.int32]) -> dict[str, float]:
    quantiles = dict(zip(_QUANTILES, np.quantile(tokens, list(_QUANTILES.values())).tolist(), strict=True))
    logs = np.log(tokens)
    return {"mean": float(tokens.mean()), **quantiles, "log_mean": float(logs.mean()), "log_sd": float(logs.std())}


def _correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float | None:
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(np.corrcoef(one, other)[0, 1])
