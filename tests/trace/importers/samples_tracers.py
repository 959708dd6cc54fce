"""Small logs of tracers and of servers on one's own machine, with text in every field that must not pass."""

from __future__ import annotations

import json

from tests.trace.importers.sample import CANARY, T0, THREE, Sample, lines, stamped


def datadog(at, prompt, output, kind="llm", name=None, parent="undefined", **given):
    """A span as the export gives it out."""
    return {
        "id": f"{CANARY}{at}", "type": "span",
        "attributes": {
            "span_id": name or f"s{at}", "parent_id": parent, "trace_id": f"{CANARY}t", "ml_app": CANARY,
            "name": CANARY, "status": "ok", "start_ns": int((T0 + at) * 10**9), "duration": 2e9, "span_kind": kind,
            "model_name": CANARY, "model_provider": CANARY, "input": {"messages": [{"content": CANARY}]},
            "output": {"value": CANARY}, "tags": [f"user:{CANARY}"],
            "metrics": {"input_tokens": prompt, "output_tokens": output, "total_tokens": prompt + output},
        } | given,
    }  # fmt: skip


def langsmith(at, prompt, output, kind="llm", name=None, parent=None, **given):
    """A run as the interface lists it."""
    return {
        "id": name or f"{CANARY}{at}", "name": CANARY, "run_type": kind, "start_time": stamped(at), "status": "success",
        "error": None, "trace_id": f"{CANARY}t", "parent_run_id": parent, "inputs": {"messages": [CANARY]},
        "outputs": {"generations": [CANARY]}, "tags": [CANARY], "prompt_tokens": prompt, "completion_tokens": output,
        "total_tokens": prompt + output, "session_id": CANARY,
        "extra": {"metadata": {"ls_model_name": CANARY, "user": CANARY}},
    } | given  # fmt: skip


def weave(at, usage, name=None, parent=None, **given):
    """A call as the query gives it out."""
    return {
        "id": name or f"{CANARY}{at}", "project_id": CANARY, "op_name": f"weave:///{CANARY}", "trace_id": f"{CANARY}t",
        "parent_id": parent, "started_at": stamped(at), "ended_at": stamped(at + 1), "exception": None,
        "inputs": {"messages": CANARY}, "output": CANARY, "wb_user_id": CANARY, "attributes": {"x": CANARY},
        "summary": {"usage": usage, "weave": {"trace_name": CANARY, "status": "success"}},
    } | given  # fmt: skip


def used(prompt, output, requests=1):
    """What a call of one model says it used."""
    return {CANARY: {"prompt_tokens": prompt, "completion_tokens": output, "requests": requests,
                     "total_tokens": prompt + output}}  # fmt: skip


def ollama(at, prompt, output, lasted_s=1.5, **given):
    """The last part of an answer to a request that came at this second."""
    return {
        "model": CANARY, "created_at": stamped(at + lasted_s, "%Y-%m-%dT%H:%M:%S.%fZ"), "done": True,
        "message": {"role": "assistant", "content": CANARY}, "done_reason": "stop",
        "total_duration": round(lasted_s * 1e9), "load_duration": 9, "prompt_eval_count": prompt,
        "prompt_eval_duration": 5, "eval_count": output, "eval_duration": 7,
    } | given  # fmt: skip


def llama(at, fresh, output, kept=0, **given):
    """An answer to a request that came at this second and took one for its prompt and two for its answer."""
    return {
        "id": f"{CANARY}{at}", "object": "chat.completion", "created": T0 + int(at) + 3, "model": CANARY,
        "choices": [{"message": {"content": CANARY}}],
        "usage": {"prompt_tokens": fresh + kept, "completion_tokens": output},
        "timings": {"cache_n": kept, "prompt_n": fresh, "prompt_ms": 1000.0, "predicted_n": output,
                    "predicted_ms": 2000.0},
    } | given  # fmt: skip


TRACERS = [
    Sample(
        "datadog-llm",
        json.dumps({
            "data": [datadog(0, 3600, 450, "workflow", "w"), datadog(0, 1200, 300, name="a", parent="w"),
                     datadog(2, 2400, 150, parent="w"), datadog(3, 2400, 0, "embedding"), datadog(5, 600, 90),
                     datadog(6, 5, 5, status="error")],
            "meta": {"page": {"after": CANARY}},
        }),
        THREE, left_out=3,
    ),
    Sample(
        "langsmith",
        json.dumps({"runs": [
            langsmith(0, 3600, 450, "chain", "c"), langsmith(0, 1200, 300, parent="c"),
            langsmith(2, 2400, 150, parent="c"), langsmith(3, 0, 0, "tool"), langsmith(5, 600, 90),
            langsmith(6, 5, 0, status="error", error=CANARY),
        ], "cursors": {"next": CANARY}}),
        THREE, left_out=3,
    ),
    Sample(
        "weave",
        lines(weave(0, used(3600, 450, 2), "p"), weave(0, used(1200, 300), parent="p"),
              weave(2, used(2400, 150), parent="p"), weave(3, {}), weave(4, used(900, 9, 3)), weave(5, used(600, 90)),
              weave(6, used(5, 0), exception=CANARY)),
        THREE, left_out=4,
    ),
    Sample(
        "ollama",
        lines(*({"model": CANARY, "created_at": stamped(at), "message": {"content": CANARY}, "done": False}
                for at in (0, 1)),
              ollama(0, 1200, 300), ollama(2, 2400, 150, 30.25), ollama(5, 600, 90), ollama(6, None, 50)),
        THREE, left_out=3,
    ),
    Sample("llama-cpp", lines(llama(0, 1200, 300), llama(2, 400, 150, 2000), llama(5, 600, 90)), THREE),
]  # fmt: skip


def _used(prompt, cached, output):
    return {"m": {"prompt_tokens": prompt, "completion_tokens": output, "requests": 1, "total_tokens": prompt + output,
                  "prompt_tokens_details": {"cached_tokens": cached}}}  # fmt: skip


#: A record of each at this second, whose prompt has so many tokens, of which a cache gave some, and its answer so many.
TRACED = {
    "datadog-llm": lambda at, p, c, o: datadog(at, p, o, metrics={
        "input_tokens": p, "output_tokens": o, "cache_read_input_tokens": c}),
    "langsmith": lambda at, p, c, o: langsmith(0, p, o, start_time=f"{T0 + at}", id=str(at),
                                               prompt_token_details={"cache_read": c}),
    "weave": lambda at, p, c, o: weave(0, _used(p, c, o), str(at), started_at=f"{T0 + at}"),
    "llama-cpp": lambda at, p, c, o: llama(at, p - c, o, c),
}  # fmt: skip
