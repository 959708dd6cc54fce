"""The price book a scenario is priced with: the shipped one, with the entries the scenario replaces.

An override changes fields of an entry that the book has; what it does not name stays. Unless it says otherwise it is a
quote, and its source is the scenario.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from datetime import date
from difflib import get_close_matches
from functools import cache
from typing import Any, Final

from pydantic import ValidationError

from simulator.cost.prices import PRICED_SECTIONS, PriceBook, load_price_book, read_shipped
from simulator.errors import PriceNotFound
from simulator.scenario.apis import Provisioned
from simulator.scenario.costs import Prices
from simulator.scenario.schema import Scenario
from simulator.units import Rates, in_usd

_UNLESS_SAID: Final = {"basis": "quote", "source": "scenario"}


def scenario_book(prices: Prices, on: date | None = None) -> PriceBook:
    """The book of a scenario. Its hash stays that of the shipped file.

    Args:
        prices: What the scenario says.
        on: Day whose prices are asked for; what holds from a later day is left out. All holds when None.

    Raises:
        PriceNotFound: The book is not shipped, or an override is wrong; see `override_faults`.
    """
    book = load_price_book(prices.book)
    changes: dict[str, Any] = {"on": on, "vat": prices.vat}
    if prices.overrides:
        if faults := override_faults(prices):
            raise PriceNotFound("\n".join(f"{'.'.join(key)}: {message}" for key, message in faults))
        content = _merged(prices, on)
        # The rest of the book is as it was read, once.
        for section in PRICED_SECTIONS:
            known = getattr(book, section)
            own = {
                key: type(known[key]).model_validate(content[section][key]) for key in prices.overrides if key in known
            }
            changes |= {section: known | own} if own else {}
    return book.model_copy(update=changes)


def book_excerpt(prices: Prices, keys: Collection[str], on: date | None = None) -> dict[str, dict[str, Any]]:
    """The entries of these keys that bills are made of, by section; what the book does not have is left out.

    What a run was priced with is thereby known even when the book has changed since. Raises PriceNotFound.
    """
    content = _merged(prices, on)
    used = {
        section: {key: entry for key, entry in content[section].items() if key in keys} for section in PRICED_SECTIONS
    }
    return {section: entries for section, entries in used.items() if entries or section != "services"}


def price_keys(scenario: Scenario) -> Iterator[str]:
    """Every text of the hosting patterns, those that name prices among them, and the names that units go by."""
    yield from texts_in(scenario.resolved["hosting_patterns"])
    for pattern in scenario.hosting_patterns.values():
        for api in pattern.metered.values():
            if isinstance(api.deployment, Provisioned):
                yield api.deployment.price_key(api.model)


def texts_in(value: Any) -> Iterator[str]:  # noqa: ANN401 - a YAML value is anything
    """Every text in there."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts_in(item)


def override_faults(prices: Prices) -> list[tuple[tuple[str, ...], str]]:
    """What is wrong with the overrides: key below `prices.overrides` and message. Raises PriceNotFound for the book."""
    book, content = load_price_book(prices.book), _merged(prices)
    faults: list[tuple[tuple[str, ...], str]] = []
    for key, changes in prices.overrides.items():
        section = _section(content, key)
        if "holds_from" in changes and not _is_day(changes["holds_from"]):
            faults.append(((key, "holds_from"), f"{changes['holds_from']!r}: expected a day such as 2027-01-01"))
        if section is None:
            faults.append(((key,), _unknown(prices.book, key, content)))
            continue
        model = type(getattr(book, section)[key])
        try:
            model.model_validate(content[section][key])
        except ValidationError as error:
            allowed = ", ".join(name for name in model.model_fields if name != "litellm_row")
            for fault in error.errors():
                (field, *inner), message = map(str, fault["loc"]), fault["msg"].removeprefix("Value error, ")
                message = f"{changes[field]!r}: {message}" if field in changes and not inner else message
                unknown = fault["type"] == "extra_forbidden"
                faults.append(
                    ((key, field, *inner), f"unknown field; expected one of {allowed}" if unknown else message)
                )
    return faults


def _unknown(book: str, key: str, content: Mapping[str, Any]) -> str:
    close = get_close_matches(key, [known for section in PRICED_SECTIONS for known in content[section]], cutoff=0.5)
    return f"price book {book} charges for no '{key}'" + (f"; did you mean {', '.join(close)}?" if close else "")


def _merged(prices: Prices, on: date | None = None) -> dict[str, Any]:
    """The shipped file, with the overrides of entries it has that hold on a day."""
    content = dict(_shipped(prices.book))
    for key, changes in prices.overrides.items():
        section = _section(content, key)
        if section is not None and _holds(changes, on):
            kept = {name: value for name, value in content[section][key].items() if name != "litellm_row"}
            entry = {**kept, **_UNLESS_SAID, **_in_usd(_without_day(changes), prices.usd_of)}
            content[section] = {**content[section], key: entry}
    return content


@cache
def _shipped(book: str) -> Mapping[str, Any]:
    """The file of a book, read once. Raises PriceNotFound."""
    content: dict[str, Any] = json.loads(read_shipped(book))
    return content


def _is_day(said: object) -> bool:
    try:
        date.fromisoformat(str(said))
    except ValueError:
        return False
    return True


def _holds(changes: Mapping[str, Any], on: date | None) -> bool:
    """Whether an override holds on a day; any day when None. Raises ValueError for what is no day."""
    day = changes.get("holds_from")
    return day is None or on is None or on >= date.fromisoformat(str(day))


def _without_day(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in changes.items() if name != "holds_from"}


def _in_usd(changes: Any, rates: Rates) -> Any:  # noqa: ANN401 - fields of an entry, prices of long prompts within
    """The same with every amount in US dollars, as the book has them."""
    if isinstance(changes, dict):
        return {name: _in_usd(value, rates) for name, value in changes.items()}
    return in_usd(changes, rates) if isinstance(changes, str) else changes


def _section(content: Mapping[str, Any], key: str) -> str | None:
    return next((section for section in PRICED_SECTIONS if key in content[section]), None)
