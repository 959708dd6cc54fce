"""OpenMetrics text: families of samples with timestamps.

The format is that of the OpenMetrics specification 1.0: one family after the other, all samples of a series in order
of time, `# EOF` at the end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart.

    Attributes:
        suffix: What its name adds to the family's, such as `_bucket`.
        labels: Its labels.
        values: One for each time.
    """

    suffix: str
    labels: Mapping[str, str]
    values: NDArray[np.float64] | NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Family:
    """Series of one name.

    Attributes:
        name: Without the suffixes.
        kind: Counter, gauge or histogram.
        help: One line.
        series: All of them.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    series: list[Series] = field(default_factory=list)


def lines(families: Iterable[Family], times_s: NDArray[np.float64]) -> Iterator[str]:
    """The text, piece by piece.

    Args:
        families: Each name once.
        times_s: Seconds since 1970, ascending; those of every series.
    """
    stamps = [f" {time:.3f}\n" for time in times_s.tolist()]
    for family in families:
        if not family.series:
            continue
        yield f"# HELP {family.name} {_escaped(family.help)}\n# TYPE {family.name} {family.kind}\n"
        for series in family.series:
            labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in series.labels.items())
            head = f"{family.name}{series.suffix}{{{labels}}} "
            yield "".join(
                f"{head}{value!r}{stamp}" for value, stamp in zip(series.values.tolist(), stamps, strict=True)
            )
    yield "# EOF\n"


def bound(value: float) -> str:
    """The upper bound of a bucket as Prometheus' own clients write it.

    >>> bound(1.0), bound(0.25), bound(float("inf"))
    ('1.0', '0.25', '+Inf')
    """
    return "+Inf" if value == float("inf") else repr(float(value))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
