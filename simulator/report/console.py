"""Results on a terminal: what it costs, what users see, and a verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from simulator.decision.results import Results
    from simulator.experiment.results import Interval, Latency, PatternResult
    from simulator.scenario.workloads import Objectives

_KINDS = {"metered_api": "metered API", "self_hosted": "self-hosted", "hybrid": "hybrid"}
_SATURATION = {"stable": "green", "backlogged": "yellow", "overloaded": "red"}


def render(results: Results, warnings: Sequence[str] = ()) -> RenderableType:
    """Everything `simulator run` shows."""
    parts: list[RenderableType] = [_heading(results), _costs(results), _latencies(results), _objectives(results)]
    parts.append(_notes(results))
    if warnings:
        parts.append(_bullets("Take care", warnings, "yellow"))
    parts.append(_verdict(results))
    return Group(*parts)


def _heading(results: Results) -> RenderableType:
    scenario = results.scenario
    days = scenario.horizon.duration_s / 86_400.0
    arrived = next((result.requests.arrived for result in results.patterns if result.requests), 0)
    count = f"{results.replications} replication" + ("s" if results.replications != 1 else "")
    facts = f"{days:g} days from {scenario.horizon.start_local:%A %-d %B %Y}, {arrived:,} requests, {count}, seed "
    text = Text.assemble((scenario.name, "bold"), "  ", scenario.description, "\n")
    return Text.assemble(text, (facts + str(scenario.experiment.seed), "dim"))


def _table(title: str, columns: Sequence[str], *, left: int = 1) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number < left else "right", no_wrap=True)
    return table


def _costs(results: Results) -> RenderableType:
    month = f"a month of {float(results.month_hours):g} h"
    table = _table(
        f"What it costs ({month}, price book {results.book.id})",
        ("hosting pattern", "kind", "USD a month", "per 1M tokens", "busy", "of capacity", "to API", "queue"),
        left=2,
    )
    for result in results.patterns:
        if not result.feasible or result.requests is None:
            table.add_row(result.name, _KINDS[result.kind], Text("not allowed", "red"), "", "", "", "", "")
            continue
        usage = result.utilisation or {}
        failed_over = f"{result.requests.failover_share:.2%}" if result.kind == "hybrid" else "–"
        table.add_row(
            _name(result, results),
            _KINDS[result.kind],
            _money(result.monthly_cost_usd),
            f"{result.usd_per_million_tokens:,.2f}" if result.usd_per_million_tokens is not None else "–",
            _share(usage.get("busy_fraction")),
            _share(usage.get("capacity_fraction")),
            failed_over,
            Text(result.saturation or "", _SATURATION[result.saturation or "stable"]),
        )
    return table


def _name(result: PatternResult, results: Results) -> Text:
    chosen = result.name == results.decision.recommended
    return Text(result.name, "bold green" if chosen else "")


def _latencies(results: Results) -> RenderableType:
    columns = ("hosting pattern", "TTFT p50", "p95", "p99", "end-to-end p50", "p95", "p99")
    table = _table("What users wait (seconds; ± is the 95 % interval over replications)", columns)
    for result in results.patterns:
        cells = []
        for metric in ("ttft_s", "e2e_s"):
            latency = result.latency.get(metric)
            cells += [_seconds(latency.p50), _seconds(latency.p95), _p99(latency)] if latency else ["–"] * 3
        table.add_row(_name(result, results), *cells)
    return table


def _objectives(results: Results) -> RenderableType:
    asked = {name: load.objectives for name, load in results.scenario.workloads.items() if load.objectives}
    if not asked:
        return Text()
    columns = [f"{name}\n{_objective(objectives)}" for name, objectives in asked.items()]
    table = _table("Share of requests within the objectives", ("hosting pattern", *columns))
    for result in results.patterns:
        cells = []
        for name in asked:
            found = result.workloads.get(name)
            if found is None or found.share_met is None:
                cells.append(Text("–"))
            else:
                cells.append(Text(_met(found.share_met), "green" if found.objective_met else "red"))
        table.add_row(_name(result, results), *cells)
    return table


def _objective(objectives: Objectives) -> str:
    limits = (("TTFT", objectives.ttft), ("e2e", objectives.end_to_end))
    wanted = ", ".join(f"{label} {_duration(limit)}" for label, limit in limits if limit is not None)
    return f"{objectives.share * 100:g} % within\n{wanted}"


def _met(share: float) -> str:
    # Never round a missed request away.
    return "100 %" if share == 1.0 else f"{min(share, 0.9999):.2%}"


def _notes(results: Results) -> RenderableType:
    if not any(result.utilisation for result in results.patterns):
        return Text()
    served = [
        f"{result.name} {fraction * results.capacity_tokens_per_month[result.name] / 1e6:,.0f}M"
        f" of {results.capacity_tokens_per_month[result.name] / 1e6:,.0f}M"
        for result in results.patterns
        if result.utilisation and (fraction := result.utilisation["capacity_fraction"]) is not None
    ]
    lines = [
        "busy: share of the time in which the GPUs execute a step, however small its batch.",
        "of capacity: requests served over those the cluster could serve of this mix with a full batch,",
        f"in tokens a month: {'; '.join(served)}.",
    ]
    return Padding(Text("\n".join(lines), "dim"), (0, 0, 1, 0))


def _bullets(title: str, lines: Sequence[str], style: str) -> RenderableType:
    table = Table.grid(padding=(0, 1))
    for line in lines:
        table.add_row(Text("•", style), Text(line))
    return Group(Text(title, f"bold {style}"), table, Text())


def _verdict(results: Results) -> RenderableType:
    decision = results.decision
    parts: list[RenderableType] = [
        Text(
            f"Verdict: {decision.recommended or 'none of them'}", "bold green" if decision.recommended else "bold red"
        ),
        Text(decision.reasons[0] + "."),
        Text(),
    ]
    if decision.reasons[1:]:
        parts.append(_bullets("Not chosen", decision.reasons[1:], "red"))
    if decision.capacity_advice:
        parts.append(_bullets("Capacity", [decision.capacity_advice], "cyan"))
    if decision.what_would_change_it:
        parts.append(_bullets("What would change it", decision.what_would_change_it, "cyan"))
    return Group(*parts)


def _money(interval: Interval | None) -> str:
    if interval is None:
        return "–"
    half = (interval.ci95[1] - interval.ci95[0]) / 2.0 if interval.ci95 else 0.0
    return f"{interval.mean:,.2f}" + (f" ± {half:,.2f}" if half >= 0.005 else "")


def _share(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.1%}" if value >= 0.001 else f"{value:.4%}"


def _seconds(value: float) -> str:
    if value < 10.0:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 1000.0 else f"{value:,.0f}"


def _p99(latency: Latency) -> str:
    half = (latency.ci95[1] - latency.ci95[0]) / 2.0 if latency.ci95 else None
    return _seconds(latency.p99) + (f" ± {_seconds(half)}" if half is not None else "")


def _duration(seconds: float) -> str:
    for size, unit in ((3600.0, "h"), (60.0, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"
