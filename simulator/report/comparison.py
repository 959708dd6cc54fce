"""A comparison and what a gate says about it, as text for a console and as Markdown for a pull request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from simulator.gate.metrics import METRICS, shown
from simulator.gate.words import cause_of_change, listed, objectives_of
from simulator.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from simulator.gate.check import Check, Outcome
    from simulator.gate.comparison import Comparison, MetricChange

_SIGNS: Final = re.compile(r"[\\`*\[\]<>|#@~]|(?<!\w)_|_(?!\w)")
#: First line of the Markdown: by it a workflow finds the comment it wrote last time.
MARKER: Final = "<!-- simulator:gate -->"

_SAYS: Final[dict[Outcome, str]] = {
    "passed": "passed",
    "warned": "passed, with something to look at",
    "inconclusive": "is inconclusive",
    "failed": "failed",
}
_STYLE: Final[dict[Outcome, str]] = {
    "passed": "green",
    "warned": "yellow",
    "inconclusive": "yellow",
    "failed": "bold red",
}
#: What is shown of each hosting pattern; the JSON document has everything.
_SHOWN: Final = (
    "monthly_cost_usd",
    "e2e_p99_s",
    "ttft_p99_s",
    "ttfat_p99_s",
    "unserved_share",
    "failed_over_share",
    "busy_fraction",
)
_HEAD: Final = ("hosting pattern", "figure", "before", "now", "change")


def _rows(comparison: Comparison) -> Iterator[tuple[str, ...]]:
    """Figures that moved, of hosting patterns as a whole."""
    for change in comparison.metrics:
        if change.moved and change.workload == "all" and change.metric in _SHOWN:
            unit = METRICS[change.metric].unit
            sides = ["–" if value is None else shown(value, unit) for value in (change.base, change.new)]
            yield change.pattern, change.metric, *sides, _moved(change)


def _moved(change: MetricChange) -> str:
    if change.change is None:
        return "new" if change.base is None else "gone"
    text = shown(change.change.mean, METRICS[change.metric].unit, signed=True)
    return text if change.relative is None else f"{text} ({100 * change.relative:+.1f} %)"


def _headline(comparison: Comparison, judged: Check | None) -> str:
    name = comparison.new.result.scenario.name
    if judged is None:
        moved = sum(change.moved for change in comparison.metrics)
        return f"{name}: {'nothing moved' if not moved else f'{moved} of {len(comparison.metrics)} figures moved'}"
    counts = [f"{len(judged.having(one))} {one}" for one in _SAYS if judged.having(one)]
    return f"{name}: the gate {_SAYS[judged.outcome]} ({', '.join(counts)})"


def _found(judged: Check | None) -> list[tuple[Outcome, str]]:
    """What did not pass, worst first; what is true of several hosting patterns is said once."""
    places: dict[tuple[Outcome, str], list[str]] = {}
    for finding in judged.having("failed", "inconclusive", "warned") if judged else ():
        places.setdefault((finding.outcome, finding.text), []).append(finding.place)
    return [
        (outcome, f"{', '.join(named)}: {text}" if any(named) else text) for (outcome, text), named in places.items()
    ]


def _bills(comparison: Comparison) -> list[str]:
    """One line for each bill that moved, with its causes."""
    return [
        f"{cost.pattern}: {shown(cost.new_usd - cost.base_usd, 'USD', signed=True)} a month"
        + (f": {cause}" if (cause := cause_of_change(comparison, cost.pattern, "monthly_cost_usd")) else "")
        for cost in comparison.costs
    ]


def _objectives(comparison: Comparison) -> list[str]:
    """One line for each workload of a hosting pattern whose objectives were kept otherwise."""
    lines = []
    for name, pattern in comparison.new.patterns.items():
        old = comparison.base.patterns.get(name)
        before, after = ({} if one is None else objectives_of(one) for one in (old, pattern))
        for load in dict.fromkeys((*before, *after)):
            was, now = before.get(load, "none"), after.get(load, "none")
            if old is not None and was != now:
                lines.append(f"{name}, {load}: before {was}; now {now}")
    return lines


def _verdict(comparison: Comparison, judged: Check | None) -> list[str]:
    """What is recommended now, where it was something else; a gate has told it already."""
    before, after = (side.result.decision for side in (comparison.base, comparison.new))
    return [] if judged or str(before) == str(after) else [f"{after}; before: {before}"]


def _asked(comparison: Comparison) -> list[str]:
    told = [change for change in comparison.changes if change.cause != "words"]
    causes = dict.fromkeys(change.cause for change in told)
    return [f"{cause}: {listed([change for change in told if change.cause == cause])}" for cause in causes]


def print_comparison(console: Console, comparison: Comparison, judged: Check | None = None) -> None:
    """Show a comparison, worst first."""
    from rich.table import Table
    from rich.text import Text

    def say(text: str, style: str = "") -> None:
        console.print(Text(text, style))

    say(_headline(comparison, judged), "bold" if judged is None else _STYLE[judged.outcome])
    for outcome, text in _found(judged):
        say(f"{outcome}: {text}", _STYLE[outcome])
    rows = list(_rows(comparison))
    if rows:
        grid = Table(*_HEAD[:2])
        for name in _HEAD[2:]:
            grid.add_column(name, justify="right")
        for row in rows:
            grid.add_row(*map(Text, row))
        console.print(grid)
    for title, lines in (
        ("Verdict", _verdict(comparison, judged)),
        ("Objectives kept otherwise", _objectives(comparison)),
        ("Bills that moved", _bills(comparison)),
        ("Asked differently", _asked(comparison)),
        ("Gone", [f"{name}: {reason}" for name, reason in comparison.missing.items()]),
        ("New hosting patterns", comparison.added),
        ("Notes", comparison.notes),
    ):
        for line in lines:
            say(f"{title}: {line}")


def markdown(comparison: Comparison, judged: Check | None = None) -> str:
    """The same for a pull request; what anybody wrote into a scenario is escaped."""
    found = _found(judged)
    lines = [MARKER, f"### {_plain(_headline(comparison, judged))}", ""]
    lines += [f"- **{outcome}**: {_plain(text)}" for outcome, text in found]
    lines += [""] if found else []
    rows = list(_rows(comparison))
    if rows:
        lines += ["| " + " | ".join(_HEAD) + " |", "| :-- | :-- | --: | --: | --: |"]
        lines += ["| " + " | ".join(map(_plain, row)) + " |" for row in rows]
        lines.append("")
    lines += _section("Verdict", _verdict(comparison, judged))
    lines += _section("Objectives kept otherwise", _objectives(comparison))
    lines += _section("Bills that moved", _bills(comparison))
    lines += _section("Asked differently", _asked(comparison))
    lines += _section("Gone", [f"{name}: {reason}" for name, reason in comparison.missing.items()])
    lines += _section("New hosting patterns", comparison.added)
    lines += _section("Notes", comparison.notes)
    if not rows and not comparison.missing:
        lines += ["No figure moved.", ""]
    base, new = comparison.base.result, comparison.new.result
    lines.append(
        f"<sub>{counted(new.replications, 'replication')}, seed {new.seed}, price book {_plain(new.price_book.id)}, "
        f"simulator {_plain(new.simulator_version)}; baseline {base.scenario.sha256[:12]}, "
        f"now {new.scenario.sha256[:12]}</sub>"
    )
    return "\n".join(lines) + "\n"


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"**{title}**", "", *(f"- {_plain(line)}" for line in lines), ""] if lines else []


def _plain(text: str) -> str:
    """Text that Markdown shows as it is: on one line, with its signs escaped; an underscore within a word is none."""
    return _SIGNS.sub(r"\\\g<0>", " ".join(text.split()))
