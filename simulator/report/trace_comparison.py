"""The agreement of two demands as text."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.study.trace_comparison import Outcome
    from simulator.workload.goodness import Goodness

_VERDICT = {True: "", False: "differs", None: "?"}


def render_comparison(first: str, second: str, goodness: Goodness, outcomes: Sequence[Outcome]) -> str:
    """Tables of statistics, distances, hours of the week and simulated figures."""
    console = Console(file=StringIO(), width=110, highlight=False)
    console.print(f"first   {first}\nsecond  {second}\n", markup=False)
    console.print(_statistics(goodness))
    judged = [one for one in goodness.statistics if one.within is not None]
    within = sum(one.within is True for one in judged)
    console.print(
        f"{within} of {len(judged)} within chance: blocks of {_time(goodness.block_s)}, 95 % each, so about one in "
        "twenty differs where nothing does\n"
    )
    hours = goodness.hour_of_week
    if hours is None:
        console.print("hour of week: nothing to compare (a beginning is unknown, or they share no two hours)")
    else:
        verdict = "within chance" if hours.within else "more than chance"
        console.print(
            f"hour of week: {100 * hours.distance:.1f} % of the requests would have to move, {verdict} "
            f"({100 * hours.chance:.1f} %), over {hours.hours} hours"
        )
    distances = ", ".join(f"{name} {value:.3f}" for name, value in goodness.distances.items())
    console.print(f"Kolmogorov-Smirnov distances: {distances}")
    if outcomes:
        console.print("\nsimulated on both; ± half the 95 % interval of the second over its draws")
        console.print(_outcomes(outcomes))
        if any(one.recordings_differ is not None for one in outcomes):
            console.print("recordings: by how much what the second was learned from differs from the first itself")
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def _statistics(goodness: Goodness) -> Table:
    grid = Table("statistic", box=None, pad_edge=False)
    for name in ("first", "second", "chance", ""):
        grid.add_column(name, justify="left" if not name else "right")
    for one in goodness.statistics:
        error = "?" if one.error is None else f"± {one.error:,.4g}"
        grid.add_row(one.name, f"{one.first:,.4g}", f"{one.second:,.4g}", error, _VERDICT[one.within])
    return grid


def _outcomes(outcomes: Sequence[Outcome]) -> Table:
    learned = any(one.recordings_differ is not None for one in outcomes)
    grid = Table("hosting pattern", "figure", box=None, pad_edge=False)
    for name in ("first", "second", "difference", *(["recordings"] if learned else [])):
        grid.add_column(name, justify="right")
    for one in outcomes:
        error = "" if one.error is None else f" ± {one.error:,.3g}"
        shares = [one.difference, *([one.recordings_differ] if learned else [])]
        grid.add_row(one.pattern, one.metric, f"{one.first:,.4g}", f"{one.second:,.4g}{error}", *map(_share, shares))
    return grid


def _share(difference: float | None) -> str:
    return "–" if difference is None else f"{100 * difference:+.1f} %"


def _time(seconds: float) -> str:
    return f"{seconds / 86_400:g} d" if seconds >= 86_400 else f"{seconds:.0f} s"
