"""What a bill comes to when salaries, energy and tokens have become dearer, or cheaper."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from typing import Final

from simulator.cost import tco
from simulator.cost.bill import Bill
from simulator.cost.lines import AHEAD, UNTAXED, BillLine, Factor, backend_of, total
from simulator.cost.own_lines import OWN
from simulator.scenario.rollout import Escalation

_SALARIES: Final = frozenset({"staff", "on_call", "model_updates"})
#: Lines of an API that it shares with clusters: none of them is its tokens.
_BESIDE: Final = frozenset({"storage", "network", "monitoring", "egress", "compliance", "vat"}) | _SALARIES


def escalated(bill: Bill, yearly: Escalation, years: Fraction) -> Bill:
    """A bill after so many years of constant yearly changes: (1 + change)^years.

    Compliance and taxes are shares of other lines, and move with them.
    """
    factors = {
        kind: tco.exact(float((1.0 + change) ** float(years)))
        for kind, change in (("salaries", yearly.salaries), ("energy", yearly.energy), ("api", yearly.api))
    }
    lines: list[BillLine] = []
    for backend in dict.fromkeys(map(backend_of, bill.lines)):
        lines += _of_backend([line for line in bill.lines if backend_of(line) == backend], factors)
    order = [line.key for line in bill.lines]
    return Bill(tuple(sorted(lines, key=lambda line: order.index(line.key))))


def _of_backend(before: list[BillLine], factors: dict[str, Fraction]) -> list[BillLine]:
    own = [line for line in before if _name(line) not in ("compliance", "vat", "purchase_vat")]
    after = [_times(line, factors.get(_kind(line), Fraction(1))) for line in own]
    for share in (line for line in before if _name(line) == "compliance"):
        after.append(_times(share, _ratio(own, after)))
    taxed = [line for line in before if _name(line) not in UNTAXED | {"vat"}]
    dearer = [line for line in after if _name(line) not in UNTAXED]
    for line in before:
        if _name(line) == "vat":
            after.append(_times(line, _ratio(taxed, dearer)))
        elif _name(line) == "purchase_vat":
            after.append(line)
    return after


def _ratio(before: Iterable[BillLine], after: Iterable[BillLine]) -> Fraction:
    base = total(list(before))
    return tco.exact(total(list(after))) / tco.exact(base) if base else Fraction(1)


def _times(line: BillLine, factor: Fraction) -> BillLine:
    if factor == 1:
        return line
    basis = f"{line.basis}; {float(factor):.4g} times as dear by then"
    dearer = replace(line, usd=tco.to_decimal(tco.exact(line.usd) * factor), basis=basis)
    if any(one.lines for one in line.factors):
        # The lines it is a share of have become dearer themselves.
        return dearer
    formula = f"({line.formula}) * {{{len(line.factors)}}}"
    return replace(dearer, formula=formula, factors=(*line.factors, Factor("as dear by then", factor)))


def _name(line: BillLine) -> str:
    key = line.key.rpartition(".")[2]
    return rest if (rest := key.removeprefix("api_")) in _BESIDE else key


def _kind(line: BillLine) -> str:
    key = line.key.rpartition(".")[2]
    if _name(line) in _SALARIES:
        return "salaries"
    if key == "power":
        return "energy"
    if key.removeprefix("api_").startswith(OWN):
        return ""
    if key.removeprefix("api_").startswith("service_"):
        return "api"
    return "api" if (key.startswith("api_") and _name(line) == key) or key in AHEAD else ""
