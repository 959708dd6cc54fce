"""What people are shown, in their own currency.

Everything is worked out in US dollars, and files for machines hold them, as their keys say. What is printed is
converted at the one rate a scenario states: every amount under a name with `usd` in it, and every amount within a
sentence.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from rich.console import Console

    from simulator.scenario.costs import Prices

_NAMED: Final = re.compile(r"(?:^|_)usd(?:_|$)")
_AMOUNT: Final = re.compile(r"(?<![\w.])(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?(?= USD\b)")


@dataclass(frozen=True, slots=True)
class Shown:
    """A currency to be shown.

    Attributes:
        code: ISO code, three letters like the dollar's: what was laid out for one fits the other.
        usd: US dollars of one unit.
        on: Day of the rate.
        source: Whose rate it is.
    """

    code: str = "USD"
    usd: Decimal = Decimal(1)
    on: str = ""
    source: str = ""

    @classmethod
    def of(cls, prices: Prices) -> Shown:
        """The currency a scenario asks for."""
        rate = prices.rates.get(prices.currency)
        if rate is None:
            return cls()
        return cls(prices.currency, prices.usd_of[prices.currency], str(rate.on), rate.source)

    @property
    def rate(self) -> str:
        """The rate in words; empty for the dollar."""
        if self.code == "USD":
            return ""
        return f"1 {self.code} is {self.usd} US dollars ({self.on}, {self.source})"

    def amount(self, usd: float) -> float:
        """An amount of US dollars in this currency."""
        return usd / float(self.usd)

    def text(self, said: str) -> str:
        """A sentence with its amounts in this currency: as many decimals as it had, cents where a whole one is small.

        The name of the dollar stays: `labelled` gives everything printed its own.
        """
        if self.code == "USD":
            return said

        def converted(match: re.Match[str]) -> str:
            whole, part = match[1], match[2] or ""
            amount = Decimal(whole.replace(",", "") + part) / self.usd
            small = amount < 100 and amount != amount.to_integral_value()
            decimals = len(part) - 1 if part else 2 if small else 0
            return f"{amount:{',' if ',' in whole else ''}.{decimals}f}"

        return _AMOUNT.sub(converted, said)

    def labelled(self, said: str) -> str:
        """What is printed, with this currency's code wherever the dollar's stood."""
        return said if self.code == "USD" else re.sub(r"\bUSD\b", self.code, said)

    def amounts(self, thing: Any, *, money: bool = False) -> Any:  # noqa: ANN401 - whatever is reported
        """A copy of a result, or of its JSON, with every amount in this currency; everything else is the same.

        Args:
            thing: Dataclasses, mappings, sequences and what they hold.
            money: Whether it stands under a name of an amount.
        """
        if self.code == "USD":
            return thing
        if isinstance(thing, str):
            return self.text(thing)
        if isinstance(thing, Decimal):
            return thing / self.usd if money else thing
        if isinstance(thing, (int, float)) and not isinstance(thing, bool):
            return float(thing) / float(self.usd) if money else thing
        if isinstance(thing, dict):
            return {name: self._named(name, value, money=money) for name, value in thing.items()}
        if isinstance(thing, (list, tuple)):
            return type(thing)(self.amounts(one, money=money) for one in thing)
        if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
            fields = (one.name for one in dataclasses.fields(thing) if one.init)
            return dataclasses.replace(
                thing, **{name: self._named(name, getattr(thing, name), money=money) for name in fields}
            )
        return thing

    def _named(self, name: object, value: Any, *, money: bool) -> Any:  # noqa: ANN401 - whatever is reported
        return self.amounts(value, money=money or bool(_NAMED.search(str(name))))

    def console(self, width: int | None) -> Console:
        """A console on standard output that prints this currency's code."""
        import sys

        from rich.console import Console

        if self.code == "USD":
            return Console(width=width)
        return Console(width=width, file=cast("IO[str]", _Relabelled(sys.stdout, self)))


class _Relabelled:
    """A stream that gives everything written to it the code of a currency."""

    def __init__(self, stream: IO[str], shown: Shown) -> None:
        self._stream, self._shown = stream, shown

    def write(self, text: str) -> int:
        """Write, relabelled."""
        return self._stream.write(self._shown.labelled(text))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stream has
        return getattr(self._stream, name)
