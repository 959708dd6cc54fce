"""Records are found in whatever a collector put around them, with its moment where they have none of their own.

Layouts by their makers' references: Loki "HTTP API" and `logcli`; Grafana Explore's download; Docker "JSON File
logging driver"; Fluent Bit's Kubernetes filter; Filebeat; Elasticsearch "Search API" and elasticdump; Splunk's
`export` and HTTP event collector; `journalctl -o json`; Google's `LogEntry`; Datadog "Logs Search API", "Log Archives"
and "HTTP intake"; CloudWatch Logs `get-log-events`; Azure's table ContainerLogV2; Kubernetes' CRI logs; RFC 5424.
"""

from __future__ import annotations

import json

import pytest

from tests.trace.importers.sample import CANARY, T0, lines, stamped
from tests.trace.importers.samples import Sample, attempt

#: Nothing in it says when it was: that is the collector's to say. 100 + 200 + 300 and 20 + 30 + 40 tokens.
ANSWERS = [
    json.dumps({"id": f"{CANARY}{n}", "content": CANARY,
                "usage": {"prompt_tokens": 100 * n, "completion_tokens": 10 + 10 * n}})
    for n in (1, 2, 3)
]  # fmt: skip
TALK = f"INFO: {CANARY} started"
NS = [str((T0 + n) * 10**9) for n in range(4)]
STREAMS = [{"stream": {"app": CANARY}, "values": [[at, one] for at, one in zip(NS, [*ANSWERS, TALK], strict=True)]}]


def each(make, ours=(*ANSWERS, TALK)):
    return [make(n, one) for n, one in enumerate(ours)]


def quoted(line):
    return '"{}"'.format(line.replace('"', '""'))


WRAPPED = {
    "loki query": json.dumps({"status": "success", "data": {"resultType": "streams", "result": STREAMS}}),
    "loki query on many lines": json.dumps({"data": {"resultType": "streams", "result": STREAMS}}, indent=1),
    "loki push": json.dumps({"streams": STREAMS}),
    "logcli jsonl": lines(*each(lambda n, one: {"labels": {"a": CANARY}, "line": one, "timestamp": stamped(n)})),
    "logcli": "".join(each(lambda n, one: f'{stamped(n)} {{app="{CANARY}", pod="x-0"}} {one}\n')),
    "grafana": json.dumps(each(lambda n, one: {"line": one, "timestamp": NS[n], "fields": {"a": CANARY}}), indent=2),
    "grafana csv": "Time,Line,tsNs\n" + "".join(each(lambda n, one: f"x,{quoted(one)},{NS[n]}\n", ANSWERS)),
    "docker": lines(*each(lambda n, one: {"log": f"{one}\n", "stream": "stdout", "time": stamped(n)})),
    "docker in loki": json.dumps({"streams": [{"stream": {}, "values": each(lambda n, one: [
        NS[n], json.dumps({"log": one, "stream": "stderr", "time": stamped(n)})])}]}),
    "fluent bit": lines(*each(lambda n, one: {"@timestamp": stamped(n), "log": one, "kubernetes": {"pod": CANARY}})),
    "filebeat": lines(*each(lambda n, one: {"@timestamp": stamped(n), "message": one, "host": CANARY}, ANSWERS)),
    "elasticsearch": json.dumps({"took": 1, "hits": {"total": {"value": 3}, "hits": each(lambda n, one: {
        "_index": CANARY, "_id": str(n), "_source": {"@timestamp": stamped(n), "message": one}}, ANSWERS)}}),
    "splunk export": lines(*each(lambda n, one: {"preview": False, "result": {"_raw": one, "_time": stamped(n)}})),
    "splunk collector": lines(*each(lambda n, one: {"time": T0 + n, "sourcetype": CANARY, "event": json.loads(one)},
                                    ANSWERS)),
    "journald": lines(*each(lambda n, one: {"__REALTIME_TIMESTAMP": str((T0 + n) * 10**6), "MESSAGE": one})),
    "google": json.dumps(each(lambda n, one: {"insertId": f"i{n}", "timestamp": stamped(n),
                                              "jsonPayload": json.loads(one)}, ANSWERS)),
    "google text": lines(*each(lambda n, one: {"insertId": f"i{n}", "timestamp": stamped(n), "textPayload": one})),
    "datadog search": json.dumps({"data": each(lambda n, one: {"id": f"a{n}", "type": "log", "attributes": {
        "timestamp": stamped(n), "message": CANARY, "tags": [CANARY], "attributes": json.loads(one)}}, ANSWERS)}),
    "datadog archive": lines(*each(lambda n, one: {"_id": f"a{n}", "date": stamped(n), "message": "done",
                                                   "attributes": json.loads(one)}, ANSWERS)),
    "datadog intake": json.dumps(each(lambda n, one: {"ddsource": CANARY, "message": one,
                                                      "timestamp": (T0 + n) * 1000}, ANSWERS)),
    "cloudwatch": json.dumps({"events": each(lambda n, one: {"timestamp": (T0 + n) * 1000, "message": one}, ANSWERS),
                              "nextForwardToken": CANARY}),
    "cloudwatch insights": "@timestamp,@message\n" + "".join(each(lambda n, one: f"{stamped(n)},{quoted(one)}\n",
                                                                 ANSWERS)),
    "kubernetes": "".join(each(lambda n, one: f"{stamped(n)} stdout F {one}\n", (TALK, *ANSWERS))),
    "kubectl": "".join(each(lambda n, one: f"[pod/gw-0/envoy] {stamped(n)} {one}\n")),
    "syslog": "".join(each(lambda n, one: f"<14>1 {stamped(n)} host gateway 12 - - {one}\n")),
    "azure": json.dumps(each(lambda n, one: {"TimeGenerated": stamped(n), "LogMessage": json.loads(one)}, ANSWERS)),
}  # fmt: skip


