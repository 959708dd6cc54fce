"""Traces whose prompts are named by blocks: Mooncake's (FAST '25) and Qwen-Bailian's, which look alike.

Mooncake has milliseconds and blocks of 512 tokens, Bailian seconds and blocks of 16
(alibaba-edu/qwen-bailian-usagetraces-anon, README). More blocks than a prompt has room for tell one from the other.
"""

from __future__ import annotations

from simulator.trace.importers.context import Format
from simulator.trace.importers.table import Table

_FIELDS = {
    "time": ("timestamp", "timestamp_ms"), "prompt_tokens": ("input_length",), "output_tokens": ("output_length",),
    "blocks": ("hash_ids",),
}  # fmt: skip
_MOONCAKE = Table(fields=_FIELDS, unit_s=1e-3, block_tokens=512)
_BAILIAN = Table(
    fields=_FIELDS | {"time": ("timestamp",), "kind": ("type",)}, labels=("kind",), unit_s=1.0, block_tokens=16
)

FORMATS = (
    Format(
        name="mooncake",
        read=_MOONCAKE.read,
        source="Mooncake FAST'25 trace, kvcache-ai/Mooncake; Qin et al., 2025",
        licence="Apache-2.0",
        own_zero=True,
        public=True,
    ),
    Format(
        name="qwen-bailian",
        read=_BAILIAN.read,
        source="Qwen-Bailian usage trace, alibaba-edu/qwen-bailian-usagetraces-anon; Wang et al., ATC 2025",
        licence="Apache-2.0",
        own_zero=True,
        public=True,
    ),
)
