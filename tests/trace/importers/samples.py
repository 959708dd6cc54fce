"""A small log of every format, as its makers write it, with text in every field that must not pass."""

from __future__ import annotations

import json
from dataclasses import dataclass

from simulator.errors import TraceError
from simulator.trace.canonical import read_trace
from simulator.trace.importers import find_format
from simulator.trace.importers.context import Context, Labels
from simulator.trace.importers.convert import Wish, convert
from tests.trace.importers.sample import CANARY, T0, THREE, Sample, lines
from tests.trace.importers.samples_gateways import GATEWAYS
from tests.trace.importers.samples_tracers import TRACERS


def litellm(second, prompt, output, **more):
    return {
        "request_id": f"{CANARY}-{second}", "call_type": "acompletion", "api_key": CANARY, "spend": 0.1,
        "prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output,
        "startTime": f"2024-05-14T00:00:{second:06.3f}Z", "endTime": "2024-05-14T00:01:00Z", "model": CANARY,
        "model_group": CANARY, "user": CANARY, "end_user": CANARY, "metadata": {"notes": CANARY}, "team_id": CANARY,
        "requester_ip_address": CANARY, "messages": [{"role": "user", "content": CANARY}], "response": {"a": CANARY},
        "session_id": CANARY, "request_tags": [CANARY], "status": "success", "cache_hit": "False", "api_base": CANARY,
        "proxy_server_request": CANARY, "custom_llm_provider": "azure",
    } | more  # fmt: skip


def attribute(key, value):
    return {"key": key, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}


def otlp(*spans):
    scope = {"scope": {"name": CANARY}, "spans": list(spans)}
    resource = {"attributes": [attribute("service.name", CANARY), attribute("host.name", CANARY)]}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}) + "\n"


def span(second, status=1, **attributes):
    given = [attribute(key.replace("__", "."), value) for key, value in attributes.items()]
    return {
        "traceId": CANARY, "spanId": f"{CANARY}{second}", "name": f"chat {CANARY}", "kind": 3,
        "startTimeUnixNano": str(int((T0 + second) * 1e9)), "endTimeUnixNano": str(int((T0 + second + 3) * 1e9)),
        "attributes": [*given, attribute("gen_ai.input.messages", CANARY), attribute("enduser.id", CANARY)],
        "events": [{"name": CANARY, "attributes": [attribute("gen_ai.prompt", CANARY)]}],
        "status": {"code": status, "message": CANARY},
    }  # fmt: skip


def genai(second, prompt, output, status=1, operation="chat"):
    return span(
        second, status, gen_ai__usage__input_tokens=prompt, gen_ai__usage__output_tokens=output,
        gen_ai__request__model=CANARY, gen_ai__conversation__id=CANARY, gen_ai__request__max_tokens=900,
        gen_ai__operation__name=operation,
    )  # fmt: skip


def langfuse(second, prompt, output, **more):
    return {
        "id": f"{CANARY}-{second}", "trace_id": CANARY, "type": "GENERATION", "name": CANARY, "level": "DEFAULT",
        "start_time": f"2024-05-14 00:00:{second:06.3f}", "end_time": "2024-05-14 00:02:00", "input": CANARY,
        "output": CANARY, "metadata": {"x": CANARY}, "user_id": CANARY, "session_id": CANARY, "tags": [CANARY],
        "status_message": CANARY, "provided_model_name": CANARY, "environment": CANARY,
        "usage_details": {"input": prompt, "output": output, "total": prompt + output},
    } | more  # fmt: skip


def bedrock(second, prompt, output, **more):
    return {
        "schemaType": "ModelInvocationLog", "schemaVersion": "1.0", "timestamp": f"2024-05-14T00:00:{second:02d}Z",
        "accountId": CANARY, "identity": {"arn": CANARY}, "region": CANARY, "requestId": f"{CANARY}{second}",
        "operation": "Converse", "modelId": CANARY, "requestMetadata": {"a": CANARY},
        "input": {"inputContentType": CANARY, "inputBodyJson": {"messages": [{"text": CANARY}]},
                  "inputTokenCount": prompt, "cacheReadInputTokenCount": 100},
        "output": {"outputContentType": CANARY, "outputBodyJson": {"text": CANARY}, "outputTokenCount": output},
    } | more  # fmt: skip


