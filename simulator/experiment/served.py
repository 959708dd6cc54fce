"""What clusters could serve of the mix they were given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.engine.vllm.plan import replica_plan
from simulator.performance.capacity import saturated_requests_per_s

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.analysis.metrics import RunSummary
    from simulator.scenario.patterns import Cluster, HostingPattern


def requests_per_s(pattern: HostingPattern, runs: Sequence[RunSummary]) -> float:
    """What a pattern's clusters could serve of the mix it was given."""
    return sum(_cluster_requests_per_s(one.cluster, runs) for one in pattern.hosted.values())


def _cluster_requests_per_s(cluster: Cluster, runs: Sequence[RunSummary]) -> float:
    engine, plan = cluster.engine, replica_plan(cluster)
    done = max(1, sum(run.total.outcomes["completed"] for run in runs))
    return cluster.replicas * saturated_requests_per_s(
        plan.step_time,
        kv_tokens=plan.kv_tokens(engine.block_size, mean_tokens(runs)),
        max_num_seqs=engine.max_num_seqs,
        max_num_batched_tokens=engine.max_num_batched_tokens,
        prompt_tokens=max(1.0, sum(run.total.prompt_tokens for run in runs) / done),
        cached_tokens=sum(run.total.cached_prompt_tokens for run in runs) / done,
        output_tokens=max(1.0, sum(run.total.output_tokens for run in runs) / done),
        drafts=engine.speculative,
    )


def mean_tokens(runs: Sequence[RunSummary]) -> float:
    """Mean prompt and output tokens of a request."""
    done = max(1, sum(run.total.outcomes["completed"] for run in runs))
    return sum(run.total.prompt_tokens + run.total.output_tokens for run in runs) / done
