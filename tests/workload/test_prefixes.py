"""Prefixes that begin with one another: the hospital's prompt, a department's template, a patient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from simulator.engine.simulation import simulate
from simulator.errors import ScenarioError
from simulator.scenario.loading import load_scenario
from simulator.scenario.patterns import SelfHostedPattern
from simulator.trace.canonical import read_trace, write_trace
from simulator.trace.request_table import joined
from simulator.workload.synthesis import synthesise, synthesise_parts
from tests.parts import SCENARIOS
from tests.workload.clinic import WEEK, scenario, source
from tests.workload.test_stretches import TWO_WEEKS, by

LEVELS = [{"tokens": 300}, {"tokens": 500, "variants": 4}, {"tokens": 700, "variants": 50, "per": "patient"}]
LONG = {"kind": "lognormal", "median": 2_000, "sigma": 0.8}


def drawn(horizon=WEEK, **settings):
    settings = {"volume": {"requests_per_month": 9_000}, "prompt_tokens": LONG} | settings
    return synthesise(scenario(horizon, 3, notes=source(**settings)), 0)


def paths(table):
    """By request, the identities at each of its levels and where they end."""
    ids, tokens = table.prefix_id.tolist(), table.prefix_tokens.tolist()
    return [[*table.nesting.outer(one), (one, count)] for one, count in zip(ids, tokens, strict=True)]


def test_levels_follow_one_another_as_far_as_the_prompt_goes():
    table = drawn(shared_prefix=LEVELS)
    ends = [300, 800, 1_500]
    for path, prompt in zip(paths(table), table.prompt_tokens.tolist(), strict=True):
        depth = 1 + sum(prompt - 1 > end for end in ends[:2])
        assert [tokens for _, tokens in path] == [*ends[: depth - 1], min(ends[depth - 1], prompt - 1)]
    deep = [path for path in paths(table) if len(path) == 3]
    first, second, third = (len({path[level][0] for path in deep}) for level in range(3))
    # All 200 patients come in 1,500 requests or so, each in one department only.
    assert (first, second) == (1, 4)
    assert 190 <= third <= 200
    assert len({path[2][0] for path in deep}) == len({(path[1][0], path[2][0]) for path in deep})


def test_departments_decide_on_their_templates_and_patients_are_drawn():
    table = drawn(shared_prefix=LEVELS, departments={"count": 4})
    of = {path[1][0] for path in paths(table) if len(path) > 1}
    assert len(of) == 4
    one = drawn(shared_prefix=[{"tokens": 300}, {"tokens": 500, "variants": 4}], departments={"count": 1})
    assert len({path[1][0] for path in paths(one) if len(path) > 1}) == 1


def test_shares_are_those_of_the_level_above():
    table = drawn(
        prompt_tokens={"kind": "constant", "tokens": 3_000},
        shared_prefix=[{"tokens": 300, "share": 0.8}, {"tokens": 500, "share": 0.5}],
    )
    lengths = np.bincount(table.prefix_tokens, minlength=801)[[0, 300, 800]] / len(table)
    assert lengths == pytest.approx([0.2, 0.4, 0.4], abs=0.04)


def test_a_conversation_goes_on_from_the_template():
    table = drawn(shared_prefix=LEVELS[:2], turns={"mean": 3, "think": {"median": "1min", "sigma": 0.5}})
    assert (table.prefix_tokens == table.prompt_tokens + table.output_tokens).all()
    first = np.unique(table.prefix_id, return_index=True)[1]
    for row in first.tolist():
        outer = table.nesting.outer(int(table.prefix_id[row]))
        assert outer[-1][1] == min(800, table.prompt_tokens[row] - 1)
    assert len({table.nesting.outer(int(one))[-1] for one in table.prefix_id[first]}) > 4
    # Without a template the same conversations, each a prefix of its own.
    alone = drawn(turns={"mean": 3, "think": {"median": "1min", "sigma": 0.5}})
    assert len(alone.nesting) == 0
    np.testing.assert_array_equal(alone.arrival_s, table.arrival_s)


@pytest.mark.parametrize("turns", [None, {"mean": 4, "think": {"median": "9h", "sigma": 0.3}}])
def test_parts_say_what_their_prefixes_begin_with(turns):
    load = source(volume={"requests_per_month": 3_000}, prompt_tokens=LONG, shared_prefix=LEVELS, turns=turns)
    demand = scenario(TWO_WEEKS, 5, notes=load)
    with by(2):
        parts = [part for part, _ in synthesise_parts(demand, 0)]
    whole = joined(parts)
    for part in parts:
        for one in np.unique(part.prefix_id).tolist():
            assert part.nesting.outer(one) == whole.nesting.outer(one)
    assert max(len(path) for path in paths(whole)) == (3 if turns is None else 4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shared_prefix": []}, "at least 1 item"),
        (
            {"shared_prefix": [{"tokens": 5, "variants": 60_000}, {"tokens": 5, "variants": 60_000}]},
            "4,194,304",
        ),
        ({"shared_prefix": [{"tokens": 5, "per": "department"}]}, "needs departments"),
        ({"shared_prefix": {"tokens": 5, "per": "ward"}}, "department"),
        ({"shared_prefix": [{"tokens": 0}]}, "greater than 0"),
        ({"shared_prefix": 7}, "valid dictionary"),
    ],
)
def test_what_makes_no_sense_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        scenario(WEEK, 1, notes=source(**changes))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([{"tokens": 9}, {"token": 5}], "shared_prefix.1.token: unknown key; did you mean 'tokens'?"),
        ({"token": 5}, "shared_prefix.token: unknown key; did you mean 'tokens'?"),
        ([{"tokens": 5, "per": "ward"}], "shared_prefix.0.per: 'ward': expected 'department' or 'patient'"),
    ],
)
def test_faults_in_a_list_say_where_and_what_is_allowed(value, message):
    file = SCENARIOS / "ci_small.yaml"
    name = next(iter(load_scenario(file).workloads))
    with pytest.raises(ScenarioError) as caught:
        load_scenario(file, settings={f"workloads.{name}.shared_prefix": value})
    assert any(str(fault).endswith(message) for fault in caught.value.faults), caught.value


def test_a_trace_keeps_the_levels_and_a_replica_finds_them(tmp_path):
    """A trace that was written and read is served alike, and finds more than without levels."""
    table = drawn(shared_prefix=LEVELS)
    write_trace(table, tmp_path / "t.parquet", source="s", licence="l", span_s=7 * 86_400)
    again = read_trace(tmp_path / "t.parquet")
    assert paths(again) == paths(table)
    costs = {"compute": {"kind": "rental", "gpu_hour": "1 USD/h"}}
    cluster = {"model": "llama-3.1-8b", "gpu": "l40s"}
    pattern = SelfHostedPattern.model_validate({"kind": "self_hosted", "cluster": cluster, "costs": costs})
    found = [
        simulate(pattern, one, horizon_s=7 * 86_400, seed=1, replication=0).log.cached_tokens.sum()
        for one in (table, again, replace(table, nesting=drawn().nesting))
    ]
    assert found[0] == found[1] > 1.1 * found[2]


def test_a_recorded_workload_replays_them(tmp_path):
    table = drawn(shared_prefix=LEVELS)
    file = tmp_path / "t.csv"
    write_trace(table, file, source="s", licence="l", span_s=7 * 86_400)
    replay = {"trace": {"file": str(file), "align": "start"}}
    demand = scenario({"start": "2027-01-04", "duration": "9w"}, 1, one=replay, other=replay, notes=source())
    parts = list(synthesise_parts(demand, 0))
    assert len(parts) > 1
    for part, _ in parts:
        ours = [path for path in paths(part) if path[-1][0] >= 0]
        assert {len(path) for path in ours} == {1, 2, 3}
        # Both replay the same file: they share their prefixes.
        assert len({path[0][0] for path in ours}) == 1
