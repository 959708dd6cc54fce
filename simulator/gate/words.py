"""The cause of a change in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from simulator.decision.words import kept_within
from simulator.gate.metrics import answers, shown
from simulator.gate.result_file import PatternFigures

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from simulator.gate.attribution import Attribution
    from simulator.gate.comparison import Comparison
    from simulator.gate.inputs import Cause, InputChange
    from simulator.gate.result_file import Figures

_MOST: Final = 3
_MONEY: Final = ("monthly_cost_usd", "usd_per_million_tokens", "recommendation")


def cause_of_change(comparison: Comparison, pattern: str, rule: str) -> str:
    """Why a figure of a hosting pattern moved: the changes in what was asked, with their share of a bill."""
    changes = comparison.changes_of(pattern)
    if rule in _MONEY:
        cost = next((cost for cost in comparison.costs if cost.pattern == pattern), None)
        if cost is not None and cost.attribution is not None:
            return _of_bill(cost.attribution, changes)
    priced = any(change.cause == "price" for change in changes)
    if rule not in _MONEY:
        # A price moves no request; the model that it is of may.
        changes = [change for change in changes if change.cause != "price" or change.key[-1] == "model"]
    causes = dict.fromkeys(change.cause for change in changes)
    found = [f"{cause}: {listed([change for change in changes if change.cause == cause])}" for cause in causes]
    if found or comparison.base.result.inputs is None:
        return "; ".join(found)
    return unexplained(comparison, prices=priced)


def cause_of_choice(comparison: Comparison, patterns: Sequence[str]) -> str:
    """Why another hosting pattern is chosen: the cause of each of these, named where several differ."""
    found: dict[str, list[str]] = {}
    for name in patterns:
        found.setdefault(cause_of_change(comparison, name, "recommendation"), []).append(name)
    nothing = unexplained(comparison)
    told = {cause: names for cause, names in found.items() if cause not in ("", nothing)}
    if not told:
        return nothing if nothing in found else ""
    if len(told) == 1:
        return next(iter(told))
    return "; ".join(f"{', '.join(names)}: {cause}" for cause, names in told.items())


def objectives_of(part: Figures) -> dict[str, str]:
    """By workload, what is said of its objectives; of those that are not met, which limits and by how much."""
    loads = part.workloads if isinstance(part, PatternFigures) else {"": part}
    said = {}
    for name, answer in answers(part).items():
        found = loads[name].objective
        limits = [(one.metric, one.limit_s, one.share) for one in found.limits if one.answer == answer] if found else []
        figures = f": {kept_within(limits, found.target_share)}" if found and limits and answer != "met" else ""
        said[name] = f"{answer.replace('_', ' ')}{figures}"
    return said


def _of_bill(attribution: Attribution, changes: Sequence[InputChange]) -> str:
    parts: list[tuple[Decimal, tuple[Cause, ...]]] = [(usd, (cause,)) for cause, usd in attribution.by_usd.items()]
    parts.append((attribution.together_usd, attribution.together))
    largest = max((abs(usd) for usd, _ in parts), default=0)
    found = []
    for usd, causes in sorted(parts, key=lambda part: -abs(part[0])):
        # A hundredth of the largest part, or half a cent, is no cause.
        if abs(usd) * 100 < largest or abs(usd) * 200 < 1:
            continue
        named = [change for change in changes if change.cause in causes]
        text = f"{' and '.join(causes)} {shown(float(usd), 'USD', signed=True)}"
        found.append(f"{text} ({listed(named)})" if named else text)
    return ", ".join(found)


def listed(changes: Sequence[InputChange]) -> str:
    """The first of these, and how many more there are."""
    more = f" and {len(changes) - _MOST} more" if len(changes) > _MOST else ""
    return ", ".join(map(str, changes[:_MOST])) + more


def unexplained(comparison: Comparison, *, prices: bool = False) -> str:
    """What to look at when nothing that was asked has changed, or only prices have and they explain nothing."""
    if not any(change.moved for change in comparison.metrics):
        return ""
    asked = "only prices have changed, which move no request" if prices else "nothing that was asked has changed"
    return f"{asked}: look at profiles, traces and the code"
