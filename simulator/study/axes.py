"""What a sweep varies: `path=1,2,4`, `path=1:8:4` for evenly spaced values, `path=0.5:2` to draw from an interval."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from simulator.errors import Fault, ScenarioError
from simulator.scenario.yaml_source import parse_value

if TYPE_CHECKING:
    from collections.abc import Sequence

Sampling = Literal["latin", "sobol"]
#: More configurations than this are a slip, not a question.
MOST: Final = 100_000
_NUMBER = r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_INTERVAL = re.compile(rf"({_NUMBER}):({_NUMBER})(?::(\d+))?")


@dataclass(frozen=True, slots=True)
class Axis:
    """One setting and what it becomes.

    Attributes:
        path: Dotted path of the setting.
        values: What it becomes, one after the other; empty for an interval.
        low: Lower end of an interval.
        high: Upper end of an interval.
        whole: Whether an interval is of whole numbers, both ends included.
    """

    path: str
    values: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    whole: bool = False

    def at(self, share: float) -> Any:  # noqa: ANN401 - a setting is anything
        """The value a share of the way, from 0 up to but not 1."""
        if self.values:
            return self.values[int(share * len(self.values))]
        if self.whole:
            return int(self.low + share * (self.high - self.low + 1))
        return float(f"{self.low + share * (self.high - self.low):.6g}")


def parse_axes(texts: Sequence[str]) -> list[Axis]:
    """Axes from the command line.

    Raises:
        ScenarioError: Every text that is none, and every path given twice.
    """
    split = [(text, *text.partition("=")[::2]) for text in texts]
    return _axes([(text, path, given.strip()) for text, path, given in split])


def axes_of(over: Mapping[str, Sequence[Any] | str]) -> list[Axis]:
    """Axes by path: values one after the other, or a text such as `1:8:4` or `0.5:2`.

    Raises:
        ScenarioError: Every one that is none.
    """
    return _axes([(path, path, given) for path, given in over.items()])


def _axes(given: Sequence[tuple[str, str, Sequence[Any] | str]]) -> list[Axis]:
    """Axes of what they are called in an error, their paths and their values."""
    axes, faults = [], []
    for name, path, values in given:
        try:
            axes.append(_parse(path, values) if isinstance(values, str) else _listed(path, values))
        except (ValueError, ScenarioError) as error:
            message = error.faults[0].message if isinstance(error, ScenarioError) else str(error)
            faults.append(Fault("over", 0, name, message))
    paths = [axis.path for axis in axes]
    faults += [Fault("over", 0, path, "is given twice") for path in dict.fromkeys(paths) if paths.count(path) > 1]
    if faults:
        raise ScenarioError(faults)
    return axes


def _parse(path: str, given: str) -> Axis:
    if not path or not given:
        raise ValueError("expected PATH=VALUES, such as hosting_patterns.hybrid.cluster.replicas=1,2,4")
    found = _INTERVAL.fullmatch(given)
    if found is None:
        return _listed(path, parse_value(f"[{given}]", path))
    low, high, count = float(found[1]), float(found[2]), found[3]
    whole = found[1].lstrip("-").isdecimal() and found[2].lstrip("-").isdecimal()
    if not low < high:
        raise ValueError(f"the interval {found[1]}:{found[2]} is empty; expected LOW:HIGH or LOW:HIGH:COUNT")
    if count is None:
        return Axis(path, (), low, high, whole)
    if int(count) < 2:
        raise ValueError("needs a COUNT of 2 or more in LOW:HIGH:COUNT")
    spaced = [float(f"{value:.12g}") for value in np.linspace(low, high, int(count))]
    whole = whole and all(value.is_integer() for value in spaced)
    return Axis(path, tuple(int(value) if whole else value for value in spaced))


def _listed(path: str, given: Sequence[Any]) -> Axis:
    if not isinstance(given, Iterable) or isinstance(given, Mapping):
        raise ValueError("needs values, such as [1, 2, 4] or '1:8:4'")
    # What a scenario file could not hold, such as the numbers of numpy, is held by none.
    values = [value.item() if isinstance(value, np.generic) else value for value in given]
    if not values:
        raise ValueError("names no value")
    if len({repr(value) for value in values}) < len(values):
        raise ValueError("names a value twice")
    return Axis(path, tuple(values))


def grid(axes: Sequence[Axis]) -> list[dict[str, Any]]:
    """Every combination; the last axis turns fastest.

    Raises:
        ScenarioError: An axis is an interval, or there are too many.
    """
    open_ended = [
        Fault("over", 0, axis.path, "is an interval; say how many values, LOW:HIGH:COUNT, or draw a sample")
        for axis in axes
        if not axis.values
    ]
    if open_ended:
        raise ScenarioError(open_ended)
    _check(int(np.prod([float(len(axis.values)) for axis in axes])))
    return [
        dict(zip([axis.path for axis in axes], point, strict=True))
        for point in product(*(axis.values for axis in axes))
    ]


def sample(axes: Sequence[Axis], points: int, method: Sampling, seed: int) -> list[dict[str, Any]]:
    """Points that fill the space evenly: a Latin hypercube, or scrambled Sobol points (`scipy.stats.qmc`).

    Args:
        axes: Intervals and lists.
        points: How many; a power of two suits Sobol points best.
        method: Which.
        seed: Of the points.
    """
    from scipy.stats import qmc

    _check(points)
    kind = {"latin": qmc.LatinHypercube, "sobol": qmc.Sobol}[method]
    engine = kind(d=len(axes), rng=np.random.default_rng(seed))
    if method == "sobol":
        # Sobol points come in powers of two; drawing more than wanted keeps scipy from warning.
        shares = engine.random_base2(max(0, points - 1).bit_length())[:points]
    else:
        shares = engine.random(points)
    below_one = np.nextafter(1.0, 0.0)
    return [
        {axis.path: axis.at(min(float(share), below_one)) for axis, share in zip(axes, row, strict=True)}
        for row in shares
    ]


def _check(count: int) -> None:
    if count > MOST:
        raise ScenarioError([Fault("over", 0, "", f"{count:,} configurations are too many: {MOST:,} at most")])
