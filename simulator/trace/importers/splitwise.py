"""Traces of the Splitwise simulator: seconds, and the sizes of prompt and answer."""

from __future__ import annotations

from simulator.trace.importers.context import Format
from simulator.trace.importers.table import Table

_TABLE = Table(
    fields={
        "time": ("arrival_timestamp",), "prompt_tokens": ("prompt_size",), "output_tokens": ("token_size",),
        "application": ("application_id",), "kind": ("request_type",),
    },
    labels=("application", "kind"),
    unit_s=1.0,
)  # fmt: skip

FORMATS = (
    Format(
        name="splitwise",
        read=_TABLE.read,
        source="a trace of splitwise-sim; Patel et al., Splitwise, ISCA 2024",
        licence="MIT",
        own_zero=True,
        public=True,
    ),
)
