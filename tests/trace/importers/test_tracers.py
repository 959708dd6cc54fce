"""Logs of tracers, of servers on one's own machine, and the newest conventions: sums by hand, and reasons.

Shapes by their makers: Datadog "HTTP API Reference" (intake), `ddtrace`; LangSmith "Run data format"; Weave "Call
schema"; Phoenix's REST API and data frames; opentelemetry-proto `logs.proto` and the GenAI conventions' event
`gen_ai.client.inference.operation.details`; llama.cpp `tools/server/README.md`; NVIDIA NIM "Observability"; Vercel AI
Gateway "Look up a generation"; LM Studio REST API v1.
"""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from simulator.trace.canonical import read_trace
from tests.cli.command import run
from tests.trace.importers.sample import CANARY, T0, lines, stamped
from tests.trace.importers.samples import attribute, scrape
from tests.trace.importers.samples_tracers import datadog, langsmith, llama, used, weave
from tests.trace.importers.test_sums import counts, imported, span, sums


def test_datadogs_intake_counts_the_innermost_calls(tmp_path, capsys):
    spans = [datadog(at, prompt, 30, **given)["attributes"] for at, prompt, given in (
        (0, 9000, {"name": "outer"}),  # an integration's span around another's: 5,000 + 4,000
        (1, 5000, {"name": "a", "parent": "outer"}), (2, 4000, {"name": "b", "parent": "outer"}),
        (3, 7, {"metrics": {"input_tokens": 7, "output_tokens": 5, "cache_read_input_tokens": 800,
                            "cache_write_input_tokens": 93, "reasoning_output_tokens": 2}, "model_name": "claude"}),
    )]  # fmt: skip
    for one in spans[:2]:  # as the agent sends it, and as older ones did
        one["meta"] = {"span": {"kind": one.pop("span_kind")}, "input": {"value": CANARY}}
    sent = {"data": {"type": "span", "attributes": {"ml_app": CANARY, "tags": [CANARY], "spans": spans}}}
    found, left, assumed = imported(tmp_path, capsys, "datadog-llm", json.dumps(sent))
    assert sums(found) == (3, 5000 + 4000 + 7 + 800 + 93, 30 + 30 + 5)
    assert left == {"a sum over the spans below it": 1}
    assert "prove" in assumed


def test_langsmiths_bulk_export_as_parquet(tmp_path, capsys):
    runs = [langsmith(0, 500, 40, "chain", "c"), langsmith(0, 200, 15, parent="c"), langsmith(1, 300, 25, parent="c")]
    for one in runs:
        one["extra"] = json.dumps(one["extra"])
        one["prompt_token_details"] = json.dumps({"cache_read": 128})
        del one["inputs"], one["outputs"]
    pq.write_table(pa.Table.from_pylist(runs), tmp_path / "runs.parquet")
    code, out, err = run(["trace", "convert", "--format", "langsmith", str(tmp_path / "runs.parquet"),
                          str(tmp_path / "t.csv"), "--json"], capsys)  # fmt: skip
    assert code == 0, err
    assert sums(read_trace(tmp_path / "t.csv")) == (2, 500, 40)
    assert "256 prompt tokens that a prompt cache gave" in " ".join(json.loads(out)["header"]["assumed"])


def test_weave_in_the_names_of_every_provider(tmp_path, capsys):
    anthropic = {"input_tokens": 3, "output_tokens": 40, "cache_read_input_tokens": 5000,
                 "cache_creation_input_tokens": 200, "requests": 1}  # fmt: skip
    openai = {"input_tokens": 6000, "output_tokens": 50, "total_tokens": 6050, "requests": 1,
              "input_tokens_details": {"cached_tokens": 4096}}  # fmt: skip
    text = lines(weave(0, {"claude": anthropic}), weave(1, {"gpt": openai}), weave(2, used(7, 1) | {"other": openai}))
    found, left, _ = imported(tmp_path, capsys, "weave", text)
    assert found.prompt_tokens.tolist() == [5203, 6000]
    assert sum(left.values()) == 1  # two models at once


FLAT = {"openinference.span.kind": "LLM", "llm.token_count.prompt": 900, "llm.token_count.completion": 30,
        "llm.token_count.prompt_details.cache_read": 512, "input.value": CANARY}  # fmt: skip
