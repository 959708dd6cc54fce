"""How long requests take, and how many of them keep within the limits of their objectives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simulator.analysis.limits import LimitCounts, LimitTally
from simulator.analysis.sample import Sample
from simulator.engine.record import Outcome, RequestLog

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.scenario.workloads import Objectives
    from simulator.trace.request_table import RequestTable

QUANTILES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}
METRICS = ("ttft_s", "itl_s", "e2e_s")


class Waits:
    """How long the completed requests of a group took, and how many of them were within its objectives."""

    def __init__(self, objectives: Objectives | None, begin_s: float, end_s: float) -> None:
        self.objectives = objectives
        limits = () if objectives is None else (("ttft_s", objectives.ttft), ("e2e_s", objectives.end_to_end))
        self._limits = [LimitTally(metric, limit, begin_s, end_s) for metric, limit in limits if limit is not None]
        self._samples = {metric: Sample() for metric in METRICS}
        self._within_all = 0

    def add(self, latency: dict[str, NDArray[np.float64]]) -> None:
        """Take the latencies of the next requests, as `_latencies` gives them."""
        for metric, values in latency.items():
            self._samples[metric].add(values[~np.isnan(values)])

    @property
    def judges(self) -> bool:
        """Whether there is a limit."""
        return bool(self._limits)

    def judge(self, table: RequestTable, log: RequestLog, rows: NDArray[np.bool_]) -> None:
        """Hold some of the next requests against the limits, those without an answer too."""
        arrival_s, answered = table.arrival_s[rows], log.outcome[rows] == Outcome.COMPLETED
        stamps = {"ttft_s": log.first_token_s[rows], "e2e_s": log.last_token_s[rows]}
        within = [
            limit.add(arrival_s, np.where(answered, stamps[limit.metric] - arrival_s, np.inf)) for limit in self._limits
        ]
        self._within_all += int(np.all(within, axis=0).sum())

    def latency(self) -> dict[str, dict[str, float]]:
        """By metric, mean and quantiles in seconds; empty without a value."""
        return {
            metric: {"mean": sample.mean} | dict(zip(QUANTILES, sample.quantiles([*QUANTILES.values()]), strict=True))
            if sample.count
            else {}
            for metric, sample in self._samples.items()
        }

    def shares(self, arrived: int) -> tuple[float, float] | tuple[None, None]:
        """Shares of the arrivals within the hardest limit and within all; None without a limit or an arrival."""
        if not (self._limits and arrived):
            return None, None
        shares = [limit.share for limit in self._limits]
        return min(share for share in shares if share is not None), self._within_all / arrived

    @property
    def limits(self) -> list[LimitCounts]:
        """How each limit was kept."""
        return [limit.counts for limit in self._limits]
