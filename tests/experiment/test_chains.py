"""Chains in a result: their times, their limit and their bill, against arithmetic."""

from __future__ import annotations

import json

import pytest

import simulator
from simulator.cost.prices import load_price_book
from simulator.report.chains import chain_lines
from simulator.scenario.schema import Scenario
from simulator.scenario.yaml_source import Document

SPEECH = {"model": "deepgram/nova-3-medical", "ttft": {"median": "1s"}, "output_tokens_per_s": {"median": 100}}
LLAMA = {"model": "bedrock/llama-3.3-70b", "ttft": {"median": "500ms"}, "output_tokens_per_s": {"median": 50}}
EMBEDDING = {
    "model": "openai/text-embedding-3-small",
    "ttft": {"median": "200ms"},
    "output_tokens_per_s": {"median": 1},
}


def constant(tokens):
    return {"kind": "constant", "tokens": tokens}


def clinic(limit="40s", llama=LLAMA, **horizon):
    loads = {
        # Ten minutes of audio, 2,001 tokens of transcript: 1 s + 20 s.
        "speech": {
            "volume": {"requests_per_month": 3000},
            "prompt_tokens": constant(6000),
            "output_tokens": constant(2001),
        },
        # 0.5 s + 6 s, one second later.
        "note": {
            "follows": {"workload": "speech", "delay": "1s"},
            "prompt_tokens": constant(2500),
            "output_tokens": constant(301),
            "objectives": {"end_to_end": "7s"},
        },
        # 0.5 s + 1 s, at once.
        "codes": {
            "follows": {"workload": "note"},
            "prompt_tokens": constant(800),
            "output_tokens": constant(51),
            "objectives": {"chain": limit},
        },
    }
    routing = {"kind": "overflow", "backends": {"speech": ["speech"], "note": ["llama"], "codes": ["llama"]}}
    return scenario(loads, {"apis": {"speech": SPEECH, "llama": llama}, "routing": routing}, horizon)


def scenario(workloads, pattern, horizon):
    stated = {
        "name": "scribe",
        "horizon": {"start": "2026-06-01", "duration": "2d", "time_zone": "UTC"} | horizon,
        "workloads": workloads,
        "hosting_patterns": {"api": {"kind": "metered_api"} | pattern},
        "experiment": {"replications": 2},
    }
    return Scenario.from_document(Document(stated))


@pytest.fixture(scope="module")
def found():
    return simulator.run(clinic())


def test_the_chain_takes_its_stages_and_what_lies_between_them(found):
    load = found.patterns[0].workloads["codes"]
    for figure in ("mean", "p50", "p99"):
        assert getattr(load.latency["chain_s"], figure) == pytest.approx(21.0 + 1.0 + 6.5 + 1.5, rel=1e-9)
    assert found.patterns[0].workloads["note"].latency["chain_s"].p99 == pytest.approx(28.5, rel=1e-9)
    assert load.latency["e2e_s"].p99 == pytest.approx(1.5, rel=1e-9)
    assert "chain_s" not in found.patterns[0].workloads["speech"].latency
    chain = load.chain
    assert chain.workloads == ("speech", "note", "codes")
    assert chain.begun == chain.completed + chain.unfinished + sum(chain.ended_in.values())
    assert chain.begun == found.patterns[0].workloads["speech"].requests.arrived
    assert chain.completed == load.requests.completed
    (line,) = chain_lines(found)
    assert line.startswith("api: speech → note → codes: 30.0 s in the median, p99 30.0 s (limit 40 s), 0.05")


def test_a_chain_costs_what_its_stages_do(found):
    """Ten minutes of audio at the book's price by the hour; tokens at the model's; nothing for the transcript."""
    book = load_price_book("2026-11")
    hour = float(book.services["deepgram/nova-3-medical"].audio_hour)
    model = book.api_prices["bedrock/llama-3.3-70b"]
    prompt, output = (float(price.usd_per_million) / 1e6 for price in (model.prompt, model.output))
    speech, note, codes = hour / 6, 2500 * prompt + 301 * output, 800 * prompt + 51 * output
    pattern = found.patterns[0]
    assert pattern.workloads["speech"].cost.usd_per_unit == pytest.approx(speech, rel=1e-6)
    assert pattern.workloads["note"].cost.usd_per_unit == pytest.approx(note, rel=1e-6)
    whole = pattern.workloads["codes"].chain
    # Those that are still in speech at the end are paid all the same: a few of two hundred.
    assert whole.usd == pytest.approx(speech + note + codes, rel=0.02)
    assert pattern.monthly_cost_usd.mean == pytest.approx(3000 * (speech + note + codes), rel=0.02)


def test_each_request_may_be_in_time_and_the_chain_is_not():
    """The note meets its limit; the chain of 30 s misses one of 29."""
    answers = {}
    for limit in ("29s", "31s"):
        pattern = simulator.run(clinic(limit, duration="14d")).patterns[0]
        answers[limit] = pattern.workloads["note"].objective_met, pattern.workloads["codes"].objective_met
    assert answers == {"29s": (True, False), "31s": (True, True)}


def test_a_stage_that_fails_ends_its_chain_and_misses_the_limit():
    """Every fifth call of the model fails for good: of the notes that come, 0.8; of the codes of those, 0.8 again."""
    result = simulator.run(clinic("60s", LLAMA | {"error_share": 0.2, "retries": {"at_most": 0}}, duration="28d"))
    load = result.patterns[0].workloads["codes"]
    chain, share = load.chain, load.objective.limits[0].share
    done = chain.begun - chain.unfinished
    assert chain.begun == chain.completed + chain.unfinished + sum(chain.ended_in.values())
    assert chain.ended_in["note"] / done == pytest.approx(0.2, abs=0.03)
    assert chain.ended_in["codes"] / done == pytest.approx(0.16, abs=0.03)
    assert set(chain.ended_in) == {"note", "codes"}
    assert share == pytest.approx(chain.completed / done, abs=1e-3)
    assert load.requests.arrived == pytest.approx(0.8 * chain.begun, rel=0.03)
    plain = json.loads(result.to_json())["patterns"][0]["workloads"]
    assert plain["codes"]["chain"]["begun"] == chain.begun
    assert "chain" not in plain["speech"]


def test_embeddings_are_billed_by_what_goes_in():
    index = {"volume": {"requests_per_month": 40_000}, "prompt_tokens": constant(500), "output_tokens": constant(1)}
    result = simulator.run(scenario({"index": index}, {"api": EMBEDDING}, {"duration": "1d"})).patterns[0]
    assert result.monthly_cost_usd.mean == pytest.approx(40_000 * 500 * 0.02 / 1e6, rel=1e-6)
    assert result.latency["e2e_s"].p99 == pytest.approx(0.2)
