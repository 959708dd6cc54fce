"""The tables of the report, as rows of text and marked numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from simulator.decision.words import duration, kept_share, percent, seconds, usd
from simulator.experiment.model_length import model_lengths
from simulator.report.page_headlines import subject
from simulator.report.thinking import LIMIT_NAMES, limits_of
from simulator.wording import counted, elapsed, joined

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from simulator.report.show import Show
    from simulator.scenario.schema import Scenario

_NONE = Markup("–")
_KINDS = {"metered_api": "metered API", "self_hosted": "self-hosted", "hybrid": "hybrid"}


def count(value: float) -> str:
    """A whole number with its thousands apart."""
    return f"{value:,.0f}"


def cents(value: float) -> str:
    """Dollars and cents."""
    return f"{value:,.2f}"


def comparison(document: Mapping[str, Any], show: Show) -> list[dict[str, Any]]:
    """A row for each hosting pattern."""
    chosen = document["decision"]["recommended"]
    return [
        {
            "name": row["name"],
            "what": row["description"] or _KINDS.get(row["kind"], row["kind"]),
            "chosen": row["name"] == chosen,
            "refused": joined(row["infeasible_reasons"]),
            "cells": [] if row["requests"] is None else _cells(at, row, show),
        }
        for at, row in enumerate(document["patterns"])
    ]


def _cells(at: int, row: Mapping[str, Any], show: Show) -> list[Markup | str]:
    own, hosted = f"patterns.{at}", row["utilisation"] is not None
    grows = row["saturation"] == "overloaded"
    arrived = row["requests"]["arrived"]
    return [
        interval(f"{own}.monthly_cost_usd", "mean", usd, show),
        show(f"{own}.usd_per_million_tokens", cents),
        show(f"{own}.utilisation.busy_fraction", percent) if hosted else _NONE,
        show(f"{own}.utilisation.capacity_fraction", percent) if hosted else _NONE,
        show(f"{own}.api_share", percent) if row["api_share"] is not None else _NONE,
        "grows" if grows else interval(f"{own}.latency.ttft_s", "p99", seconds, show),
        "grows" if grows else interval(f"{own}.latency.e2e_s", "p99", seconds, show),
        kept_share(row["requests"]["completed"] / arrived) if arrived else _NONE,
        row["saturation"],
    ]


def interval(path: str, key: str, how: Callable[[float], str], show: Show) -> Markup:
    """A number with half its 95 % interval, where it has one that is not nothing."""
    found = show.value(path)
    if found is None:
        return _NONE
    low, high = found["ci95"] or (0.0, 0.0)
    # Cents say nothing beside hundreds of dollars.
    half = (count if how is usd and found[key] >= 99.995 else how)((high - low) / 2.0)
    return show(f"{path}.{key}", how) + (Markup(" <small>± {}</small>").format(half) if half.strip("0.") else "")


def tiles(document: Mapping[str, Any], show: Show) -> list[dict[str, Any]]:
    """The few numbers that go with the verdict: of what is chosen, or of what comes nearest."""
    decision = document["decision"]
    names = [row["name"] for row in document["patterns"]]
    at = subject(document)
    if at is None:
        return []
    row = document["patterns"][at]
    tokens = row["tokens"]["prompt"] + row["tokens"]["output"]
    grows = row["saturation"] == "overloaded"
    found = [
        {
            "label": "a month",
            "value": interval(f"patterns.{at}.monthly_cost_usd", "mean", usd, show),
            "note": f"USD, a month of {document['month_hours']:g} h",
        },
        {
            "label": "99 % of answers are whole within",
            "value": "grows" if grows else interval(f"patterns.{at}.latency.e2e_s", "p99", seconds, show),
            "note": "the queue does not drain" if grows else "seconds, all workloads together",
        },
        {
            "label": "per million tokens",
            "value": show(f"patterns.{at}.usd_per_million_tokens", cents),
            "note": f"USD, {tokens / 1e6:,.0f} million tokens in {document['horizon_days']:.4g} days",
        },
    ]
    if row["utilisation"] is not None:
        busy = show(f"patterns.{at}.utilisation.busy_fraction", percent)
        found.append({"label": "GPUs busy", "value": busy, "note": "of the time"})
    sure = decision.get("confidence")
    if sure and sure["draws"]:
        share = percent(sure["share_won"])
        won = f"{sure['replications_won']} of {counted(sure['replications'], 'replication')}"
        note = f"of {sure['draws']:,} plausible prices, volumes and speeds, and in {won}"
        found.append({"label": "stays the choice at", "value": share, "note": note})
    other = decision["runner_up"]
    if other is not None:
        price = document["patterns"][names.index(other)]["monthly_cost_usd"]["mean"] - row["monthly_cost_usd"]["mean"]
        found.append({"label": "the runner-up costs", "value": f"+ {usd(price)}", "note": f"USD a month: {other}"})
    return found


def promised(document: Mapping[str, Any], scenario: Scenario, show: Show) -> dict[str, Any] | None:
    """Objectives by workload, and the share of requests within them by hosting pattern."""
    wanted = {name: load.objectives for name, load in scenario.workloads.items() if load.objectives}
    if not wanted:
        return None
    limits = {
        name: ", ".join(f"{what} {duration(limit_s)}" for what, limit_s in limits_of(one))
        + f", for {100.0 * one.share:g} %"
        for name, one in wanted.items()
    }
    rows = []
    for at, row in enumerate(document["patterns"]):
        if row["requests"] is None:
            continue
        rows.append((row["name"], [_kept(at, name, row["workloads"][name]["objective"], show) for name in wanted]))
    return {"workloads": list(limits.items()), "rows": rows}


def _kept(at: int, workload: str, found: Mapping[str, Any] | None, show: Show) -> dict[str, Any]:
    """A cell: the answer, the share, and where nobody can tell the interval of the share.

    And of several limits which one is kept least.
    """
    share = show(f"patterns.{at}.workloads.{workload}.share_met", kept_share)
    if found is None:
        return {"answer": None, "share": share, "between": None, "limit": None}
    number = min(range(len(found["limits"])), key=lambda number: found["limits"][number]["share"])
    path = f"patterns.{at}.workloads.{workload}.objective.limits.{number}.ci99"
    ends = [show(f"{path}.{end}", kept_share) for end in (0, 1)] if found["answer"] == "cannot_tell" else None
    several = len(found["limits"]) > 1 and found["answer"] != "met"
    limit = LIMIT_NAMES[found["limits"][number]["metric"]] if several else None
    return {"answer": found["answer"], "share": share, "between": ends, "limit": limit}


def bills(document: Mapping[str, Any], show: Show) -> list[dict[str, Any]]:
    """The bill of each pattern, line by line; that of the chosen one open."""
    found = []
    for at, row in enumerate(document["patterns"]):
        if row["requests"] is None:
            continue
        lines: list[tuple[str, Markup | str, str]] = [
            (line.replace("_", " "), show(f"patterns.{at}.cost_lines_usd.{line}", cents), row["cost_basis"][line])
            for line in row["cost_lines_usd"]
            if "." not in line
        ]
        lines += [
            (line.replace("_", " "), cents(amount), row["cost_basis"][line])
            for line, amount in row["cost_lines_usd"].items()
            if "." in line
        ]
        found.append(
            {
                "name": row["name"],
                "total": show(f"patterns.{at}.monthly_cost_usd.mean", cents),
                "lines": lines,
                "open": row["name"] == document["decision"]["recommended"],
            }
        )
    return found


def doubts(document: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """End-to-end p99 at both ends of each profile's band; patterns with the same cluster share a line."""
    found: dict[str, list[str]] = {}
    for name, row in zip(names, document["patterns"], strict=True):
        band = row["step_time_band"]
        if band is None:
            continue
        low, high = band["low"], band["high"]
        waits = [
            f"{workload} {elapsed(least)} to {elapsed(high['e2e_p99_s'][workload])}"
            for workload, least in low["e2e_p99_s"].items()
            if least is not None and high["e2e_p99_s"][workload] is not None
        ]
        line = (
            f"steps {low['factor']:.2f} to {high['factor']:.2f} times as long ({band['label']} profile) would make the "
            f"end-to-end p99 {', '.join(waits)}"
        )
        found.setdefault(line, []).append(name)
    return [f"{', '.join(members)}: {line}" for line, members in found.items()]


