"""LiteLLM's spend logs, the table `LiteLLM_SpendLogs` exported as CSV, JSON or Parquet."""

from __future__ import annotations

from typing import Any

from simulator.trace.importers.context import Format
from simulator.trace.importers.table import Table


def _status(value: Any) -> str | None:  # noqa: ANN401 - whatever the file holds
    return "failed" if isinstance(value, str) and value.lower() == "failure" else None


def _cache_hit(value: Any) -> str | None:  # noqa: ANN401 - likewise
    return "answered from LiteLLM's own cache" if str(value).lower() == "true" else None


# Names of litellm 1.106, `proxy/schema.prisma`. Not among them: prompts, answers, metadata, users, addresses, keys.
_TABLE = Table(
    fields={
        "time": ("startTime", "start_time"), "prompt_tokens": ("prompt_tokens",),
        "output_tokens": ("completion_tokens",), "identity": ("request_id",), "session": ("session_id",),
        "status": ("status",), "cache_hit": ("cache_hit",), "model": ("model_group", "model"),
        "provider": ("custom_llm_provider",), "team": ("team_id",), "tag": ("request_tags",),
    },
    labels=("model", "provider", "team", "tag"),
    leave_out={"status": _status, "cache_hit": _cache_hit},
)  # fmt: skip

FORMATS = (Format(name="litellm", read=_TABLE.read, source="LiteLLM spend logs"),)
