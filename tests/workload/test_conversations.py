"""Conversations: every request sends along what was said before, and a cache finds it again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from simulator.analysis.metrics import summarise
from simulator.engine.simulation import simulate
from simulator.scenario.patterns import SelfHostedPattern
from simulator.workload.synthesis import synthesise
from simulator.workload.volume import mean_tokens_of, request_names
from tests.workload.clinic import WEEK, scenario, source

TURNS = {"mean": 4, "think": {"median": "40s", "sigma": 0.8}, "question_tokens": 60}
CHARTS = source(
    volume={"charts_per_month": 3000},
    turns=TURNS,
    prompt_tokens={"kind": "lognormal", "median": 8000, "sigma": 0.7, "at_most": 40_000},
    output_tokens={"kind": "lognormal", "median": 350, "sigma": 0.7},
)


def conversations(table, workload=0):
    mine = np.flatnonzero(table.workload == workload)
    order = mine[np.lexsort((table.arrival_s[mine], table.prefix_id[mine]))]
    return np.split(order, np.flatnonzero(np.diff(table.prefix_id[order])) + 1)


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32), longest=st.sampled_from([9000, 131_072]))
def test_a_prompt_is_what_was_said_before_and_a_question(seed, longest):
    table = synthesise(scenario(WEEK, seed, charts=CHARTS | {"turns": TURNS | {"longest": longest}}), 0)
    for rows in conversations(table):
        prompt, output = table.prompt_tokens[rows].astype(int), table.output_tokens[rows]
        np.testing.assert_array_equal(np.diff(prompt), output[:-1] + 60)
        np.testing.assert_array_equal(table.prefix_tokens[rows], prompt + table.output_tokens[rows])
        assert (prompt[1:] <= longest).all()


def test_charts_count_conversations_and_requests_count_requests():
    week = 7 * 24 / 730
    by_charts = synthesise(scenario(WEEK, 1, charts=CHARTS), 0)
    by_requests = synthesise(scenario(WEEK, 1, charts=CHARTS | {"volume": {"requests_per_month": 12_000}}), 0)
    assert len(conversations(by_charts)) == pytest.approx(3000 * week, rel=0.1)
    # Poisson many of geometric size: variance 690 (16 + 12).
    assert len(by_requests) == pytest.approx(12_000 * week, abs=4 * 139)
    sizes = np.array([len(rows) for rows in conversations(by_charts)])
    assert sizes.mean() == pytest.approx(4, rel=0.12)
    assert (sizes == 1).mean() == pytest.approx(0.25, abs=0.05)  # geometric
    gaps_s = np.concatenate([np.diff(by_charts.arrival_s[rows]) for rows in conversations(by_charts)])
    assert np.median(gaps_s) == pytest.approx(40, rel=0.1)


def test_a_conversation_has_its_expected_tokens():
    long = CHARTS | {"turns": TURNS | {"longest": 10**7}, "volume": {"charts_per_month": 40_000}}
    demand = scenario(WEEK, 1, charts=long)
    table = synthesise(demand, 0)
    tokens = np.bincount(
        np.unique(table.prefix_id, return_inverse=True)[1], table.prompt_tokens.astype(float) + table.output_tokens
    )
    expected = mean_tokens_of(demand.workloads["charts"])
    assert tokens.mean() == pytest.approx(expected, abs=4 * tokens.std() / np.sqrt(len(tokens)))
    assert request_names(demand) == {"charts": "request"}


def test_conversations_of_two_workloads_never_meet():
    shared = source(volume={"requests_per_month": 3000}, shared_prefix={"tokens": 100, "variants": 7})
    table = synthesise(scenario(WEEK, 1, charts=CHARTS, notes=shared, more=CHARTS), 0)
    ids = [set(table.prefix_id[table.workload == number].tolist()) for number in range(3)]
    assert len(set.union(*ids)) == sum(map(len, ids))
    alone = synthesise(scenario(WEEK, 1, charts=CHARTS), 0)
    np.testing.assert_array_equal(alone.arrival_s, table.arrival_s[table.workload == 0])


def test_a_cache_finds_question_and_answer_before():
    demand = scenario(WEEK, 1, charts=CHARTS)
    table = synthesise(demand, 0)
    cluster = {
        "model": "llama-3.1-8b",
        "gpu": "h100-80gb",
        "quantisation": "bf16",
        "engine": {"max_model_len": 131_072},
    }
    costs = {"compute": {"kind": "rental", "gpu_hour": "1 USD/h"}}
    pattern = SelfHostedPattern.model_validate({"kind": "self_hosted", "cluster": cluster, "costs": costs})
    record = simulate(pattern, table, horizon_s=demand.horizon.duration_s, seed=1, replication=0)
    follow_up = np.concatenate([rows[1:] for rows in conversations(table)])
    share = record.log.cached_tokens[follow_up].sum() / table.prompt_tokens[follow_up].sum()
    # All but the latest question and what the last block before it has begun, whose last token was never fed back.
    assert 0.98 < share < 1.0
    before = np.concatenate([rows[:-1] for rows in conversations(table)])
    computed = table.prompt_tokens[before] + table.output_tokens[before] - 1
    found = record.log.cached_tokens[follow_up]
    assert (found <= computed // 16 * 16).all()
    assert (found == computed // 16 * 16).mean() > 0.98
    assert summarise(record, table, {"charts": None}, 0.0).total.arrived == len(table)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"volume": {"tokens_per_month": 1e6}}, "cannot be told with turns"),
    ],
)
def test_what_contradicts_conversations_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        scenario(WEEK, 1, charts=CHARTS | changes)


@pytest.mark.parametrize(("longest", "departments"), [(9_000, None), (12_000, {"count": 40, "length_sigma": 0.6})])
def test_conversations_that_end_early_are_more_of_them(longest, departments):
    """A request count holds however soon conversations no longer fit the model, and tokens are those expected."""
    load = CHARTS | {"turns": TURNS | {"longest": longest}, "volume": {"requests_per_month": 60_000}}
    load |= {"departments": departments} if departments else {}
    demand = scenario(WEEK, 1, charts=load)
    tables = [synthesise(demand, number) for number in range(16)]
    begun = [len(conversations(table)) for table in tables]
    sent = sum(map(len, tables))
    assert sum(begun) > 1.1 * sent / TURNS["mean"], "a limit that cuts nothing shows nothing"
    # Where departments differ in length, numbers vary far more than conversations do.
    error = 4 * np.std([len(table) for table in tables], ddof=1) * np.sqrt(len(tables))
    assert sent == pytest.approx(len(tables) * 60_000 * 168 / 730, abs=error)
    if departments is None:
        expected = mean_tokens_of(demand.workloads["charts"])
        tokens = sum(float(table.prompt_tokens.sum()) + float(table.output_tokens.sum()) for table in tables)
        assert tokens / sum(begun) == pytest.approx(expected, rel=0.03)
