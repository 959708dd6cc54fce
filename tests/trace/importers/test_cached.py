"""Cached tokens become shared prefixes: a replay finds what the log found, never more, and is billed like it."""

from __future__ import annotations

import json
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import simulator
from simulator.engine.api.prompt_cache import CachedPrefixes
from simulator.scenario.apis import PromptCache
from simulator.trace.canonical import read_trace
from simulator.trace.header import read_header
from simulator.trace.importers.cached import CachedDemand
from simulator.trace.importers.rows import make_rows
from tests.cli.command import run
from tests.trace.importers.sample import stamped
from tests.trace.importers.samples import SAMPLES, T0, bedrock, langfuse, lines, litellm, otlp, span, usage
from tests.trace.importers.samples_tracers import TRACED

RULES = PromptCache(minimum=1, step=1, kept="300s")


class Sent:
    """What a provider's cache looks at of a request."""

    def __init__(self, prefix_id, prefix_tokens):
        self.prefix_id = prefix_id
        self.prefix_tokens = self.prompt_tokens = prefix_tokens


def found(rows):
    """Tokens that a provider's cache, as the engine has it, gives each request of a trace."""
    cache, tokens = CachedPrefixes(RULES), []
    for prefix_id, length, at_ns in zip(rows["prefix_id"], rows["prefix_tokens"], rows["time_ns"], strict=True):
        sent = Sent(int(prefix_id), int(length))
        tokens.append(cache.read(sent, at_ns / 1e9) if length else 0)
        cache.write(sent, at_ns / 1e9)
    return np.array(tokens)


REQUEST = st.tuples(st.integers(0, 400), st.integers(1, 60), st.integers(0, 60), st.integers(0, 60), st.integers(0, 1))


@given(st.lists(REQUEST, min_size=1, max_size=40), st.integers(1, 40))
def test_law_a_replay_finds_what_is_said_to_be_kept_and_never_more_than_the_log(requests, piece):
    at_s, prompt, cached, written, workload = map(np.array, zip(*requests, strict=True))
    cached = np.minimum(cached, prompt)
    rows = make_rows(np.cumsum(at_s) * 10**9, prompt, np.ones_like(prompt), workload=workload, cached=cached,
                     stored=np.minimum(cached + written, prompt))  # fmt: skip
    demand = CachedDemand()
    parts = [
        demand.assign({name: column[start : start + piece] for name, column in rows.items()})
        for start in range(0, len(prompt), piece)
    ]
    made = {name: np.concatenate([part[name] for part in parts]) for name in rows}
    given_back = found(made)
    assert (made["prefix_tokens"] <= prompt).all()
    assert ((made["prefix_id"] >= 0) == (made["prefix_tokens"] > 0)).all()
    assert (given_back <= cached).all()
    assert given_back.sum() == demand.kept_tokens <= demand.given_tokens == cached.sum()


@pytest.mark.parametrize(
    "turns",
    [
        # A question and its prompt so far; each turn finds the prompt of the last.
        [(0, 100, 0), (30, 180, 100), (60, 300, 180), (90, 350, 300)],
        # The same instructions ahead of every prompt, sent first by one that found nothing; again after an hour.
        [(0, 90, 0), (9, 70, 64), (20, 500, 64), (4000, 80, 0), (4100, 80, 64)],
    ],
)
def test_all_of_it_is_kept_where_the_log_shows_who_had_sent_it(turns):
    at_s, prompt, cached = map(np.array, zip(*turns, strict=True))
    rows = make_rows(at_s * 10**9, prompt, np.ones_like(prompt), cached=cached, stored=cached)
    demand = CachedDemand()
    assert found(demand.assign(rows)).tolist() == cached.tolist()
    assert demand.kept_tokens == demand.given_tokens


def test_what_was_written_by_the_logs_own_count_is_what_the_next_one_finds():
    # Anthropic: 40 written, then 40 read and 25 more written, then 65 read.
    rows = make_rows(np.arange(3) * 10**10, [50, 90, 95], [1, 1, 1], cached=[0, 40, 65], stored=[40, 65, 65])
    made = CachedDemand().assign(rows)
    assert made["prefix_tokens"].tolist() == [40, 65, 65]
    assert found(made).tolist() == [0, 40, 65]


