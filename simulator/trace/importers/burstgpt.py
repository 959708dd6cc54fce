"""BurstGPT: a campus's calls of ChatGPT and GPT-4 over months."""

from __future__ import annotations

from simulator.trace.importers.context import Format
from simulator.trace.importers.table import Table

# Times are seconds since a local midnight; no response tokens mean that the call failed.
_TABLE = Table(
    fields={
        "time": ("Timestamp",), "prompt_tokens": ("Request tokens",), "output_tokens": ("Response tokens",),
        "session": ("Session ID",), "model": ("Model",), "kind": ("Log Type",),
    },
    labels=("model", "kind"),
    unit_s=1.0,
)  # fmt: skip

FORMATS = (
    Format(
        name="burstgpt",
        read=_TABLE.read,
        source="BurstGPT, HPMLL/BurstGPT; Wang et al., 2024",
        licence="CC-BY-4.0",
        own_zero=True,
        public=True,
    ),
)
