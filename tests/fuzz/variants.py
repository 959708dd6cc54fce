"""Sound files in other shapes: logs in the layout of somebody else, models with windows and states."""

from __future__ import annotations

import json

from tests.performance.test_config_gemma import E2B, wrapped
from tests.performance.test_config_recurrent import JAMBA, KIMI_LINEAR, NEMOTRON_H
from tests.trace.importers.sample import T0, lines, stamped
from tests.trace.importers.samples import scrape
from tests.trace.importers.samples_tracers import llama
from tests.trace.importers.test_sums import counts, span
from tests.trace.importers.test_tracers import FLAT, NESTED, event

_ATTENTION = {"hidden_size": 2880, "num_hidden_layers": 24, "num_attention_heads": 64, "num_key_value_heads": 8}
#: Files `config.json` by a name for them.
MODELS = {
    "windows": wrapped(E2B),
    "windows, experts": {
        "architectures": ["GptOssForCausalLM"], "head_dim": 64, "intermediate_size": 2880, "num_local_experts": 32,
        "num_experts_per_tok": 4, "vocab_size": 201_088, "max_position_embeddings": 131_072, "sliding_window": 128,
        "layer_types": ["sliding_attention", "full_attention"] * 12,
        "quantization_config": {"quant_method": "mxfp4"},
    } | _ATTENTION,
    "latent and states": KIMI_LINEAR,
    "states": JAMBA,
    "states by pattern": NEMOTRON_H,
}  # fmt: skip


def _phoenix(attributes):
    return {
        "data": [
            {"name": "n", "context": {"trace_id": "t", "span_id": f"s{at}"}, "span_kind": "LLM", "parent_id": None,
             "start_time": stamped(at), "end_time": stamped(at + 1), "status_code": "OK", "attributes": attributes}
            for at in range(4)
        ],
        "next_cursor": None,
    }  # fmt: skip


def _frame():
    columns = ["context.span_id", "context.trace_id", "parent_id", "span_kind", "status_code", "start_time"]
    columns += ["attributes.llm.token_count.prompt", "attributes.llm.token_count.completion"]
    rows = [[f"s{at}", "t", "", "LLM", "OK", stamped(at), "900.0", "30.0"] for at in range(4)]
    return "".join(",".join(row) + "\n" for row in (columns, *rows))


def _events():
    records = [event(at, f"e{at}", **counts(40 + at, 8)) for at in range(4)]
    spans = [span(0, "e1", **counts(41, 8)), span(1, "z", **counts(1, 1))]
    return lines(
        {"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]},
        {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]},
    )


def _vercel(at):
    return {
        "data": {"id": f"gen_{at}", "created_at": stamped(at), "model": "m", "provider_name": "p",
                 "native_tokens_prompt": 100, "native_tokens_completion": 50, "native_tokens_reasoning": 7,
                 "native_tokens_cached": 20, "native_tokens_cache_creation": 5, "usage": 0.1}
    }  # fmt: skip


def _lm_studio(at):
    stats = {"input_tokens": 646, "total_output_tokens": 586, "reasoning_output_tokens": 9}
    return {"timestamp": T0 + at, "model_instance_id": "m", "response_id": f"r{at}", "output": ["x"], "stats": stats}


def _histograms(prompt, output):
    text = "".join(scrape(at, at // 10, at // 10) for at in (0, 60, 120))
    return text.replace("vllm:request_prompt_tokens", prompt).replace("vllm:request_generation_tokens", output)


def _typed(stem):
    text = _histograms("{prompt}", "{output}")
    for side, kind in (("prompt", "input"), ("output", "output")):
        for what in ("bucket", "sum"):
            named = f'{stem}_{what}{{gen_ai_token_type="{kind}",gen_ai_operation_name="chat",'
            text = text.replace(f"{{{side}}}_{what}{{", named)
    return text


#: Logs by a name for their layout: the format that reads them, and one of them.
LAYOUTS = {
    "Phoenix, flat": ("otel-genai", json.dumps(_phoenix(FLAT))),
    "Phoenix, nested": ("otel-genai", json.dumps(_phoenix(NESTED))),
    "Phoenix, data frame": ("otel-genai", _frame()),
    "OpenTelemetry, events and spans": ("otel-genai", _events()),
    "Vercel": ("openrouter", lines(*(_vercel(at) for at in range(4)))),
    "LM Studio": ("openai", lines(*(_lm_studio(at) for at in range(4)))),
    "llama.cpp, in parts": (
        "llama-cpp",
        lines(
            *(
                llama(0, 90, done, object="chat.completion.chunk", choices=[{"delta": {}, "finish_reason": None}])
                for done in range(1, 6)
            ),
            {"timestamp": T0 + 9, "content": "x", "stop": True, "tokens_evaluated": 700, "tokens_predicted": 60,
             "timings": {"prompt_n": 100, "prompt_ms": 500.0, "predicted_n": 60, "predicted_ms": 500.0}},
        ),
    ),
    "NIM": ("vllm-metrics", _histograms("request_prompt_tokens", "request_generation_tokens")),
    "Dynamo": (
        "vllm-metrics",
        _histograms("dynamo_frontend_input_sequence_tokens", "dynamo_frontend_output_sequence_tokens"),
    ),
    "conventions, histograms": ("vllm-metrics", _typed("gen_ai_client_token_usage")),
}  # fmt: skip
