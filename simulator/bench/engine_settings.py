"""`--engine KEY=VALUE`: settings of a server, from the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from simulator.errors import ProfileError
from simulator.scenario.patterns import EngineSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def engine_settings(given: Iterable[str], known: Mapping[str, Any] | None = None) -> EngineSettings:
    """What is known of a server, then what is given as `key=value`, else vLLM's defaults.

    Raises:
        ProfileError: A setting is unknown or its value is not allowed; all faults at once.
    """
    settings, faults = dict(known or {}), []
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or name not in EngineSettings.model_fields:
            faults.append(f"--engine {text}: expected KEY=VALUE, where KEY is {', '.join(EngineSettings.model_fields)}")
            continue
        settings[name] = {"true": True, "false": False}.get(value, _number(value))
    try:
        found = EngineSettings(**settings)
    except ValidationError as error:
        faults += [f"--engine {'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
    if faults:
        raise ProfileError("\n".join(faults))
    return found


def _number(value: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value
