"""Importers of logs and public traces, one module for each kind; each is loaded when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from simulator.errors import TraceError

if TYPE_CHECKING:
    from simulator.workload.importers.context import Format

#: What can be imported: its name, what it is, and the module whose `FORMATS` read it.
TITLES: Final = {
    "azure-llm-2023": ("Azure's public LLM trace of 2023, code or conv (CSV)", "azure_llm"),
    "azure-llm-2024": ("Azure's public LLM trace of 2024, code or conv (CSV)", "azure_llm"),
}


def find_format(name: str) -> Format:
    """The format of this name.

    Raises:
        TraceError: There is none.
    """
    if name not in TITLES:
        raise TraceError(f"--format: expected one of {', '.join(TITLES)}")
    formats: tuple[Format, ...] = import_module(f"simulator.workload.importers.{TITLES[name][1]}").FORMATS
    return next(known for known in formats if known.name == name)
