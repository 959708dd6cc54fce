"""vLLM's own data-parallel balancer, asked directly: it needs no GPU, only counts."""

from __future__ import annotations

import random
from collections import Counter
from types import SimpleNamespace

import pytest
import simpy

from simulator.engine.vllm.stepwise_balancing import StepwiseBalancer
from simulator.scenario.balancing import Balancing

pytestmark = [pytest.mark.slow, pytest.mark.needs("vLLM"), pytest.mark.filterwarnings("ignore")]


class Idle:
    queued = running = 0
    pool = SimpleNamespace(free=[0], blocks=1)


@pytest.mark.parametrize("engines", [2, 3, 8])
def test_ours_sends_ten_thousand_requests_where_vllm_does(engines):
    from vllm.v1.engine.core_client import DPLBAsyncMPClient

    rng = random.Random(engines)
    names = [bytes([number]) for number in range(engines)]
    client = SimpleNamespace(
        client_count=1, eng_start_index=0, engine_inflight=Counter(), core_engines=names,
        reqs_in_flight={}, streaming_reqs=set(), lb_engines=[[0, 0, 0.0] for _ in names],
    )  # fmt: skip
    ours = StepwiseBalancer(simpy.Environment(), Balancing(kind="vllm"), [Idle() for _ in names], (1, 1))
    under_way = []
    for number in range(10_000):
        if rng.random() < 0.02:
            # What the coordinator publishes: waiting, running and the share of the KV cache in use.
            told = [[rng.randrange(30), rng.randrange(30), rng.random()] for _ in names]
            client.lb_engines = [list(one) for one in told]
            ours._waiting, ours._running, ours._usage = (list(one) for one in zip(*told, strict=True))
        while under_way and rng.random() < 0.5:
            done = under_way.pop(rng.randrange(len(under_way)))
            client.engine_inflight[names[done]] -= 1
            ours.in_flight[done] -= 1
        request = SimpleNamespace(request_id=str(number), resumable=False, data_parallel_rank=None, pooling_params=None)
        chosen = DPLBAsyncMPClient.get_core_engine_for_request(client, request)
        assert names.index(chosen) == ours.choose()
        under_way.append(names.index(chosen))
