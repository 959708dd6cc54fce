"""Logs of gateways that put a record a call: OpenRouter, Helicone, Envoy AI Gateway, Kong, Portkey, Cloudflare.

Names of fields by their makers' references, 2026-11: OpenRouter "Get a generation" and the CSV of its activity page,
whose names Vercel's gateway has too ("Look up a generation");
Helicone `request/query-clickhouse`; Envoy AI Gateway "Access logs" (`io.envoy.ai_gateway` metadata); Kong "AI Gateway
audit log reference" (`ai.proxy.usage`); Portkey "Logs export"; Cloudflare "List gateway logs". Prompts, answers, users,
keys and addresses are not among them.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from simulator.trace.importers.context import Format
from simulator.trace.importers.shape import under
from simulator.trace.importers.table import Table
from simulator.trace.importers.values import as_number
from simulator.trace.importers.wanted import plain, served

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.trace.importers.context import Context
    from simulator.trace.importers.records import Records


def _own_cache(value: Any) -> str | None:  # noqa: ANN401 - whatever the file holds
    """Why an answer that the gateway itself kept is no request to a model."""
    kept = plain(value) not in ("", "false", "0", "miss", "bypass", "disabled", "refresh", "cache miss")
    return "answered from the gateway's own cache" if kept else None


def _kind(value: Any) -> str | None:  # noqa: ANN401 - likewise
    """Why a call by this path or of this kind of model is no generation."""
    text = plain(value).partition("?")[0]
    others = ("embed", "image", "audio", "speech", "transcri", "moderation", "rerank", "/models", "/files", "/batches")
    return "not a generation, by its path or kind" if any(word in text for word in others) else None


def _reference(value: Any) -> str | None:  # noqa: ANN401 - likewise
    """Helicone names the request whose answer it gave again; all zeros, or one that begins like the row's, is none."""
    text = plain(value)
    return None if not text.strip("0-") or text == "default" else "answered from the gateway's own cache"


#: Under which an answer has its records, or its one.
_LISTS: Final = ("data", "result", "results", "logs", "items")


def _unpack(value: Any) -> Iterator[Any]:  # noqa: ANN401 - likewise
    """Records: a list of them, one, or those in an answer."""
    if isinstance(value, list):
        yield from value
        return
    for name in _LISTS:
        inner = value.get(name) if isinstance(value, dict) else None
        if isinstance(inner, (list, dict)):
            yield from inner if isinstance(inner, list) else [inner]
            return
    yield value


