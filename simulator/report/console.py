"""Results on a terminal: what it costs, what users wait, who is content, and a verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from simulator.compliance.check import assess
from simulator.decision.words import duration, kept_share, percent, seconds, share_range, usd
from simulator.report.chains import chain_lines
from simulator.report.layout import NONE, section, table_of
from simulator.report.second_opinions import how_sure, otherwise
from simulator.report.thinking import LIMIT_NAMES, limits_of, thinking_lines
from simulator.report.unit_costs import unit_costs
from simulator.wording import article, counted, elapsed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import RenderableType

    from simulator.experiment.pattern_result import PatternResult
    from simulator.experiment.workload_result import Interval
    from simulator.results import Results
    from simulator.scenario.workloads import Objectives

_SATURATION = {"stable": "green", "backlogged": "yellow", "overloaded": "red"}
_WORKLOADS_SIDE_BY_SIDE = 5
#: How an answer about an objective is shown.
ANSWERS = {"met": ("✓", ""), "missed": ("✗", "red"), "cannot_tell": ("?", "yellow")}
#: What stands behind step times, in words.
_PROFILE_LABELS = {
    "derived": "step times are put together from kernels timed on this GPU, not from steps of an engine on it",
    "estimated": "step times are put together from kernels of which some were not timed on this GPU but inferred",
    "measured": "step times are those of an engine's steps on this GPU",
}
#: With fewer requests a replication, its p99 is near its largest value, and below the p99 of many months.
_FEW_REQUESTS = 1000


def render(results: Results, warnings: Sequence[str] = (), *, with_rules_of_thumb: bool = False) -> RenderableType:
    """Everything `simulator run --full` shows; made for 100 columns and more.

    Args:
        results: What was found.
        warnings: What else deserves care.
        with_rules_of_thumb: Whether to show what the source article's rules of thumb say otherwise.
    """
    decision = results.decision
    advice = [decision.capacity_advice] if decision.capacity_advice else []
    return Group(
        verdict(results),
        Text(),
        Padding(heading(results), (0, 0, 1, 0)),
        _costs(results),
        _waits(results),
        *_objectives(results),
        *unit_costs(results),
        *_bullets("What reasoning models think before they answer", thinking_lines(results), "cyan"),
        *_bullets("Chains, from their first request to their last token", chain_lines(results), "cyan"),
        _definitions(results),
        *_bullets("Take care", [*_drawn(results), *decision.take_care, *warnings], "yellow"),
        *_bullets("Compliance", [assess(results.scenario).words()], "cyan"),
        *_bullets("How sure the step times are", _doubts(results), "yellow"),
        *_bullets("Reasons", decision.reasons[1:], "cyan"),
        *_bullets("Capacity", advice, "cyan"),
        *_bullets("What would change it", decision.what_would_change_it, "cyan"),
        *_bullets("Rules of thumb that say otherwise", otherwise(decision) if with_rules_of_thumb else [], "dim"),
        *_bullets("How sure the verdict is", how_sure(decision), "yellow"),
        verdict(results),
    )


def heading(results: Results) -> RenderableType:
    """What was asked, and how often."""
    scenario, count = results.scenario, results.replications
    begin = scenario.horizon.start_local
    days = scenario.horizon.duration_s / 86_400.0
    arrived = next((result.requests.arrived for result in results.patterns if result.requests), 0)
    facts = (
        f"{counted(days, 'day')} from {begin:%A} {begin.day} {begin:%B %Y}",
        counted(arrived, "request"),
        "1 replication: no interval" if count == 1 else counted(count, "replication"),
        f"seed {scenario.experiment.seed}",
    )
    title = Text.assemble((scenario.name, "bold"), f"  {scenario.description}" if scenario.description else "")
    return Group(title, Text(" · ".join(facts), "dim"))


def _costs(results: Results) -> RenderableType:
    table = table_of(
        (
            "hosting pattern",
            "USD\na month",
            "\n±",
            "USD per\n1M tokens",
            "GPUs\nbusy",
            "share of capacity,\ntokens a month",
            "answered\nby an API",
            "queue",
        )
    )
    for result in results.patterns:
        if result.requests is None:
            table.add_row(marked(result, results), Text("not feasible", "red"))
            continue
        use = result.utilisation or {}
        table.add_row(
            marked(result, results),
            NONE if result.monthly_cost_usd is None else usd(result.monthly_cost_usd.mean),
            half_usd(result.monthly_cost_usd) if result.monthly_cost_usd else "",
            NONE if result.usd_per_million_tokens is None else f"{result.usd_per_million_tokens:,.2f}",
            _share(use.get("busy_fraction")),
            _capacity(use.get("capacity_fraction"), results.capacity_tokens_per_month.get(result.name)),
            NONE if result.api_share is None else percent(result.api_share),
            Text(result.saturation or "", _SATURATION[result.saturation or "stable"]),
        )
    month = f"a month of {float(results.month_hours):g} h, price book {results.book.id}"
    return section("What it costs", month, table)


def _waits(results: Results) -> RenderableType:
    table = table_of(
        (
            "hosting pattern",
            "TTFT\np50",
            "\np95",
            "\np99",
            "\n±",
            "end to end\np50",
            "\np95",
            "\np99",
            "\n±",
            "completed",
        )
    )
    for result in results.patterns:
        if result.requests is None:
            continue
        cells: list[str | Text] = []
        for metric in ("ttft_s", "e2e_s"):
            latency = result.latency.get(metric)
            cells += [NONE] * 4 if latency is None else [seconds(latency.p50), seconds(latency.p95)]
            if latency is not None:
                grows = result.saturation == "overloaded"
                cells += [Text("grows", "red"), ""] if grows else [seconds(latency.p99), half_of(latency.ci95, seconds)]
        arrived = result.requests.arrived
        cells.append(kept_share(result.requests.completed / arrived) if arrived else NONE)
        table.add_row(marked(result, results), *cells)
    return section("What users wait", "seconds, all workloads together", table)


def _objectives(results: Results) -> list[RenderableType]:
    """Patterns by workloads, a few workloads at a time."""
    wanted = {name: load.objectives for name, load in results.scenario.workloads.items() if load.objectives}
    names = list(wanted)
    sections: list[RenderableType] = []
    for start in range(0, len(names), _WORKLOADS_SIDE_BY_SIDE):
        shown = names[start : start + _WORKLOADS_SIDE_BY_SIDE]
        table = table_of(("hosting pattern", *(f"{_broken(name)}\n[dim]{_limits(wanted[name])}[/]" for name in shown)))
        for result in results.patterns:
            if result.requests is not None:
                table.add_row(marked(result, results), *(_content(result, name) for name in shown))
        sections.append(section("What was promised", "share of requests within each limit", table))
    return sections


def _content(result: PatternResult, workload: str) -> Text:
    found = result.workloads[workload].objective
    if found is None:
        return NONE
    mark, style = ANSWERS[found.answer]
    text = f"{kept_share(found.hardest.share)} {mark}"
    if found.answer == "cannot_tell":
        text += f"\n{share_range(found.hardest.ci99)}"
    if found.answer != "met" and len(found.limits) > 1:
        text += f"\n{LIMIT_NAMES[found.hardest.metric]}"
    return Text(text, style)


def _broken(name: str) -> str:
    """A long name over two lines."""
    words = name.split("_")
    half = (len(words) + 1) // 2
    return "_\n".join("_".join(part) for part in (words[:half], words[half:]) if part)


def _limits(objectives: Objectives) -> str:
    lines = [f"{label} {duration(limit_s)}" for label, limit_s in limits_of(objectives)]
    wanted = [f"for {100.0 * objectives.share:g} %"] if lines else []
    if objectives.availability is not None:
        wanted.append(f"answered {100.0 * objectives.availability:g} %")
    return "\n".join([*lines, *wanted])


def _definitions(results: Results) -> RenderableType:
    if results.replications > 1:
        lines = ["±: half the 95 % interval over replications. p50, p95, p99: values observed, mean over replications."]
    else:
        lines = ["One replication: no figure has an interval; --replications 5 gives them."]
    if any(result.utilisation for result in results.patterns):
        lines += [
            "GPUs busy: share of the time in which a step executes, however small its batch (busy_fraction).",
            "share of capacity: requests served over those the same GPUs could serve of this mix, were each "
            "batch full (capacity_fraction).",
        ]
    labels = {result.step_time_band.label for result in results.patterns if result.step_time_band}
    lines += [f"{label}: {_PROFILE_LABELS[label]}." for label in sorted(labels & {*_PROFILE_LABELS})]
    if any(load.objective for result in results.patterns for load in result.workloads.values()):
        lines.append(
            "✓ met, ✗ missed, ? cannot be told: the 99 % interval of the share, shown below it, holds what is wanted."
        )
    arrived = [result.requests.arrived for result in results.patterns if result.requests]
    if arrived and min(arrived) < _FEW_REQUESTS:
        lines.append(
            f"With {min(arrived):,} requests a replication, a p99 is what such a stretch has on average, less than the "
            "time that 99 % are within in the long run. Objectives are judged by the share over all replications."
        )
    if any(result.saturation == "overloaded" for result in results.patterns):
        lines.append("grows: the queue does not drain, so this figure depends on how long one simulates.")
    return Padding(Text("\n".join(lines), "dim"), (0, 0, 1, 0))


def _drawn(results: Results) -> list[str]:
    return [note for one in results.demand.values() for note in one.notes]


def _doubts(results: Results) -> list[str]:
    """End-to-end p99 at both ends of each profile's band; patterns with the same cluster share a line."""
    found: dict[str, list[str]] = {}
    for result in results.patterns:
        band = result.step_time_band
        if band is None:
            continue
        waits = [
            f"{workload} {elapsed(low)} to {elapsed(high)}"
            for workload, low in band.low.e2e_p99_s.items()
            if low is not None and (high := band.high.e2e_p99_s[workload]) is not None
        ]
        line = (
            f"steps {band.low.factor:.2f} to {band.high.factor:.2f} times as long (how far "
            f"{article(band.label)} profile may be off) would make the end-to-end p99: {', '.join(waits)}"
        )
        found.setdefault(line, []).append(result.name)
    return [f"{', '.join(names)}: {line}" for line, names in found.items()]


