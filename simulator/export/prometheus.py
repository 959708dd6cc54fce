"""A run as Prometheus would have scraped it, had its clusters and APIs been vLLM servers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.errors import RunStoreError
from simulator.export.openmetrics import Family, Series, lines
from simulator.export.vllm_metrics import COUNTERS, HISTOGRAMS, Backend, counter, histogram

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from simulator.export.kept_run import KeptRun

_COLUMNS: Final = (
    "arrival_s", "prompt_tokens", "output_tokens", "enqueued_s", "scheduled_s", "first_token_s", "last_token_s",
    "backend", "cached_tokens", "preemptions",
)  # fmt: skip
_HOUR_S: Final = 3600.0
#: More scrapes than this make a file that nobody wants.
_MOST_SCRAPES: Final = 500_000


@dataclass(frozen=True, slots=True)
class Gauge:
    """A level of a replica: an integral over an hour, and what it is a share of."""

    name: str
    help: str
    integral: str
    whole: str | None = None


_GAUGES: Final = (
    Gauge("vllm:num_requests_running", "Running requests, mean of the hour.", "sequence_s"),
    Gauge("vllm:num_requests_waiting", "Waiting requests, mean of the hour.", "waiting_s"),
    Gauge("vllm:kv_cache_usage_perc", "KV blocks in use, 1 for all, mean of the hour.", "kv_block_s", "kv_blocks"),
    Gauge("simulator:gpu_busy_fraction", "Share of the hour in which an engine step executes.", "busy_s"),
)


def openmetrics(
    run: KeptRun,
    *,
    interval_s: float,
    patterns: Sequence[str] | None = None,
    start_epoch_s: float | None = None,
    fine: bool = True,
) -> Iterator[str]:
    """OpenMetrics text of the first replication of a run, piece by piece.

    Args:
        run: The run.
        interval_s: Seconds between two scrapes.
        patterns: Hosting patterns; all when absent.
        start_epoch_s: When the horizon starts, seconds since 1970; as simulated when absent.
        fine: Whether the slowest tenth of TTFT and end-to-end latency has finer buckets than vLLM's.

    Raises:
        RunStoreError: There is no such pattern, or there would be too many scrapes.
    """
    wanted = list(patterns or run.patterns)
    if unknown := [name for name in wanted if name not in run.patterns]:
        raise RunStoreError(f"{run.path} has no hosting pattern {', '.join(unknown)}; it has {', '.join(run.patterns)}")
    if run.horizon_s / interval_s > _MOST_SCRAPES:
        least = run.horizon_s / _MOST_SCRAPES
        raise RunStoreError(f"{run.horizon_s / interval_s:,.0f} scrapes are too many; choose at least {least:.0f} s")
    times_s = np.append(np.arange(0.0, run.horizon_s, interval_s), run.horizon_s)
    start = run.start_epoch_s if start_epoch_s is None else start_epoch_s
    return lines(_families(run, wanted, times_s, fine=fine), start + times_s)


def _families(run: KeptRun, patterns: Sequence[str], times_s: NDArray[np.float64], *, fine: bool) -> Iterator[Family]:
    backends = [list(_backends(run, pattern)) for pattern in patterns]
    for kind in HISTOGRAMS:
        yield histogram(kind, backends, times_s, fine=fine)
    for one in COUNTERS:
        yield counter(one, list(chain.from_iterable(backends)), times_s)
    for gauge in _GAUGES:
        yield _gauge(gauge, run, patterns, times_s)
    cost = Family("simulator:monthly_cost_usd", "gauge", "Cost of the hosting pattern, USD a month.")
    cost.series.extend(
        Series("", {"hosting_pattern": pattern}, np.full(len(times_s), run.cost_usd(pattern))) for pattern in patterns
    )
    yield cost


def _backends(run: KeptRun, pattern: str) -> Iterator[Backend]:
    """What each backend of a pattern did; vLLM's labels first, ours after them."""
    rows = run.tables.requests(pattern, _COLUMNS)
    asked = run.scenario.hosting_patterns[pattern]
    models = {name: one.cluster.model for name, one in asked.hosted.items()}
    models |= {name: api.model for name, api in asked.metered.items()}
    for name, model in models.items():
        labels = {"model_name": model, "engine": "0", "hosting_pattern": pattern, "backend": name}
        yield Backend(labels, rows[rows["backend"] == name], name in asked.hosted)


def _gauge(gauge: Gauge, run: KeptRun, patterns: Sequence[str], times_s: NDArray[np.float64]) -> Family:
    family = Family(gauge.name, "gauge", gauge.help)
    for pattern in patterns:
        levels = run.tables.levels(pattern)
        asked = run.scenario.hosting_patterns[pattern]
        for number, replica in levels.groupby("replica") if len(levels) else ():
            cluster = str(replica["cluster"].iloc[0])
            starts = replica["start_s"].to_numpy(float)
            length = np.minimum(starts + _HOUR_S, run.horizon_s) - starts
            level = replica[gauge.integral].to_numpy(float) / length
            if gauge.whole is not None:
                level /= replica[gauge.whole].to_numpy(float)
            hour = np.clip(np.searchsorted(starts, times_s, "right") - 1, 0, len(starts) - 1)
            labels = {
                "model_name": asked.hosted[cluster].cluster.model,
                "engine": str(number),
                "hosting_pattern": pattern,
                "backend": cluster,
            }
            family.series.append(Series("", labels, level[hour]))
    return family
