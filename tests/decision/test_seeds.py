"""Near a limit, the verdict is the same for every seed, or says that it cannot tell."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from simulator.results import run
from simulator.scenario.merging import apply_settings
from simulator.scenario.schema import Scenario
from simulator.scenario.yaml_source import Document

_LENGTHS = {
    "prompt_tokens": {"kind": "lognormal", "mean": 600, "sigma": 0.4, "at_most": 6000},
    "output_tokens": {"kind": "lognormal", "mean": 200, "sigma": 0.4, "at_most": 2000},
}
_API = {
    "model": "bedrock/llama-3.3-70b",
    "ttft": {"median": "700ms", "sigma": 0.4},
    "output_tokens_per_s": {"median": 50, "sigma": 0.15},
}
_OWN = {"model": "llama-3.1-8b", "gpu": "l40s"}
_RENT = {"compute": {"kind": "rental", "gpu_hour": "1.86 USD/h"}}
_SMALL = {"compute": {"kind": "rental", "gpu_hour": "0.001 USD/h"}}


def question(volume, objectives, patterns):
    return {
        "name": "near",
        "horizon": {"start": "2026-04-06", "duration": "7d"},
        "workloads": {"notes": {"volume": {"requests_per_month": volume}, "objectives": objectives, **_LENGTHS}},
        "hosting_patterns": patterns,
        "experiment": {"replications": 4},
    }


API = {"kind": "metered_api", "api": _API}
OWN = {"kind": "self_hosted", "cluster": _OWN, "costs": _RENT}
# The p99 of the API's time to first token is 0.7 s x exp(0.4 x 2.3263) = 1.775 s; what each says is near its edge.
NEAR = {
    "an API at its first token": question(8000, {"ttft": "1.78s"}, {"api": API, "own": OWN}),
    # A cluster's p99 end to end is about 11 s for these lengths.
    "a cluster at its last token": question(
        4000,
        {"end_to_end": "10.05s"},
        {"own": OWN | {"costs": _SMALL}, "api": API | {"api": _API | {"output_tokens_per_s": {"median": 200}}}},
    ),
    # 8,000 requests a month of 800 tokens at 0.72 USD/1M are 4.61 USD.
    "two that cost the same": question(
        8000,
        {"ttft": "20s"},
        {"api": API, "own": OWN | {"costs": {"compute": {"kind": "rental", "gpu_hour": "0.00631 USD/h"}}}},
    ),
    "an API that fails one call in a hundred": question(
        8000,
        {"ttft": "20s"},
        {"api": API | {"api": _API | {"error_share": 0.01, "retries": {"at_most": 0}}}, "own": OWN},
    ),
    "sixty requests of a tiny hospital": question(60, {"ttft": "2s", "end_to_end": "60s"}, {"api": API, "own": OWN}),
    "a hybrid": question(
        8000,
        {"end_to_end": "10.1s"},
        {
            "hybrid": {
                "kind": "hybrid",
                "cluster": _OWN,
                "costs": _SMALL,
                "api": _API,
                "routing": {"max_in_flight": 2},
            },
            "own": OWN,
        },
    ),
}


def verdicts(name, seeds):
    found = Counter()
    for seed in seeds:
        document = Document(json.loads(json.dumps(NEAR[name])))
        apply_settings(document, {"experiment.seed": seed})
        decision = run(Scenario.from_document(document), tables=False, band=False, outlook=False).decision
        found[decision.recommended or decision.verdict] += 1
    return found


@pytest.mark.parametrize("name", [name for name in NEAR if "API" in name or "hospital" in name])
def test_a_few_seeds_do_not_contradict_each_other(name):
    assert len(set(verdicts(name, range(1, 4))) - {"cannot_tell"}) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", NEAR)
def test_forty_seeds_do_not_contradict_each_other(name):
    found = verdicts(name, range(1, 41))
    print(name, dict(found))
    assert len(set(found) - {"cannot_tell"}) <= 1
