"""Public holidays of a country or a part of it."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date


@lru_cache(maxsize=64)
def public_holidays(place: str, first_year: int, last_year: int) -> tuple[tuple[date, str], ...]:
    """Those of a country, such as US, or a subdivision, such as GB-ENG, in order, with their names.

    Raises:
        NotImplementedError: Nobody knows it.
    """
    import holidays

    country, _, subdivision = place.partition("-")
    years = range(first_year, last_year + 1)
    return tuple(sorted(holidays.country_holidays(country, subdiv=subdivision or None, years=years).items()))
