"""Beside a verdict: how sure it is, what nobody looked at, and which rules of thumb say otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.decision.verdict import Decision


def how_sure(decision: Decision) -> list[str]:
    """How often the choice wins, and what was not assessed."""
    return [*([decision.confidence.text] if decision.confidence else []), *decision.not_assessed]


def otherwise(decision: Decision) -> list[str]:
    """Rules of thumb that name another kind of pattern, and where they contradict each other at this volume."""
    found = []
    for row in decision.rule_tables:
        if row.agrees is False:
            about = "" if row.applies_to == "all" else f" for {row.applies_to}"
            found.append(f"{row.title}{about}: {'; '.join(row.rules)}")
    return [*found, *(f"contradictory: {one.text}" for one in decision.rule_contradictions if one.here)]
