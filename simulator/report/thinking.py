"""Reasoning models: what they think, what that makes the user wait, and how many answers it uses up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from simulator.decision.words import duration, percent
from simulator.wording import elapsed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulator.report.show import Show
    from simulator.results import Results
    from simulator.scenario.workloads import Objectives


#: What the limits are called in a table, by what they limit.
LIMIT_NAMES: Final = {"ttft_s": "TTFT", "ttfat_s": "first answer token", "e2e_s": "end to end", "chain_s": "chain"}


def limits_of(objectives: Objectives) -> list[tuple[str, float]]:
    """The limits there are, as they are called in a table."""
    limits = (objectives.ttft, objectives.ttfat, objectives.end_to_end, objectives.chain)
    named = zip(LIMIT_NAMES.values(), limits, strict=True)
    return [(label, limit_s) for label, limit_s in named if limit_s is not None]


def thinking_lines(results: Results) -> list[str]:
    """A line for each workload that thinks, on each hosting pattern."""
    found = []
    for pattern in results.patterns:
        for name, load in pattern.workloads.items():
            wait, first = load.latency.get("ttfat_s"), load.latency.get("ttft_s")
            if load.thinking is None or not load.requests.completed:
                continue
            parts = [f"{load.thinking.tokens / load.requests.completed:,.0f} thinking tokens a request"]
            parts[0] += f", {percent(load.thinking.tokens / load.tokens.output)} of the output"
            if wait is not None and first is not None:
                objectives = results.scenario.workloads[name].objectives
                limit = None if objectives is None else objectives.ttfat
                said = "" if limit is None else f" (limit {duration(limit)})"
                parts.append(f"first answer token p99 {elapsed(wait.p99)}{said}, first token {elapsed(first.p99)}")
            if load.thinking.unanswered:
                share = percent(load.thinking.unanswered / load.requests.completed)
                parts.append(f"{share} of the answers are empty: thoughts used up max_tokens")
            found.append(f"{pattern.name}: {name}: {'; '.join(parts)}")
    return found


def thinking_table(document: Mapping[str, Any], show: Show) -> dict[str, Any] | None:
    """By workload and hosting pattern: thoughts, their share, both first tokens, empty answers; None without any."""
    rows = [(at, row) for at, row in enumerate(document["patterns"]) if row["requests"] is not None]

    def cells(at: int, name: str, load: Mapping[str, Any]) -> list[Any]:
        own, thought, done = f"patterns.{at}.workloads.{name}", load["thinking"], load["requests"]["completed"]
        waits = [
            show(f"{own}.latency.{metric}.p99", elapsed) if load["latency"].get(metric) else "–"
            for metric in ("ttft_s", "ttfat_s")
        ]
        share = percent(thought["tokens"] / load["tokens"]["output"])
        return [f"{thought['tokens'] / done:,.0f}", share, *waits, percent(thought["unanswered"] / done)]

    found = [
        (name, row["name"], cells(at, name, load))
        for at, row in rows
        for name, load in row["workloads"].items()
        if "thinking" in load and load["requests"]["completed"]
    ]
    return {"rows": found} if found else None
