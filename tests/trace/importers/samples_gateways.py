"""Small logs of gateways, of providers' answers and of load generators, with text in every field that must not pass."""

from __future__ import annotations

import json

from tests.trace.importers.sample import CANARY, T0, THREE, Sample, lines, stamped

GATEWAYS = [
    Sample(
        "openrouter",
        "generation_id,created_at,cost_total,tokens_prompt,tokens_completion,tokens_reasoning,"
        "tokens_cached,model_permaslug,provider_name,cancelled,user,app_name\n"
        + "".join(
            f"{CANARY}{at},{stamped(at, '%Y-%m-%d %H:%M:%S.000')},0.1,{p},{o},5,7,{CANARY},{CANARY},false,{CANARY},x\n"
            for at, p, o in ((0, 1200, 300), (2, 2400, 150), (5, 600, 90), (6, "", ""))
        ),
        THREE,
        left_out=1,
    ),
    Sample(
        "helicone",
        json.dumps(
            {
                "data": [
                    {
                        "request_created_at": stamped(at),
                        "request_id": f"{CANARY}{at}",
                        "request_body": {"x": CANARY},
                        "response_status": status,
                        "prompt_tokens": p,
                        "completion_tokens": o,
                        "delay_ms": 9,
                        "request_model": CANARY,
                        "request_user_id": CANARY,
                        "cache_reference_id": cache,
                        "request_path": f"https://x/{CANARY}",
                    }
                    for at, p, o, status, cache in (
                        (0, 1200, 300, 200, "00000000-0000-0000-0000-000000000000"),
                        (2, 2400, 150, 200, None),
                        (5, 600, 90, 200, ""),
                        (6, None, None, 429, None),
                        (7, 5, 5, 200, CANARY),
                    )
                ]
            }
        ),
        THREE,
        left_out=2,
    ),
    Sample(
        "envoy-ai-gateway",
        lines(
            *(
                {
                    "start_time": stamped(at),
                    "response_code": code,
                    "duration": 5,
                    "gen_ai.usage.input_tokens": p,
                    "gen_ai.usage.output_tokens": o,
                    "gen_ai.request.model": CANARY,
                    "x-envoy-origin-path": f"/v1/{path}",
                    "downstream_remote_address": CANARY,
                }
                for at, p, o, code, path in (
                    (0, 1200, 300, 200, CANARY),
                    (2, 2400, 150, 200, "messages"),
                    (5, 600, 90, 200, ""),
                    (6, "-", "-", 200, "models"),
                    (7, "-", "-", 0, CANARY),
                    (8, 90, 1, 200, "embeddings"),
                )
            )
        ),
        THREE,
        left_out=3,
    ),
    Sample(
        "kong",
        lines(
            *(
                {
                    "started_at": (T0 + at) * 1000,
                    "response": {"status": code, "headers": {"x": CANARY}},
                    "client_ip": CANARY,
                    "latencies": {"request": 5},
                    "request": {"id": f"{CANARY}{at}", "uri": f"/{CANARY}"},
                    "service": {"name": CANARY},
                    "ai": {
                        "proxy": {
                            "usage": {"prompt_tokens": p, "completion_tokens": o},
                            "meta": {"request_model": CANARY},
                            "payload": {"request": CANARY},
                        }
                    },
                }
                for at, p, o, code in (
                    (0, 1200, 300, 200),
                    (2, 2400, 150, 200),
                    (5, 600, 90, 200),
                    (6, None, None, 503),
                )
            )
        ),
        THREE,
        left_out=1,
    ),
    Sample(
        "portkey",
        lines(
            *(
                {
                    "id": f"{CANARY}{at}",
                    "trace_id": CANARY,
                    "created_at": stamped(at),
                    "request": {"messages": CANARY},
                    "response": {"x": CANARY},
                    "ai_org": CANARY,
                    "ai_model": CANARY,
                    "req_units": p,
                    "res_units": o,
                    "request_url": f"https://x/{CANARY}",
                    "response_status_code": code,
                    "cache_status": cache,
                    "metadata": {"u": CANARY},
                }
                for at, p, o, code, cache in (
                    (0, 1200, 300, 200, "MISS"),
                    (2, 2400, 150, 200, "DISABLED"),
                    (5, 600, 90, 200, None),
                    (6, 0, 0, 429, None),
                    (7, 600, 90, 200, "HIT"),
                )
            )
        ),
        THREE,
        left_out=2,
    ),
    Sample(
        "cloudflare",
        json.dumps(
            {
                "success": True,
                "result": [
                    {
                        "id": f"{CANARY}{at}",
                        "created_at": stamped(at),
                        "tokens_in": p,
                        "tokens_out": o,
                        "cached": cached,
                        "duration": 9,
                        "success": good,
                        "status_code": 200 if good else 500,
                        "model": CANARY,
                        "provider": CANARY,
                        "model_type": kind,
                        "metadata": CANARY,
                        "path": f"chat/{CANARY}",
                    }
                    for at, p, o, cached, good, kind in (
                        (0, 1200, 300, False, True, "chat"),
                        (2, 2400, 150, False, True, None),
                        (5, 600, 90, False, True, "chat"),
                        (6, 600, 90, True, True, "chat"),
                        (7, 0, 0, False, False, "chat"),
                        (8, 700, 1, False, True, "embedding"),
                    )
                ],
            }
        ),
        THREE,
        left_out=3,
    ),
    Sample(
        "anthropic",
        lines(
            *(
                {
                    "time": stamped(at),
                    "response": {
                        "id": f"{CANARY}{at}",
                        "model": CANARY,
                        "stop_reason": "end_turn",
                        "content": [{"text": CANARY}],
                        "usage": {
                            "input_tokens": p - 300,
                            "cache_read_input_tokens": 200,
                            "cache_creation_input_tokens": 100,
                            "output_tokens": o,
                            "service_tier": CANARY,
                        },
                    },
                }
                for at, p, o in THREE
            )
        ),
        THREE,
    ),
    Sample(
        "openai",
        lines(
            *(
                {
                    "id": f"{CANARY}{at}",
                    "created": T0 + int(at),
                    "model": CANARY,
                    "choices": [{"message": {"content": CANARY}}],
                    "usage": {
                        "prompt_tokens": p,
                        "completion_tokens": o,
                        "prompt_tokens_details": {"cached_tokens": 128},
                        "completion_tokens_details": {"reasoning_tokens": 64},
                    },
                }
                for at, p, o in THREE
            )
        ),
        THREE,
    ),
    Sample(
        "vertex",
        lines(
            {
                "logging_time": stamped(0),
                "request_id": f"{CANARY}0",
                "model": CANARY,
                "full_request": {"contents": CANARY},
                "full_response": json.dumps(
                    [
                        {"candidates": CANARY},
                        {
                            "usageMetadata": {
                                "promptTokenCount": 1200,
                                "candidatesTokenCount": 200,
                                "thoughtsTokenCount": 100,
                                "cachedContentTokenCount": 1024,
                            }
                        },
                    ]
                ),
            },
            {
                "timestamp": stamped(2),
                "usageMetadata": {
                    "promptTokenCount": 2300,
                    "toolUsePromptTokenCount": 100,
                    "candidatesTokenCount": 150,
                },
                "modelVersion": CANARY,
                "responseId": CANARY,
            },
            {
                "timestamp": stamped(5),
                "request_id": CANARY,
                "response": {"usageMetadata": {"promptTokenCount": 600, "thoughtsTokenCount": 90}},
            },
            {"timestamp": stamped(6), "response": {"promptFeedback": {"blockReason": CANARY}}},
        ),
        THREE,
        left_out=1,
    ),
    Sample(
        "guidellm",
        json.dumps(
            {
                "metadata": {"x": CANARY},
                "benchmarks": [
                    {
                        "config": {"strategy": {"type_": "constant"}},
                        "requests": {
                            "successful": [
                                {
                                    "request_id": f"{CANARY}{at}",
                                    "request_start_time": T0 + at,
                                    "prompt_tokens": p,
                                    "output_tokens": o,
                                    "output": CANARY,
                                }
                                for at, p, o in THREE
                            ],
                            "errored": [{"request_start_time": T0, "error": CANARY}],
                            "incomplete": [{"request_start_time": T0 + 9, "prompt_tokens": 5, "output_tokens": 1}],
                        },
                    }
                ],
            }
        ),
        THREE,
        left_out=2,
    ),
    Sample(
        "aiperf",
        lines(
            {
                "metadata": {"request_start_ns": T0 * 10**9, "benchmark_phase": "warmup", "worker_id": CANARY},
                "metrics": {"input_sequence_length": {"value": 5}, "output_sequence_length": {"value": 5}},
                "error": None,
            },
            *(
                {
                    "metadata": {
                        "request_start_ns": (T0 + int(at)) * 10**9,
                        "x_request_id": f"{CANARY}{at}",
                        "benchmark_phase": "profiling",
                    },
                    "metrics": {
                        "input_sequence_length": {"value": p, "unit": "tokens"},
                        "output_sequence_length": {"value": o},
                    },
                    "error": None,
                }
                for at, p, o in THREE
            ),
            {"metadata": {"request_start_ns": T0 * 10**9}, "metrics": {}, "error": {"message": CANARY}},
        ),
        THREE,
        left_out=2,
    ),
    Sample(
        "vllm-bench",
        json.dumps(
            {
                "date": CANARY,
                "model_id": CANARY,
                "request_rate": "inf",
                "max_concurrency": 2,
                "input_lens": [1200, 2400, 600, 7],
                "output_lens": [300, 150, 90, 0],
                "ttfts": [0.1, 0.1, 0.1, 0.0],
                "start_times": [77.5, 79.5, 82.5, 83.0],
                "errors": ["", "", "", CANARY],
                "generated_texts": [CANARY] * 4,
            }
        ),
        THREE,
        left_out=1,
    ),
]
