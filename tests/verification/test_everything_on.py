"""The laws with everything switched on: several backends, every policy, faults, autoscaling, priorities, limits."""

from __future__ import annotations

from dataclasses import fields
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.analysis.metrics import summarise
from simulator.engine.record import Outcome, Reason, RequestLog, answers_s
from simulator.engine.simulation import simulate
from simulator.performance.image_table import ImageLoads
from simulator.scenario.balancing import Kind
from simulator.scenario.patterns import ApiPattern, HybridPattern, SelfHostedPattern
from tests.engine.demand import COSTS, api, cluster, plan, poisson, table
from tests.engine.test_parts import cut, in_parts

HORIZON_S = 600.0
WORKLOADS = ("notes", "letters", "triage")
MODEL = "azure/gpt-4-turbo"

durations = st.floats(1, 200).map(lambda s: f"{s:.2f}s")
moments = st.lists(st.floats(0, 620).map(lambda s: f"+{s:.2f}s"), min_size=1, max_size=3)
timing = st.one_of(
    st.fixed_dictionaries({"at": moments}),
    st.fixed_dictionaries({"mean_time_between": st.sampled_from(["60s", "400s"])}),
)
start_up = st.fixed_dictionaries({"median": st.sampled_from(["1s", "30s"]), "sigma": st.sampled_from([0.0, 0.4])})
engines = st.fixed_dictionaries(
    {
        "max_num_seqs": st.integers(1, 20),
        "max_num_batched_tokens": st.sampled_from([64, 2048]),
        "async_scheduling": st.booleans(),
        "policy": st.sampled_from(["fcfs", "priority"]),
        "queue_limit": st.one_of(st.none(), st.integers(1, 20)),
        "max_model_len": st.sampled_from([700, 1500]),
    }
)


def autoscaling(replicas):
    counts = st.integers(0, replicas)
    schedule = st.builds(
        lambda first, changes: {
            "kind": "schedule",
            "first_replicas": first,
            "changes": [{"at": at, "replicas": count} for at, count in changes],
        },
        counts,
        st.lists(st.tuples(st.floats(0, 600).map(lambda s: f"+{s:.1f}s"), counts), min_size=1, max_size=4),
    )
    queue = st.fixed_dictionaries(
        {
            "kind": st.just("queue"),
            "at_least": counts,
            "every": st.sampled_from(["5s", "40s"]),
            "idle_for": st.sampled_from(["10s", "100s"]),
        }
    )
    common = st.fixed_dictionaries({"node_start": start_up, "drain": st.sampled_from(["0s", "20s"])})
    return st.builds(lambda one, more: {**one, **more}, st.one_of(schedule, queue), common)


@st.composite
def clusters(draw):
    replicas = draw(st.integers(1, 3))
    config = {"replicas": replicas, "engine": draw(engines), "start_up": draw(start_up)}
    config["request_timeout"] = draw(st.one_of(st.none(), durations))
    config["balancing"] = draw(st.sampled_from([None, *({"kind": kind} for kind in get_args(Kind))]))
    config["autoscaling"] = draw(st.one_of(st.none(), autoscaling(replicas)))
    return {"cluster": cluster(**{key: value for key, value in config.items() if value is not None}), "costs": COSTS}


RESERVED = {
    "kind": "reserved", "input_tokens_per_minute": 100_000, "output_tokens_per_minute": 10_000,
    "input_price": "1 USD/month", "output_price": "1 USD/month", "spillover": "second",
}  # fmt: skip
limits = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["windows", "continuous"]),
        "tokens_per_minute": st.one_of(st.none(), st.integers(2_000, 200_000)),
        "requests_per_minute": st.one_of(st.none(), st.integers(1, 600)),
    }
)
errors = {"error_share": st.sampled_from([0.0, 0.2, 1.0]), "retries": st.integers(0, 3).map(lambda n: {"at_most": n})}
standard = st.fixed_dictionaries({"limits": limits, **errors}).map(lambda given: api(**given))
flex = st.fixed_dictionaries(
    {
        "kind": st.just("flex"),
        "wait": st.fixed_dictionaries({"median": st.sampled_from(["1s", "30s"]), "sigma": st.sampled_from([0.0, 1.0])}),
        "unavailable": st.sampled_from([0.0, 0.2, 1.0]),
    }
)
flexible = st.fixed_dictionaries({"limits": limits, "deployment": flex, **errors}).map(lambda given: api(**given))
reserved = st.fixed_dictionaries({"deployment": st.just(RESERVED), **errors}).map(lambda given: api(**given))
apis = st.one_of(standard, flexible)


