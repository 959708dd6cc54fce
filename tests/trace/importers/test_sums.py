"""Right sums: what each kind of log counts apart, counts twice, or does not count as a request at all.

Each case's right answer is arithmetic on the lines above it, by the rules of who writes the log, not by the importer's.
"""

from __future__ import annotations

import json

import pytest

from simulator.trace.canonical import read_trace
from tests.cli.command import run
from tests.trace.importers.samples import T0, attribute, bedrock, langfuse, lines, litellm, metric, otlp, usage


def imported(folder, capsys, name, *texts, options=()):
    """The trace, what became of the rows, and what the header says was assumed; several texts are files of a folder."""
    source, target = folder / "log", folder / "t.parquet"
    if len(texts) > 1:
        source.mkdir()
        for number, text in enumerate(texts):
            (source / f"{number}.json").write_text(text)
    else:
        source.write_text(texts[0])
    asked = ["trace", "convert", "--format", name, str(source), str(target), "--json", *options]
    code, out, err = run(asked, capsys)
    assert code == 0, err
    found = json.loads(out)
    rows = found["rows"]
    left = sum(rows["left_out"].values()) + rows["duplicates"]
    assert rows["rows"] == rows["imported"] - rows["drawn"] + rows["intervals"] + left
    return read_trace(target), rows["left_out"], " ".join(found["header"]["assumed"])


def sums(table):
    return len(table), int(table.prompt_tokens.sum()), int(table.output_tokens.sum())


def span(second, name, parent=None, trace="t", **given):
    made = {"traceId": trace, "spanId": name, "startTimeUnixNano": str((T0 + second) * 10**9),
            "attributes": [attribute(key.replace("__", "."), value) for key, value in given.items()]}  # fmt: skip
    return made | ({} if parent is None else {"parentSpanId": parent})


def counts(prompt, output, **more):
    return {"gen_ai__usage__input_tokens": prompt, "gen_ai__usage__output_tokens": output} | more


@pytest.mark.parametrize(
    ("details", "prompt", "output"),
    [
        # 9,000 of a prompt of 9,100 came from a cache, 500 of 560 output tokens are reasoning.
        ({"input": 100, "input_cached_tokens": 9000, "output": 60, "output_reasoning_tokens": 500, "total": 9660},
         9100, 560),
        ({"input": 4, "cache_read_input_tokens": 700, "cache_creation_input_tokens": 50, "output": 9}, 754, 9),
        ({"input": 30, "input_audio_tokens": 12, "output": 5, "output_audio_tokens": 7}, 42, 12),
        # A sender's own total proves that the details lie within.
        ({"input": 9100, "input_cached_tokens": 9000, "output": 560, "output_reasoning_tokens": 500, "total": 9660},
         9100, 560),
        ({"input": "88", "output": "8", "total": "96"}, 88, 8),
    ],
)  # fmt: skip
@pytest.mark.parametrize("table", [False, True])
def test_langfuse_takes_details_out_of_input_and_output(tmp_path, capsys, details, prompt, output, table):
    text = lines(langfuse(1, 0, 0, usage_details=details, promptTokens=77, completionTokens=7))
    if table:
        quoted = json.dumps(details).replace('"', '""')
        text = f'id,type,start_time,usage_details\na,GENERATION,2024-05-14 00:00:01,"{quoted}"\n'
    found, _, assumed = imported(tmp_path, capsys, "langfuse", text)
    assert sums(found) == (1, prompt, output)
    assert "cached" in assumed


