"""A rollout on a terminal: the months, what each way through them costs, and which step pays when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from simulator.decision.words import percent, usd
from simulator.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import RenderableType

    from simulator.study.adoption import Curve
    from simulator.study.month import Month, PatternMonth
    from simulator.study.rollout import RolloutResult, Variant
    from simulator.study.strategies import Strategy

_MILESTONES: Final = 12


def render(result: RolloutResult) -> RenderableType:
    """Everything `simulator rollout` shows; made for 100 columns and more."""
    variants = [("as projected", result.projection)]
    if result.actual is not None:
        variants.append(("as it really goes", result.actual))
    parts: list[RenderableType] = [Text.assemble((result.scenario.name, "bold"), f"  {result.scenario.description}")]
    for name, variant in variants:
        parts += [*_variant(name, variant)]
    parts += [*_bullets("Take care", result.warnings)]
    if result.actual is not None:
        parts.append(Padding(Text(_gap(result.projection, result.actual), "bold"), (0, 0, 1, 0)))
    return Group(*parts)


def _variant(name: str, variant: Variant) -> Iterator[RenderableType]:
    course = variant.course
    yield Text.assemble(("\nAdoption ", "bold"), name, (f"  {_curve(variant.adoption)}", "dim"))
    yield _months(variant)
    yield Text.assemble(("What it costs", "bold"), ("  USD paid by the end of month; purchases when made", "dim"))
    yield _strategies(variant)
    yield from _bullets("Which step pays when", [step.text for step in course.steps])
    yield from _bullets("Reviews", [f"{one.date}: {one.text}" for one in course.reviews])


def _months(variant: Variant) -> RenderableType:
    """The first months, then a month a quarter; all of them are in the JSON."""
    names = list(variant.months[0].patterns)
    plan = variant.course.strategies[0].patterns
    table = _table(("month", "", "share", "M tokens", *(f"{name}\nUSD, p99 s" for name in names)))
    for month in variant.months:
        if month.number > 3 and month.number % 3:
            continue
        cells = [_cell(month, name, planned=plan[month.number - 1] == name) for name in names]
        volume = f"{month.tokens_per_month / 1e6:,.1f}"
        table.add_row(str(month.number), month.date, percent(month.share), volume, *cells)
    gone = any(one.gone for month in variant.months for one in month.patterns.values())
    legend = f"▸ the plan's pattern; ✗ misses objectives{'; † its model is shut down' if gone else ''}"
    return Padding(Group(table, Text(legend, "dim")), (0, 0, 1, 0))


def _cell(month: Month, name: str, *, planned: bool) -> Text:
    one = month.patterns[name]
    if not one.feasible:
        return Text("▸ not allowed" if planned else "not allowed", "red")
    waits = "" if one.e2e_p99_s is None else f", {one.e2e_p99_s:.1f}"
    mark = "▸ " if planned else ""
    fails = f"{' ✗' if _late(one) else ''}{' †' if one.gone else ''}"
    text = f"{mark}{usd(one.monthly_cost_usd)}{waits}{fails}"
    return Text(text, "red" if one.missed else "bold green" if planned else "")


def _strategies(variant: Variant) -> RenderableType:
    count = len(variant.months)
    ends = [*range(_MILESTONES, count, _MILESTONES), count]
    table = _table(("", *(f"month {end}" for end in ends), "objectives"))
    for one in variant.course.strategies:
        missed = _kept(variant.months, one)
        fetched = f", hardware fetching {usd(one.fetched_usd)}" if one.fetched_usd else ""
        table.add_row(f"{one.text}{fetched}", *(usd(one.cumulative_usd[end - 1]) for end in ends), missed)
    return Padding(table, (0, 0, 1, 0))


def _kept(months: Sequence[Month], strategy: Strategy) -> str:
    """Whether a way through the months meets its objectives, apart from whether its models are there for it."""
    if strategy.impossible_months:
        return f"not allowed from month {strategy.impossible_months[0]}"
    each = [(month.number, month.patterns[name]) for month, name in zip(months, strategy.patterns, strict=True)]
    gone = [number for number, one in each if one.gone]
    late = [number for number, one in each if _late(one)]
    said = f"missed in {counted(len(late), 'month')}" if late else "met"
    if not late and all(one.e2e_p99_s is None for _, one in each):
        said = "nothing arrived"
    return f"{said}; shut down from month {gone[0]}" if gone else said


def _late(one: PatternMonth) -> bool:
    """Whether it misses objectives, whether or not its models are there."""
    return one.missed is not None and one.missed != one.gone


def _curve(curve: Curve) -> str:
    facts = ", ".join(f"{name.replace('_', ' ')} {_value(name, value)}" for name, value in curve.parameters.items())
    fit = (
        ""
        if curve.residual is None
        else f", fitted to {counted(len(curve.observed), 'point')}, {100 * curve.residual:.2g} % off"
    )
    return f"{curve.kind}{': ' if facts else ''}{facts}{fit}"


def _value(name: str, value: float) -> str:
    """Shares and growth as they are written, times and rates as numbers."""
    return f"{100 * value:.3g} %" if name in ("first", "monthly_growth", "ceiling") else f"{value:.3g}"


def _gap(projection: Variant, actual: Variant) -> str:
    planned, real = (one.course.strategies[0].cumulative_usd[-1] for one in (projection, actual))
    served, expected = (sum(month.tokens_per_month for month in one.months) for one in (actual, projection))
    share = served / expected if expected else 0.0
    return (
        f"Projection against actual: {percent(share)} of the projected tokens, for {usd(real)} USD instead of "
        f"{usd(planned)} USD over {counted(len(actual.months), 'month')}"
    )


def _table(columns: Iterable[str]) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", vertical="bottom")
    return table


def _bullets(title: str, lines: Sequence[str]) -> Iterator[RenderableType]:
    if lines:
        yield Padding(Group(Text(title, "bold"), *(Text(f"• {line}") for line in lines)), (0, 0, 1, 0))
