"""Version of the installed package."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def package_version() -> str:
    """Version as installed, `0+source` when it is not."""
    try:
        return version("llm-hosting-simulator")
    except PackageNotFoundError:
        return "0+source"