NESTED = {"openinference": {"span": {"kind": "LLM"}}, "input": {"value": CANARY},
          "llm": {"token_count": {"prompt": 900, "completion": 30, "prompt_details": {"cache_read": 512}}}}  # fmt: skip


@pytest.mark.parametrize("attributes", [FLAT, NESTED])
def test_phoenix_gives_spans_with_flat_or_nested_attributes(tmp_path, capsys, attributes):
    def one(name, kind="LLM", parent=None, **given):
        own = {"id": CANARY, "name": CANARY, "context": {"trace_id": "t", "span_id": name}, "span_kind": kind}
        return own | {"parent_id": parent, "start_time": stamped(1), "end_time": stamped(2), "status_code": "OK",
                      "status_message": CANARY, "attributes": attributes} | given  # fmt: skip

    unkind = {key: value for key, value in attributes.items() if not key.startswith("openinference")}
    spans = [one("a", "CHAIN", attributes=unkind), one("b", parent="a"), one("c", status_code="ERROR"),
             one("d", "EMBEDDING", attributes=unkind)]  # fmt: skip
    found, left, _ = imported(tmp_path, capsys, "otel-genai", json.dumps({"data": spans, "next_cursor": None}))
    assert sums(found) == (1, 900, 30)
    assert sum(left.values()) == 3


def test_phoenixs_data_frame(tmp_path, capsys):
    columns = ["context.span_id", "context.trace_id", "parent_id", "span_kind", "status_code", "start_time"]
    columns += ["attributes.llm.token_count.prompt", "attributes.llm.token_count.completion", "attributes.input.value"]
    rows = [["b", "t", "", "LLM", "OK", stamped(1), "900.0", "30.0", CANARY],
            ["a", "t", "", "CHAIN", "UNSET", stamped(1), "", "", CANARY],
            ["c", "t", "", "LLM", "ERROR", stamped(1), "9.0", "3.0", CANARY]]  # fmt: skip
    text = "".join(",".join(row) + "\n" for row in (columns, *rows))
    found, *_ = imported(tmp_path, capsys, "otel-genai", text)
    assert sums(found) == (1, 900, 30)
    assert "otel-genai" in run(["trace", "detect", str(tmp_path / "log")], capsys)[1]


def event(second, name, **given):
    """A record of OTLP's logs."""
    return {
        "timeUnixNano": str((T0 + second) * 10**9), "observedTimeUnixNano": "0", "traceId": "t", "spanId": name,
        "eventName": "gen_ai.client.inference.operation.details", "body": {"stringValue": CANARY},
        "attributes": [attribute(key.replace("__", "."), value) for key, value in given.items()],
    }  # fmt: skip


def test_events_count_calls_once_with_their_spans_or_without(tmp_path, capsys):
    cached = {"gen_ai__usage__cache_write__input_tokens": 200, "gen_ai__usage__cache_read__input_tokens": 300}
    records = [event(2, "a", **counts(40, 8)), event(3, "b", **counts(5, 9, gen_ai__request__model="claude", **cached)),
               event(4, "c", **counts(5, 0, error__type="timeout")), event(5, "d", gen_ai__evaluation__name="x"),
               event(6, "e", **counts(70, 600, gen_ai__output__type="speech"))]  # fmt: skip
    text = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]})
    found, left, assumed = imported(tmp_path, capsys, "otel-genai", text)
    assert sums(found) == (2, 40 + 5 + 500, 17)
    assert sum(left.values()) == 3
    assert "an event has the time at which it was written" in assumed
    both = tmp_path / "both"
    both.mkdir()
    spans = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [
        span(0, "a", **counts(40, 8)), span(1, "z", **counts(1, 1))]}]}]})  # fmt: skip
    found, left, _ = imported(both, capsys, "otel-genai", spans, text)
    assert sums(found) == (3, 40 + 505 + 1, 18)
    assert left["an event of a call, or its span, that was counted already"] == 1


