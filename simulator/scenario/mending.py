"""Faulty entries of a scenario without what is wrong in them, so that the rest can be checked all the same."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter, ValidationError

from simulator.errors import close_names
from simulator.scenario.base import FieldError
from simulator.scenario.faults import causes

if TYPE_CHECKING:
    from collections.abc import Collection

    from simulator.scenario.yaml_source import Document
    from simulator.units import Rates

#: More faults than this in one entry, and the rest is checked when they are gone.
_TRIES: Final = 40
#: What is put in the place of a part that is missing or was taken out; nothing is said of it.
_STAND_INS: Final[dict[str, Any]] = {
    "volume": {"requests_per_month": 1.0},
    "prompt_tokens": {"kind": "constant", "tokens": 1},
    "output_tokens": {"kind": "constant", "tokens": 1},
    "thinking_tokens": {"kind": "constant", "tokens": 1},
    "ttft": {"median": "1s"},
    "output_tokens_per_s": {"median": 1.0},
    "costs": {"compute": {"kind": "rental", "gpu_hour": "1 USD/h"}},
    "compute": {"kind": "rental", "gpu_hour": "1 USD/h"},
    "model": "",
    "gpu": "",
}


def with_kinds(document: Document, known: Collection[str]) -> Document | None:
    """The same with the kind of each hosting pattern that was probably meant; None where that changes nothing.

    What is below a pattern of an unknown kind cannot be looked at otherwise.
    """
    data = deepcopy(document.data)
    patterns = data.get("hosting_patterns")
    changed = False
    for pattern in patterns.values() if isinstance(patterns, dict) else ():
        if not isinstance(pattern, dict) or pattern.get("kind") in known:
            continue
        meant = close_names(str(pattern.get("kind", "")), known) or _by_its_keys(pattern)
        if meant:
            pattern["kind"] = meant[0]
            changed = True
    return replace(document, data=data, faults=[]) if changed else None


def _by_its_keys(pattern: dict[str, Any]) -> list[str]:
    metered, hosted = ({*pattern} & keys for keys in ({"api", "apis"}, {"cluster", "clusters"}))
    return ["hybrid"] if metered and hosted else ["metered_api"] if metered else ["self_hosted"] if hosted else []


def mended(entries: object, kind: Any, rates: Rates | None = None) -> tuple[dict[str, Any], dict[str, set[str]]]:  # noqa: ANN401
    """The entries as far as they are sound, and the keys that were taken out of each or put into it.

    An entry whose faults cannot be taken out is left out.
    """
    adapter = TypeAdapter(kind)
    sound: dict[str, Any] = {}
    touched: dict[str, set[str]] = {}
    for name, entry in entries.items() if isinstance(entries, dict) else ():
        draft = deepcopy(entry)
        for _ in range(_TRIES):
            try:
                sound[name] = adapter.validate_python(draft, context=rates)
                break
            except ValidationError as error:
                changed = {
                    key
                    for detail in error.errors(include_url=False)
                    for cause in causes(detail)
                    for key in _change(draft, detail, cause)
                }
            except UnicodeEncodeError:  # half a character, which the fault of it names
                break
            if not changed:
                break
            touched.setdefault(name, set()).update(changed)
    return sound, touched


def _change(draft: Any, detail: Any, cause: Exception | None) -> list[str]:  # noqa: ANN401 - a draft is anything
    """Take what one error is about out of a draft, or put in what it misses; the keys on the way there."""
    location = (*detail["loc"], *(cause.key if isinstance(cause, FieldError) else ()))
    holder, way = None, []
    at = draft
    for part in location:
        # What a location names beside keys are the kinds of alternatives.
        if (isinstance(at, dict) and part in at) or (isinstance(at, list) and isinstance(part, int) and part < len(at)):
            holder, at = at, at[part]
            way.append(part)
    absent = location[-1] if location else None
    is_missing = detail["type"] == "missing" or (isinstance(cause, FieldError) and way[-1:] != [absent])
    if is_missing and absent in _STAND_INS and isinstance(at, dict):
        at[absent] = deepcopy(_STAND_INS[str(absent)])
        way.append(absent)
    elif holder is None:
        return []
    else:
        del holder[way[-1]]
    return [str(part) for part in way if isinstance(part, str)]
