"""What two demands do to the same hosting patterns: simulated p99 and cost of both."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.engine.vllm.plan import replica_plan
from simulator.performance.capacity import saturated_requests_per_s
from simulator.results import run
from simulator.scenario.patterns import Cluster
from simulator.scenario.schema import Scenario
from simulator.trace.canonical import write_trace
from simulator.units import DAY_S, HOUR_S
from simulator.workload.goodness import Observed
from simulator.workload.synthesis import synthesise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.results import Results

#: Clusters are sized so that the busiest hour of the first demand takes this share of what they could serve.
SIZED_FOR = 0.6
_CLUSTER: dict[str, Any] = {
    "model": "llama-3.3-70b", "gpu": "a100-80gb", "tensor_parallel": 4, "quantisation": "bf16",
    # Two demands are compared, and chance would blur in what they differ.
    "engine": {"max_model_len": 131_072}, "balancing": {"kind": "shortest_queue"},
}  # fmt: skip
_RENTAL = {"compute": {"kind": "rental", "offer": "runpod/a100-80gb-secure"}}
_API = {
    "model": "bedrock/llama-3.3-70b", "ttft": {"median": "700ms", "sigma": 0.4},
    "output_tokens_per_s": {"median": 50, "sigma": 0.15},
}  # fmt: skip
_MONDAY = "2027-03-01"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One figure of one hosting pattern under both demands, means over what was seen of each.

    Attributes:
        pattern: Name of the hosting pattern.
        metric: `ttft_p99_s`, `e2e_p99_s`, `usd_per_million_tokens` or `monthly_cost_usd`.
        first: Under the first demand.
        second: Under the second.
        error: Half the 95 % interval of `second` over its realisations; None for a single one.
        learned_from: Under the recording the second was learned from; None where that is not at hand.
    """

    pattern: str
    metric: str
    first: float
    second: float
    error: float | None
    learned_from: float | None = None

    @property
    def difference(self) -> float | None:
        """Second over first, less one; None where the first is nothing."""
        return self.second / self.first - 1.0 if self.first else None

    @property
    def recordings_differ(self) -> float | None:
        """The recording the second was learned from over the first, less one: what no model of it can be blamed for."""
        return self.learned_from / self.first - 1.0 if self.first and self.learned_from is not None else None


def realisations(demand: Scenario, like: Observed, count: int, learned_from: Observed | None = None) -> list[Observed]:
    """A model's requests over the same hours of the week as a trace, several times.

    Args:
        demand: See `simulator.scenario.fragment.load_demand`; its horizon is replaced.
        like: The trace.
        count: How many.
        learned_from: The recording it was learned from, where there is one.
    """
    begins_s = like.begins_s if like.begins_s is not None else 0.0
    days, into_day_s = divmod(begins_s, DAY_S)
    horizon = {
        "start": f"2027-03-{1 + int(days):02d}",
        "duration": f"{into_day_s + like.span_s:.6f}s",
        "time_zone": "UTC",
    }
    scenario = demand.with_overrides({"horizon": horizon})
    found = []
    for number in range(count):
        table = synthesise(scenario, number)
        kept = table.arrival_s >= into_day_s
        arrival_s = np.minimum(table.arrival_s[kept] - into_day_s, np.nextafter(like.span_s, 0.0))
        requests = replace(table.rows(kept), arrival_s=arrival_s)
        found.append(Observed(requests, like.span_s, like.begins_s, learned_from))
    return found


def reference_patterns(demand: Observed) -> dict[str, Any]:
    """A metered API, and enough replicas of a 70B model on four A100s each, as a scenario writes them."""
    cluster = Cluster.model_validate(_CLUSTER)
    plan, engine, table = replica_plan(cluster), cluster.engine, demand.table
    capacity = saturated_requests_per_s(
        plan.step_time,
        kv_tokens=plan.kv_tokens(engine.block_size, float((table.prompt_tokens + table.output_tokens).mean())),
        max_num_seqs=engine.max_num_seqs,
        max_num_batched_tokens=engine.max_num_batched_tokens,
        prompt_tokens=float(table.prompt_tokens.mean()),
        cached_tokens=0.0,
        output_tokens=float(table.output_tokens.mean()),
    )
    window_s = min(HOUR_S, demand.span_s / 10)
    busiest = np.bincount((table.arrival_s / window_s).astype(np.int64)).max() / window_s
    replicas = max(math.ceil(busiest / (SIZED_FOR * capacity)), 1)
    return {
        "cluster": {"kind": "self_hosted", "cluster": _CLUSTER | {"replicas": replicas}, "costs": _RENTAL},
        "api": {"kind": "metered_api", "api": _API},
    }


def simulate_both(
    first: Sequence[Observed], second: Sequence[Observed], patterns: dict[str, Any], jobs: int = 1
) -> list[Outcome]:
    """Simulate what was seen of both demands, and of what the second was learned from, on the same hosting patterns.

    Args:
        first: Of the one demand.
        second: Of the other.
        patterns: As a scenario writes them, or parsed.
        jobs: Processes.
    """
    lesson = second[0].learned_from
    left, right, taught = (
        [_figures(one, patterns, jobs) for one in seen] for seen in (first, second, [lesson] if lesson else [])
    )
    outcomes = []
    for key in left[0]:
        one, other, source = ([figures[key] for figures in side if key in figures] for side in (left, right, taught))
        if one and other:
            learned_from = source[0] if source else None
            outcomes.append(Outcome(*key, float(np.mean(one)), float(np.mean(other)), _half_width(other), learned_from))
    return outcomes


def _half_width(values: list[float]) -> float | None:
    from scipy.stats import t

    if len(values) < 2:
        return None
    return float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values)))


def _figures(one: Observed, patterns: dict[str, Any], jobs: int) -> dict[tuple[str, str], float]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "demand.parquet"
        write_trace(one.table, file, source="comparison", licence="none", span_s=one.span_s)
        scenario = Scenario.model_validate(
            {
                "name": "comparison",
                "horizon": {"start": _MONDAY, "duration": f"{one.span_s:.6f}s"},
                "workloads": {"all": {"trace": {"file": str(file), "align": "start", "repeat": False}, "phi": False}},
                "hosting_patterns": patterns,
            }
        )
        results = run(scenario, replications=1, jobs=jobs, tables=False, band=False, outlook=False)
    return dict(_of_patterns(results))


def _of_patterns(results: Results) -> list[tuple[tuple[str, str], float]]:
    found = []
    for result in results.patterns:
        for metric in ("ttft_s", "e2e_s"):
            latency = result.latency.get(metric)
            if latency is not None:
                found.append(((result.name, f"{metric.removesuffix('_s')}_p99_s"), latency.p99))
        if result.monthly_cost_usd is not None:
            found.append(((result.name, "monthly_cost_usd"), result.monthly_cost_usd.mean))
        if result.usd_per_million_tokens is not None:
            found.append(((result.name, "usd_per_million_tokens"), float(result.usd_per_million_tokens)))
    return found
