"""The two pages that a board reads: printed first, and of the same numbers as the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from simulator.decision.words import percent, seconds, usd
from simulator.report import page_headlines, page_tables
from simulator.wording import joined

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from markupsafe import Markup

    from simulator.report.show import Show

#: What fits on two pages: rows of the table, and lines of each list. The annex has the rest.
_ROWS: Final = 8
_LINES: Final = 4
_LONG: Final = 200
_LONG_PRINT: Final = 600
_WORDS: Final = {"met": "✓", "missed": "✗", "cannot_tell": "?"}


def board(
    document: Mapping[str, Any],
    show: Show,
    figures: Mapping[str, Mapping[str, Any]],
    warnings: Sequence[str],
    manifest: Mapping[str, Any],
) -> dict[str, Any]:
    """What stands there.

    Args:
        document: The published JSON document.
        show: Puts numbers on the page.
        figures: Those of the report, by name.
        warnings: What deserves doubt, worst first.
        manifest: What made it.
    """
    decision = document["decision"]
    rows = _rows(document, show)
    waits = [name for name in figures if name == "limits"] or [name for name in figures if name.startswith("wait-")]
    risks = [name for name in ("tornado", "volume") if name in figures]
    return {
        "changes": _few(decision["what_would_change_it"]),
        "written": manifest["environment"]["written_at"][:10],
        "rows": rows[:_ROWS],
        "left": max(0, len(rows) - _ROWS),
        "cost": "cost",
        "wait": waits[0] if waits else None,
        "risk": risks[0] if risks else None,
        "doubts": _few([*_about(warnings, document), *(f"Not assessed: {line}" for line in decision["not_assessed"])]),
        "small": _small(document, manifest),
    }


def _rows(document: Mapping[str, Any], show: Show) -> list[dict[str, Any]]:
    """The chosen one first, then by cost; those that were not simulated last."""
    chosen = document["decision"]["recommended"]
    found: list[tuple[tuple[bool, bool, float], dict[str, Any]]] = []
    for at, row in enumerate(document["patterns"]):
        cost = row["monthly_cost_usd"]["mean"] if row["monthly_cost_usd"] else 0.0
        facts = {
            "name": row["name"],
            "chosen": row["name"] == chosen,
            "refused": joined(row["infeasible_reasons"]),
            "cells": [] if row["requests"] is None else _cells(at, row, show),
        }
        found.append(((row["requests"] is None, row["name"] != chosen, cost), facts))
    return [facts for _, facts in sorted(found, key=lambda one: one[0])]


def _cells(at: int, row: Mapping[str, Any], show: Show) -> list[Markup | str]:
    grows = row["saturation"] == "overloaded"
    years = ("first_year_usd", "three_years_usd")
    # A run that was kept before there was such a thing has none.
    cash = [show(f"patterns.{at}.cash.{key}", usd) if row.get("cash") else "–" for key in years]
    answers = {load["objective"]["answer"] for load in row["workloads"].values() if load["objective"]}
    answer = next((one for one in ("missed", "cannot_tell", "met") if one in answers), None)
    busy = row["utilisation"] is not None
    return [
        page_tables.interval(f"patterns.{at}.monthly_cost_usd", "mean", usd, show),
        *cash,
        *(
            "grows" if grows else page_tables.interval(f"patterns.{at}.latency.{metric}", "p99", seconds, show)
            for metric in ("ttft_s", "e2e_s")
        ),
        show(f"patterns.{at}.utilisation.busy_fraction", percent) if busy else "–",
        "–" if answer is None else _WORDS[answer],
    ]


def _about(warnings: Sequence[str], document: Mapping[str, Any]) -> list[str]:
    """Those that name the pattern that the page is about come first."""
    at = page_headlines.subject(document)
    name = "" if at is None else document["patterns"][at]["name"]
    return sorted(warnings, key=lambda line: name not in line.partition(":")[0].split(", "))


def _few(lines: Sequence[str]) -> dict[str, Any]:
    """As many lines as fit, each as far as it fits, and how many are left."""
    return {"lines": [_cut(line, _LONG) for line in lines[:_LINES]], "left": max(0, len(lines) - _LINES)}


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most].rpartition(' ')[0]} …"


def _small(document: Mapping[str, Any], manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Assumptions in a few words: whose prices, which step times, how much demand, what made it."""
    book = document["price_book"]
    prices = ", ".join(
        f"{row['key']} {row['price'].partition('; ')[0]} ({row['basis']}, {row['captured_on']})"
        for row in page_tables.prices(document)
    )
    made = ", ".join(f"{row['id']} ({row['label']})" for row in page_tables.profiles(manifest))
    demand = document.get("demand", {}).items()
    month = ", ".join(f"{name} {page_tables.count(one['billed_requests_per_month'])}" for name, one in demand)
    days = f"{document['horizon_days']:.4g} days, replications: {document['replications']}, seed {document['seed']}"
    found = [
        ("Prices", f"book {book['id']} of {book['date']}: {prices}"),
        ("Step times", made),
        ("Requests a month", month),
        ("Simulated", f"{days}; no patient data"),
        ("Month", f"{document['month_hours']:g} h"),
        ("Made by", f"simulator {document['simulator_version']}, scenario {document['scenario']['sha256'][:12]}"),
    ]
    return [(label, _cut(text, _LONG_PRINT)) for label, text in found if text]