def _bullets(title: str, lines: Sequence[str], style: str) -> list[RenderableType]:
    if not lines:
        return []
    table = Table.grid(padding=(0, 1))
    for line in lines:
        table.add_row(Text("•", style), Text(line))
    return [Text(title, f"bold {style}"), Padding(table, (0, 0, 1, 0))]


def verdict(results: Results) -> RenderableType:
    """What to choose, in a sentence."""
    decision = results.decision
    text = Text.assemble(("Verdict: ", "bold"), decision.reasons[0], ".")
    if decision.recommended:
        text.highlight_words([decision.recommended], "bold green")
    return text


def marked(result: PatternResult, results: Results) -> Text:
    """A pattern's name, with a mark on the chosen one."""
    chosen = result.name == results.decision.recommended
    return Text(f"▸ {result.name}" if chosen else f"  {result.name}", "bold green" if chosen else "")


def half_of(ci95: tuple[float, float] | None, shown: Callable[[float], str]) -> str:
    """Half of an interval, as the figures beside it are shown; empty without one, or where it rounds to nothing."""
    if ci95 is None:
        return ""
    text = shown((ci95[1] - ci95[0]) / 2.0)
    return text if text.strip("0.") else ""


def half_usd(interval: Interval) -> str:
    """Half of an interval of a cost, in whole dollars where the cost is shown in these."""
    return half_of(interval.ci95, lambda half: f"{half:,.0f}" if interval.mean >= 99.995 else f"{half:,.2f}")


def _share(value: float | None) -> str | Text:
    return NONE if value is None else percent(value)


def _capacity(share: float | None, tokens_per_month: int | None) -> str | Text:
    if share is None or tokens_per_month is None:
        return NONE
    return f"{percent(share)} of {tokens_per_month / 1e6:,.0f}M"
