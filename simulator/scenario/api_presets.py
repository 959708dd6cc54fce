"""What is known of providers and models behind metered APIs, as settings that a scenario starts from."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

from simulator.errors import close_names

#: What a kind of deployment has no use for.
_VOID = {
    "provisioned": ("limits", "usage_tier"),
    "reserved": ("limits", "usage_tier"),
    "batch": ("limits", "ttft", "output_tokens_per_s", "usage_tier", "prompt_cache"),
}


@cache
def api_presets() -> dict[str, dict[str, Any]]:
    """By name: `settings` as a scenario writes them, and `sources` of each with its basis.

    A preset that extends another has the settings and sources of both.
    """
    raw = json.loads((resources.files("simulator.scenario") / "data" / "apis.json").read_text("utf-8"))
    return {name: _whole(raw, name) for name in raw}


def _whole(raw: dict[str, Any], name: str) -> dict[str, Any]:
    entry = raw[name]
    below = _whole(raw, entry["extends"]) if "extends" in entry else {"settings": {}, "sources": {}}
    settings = merged(below["settings"], entry["settings"])
    return {"settings": settings, "sources": {**below["sources"], **entry["sources"]}}


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Settings over others: mappings key by key, all else replaced."""
    both = {key: merged(below[key], above[key]) for key in below if _maps(below[key]) and _maps(above.get(key))}
    return below | above | both


def _maps(value: object) -> bool:
    return isinstance(value, dict)


def with_preset(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of an API over those of the preset it names.

    Raises:
        ValueError: There is no such preset; the message names the nearest.
    """
    name = settings.get("preset")
    if not isinstance(name, str):
        return settings
    known = api_presets()
    if name not in known:
        near = close_names(name, known, most=3, cutoff=0.4) or list(known)
        raise ValueError(f"there is no preset '{name}'; expected such as {', '.join(near)}")
    deployment = settings.get("deployment")
    kind = deployment.get("kind") if isinstance(deployment, dict) else None
    usable = {key: value for key, value in known[name]["settings"].items() if key not in _VOID.get(str(kind), ())}
    return merged(usable, settings)
