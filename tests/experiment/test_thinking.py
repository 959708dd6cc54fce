"""Reasoning models in a result: first answer tokens, bills and empty answers, against arithmetic."""

from __future__ import annotations

import json

import numpy as np
import pytest

import simulator
from simulator.cost.prices import load_price_book
from simulator.report.thinking import thinking_lines
from simulator.scenario.schema import Scenario
from simulator.scenario.yaml_source import Document

API = {"model": "bedrock/llama-3.3-70b", "ttft": {"median": "500ms"}, "output_tokens_per_s": {"median": 50}}
RENTED = {"compute": {"kind": "rental", "gpu_hour": "1.86 USD/h"}}


def constant(tokens):
    return {"kind": "constant", "tokens": tokens}


def clinic(thoughts, limits, **own):
    coding = {
        "volume": {"requests_per_month": 9000},
        "prompt_tokens": constant(1000),
        "output_tokens": constant(101),
        "reasoning": None if thoughts is None else {"thinking_tokens": thoughts},
        "objectives": limits,
        **own,
    }
    plain = {"volume": {"requests_per_month": 3000}, "prompt_tokens": constant(600), "output_tokens": constant(51)}
    l40s = {"kind": "self_hosted", "cluster": {"model": "llama-3.1-8b", "gpu": "l40s"}, "costs": RENTED}
    stated = {
        "name": "coding",
        "horizon": {"start": "2026-06-01", "duration": "1d", "time_zone": "UTC"},
        "workloads": {"coding": coding, "notes": plain | {"objectives": {"ttfat": "600ms"}}},
        "hosting_patterns": {"api": {"kind": "metered_api", "api": API}, "own": l40s},
        "experiment": {"replications": 1},
    }
    return Scenario.from_document(Document(stated))


@pytest.fixture(scope="module")
def found():
    return simulator.run(clinic(constant(400), {"ttfat": "8.5s", "ttft": "600ms"}))


def test_the_first_answer_token_comes_behind_the_thoughts(found):
    coding, notes = (found.patterns[0].workloads[name] for name in ("coding", "notes"))
    # 0.5 s to the first token, then one every 20 ms: 400 thoughts, 101 tokens of answer.
    for metric, seconds in (("ttft_s", 0.5), ("ttfat_s", 8.5), ("e2e_s", 10.5)):
        assert coding.latency[metric].p99 == pytest.approx(seconds, rel=1e-9)
    assert coding.share_met == 1.0
    assert "ttfat_s" not in notes.latency
    # Without thoughts its first token is its first answer token.
    assert notes.share_met == 1.0


def test_on_a_cluster_it_comes_before_the_last_and_long_after_the_first(found):
    wait = {metric: latency.p50 for metric, latency in found.patterns[1].workloads["coding"].latency.items()}
    assert wait["ttft_s"] < wait["ttfat_s"] < wait["e2e_s"]
    # Alone most of the time: a token is a step, and 100 of 500 come behind the first of the answer.
    part = (wait["ttfat_s"] - wait["ttft_s"]) / (wait["e2e_s"] - wait["ttft_s"])
    assert part == pytest.approx(0.8, abs=0.01)


def test_thoughts_are_billed_as_output(found):
    coding = found.patterns[0].workloads["coding"]
    assert coding.tokens.output == 501 * coding.requests.completed
    assert coding.thinking.tokens == 400 * coding.requests.completed
    bill = found.patterns[0].cost_lines_usd
    without = simulator.run(clinic(None, {"ttft": "600ms"})).patterns[0]
    # What stands still is the prompts; what grows is the output, by 400 tokens a request of 101.
    assert bill["api_prompt"] == pytest.approx(without.cost_lines_usd["api_prompt"], rel=1e-9)
    price = load_price_book("2026-11").api(API["model"]).output.usd_per_million
    assert bill["api_output"] == pytest.approx((9000 * 501 + 3000 * 51) * float(price) / 1e6, abs=0.006)


def test_a_tighter_limit_is_missed_and_says_what_would_do(found):
    tight = simulator.run(clinic(constant(400), {"ttfat": "8.4s"}))
    assert tight.patterns[0].workloads["coding"].objective_met is False
    assert tight.patterns[0].workloads["coding"].share_met == 0.0
    assert "8.50 s to the first answer token instead of 8.4 s" in tight.decision.nearest.text


def test_thoughts_that_use_up_the_limit_are_empty_answers_that_miss_it():
    half = {"kind": "empirical", "values": [100, 900]}
    found = simulator.run(clinic(half, {"ttfat": "1h"}, max_tokens=700))
    for pattern in found.patterns:
        coding = pattern.workloads["coding"]
        empty = coding.thinking.unanswered / coding.requests.completed
        assert empty == pytest.approx(0.5, abs=0.1)
        assert coding.share_met == pytest.approx(1.0 - empty, abs=0.02)
    assert "of the answers are empty: thoughts used up max_tokens" in thinking_lines(found)[0]


def test_the_document_and_the_tables_have_them(found):
    plain = json.loads(found.to_json())["patterns"][0]
    assert plain["workloads"]["coding"]["thinking"]["unanswered"] == 0
    assert "thinking" not in plain["workloads"]["notes"]
    assert plain["latency"]["ttfat_s"]["p99"] == pytest.approx(8.5)
    rows = found.tables.requests("api")
    thought = rows["workload"] == "coding"
    assert set(rows["thinking_tokens"][thought]) == {400}
    assert set(rows["thinking_tokens"][~thought]) == {0}
    np.testing.assert_allclose((rows["first_answer_s"] - rows["arrival_s"])[thought], 8.5)
    assert rows["first_answer_s"][~thought].isna().all()
    assert (
        "ttfat_s" not in json.loads(simulator.run(clinic(None, {"ttft": "600ms"})).to_json())["patterns"][0]["latency"]
    )
