"""What is ordinary is sent on in compiled code, many at once, and comes to the same as if the gateway had seen it."""

from __future__ import annotations

from dataclasses import fields
from typing import get_args
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.engine import simulation
from simulator.engine.record import RequestLog
from simulator.engine.routing.gateway import Gateway
from simulator.engine.routing.hedge import Hedges
from simulator.engine.simulation import simulate
from simulator.scenario.balancing import Kind
from simulator.scenario.patterns import ApiPattern, HybridPattern, SelfHostedPattern
from tests.engine.demand import COSTS, api, cluster, hybrid, plan, poisson, table

HORIZON_S = 150.0


def maybe(**options):
    """Some of these keys, or all, or none."""
    return st.fixed_dictionaries({}, optional=options)


# Whole seconds too: what is due then meets what arrives.
seconds = st.one_of(st.integers(500, 30_000), st.integers(1, 30).map(lambda s: 1000 * s)).map(lambda ms: f"{ms}ms")
engines = maybe(
    max_num_seqs=st.integers(1, 20), policy=st.just("priority"), queue_limit=st.integers(1, 10),
    max_model_len=st.just(700),
)  # fmt: skip
scaling = maybe(
    at_least=st.integers(0, 1),
    every=st.sampled_from(["1s", "5s", "7s"]),
    idle_for=st.sampled_from(["5s", "20s"]),
    drain=st.sampled_from(["0s", "5s"]),
    fill_at_most=st.just(0.4),
    waiting_per_replica=st.just(0.5),
).map(lambda rest: {"kind": "queue", "node_start": {"median": "15s", "sigma": 0.5}, **rest})
clusters = st.builds(
    lambda engine, replicas, rest: cluster(engine=engine, replicas=replicas, **rest),
    engines,
    st.integers(1, 3),
    maybe(
        request_timeout=seconds,
        autoscaling=scaling,
        balancing=st.sampled_from(get_args(Kind)).map(lambda kind: {"kind": kind}),
    ),
)
rates = maybe(
    tokens_per_minute=st.integers(2_000, 100_000), requests_per_minute=st.integers(6, 300), settles=st.just(True),
    requests_per_day=st.integers(20, 200),
)  # fmt: skip
limits = st.one_of(
    rates.map(lambda given: {"kind": "continuous", **given}),
    st.builds(
        lambda given, rest: {**given, **rest},
        rates,
        maybe(refusals_count=st.just(True), request_window=st.sampled_from(["1s", "60s"])),
    ),
)
metered = st.one_of(
    st.builds(
        lambda limits, rest: api(limits=limits, **rest),
        limits,
        maybe(
            error_share=st.sampled_from([0.05, 0.4]), prompt_cache=st.just({"minimum": 64, "step": 16}),
            usage_tier=st.just({"tokens_per_month": 30_000}), context_tokens=st.just(1000),
            retries=maybe(timeout=seconds, streamed=st.booleans()), deployment=st.just({"kind": "flex"}),
        ),
    ),
    st.just(api(model="azure/gpt-4.1", deployment={"kind": "provisioned", "units": 15, "burst": "20s"})),
)  # fmt: skip
routing_of_any = maybe(
    on_error=st.just("fail"), when_full=st.just("shed"),
    breaker=st.just({"failures": 3, "cool_down": "20s"}),
)  # fmt: skip
kinds = st.sampled_from(["overflow", "priority_aware", "least_loaded", "slo_aware", "cost_aware", "rules"])


@st.composite
def patterns(draw):
    """Any routing over up to three clusters and three APIs, some of which break."""
    hosted = draw(st.lists(clusters, max_size=3))
    apis = draw(st.lists(metered, min_size=not hosted, max_size=3))
    content = {}
    if hosted:
        content["clusters"] = {f"own{at}": {"cluster": one, "costs": COSTS} for at, one in enumerate(hosted)}
    if apis:
        content["apis"] = {f"api{at}": one for at, one in enumerate(apis)}
    names = [*content.get("clusters", ()), *content.get("apis", ())]
    routing = {"kind": draw(kinds), **draw(routing_of_any)}
    some = st.permutations(names).flatmap(lambda order: st.integers(1, len(order)).map(lambda count: order[:count]))
    if routing["kind"] == "rules":
        long = {"name": "long", "when": {"prompt_tokens": {"at_least": 500}}, "send_to": draw(some)}
        routing["rules"] = [long, {"name": "rest", "send_to": draw(some)}]
    elif draw(st.booleans()):
        routing["backends"] = {load: draw(some) for load in ("notes", "letters")}
    if routing["kind"] == "cost_aware":
        usd = st.integers(1, 50).map(lambda price: f"{price / 10} USD/1M tokens")
        routing["prices"] = {name: {"prompt": draw(usd), "output": draw(usd)} for name in names}
    if hosted:
        routing |= draw(maybe(timeout=seconds, max_in_flight=st.integers(1, 20)))
    if hosted and apis:
        routing |= draw(maybe(hedge=st.just({"after": "700ms"})))
    # One at the end, so that there is a gateway; one cluster and one API would do without.
    late = st.sampled_from(["+50s", "+149s"])
    outage = st.builds(
        lambda at, rest: {"kind": "outage", "at": [at], "duration": "20s", **rest},
        late,
        st.sampled_from([{}, {"error_share": 0.5, "slowdown": 2.0}]),
    )
    failure = late.map(lambda at: {"kind": "failure", "scope": "node", "at": [at], "repair": "30s"})
    broken = draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    faults = [
        draw(outage) | {"api": name} if name.startswith("api") else draw(failure) | {"cluster": name} for name in broken
    ]
    kind, of = (
        ("hybrid", HybridPattern) if hosted and apis
        else ("self_hosted", SelfHostedPattern) if hosted else ("metered_api", ApiPattern)
    )  # fmt: skip
    return of.model_validate({"kind": kind, "routing": routing, "faults": faults, **content})


