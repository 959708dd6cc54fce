"""What first calls to an API meet with is drawn where something is sent there, and as if it always were."""

from __future__ import annotations

from math import exp

import numpy as np
import pytest

from simulator.engine.api import latency
from simulator.engine.api.latency import Latency
from simulator.engine.simulation import simulate
from simulator.scenario.apis import MeteredApi
from simulator.scenario.patterns import HybridPattern
from simulator.streams import stream
from tests.engine.demand import COSTS, api, cluster, hybrid, plan, table

HORIZON_S = 400.0
#: Of three parts; all requests of a part have a workload of their own.
EDGES_S = 100.0, 200.0, HORIZON_S
ARRIVAL_S = np.linspace(0.0, 390.0, 40)
NAME = api()["model"]
WORKLOADS = "early", "later", "last"


def log_of(pattern, may_leave):
    whole = table(ARRIVAL_S, 100, 20, workload=np.searchsorted(EDGES_S, ARRIVAL_S, "right"), workloads=WORKLOADS)
    rows = [0, *np.searchsorted(ARRIVAL_S, EDGES_S).tolist()]
    parts = [(whole.rows(slice(low, high)), end_s) for low, high, end_s in zip(rows, rows[1:], EDGES_S, strict=False)]
    logs = []

    def settled(_table, log, _decisions):
        logs.append((log.scheduled_s.copy(), log.first_token_s.copy(), log.last_token_s.copy(), log.attempts.copy()))

    simulate(
        pattern, parts, horizon_s=HORIZON_S, seed=1, replication=0, plan=plan(), may_leave=may_leave, room=len(whole),
        on_settled=settled,
    )  # fmt: skip
    return np.concatenate(logs, axis=1), rows


def last_to_the_api(**changes):
    """The last workload goes to an API, the others to a cluster if they must."""
    return hybrid({"backends": {"last": [NAME]}, "breaker": {"failures": 1000}}, changes)


@pytest.mark.parametrize("error_share", [0.0, 0.4])
def test_a_part_that_comes_after_others_draws_as_its_stream_says(error_share):
    """The first part draws from the API's stream, each later one from a child of it; retries go on with the stream."""
    log, rows = log_of(last_to_the_api(error_share=error_share), [False, False, True])
    rng = stream(1, 0, f"api/{NAME}")
    sizes = np.diff(rows).tolist()
    own = rng.spawn(len(sizes) - 1)[-1]
    normal, speed, luck = own.standard_normal(sizes[-1]), own.standard_normal(sizes[-1]), own.random(sizes[-1])
    for draw in (rng.standard_normal, rng.standard_normal, rng.random):
        draw(sizes[0])
    pending = [(at_s, row, 1) for row, at_s in enumerate(ARRIVAL_S[rows[-2] :])]
    expected = {}
    while pending:
        pending.sort()
        at_s, row, attempt = pending.pop(0)
        if (luck[row] if attempt == 1 else rng.random()) < error_share:
            if attempt < 3:
                pending.append((at_s + 0.5 * 2.0 ** (attempt - 1) * (1.0 - 0.25 * rng.random()), row, attempt + 1))
            continue
        first, other = (normal[row], speed[row]) if attempt == 1 else (rng.standard_normal(), rng.standard_normal())
        ttft_s = 0.6 * exp(0.3 * first)
        expected[row] = at_s, at_s + ttft_s, at_s + ttft_s + 19 * exp(-0.1 * other) / 35.7, attempt
    assert len(expected) > 0.8 * sizes[-1]
    assert max(attempt for *_, attempt in expected.values()) == (3 if error_share else 1)
    for row, answer in expected.items():
        np.testing.assert_allclose(log[:, rows[-2] + row], answer, rtol=1e-13)


@pytest.mark.parametrize("at_once", [1, 7, 16_384])
def test_how_many_are_drawn_at_once_changes_nothing(monkeypatch, at_once):
    """Both columns are what one call of the stream for each draws; what is not kept takes as much of it."""
    monkeypatch.setattr(latency, "_AT_ONCE", at_once)
    config = MeteredApi.model_validate(api(deployment={"kind": "flex"}))
    rng, same = (np.random.default_rng(3) for _ in range(2))
    found = Latency(config, rng, np.zeros(50), np.zeros(50))
    found.draw(slice(10, 40), rng)
    first, speed, wait = (same.standard_normal(30) for _ in range(3))
    flex = config.deployment
    ttft_s = config.ttft.median * np.exp(config.ttft.sigma * first) * flex.slowdown
    ttft_s += flex.wait.median * np.exp(flex.wait.sigma * wait)
    token_s = np.exp(-config.output_tokens_per_s.sigma * speed) / config.output_tokens_per_s.median * flex.slowdown
    np.testing.assert_array_equal(found.ttft_s[10:40], ttft_s)
    np.testing.assert_array_equal(found.token_s[10:40], token_s)
    assert not found.ttft_s[:10].any()
    found.draw(slice(0, 20), rng, kept=False)
    same.standard_normal(60)
    assert (rng.random(), found.ttft_s[0]) == (same.random(), 0.0)


def test_an_api_that_is_sent_nothing_draws_nothing(monkeypatch):
    """Of twenty the first has room for all; of a run in parts it draws for those alone in which it gets something."""
    sizes, draw = [], Latency.draw

    def noted(latency, rows, rng, *, kept):
        sizes.append(rows.stop - rows.start)
        draw(latency, rows, rng, kept=kept)

    monkeypatch.setattr(Latency, "draw", noted)
    apis = {f"api{at}": api() for at in range(20)}
    clusters = {"own": {"cluster": cluster(), "costs": COSTS}}
    routing = {"backends": {"notes": list(apis)}}
    many = HybridPattern.model_validate({"kind": "hybrid", "clusters": clusters, "apis": apis, "routing": routing})
    simulate(many, table(ARRIVAL_S), horizon_s=HORIZON_S, seed=1, replication=0, plan=plan())
    assert sizes == [40]
    sizes.clear()
    # Of the first part too, whose stream retries go on with.
    _, rows = log_of(last_to_the_api(), [False, False, True])
    assert sizes == [rows[1], 40 - rows[2]]
