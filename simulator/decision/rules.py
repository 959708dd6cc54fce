"""What rules of thumb say beside a simulated verdict, and where they contradict it and each other.

Only `staffing` ever rules a pattern out; the others are shown, because people know them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import combinations, pairwise
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from simulator.scenario.rules import RuleTable

#: The table that decides who may run a cluster; see `simulator.decision.screening`.
STAFFING = "staffing"
Measures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Advice:
    """What one table says.

    Attributes:
        table: Its name.
        title: The same for people.
        source: Who says so.
        applies_to: The workload it is about, or `all`.
        rules: The rules that hold, in words; none where the table has a gap.
        answers: Kinds of pattern they name.
        agrees: Whether the recommended pattern is of such a kind; None where the table says nothing.
    """

    table: str
    title: str
    source: str
    applies_to: str
    rules: list[str]
    answers: list[str]
    agrees: bool | None


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A range in which a table has a gap or two answers, or two tables share none.

    Attributes:
        tables: One table, or two.
        measure: What the range is about.
        at_least: Where it begins; None without a lower end.
        below: Where it ends; None without an upper end.
        here: Whether the scenario lies within.
        text: The same in words.
    """

    tables: list[str]
    measure: str
    at_least: float | None
    below: float | None
    here: bool
    text: str


def advice(
    tables: Mapping[str, RuleTable], site: Measures, workloads: Mapping[str, Measures], kind: str | None
) -> list[Advice]:
    """What every table says of a site and its workloads; nothing where it asks for what nobody knows.

    Args:
        tables: By name.
        site: What is known of all workloads together.
        workloads: What is known of each.
        kind: Kind of the recommended pattern; None without one.
    """
    found = []
    for name, table in tables.items():
        about = {"all": site} if table.scope == "site" else workloads
        for subject, known in about.items():
            workload = subject if table.scope == "workload" else None
            if not any(rule.is_about(workload) and known.keys() >= rule.when.keys() for rule in table.rules):
                continue
            rules = table.matching(known, workload)
            answers = list(dict.fromkeys(answer for rule in rules for answer in rule.answers))
            agrees = kind in answers if answers and kind else None
            found.append(
                Advice(name, table.title, table.source, subject, [rule.text for rule in rules], list(answers), agrees)
            )
    return found


def contradictions(tables: Mapping[str, RuleTable], site: Measures) -> list[Contradiction]:
    """Gaps and overlaps within each table of a site, and ranges in which two of them share no answer."""
    found: list[Contradiction] = []
    whole = {name: table for name, table in tables.items() if table.scope == "site" and name != STAFFING}
    for measure in dict.fromkeys(measure for table in whole.values() for measure in _measures(table)):
        some = {name: table for name, table in whole.items() if _measures(table) == [measure]}
        for name, table in some.items():
            found += _merged([name], measure, site, _pieces([table], measure), partial(_within, table, measure))
        for (a, first), (b, second) in combinations(some.items(), 2):
            both = [first, second]
            found += _merged([a, b], measure, site, _pieces(both, measure), partial(_between, both, measure))
    return found


def _measures(table: RuleTable) -> list[str]:
    return list(dict.fromkeys(name for rule in table.rules for name in rule.when))


def _pieces(tables: Sequence[RuleTable], measure: str) -> list[tuple[float, float]]:
    """The axis of a measure, cut wherever a rule of these tables begins or ends."""
    limits = [rule.when[measure] for table in tables for rule in table.rules if measure in rule.when]
    ends = {end for limit in limits for end in limit.ends if end is not None}
    return list(pairwise([-inf, *sorted(ends), inf]))


def _inside(piece: tuple[float, float]) -> float:
    low, high = piece
    if low == -inf:
        return high - 1.0
    return low if high == inf else 0.5 * (low + high)


def _within(table: RuleTable, measure: str, at: float) -> str | None:
    """What is wrong with one table at one value."""
    rules = table.matching({measure: at})
    if not rules:
        return "says nothing"
    if len({tuple(rule.answers) for rule in rules}) > 1:
        return "says both " + " and ".join(_named(rule.answers) for rule in rules)
    return None


def _between(tables: Sequence[RuleTable], measure: str, at: float) -> str | None:
    """What two tables say where they share no answer."""
    answers = [[answer for rule in table.matching({measure: at}) for answer in rule.answers] for table in tables]
    if all(answers) and not set(answers[0]) & set(answers[1]):
        return " against ".join(map(_named, answers))
    return None


def _merged(
    names: list[str],
    measure: str,
    site: Measures,
    pieces: Sequence[tuple[float, float]],
    judge: Callable[[float], str | None],
) -> Iterator[Contradiction]:
    """One contradiction for each run of neighbouring pieces of which the same is said."""
    said: list[tuple[float, float, str]] = []
    for piece in pieces:
        text = judge(_inside(piece))
        if text is None:
            continue
        if said and said[-1][1:] == (piece[0], text):
            said[-1] = (said[-1][0], piece[1], text)
        else:
            said.append((*piece, text))
    for low, high, text in said:
        known = site.get(measure)
        yield Contradiction(
            tables=names,
            measure=measure,
            at_least=None if low == -inf else low,
            below=None if high == inf else high,
            here=known is not None and low <= known < high,
            text=f"{' and '.join(names)}, {_range(measure, low, high)}: {text}",
        )


def _range(measure: str, low: float, high: float) -> str:
    scale, unit = (1e6, "M tokens a month") if measure == "tokens_per_month" else (1.0, measure.replace("_", " "))
    if low == -inf:
        return f"below {high / scale:,.0f} {unit}"
    if high == inf:
        return f"from {low / scale:,.0f} {unit}"
    return f"{low / scale:,.0f} to {high / scale:,.0f} {unit}"


def _named(kinds: Sequence[str]) -> str:
    return " or ".join(dict.fromkeys(kind.replace("_", " ") for kind in kinds))
