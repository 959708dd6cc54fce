"""Hour-of-week shapes: when in a week a workload asks."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from simulator.errors import Fault, ScenarioError, meant

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@cache
def _shipped() -> dict[str, dict[str, list[float]]]:
    text = (resources.files("simulator.workload") / "data" / "profiles.json").read_text("utf-8")
    shapes: dict[str, dict[str, list[float]]] = json.loads(text)
    return shapes


def profile_names() -> tuple[str, ...]:
    """Names of the shipped profiles, sorted."""
    return tuple(sorted(_shipped()))


def profile_source(name: str) -> tuple[str, str]:
    """Where a shipped profile comes from, and how sure it is.

    Raises:
        ScenarioError: There is none of that name.
    """
    if message := unknown_profile(name):
        raise ScenarioError([Fault("scenario", 0, "profile", message)])
    shape = _shipped()[name]
    return str(shape["source"]), str(shape["confidence"])


def unknown_profile(name: str) -> str | None:
    """What is wrong with a profile name, or None."""
    if name in _shipped():
        return None
    hint = meant(name, profile_names())
    expected = f"xpected one of {', '.join(profile_names())}, or seven rows of 24 weights"
    return f"unknown profile '{name}'; {hint}{' E' if hint else 'e'}{expected}"


def hour_of_week(profile: str | list[list[float]]) -> NDArray[np.float64]:
    """Relative weights, 7 rows (Monday first) of 24 hours, normalised to a sum of 1.

    Raises:
        ScenarioError: Unknown name, not seven rows, or all weights zero.
    """
    import numpy as np

    if isinstance(profile, str):
        if message := unknown_profile(profile):
            raise ScenarioError([Fault("scenario", 0, "profile", message)])
        shape = _shipped()[profile]
        hours = np.array([shape["weekday"]] * 5 + [shape["weekend"]] * 2, np.float64)
        weights = hours / hours.sum(axis=1, keepdims=True) * np.array(shape["days"])[:, None]
    else:
        weights = np.array(profile, np.float64)
    if weights.shape != (7, 24) or weights.sum() <= 0.0:
        raise ScenarioError([Fault("scenario", 0, "profile", "expected seven rows of 24 weights, not all zero")])
    return np.asarray(weights / weights.sum())