@pytest.mark.parametrize("name", WRAPPED)
def test_a_record_is_found_in_what_a_collector_wrote(tmp_path, name):
    said, table = attempt(Sample("openai", WRAPPED[name], []), WRAPPED[name].encode(), tmp_path)
    assert table is not None, said
    assert table.prompt_tokens.tolist() == [100, 200, 300]
    assert table.output_tokens.tolist() == [20, 30, 40]
    assert table.arrival_s.tolist() == pytest.approx([0, 1, 2])
    assert CANARY not in said
    assert ("a line of text that is no record" in said) == (TALK in WRAPPED[name])


def test_a_records_own_moment_comes_first(tmp_path):
    inner = [
        json.dumps({"created": T0 + 10 * n, "usage": {"prompt_tokens": 5, "completion_tokens": 1}}) for n in (0, 1)
    ]
    text = lines(*({"log": one, "stream": "stdout", "time": stamped(n)} for n, one in enumerate(inner)))
    _, table = attempt(Sample("openai", text, []), text.encode(), tmp_path)
    assert table.arrival_s.tolist() == [0, 10]


def printed(kind, prompt, output):
    """A usage as Python prints an object, or a dictionary, of LiteLLM's."""
    counts = {"completion_tokens": output, "prompt_tokens": prompt, "total_tokens": prompt + output}
    return str(counts) if kind else f"Usage({', '.join(f'{name}={count}' for name, count in counts.items())})"


def test_litellms_buckets_of_2023_and_2024(tmp_path):
    # `integrations/s3.py` prints every value; `integrations/gcs_bucket.py` keeps the answer whole.
    old = [{"id": f"{CANARY}{n}", "call_type": "litellm.completion", "cache_hit": "None", "user": CANARY, "cost": "0.1",
            "startTime": stamped(n, "%Y-%m-%d %H:%M:%S.000001"), "response": CANARY, "usage": printed(n % 2, 100, 7)}
           for n in range(3)]  # fmt: skip
    google = [{"request_kwargs": {"model": CANARY, "messages": [CANARY]}, "start_time": stamped(n, "%Y-%m-%d %H:%M:%S"),
               "log_event_type": f"{outcome}_api_call", "spend_log_metadata": CANARY, "response_obj": {"id": f"g{n}",
               "usage": {"prompt_tokens": 30, "completion_tokens": 4}}}
              for n, outcome in ((4, "successful"), (5, "successful"), (6, "failed"))]  # fmt: skip
    text = lines(*old, *google)
    said, table = attempt(Sample("litellm", text, []), text.encode(), tmp_path)
    assert (table.prompt_tokens.tolist(), table.output_tokens.tolist()) == ([100] * 3 + [30] * 2, [7] * 3 + [4] * 2)
    assert CANARY not in said


BATCHES = {
    # OpenAI "Batch API", BatchRequestOutput; Anthropic "Message Batches", results; Vertex AI "Batch prediction".
    "openai": {"id": "b", "custom_id": CANARY, "error": None, "response": {"status_code": 200, "body": {
        "created": T0, "usage": {"prompt_tokens": 9, "completion_tokens": 3}}}},
    "anthropic": {"custom_id": CANARY, "result": {"type": "succeeded", "message": {"id": "m", "usage": {
        "input_tokens": 9, "output_tokens": 3}}}},
    "vertex": {"status": "", "processed_time": stamped(0), "response": {"usageMetadata": {"promptTokenCount": 9,
               "candidatesTokenCount": 3}}},
}  # fmt: skip


@pytest.mark.parametrize("name", BATCHES)
def test_what_a_batch_gave_out_is_no_demand_of_its_time(tmp_path, name):
    text = lines(*[BATCHES[name]] * 3)
    said, table = attempt(Sample(name, text, []), text.encode(), tmp_path)
    assert table is None
    assert "3 a call of a batch, which waited for no one" in said
    assert CANARY not in said


@pytest.mark.parametrize(
    ("name", "record", "said"),
    [
        ("anthropic", {"data": [{"starting_at": stamped(0), "results": [{"uncached_input_tokens": 5, "output_tokens": 2,
         "model": CANARY}]}], "has_more": False}, "counts tokens, not requests"),
        ("anthropic", {"data": [{"starting_at": stamped(0), "results": [{"amount": "1.5", "currency": "USD"}]}]},
         "counts money"),
        ("cloudflare", {"Gateway": CANARY, "StatusCode": 200, "RequestBody": CANARY, "ResponseBody": CANARY},
         "encrypted"),
        ("openai", {"MODEL_NAME": CANARY, "TOKENS": 12, "TOKEN_CREDITS": 0.1}, "in one sum"),
    ],
)  # fmt: skip
def test_what_cannot_be_requests_is_refused_with_what_to_do(tmp_path, name, record, said):
    text = lines(record)
    found, table = attempt(Sample(name, text, []), text.encode(), tmp_path)
    assert table is None
    assert said in found
    assert "import" in found
    assert CANARY not in found
