"""When to take each step of a rollout, on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from simulator.decision.words import usd
from simulator.report.layout import NONE, section, table_of
from simulator.wording import counted

if TYPE_CHECKING:
    from rich.console import RenderableType

    from simulator.study.timing import BestStep, Timing


def render(found: Timing) -> RenderableType:
    """Everything `simulator when` shows."""
    count = len(found.found.projection.months)
    head = Text.assemble((found.found.scenario.name, "bold"), f"  {found.found.scenario.description}")
    total = f"{usd(found.total_usd)} USD paid in {counted(count, 'month')}"
    missed = (
        f"; objectives are missed in {counted(len(found.missed_months), 'month')} even so"
        if found.missed_months
        else ""
    )
    lines: list[RenderableType] = [head, Text()]
    lines += [Text(f"• {_said(step)}") for step in found.steps]
    fetched = f", less {usd(found.fetched_usd)} USD that hardware still fetches" if found.fetched_usd else ""
    lines += [Text(), Text(f"At best: {total}{fetched}{missed}.", "bold")]
    lines += [Text(line) for line in _worths(found)]
    if any(step.shifts for step in found.steps):
        lines += [Text(), _shifts(found)]
    lines += [Text(f"Take care: {warning}", "yellow") for warning in found.found.warnings]
    return Group(*lines)


def _said(step: BestStep) -> str:
    more = _more(step.without_usd, step.without_missed_months)
    if step.month is None:
        return f"{step.phase}: better left out; at its best month it would be {more}"
    if step.month == 1:
        return f"{step.phase} from the first month, {step.date}; without it {more}"
    because = f", as {step.before} will not do from then on ({step.because})" if step.because else ""
    return f"{step.before} to {step.phase} in month {step.month}, {step.date}{because}; without it {more}"


def _worths(found: Timing) -> list[str]:
    """What bought hardware would have to fetch for other months to be best."""
    worths = {"nothing once it is bought": found.at_nothing, "all that is not yet written off": found.at_book_value}
    told = []
    for worth, begins in worths.items():
        pairs = zip(found.phases[1:], begins[1:], found.begins[1:], strict=True)
        moved = [f"{name} {_in_month(at)}" for name, at, best in pairs if at != best]
        if moved:
            told.append(f"Were hardware worth {worth} (rollout.resale): {', '.join(moved)}.")
    return told


def _in_month(month: int | None) -> str:
    return "left out" if month is None else f"in month {month}"


def _more(usd_more: float, missed: int) -> str:
    text = f"{usd(abs(usd_more))} USD {'more' if usd_more >= 0 else 'less'}"
    if missed:
        which = f"{'more' if missed > 0 else 'fewer'} that miss their objectives or cannot be had"
        text += f" and {counted(abs(missed), 'month')} {which}"
    return text


def _shifts(found: Timing) -> RenderableType:
    """What being early or late costs."""
    shown = sorted({shift.months for step in found.steps for shift in step.shifts})
    heads = [f"{counted(abs(at), 'month')}\n{'early' if at < 0 else 'late'}" for at in shown]
    table = table_of(("step", *heads))
    for step in found.steps:
        cells = {
            shift.months: usd(shift.extra_usd) + (" ✗" if shift.extra_missed_months > 0 else "")
            for shift in step.shifts
        }
        if cells:
            table.add_row(step.phase, *(cells.get(at, NONE) for at in shown))
    return section("What it costs to be early or late", "USD more by the end; ✗ misses objectives", table)