def attempt(sample, data, folder, *, tolerate=0.0):
    """What an import of these bytes says to its user, and the trace where there is one; its log is the file `log`."""
    source, target = folder / "log", folder / "t.csv"
    source.write_bytes(data)
    given = dict(zip(sample.options[::2], sample.options[1::2], strict=True))
    columns = [value.split("=") for key, value in zip(sample.options[::2], sample.options[1::2], strict=True)
               if key == "--column"]  # fmt: skip
    names = {"icu": "icu_notes"} if "--label" in given else {}
    labels = Labels("requests", given.get("--label-by"), names)
    context = Context(
        labels=labels,
        columns={field: (name,) for field, name in columns},
        sessions=True,
        records=given.get("--records"),
    )
    try:
        header = convert(find_format(sample.name), source, target, context, Wish(tolerate=tolerate))
    except TraceError as error:
        assert not target.exists()
        return str(error), None
    return "\n".join([str(header), json.dumps(context.tally.as_dict()), *context.tally.faults()]), read_trace(target)


def scrape(second, prompts, outputs):
    """A page of vLLM's metrics: all prompts of 100 tokens, all outputs of 20."""
    at = f" {(T0 + second) * 1000}"
    labels = f'engine="0",model_name="{CANARY}"'
    text = f"# HELP vllm:num_requests_running {CANARY}\nvllm:num_requests_running{{{labels}}} 3.0{at}\n"
    for stem, count, tokens in (("prompt", prompts, 100), ("generation", outputs, 20)):
        for bound, share in (("50.0", tokens < 50), ("200.0", 1), ("+Inf", 1)):
            text += f'vllm:request_{stem}_tokens_bucket{{{labels},le="{bound}"}} {float(count * share)}{at}\n'
        text += f"vllm:request_{stem}_tokens_sum{{{labels}}} {float(count * tokens)}{at}\n"
    return text


APIM = (
    "TimeGenerated,CorrelationId,PromptTokens,CompletionTokens,ModelName,DeploymentName,SequenceNumber,"
    "RequestMessages\n"
)


def series(name, values, le=None):
    labels = {"__name__": f"vllm:{name}", "model_name": CANARY, "instance": CANARY, "engine": "0"}
    labels |= {} if le is None else {"le": le}
    return {"metric": labels, "values": [[T0 + 60 * at, str(value)] for at, value in enumerate(values)]}


def prometheus(*found):
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": list(found)}})


def metric(name, *totals):
    deployment = {"name": {"value": "modeldeploymentname"}, "value": CANARY}
    data = [{"timeStamp": f"2024-05-14T00:0{at}:00Z", "total": total} for at, total in enumerate(totals)]
    return {"id": CANARY, "name": {"value": name, "localizedValue": CANARY}, "unit": "Count",
            "timeseries": [{"metadatavalues": [deployment], "data": data}]}  # fmt: skip


def usage(day, requests, prompt, output):
    result = {
        "object": "organization.usage.completions.result", "input_tokens": prompt, "output_tokens": output,
        "num_model_requests": requests, "project_id": CANARY, "user_id": CANARY, "api_key_id": CANARY, "model": CANARY,
    }  # fmt: skip
    return {
        "object": "bucket",
        "start_time": T0 + 86_400 * day,
        "end_time": T0 + 86_400 * (day + 1),
        "results": [result],
    }


@dataclass(frozen=True)
class Counted(Sample):
    """A log that only counts: the sums of requests, prompt and output tokens; `rows` is empty."""

    sums: tuple[int, int, int] = (0, 0, 0)


COUNTED = [
    Counted("openai-usage", json.dumps({"object": "page", "data": [usage(0, 3, 1000, 500), usage(1, 0, 0, 0),
            usage(2, 7, 70_001, 77)], "next_page": CANARY}), [], sums=(10, 71_001, 577), left_out=1),
    Counted("azure-monitor", json.dumps({"cost": 0, "interval": "PT1M", "namespace": CANARY, "value": [
            metric("AzureOpenAIRequests", 2.0, 0.0, 4.0), metric("ProcessedPromptTokens", 3001.0, 0.0, 40.0),
            metric("GeneratedTokens", 100.0, 0.0, 401.0), metric("TotalErrors", 1.0)]}, indent=1), [],
            sums=(6, 3041, 501), left_out=2),
    Counted("vllm-prometheus", prometheus(
            *(series("request_prompt_tokens_bucket", values, le)
              for le, values in [("100.0", (5, 6, 6, 0)), ("200.0", (5, 8, 8, 1)), ("+Inf", (6, 10, 10, 2))]),
            series("request_prompt_tokens_sum", (900, 1600, 1600, 400)),
            *(series("request_generation_tokens_bucket", values, le)
              for le, values in [("50.0", (6, 9, 9, 2)), ("+Inf", (6, 10, 10, 2))]),
            series("request_generation_tokens_sum", (100, 250, 250, 60)), series("e2e_latency_seconds_sum", (1,))),
            [], sums=(6, 1100, 210), left_out=2),
    Counted("vllm-metrics", scrape(0, 4, 4) + scrape(60, 9, 9) + scrape(120, 9, 9) + scrape(180, 2, 2), [],
            sums=(7, 700, 140), left_out=1),
    Counted("servegen", "0,0.01,1.2,Gamma,0.72,139\n600,0,0,,,\n1200,0.02,1.3,Weibull,0.75,42\n"
            "1800,0.01,1,Gamma,1,100\n", [], left_out=1),
]  # fmt: skip

