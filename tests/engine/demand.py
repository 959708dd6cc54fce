"""Small hand-made demand, patterns and replicas for the engine's tests."""

from __future__ import annotations

import numpy as np

from simulator.engine.vllm.plan import ReplicaPlan
from simulator.performance.step_time import LinearStepTime
from simulator.scenario.patterns import ApiPattern, HybridPattern, SelfHostedPattern
from simulator.trace.request_table import RequestTable

LINEAR = LinearStepTime(base_s=0.0155, per_prefill_token_s=4.5e-4, per_decode_request_s=2e-4, per_kv_token_s=3e-8)
COSTS = {"compute": {"kind": "rental", "gpu_hour": "1 USD/h"}}


def plan(step_time=LINEAR, blocks=2000, **delays):
    return ReplicaPlan(step_time=step_time, num_gpu_blocks=blocks, **delays)


def table(
    arrival_s,
    prompt_tokens=600,
    output_tokens=200,
    *,
    workload=0,
    workloads=("notes",),
    max_tokens=1000,
    prefix=None,
):
    size = len(arrival_s)

    def column(values, kind):
        return np.broadcast_to(np.asarray(values, kind), size).copy()

    prompt = column(prompt_tokens, np.int32)
    return RequestTable(
        workloads=workloads,
        arrival_s=np.asarray(arrival_s, np.float64),
        workload=column(workload, np.int16),
        prompt_tokens=prompt,
        output_tokens=column(output_tokens, np.int32),
        max_tokens=column(max_tokens, np.int32),
        prefix_id=column(-1 if prefix is None else 0, np.int32),
        prefix_tokens=np.minimum(prompt, prefix or 0).astype(np.int32),
        priority=column(3, np.int8),
    )


def poisson(rng, rate_per_s, horizon_s):
    return np.sort(rng.random(rng.poisson(rate_per_s * horizon_s)) * horizon_s)


def cluster(**changes):
    engine = changes.pop("engine", {})
    # The ideal one, whose replicas are told apart by hand.
    balancing = {"kind": "shortest_queue"}
    return {"model": "llama-3.3-70b", "gpu": "a100-80gb", "engine": engine, "balancing": balancing, **changes}


def api(**changes):
    return {
        "model": "azure/gpt-4-turbo",
        "ttft": {"median": "600ms", "sigma": 0.3},
        "output_tokens_per_s": {"median": 35.7, "sigma": 0.1},
        **changes,
    }


def self_hosted(**changes):
    return SelfHostedPattern.model_validate({"kind": "self_hosted", "cluster": cluster(**changes), "costs": COSTS})


def metered(**changes):
    return ApiPattern.model_validate({"kind": "metered_api", "api": api(**changes)})


def hybrid(routing=None, api_changes=None, **changes):
    return HybridPattern.model_validate(
        {
            "kind": "hybrid",
            "cluster": cluster(**changes),
            "costs": COSTS,
            "api": api(**(api_changes or {})),
            "routing": routing or {},
        }
    )