def test_llama_cpp_counts_its_cache_by_every_interface(tmp_path, capsys):
    native = {"timestamp": T0 + 9, "content": CANARY, "stop": True, "tokens_evaluated": 700, "tokens_predicted": 60,
              "timings": {"prompt_n": 100, "prompt_ms": 500.0, "predicted_n": 60, "predicted_ms": 500.0}}  # fmt: skip
    alone = llama(10, 30, 5, 900)
    del alone["usage"]
    part = {"timestamp": T0 + 9, "content": CANARY, "stop": False}
    found, left, assumed = imported(tmp_path, capsys, "llama-cpp", lines(llama(0, 20, 4, 80), part, native, alone))
    assert sums(found) == (3, 100 + 700 + 930, 4 + 60 + 5)
    assert found.arrival_s.tolist() == pytest.approx([0, 8, 10])  # at 3 s, less 3; at 9 s, less 1; at 13 s, less 3
    assert sum(left.values()) == 1
    assert f"of the {80 + 600 + 900:,} prompt tokens that a prompt cache gave" in assumed


@pytest.mark.parametrize(
    ("format_", "record", "expected"),
    [
        ("openrouter", {"data": {"id": "gen_1", "created_at": stamped(0), "model": CANARY, "provider_name": CANARY,
                                 "native_tokens_prompt": 100, "native_tokens_completion": 50,
                                 "native_tokens_reasoning": 7, "native_tokens_cached": 20,
                                 "native_tokens_cache_creation": 5, "usage": 0.1}}, (1, 100, 50)),
        # Of a model that counts nothing itself.
        ("openrouter", {"data": {"id": "gen-1", "created_at": stamped(0), "provider_name": CANARY, "tokens_prompt": 90,
                                 "tokens_completion": 40, "native_tokens_prompt": 0, "native_tokens_completion": 0}},
         (1, 90, 40)),
        ("openai", {"timestamp": T0, "model_instance_id": CANARY, "response_id": CANARY, "output": [CANARY],
                    "stats": {"input_tokens": 646, "total_output_tokens": 586, "reasoning_output_tokens": 0}},
         (1, 646, 586)),
    ],
    ids=["vercel", "uncounted", "lm-studio"],
)  # fmt: skip
def test_others_in_their_clothes(tmp_path, capsys, format_, record, expected):
    found, *_ = imported(tmp_path, capsys, format_, lines(record))
    assert sums(found) == expected
    assert f"{format_}, for it has" in run(["trace", "detect", str(tmp_path / "log")], capsys)[1]


@pytest.mark.parametrize(
    ("prompt", "output"),
    [
        ("request_prompt_tokens", "request_generation_tokens"),
        ("ray_vllm_request_prompt_tokens", "ray_vllm_request_generation_tokens"),
        ("ray_vllm:request_prompt_tokens", "ray_vllm:request_generation_tokens"),
        ("dynamo_frontend_input_sequence_tokens", "dynamo_frontend_output_sequence_tokens"),
    ],
)
def test_histograms_of_those_who_carry_vllm_in_them(tmp_path, capsys, prompt, output):
    text = "".join(scrape(at, count, count) for at, count in ((0, 0), (60, 7)))
    text = text.replace("vllm:request_prompt_tokens", prompt).replace("vllm:request_generation_tokens", output)
    found, *_ = imported(tmp_path, capsys, "vllm-metrics", text)
    assert len(found) == 7
    assert "vllm-metrics" in run(["trace", "detect", str(tmp_path / "log")], capsys)[1]


@pytest.mark.parametrize(
    "stem",
    ["gen_ai_client_token_usage", "gen_ai_client_token_usage_token", "agentgateway_gen_ai_client_token_usage"],
)
def test_histograms_of_the_conventions_have_both_lengths_in_one(tmp_path, capsys, stem):
    text = "".join(scrape(at, count, count) for at, count in ((0, 0), (60, 7)))
    for one, kind in (("prompt", "input"), ("generation", "output")):
        for what in ("bucket", "sum"):
            named = f'{stem}_{what}{{gen_ai_token_type="{kind}",gen_ai_operation_name="chat",'
            text = text.replace(f"vllm:request_{one}_tokens_{what}{{", named)
    other = text.replace('name="chat"', 'name="embeddings"')
    cached = text.replace('type="input"', 'type="cached_input"').replace('type="output"', 'type="reasoning"')
    found, left, _ = imported(tmp_path, capsys, "vllm-metrics", text + other + cached)
    assert sums(found) == (7, 700, 140)
    assert left["another metric"] == 32
    assert f"vllm-metrics, for it has {stem}_bucket" in run(["trace", "detect", str(tmp_path / "log")], capsys)[1]