def test_spans_that_leave_the_cached_tokens_out_prove_it(tmp_path, capsys):
    cached = {"gen_ai__usage__cache_read__input_tokens": 5000, "gen_ai__usage__cache_creation__input_tokens": 900}
    older = {"gen_ai__usage__cache_read_input_tokens": 40}
    text = otlp(
        span(0, "a", **counts(7, 30, gen_ai__request__model="claude", **cached)),  # 7 + 5,000 + 900
        span(1, "b", **counts(6000, 20, gen_ai__request__model="claude", **older)),  # the same sender: 6,000 + 40
        span(2, "c", **counts(6000, 20, gen_ai__request__model="gpt", **cached)),  # within the 6,000
        span(3, "d", **counts(11, 3, gen_ai__request__model="gemini", gen_ai__usage__reasoning_tokens=90)),  # 3 + 90
    )
    found, _, assumed = imported(tmp_path, capsys, "otel-genai", text)
    assert found.prompt_tokens.tolist() == [5907, 6040, 6000, 11]
    assert found.output_tokens.tolist() == [30, 20, 20, 93]
    assert "prove" in assumed


def test_bedrock_counts_the_cache_apart_in_every_wrapping_of_cloudwatch(tmp_path, capsys):
    records = [bedrock(1, 14, 30), bedrock(2, 14, 31), bedrock(3, 14, None), bedrock(4, 14, 0, errorCode="Throttling")]
    records[0]["input"] |= {"cacheReadInputTokenCount": 4000, "cacheWriteInputTokenCount": 500}
    del records[2]["output"]["outputTokenCount"]  # an embedding
    events = [{"id": "e", "timestamp": T0 * 1000, "message": json.dumps(record)} for record in records]
    quoted = "".join(
        '2024-05-14 00:00:01.000,"{}"\n'.format(json.dumps(record).replace('"', '""')) for record in records
    )
    for number, text in enumerate([
        lines(*records), lines({"events": events}), "".join(map(json.dumps, [{"messageType": "CONTROL_MESSAGE",
        "logEvents": [{"message": "checking"}]}, {"messageType": "DATA_MESSAGE", "logEvents": events}])),
        "".join(f"2024-05-14T00:00:0{n}.123Z {json.dumps(record)}\n" for n, record in enumerate(records)),
        "@timestamp,@message\n" + quoted, json.dumps({"Records": records}),
    ]):  # fmt: skip
        folder = tmp_path / str(number)
        folder.mkdir()
        found, left, assumed = imported(folder, capsys, "bedrock", text)
        assert sums(found) == (2, 4514 + 114, 61), number
        assert sum(left.values()) == 2
        assert "prompt cache" in assumed


def test_batches_sessions_and_pictures_are_no_requests(tmp_path, capsys):
    kinds = ["aretrieve_batch", "_arealtime", "aimage_generation", "aembedding", "aspeech", "atranscription", "arerank",
             "amoderation", "call_mcp_tool", "acreate_file", "aocr", "a_kind_of_tomorrow"]  # fmt: skip
    served = ["acompletion", "completion", "atext_completion", "aresponses", "anthropic_messages",
              "agenerate_content_stream", "pass_through_endpoint", "", None]  # fmt: skip
    records = [litellm(n, 10, 3, call_type=kind) for n, kind in enumerate(served)]
    records += [litellm(n + 20, 4_000_000, 900_000, call_type=kind) for n, kind in enumerate(kinds)]
    found, left, _ = imported(tmp_path, capsys, "litellm", lines(*records))
    assert sums(found) == (len(served), 10 * len(served), 3 * len(served))
    assert sum(left.values()) == len(kinds)
    assert sum(count for reason, count in left.items() if reason.startswith(("a batch", "a realtime"))) == 2


def test_litellm_believes_the_providers_counts_where_they_are_the_rows_own(tmp_path, capsys):
    def cached(prompt, read):
        return {"usage_object": {"prompt_tokens": prompt, "prompt_tokens_details": {"cached_tokens": read}}}

    found, *_ = imported(tmp_path, capsys, "litellm", lines(
        litellm(1, 1000, 5, metadata=cached(1000, 900)),
        litellm(2, 40, 5, metadata=json.dumps(cached(1000, 900))),  # of some other call
        litellm(3, 6, 5, model_group="claude", metadata=cached(6, 700)),  # 6 + 700
    ))  # fmt: skip
    assert found.prompt_tokens.tolist() == [1000, 40, 706]