def prices(document: Mapping[str, Any]) -> list[dict[str, str]]:
    """Every entry of the price book that the scenario names, with basis, date and source."""
    rows = []
    for entries in document["inputs"]["prices"].values():
        for key, entry in entries.items():
            amounts = [
                f"{name.replace('_', ' ')} {value}"
                for name, value in entry.items()
                if isinstance(value, str) and " USD/" in value and name != "note"
            ]
            rows.append(
                {
                    "key": key,
                    "price": "; ".join(amounts),
                    **{name: entry.get(name, "") for name in ("basis", "captured_on", "source")},
                }
            )
    return rows


def lengths(scenario: Scenario, names: Sequence[str]) -> list[dict[str, str]]:
    """The longest request of each cluster for which nobody stated it."""
    return [
        {"name": f"{name} {cluster}", "tokens": f"{length.tokens:,}", "why": length.why}
        for name in names
        for cluster, length in model_lengths(scenario, scenario.hosting_patterns[name]).items()
    ]


def profiles(manifest: Mapping[str, Any]) -> list[dict[str, str]]:
    """Step-time profiles of the run, with where they come from."""
    return [
        {
            "id": name,
            "label": facts["label"],
            "source": ", ".join(
                f"{key.replace('_', ' ')} {value}" for key, value in facts["provenance"].items() if value
            ),
        }
        for name, facts in manifest.get("profiles", {}).items()
    ]


