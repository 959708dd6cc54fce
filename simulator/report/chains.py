"""Chains of workloads: how long the whole of one takes, how many come to their end, and what one costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.decision.words import duration, kept_share, usd
from simulator.wording import elapsed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulator.report.show import Show
    from simulator.results import Results


def chain_lines(results: Results) -> list[str]:
    """A line for each chain on each hosting pattern; for the beginning of a longer one only where it has a limit."""
    found = []
    beginnings = {name for chain in results.scenario.chains.values() for name in chain[:-1]}
    for pattern in results.patterns:
        for name, load in pattern.workloads.items():
            chain, wait = load.chain, load.latency.get("chain_s")
            if chain is None:
                continue
            parts = (
                ["none completed"] if wait is None else [f"{elapsed(wait.p50)} in the median, p99 {elapsed(wait.p99)}"]
            )
            objectives = results.scenario.workloads[name].objectives
            if name in beginnings and (objectives is None or objectives.chain is None):
                continue
            if wait is not None and objectives is not None and objectives.chain is not None:
                parts[0] += f" (limit {duration(objectives.chain)})"
            if chain.usd is not None:
                parts.append(f"{_cents(chain.usd)} USD each")
            parts.append(_ends(chain.begun, chain.completed, chain.unfinished, chain.ended_in))
            found.append(f"{pattern.name}: {along(chain.workloads)}: {', '.join(parts)}")
    return found


def along(workloads: list[str] | tuple[str, ...]) -> str:
    """A chain in words.

    >>> along(("speech", "note"))
    'speech → note'
    """
    return " → ".join(workloads)


def _ends(begun: int, completed: int, unfinished: int, ended_in: Mapping[str, int]) -> str:
    """Where chains ended.

    >>> _ends(10, 7, 1, {"note": 2})
    '7 of 10 completed (2 ended in note, 1 under way at the end)'
    """
    others = [f"{count:,} ended in {name}" for name, count in ended_in.items() if count]
    others += [f"{unfinished:,} under way at the end"] if unfinished else []
    return f"{completed:,} of {begun:,} completed" + (f" ({', '.join(others)})" if others else "")


def _cents(amount: float) -> str:
    """An amount of which a tenth of a cent counts."""
    return f"{amount:.3f}" if amount < 1.0 else usd(amount)


def chain_table(document: Mapping[str, Any], show: Show) -> dict[str, Any] | None:
    """By chain and hosting pattern: median, p99, share that comes to its end, and USD each; None without chains."""
    rows = [(at, row) for at, row in enumerate(document["patterns"]) if row["requests"] is not None]
    chains = {
        name: along(load["chain"]["workloads"])
        for _, row in rows
        for name, load in row["workloads"].items()
        if "chain" in load
    }
    if not chains:
        return None

    def cells(at: int, name: str) -> list[Any]:
        load = f"patterns.{at}.workloads.{name}"
        wait, chain = show.value(f"{load}.latency.chain_s"), show.value(f"{load}.chain")
        waits = [show(f"{load}.latency.chain_s.{which}", elapsed) for which in ("p50", "p99")] if wait else ["–"] * 2
        share = kept_share(chain["completed"] / chain["begun"]) if chain["begun"] else "–"
        return [*waits, share, show(f"{load}.chain.usd", _cents)]

    return {"rows": [(words, row["name"], cells(at, name)) for name, words in chains.items() for at, row in rows]}