SCENARIO = """\
name: billed
horizon: {{start: 2026-03-02, duration: {hours}h}}
workloads: {{recorded: {{trace: {{file: {trace}, align: start, repeat: false}}}}}}
hosting_patterns:
  api:
    kind: metered_api
    api:
      model: openai/gpt-4o
      ttft: {{median: 200ms, sigma: 0.1}}
      output_tokens_per_s: {{median: 100, sigma: 0.1}}
      prompt_cache: {{minimum: 1024, step: 128, kept: 5min}}
      prices: {{prompt: 2.50 USD/1M tokens, cached_prompt: 1.25 USD/1M tokens, output: 10 USD/1M tokens}}
experiment: {{replications: 1, warm_up: 0s}}
"""


def billed(folder, trace, hours=2):
    """Tokens of all calls that a metered API bills for a trace, and what a month of them costs."""
    path = folder / "s.yaml"
    path.write_text(SCENARIO.format(trace=trace, hours=hours))
    (pattern,) = simulator.run(simulator.load_scenario(path)).patterns
    assert pattern.requests.arrived == pattern.requests.completed == len(read_trace(trace))
    return pattern.tokens, sum(pattern.cost_lines_usd.values())


def chats():
    """Second, prompt, cached and output tokens of chats of a few turns behind the same instructions, as OpenAI's cache
    finds them: from 1,024 tokens in 128s."""
    longest, last = 0, -1000
    for number in range(60):
        second = 40 * number + (1200 if number >= 30 else 0)
        prompt, output = 1400 + 131 * (number % 5), 50 + number
        cached = 0 if second - last > 300 else min(longest, 1024 + (prompt - 1024) // 128 * 128)
        longest = prompt if second - last > 300 else max(longest, prompt)
        longest = 1024 + (longest - 1024) // 128 * 128
        last = second
        yield second, prompt, cached, output


def test_the_bill_of_a_replay_is_the_logs_own(tmp_path, capsys):
    records, spend, sums = [], Decimal(0), [0, 0, 0]
    for second, prompt, cached, output in chats():
        usage = {"prompt_tokens": prompt, "prompt_tokens_details": {"cached_tokens": cached}}
        cost = (Decimal("2.5") * (prompt - cached) + Decimal("1.25") * cached + Decimal(10) * output) / 1_000_000
        at = {"startTime": T0 + second, "request_id": str(second)}
        records.append(litellm(0, prompt, output, spend=float(cost), metadata={"usage_object": usage}) | at)
        spend += cost
        sums = [one + more for one, more in zip(sums, (prompt, cached, output), strict=True)]
    (tmp_path / "log").write_text(lines(*records))
    target = tmp_path / "t.parquet"
    code, out, err = run(
        ["trace", "convert", "--format", "litellm", str(tmp_path / "log"), str(target), "--json"], capsys
    )
    assert code == 0, err
    assert "keep 100.0 %" in " ".join(json.loads(out)["header"]["assumed"])
    assert read_trace(target).prefix_tokens.sum() > 0
    assert "prompt cache gave" in " ".join(read_header(target).assumed)
    tokens, usd = billed(tmp_path, target)
    assert [tokens.prompt, tokens.cached_prompt, tokens.output] == sums
    # Two hours, as often as a month of 730 has them; each of three lines is rounded to the cent.
    assert usd == pytest.approx(float(spend) * 365, abs=0.015)


def openais(prompt, cached, output):
    return {
        "prompt_tokens": prompt, "completion_tokens": output, "prompt_tokens_details": {"cached_tokens": cached},
    }  # fmt: skip


#: A record of each log that says what a prompt cache gave, by its own rules: within the prompt, or beside it.
WITH_CACHE = {
    "litellm": lambda at, p, c, o: litellm(
        0, p, o, startTime=T0 + at, request_id=str(at), metadata=json.dumps({"usage_object": openais(p, c, o)})
    ),
    "otel-genai": lambda at, p, c, o: json.loads(otlp(span(
        at, gen_ai__usage__input_tokens=p, gen_ai__usage__output_tokens=o,
        gen_ai__usage__cache_read__input_tokens=c,
    ))),
    "langfuse": lambda at, p, c, o: langfuse(
        0, p, o, id=str(at), start_time=T0 + at,
        usage_details={"input": p - c, "input_cached_tokens": c, "output": o - 9, "output_reasoning_tokens": 9},
    ),
    "bedrock": lambda at, p, c, o: bedrock(1, p - c, o, timestamp=stamped(at), requestId=str(at)) | {
        "input": {"inputTokenCount": p - c, "cacheReadInputTokenCount": c}
    },
    "anthropic": lambda at, p, c, o: {"time": stamped(at), "response": {
        "id": str(at), "usage": {"input_tokens": p - c, "cache_read_input_tokens": c, "output_tokens": o}}},
    "openai": lambda at, p, c, o: {"id": str(at), "created": T0 + at, "usage": openais(p, c, o)},
    "vertex": lambda at, p, c, o: {"timestamp": stamped(at), "responseId": str(at), "usageMetadata": {
        "promptTokenCount": p, "cachedContentTokenCount": c, "candidatesTokenCount": o - 9, "thoughtsTokenCount": 9}},
    "openrouter": lambda at, p, c, o: {"id": str(at), "created_at": stamped(at), "native_tokens_prompt": p,
                                       "native_tokens_cached": c, "native_tokens_completion": o},
    "helicone": lambda at, p, c, o: {"request_id": str(at), "request_created_at": stamped(at), "prompt_tokens": p,
                                     "prompt_cache_read_tokens": c, "completion_tokens": o, "response_status": 200},
    "envoy-ai-gateway": lambda at, p, c, o: {
        "start_time": stamped(at), "response_code": 200, "gen_ai.usage.input_tokens": p,
        "gen_ai.usage.cached_input_tokens": c, "gen_ai.usage.output_tokens": o},
    "kong": lambda at, p, c, o: {"started_at": (T0 + at) * 1000, "ai": {"proxy": {"usage": openais(p, c, o)}}},
    "portkey": lambda at, p, c, o: {"id": str(at), "created_at": stamped(at), "req_units": p,
                                    "cache_read_input_units": c, "res_units": o},
    **TRACED,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_CACHE)
def test_what_a_cache_gave_is_billed_to_the_token_in_every_log_that_says_it(tmp_path, capsys, name):
    (tmp_path / "log").write_text(lines(*(WITH_CACHE[name](*chat) for chat in chats())))
    target = tmp_path / "t.parquet"
    code, _, err = run(["trace", "convert", "--format", name, str(tmp_path / "log"), str(target)], capsys)
    assert code == 0, err
    tokens, _ = billed(tmp_path, target)
    _, prompt, cached, output = map(sum, zip(*chats(), strict=True))
    assert cached > prompt / 2
    assert (tokens.prompt, tokens.cached_prompt, tokens.output) == (prompt, cached, output)


def test_cached_tokens_of_an_interval_are_dealt_out(tmp_path, capsys):
    bucket = usage(0, 40, 40_000, 400)
    bucket["results"][0]["input_cached_tokens"] = 30_000
    bucket["end_time"] = bucket["start_time"] + 600
    (tmp_path / "log").write_text(json.dumps({"data": [bucket]}))
    target = tmp_path / "t.parquet"
    asked = ["trace", "convert", "--format", "openai-usage", str(tmp_path / "log"), str(target), "--json"]
    code, out, _ = run(asked, capsys)
    assert code == 0
    assert "of the 30,000 prompt tokens that a prompt cache gave" in " ".join(json.loads(out)["header"]["assumed"])
    assert set(read_trace(target).prefix_tokens.tolist()) == {750}


@pytest.mark.slow
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_a_log_of_every_kind_is_billed_to_the_token(tmp_path, capsys, sample):
    (tmp_path / "log").write_text(sample.text)
    target = tmp_path / "t.parquet"
    asked = ["trace", "convert", "--format", sample.name, str(tmp_path / "log"), str(target), *sample.options]
    assert run(asked, capsys)[0] == 0
    table = read_trace(target)
    if sample.rows:
        sums = sum(row[1] for row in sample.rows), sum(row[2] for row in sample.rows)
    elif sample.name == "servegen":  # drawn: there are no sums of the source
        sums = int(table.prompt_tokens.sum()), int(table.output_tokens.sum())
    else:
        sums = sample.sums[1:]
    tokens, _ = billed(tmp_path, target, hours=int(table.arrival_s[-1] // 3600) + 2)
    assert (tokens.prompt, tokens.output) == sums
