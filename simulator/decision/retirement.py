"""Models of metered APIs that stop answering: within what is simulated, or not long after it.

A verdict is about the simulated days, which are in the future or stand for days like them. So a model must answer on
the last of them, and on the day the price book was closed: nobody can choose today what is gone today.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from simulator.cost.prices import ApiPrice, PriceBook, ServicePrice
    from simulator.scenario.patterns import HostingPattern
    from simulator.scenario.schema import Scenario

#: How long before its end a model is named: hardware bought instead of it is written off over three years or so.
MONTHS_AHEAD: Final = 36


@dataclass(frozen=True, slots=True)
class Retirement:
    """A model that stops answering.

    Attributes:
        pattern: Hosting pattern that calls it.
        model: Its key in the price book.
        retires_on: First day on which it no longer answers.
        successor: What its provider names in its place; None where it names none.
        source: Who says so.
        within_horizon: Whether that is by the last simulated day, so that the pattern is out.
    """

    pattern: str
    model: str
    retires_on: str
    successor: str | None
    source: str
    within_horizon: bool

    @property
    def clause(self) -> str:
        """For a sentence about the pattern."""
        return f"its model {self.model} retires on {self.retires_on} ({_instead(self.successor)})"

    @property
    def said(self) -> str:
        """Without its pattern."""
        return f"{self.model} retires on {self.retires_on}; {_instead(self.successor)}: {self.source}"

    def __str__(self) -> str:
        return f"{self.pattern}: {self.said}"


def judged_until(scenario: Scenario, book: PriceBook) -> date:
    """The last simulated day, or the day the price book was closed where that is later."""
    return max(book.date, (scenario.horizon.end_local - timedelta(microseconds=1)).date())


def retirements(
    scenario: Scenario, names: Iterable[str], book: PriceBook, until: date | None = None
) -> list[Retirement]:
    """Models that stop answering by a day, or within three years of it; the first to go comes first.

    Args:
        scenario: The scenario.
        names: Hosting patterns it is about.
        book: Price book.
        until: The last day on which they are needed; see `judged_until` when absent.
    """
    last = until or judged_until(scenario, book)
    found = [
        Retirement(name, model, str(day), entry.successor or None, entry.retirement_source, day <= last)
        for name in names
        for model, entry, day in _ends(scenario.hosting_patterns[name], book)
        if day < later(last, MONTHS_AHEAD)
    ]
    return sorted(found, key=lambda one: one.retires_on)


def retiring(found: Sequence[Retirement]) -> list[str]:
    """Each model once, with every pattern that calls it."""
    patterns: dict[str, list[str]] = {}
    for one in found:
        patterns.setdefault(one.said, []).append(one.pattern)
    return [f"{', '.join(names)}: {said}" for said, names in patterns.items()]


def shut_down(pattern: HostingPattern, book: PriceBook, first: date, last: date) -> str | None:
    """Why a pattern cannot be had from one day to another: an API of it stops answering; None where none does.

    Args:
        pattern: The pattern.
        book: Price book.
        first: First day on which it is needed.
        last: Last day on which it is needed.
    """
    return (
        "; ".join(_gone(model, entry, day, book, first, last) for model, entry, day in _by(pattern, book, last)) or None
    )


def ended(pattern: HostingPattern, book: PriceBook, last: date) -> str | None:
    """The same for a month of a rollout, of which no other day matters: which models are shut down by its last day."""
    said = (
        f"{model} {'was' if day <= book.date else 'is'} shut down on {day}"
        + (f" ({_instead(entry.successor)})" if entry.successor else "")
        for model, entry, day in _by(pattern, book, last)
    )
    return "; ".join(said) or None


def unavailable(scenario: Scenario, pattern: HostingPattern, book: PriceBook) -> str | None:
    """`shut_down`, over the simulated days."""
    return shut_down(pattern, book, scenario.horizon.start_local.date(), judged_until(scenario, book))


def later(day: date, months: int) -> date:
    """The same day some months on; the last day of a shorter month.

    >>> str(later(date(2027, 11, 30), 3))
    '2028-02-29'
    """
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    following = date(year + (month + 1) // 12, (month + 1) % 12 + 1, 1)
    return min(date(year, month + 1, 1) + timedelta(days=day.day - 1), following - timedelta(days=1))


def _ends(pattern: HostingPattern, book: PriceBook) -> list[tuple[str, ApiPrice | ServicePrice, date]]:
    """Models of a pattern whose end is known."""
    models = {api.model for api in pattern.metered.values()}
    entries = {model: book.api_prices.get(model) or book.services.get(model) for model in sorted(models)}
    return [(model, entry, entry.retires_on) for model, entry in entries.items() if entry and entry.retires_on]


def _by(pattern: HostingPattern, book: PriceBook, last: date) -> list[tuple[str, ApiPrice | ServicePrice, date]]:
    return [one for one in _ends(pattern, book) if one[2] <= last]


def _gone(model: str, entry: ApiPrice | ServicePrice, day: date, book: PriceBook, first: date, last: date) -> str:
    if day <= book.date:
        text = f"{model} was shut down on {day}"
    elif day <= first:
        text = f"{model} is shut down on {day}, before the first simulated day, {first}"
    else:
        text = f"{model} is shut down on {day}, and what is simulated lasts to {last}"
    return f"{text} ({_instead(entry.successor)})" if entry.successor else text


def _instead(successor: str | None) -> str:
    return f"its successor is {successor}" if successor else "no successor is named"
