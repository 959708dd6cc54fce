"""ServeGen's client files: for each 600 s the rate of a client and how its gaps are spread, its lengths beside it."""

from __future__ import annotations

import ast
import csv
import math
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from simulator.errors import TraceError
from simulator.reading import read_json
from simulator.streams import stream
from simulator.trace.checks import BOUNDS
from simulator.trace.importers.context import Format, label_field
from simulator.trace.importers.records import LONGEST
from simulator.trace.importers.rows import Rows, make_rows
from simulator.trace.importers.source import BROKEN, open_text
from simulator.trace.importers.values import NS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from simulator.trace.importers.context import Context

WINDOW_S: Final = 600.0
_COLUMNS: Final = 6
_MOST_PER_WINDOW: Final = 2_000_000
_MOST: Final = BOUNDS["prompt_tokens"][1]
#: Logarithms' mean and deviation of lengths, measured 2026-11 over the m-large clients whose lengths are published.
_M_LARGE: Final = {"input_tokens": (6.24, 1.18), "output_tokens": (3.64, 2.05)}


def _read(path: Path, context: Context) -> Iterator[Rows]:
    """Requests of one client: a renewal process whose clock runs with the rate, so that counts follow it."""
    label_field(context.labels, ())
    context.assume("requests were drawn from the rates and distributions of ServeGen's clients")
    draw = stream(context.seed, context.next_file(), "trace/servegen")
    lengths = _lengths(path)
    if lengths is None:
        context.assume("lengths are lognormal as measured over the m-large clients: a client's dataset.json was absent")
    carried = 0.0
    for line, start_s, length_s, rate, kind, shape in _windows(path, context):
        work = rate * length_s
        if not work <= _MOST_PER_WINDOW:
            context.tally.reject(path, [line], f"more than {_MOST_PER_WINDOW:,} requests in a window")
            continue
        points, carried = _points(work, carried, kind, shape, draw)
        if not len(points):
            context.tally.leave_out("an interval without requests", 1)
            continue
        context.tally.draw(len(points))
        prompt, output = (_drawn(lengths, name, start_s, len(points), draw) for name in _M_LARGE)
        yield make_rows(((start_s + points / rate) * NS).astype(np.int64), prompt, output)


def _windows(path: Path, context: Context) -> Iterator[tuple[int, float, float, float, str, float]]:
    """Line, start, length, rate, distribution and shape of each window; wrong ones are counted."""
    found, last_s = [], -1.0
    with open_text(path) as text:
        line = 0
        try:
            for line, row in enumerate(csv.reader(iter(partial(text.readline, LONGEST), "")), 1):
                if row:
                    context.tally.rows += 1
                    window = _window(row, last_s)
                    if isinstance(window, str):
                        context.tally.reject(path, [line], window)
                    else:
                        found.append((line, *window))
                        last_s = window[0]
        except BROKEN:
            raise TraceError(f"{path}:{line + 1}: the file breaks off or is corrupt from here on") from None
        except csv.Error:
            raise TraceError(f"{path}:{line + 1}: not a table of numbers") from None
    for (line, start_s, rate, kind, shape), (_, next_s, *_) in pairwise([*found, (0, math.inf, 0.0, "", 0.0)]):
        yield line, start_s, min(WINDOW_S, next_s - start_s), rate, kind, shape


def _window(row: list[str], after_s: float) -> tuple[float, float, str, float] | str:
    if len(row) != _COLUMNS:
        return f"expected {_COLUMNS} values: start, rate, CV, Gamma or Weibull, and its two numbers"
    kind = row[3].strip().lower()
    try:
        start_s, rate, shape = float(row[0]), float(row[1]), float(row[4] or "nan")
    except ValueError:
        return "start, rate or shape: not a number"
    if not after_s < start_s < 4e9:
        return "start: expected seconds, later than those of the row before"
    if not 0 <= rate < 1e9:
        return "rate: expected requests a second, 0 or more"
    if rate > 0 and not (kind in ("gamma", "weibull") and 0.02 <= shape <= 1000):
        return "expected Gamma or Weibull with a shape from 0.02 to 1,000"
    return start_s, rate, kind, shape


def _points(
    work: float, carried: float, kind: str, shape: float, draw: np.random.Generator
) -> tuple[NDArray[np.float64], float]:
    """Moments on a clock that shows the expected count, and how far beyond the window the next one lies."""
    if work == 0:
        return np.zeros(0), carried
    parts, at = [np.array([carried])], carried
    while at < work:
        size = int(work - at) + 16
        gaps = draw.gamma(shape, size=size) / shape if kind == "gamma" else draw.weibull(shape, size)
        if kind == "weibull":
            gaps /= math.gamma(1 + 1 / shape)
        parts.append(at + np.cumsum(gaps))
        at = float(parts[-1][-1])
    points = np.concatenate(parts)
    inside = points < work
    return points[inside], float(points[~inside][0] - work)


def _lengths(path: Path) -> list[tuple[float, dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]]]] | None:
    """By start of a window, values and cumulative shares of both lengths; None where there is no such file."""
    beside = path.with_name(path.name.replace("-trace.csv", "-dataset.json"))
    if beside == path or not beside.is_file():
        return None
    try:
        content = read_json(beside)
        windows = [
            (float(start), {name: _distribution(one[name]) for name in _M_LARGE}) for start, one in content.items()
        ]
    except (ValueError, TypeError, KeyError, AttributeError, SyntaxError, RecursionError, OSError):
        expected = "expected, by start of a window, the shares of input_tokens and output_tokens by length"
        raise TraceError(f"{beside}: {expected}") from None
    return sorted(windows, key=lambda window: window[0]) or None


def _distribution(given: Any) -> tuple[NDArray[np.int64], NDArray[np.float64]]:  # noqa: ANN401 - whatever the file holds
    """Lengths and cumulative shares, of an object or of one that is written as text."""
    pairs = ast.literal_eval(given) if isinstance(given, str) else given
    values = np.clip(np.array([int(float(value)) for value in pairs]), 1, _MOST)
    shares = np.array([float(share) for share in pairs.values()])
    if not (len(values) and np.isfinite(shares).all() and (shares >= 0).all() and shares.sum() > 0):
        raise ValueError
    return values, np.cumsum(shares) / shares.sum()


def _drawn(lengths: Any, name: str, start_s: float, count: int, draw: np.random.Generator) -> NDArray[np.int64]:  # noqa: ANN401 - as `_lengths` gives it
    if lengths is None:
        return np.clip(np.round(draw.lognormal(*_M_LARGE[name], count)), 1, _MOST).astype(np.int64)
    values, shares = next((one for begin, one in reversed(lengths) if begin <= start_s), lengths[0][1])[name]
    found: NDArray[np.int64] = values[np.minimum(np.searchsorted(shares, draw.random(count)), len(values) - 1)]
    return found


FORMATS = (
    Format(
        name="servegen",
        read=_read,
        source="ServeGen client rates and lengths, alibaba/ServeGen; Xiang et al., 2025",
        licence="Apache-2.0",
        patterns=("*-trace.csv",),
        own_zero=True,
        public=True,
    ),
)
