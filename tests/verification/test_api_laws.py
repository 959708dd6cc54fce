"""The laws, on patterns of metered APIs alone: windows, units that spill over, batches, outages, impatient clients."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.analysis.metrics import summarise
from simulator.engine.record import Outcome, Reason, RequestLog
from simulator.engine.simulation import simulate
from simulator.scenario.patterns import ApiPattern
from tests.engine.demand import api, poisson, table

HORIZON_S = 600.0

limits = st.fixed_dictionaries(
    {
        "tokens_per_minute": st.one_of(st.none(), st.integers(1_000, 60_000)),
        "requests_per_minute": st.one_of(st.none(), st.integers(1, 300)),
        "tokens_per_day": st.one_of(st.none(), st.integers(1_000, 500_000)),
        "settles": st.just(True),
        "output_burndown": st.sampled_from([1.0, 5.0]),
    }
)
windows = st.fixed_dictionaries(
    {"request_window": st.sampled_from(["1s", "10s", "60s"]), "refusals_count": st.booleans()}
)
limits = st.builds(lambda own, kind: own | kind, limits, st.one_of(windows, st.just({"kind": "continuous"})))
client = st.fixed_dictionaries(
    {
        "at_most": st.integers(0, 4),
        "timeout": st.sampled_from(["1s", "3s", "600s"]),
        "streamed": st.booleans(),
        "honour_retry_after": st.booleans(),
    }
)
common = {
    "retries": client,
    "error_share": st.sampled_from([0.0, 0.2]),
    "billing": st.fixed_dictionaries(
        {
            "errors": st.sampled_from(["nothing", "prompt"]),
            "cut_off": st.sampled_from(["nothing", "prompt", "all"]),
            "timeouts": st.sampled_from(["nothing", "prompt", "all"]),
        }
    ),
    "prompt_cache": st.one_of(st.none(), st.just({"minimum": 64, "step": 16, "kept": "60s"})),
    "usage_tier": st.one_of(st.none(), st.just({"tokens_per_month": 50_000})),
}
flex = st.fixed_dictionaries(
    {
        "kind": st.just("flex"),
        "wait": st.just({"median": "2s", "sigma": 1.0}),
        "slowdown": st.sampled_from([1, 3]),
        "unavailable": st.sampled_from([0.0, 0.3, 1.0]),
    }
)
kinds = st.one_of(st.just({"kind": "standard"}), st.just({"kind": "priority"}), flex)
by_token = st.fixed_dictionaries({"limits": limits, "deployment": kinds, **common}).map(lambda changes: api(**changes))
standard = st.fixed_dictionaries({"limits": limits, **common}).map(lambda changes: api(**changes))
reserved = st.fixed_dictionaries(common).map(
    lambda changes: api(
        **changes,
        deployment={
            "kind": "reserved", "input_tokens_per_minute": 100_000, "output_tokens_per_minute": 10_000,
            "input_price": "1 USD/month", "output_price": "1 USD/month", "spillover": "tokens",
        },
    )
)  # fmt: skip
units = st.builds(
    lambda changes, size, spillover: api(
        **changes,
        deployment={
            "kind": "provisioned", "units": size, "tokens_per_unit": 1_000, "output_ratio": 4, "burst": "10s",
            "spillover": spillover,
        },
    ),
    st.fixed_dictionaries(common),
    st.integers(1, 40),
    st.sampled_from([None, "tokens"]),
)  # fmt: skip
batch = st.builds(
    lambda minutes, quota, errors: {
        "model": "azure/gpt-4o",
        "error_share": errors,
        "deployment": {
            "kind": "batch", "submit_every": f"{minutes}min", "queued_tokens": quota,
            "turnaround": {"median": "2min", "sigma": 0.5},
        },
    },
    st.integers(1, 4),
    st.one_of(st.none(), st.integers(500, 5_000)),
    st.sampled_from([0.0, 0.3]),
)  # fmt: skip
apis = st.one_of(
    by_token.map(lambda one: {"tokens": one}),
    batch.map(lambda one: {"batch": one}),
    st.builds(lambda first, second: {"bought": first, "tokens": second}, st.one_of(units, reserved), standard),
    st.builds(lambda *three: dict(zip(("units", "tokens", "batch"), three, strict=True)), units, standard, batch),
)
outages = st.lists(
    st.fixed_dictionaries(
        {
            "kind": st.just("outage"),
            "at": st.integers(0, 590).map(lambda at_s: [f"+{at_s}s"]),
            "duration": st.integers(1, 300).map(lambda lasts_s: f"{lasts_s}s"),
            "error_share": st.sampled_from([0.0, 0.5, 1.0]),
            "slowdown": st.sampled_from([1.0, 3.0]),
        }
    ),
    max_size=3,
)


@settings(max_examples=20)
@given(given_=apis, down=outages, seed=st.integers(0, 2**32), rate_per_s=st.sampled_from([0.05, 1.0, 4.0]))
def test_laws(given_, down, seed, rate_per_s):
    rng = np.random.default_rng(seed)
    arrival_s = poisson(rng, rate_per_s, HORIZON_S)
    size = len(arrival_s)
    prompts, outputs, prefix = rng.integers(1, 900, size), rng.integers(1, 200, size), int(rng.integers(0, 400))
    requests = table(arrival_s, prompts, outputs, max_tokens=200, prefix=prefix)
    faults = [{**outage, "api": name} for outage in down for name in given_]
    pattern = ApiPattern.model_validate({"kind": "metered_api", "apis": given_, "faults": faults})
    options = {"horizon_s": HORIZON_S, "seed": seed, "replication": 0}
    record = simulate(pattern, requests, **options)
    log, completed = record.log, record.log.outcome == Outcome.COMPLETED
    # 1: exactly one outcome each; nothing after the horizon.
    assert np.isin(log.outcome, list(Outcome)).all()
    assert ((log.outcome == Outcome.UNFINISHED) == np.isnan(log.ended_s)).all()
    # 2: stamps in order.
    stamps = (requests.arrival_s, log.enqueued_s, log.scheduled_s, log.first_token_s, log.last_token_s)
    assert (np.diff(np.column_stack(stamps)[completed], axis=1) >= -1e-9).all()
    # 8: what is billed is what was served, and what failed calls burnt.
    assert (log.billed_prompt_tokens == np.where(completed, requests.prompt_tokens, 0)).all()
    assert (log.billed_output_tokens == np.where(completed, requests.output_tokens, 0)).all()
    assert (log.cached_tokens <= requests.prefix_tokens).all()
    for charge in record.burnt:
        assert 0.0 <= charge.at_s <= HORIZON_S
        assert charge.prompt_tokens == requests.prompt_tokens[charge.row]
        assert 0 <= charge.cached_tokens <= charge.prompt_tokens
        assert 0 <= charge.output_tokens <= requests.output_tokens[charge.row]
    summary = summarise(record, requests, {})
    charged = [one for use in summary.backends.values() for one in use.charged.values()]
    billed = sum(one.prompt_tokens + one.output_tokens for one in charged)
    served = summary.total.prompt_tokens + summary.total.output_tokens
    assert billed == served + sum(charge.prompt_tokens + charge.output_tokens for charge in record.burnt)
    # Whoever was answered elsewhere than where it was sent first has a reason.
    elsewhere = completed & (log.backend != log.target)
    assert (log.failover[elsewhere] != Reason.NONE).all()
    # 7: the same again is the same again.
    again = simulate(pattern, requests, **options)
    assert again.burnt == record.burnt
    for column in fields(RequestLog):
        np.testing.assert_array_equal(getattr(log, column.name), getattr(again.log, column.name))
