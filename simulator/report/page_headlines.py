"""What people ask first of a pattern: what a note costs, what three years take, what fails, who sees patient data."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from simulator.decision.words import usd

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from simulator.report.show import Show

_JOINT = Markup(", ")


def unit_usd(value: float) -> str:
    """Cents, or as many digits as show something.

    >>> unit_usd(12.3), unit_usd(0.000576), unit_usd(0.0), unit_usd(0.0000012)
    ('12.30', '0.00058', '0.00', '0.0000012')
    """
    return f"{value:,.2f}" if value >= 1 or value == 0 else f"{Decimal(f'{value:.1e}'):f}"


def subject(document: Mapping[str, Any]) -> int | None:
    """Which pattern the page is about: the one that is chosen, or the one that comes nearest; None without either."""
    decision = document["decision"]
    name = decision["recommended"] or (decision["nearest"] or {}).get("pattern")
    found = (at for at, row in enumerate(document["patterns"]) if row["name"] == name and row["requests"])
    return next(found, None)


def headlines(document: Mapping[str, Any], show: Show) -> list[tuple[str, Markup]]:
    """Label and answer, those of which something is known.

    Args:
        document: The published JSON document.
        show: Puts its numbers on a page.
    """
    at = subject(document)
    if at is None:
        return []
    row = document["patterns"][at]
    found = [
        ("In cash", _cash(at, row, show)),
        ("Budget", _budget(document, row, show)),
        ("One of each costs", _units(at, row, show)),
        ("When a part fails", _failures(row, document["decision"]["take_care"])),
        ("Patient data", _patient_data(row["name"], document["compliance"])),
    ]
    return [(label, text) for label, text in found if text]


def _cash(at: int, row: Mapping[str, Any], show: Show) -> Markup:
    if not row.get("cash"):
        return Markup("")
    year, three, once = (
        show(f"patterns.{at}.cash.{key}", usd) for key in ("first_year_usd", "three_years_usd", "before_usd")
    )
    said = Markup("{} USD in the first year, {} USD in three years").format(year, three)
    if row["cash"]["before_usd"]:
        said += Markup(", {} USD of it before the first month").format(once)
    again = [
        Markup("{} USD after month {}").format(show(f"patterns.{at}.cash.renewals_usd.{month}", usd), month)
        for month, paid in row["cash"].get("renewals_usd", {}).items()
        # A set that fetches what it cost is replaced for nothing.
        if paid
    ]
    return said + (
        Markup(", {} for hardware that is written off by then").format(Markup(", ").join(again)) if again else ""
    )


def _budget(document: Mapping[str, Any], row: Mapping[str, Any], show: Show) -> Markup:
    if "budget_usd_per_month" not in document:
        return Markup("")
    most, cost = document["budget_usd_per_month"], row["monthly_cost_usd"]["mean"]
    said = f"{usd(most - cost)} USD a month below" if cost <= most else f"{usd(cost - most)} USD a month above"
    return Markup("{} {} USD").format(said, show("budget_usd_per_month", usd))


def _units(at: int, row: Mapping[str, Any], show: Show) -> Markup:
    """What a note, an appeal, a report and so on cost; workloads whose requests have no name say whose they are."""
    said = []
    for name, load in row["workloads"].items():
        cost = load["cost"]
        if cost is None or cost["usd_per_unit"] is None:
            continue
        what = f"a request of {name}" if cost["unit"] == "request" else f"{_article(cost['unit'])} {cost['unit']}"
        number = show(f"patterns.{at}.workloads.{name}.cost.usd_per_unit", unit_usd)
        said.append(Markup("{} {} USD").format(what, number))
    return _JOINT.join(said)


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeiou" else "a"


def _failures(row: Mapping[str, Any], care: Sequence[str]) -> Markup:
    """What the loss of each kind of part did, the worst of its kind; else the parts of which there is one alone."""
    worst: dict[str, Mapping[str, Any]] = {}
    for one in row.get("losses", ()):
        kept = worst.setdefault(one["component"], one)
        worst[one["component"]] = kept if not kept["survived"] else one
    said = [
        f"without {'the ' if name != 'replica' else 'a '}{name} of {one['of']} at its busiest hour it "
        f"{'keeps its promises' if one['survived'] else 'breaks a promise'}"
        for name, one in worst.items()
    ]
    return escape("; ".join(said or _alone(row["name"], care)))


def _alone(pattern: str, care: Sequence[str]) -> Iterator[str]:
    for line in care:
        names, _, text = line.partition(": ")
        if pattern in names.split(", ") and "its failure stops that" in text:
            yield text


def _patient_data(pattern: str, compliance: Mapping[str, Any]) -> Markup:
    """Everywhere that health information goes, and whether that is covered."""
    found = next((one for one in compliance["patterns"] if one["name"] == pattern), None)
    if found is None:
        return Markup("")
    backends = dict.fromkeys(name for row in found["backends"].values() for name, why in row.items() if not why)
    goes = ", ".join("its own cluster" if name == "cluster" else name for name in backends)
    if not compliance["assessed"]:
        return escape(
            f"prompts go to {goes}; whether they may was not assessed: the scenario has no compliance section"
        )
    hops = [f"{hop['hop']} ({hop['provider'] or 'on site'})" for hop in found["data_flow"] if hop["sees_phi_of"]]
    bare = [hop["hop"] for hop in found["data_flow"] if hop["sees_phi_of"] and not hop["covered"]]
    state = f"not covered: {', '.join(bare)}" if bare else "all of it covered"
    return escape(f"goes to {', '.join([*hops, goes])}; {state if found['allowed'] else 'it may not be used so'}")