@pytest.mark.parametrize("order", [1, -1])
def test_a_span_whose_children_count_is_a_sum(tmp_path, capsys, order):
    spans = [
        span(0, "run", **counts(113, 11)),
        span(1, "step", parent="run"),  # counts nothing, and lies between
        span(2, "call", parent="step", **counts(56, 5)),
        span(3, "again", parent="run", **counts(57, 6)),
        span(4, "alone", parent="unknown", **counts(5, 1)),
        span(5, "rag", trace="u", **counts(9, 2)),
        span(6, "embed", parent="rag", trace="u", **counts(400, 0, gen_ai__operation__name="embeddings")),
    ]
    found, left, _ = imported(tmp_path, capsys, "otel-genai", "".join(otlp(one) for one in spans[::order]))
    assert sums(found) == (4, 56 + 57 + 5 + 9, 5 + 6 + 1 + 2)
    assert left["a sum over the spans below it"] == 1


def test_nginx_takes_posts_to_paths_that_generate(tmp_path, capsys):
    at = "[14/May/2024:00:00:04 +0000]"
    sized = "rt=2.0 request_length=4300"
    served = ["/v1/chat/completions", "/openai/deployments/x/chat/completions?api-version=1", "/generate", "/api/chat",
              "/api/generate", "/v1/messages", "/model/x/converse", "/v1/responses/"]  # fmt: skip
    others = [
        f'a - - {at} "OPTIONS /v1/chat/completions HTTP/1.1" 204 0 "-" "-" {sized}',
        f'a - - {at} "GET /v1/chat/completions?limit=20 HTTP/1.1" 200 9000 "-" "-" {sized}',
        f'a - - {at} "GET /app.js HTTP/1.1" 200 184000 "https://ui/generate" "-" {sized}',
        f'a - - {at} "POST /v1/embeddings HTTP/1.1" 200 9000 "https://ui/v1/messages" "-" {sized}',
        f'a - - {at} "POST /v1/messages/count_tokens HTTP/1.1" 200 40 "-" "-" {sized}',
    ]
    calls = [f'a - - {at} "POST {path} HTTP/1.1" 200 430 "-" "status=500 request_length=9" {sized}' for path in served]
    found, left, _ = imported(tmp_path, capsys, "nginx", "\n".join([*calls, *others]))
    assert sums(found) == (len(served), 1000 * len(served), 100 * len(served))
    assert sum(left.values()) == len(others)


def test_a_streams_bytes_are_frames(tmp_path, capsys):
    # 50 tokens in frames of 240 bytes: by its type, by its path, by its speed; and an answer of one piece.
    record = {"msec": f"{T0}.5", "request_method": "POST", "request_uri": "/v1/messages", "status": 200,
              "request_length": "430", "request_time": 20, "body_bytes_sent": 12_000}  # fmt: skip
    text = lines(
        record | {"sent_http_content_type": "text/event-stream; charset=utf-8"},
        record | {"request_uri": "/generate_stream"},
        record | {"request_time": "2.0"},
        record | {"body_bytes_sent": 215, "sent_http_content_type": "application/json"},
        {"time_local": "14/May/2024:00:00:04 +0000", "request": "POST /v1/messages HTTP/1.1", "status": "200",
         "bytes_sent": "215", "request_length": 430, "request_time": 1, "http_user_agent": "request_length=9 GET /x"},
    )  # fmt: skip
    found, _, assumed = imported(tmp_path, capsys, "nginx", text)
    assert sorted(found.output_tokens.tolist()) == [50] * 5
    assert "streamed" in assumed


def page(moments, scale, le="1.0"):
    """An engine whose counters at a moment stand at that many requests, of 10 and 3 tokens each."""
    labels = {"model_name": "m", "instance": "a", "engine": "0"}
    result = []
    for stem, tokens in (("prompt", 10), ("generation", 3)):
        for bound, share in ((le, 0), ("20", 1), ("+Inf", 1)):
            values = [[T0 + 60 * at, str(share * scale * at)] for at in moments]
            result.append({"metric": {"__name__": f"vllm:request_{stem}_tokens_bucket", "le": bound} | labels,
                           "values": values})  # fmt: skip
        values = [[T0 + 60 * at, str(tokens * scale * at)] for at in moments]
        result.append({"metric": {"__name__": f"vllm:request_{stem}_tokens_sum"} | labels, "values": values})
    return result


