"""Azure's public LLM inference traces of 2023 and 2024: a moment and two token counts."""

from __future__ import annotations

from simulator.trace.importers.context import Format
from simulator.trace.importers.table import Table

# Of 2023: seven digits of a second and no zone (UTC). Of 2024: a zone, seconds with or without a fraction.
_TABLE = Table(
    fields={"time": ("TIMESTAMP",), "prompt_tokens": ("ContextTokens",), "output_tokens": ("GeneratedTokens",)}
)

FORMATS = (
    Format(
        name="azure-llm-2023",
        read=_TABLE.read,
        source="Azure LLM inference trace 2023, Azure/AzurePublicDataset; Patel et al., Splitwise, ISCA 2024",
        licence="CC-BY-4.0",
        public=True,
    ),
    Format(
        name="azure-llm-2024",
        read=_TABLE.read,
        source="Azure LLM inference trace 2024, Azure/AzurePublicDataset; Stojkovic et al., DynamoLLM, HPCA 2025",
        licence="CC-BY-4.0",
        public=True,
    ),
)