def _usage(*places: str, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{place}.{name}" for place in places for name in names)


def _prepare_openrouter(records: Records, context: Context) -> None:  # noqa: ARG001 - as `Table` calls it
    """A model's own count of 0 is none, where OpenRouter's own is one."""
    columns = records.columns
    for native, own in (("prompt_tokens", "plain_prompt"), ("output_tokens", "plain_output")):
        for at, (value, plain_count) in enumerate(zip(columns[native], columns[own], strict=True)):
            if as_number(value) == 0 and as_number(plain_count) > 0:
                columns[native][at] = plain_count


_OPENROUTER: Final = Table(
    fields={
        "time": ("created_at",), "prompt_tokens": ("native_tokens_prompt", "tokens_prompt"),
        "output_tokens": ("native_tokens_completion", "tokens_completion"),
        "cache_read": ("native_tokens_cached", "tokens_cached"),
        "cache_write": ("native_tokens_cache_creation",), "plain_prompt": ("tokens_prompt",),
        "plain_output": ("tokens_completion",),
        "reasoning": ("native_tokens_reasoning", "tokens_reasoning"), "identity": ("id", "generation_id"),
        "model": ("model_permaslug", "model"), "provider": ("provider_name",), "kind": ("api_type",),
    },
    labels=("model", "provider"),
    leave_out={"kind": _kind},
    unpack=_unpack,
    shape=partial(under, names=_LISTS),
    prepare=_prepare_openrouter,
)  # fmt: skip
_HELICONE: Final = Table(
    fields={
        "time": ("request_created_at", "Request Created At", "created_at"), "prompt_tokens": ("prompt_tokens",),
        "output_tokens": ("completion_tokens",), "cache_read": ("prompt_cache_read_tokens",),
        "cache_write": ("prompt_cache_write_tokens",), "reasoning": ("reasoning_tokens",),
        "identity": ("request_id", "id"), "status": ("response_status", "status"), "kind": ("request_path",),
        "reference": ("cache_reference_id",), "session": ("properties.Helicone-Session-Id",),
        "model": ("request_model", "model", "response_model"), "provider": ("provider",),
    },
    labels=("model", "provider"),
    leave_out={"status": served, "kind": _kind, "reference": _reference},
    unpack=_unpack,
    shape=partial(under, names=_LISTS),
)  # fmt: skip
_ENVOY: Final = Table(
    fields={
        "time": ("start_time",),
        "prompt_tokens": ("gen_ai.usage.input_tokens", "llm_input_token", "llm_input_tokens"),
        "output_tokens": ("gen_ai.usage.output_tokens", "llm_output_token", "llm_output_tokens"),
        "cache_read": (
            "gen_ai.usage.cached_input_tokens", "gen_ai.usage.cache_read.input_tokens", "llm_cached_input_token",
        ),
        "cache_write": ("gen_ai.usage.cache_creation.input_tokens", "llm_cache_creation_input_token"),
        "identity": ("request_id", "x-request-id"), "status": ("response_code",), "session": ("session.id",),
        "kind": ("x-envoy-origin-path", "path"),
        "model": ("gen_ai.request.model", "gen_ai.response.model"), "provider": ("gen_ai.provider.name",),
    },
    labels=("model", "provider"),
    leave_out={"status": served, "kind": _kind},
)  # fmt: skip
_PLUGINS: Final = ("ai.proxy", "ai.ai-proxy", "ai.ai-proxy-advanced", "ai.proxy-advanced")
_KONG: Final = Table(
    fields={
        "time": ("started_at",),
        "prompt_tokens": _usage(*_PLUGINS, names=("usage.prompt_tokens",)),
        "output_tokens": _usage(*_PLUGINS, names=("usage.completion_tokens",)),
        "cache_read": _usage(*_PLUGINS, names=("usage.prompt_tokens_details.cached_tokens", "usage.cached_tokens")),
        "identity": ("request.id",), "status": ("response.status",), "kind": ("request.uri",),
        "cached": ("ai.proxy.cache.cache_status", "ai.semantic-cache.cache_status"),
        "model": _usage(*_PLUGINS, names=("meta.request_model", "meta.response_model")),
        "provider": _usage(*_PLUGINS, names=("meta.provider_name",)), "service": ("service.name",),
    },
    labels=("model", "provider", "service"),
    leave_out={"status": served, "kind": _kind, "cached": _own_cache},
)  # fmt: skip
_PORTKEY: Final = Table(
    fields={
        "time": ("created_at", "Created At"),
        "prompt_tokens": ("req_units", "Request Tokens", "request_tokens", "prompt_tokens"),
        "output_tokens": ("res_units", "Response Tokens", "response_tokens", "completion_tokens"),
        "cache_read": ("cache_read_input_units", "cache_read_input_tokens"),
        "cache_write": ("cache_write_input_units", "cache_creation_input_tokens"),
        "identity": ("id", "ID"), "session": ("trace_id", "Trace ID"),
        "status": ("response_status_code", "Response Status Code", "is_success"),
        "kind": ("request_url", "Request URL"), "cached": ("cache_status", "Cache Status"),
        "model": ("ai_model", "AI Model"), "provider": ("ai_org", "AI Provider"),
    },
    labels=("model", "provider"),
    leave_out={"status": served, "kind": _kind, "cached": _own_cache},
    unpack=_unpack,
    shape=partial(under, names=_LISTS),
)  # fmt: skip
_CLOUDFLARE: Final = Table(
    fields={
        "time": ("created_at",), "prompt_tokens": ("tokens_in",), "output_tokens": ("tokens_out",),
        "identity": ("id",), "status": ("status_code",), "success": ("success",), "cached": ("cached",),
        "kind": ("model_type",), "path": ("path",), "model": ("model",), "provider": ("provider",),
    },
    labels=("model", "provider"),
    leave_out={"status": served, "success": served, "cached": _own_cache, "kind": _kind, "path": _kind},
    unpack=_unpack,
    shape=partial(under, names=_LISTS),
)  # fmt: skip

FORMATS = tuple(
    Format(name=name, read=table.read, source=source, patterns=("*.csv", "*.json", "*.jsonl", "*.ndjson", "*.log"))
    for name, table, source in (
        ("openrouter", _OPENROUTER, "OpenRouter activity"),
        ("helicone", _HELICONE, "Helicone requests"),
        ("envoy-ai-gateway", _ENVOY, "Envoy AI Gateway access log"),
        ("kong", _KONG, "Kong AI Gateway log"),
        ("portkey", _PORTKEY, "Portkey log export"),
        ("cloudflare", _CLOUDFLARE, "Cloudflare AI Gateway log"),
    )
)
