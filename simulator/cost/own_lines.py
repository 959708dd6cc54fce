"""Lines of the bill that code of one's own works out: a graduated price, a rebate, a contract that no key can say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from simulator.cost import tco
from simulator.cost.lines import BillLine, Factor, total
from simulator.errors import SimulatorError
from simulator.extensions import GROUPS, find, place
from simulator.scenario.base import Custom

#: What the keys of such lines begin with.
OWN: Final = "own_"


@dataclass(frozen=True, slots=True)
class Month:
    """What a line of one's own may know of a month of one backend.

    Attributes:
        hours: Of the billed month.
        prompt_tokens: Prompt tokens that an API charges for, cached ones included, of all attempts; 0 for a cluster.
        cached_prompt_tokens: Of those, charged at the cached price.
        output_tokens: Output tokens that an API charges for; 0 for a cluster.
        tokens: Prompt and output tokens; of a cluster, of what it completed.
        gpus: GPUs of a cluster; 0 of an API.
        busy_fraction: Share of the time in which they execute a step, mean over replicas; 0 of an API.
        usd: By key, the other lines of this backend, those of one's own apart.
    """

    hours: float
    tokens: float
    prompt_tokens: float = 0.0
    cached_prompt_tokens: float = 0.0
    output_tokens: float = 0.0
    gpus: int = 0
    busy_fraction: float = 0.0
    usd: Mapping[str, Decimal] | None = None

    @property
    def others_usd(self) -> Decimal:
        """What the other lines of this backend come to."""
        return sum((self.usd or {}).values(), Decimal(0))


def own_lines(lines: Mapping[str, Custom], month: Month) -> Iterator[BillLine]:
    """The lines of one backend.

    Raises:
        SimulatorError: One is no finite amount, or gives back more than the backend costs.
    """
    for name, one in lines.items():
        said = find("cost_lines", one.name)(month, **one.options)
        yield _line(f"{OWN}{name}", name, _amount("cost_lines", one.name, said), "cost_lines", one)


def charged(provider: Custom | None, month: Month) -> Iterator[BillLine]:
    """What a provider of one's own charges beside its tokens, or gives back; nothing where it does not say."""
    made: Any = None if provider is None else find("api_providers", provider.name)
    if provider is not None and hasattr(made, "usd"):
        usd = _amount("api_providers", provider.name, made(**provider.options).usd(month))
        yield _line(f"{OWN}provider", provider.name, usd, "api_providers", provider)


def refuse_negative(lines: Sequence[BillLine]) -> None:
    """See that lines of one's own give back no more than the others come to.

    Raises:
        SimulatorError: They do.
    """
    own = [line for line in lines if OWN in line.key]
    if own and (usd := total(lines)) < 0:
        names = ", ".join(line.key.rpartition(OWN)[2] for line in own)
        raise SimulatorError(f"with {names} a backend would cost {usd:,.2f} USD a month; expected 0 and more")


def _amount(group: str, name: str, said: object) -> Decimal:
    try:
        usd = Decimal(str(said))
    except ArithmeticError:
        usd = Decimal("nan")
    if isinstance(said, bool) or not usd.is_finite():
        raise SimulatorError(f"the {GROUPS[group]} '{name}' must give USD a month, not {said!r}")
    return tco.to_decimal(tco.exact(usd))


def _line(key: str, name: str, usd: Decimal, group: str, one: Custom) -> BillLine:
    label = name.replace("_", " ").capitalize()
    options = "".join(f", {option} {value}" for option, value in one.options.items())
    source = f"code of one's own: {place(group, one.name)}"
    return BillLine(key, label, usd, f"{source}{options}", "{0}", (Factor(label, usd, "USD", source),))