def test_parts_of_a_stream_of_llama_cpp_that_count_each_are_one(tmp_path, capsys):
    parts = [llama(0, 90, done, object="chat.completion.chunk", choices=[{"delta": {"content": CANARY},
             "finish_reason": "stop" if done == 5 else None}]) for done in range(1, 6)]  # fmt: skip
    for one in parts:
        del one["usage"]
    found, left, _ = imported(tmp_path, capsys, "llama-cpp", lines(*parts))
    assert sums(found) == (1, 90, 5)
    assert sum(left.values()) == 4


def test_every_modality_of_bedrock(tmp_path, capsys):
    def one(at, operation, given, made):
        return {"schemaType": "ModelInvocationLog", "timestamp": stamped(at), "requestId": str(at),
                "operation": operation,
                "modelId": CANARY, "input": {"inputBodyJson": CANARY} | given,
                "output": {"outputBodyJson": CANARY} | made}  # fmt: skip

    records = [
        one(0, "Converse", {"inputTokenCount": 1500}, {"outputTokenCount": 40}),  # a picture in it is tokens too
        one(1, "InvokeModel", {"inputTokenCount": 12}, {}),  # embeddings
        one(2, "InvokeModel", {"inputTokenCount": 12}, {"outputTokenCount": 0}),
        one(3, "InvokeModel", {}, {"outputImageCount": 1}),  # pictures
        one(4, "StartAsyncInvoke", {}, {}),  # video
        one(5, "InvokeModelWithBidirectionalStream", {"inputTokenCount": 9000}, {"outputTokenCount": 7000}),
        one(6, "ConverseStream", {"inputTokenCount": 8, "cacheWriteInputTokenCount": 2000}, {"outputTokenCount": 5}),
    ]
    found, left, _ = imported(tmp_path, capsys, "bedrock", lines(*records))
    assert sums(found) == (2, 1500 + 2008, 45)
    assert left == {
        "no output: failed, or not a generation": 2, "a session of speech: its turns are one record": 1,
        "no token counts: failed, or no call of a language model": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# TYPE llamacpp:prompt_tokens_total counter\nllamacpp:prompt_tokens_total 4\n", "llama.cpp's /metrics"),
        ("prompt eval time =     29.1 ms /    45 tokens (    0.6 ms per token)\n", "has no dates"),
        ('[GIN] 2026/11/16 - 08:15:46 | 200 | 1.2s | 127.0.0.1 | POST     "/api/chat"\n', "Ollama's own log"),
        ("trtllm_request_success_total{x=\"1\"} 4\n", "TensorRT-LLM's /metrics"),
        ("nv_inference_request_success{model=\"x\"} 4\n", "Triton's /metrics"),
        ("ray_serve_deployment_request_counter_total 4\n", "Ray Serve's /metrics"),
        ("bentoml_service_request_total 4\n", "BentoML's /metrics"),
        (lines({"resourceMetrics": [{"scopeMetrics": []}]}), "metrics of OpenTelemetry"),
        (lines({"deployed_model_id": "1", "response_payload": [CANARY], "logging_time": stamped(1)}), "Vertex"),
        (lines({"results": [{"day": "2026-11-16", "request_count": 4, "input_tokens": 4, "total_cost": 1}]}),
         "counts by day"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("format_", [None, "openai"])
def test_what_no_requests_can_be_made_of_is_refused_for_what_it_is(tmp_path, capsys, text, said, format_):
    (tmp_path / "log").write_text(text)
    asked = ["detect"] if format_ is None else ["convert", "--format", format_]
    target = [] if format_ is None else [str(tmp_path / "t.csv")]
    code, _, err = run(["trace", *asked, str(tmp_path / "log"), *target], capsys)
    assert code == 2
    assert said in err
    assert CANARY not in err
