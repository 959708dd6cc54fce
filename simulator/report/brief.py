"""A run in some twenty lines: the verdict first and last, and between them what it rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.text import Text

from simulator.decision.words import kept_share, percent, usd
from simulator.report.chains import chain_lines
from simulator.report.console import half_of, half_usd, heading, marked, verdict
from simulator.report.layout import NONE, table_of
from simulator.report.thinking import thinking_lines
from simulator.wording import elapsed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from simulator.experiment.pattern_result import PatternResult
    from simulator.results import Results

_PATTERNS: Final = 6
#: Lines of each kind that are shown; one where there are many patterns.
_LINES: Final = 2
_MANY: Final = 3


def brief(results: Results, warnings: Sequence[str] = ()) -> RenderableType:
    """What `simulator run` shows unless asked for everything; made for 100 columns and more."""
    decision = results.decision
    care = [*(note for one in results.demand.values() for note in one.notes), *decision.take_care, *warnings]
    most = _LINES if len(results.patterns) < _MANY else 1
    return Group(
        verdict(results),
        Text(),
        heading(results),
        _patterns(results),
        Text(),
        *_first("Chains", chain_lines(results), "cyan", most),
        *_first("Thinking", thinking_lines(results), "cyan", most),
        *_first("Take care", care, "yellow", most),
        *_first("Would change it", decision.what_would_change_it, "cyan", most),
        *_first("How sure", [decision.confidence.text] if decision.confidence else [], "yellow"),
        *_first("Not assessed", decision.not_assessed, "yellow"),
        Text("All tables, definitions, reasons and doubts: --full", "dim"),
        verdict(results),
    )


def _patterns(results: Results) -> RenderableType:
    """One row each, the chosen one and then the cheapest."""
    table = table_of(
        ("hosting pattern", "USD a month", "±", "p99 end to end", "±", "completed", "GPUs busy", "objectives")
    )
    ordered = sorted(results.patterns, key=lambda one: _place(one, results))
    for result in ordered[:_PATTERNS]:
        if result.requests is None:
            table.add_row(marked(result, results), Text("not feasible", "red"))
            continue
        cost, wait = result.monthly_cost_usd, result.latency.get("e2e_s")
        arrived = result.requests.arrived
        grows = result.saturation == "overloaded"
        busy = (result.utilisation or {}).get("busy_fraction")
        answers = [load.objective.answer for load in result.workloads.values() if load.objective]
        table.add_row(
            marked(result, results),
            NONE if cost is None else usd(cost.mean),
            half_usd(cost) if cost else "",
            NONE if wait is None else Text("grows", "red") if grows else elapsed(wait.p99),
            "" if wait is None or grows else half_of(wait.ci95, elapsed),
            kept_share(result.requests.completed / arrived) if arrived else NONE,
            NONE if busy is None else percent(busy),
            _answered(answers, results, result.name),
        )
    more = len(ordered) - _PATTERNS
    return Group(table, Text(f"and {more} more", "dim")) if more > 0 else table


def _place(result: PatternResult, results: Results) -> tuple[bool, bool, float]:
    cost = result.monthly_cost_usd
    chosen = result.name == results.decision.recommended
    return not chosen, cost is None, cost.mean if cost else 0.0


def _answered(answers: Sequence[str], results: Results, name: str) -> Text:
    """Whether the objectives are met, or why the pattern is out all the same."""
    if "missed" in answers:
        return Text("✗ missed", "red")
    if "cannot_tell" in answers:
        return Text("? cannot tell", "yellow")
    if any(reason.startswith(f"{name} is out") for reason in results.decision.reasons):
        return Text("✗ out", "red")
    if not answers and any(load.objectives for load in results.scenario.workloads.values()):
        # Nothing that is limited arrived.
        return NONE
    return Text("✓ met" if answers else "none stated")


def _first(title: str, lines: Sequence[str], style: str, most: int = 1) -> list[RenderableType]:
    """The first of these, each in one line of the terminal, and how many more there are."""
    shown = lines[:most]
    more = f" (and {len(lines) - most} more)" if len(lines) > most else ""
    rest = [*[""] * (len(shown) - 1), more]
    return [
        Text.assemble((f"{title}{left}: ", f"bold {style}"), line, no_wrap=True, overflow="ellipsis")
        for line, left in zip(shown, rest, strict=False)
    ]
