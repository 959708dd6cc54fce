"""Lines of the bill that code of one's own works out: a graduated price, a rebate, a contract that no key can say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from simulator.cost import tco
from simulator.cost.lines import BillLine, Factor, total
from simulator.errors import SimulatorError
from simulator.extensions import GROUPS, find, place
from simulator.scenario.base import Custom

#: What the keys of such lines begin with.
OWN: Final = "own_"
_CUT: Final = "; gives back "


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


def own_lines(
    lines: Mapping[str, Custom], month: Month, others: Sequence[BillLine], provider: Custom | None = None
) -> list[BillLine]:
    """The lines of one backend, what is given back last: at most what there is to pay.

    Args:
        lines: By name, as the scenario has them.
        month: What they may know.
        others: The other lines of the backend.
        provider: A provider of one's own, which may charge or give back something too.

    Raises:
        SimulatorError: One is no finite amount.
    """
    found = list(others)
    for line in sorted([*_charged(provider, month), *_written(lines, month)], key=lambda line: line.usd < 0):
        found.append(line if line.usd >= 0 else given_back(line, found))
    return found[len(others) :]


def given_back(line: BillLine, others: Sequence[BillLine]) -> BillLine:
    """A line that gives something back, of a backend with these other lines: no more than they come to.

    As providers do, a credit is not paid out: what there is too much of is lost.
    """
    said, to_pay = line.factors[0], total(others)
    basis = line.basis.partition(_CUT)[0]
    if -said.value > to_pay:
        basis = f"{basis}{_CUT}{-said.value:,.2f} USD, more than there is to pay"
    paid = Factor("what there is to pay", to_pay, "USD", "this bill", tuple(one.key for one in others))
    usd = max(tco.to_decimal(tco.exact(said.value)), -to_pay)
    return replace(line, usd=usd, basis=basis, formula="MAX({0}, -{1})", factors=(said, paid))


def lost_usd(line: BillLine) -> Decimal:
    """How much more a line would give back than there is to pay."""
    if not line.key.rpartition(".")[2].removeprefix("api_").startswith(OWN):
        return Decimal(0)
    return line.usd - tco.to_decimal(tco.exact(line.factors[0].value))


def _written(lines: Mapping[str, Custom], month: Month) -> Iterator[BillLine]:
    for name, one in lines.items():
        said = find("cost_lines", one.name)(month, **one.options)
        yield _line(f"{OWN}{name}", name, _amount("cost_lines", one.name, said), "cost_lines", one)


def _charged(provider: Custom | None, month: Month) -> Iterator[BillLine]:
    """What a provider of one's own charges beside its tokens, or gives back; nothing where it does not say."""
    made: Any = None if provider is None else find("api_providers", provider.name)
    if provider is not None and hasattr(made, "usd"):
        usd = _amount("api_providers", provider.name, made(**provider.options).usd(month))
        yield _line(f"{OWN}provider", provider.name, usd, "api_providers", provider)


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
