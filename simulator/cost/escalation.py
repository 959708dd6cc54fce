"""What a bill comes to when salaries, energy and tokens have become dearer, or cheaper."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date
from fractions import Fraction
from typing import Final

from simulator.cost import tco
from simulator.cost.api_terms import MINIMUM, short_of
from simulator.cost.bill import Bill
from simulator.cost.lines import AHEAD, UNTAXED, BillLine, Factor, backend_of, total
from simulator.cost.own_lines import OWN, given_back
from simulator.scenario.apis import MeteredApi, Provisioned, Reserved
from simulator.scenario.costs import Prices
from simulator.scenario.patterns import HostingPattern
from simulator.scenario.rollout import Escalation

_SALARIES: Final = frozenset({"staff", "on_call", "model_updates"})
#: Lines of an API that it shares with clusters: none of them is its tokens.
_BESIDE: Final = frozenset({"storage", "network", "monitoring", "egress", "compliance", "vat"}) | _SALARIES


def escalated(bill: Bill, yearly: Escalation, years: Fraction, held: Mapping[str, Fraction] | None = None) -> Bill:
    """A bill after so many years of constant yearly changes: (1 + change)^years.

    Compliance and taxes are shares of other lines, and move with them; a minimum stays, and less falls short of it.

    Args:
        bill: At the prices that hold in that month.
        yearly: The changes.
        years: Since the first month.
        held: By name of an API as its lines have it, the years since its prices hold, where that is less.
    """
    changes = {"salaries": yearly.salaries, "energy": yearly.energy, "api": yearly.api, "services": yearly.api}
    factors = {kind: _after(change, years) for kind, change in changes.items()}
    lines: list[BillLine] = []
    for backend in dict.fromkeys(map(backend_of, bill.lines)):
        name, is_api = backend
        own = factors | {"api": _after(yearly.api, held[name])} if is_api and held and name in held else factors
        lines += _of_backend([line for line in bill.lines if backend_of(line) == backend], own)
    order = [line.key for line in bill.lines]
    return Bill(tuple(sorted(lines, key=lambda line: order.index(line.key))))


def years_held(pattern: HostingPattern, prices: Prices, first: date, month: date) -> dict[str, Fraction]:
    """By API as lines name it, the years in a month since its prices hold, where they do so since after the first.

    A price that is agreed for a later day is that of this day: what changes until then is none of its business. Days
    of both months are their first.
    """
    found = {}
    for name, api in pattern.metered.items():
        begins = _holds_since(api, prices, month)
        if begins is not None and first < begins <= month:
            # A month has the prices of its first day.
            months = 12 * (month.year - begins.year) + month.month - begins.month - (begins.day > 1)
            found[name if len(pattern.metered) > 1 else ""] = Fraction(months, 12)
    return found


def _holds_since(api: MeteredApi, prices: Prices, on: date) -> date | None:
    """First day of the prices of an API that hold on a day; None for those that always did."""
    deployment = api.deployment
    if isinstance(deployment, Reserved) or (isinstance(deployment, Provisioned) and deployment.unit_hour is not None):
        return None
    key = deployment.price_key(api.model) if isinstance(deployment, Provisioned) else api.model
    if api.prices is not None and api.prices.holds(on) and not isinstance(deployment, Provisioned):
        return api.prices.holds_from
    said = prices.overrides.get(key, {}).get("holds_from")
    return None if said is None else date.fromisoformat(str(said))


def _after(change: float, years: Fraction) -> Fraction:
    return tco.exact(float((1.0 + change) ** float(years)))


def _of_backend(before: list[BillLine], factors: dict[str, Fraction]) -> list[BillLine]:
    own = [line for line in before if _name(line) not in ("compliance", "vat", "purchase_vat")]
    after: list[BillLine] = []
    for line in own:
        if _name(line) == MINIMUM:
            after.append(short_of(line, after))
        elif _gives_back(line):
            after.append(given_back(line, after))
        else:
            after.append(_times(line, factors.get(_kind(line), Fraction(1))))
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


def _gives_back(line: BillLine) -> bool:
    return line.key.rpartition(".")[2].removeprefix("api_").startswith(OWN) and line.factors[0].value < 0


def _kind(line: BillLine) -> str:
    key = line.key.rpartition(".")[2]
    if _name(line) in _SALARIES:
        return "salaries"
    if key == "power":
        return "energy"
    if key.removeprefix("api_").startswith(OWN):
        return ""
    if key.removeprefix("api_").startswith("service_"):
        return "services"
    return "api" if (key.startswith("api_") and _name(line) == key) or key in AHEAD else ""
