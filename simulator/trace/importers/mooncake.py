"""Mooncake's traces (FAST '25): milliseconds, lengths, and the identities of the prompts' blocks of 512 tokens."""

from __future__ import annotations

from simulator.trace.importers.context import Format
from simulator.trace.importers.table import Table

_TABLE = Table(
    fields={
        "time": ("timestamp", "timestamp_ms"), "prompt_tokens": ("input_length",), "output_tokens": ("output_length",),
        "blocks": ("hash_ids",),
    },
    unit_s=1e-3,
    block_tokens=512,
)  # fmt: skip

FORMATS = (
    Format(
        name="mooncake",
        read=_TABLE.read,
        source="Mooncake FAST'25 trace, kvcache-ai/Mooncake; Qin et al., 2025",
        licence="Apache-2.0",
        own_zero=True,
        public=True,
    ),
)
