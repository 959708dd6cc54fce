"""How long requests take, and how many of them keep within the limits of their objectives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simulator.analysis.limits import EQUAL_S, LimitCounts, LimitTally
from simulator.analysis.sample import Sample
from simulator.engine.record import Outcome, RequestLog, answers_s

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.analysis.tally import Rows
    from simulator.engine.record import ChainLog
    from simulator.scenario.workloads import Objectives
    from simulator.trace.request_table import RequestTable

QUANTILES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}
METRICS = ("ttft_s", "itl_s", "e2e_s")
#: To the first token of the answer, behind what a reasoning model thinks.
ANSWER = "ttfat_s"
#: From the arrival of a chain's first request to the last token of its last.
CHAIN = "chain_s"


class Waits:
    """How long the completed requests of a group took, and how many of them were within its objectives.

    A request that is open at the horizon has missed the limits that have run out for it; on the others it is censored.
    """

    def __init__(self, objectives: Objectives | None, begin_s: float, end_s: float) -> None:
        self.objectives = objectives
        limits = {} if objectives is None else objectives.limits
        every = [LimitTally(metric, limit_s, begin_s, end_s) for metric, limit_s in limits.items()]
        self._limits = [limit for limit in every if limit.metric != CHAIN]
        self._chain_limits = [limit for limit in every if limit.metric == CHAIN]
        self._samples = {metric: Sample() for metric in METRICS}
        self._horizon_s = end_s
        longest_s = max((limit.limit_s for limit in self._limits), default=0.0)
        #: Against all limits of requests at once: near the end, as each by itself, see `LimitTally`.
        self._jointly = LimitTally("all", longest_s, begin_s, end_s) if self._limits else None

    def add(self, latency: dict[str, NDArray[np.float64]]) -> None:
        """Take the latencies of the next requests, by metric."""
        for metric, values in latency.items():
            unknown = np.isnan(values)
            self._samples.setdefault(metric, Sample()).add(values[~unknown] if unknown.any() else values)

    @property
    def judges(self) -> bool:
        """Whether there is a limit."""
        return bool(self._limits)

    def judge(self, table: RequestTable, log: RequestLog, rows: Rows, network_s: NDArray[np.float64] | None) -> None:
        """Hold some of the next requests against the limits, those without an answer too.

        Args:
            table: The requests.
            log: What became of them.
            rows: Which of them.
            network_s: What the network takes to a backend that is an API, and back; NaN for others, the last is none.
                None where no backend is an API.
        """
        arrival_s, outcome, first_s = table.arrival_s[rows], log.outcome[rows], log.first_token_s[rows]
        completed, beside_s = outcome == Outcome.COMPLETED, None
        all_completed = bool(completed.all())
        if network_s is not None:
            # What it is until an API is at work, and after it: waiting to be let in, and the network.
            beside_s = log.scheduled_s[rows] - arrival_s + network_s[log.backend[rows]]
            if not all_completed:
                beside_s[~completed] = np.nan
        took_s = {"ttft_s": first_s - arrival_s, "e2e_s": log.last_token_s[rows] - arrival_s}
        if any(limit.metric == ANSWER for limit in self._limits):
            took_s[ANSWER] = answers_s(table, log)[rows] - arrival_s
            # Completed, and all of it thoughts.
            took_s[ANSWER][completed & np.isnan(took_s[ANSWER])] = np.inf
        still_open = np.flatnonzero(outcome == Outcome.UNFINISHED)
        # The least it can still be; of an open request the first token may have come.
        so_far_s, at_least_s = self._horizon_s - arrival_s[still_open], {}
        for metric, since_s in took_s.items():
            at_least_s[metric] = np.where(np.isnan(since_s[still_open]), so_far_s, since_s[still_open])
        at_least_s["e2e_s"] = so_far_s
        if ANSWER in took_s and network_s is not None:
            # An API tells no more of an answer under way than its first token.
            by_api = ~np.isnan(network_s[log.backend[rows]][still_open])
            at_least_s[ANSWER] = np.where(by_api, at_least_s["ttft_s"], at_least_s[ANSWER])
        within, missed = np.ones(len(outcome), np.bool_), np.zeros(len(outcome), np.bool_)
        for limit in self._limits:
            took = took_s[limit.metric]
            latency_s = took if all_completed else np.where(completed, took, np.inf)
            undecided = still_open[at_least_s[limit.metric] <= limit.limit_s + EQUAL_S]
            api_s = None if beside_s is None else latency_s - beside_s
            if api_s is not None and limit.metric == ANSWER:
                api_s[np.isinf(api_s)] = np.nan
            latency_s[undecided] = np.nan
            kept = limit.add(arrival_s, latency_s, api_s)
            within &= kept
            kept[undecided] = True
            missed |= ~kept
        if self._jointly is not None:
            self._jointly.add(arrival_s, np.where(within, 0.0, np.where(missed, np.inf, np.nan)))

    def judge_chains(self, chains: ChainLog, rows: NDArray[np.bool_]) -> None:
        """Take some chains, and hold them against their limit; those that ended without an answer too."""
        begun_s, outcome = chains.begun_s[rows], chains.outcome[rows]
        took_s = chains.ended_s[rows] - begun_s
        completed = outcome == Outcome.COMPLETED
        self._samples.setdefault(CHAIN, Sample()).add(took_s[completed])
        for limit in self._chain_limits:
            undecided = (outcome == Outcome.UNFINISHED) & (self._horizon_s - begun_s <= limit.limit_s + EQUAL_S)
            took_s = np.where(completed, took_s, np.where(undecided, np.nan, np.inf))
            limit.add(begun_s, took_s, chains.by_api_s[rows])

    def latency(self) -> dict[str, dict[str, float]]:
        """By metric, mean and quantiles in seconds; empty without a value."""
        return {
            metric: {"mean": sample.mean} | dict(zip(QUANTILES, sample.quantiles([*QUANTILES.values()]), strict=True))
            if sample.count
            else {}
            for metric, sample in self._samples.items()
        }

    def shares(self, arrived: int) -> tuple[float | None, float | None, int]:
        """Shares within the hardest limit and within all of them, and the requests that the first leaves out.

        None without a limit, or without a request of which it is known.
        """
        every = [*self._limits, *self._chain_limits]
        if self.objectives is None or not (every and arrived):
            return None, None, 0
        target = self.objectives.share
        # A limit of which nothing is known is the hardest, unless another is missed.
        hardest = min(every, key=lambda one: (target, 0) if one.share is None else (one.share, 1))
        within, judged = self.jointly
        return hardest.share, within / judged if judged else None, hardest.undecided

    @property
    def jointly(self) -> tuple[int, int]:
        """Requests within all limits, and those of which it is known whether they are.

        One that missed a limit is known, one that is open and may still keep them all is not. Where many of the last
        are, only those count that were followed for the longest limit, see `LimitTally`.
        """
        return (0, 0) if self._jointly is None else self._jointly.known

    @property
    def limits(self) -> list[LimitCounts]:
        """How each limit was kept."""
        return [limit.counts for limit in (*self._limits, *self._chain_limits)]


def latencies(
    table: RequestTable, log: RequestLog, completed: NDArray[np.bool_], *, thinking: bool
) -> dict[str, NDArray[np.float64]]:
    """Per completed request: TTFT, mean inter-token time of at least two tokens, else NaN, and end to end.

    Where some think before they answer, the time to the first answer token too; NaN where all was thoughts.
    """
    arrival_s, first_s, last_s = table.arrival_s[completed], log.first_token_s[completed], log.last_token_s[completed]
    gaps = table.output_tokens[completed] - 1
    answer = {ANSWER: answers_s(table, log)[completed] - arrival_s} if thinking else {}
    return answer | {
        "ttft_s": first_s - arrival_s,
        "itl_s": np.divide(last_s - first_s, gaps, out=np.full(len(gaps), np.nan), where=gaps > 0),
        "e2e_s": last_s - arrival_s,
    }