def demand(seed, rate_per_s, *, on_the_second=False):
    rng = np.random.default_rng(seed)
    arrival_s = poisson(rng, rate_per_s, HORIZON_S)
    if on_the_second:
        # Several at one moment, and at the moments of events.
        arrival_s = np.round(arrival_s)
    size = len(arrival_s)
    requests = table(
        arrival_s,
        rng.integers(1, 900, size),
        rng.integers(1, 300, size),
        workload=rng.integers(0, 2, size),
        workloads=("notes", "letters"),
        max_tokens=300,
        prefix=int(rng.integers(0, 400)) or None,
    )
    requests.priority[:] = rng.integers(1, 4, size)
    return requests


@given(
    pattern=patterns(),
    seed=st.integers(0, 2**32),
    rate_per_s=st.sampled_from([0.05, 0.2, 1.0, 5.0]),
    on_the_second=st.booleans(),
    leave=st.booleans(),
)
@settings(max_examples=40)
def test_every_byte_is_as_if_the_gateway_had_seen_each_request(pattern, seed, rate_per_s, on_the_second, leave):
    requests = demand(seed, rate_per_s, on_the_second=on_the_second)
    options = {"plan": plan(blocks=150), "may_leave": [leave, True], "ttft_limit_s": [2.0, 5.0]}
    # A chunk is not an event.
    with patch.object(simulation, "_CHUNK", 50):
        many, each = (
            simulate(pattern, requests, horizon_s=HORIZON_S, seed=3, replication=0, one_by_one=one, **options)
            for one in (False, True)
        )
    for column in fields(RequestLog):
        np.testing.assert_array_equal(getattr(many.log, column.name), getattr(each.log, column.name), column.name)
    assert (many.decisions, many.burnt) == (each.decisions, each.burnt)
    for one, other in zip(many.levels, each.levels, strict=True):
        assert (one.steps, one.preemptions) == (other.steps, other.preemptions)
        np.testing.assert_array_equal(one.busy_s, other.busy_s)


def seen_by_the_gateway(monkeypatch, pattern, requests):
    """How many requests it had to see."""
    seen, take = [], Gateway.take

    def taken(gateway, arrival):
        seen.append(arrival.index)
        take(gateway, arrival)

    monkeypatch.setattr(Gateway, "take", taken)
    simulate(pattern, requests, horizon_s=HORIZON_S, seed=3, replication=0, plan=plan())
    return len(seen)


ROUTINGS = {
    "overflow": {"kind": "overflow"},
    "by workload": {"backends": {"notes": ["own1"], "letters": ["own0", "own1"]}},
    "by priority": {"kind": "priority_aware"},
    "with a breaker": {"breaker": {"failures": 3}},
    "the emptiest": {"kind": "least_loaded"},
    "in time": {"kind": "slo_aware"},
    "the cheapest in time": {
        "kind": "cost_aware",
        "prices": {own: {"prompt": "1 USD/1M tokens", "output": "2 USD/1M tokens"} for own in ("own0", "own1")},
    },
    "by rules": {"kind": "rules", "rules": [{"name": "all", "send_to": ["own0", "own1"]}]},
}


@pytest.mark.parametrize("routing", ROUTINGS.values(), ids=ROUTINGS)
def test_the_gateway_sees_what_is_out_of_the_ordinary_alone(monkeypatch, routing):
    hosted = {f"own{at}": {"cluster": cluster(replicas=2), "costs": COSTS} for at in range(2)}
    pattern = SelfHostedPattern.model_validate({"kind": "self_hosted", "clusters": hosted, "routing": routing})
    requests = demand(5, 2.0)
    # The first of each kind of decision, and where a cluster has no place for one more.
    assert 1 <= seen_by_the_gateway(monkeypatch, pattern, requests) <= 5 < len(requests) / 20


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"limits": {"tokens_per_minute": 10**6}},
        {"limits": {"requests_per_minute": 600, "settles": True}},
        {"model": "azure/gpt-4.1", "deployment": {"kind": "provisioned", "units": 1000}},
    ],
    ids=["no limits", "tokens", "settled requests", "units"],
)
def test_an_api_that_refuses_nothing_answers_without_the_gateway(monkeypatch, given):
    pattern = ApiPattern.model_validate({"kind": "metered_api", "api": api(**given)})
    assert seen_by_the_gateway(monkeypatch, pattern, demand(5, 2.0)) == 1


def test_what_answers_in_time_for_its_hedge_passes_the_gateway(monkeypatch):
    """Where no one waits two seconds for a token, hedges are events for those alone that the end finds under way."""
    events, watch_at = [], Hedges.watch_at

    def watched(hedges, *arguments):
        events.append(arguments)
        watch_at(hedges, *arguments)

    monkeypatch.setattr(Hedges, "watch_at", watched)
    requests = demand(5, 1.0)
    assert seen_by_the_gateway(monkeypatch, hybrid({"hedge": {"after": "2s"}}, replicas=2), requests) == 1
    assert len(events) < 10 < len(requests) / 10


def test_of_what_an_api_refuses_the_gateway_sees_each(monkeypatch):
    """Ten requests a minute of some 120: nine of ten are refused at first."""
    pattern = ApiPattern.model_validate({"kind": "metered_api", "api": api(limits={"requests_per_minute": 10})})
    requests = demand(5, 2.0)
    assert seen_by_the_gateway(monkeypatch, pattern, requests) > len(requests) / 2
