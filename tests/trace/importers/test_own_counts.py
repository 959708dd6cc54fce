"""Sixteen layouts counted twice: by the importer, and here by a few lines that look into each record as it stands."""

from __future__ import annotations

import json
import random
import re

import pytest

from tests.trace.importers.sample import lines
from tests.trace.importers.test_cached import WITH_CACHE
from tests.trace.importers.test_sums import imported, sums


def _attributes(record):
    (resource,) = record["resourceSpans"]
    (span,) = resource["scopeSpans"][0]["spans"]
    return span, {one["key"]: int(one["value"].get("intValue", 0)) for one in span["attributes"]}


def _otel(record):
    _, given = _attributes(record)
    return tuple(given[f"gen_ai.usage.{name}"] for name in ("input_tokens", "output_tokens", "cache_read.input_tokens"))


def _failed_span(record):
    _attributes(record)[0]["status"] = {"code": 2}


def _openai(usage):
    return usage["prompt_tokens"], usage["completion_tokens"], usage["prompt_tokens_details"]["cached_tokens"]


def _anthropic(usage):
    read = usage["cache_read_input_tokens"]
    return usage["input_tokens"] + read, usage["output_tokens"], read


def _vertex(usage):
    output = usage["candidatesTokenCount"] + usage["thoughtsTokenCount"]
    return usage["promptTokenCount"], output, usage["cachedContentTokenCount"]


def _bedrock(record):
    given = record["input"]
    read = given["cacheReadInputTokenCount"]
    return given["inputTokenCount"] + read, record["output"]["outputTokenCount"], read


def _langfuse(details):
    prompt = details["input"] + details["input_cached_tokens"]
    return prompt, details["output"] + details["output_reasoning_tokens"], details["input_cached_tokens"]


def _flat(*names):
    return lambda record: tuple(record[name] for name in names)


def _weave(record):
    (usage,) = record["summary"]["usage"].values()
    return _openai(usage)


def _llama(record):
    timings = record["timings"]
    return timings["prompt_n"] + timings["cache_n"], timings["predicted_n"], timings["cache_n"]


#: By format: prompt, output and cached tokens of a record by its own rules; and how one that failed, or has no counts,
#: differs from it.
COUNTED = {
    "litellm": (lambda r: _openai(json.loads(r["metadata"])["usage_object"]), lambda r: r.update(status="failure")),
    "otel-genai": (_otel, _failed_span),
    "langfuse": (lambda r: _langfuse(r["usage_details"]), lambda r: r.update(level="ERROR")),
    "bedrock": (_bedrock, lambda r: r.update(errorCode="ThrottlingException")),
    "anthropic": (lambda r: _anthropic(r["response"]["usage"]), lambda r: r["response"].pop("usage")),
    "openai": (lambda r: _openai(r["usage"]), lambda r: r.pop("usage")),
    "vertex": (lambda r: _vertex(r["usageMetadata"]), lambda r: r.pop("usageMetadata")),
    "openrouter": (_flat("native_tokens_prompt", "native_tokens_completion", "native_tokens_cached"),
                   lambda r: r.update(native_tokens_prompt=None, native_tokens_completion=None)),
    "helicone": (_flat("prompt_tokens", "completion_tokens", "prompt_cache_read_tokens"),
                 lambda r: r.update(response_status=429)),
    "envoy-ai-gateway": (_flat("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens",
                               "gen_ai.usage.cached_input_tokens"), lambda r: r.update(response_code=503)),
    "kong": (lambda r: _openai(r["ai"]["proxy"]["usage"]), lambda r: r.update(response={"status": 500})),
    "portkey": (_flat("req_units", "res_units", "cache_read_input_units"),
                lambda r: r.update(response_status_code=400)),
    "datadog-llm": (lambda r: _flat("input_tokens", "output_tokens", "cache_read_input_tokens")(
        r["attributes"]["metrics"]), lambda r: r["attributes"].update(status="error")),
    "langsmith": (lambda r: (r["prompt_tokens"], r["completion_tokens"], r["prompt_token_details"]["cache_read"]),
                  lambda r: r.update(error="x")),
    "weave": (_weave, lambda r: r.update(exception="x")),
    "llama-cpp": (_llama, lambda r: [r.pop(name) for name in ("usage", "timings")]),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", COUNTED)
def test_the_importers_sums_are_those_of_a_count_of_ones_own(tmp_path, capsys, name):
    count, spoil = COUNTED[name]
    chance = random.Random(name)
    records = []
    for at in range(400):
        prompt = chance.randint(1, 20_000)
        # Such as are all of the prompt, nearly none of it, and most.
        cached = chance.choice([0, prompt, chance.randint(0, prompt), prompt - 1])
        records.append(WITH_CACHE[name](7 * at, prompt, cached, chance.randint(10, 4000)))
    served = [record for record in records if chance.random() < 0.8]
    own = [count(record) for record in served]
    for record in records:
        if not any(record is one for one in served):
            spoil(record)
    found, left, assumed = imported(tmp_path, capsys, name, lines(*records))
    assert sums(found) == (len(own), sum(one[0] for one in own), sum(one[1] for one in own))
    assert found.prompt_tokens.tolist() == [one[0] for one in own]
    assert sum(left.values()) == len(records) - len(served)
    assert int(re.search(r"of the ([\d,]+) prompt tokens", assumed)[1].replace(",", "")) == sum(one[2] for one in own)