@st.composite
def faults(draw, hosted, metered):
    kinds = ["failure", "spot_interruption", "planned_restart"] * bool(hosted)
    kinds += ["outage", "network_loss"] * bool(metered)
    found = []
    for kind in draw(st.lists(st.sampled_from(kinds), max_size=4)):
        source = {"kind": kind}
        if kind == "planned_restart":
            source |= {"at": draw(moments), "drain": draw(st.sampled_from(["0s", "30s"])), "down": draw(durations)}
        else:
            source |= draw(timing)
        if kind == "outage":
            source |= {
                "api": draw(st.sampled_from(metered)),
                "error_share": draw(st.sampled_from([0.3, 1.0])),
                "slowdown": draw(st.sampled_from([1, 4])),
            }
        if kind in ("outage", "network_loss"):
            source["duration"] = draw(st.one_of(durations, start_up))
        if kind in ("failure", "spot_interruption", "planned_restart"):
            source["cluster"] = draw(st.sampled_from(hosted))
        if kind == "failure":
            source |= {"scope": draw(st.sampled_from(["gpu", "node", "cluster"])), "repair": draw(durations)}
        if kind == "spot_interruption":
            source |= {"notice": draw(st.sampled_from(["0s", "30s"])), "replacement": draw(start_up)}
        found.append(source)
    return found


@st.composite
def routings(draw, hosted, metered):
    names = [*hosted, *metered]
    orders = st.lists(st.sampled_from(names), min_size=1, max_size=len(names), unique=True)
    kinds = ["overflow", "least_loaded", "priority_aware", "slo_aware", "cost_aware", "rules"]
    kinds += ["seed_as_written", "seed_corrected"] * bool(hosted and metered)
    kind = draw(st.sampled_from(kinds))
    found = {
        "kind": kind,
        "max_in_flight": draw(st.one_of(st.none(), st.integers(1, 30))),
        "timeout": draw(st.one_of(st.none(), durations)),
        "on_error": draw(st.sampled_from(["fail_over", "fail"])),
        "on_api_failure": draw(st.sampled_from(["fail", "queue"])),
        "retries": {"at_most": draw(st.integers(0, 3))},
        "when_full": draw(st.sampled_from(["queue", "shed", "degrade"] if hosted else ["queue", "shed"])),
        "shed_from_priority": draw(st.integers(1, 3)),
    }
    if draw(st.booleans()):
        found["breaker"] = {"failures": draw(st.integers(1, 4)), "cool_down": draw(durations)}
    if draw(st.booleans()):
        found["hedge"] = {"after": draw(durations)}
    if found["when_full"] == "degrade":
        found["degrade_to"] = draw(st.sampled_from(hosted))
    if kind == "cost_aware":
        price = {"prompt": "1 USD/1M tokens", "output": "3 USD/1M tokens"}
        found["prices"] = dict.fromkeys(metered, price)
    if kind == "rules":
        found["rules"] = [
            {"name": "short", "when": {"prompt_tokens": {"below": 300}, "while_room": True}, "send_to": draw(orders)},
            {"name": "urgent", "when": {"priorities": [1]}, "send_to": draw(orders)},
            {"name": "rest", "send_to": draw(orders)},
        ]
    if kind.startswith("seed"):
        found |= {"router": draw(st.sampled_from(["failover", "workload_type"])), "production": list(WORKLOADS)}
    elif draw(st.booleans()):
        found["backends"] = {draw(st.sampled_from(WORKLOADS)): draw(orders)}
    return {key: value for key, value in found.items() if value is not None}


@st.composite
def patterns(draw):
    hosted = draw(st.sampled_from([[], ["north"], ["north", "south"]]))
    metered = draw(
        st.sampled_from([[MODEL], ["first", "second"]] if not hosted else [[], [MODEL], ["first", "second"]])
    )
    content = {"routing": draw(routings(hosted, metered)), "faults": draw(faults(hosted, metered))}
    if hosted:
        content["clusters"] = {name: draw(clusters()) for name in hosted}
    if metered == [MODEL]:
        content["api"] = draw(apis)
    elif metered:
        first, second = draw(st.one_of(st.tuples(apis, apis), st.tuples(reserved, standard)))
        content["apis"] = {"first": first, "second": second}
    kind, model = {
        (True, True): ("hybrid", HybridPattern),
        (True, False): ("self_hosted", SelfHostedPattern),
        (False, True): ("metered_api", ApiPattern),
    }[bool(hosted), bool(metered)]
    return model.model_validate({"kind": kind, **content})


