"""What a hedge that its API loses costs."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.cost.bill import monthly_bill
from simulator.results import run
from simulator.scenario.schema import Scenario
from simulator.scenario.yaml_source import Document

TURN = {"workloads.notes.shared_prefix": {"tokens": 1280, "variants": 1}}
_DATA = {
    "name": "hedged",
    "horizon": {"start": "2026-04-06", "duration": "6h"},
    "workloads": {
        "notes": {
            "volume": {"requests_per_month": 100_000},
            "profile": "flat",
            "prompt_tokens": {"kind": "constant", "tokens": 1500},
            "output_tokens": {"kind": "constant", "tokens": 20},
        }
    },
    "hosting_patterns": {
        "hedged": {
            "kind": "hybrid",
            "clusters": {
                "own": {
                    "cluster": {"model": "llama-3.1-8b", "gpu": "l40s"},
                    "costs": {"compute": {"kind": "rental", "gpu_hour": "1 USD/h"}},
                }
            },
            "apis": {
                "api": {
                    "model": "azure/gpt-4.1",
                    "ttft": {"median": "20s"},
                    "output_tokens_per_s": {"median": 80},
                }
            },
            "routing": {"kind": "overflow", "max_in_flight": 10000, "hedge": {"after": "1ms"}},
        }
    },
    "experiment": {"replications": 1},
}


def answered(settings=None):
    import json

    from simulator.scenario.merging import apply_settings

    document = Document(json.loads(json.dumps(_DATA)))
    apply_settings(document, settings or {})
    return run(Scenario.from_document(document), band=False, outlook=False)


def test_a_lost_hedge_pays_the_prompt_and_one_token():
    """gpt-4.1: 2 USD per million prompt tokens, 8 of output."""
    results = answered()
    pattern, requests = results.pattern("hedged"), results.requests
    # Those that the API would have begun to answer within the horizon.
    came = int((requests["arrival_s"] + 20.001 <= 6 * 3600.0).sum())
    assert came > 700
    assert (requests["outcome"] == "completed").all()
    assert set(requests["backend"]) == {"own"}
    month = 100_000 / len(requests)
    assert pattern.cost_lines_usd["api_prompt"] == pytest.approx(came * 1500 * 2e-6 * month, abs=0.005)
    assert pattern.cost_lines_usd["api_output"] == pytest.approx(came * 1 * 8e-6 * month, abs=0.005)
    # Nothing of it stands in rows that a cluster answered.
    assert (requests["billed_prompt_tokens"] == 0).all()


def test_a_lost_hedge_is_charged_with_what_the_api_has_cached_and_not_what_the_cluster_has():
    api = "hosting_patterns.hedged.apis.api.prompt_cache"
    without, with_cache = answered(TURN), answered(TURN | {api: {"kept": "1h"}})
    lines = [one.pattern("hedged").cost_lines_usd for one in (without, with_cache)]
    assert (without.requests["cached_tokens"] > 0).any()
    assert lines[0]["api_cached_prompt"] == 0.0
    came = int((with_cache.requests["arrival_s"] + 20.001 <= 6 * 3600.0).sum())
    # All but the first find 1,280 tokens, at 0.50 USD per million.
    assert lines[1]["api_cached_prompt"] == pytest.approx(
        (came - 1) * 1280 * 0.5e-6 * 100_000 / len(with_cache.requests), abs=0.01
    )
    assert sum(lines[1].values()) < sum(lines[0].values())


def test_law_a_bill_of_a_hedged_pattern_is_that_of_its_calls():
    """Whoever wins: prompts are charged for every call that was made, answers for those that were given."""
    quick = {"hosting_patterns.hedged.apis.api.ttft": {"median": "60ms", "sigma": 1.0}}
    results = answered(TURN | quick)
    requests, usage = results.requests, results.pattern("hedged").usage
    won = (requests["backend"] == "api").to_numpy()
    called = (requests["attempts"] > 0).to_numpy()
    assert 0 < won.sum() < called.sum()
    use = usage.apis["api"]
    month = 100_000 / len(requests)
    assert use.prompt_tokens == round(1500 * called.sum() * month)
    assert use.output_tokens == round(np.where(won, 20, 1)[called].sum() * month)
    assert monthly_bill(
        results.scenario.hosting_patterns["hedged"], usage, results.book, results.month_hours
    ).total_usd == pytest.approx(results.pattern("hedged").bill.total_usd)