def answer(*series):
    return json.dumps({"status": "success", "data": {"result": [one for part in series for one in part]}})


@pytest.mark.parametrize("second", [range(5, 9), range(4, 9), range(3, 9), range(7, 9)], ids=str)
@pytest.mark.parametrize("folder", [False, True])
def test_pages_of_prometheus_are_one_series(tmp_path, capsys, second, folder):
    # Whatever two pages overlap or leave out, eight minutes are 24 requests; the bound is written in two ways.
    pages = answer(page(range(5), 3, "1")), answer(page(second, 3, "1.0"))
    texts = pages if folder else (f"{pages[0]}\n{pages[1]}\n",)
    found, _, assumed = imported(tmp_path, capsys, "vllm-prometheus", *texts)
    assert sums(found) == (24, 240, 72)
    assert ("scrapes are missing" in assumed) == (second == range(7, 9))


def test_an_engine_that_starts_meanwhile_began_at_nothing(tmp_path, capsys):
    late = json.loads(json.dumps(page(range(5, 9), 2)).replace('"instance": "a"', '"instance": "b"'))
    found, _, assumed = imported(tmp_path, capsys, "vllm-prometheus", answer(page(range(9), 3), late))
    assert sums(found) == (24 + 16, 240 + 160, 72 + 48)
    assert "begun with 0" in assumed


def test_buckets_that_were_added_by_a_newer_version_do_not_stop_it(tmp_path, capsys):
    newer = page(range(4, 9), 3, "0.5")
    found, *_ = imported(tmp_path, capsys, "vllm-prometheus", answer(page(range(5), 3)), answer(newer))
    assert sums(found) == (24, 240, 72)


def test_bailian_is_no_mooncake(tmp_path, capsys):
    text = lines(*({"chat_id": n, "parent_chat_id": n - 1, "timestamp": 2.5 * n, "input_length": 100, "type": "text",
                    "output_length": 7, "turn": n, "hash_ids": list(range(7))} for n in range(5)))  # fmt: skip
    (tmp_path / "wrong").write_text(text)
    asked = ["trace", "convert", "--format", "mooncake", str(tmp_path / "wrong"), str(tmp_path / "w.csv")]
    code, _, err = run(asked, capsys)
    assert code == 2
    assert "qwen-bailian: 16 tokens and seconds" in err
    found, *_ = imported(tmp_path, capsys, "qwen-bailian", text)
    assert found.arrival_s.tolist() == [0.0, 2.5, 5.0, 7.5, 10.0]
    assert found.prefix_tokens.tolist() == [100] * 5


def test_usage_that_is_no_generation_or_goes_on(tmp_path, capsys):
    def result(kind="completions", **more):
        return {"object": f"organization.usage.{kind}.result", "num_model_requests": 4, "model": "m"} | more

    bucket = usage(0, 3, 300, 30)
    bucket["results"] += [
        result("embeddings", input_tokens=5000), result(input_tokens=5000, output_tokens=3),
        result(input_tokens=400, output_tokens=40, batch=True), result("images", num_images=7),
    ]  # fmt: skip
    text = json.dumps({"object": "page", "data": [bucket, usage(1, 0, 0, 0)], "has_more": True, "next_page": "x"})
    found, left, assumed = imported(tmp_path, capsys, "openai-usage", text)
    assert sums(found) == (3, 300, 30)
    assert sum(left.values()) == 5
    assert "has_more" in assumed
    last = json.dumps({"object": "page", "data": [usage(2, 1, 10, 5)], "has_more": False})
    (tmp_path / "two").mkdir()
    found, _, assumed = imported(tmp_path / "two", capsys, "openai-usage", text, last)
    assert sums(found) == (4, 310, 35)
    assert "has_more" not in assumed