def demand(seed, rate_per_s):
    rng = np.random.default_rng(seed)
    arrival_s = poisson(rng, rate_per_s, HORIZON_S + 20.0)
    size = len(arrival_s)
    requests = table(
        arrival_s,
        rng.integers(1, 900, size),
        rng.integers(1, 300, size),
        workload=rng.integers(0, 3, size),
        workloads=WORKLOADS,
        max_tokens=300,
        prefix=int(rng.integers(0, 400)) or None,
    )
    requests.priority[:] = rng.integers(1, 4, size)
    # Of every other demand some think first: up to one token, or all that there is.
    thinks = (seed % 2) * (rng.random(size) < 0.5)
    requests.thinking_tokens[:] = thinks * np.minimum(rng.integers(1, 400, size), requests.output_tokens)
    return requests


def pictures(pattern, seed):
    """Of two demands in three, what the images of two workloads are to each backend that takes them."""
    if not seed % 3:
        return None
    rng = np.random.default_rng(seed + 2)
    shape = (len(pattern.backend_names) + 1, len(WORKLOADS))
    seen = (rng.random(shape) < 0.8) * (np.arange(shape[1]) < 2)
    seen[-1] = False
    tokens = (seen * rng.integers(1, 200, shape)).astype(np.int32)
    encoder_s = seen * rng.exponential(0.05, shape)
    return ImageLoads(tokens, encoder_s, encoder_s * 3)


def check(pattern, seed, rate_per_s, allowed):
    requests, images = demand(seed, rate_per_s), pictures(pattern, seed)
    options = {"horizon_s": HORIZON_S, "seed": seed, "replication": 0, "plan": plan(blocks=150), "images": images}
    options["ttft_limit_s"] = [1.0, 5.0, float("inf")]
    permits = np.array([[bool(allowed >> (3 * backend + load) & 1) for backend in range(4)] for load in range(3)])
    permits = permits[:, : len(pattern.backend_names)]
    options["allowed_backends"] = permits.tolist()
    record = simulate(pattern, requests, **options)
    log, outcome = record.log, record.log.outcome
    inside = requests.arrival_s < HORIZON_S
    # 1: every request ends in exactly one outcome, for a reason where nobody served it.
    assert np.isin(outcome, list(Outcome)).all()
    assert ((outcome == Outcome.UNFINISHED) == np.isnan(log.ended_s)).all()
    refused = (outcome == Outcome.REJECTED) | (outcome == Outcome.TIMED_OUT)
    assert ((log.lost != Reason.NONE) == refused)[outcome != Outcome.UNFINISHED].all()
    assert (outcome[~inside] == Outcome.UNFINISHED).all()
    assert (log.decision[inside] >= 0).all()
    summary = summarise(record, requests, {})
    assert summary.total.arrived == len(requests) == sum(part.arrived for part in summary.workloads.values())
    assert sum(one.requests for one in summary.decisions) == inside.sum()
    # 2: stamps are in order.
    done = outcome == Outcome.COMPLETED
    stamps = np.column_stack([requests.arrival_s, log.enqueued_s, log.scheduled_s, log.first_token_s, log.last_token_s])
    assert not np.isnan(stamps[done]).any()
    assert (np.diff(stamps[done], axis=1) >= -1e-9).all()
    assert (stamps[done, -1] <= HORIZON_S + 1e-9).all()
    # The answer begins with the first token or behind it, and not at all where thoughts took all the room there was.
    prompts = requests.prompt_tokens if images is None else images.served(requests, log.backend).prompt_tokens
    most = [one.cluster.engine.max_model_len for one in pattern.hosted.values()] + [10**6] * len(pattern.metered)
    room = np.array([*most, 10**6])[log.backend] - prompts
    silent = (requests.thinking_tokens > 0) & (requests.thinking_tokens >= np.minimum(requests.output_tokens, room))
    answer_s = answers_s(requests, log)
    assert (np.isnan(answer_s[done]) == silent[done]).all()
    begun = done & ~silent
    assert (answer_s[begun] >= log.first_token_s[begun] - 1e-9).all()
    assert (answer_s[begun] <= log.last_token_s[begun] + 1e-9).all()
    unthinking = begun & (requests.thinking_tokens == 0)
    assert (answer_s[unthinking] == log.first_token_s[unthinking]).all()
    # 4: no more blocks, seats and seconds in use than there are; a replica that does not serve computes nothing.
    for level in record.levels:
        assert (level.kv_block_s <= level.kv_blocks * level.interval_s + 1e-6).all()
        assert (level.sequence_s <= level.max_num_seqs * level.interval_s + 1e-6).all()
        assert (level.busy_s <= level.interval_s + 1e-6).all()
        if level.up_s is not None:
            assert (level.up_s <= level.paid_s + 1e-6).all()
            assert (level.paid_s <= HORIZON_S + 1e-6).all()
    # 8: an API charges what it served, and beyond that only what was cut off or answered second.
    by_api = done & (log.backend >= len(pattern.hosted))
    served = np.where(by_api, prompts, 0)
    charged = log.billed_prompt_tokens
    cut_off = any(one.kind in ("outage", "network_loss") for one in pattern.faults)
    if not cut_off and pattern.routing.hedge is None:
        assert (charged == served).all()
        assert (log.billed_output_tokens == np.where(by_api, requests.output_tokens, 0)).all()
    assert (charged[done] >= served[done]).all()
    # Each time it is asked it charges the prompt and the answer at most.
    asked = log.attempts.astype(np.int64)
    largest = 0 if images is None else images.tokens.max(axis=0)[requests.workload]
    assert (charged <= asked * (requests.prompt_tokens + largest)).all()
    assert (log.billed_output_tokens <= asked * requests.output_tokens).all()
    # Nobody is served by a backend its workload may not use, and whoever left its first one has a reason.
    taken = log.backend >= 0
    assert permits[requests.workload[taken], log.backend[taken]].all()
    moved = done & (log.backend != log.target)
    assert (log.failover[moved] != Reason.NONE).all()
    # 7: the same again is the same again.
    again = simulate(pattern, requests, **options).log
    for column in fields(RequestLog):
        np.testing.assert_array_equal(getattr(log, column.name), getattr(again, column.name), err_msg=column.name)
    # And in parts: what is handed on, and read as nonsense by whoever still needed it, was over indeed.
    edges_s = [HORIZON_S / 4, HORIZON_S / 3, 500.0]
    parts = list(cut(requests, edges_s, HORIZON_S))
    kept = simulate(pattern, parts, room=len(requests) + 5, **options)
    handed_on, sizes, record = in_parts(pattern, requests, edges_s, **options)
    for column in fields(RequestLog):
        np.testing.assert_array_equal(getattr(kept.log, column.name), getattr(handed_on, column.name), column.name)
    assert (kept.decisions, kept.burnt) == (record.decisions, record.burnt)
    return sizes