def demand(document: Mapping[str, Any], scenario: Scenario, show: Show) -> list[dict[str, Any]]:
    """Each workload: what the scenario says of its volume, and what was simulated."""
    at = next((at for at, row in enumerate(document["patterns"]) if row["requests"]), None)
    rows = []
    for name in scenario.workloads:
        own = f"patterns.{at}.workloads.{name}"
        stated = document["inputs"]["scenario"]["workloads"][name].get("volume", {})
        volume = ", ".join(f"{key.replace('_', ' ')} {value:,}" for key, value in stated.items())
        month = [f"demand.{name}.{part}_requests_per_month" for part in ("billed", "drawn") if document.get("demand")]
        paths = (*month, f"{own}.requests.arrived", f"{own}.tokens.prompt", f"{own}.tokens.output")
        rows.append(
            {"name": name, "volume": volume, "cells": [] if at is None else [show(path, count) for path in paths]}
        )
    return rows


def provenance(document: Mapping[str, Any], manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What somebody needs to make the same again."""
    made = manifest["environment"]
    return [
        ("simulator", document["simulator_version"]),
        ("scenario, SHA-256", document["scenario"]["sha256"]),
        ("price book, SHA-256", f"{document['price_book']['id']}, {document['price_book']['sha256']}"),
        ("seed, replications", f"{document['seed']}, {document['replications']}"),
        ("simulated time", f"{manifest['horizon']['start']} to {manifest['horizon']['end']}"),
        *(
            ("code of one's own", f"{key}: {one['name']}, {one['code']}, SHA-256 {one['sha256']}")
            for key, one in manifest.get("extensions", {}).items()
        ),
        ("written", made["written_at"]),
        ("Python, libraries", ", ".join([made["python"], *(f"{k} {v}" for k, v in made["libraries"].items())])),
        ("machine", f"{made['platform']}"),
    ]


def rollout(document: Mapping[str, Any]) -> dict[str, Any]:
    """What each way through the months costs, what each step does, and the quarterly reviews."""
    course, months = document["projection"]["course"], document["projection"]["months"]
    return {
        "scenario": document["scenario"]["name"],
        "months": len(months),
        "strategies": [
            (one["text"], usd(one["cumulative_usd"][-1]), ", ".join(map(str, one["missed_months"])) or "none")
            for one in course["strategies"]
        ],
        "steps": [step["text"] for step in course["steps"]],
        "reviews": [(one["date"], one["planned"], one["text"]) for one in course["reviews"]],
    }