SINGLE = [
    Sample(
        "azure-llm-2023",
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-14 00:00:01.0000000,1200,300\n"
        "2024-05-14 00:00:03.0000000,2400,150\n2024-05-14 00:00:06.0000000,600,90",
        THREE,
    ),
    Sample(
        "azure-llm-2024",
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-14 00:00:01+00:00,1200,300\n"
        "2024-05-14 00:00:03.000001+00:00,2400,150\n2024-05-14 00:00:06+00:00,600,90\n",
        [(0.0, 1200, 300), (2.000001, 2400, 150), (5.0, 600, 90)],
    ),
    Sample(
        "burstgpt",
        "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
        f"5,{CANARY},1.5,{CANARY},472,18,490,{CANARY}\n45,{CANARY},2.5,ChatGPT,1087,230,1317,Conversation log\n"
        f"60,{CANARY},2.5,GPT-4,999,0,999,API log\n",
        [(5.0, 472, 18), (45.0, 1087, 230)],
        left_out=1,
    ),
    Sample(
        "mooncake",
        lines(
            {"timestamp": 0, "input_length": 1200, "output_length": 300, "hash_ids": [0, 1, 2]},
            {"timestamp": 3000, "input_length": 1800, "output_length": 10, "hash_ids": [0, 1, 2, 9]},
            {"timestamp": 3000, "input_length": 600, "output_length": 90, "hash_ids": [7, CANARY]},
        ),
        [(0.0, 1200, 300), (3.0, 1800, 10), (3.0, 600, 90)],
    ),
    Sample(
        "qwen-bailian",
        lines(
            {"chat_id": 1, "parent_chat_id": -1, "timestamp": 0.5, "input_length": 40, "output_length": 300,
             "type": CANARY, "turn": 1, "hash_ids": [0, 1, 2]},
            {"chat_id": 2, "parent_chat_id": 1, "timestamp": 2.25, "input_length": 60, "output_length": 10,
             "type": "text", "turn": 2, "hash_ids": [0, 1, 2, 9]},
            {"chat_id": CANARY, "timestamp": 3, "input_length": 20, "output_length": 90, "hash_ids": [7, CANARY]},
        ),
        [(0.5, 40, 300), (2.25, 60, 10), (3.0, 20, 90)],
    ),
    Sample(
        "splitwise",
        "request_id,request_type,application_id,arrival_timestamp,batch_size,prompt_size,token_size\n"
        f"{CANARY},2,{CANARY},0.5,1,1200,300\n1,2,0,2.5,1,2400,150\n",
        [(0.5, 1200, 300), (2.5, 2400, 150)],
    ),
    Sample(
        "csv",
        f"when;who;dept;in;out;note\n2024-05-14T00:00:01Z;{CANARY};{CANARY};1200;300;{CANARY}\n"
        f"{T0 + 2};{CANARY};{CANARY};2400;150;\"a\n{CANARY}\"\n{T0 + 5}000;;x;600;90;\n",
        THREE,
        ("--column", "time=when", "--column", "prompt_tokens=in", "--column", "output_tokens=out", "--column",
         "label=dept", "--label-by", "label", "--label", "icu=icu_notes"),
    ),
    Sample(
        "json",
        json.dumps({"runs": [{"who": CANARY, "calls": [
            {"at": {"ms": T0 * 1000 + second * 1000}, "code": code, "dept": CANARY,
             "attributes": {"gen.in": prompt, "gen.out": output, "who": CANARY}} for second, prompt, output, code in
            [(0, 1200, 300, 200), (2, 2400, 150, 200), (5, 600, 90, 201), (6, None, None, 429)]]}]}),
        THREE,
        ("--records", "runs[].calls[]", "--column", "time=at.ms", "--column", "prompt_tokens=attributes.gen.in",
         "--column", "output_tokens=attributes.gen.out", "--column", "status=code", "--column", "label=dept",
         "--label-by", "label", "--label", "icu=icu_notes"),
        left_out=1,
    ),
    Sample(
        "litellm",
        lines(
            litellm(1, 1200, 300), litellm(3, 2400, 150), litellm(6, 600, 90), litellm(6, 600, 90),
            litellm(7, 50, 0, status="failure"), litellm(8, 50, 10, cache_hit="True"),
        ),
        THREE,
        left_out=2,
    ),
    Sample(
        "otel-genai",
        otlp(genai(0, 1200, 300), genai(2, 2400, 150), genai(5, 600, 90), genai(6, 600, 90, status=2),
             genai(7, 9000, 900, operation="invoke_agent"), span(8)),
        THREE,
        left_out=3,
    ),
    Sample(
        "vllm-otel",
        otlp(*(span(second, gen_ai__usage__prompt_tokens=prompt, gen_ai__usage__completion_tokens=output,
                    gen_ai__request__id=CANARY, gen_ai__response__model=CANARY)
               for second, prompt, output in [(0, 1200, 300), (2, 2400, 150), (5, 600, 90)])),
        THREE,
    ),
    Sample(
        "langfuse",
        json.dumps([langfuse(1, 1200, 300), langfuse(3, 2400, 150), langfuse(6, 600, 90),
                    langfuse(7, 5, 5, type="SPAN"), langfuse(8, 5, 5, level="ERROR")], indent=1),
        THREE,
        left_out=2,
    ),
    Sample(
        "nginx",
        f'{CANARY} - {CANARY} [14/May/2024:00:00:04 +0000] "POST /v1/chat/completions?user={CANARY} HTTP/1.1" 200 1290 '
        f'"{CANARY}" "{CANARY}" request_time=3.000 request_length=5160\n'
        f'{CANARY} - - [14/May/2024:00:00:04 +0000] "POST /v1/completions HTTP/1.1" 200 645 "-" "-" rt=1.000 rl=10320\n'
        + json.dumps({"msec": f"{T0 + 6}.500", "request_time": "1.500", "status": "200", "request_length": "2580",
                      "body_bytes_sent": "387", "request_uri": "/v1/messages", "remote_addr": CANARY}) + "\n"
        + f'{CANARY} - - [14/May/2024:00:00:04 +0000] "GET /health?{CANARY} HTTP/1.1" 200 2 rt=0.000 rl=100\n'
        + f'{CANARY} - - [14/May/2024:00:00:04 +0000] "POST /v1/responses HTTP/1.1" 499 0 rt=0.000 rl=100\n',
        THREE,
        left_out=2,
    ),
    Sample(
        "azure-apim",
        APIM + f"2024-05-14T00:00:01Z,{CANARY}1,1200,300,{CANARY},{CANARY},0,{CANARY}\n"
        f"2024-05-14T00:00:01Z,{CANARY}1,,,{CANARY},{CANARY},1,{CANARY}\n"
        f'"5/14/2024, 12:00:03.000 AM",{CANARY}2,2400,150,{CANARY},{CANARY},,"{CANARY}\nand more"\n'
        f"2024-05-14T00:00:06Z,{CANARY}3,600,90,{CANARY},{CANARY},0,{CANARY}\n",
        THREE,
        left_out=1,
    ),
    Sample(
        "azure-diagnostics",
        json.dumps({"tables": [{"name": CANARY, "columns": [{"name": "TimeGenerated"}, {"name": "properties_s"},
                                                            {"name": "CallerIPAddress"}],
                                "rows": [["2024-05-14T00:00:01Z", json.dumps({"usage": {"prompt_tokens": 1200,
                                          "completion_tokens": 300}, "modelDeploymentName": CANARY}), CANARY],
                                         ["2024-05-14T00:00:03Z", json.dumps({"promptTokens": 2400,
                                          "completionTokens": 150, "requestBody": CANARY}), CANARY]]}]}),
        THREE[:2],
    ),
    Sample("bedrock", lines(bedrock(1, 1100, 300), bedrock(3, 2300, 150), {"message": json.dumps(bedrock(6, 500, 90))},
                            bedrock(7, 5, 0, errorCode=CANARY)), THREE, left_out=1),
    *GATEWAYS,
    *TRACERS,
]  # fmt: skip
SAMPLES = [*SINGLE, *COUNTED]
