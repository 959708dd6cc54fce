"""With `NUMBA_DISABLE_JIT=1` the engine is plain Python, and every request has the same moments to the last bit."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields
from hashlib import sha256

import numpy as np
import pytest

from simulator.engine.simulation import simulate
from tests.engine.demand import hybrid, plan, poisson, self_hosted, table
from tests.parts import ROOT

#: Few blocks, so that requests are preempted; shared prefixes; two replicas; a router that asks for a forecast.
PATTERNS = {
    "few blocks": (self_hosted(), 100),
    "no chunks": (self_hosted(engine={"prefix_caching": False, "max_num_seqs": 3}), 2000),
    "two replicas": (self_hosted(replicas=2, request_timeout="20s"), 400),
    "two choices": (self_hosted(replicas=3, balancing={"kind": "two_choices"}), 400),
    "vLLM's balancer": (self_hosted(replicas=3, balancing={"kind": "vllm"}), 100),
    "scores": (self_hosted(replicas=3, balancing={"kind": "cache_aware"}), 100),
    "a ring": (self_hosted(replicas=3, balancing={"kind": "prefix_hash"}), 400),
    "hybrid": (hybrid({"kind": "slo_aware"}), 400),
    "the emptiest": (hybrid({"kind": "least_loaded"}, replicas=2), 400),
    "limits": (hybrid({"breaker": {"failures": 3}}, {"limits": {"tokens_per_minute": 20_000, "settles": True}}), 100),
}


def moments(name):
    """What a pattern made of the same eighty requests: preemptions, and one figure for all columns of the log."""
    pattern, blocks = PATTERNS[name]
    rng = np.random.default_rng(5)
    arrival_s = poisson(rng, 2.0, 40.0)
    prompt, output = rng.integers(20, 900, len(arrival_s)), rng.integers(1, 300, len(arrival_s))
    demand = table(arrival_s, prompt, output, prefix=64)
    record = simulate(
        pattern, demand, horizon_s=200.0, seed=1, replication=0, plan=plan(blocks=blocks), ttft_limit_s=[1.0]
    )
    columns = b"".join(getattr(record.log, column.name).tobytes() for column in fields(record.log))
    return sum(level.preemptions for level in record.levels), sha256(columns).hexdigest()


@pytest.mark.needs("compiled engine")
def test_plain_python_gives_the_same_moments():
    code = "from tests.engine.vllm.test_plain import *; print(*(moments(name) for name in PATTERNS), sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    compiled = [moments(name) for name in PATTERNS]
    assert done.stdout.splitlines() == [str(one) for one in compiled]
    assert compiled[0][0] > 0