def test_the_csv_of_the_dashboard_has_empty_intervals(tmp_path, capsys):
    text = "start_time,end_time,num_model_requests,model,batch,input_tokens,output_tokens,input_cached_tokens\n"
    text += f"{T0},{T0 + 3600},5,m,False,500,50,400\n{T0 + 3600},{T0 + 7200},,,,,,\n{T0},{T0 + 60},9,e,,900,,\n"
    found, left, _ = imported(tmp_path, capsys, "openai-usage", text)
    assert sums(found) == (5, 500, 50)
    assert sum(left.values()) == 2


def test_tokens_that_azure_counts_when_the_answer_ends(tmp_path, capsys):
    text = json.dumps({"interval": "PT1M", "value": [
        metric("AzureOpenAIRequests", 3, 0, 2, 5, 0), metric("ProcessedPromptTokens", 100, 200, 1, 555, 44),
        metric("GeneratedTokens", 10, 20, 1, 55, 4)]})  # fmt: skip
    found, left, assumed = imported(tmp_path, capsys, "azure-monitor", text)
    assert sums(found) == (10, 900, 90)
    assert (found.arrival_s < 300).all()
    assert sum(left.values()) == 3
    assert "when an answer ends" in assumed


def test_charts_of_the_portal(tmp_path, capsys):
    when = [f"2024-05-14 00:0{at}:00" for at in (0, 5)]
    charts = [
        f"Time,Azure OpenAI Requests (Sum) - x,Other (Sum) - x\n{when[0]},3,9\n{when[1]},,9\n",
        f"Time,Processed Prompt Tokens (Sum) - x\n{when[0]},300\n{when[1]},\n",
        f"Time,Generated Completion Tokens (Sum) - x\n{when[0]},30\n{when[1]},\n",
    ]
    found, *_ = imported(tmp_path, capsys, "azure-monitor", *charts)
    assert sums(found) == (3, 300, 30)
    assert (found.arrival_s < 300).all()
    (tmp_path / "one").write_text(charts[0])
    code, _, err = run(
        ["trace", "convert", "--format", "azure-monitor", str(tmp_path / "one"), str(tmp_path / "x.csv")], capsys
    )
    assert code == 2
    assert "nothing counts prompt tokens or generated tokens" in err


def test_blocks_that_are_alike_further_on_share_nothing(tmp_path, capsys):
    text = lines(*({"timestamp": at, "input_length": 48, "output_length": 7, "hash_ids": blocks}
                   for at, blocks in enumerate([[1, 2, 3], [3, 1, 2], [2, 3, 4], [1, 2, 9]])))  # fmt: skip
    found, *_ = imported(tmp_path, capsys, "qwen-bailian", text)
    assert len(set(found.prefix_id[:3].tolist())) == 3
    assert found.prefix_tokens.tolist()[:3] == [48, 48, 48]


def test_what_litellm_puts_in_a_bucket_twice_is_one_request(tmp_path, capsys):
    # StandardLoggingPayload: epochs with fractions, and `id` in place of the table's `request_id`.
    records = [
        {"id": f"chatcmpl-{at}", "call_type": "acompletion", "startTime": T0 + at + 0.25, "endTime": T0 + at + 3.5,
         "prompt_tokens": 100 + at, "completion_tokens": 20, "status": "success", "cache_hit": None,
         "model_parameters": {"max_tokens": 50}, "hidden_params": {"model_id": "x"}}
        for at in (0, 1, 1, 2)
    ]  # fmt: skip
    (tmp_path / "log").write_text("".join(json.dumps(one) + "\n" for one in records))
    asked = ["trace", "convert", "--format", "litellm", str(tmp_path / "log"), str(tmp_path / "t.csv"), "--json"]
    code, out, err = run(asked, capsys)
    assert code == 0, err
    assert json.loads(out)["rows"]["duplicates"] == 1
    assert read_trace(tmp_path / "t.csv").prompt_tokens.tolist() == [100, 101, 102]
