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
    from collections.abc import Iterator, Mapping

    from rich.console import Console

    from simulator.scenario.costs import Prices

_NAMED: Final = re.compile(r"(?:^|_)usd(?:_|$)")
#: From here on sentences have whole dollars.
_WHOLE: Final = 99.995
_HALF_A_CENT: Final = 0.005
#: Parts of a result with an amount for each replication or volume.
_MANY: Final = ("by_replication", "cost_curve")
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

    def text(self, said: str, exact: Mapping[str, float] | None = None) -> str:
        """A sentence with its amounts in this currency: as many decimals as it had, cents where a whole one is small.

        The name of the dollar stays: `labelled` gives everything printed its own.

        Args:
            said: The sentence.
            exact: What amounts are that it has in whole dollars; one that is not here is what it says.
        """
        if self.code == "USD":
            return said
        known = exact or {}

        def converted(match: re.Match[str]) -> str:
            whole, part = match[1], match[2] or ""
            amount = Decimal(whole.replace(",", "") + part) / self.usd
            if not part and whole in known:
                # As `amount` has it: a half is rounded as the table's is.
                amount = Decimal(self.amount(known[whole]))
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
        return self._of(thing, _whole_dollars(thing), money=money)

    def _of(self, thing: Any, exact: Mapping[str, float], *, money: bool) -> Any:  # noqa: ANN401 - whatever is reported
        if isinstance(thing, str):
            return self.text(thing, exact)
        if isinstance(thing, Decimal):
            return thing / self.usd if money else thing
        if isinstance(thing, (int, float)) and not isinstance(thing, bool):
            return float(thing) / float(self.usd) if money else thing
        if isinstance(thing, dict):
            return {name: self._named(name, value, exact, money=money) for name, value in thing.items()}
        if isinstance(thing, (list, tuple)):
            return type(thing)(self._of(one, exact, money=money) for one in thing)
        if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
            fields = (one.name for one in dataclasses.fields(thing) if one.init)
            return dataclasses.replace(
                thing, **{name: self._named(name, getattr(thing, name), exact, money=money) for name in fields}
            )
        return thing

    def _named(self, name: object, value: Any, exact: Mapping[str, float], *, money: bool) -> Any:  # noqa: ANN401
        return self._of(value, exact, money=money or bool(_NAMED.search(str(name))))

    def console(self, width: int | None) -> Console:
        """A console on standard output that prints this currency's code."""
        import sys

        from rich.console import Console

        if self.code == "USD":
            return Console(width=width)
        return Console(width=width, file=cast("IO[str]", _Relabelled(sys.stdout, self)))


def _whole_dollars(thing: object) -> dict[str, float]:
    """Amounts of a result by the whole dollars that sentences have of them, where only one is written so.

    985 USD at 1.10 are 895.45 EUR, and the 984.71 USD of the table 895.19: a sentence that was rounded twice would
    contradict the table.
    """
    found: dict[str, list[float]] = {}
    for amount in _amounts(thing, money=False):
        found.setdefault(f"{amount:,.0f}", []).append(amount)
    return {whole: some[0] for whole, some in found.items() if max(some) - min(some) < _HALF_A_CENT}


def _amounts(thing: object, *, money: bool) -> Iterator[float]:
    """Amounts of a result that sentences may be about: means of replications, points of no curve."""
    if isinstance(thing, (int, float, Decimal)):
        if money and abs(float(thing)) >= _WHOLE:
            yield float(thing)
    elif isinstance(thing, (list, tuple)):
        for one in thing:
            yield from _amounts(one, money=money)
    else:
        named = _parts(thing)
        for name, value in {"mean": named["mean"]}.items() if "mean" in named else named.items():
            yield from _amounts(value, money=money or bool(_NAMED.search(name)))


def _parts(thing: object) -> dict[str, object]:
    """What a mapping or a dataclass holds, by name; nothing of anything else."""
    if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        return {
            one.name: getattr(thing, one.name)
            for one in dataclasses.fields(thing)
            if one.init and one.name not in _MANY
        }
    return {str(name): value for name, value in thing.items() if name not in _MANY} if isinstance(thing, dict) else {}


class _Relabelled:
    """A stream that gives everything written to it the code of a currency."""

    def __init__(self, stream: IO[str], shown: Shown) -> None:
        self._stream, self._shown = stream, shown

    def write(self, text: str) -> int:
        """Write, relabelled."""
        return self._stream.write(self._shown.labelled(text))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stream has
        return getattr(self._stream, name)