everything = given(
    pattern=patterns(),
    seed=st.integers(0, 2**32),
    rate_per_s=st.sampled_from([0.05, 0.5, 3.0]),
    allowed=st.one_of(st.just(0b111111111111), st.integers(0, 0b111111111111)),
)


@settings(max_examples=20)
@everything
def test_laws_with_everything_on(pattern, seed, rate_per_s, allowed):
    check(pattern, seed, rate_per_s, allowed)


@settings(max_examples=15)
@everything
def test_law_everybody_ends_when_there_is_time(pattern, seed, rate_per_s, allowed):
    """Nothing is dropped on the way: an hour after the last arrival only who waits for a replica has not ended."""
    requests = demand(seed, min(rate_per_s, 0.5))
    never = [one.cluster.autoscaling for one in pattern.hosted.values()]
    if any(one is not None and one.kind == "schedule" for one in never):
        pattern = pattern.model_copy(update={"routing": pattern.routing.model_copy(update={"timeout": 300.0})})
    permits = [
        [bool(allowed >> (3 * backend + load) & 1) for backend in range(len(pattern.backend_names))]
        for load in range(3)
    ]
    options = {"horizon_s": HORIZON_S + 4_200.0, "seed": seed, "replication": 0, "plan": plan(blocks=150)}
    options["ttft_limit_s"] = [1.0, 5.0, float("inf")]
    log = simulate(pattern, requests, allowed_backends=permits, **options).log
    assert (log.outcome != Outcome.UNFINISHED).all()


@pytest.mark.slow
@settings(max_examples=300)
@everything
def test_laws_with_everything_on_at_length(pattern, seed, rate_per_s, allowed):
    check(pattern, seed, rate_per_s, allowed)
