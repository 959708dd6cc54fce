"""Which format a log has, by the names of its fields: what no other format has tells most.

Nothing of a value is kept or told: names are compared with those that stand in this file.
"""

from __future__ import annotations

import csv
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from simulator.errors import TraceError
from simulator.trace.importers.azure_monitor import TITLE
from simulator.trace.importers.locales import columns_by_words
from simulator.trace.importers.nginx import COMBINED
from simulator.trace.importers.read import SEPARATOR
from simulator.trace.importers.records import NOT_JSON, PREFIX, parse_json
from simulator.trace.importers.source import BROKEN, is_parquet, open_text, source_files
from simulator.trace.importers.vllm_prometheus import SIDES, TYPED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Characters that are looked at, records, and how deep.
_HEAD: Final = 1 << 19
_RECORDS, _DEEPEST = 40, 12
#: Fields that a log of each format has, `|` between names of one of them; the more there are, the surer it is.
SIGNS: Final = {
    "azure-llm-2023": ("TIMESTAMP", "ContextTokens", "GeneratedTokens"),
    "azure-llm-2024": ("TIMESTAMP", "ContextTokens", "GeneratedTokens"),
    "burstgpt": ("Timestamp", "Request tokens", "Response tokens", "Log Type"),
    "mooncake": ("input_length", "output_length", "hash_ids"),
    "qwen-bailian": ("input_length", "output_length", "hash_ids", "chat_id|parent_chat_id"),
    "splitwise": ("arrival_timestamp", "prompt_size", "token_size"),
    "litellm": ("startTime|start_time", "completion_tokens", "call_type|model_group|custom_llm_provider"),
    "vllm-otel": ("gen_ai.usage.prompt_tokens", "gen_ai.usage.completion_tokens", "gen_ai.response.model",
                  "gen_ai.latency.e2e|gen_ai.request.id"),
    "otel-genai": ("gen_ai.usage.input_tokens|gen_ai.usage.prompt_tokens|llm.token_count.prompt|"
                   "llm.usage.prompt_tokens|ai.usage.promptTokens|ai.usage.inputTokens",
                   "spanId|span_id|spanID|SpanId|context.span_id|customDimensions|SpanAttributes|LogAttributes|Properties"),
    "langfuse": ("startTime|start_time", "usageDetails|usage_details|promptTokens|inputUsage",
                 "type|traceId|trace_id|level"),
    "azure-apim": ("correlationId|CorrelationId", "promptTokens|PromptTokens", "completionTokens|CompletionTokens",
                   "sequenceNumber|SequenceNumber|ModelName|modelName"),
    "azure-diagnostics": ("properties_s|properties", "CallerIPAddress|callerIpAddress|OperationName|operationName",
                          "TimeGenerated|TimeGenerated [UTC]|time"),
    "openai-usage": ("num_model_requests|n_requests", "input_tokens|n_context_tokens_total",
                     "start_time|aggregation_timestamp|usage_date"),
    "azure-monitor": ("timeseries|MetricName|metricName", "timeStamp|TimeGenerated|TimeGenerated [UTC]|time",
                      "total|Total"),
    "vllm-prometheus": ("metric", "__name__", "values|value", "le"),
    "bedrock": ("inputTokenCount", "modelId", "timestamp"),
    "openrouter": ("created_at", "tokens_prompt|native_tokens_prompt", "tokens_completion|native_tokens_completion",
                   "provider_name|model_permaslug"),
    "helicone": ("request_created_at|Request Created At", "prompt_tokens", "completion_tokens"),
    "envoy-ai-gateway": ("start_time", "response_code", "gen_ai.usage.input_tokens|llm_input_token|llm_input_tokens"),
    "kong": ("started_at", "ai", "latencies|upstream_uri|request"),
    "portkey": ("req_units|Request Tokens", "res_units|Response Tokens", "created_at|Created At"),
    "cloudflare": ("tokens_in", "tokens_out", "created_at"),
    "datadog-llm": ("start_ns", "metrics", "span_kind|kind|ml_app", "input_tokens|prompt_tokens", "span_id"),
    "langsmith": ("run_type", "start_time", "prompt_tokens|usage_metadata", "completion_tokens|usage_metadata",
                  "trace_id|parent_run_id|dotted_order|session_id"),
    "weave": ("op_name", "started_at", "summary", "usage"),
    "ollama": ("created_at", "eval_count", "done|total_duration"),
    "llama-cpp": ("timings|tokens_evaluated", "predicted_n|tokens_predicted", "prompt_n|tokens_evaluated",
                  "predicted_ms|tokens_predicted", "prompt_ms|tokens_evaluated"),
    "anthropic": ("usage", "input_tokens", "output_tokens", "stop_reason|cache_creation_input_tokens"),
    "openai": ("usage|stats", "prompt_tokens|input_tokens", "completion_tokens|output_tokens|total_output_tokens",
               "choices|prompt_tokens_details|input_tokens_details|model_instance_id"),
    "vertex": ("usageMetadata|usage_metadata", "promptTokenCount"),
    "guidellm": ("benchmarks", "requests", "successful"),
    "aiperf": ("request_start_ns", "input_sequence_length", "output_sequence_length"),
    "vllm-bench": ("input_lens", "output_lens", "request_rate|max_concurrency|ttfts"),
    "servegen": (),
}  # fmt: skip
#: Logs of language models out of which no requests can be made, by names that they have, and what to do instead.
_REFUSED: Final = {
    ("uncached_input_tokens", "starting_at"): "Anthropic's usage report counts tokens, not requests: nothing says how "
    "long they were; import a log of its answers (anthropic) or of a gateway",
    ("usage_input_tokens_no_cache", "usage_date_utc"): "the usage export of Anthropic's console counts tokens by day, "
    "not requests; import a log of its answers (anthropic) or of a gateway",
    ("amount", "starting_at", "currency"): "Anthropic's cost report counts money, not requests; import a log of its "
    "answers (anthropic) or of a gateway",
    ("organization.costs.result",): "OpenAI's costs count money, not requests; import the usage of its completions "
    "(openai-usage)",
    ("Gateway", "RequestBody", "ResponseBody", "StatusCode"): "Cloudflare's Logpush keeps the answers, and with them "
    "the counts of tokens, encrypted; import the gateway's logs as its interface lists them (cloudflare)",
    ("MODEL_NAME", "TOKENS", "TOKEN_CREDITS"): "Snowflake's usage history counts prompts and answers in one sum; "
    "import a log of the answers (openai) or of a gateway",
    ("time_per_token", "queue_time", "validation_time", "total_time"): "the log of text-generation-inference has "
    "times, and no counts of tokens; import a gateway's log, or the histograms of its /metrics",
    ("deployed_model_id", "response_payload"): "what a Vertex endpoint logs has texts without counts of tokens; import "
    "the log of Gemini's answers, whose full_response counts them (vertex), or of a gateway",
    ("resourceMetrics",): "metrics of OpenTelemetry; import the spans or events of the calls (otel-genai), or what "
    "Prometheus has of histograms of request lengths",
    ("request_count", "input_tokens", "total_cost", "results"): "a report that counts by day; import the calls, which "
    "its interface gives out one by one (openrouter reads Vercel's generations)",
}  # fmt: skip
#: Columns of a table that need not be mapped.
_PLAIN: Final = {"time", "prompt_tokens", "output_tokens"}
_COUNTS_ONLY: Final = "counts tokens or requests, but not how long each was; "
#: The same of logs that are text, by what stands in it.
_REFUSED_TEXT: Final = (
    (re.compile(r"^llamacpp:\w+", re.MULTILINE), f"llama.cpp's /metrics {_COUNTS_ONLY}log its answers (llama-cpp)"),
    (re.compile(r"prompt eval time = +[\d.]+ ms / +\d+ tokens"), "llama.cpp's own log has no dates; log its answers, "
     "with their timings (llama-cpp)"),
    (re.compile(r'^\[GIN\] \d{4}/\d\d/\d\d .*"/(?:api|v1)/', re.MULTILINE), "Ollama's own log has no counts of tokens; "
     "log its answers (ollama)"),
    (re.compile(r"^trtllm_\w+", re.MULTILINE), f"TensorRT-LLM's /metrics {_COUNTS_ONLY}import the log of a gateway, or "
     "the histograms of Dynamo's frontend (vllm-metrics)"),
    (re.compile(r"^nv_(?:inference|trt_llm)_\w+", re.MULTILINE), f"Triton's /metrics {_COUNTS_ONLY}import the log of a "
     "gateway before it"),
    (re.compile(r"^ray_serve_\w+", re.MULTILINE), f"Ray Serve's /metrics {_COUNTS_ONLY}import those of its engine, "
     "ray_vllm_request_prompt_tokens and its like (vllm-metrics)"),
    (re.compile(r"^bentoml_\w+", re.MULTILINE), f"BentoML's /metrics {_COUNTS_ONLY}import those of its engine "
     "(vllm-metrics)"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Found:
    """What a log may be.

    Attributes:
        name: Of the format.
        signs: Fields that it has and logs of this format have.
    """

    name: str
    signs: tuple[str, ...]


def detect(path: Path) -> list[Found]:
    """Formats whose every sign a file has, the surest first.

    Raises:
        TraceError: None is known, with what came nearest and what it lacks.
    """
    names, text = _names(path)
    if text is not None and (own := _by_text(text)) is not None:
        return [own]
    if (reason := _refused(names, text)) is not None:
        raise TraceError(f"{path}: {reason}")
    found, nearest = [], (0.0, "", "")
    for name, groups in SIGNS.items():
        met = [next((one for one in group.split("|") if one in names), None) for group in groups]
        if groups and None not in met:
            found.append(Found(name, tuple(filter(None, met))))
        elif groups:
            lacks = " and ".join(g.replace("|", " or ") for g, one in zip(groups, met, strict=True) if one is None)
            share = sum(one is not None for one in met) / len(groups)
            nearest = max(nearest, (share, name, lacks), key=lambda one: one[0])
    if not found and text is not None and (words := _by_words(text)):
        return [Found("csv", words)]
    if not found:
        near = f"; nearest is {nearest[1]}, but there is no {nearest[2]}" if nearest[0] >= 0.5 else ""
        raise TraceError(f"{path}: no format that is known{near}. csv and json take any: say with `columns` where "
                         "times and tokens stand")  # fmt: skip
    return sorted(found, key=lambda one: -len(one.signs))


def surest(path: Path) -> Found:
    """The one format that a log has: a file, or all files of a folder of which any is known.

    Raises:
        TraceError: No format is known, two are as sure, or two files have different ones.
    """
    files = source_files(path, ("*",))
    by_format: dict[str, tuple[Path, Found]] = {}
    unknown: TraceError | None = None
    for file in files:
        try:
            found = detect(file)
        except TraceError as error:
            unknown = unknown or error
            continue
        one, *others = (other.name for other in found if len(other.signs) == len(found[0].signs))
        if others:
            raise TraceError(f"{file}: may be {one} or {' or '.join(others)}; say with `kind` which it is")
        if one == "csv" and not _names(file)[0] >= _PLAIN:
            words = ", ".join(found[0].signs)
            raise TraceError(f"{file}: a table with {words}; say with `kind` that it is csv, and with `columns` where "
                             "times and tokens stand")  # fmt: skip
        by_format.setdefault(one, (file, found[0]))
    if len(by_format) > 1:
        several = ", ".join(f"{file.name} is {name}" for name, (file, _) in by_format.items())
        raise TraceError(f"{path}: {several}; say with `kind` which to import")
    if not by_format and unknown is not None:
        raise unknown
    ((_, only),) = by_format.values()
    return only


def refused(path: Path) -> str | None:
    """Why no requests can be made of a file by its fields, and what to do instead; None where nothing is known."""
    try:
        return _refused(*_names(path))
    except TraceError:
        return None


def _refused(names: set[str], text: str | None) -> str | None:
    by_names = (reason for signs, reason in _REFUSED.items() if names.issuperset(signs))
    by_text = (reason for sign, reason in _REFUSED_TEXT if text is not None and sign.search(text))
    return next(by_names, None) or next(by_text, None)


def _by_words(text: str) -> tuple[str, ...]:
    """What the columns of a table in several languages seem to be."""
    lines = text.split("\n")
    first = next((line for line in lines if line.strip() and SEPARATOR.fullmatch(line.strip()) is None), "")
    headers = (next(_cells([first], delimiter), []) for delimiter in (",", ";", "\t", "|"))
    return columns_by_words(max(headers, key=len))


def _by_text(text: str) -> Found | None:
    """Formats that are lines, not fields."""
    if (stem := next((stem for stem in (*SIDES, *TYPED) if f"\n{stem}_bucket{{" in f"\n{text}"), None)) is not None:
        return Found("vllm-metrics", (f"{stem}_bucket",))
    if any(COMBINED.search(line) for line in text.splitlines()[:20]):
        return Found("nginx", ('[time] "METHOD path" status bytes',))
    first = text.split("\n", 1)[0].strip()
    if first.startswith("Time,") and (title := next(filter(None, map(TITLE.fullmatch, first.split(","))), None)):
        return Found("azure-monitor", ("Time", "(Sum)")) if title else None
    if first.count(",") == 5 and any(f",{kind}," in first for kind in ("Gamma", "Weibull")):
        return Found("servegen", ("a rate, a spread and Gamma or Weibull in each row",))
    if "request_length" in text and "body_bytes_sent" in text:
        return Found("nginx", ("request_length", "body_bytes_sent"))
    return None


def _names(path: Path) -> tuple[set[str], str | None]:
    """Names of all fields in the head of a file; and its text, where it is no Parquet."""
    if is_parquet(path):
        from pyarrow import parquet as pq

        try:
            columns = _columns(pq.read_schema(path))
            flat = {name.removeprefix("attributes.") for name in columns}
            return flat | {part for name in columns for part in (name, *name.split("."))}, None
        except (OSError, ValueError):
            raise TraceError(f"{path}: not readable as Parquet") from None
    with open_text(path) as stream:
        try:
            text = stream.read(_HEAD)
        except BROKEN:
            raise TraceError(f"{path}: the compressed data breaks off or is corrupt") from None
    found: set[str] = set()
    lines = text.lstrip().split("\n")
    lines = lines[1:] if SEPARATOR.fullmatch(lines[0].strip()) else lines
    if text.lstrip()[:1] in ("{", "[") or PREFIX.match(text.lstrip()):
        for line in lines[:_RECORDS]:
            prefix = PREFIX.match(line)
            value = parse_json(line[prefix.end() :] if prefix else line)
            _collect(None if value is NOT_JSON else value, found, 0)
        _collect_text(text, found)
        return found, text
    for delimiter in (",", ";", "\t", "|"):
        names = {name.strip().removeprefix("\ufeff") for name in next(_cells(lines[:1], delimiter), [])}
        found |= names | {name.removeprefix("attributes.") for name in names}
    for row in _cells(lines[1:_RECORDS]):
        for cell in row:
            if cell[:1] == "{":
                value = parse_json(cell)
                _collect(None if value is NOT_JSON else value, found, 0)
    return found, text


def _cells(lines: list[str], delimiter: str = ",") -> Iterator[list[str]]:
    """Rows of a table, as far as it is one."""
    with suppress(csv.Error):
        yield from csv.reader(lines, delimiter=delimiter)


def _columns(schema: Any) -> list[str]:  # noqa: ANN401 - pyarrow has no types
    return list(schema.names)


def _collect_text(text: str, found: set[str]) -> None:
    """Names of a document that is longer than the head: all that stands before a colon, and attributes' keys."""
    decoder, at = json.JSONDecoder(), text.find('"')
    while at >= 0 and len(found) < 10_000:
        try:
            name, end = decoder.raw_decode(text, at)
        except ValueError:
            return
        rest = text[end : end + 8].lstrip()
        if rest[:1] == ":":
            found.add(name)
            if name == "key" and rest[1:].lstrip()[:1] == '"':
                start = text.index('"', end)
                try:
                    attribute, end = decoder.raw_decode(text, start)
                except ValueError:
                    return
                found.add(str(attribute))
        elif name[:1] == "{":
            inner = parse_json(name)
            _collect(None if inner is NOT_JSON else inner, found, 0)
        at = text.find('"', end)


def _collect(value: Any, found: set[str], depth: int) -> None:  # noqa: ANN401 - whatever the file holds
    if depth > _DEEPEST:
        return
    if isinstance(value, dict):
        found.update(map(str, value))
        if isinstance(value.get("key"), str):
            found.add(value["key"])
        if isinstance(value.get("columns"), list):  # an answer of Log Analytics
            found.update(
                one["name"] for one in value["columns"] if isinstance(one, dict) and type(one.get("name")) is str
            )
        for inner in value.values():
            _collect(inner, found, depth + 1)
    elif isinstance(value, list):
        for inner in value[:_RECORDS]:
            _collect(inner, found, depth + 1)
    elif isinstance(value, str) and value[:1] == "{":
        inner = parse_json(value)
        _collect(None if inner is NOT_JSON else inner, found, depth + 1)
