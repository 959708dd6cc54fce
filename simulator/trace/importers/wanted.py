"""Which records of a log the user wants, and which of them were served."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from simulator.trace.importers.records import is_absent

if TYPE_CHECKING:
    from collections.abc import Callable

#: Outcomes of calls that were served, in small letters: codes of HTTP, words of gateways, OpenTelemetry's.
_SERVED: Final = re.compile(
    r"2\d\d\b.*|ok|success.*|succeed.*|complet.*|finished|done|true|unset|status_code_(?:ok|unset)|stop|length"
)


def served(value: Any) -> str | None:  # noqa: ANN401 - whatever the file holds
    """Why a record with this outcome is no request that was served; one without an outcome is taken to be."""
    return None if is_absent(value) or _SERVED.fullmatch(plain(value)) else "failed, by its status"


def plain(value: object) -> str:
    """A value as users write it: whole numbers without a fraction, `true` and `false`, small letters, "" for none."""
    if is_absent(value):
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    return str(value).strip().lower()[:200]


def wanted(patterns: tuple[str, ...]) -> Callable[[Any], str | None]:
    """Why a record is not wanted whose field has another value; a pattern with `!` before it is of those not wanted."""
    keep = [one.lower() for one in patterns if not one.startswith("!")]
    drop = [one[1:].lower() for one in patterns if one.startswith("!")]

    def reason(value: Any) -> str | None:  # noqa: ANN401 - whatever the file holds
        text = plain(value)
        good = (not keep or any(fnmatchcase(text, one) for one in keep)) and not any(
            fnmatchcase(text, one) for one in drop
        )
        return None if good else "not wanted (`where`)"

    return reason


Where = Mapping[str, tuple[str, ...]]
