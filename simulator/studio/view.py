"""An answer as parts of the page: verdict, comparison, what would change it; numbers in the words of the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dash import html

from simulator.decision.words import kept_share, percent, seconds, sentence, usd
from simulator.report.currency import Shown
from simulator.wording import joined

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simulator.studio.answer import Answer

    Shape = Mapping[str, Any]

_NONE: Final = "–"
_ANSWERS: Final = {"met": "✓", "missed": "✗", "cannot_tell": "?"}
_MOST_CHANGES: Final = 6


def aria(**said: str) -> dict[str, Any]:
    """Attributes for whoever hears the page."""
    return {f"aria-{name}": text for name, text in said.items()}


def headline(document: Shape) -> str:
    """The verdict in a few words."""
    decision = document["decision"]
    if decision["recommended"]:
        return f"Choose {decision['recommended']}"
    if decision["undecided"]:
        return f"As measured, {decision['undecided']['candidates'][0]}"
    return "No hosting pattern will do"


def behind(answer: Answer, *, working: bool) -> str:
    """What is behind an answer, and whether it is being refined."""
    count, asked = answer.fineness.replications, answer.scenario.experiment.replications
    if answer.fineness.week:
        done = "once · no ± yet" if count == 1 else f"{count} times · ± is half a 95 % interval of a week"
        return f"coarse: the first week of the horizon, {done}{' · refining' if working else ''}"
    done = f"{count} of {asked} replications" if count < asked else f"{count} replication{'s' if count > 1 else ''}"
    sure = "no ± yet" if count == 1 else "± is half a 95 % interval"
    if count == asked == 1:
        sure = "one replication has no ±"
    return f"{done} · {sure}{' · refining' if working else ''}"


def verdict(answer: Answer, document: Shape, *, working: bool) -> Any:  # noqa: ANN401 - a component
    """The card at the top."""
    decision, code = document["decision"], Shown.of(answer.scenario.prices).code
    name = decision["recommended"] or (decision["undecided"] or {"candidates": [None]})["candidates"][0]
    nearest = decision["nearest"] or {}
    row = _row(document, name or nearest.get("pattern"))
    lead, *others = decision["reasons"]
    parts = [
        html.H2(headline(document), id="verdict-title"),
        html.P(_said(lead, answer), className="lead"),
        html.Ul([html.Li(_said(text, answer)) for text in others]) if others else None,
        html.Div(_tiles(document, row, code), className="tiles") if row else None,
        html.P(behind(answer, working=working), className="behind"),
    ]
    return html.Div(parts, className="verdict" if decision["recommended"] else "verdict none")


def _said(text: str, answer: Answer) -> str:
    """A line of the verdict as a sentence; names stay as they are written, amounts are in the shown currency."""
    scenario, code = answer.scenario, Shown.of(answer.scenario.prices).code
    whole = sentence(text, [*scenario.hosting_patterns, *scenario.workloads])
    return whole if code == "USD" else whole.replace("USD", code)


def _row(document: Shape, name: str | None) -> Shape | None:
    found = (row for row in document["patterns"] if row["name"] == name and row["requests"] is not None)
    return next(found, None)


def _tiles(document: Shape, row: Shape, code: str) -> list[Any]:
    said = [(f"{code} a month", _interval(row["monthly_cost_usd"], "mean", usd), row["name"])]
    for label, metric in (("first token, p99", "ttft_s"), ("whole answer, p99", "e2e_s")):
        # From an hour on it has its unit with it.
        said.append((label, _p99(row, metric), "" if " h" in _p99(row, metric) else "seconds"))
    if row["utilisation"] is not None and row["utilisation"]["busy_fraction"] is not None:
        said.append(("GPUs busy", percent(row["utilisation"]["busy_fraction"]), "of the time"))
    other = document["decision"]["runner_up"]
    if other is not None:
        more = document["decision"]["runner_up_costs_usd_more"]
        said.append(("the next costs", f"+ {usd(more)}", f"{code} a month: {other}"))
    return [
        html.Div([html.Span(label), html.Strong(value), html.Small(note)], className="tile")
        for label, value, note in said
    ]


def _interval(found: Shape | None, key: str, how: Any) -> str:  # noqa: ANN401 - a function of a number
    """A number, and half its interval where it has one that is not nothing."""
    if found is None:
        return _NONE
    low, high = found["ci95"] or (0.0, 0.0)
    # Cents say nothing beside hundreds of dollars.
    half = f"{(high - low) / 2.0:,.0f}" if how is usd and found[key] >= 99.995 else how((high - low) / 2.0)
    return f"{how(found[key])} ± {half}" if half.strip("0.") else how(found[key])


def _p99(row: Shape, metric: str) -> str:
    if row["saturation"] == "overloaded":
        return "grows"
    return _interval(row["latency"][metric], "p99", seconds)


def comparison(answer: Answer, document: Shape) -> Any:  # noqa: ANN401 - a component
    """A row for each hosting pattern, its objectives in one cell."""
    code, chosen = Shown.of(answer.scenario.prices).code, document["decision"]["recommended"]
    heads = (
        "hosting pattern", f"{code} a month", "GPUs busy", "first token p99,\u00a0s", "whole answer p99,\u00a0s",
        "objectives", "queue",
    )  # fmt: skip
    rows = []
    for row in document["patterns"]:
        tag = [html.Span("chosen", className="tag")] if row["name"] == chosen else []
        first = html.Th([row["name"], *tag, html.Small(row["description"])], scope="row")
        if row["requests"] is None:
            refused = html.Td(f"not simulated: {joined(row['infeasible_reasons'])}", colSpan=6, className="refused")
            rows.append(html.Tr([first, refused]))
            continue
        busy = (row["utilisation"] or {}).get("busy_fraction")
        cells = (
            _interval(row["monthly_cost_usd"], "mean", usd),
            _NONE if busy is None else percent(busy),
            _p99(row, "ttft_s"),
            _p99(row, "e2e_s"),
            _objectives(row),
            row["saturation"],
        )
        rows.append(html.Tr([first, *map(html.Td, cells)], className="chosen" if row["name"] == chosen else ""))
    return _table("Hosting patterns", heads, rows)


def _objectives(row: Shape) -> list[Any]:
    found = [(name, load["objective"]) for name, load in row["workloads"].items() if load.get("objective")]
    if not found:
        return [_NONE]
    open_ones = [(name, one) for name, one in found if one["answer"] != "met"]
    if not open_ones:
        return ["✓ all met"]
    return [
        html.Div(f"{_ANSWERS[one['answer']]} {name} {kept_share(_least(one))}", className=one["answer"])
        for name, one in open_ones
    ]


def _least(objective: Shape) -> float:
    """Share of the requests within the limit that the fewest are within."""
    return min(float(limit["share"]) for limit in objective["limits"])


def _table(label: str, heads: Sequence[str], rows: Sequence[Any]) -> Any:  # noqa: ANN401 - a component
    head = html.Thead(html.Tr([html.Th(text, scope="col") for text in heads]))
    table = html.Table([head, html.Tbody(rows)])
    # Tables scroll by themselves, by keyboard too.
    return html.Div(table, className="sheet", role="region", tabIndex=0, **aria(label=label))


def changes(answer: Answer, document: Shape) -> Any:  # noqa: ANN401 - a component
    """What would change it, most important first."""
    decision = document["decision"]
    advice = decision["capacity_advice"]
    lines = [*decision["what_would_change_it"], *([advice] if isinstance(advice, str) else [])]
    if not lines:
        return html.P("Nothing that was looked at.", className="key")
    shown = [html.Li(_said(text, answer)) for text in lines]
    more = html.Details([html.Summary(f"{len(shown) - _MOST_CHANGES} more"), html.Ul(shown[_MOST_CHANGES:])])
    return [html.Ul(shown[:_MOST_CHANGES]), more if len(shown) > _MOST_CHANGES else None]


def care(answer: Answer, document: Shape) -> Any:  # noqa: ANN401 - a component
    """What deserves doubt."""
    decision = document["decision"]
    notes = [note for one in document.get("demand", {}).values() for note in one["notes"]]
    lines = [*notes, *decision["take_care"], *(f"not assessed: {line}" for line in decision["not_assessed"])]
    return html.Ul([html.Li(_said(line, answer)) for line in lines]) if lines else None


def side_by_side(rows: Sequence[tuple[str, Answer | None, str]]) -> Any:  # noqa: ANN401 - a component
    """Variants, each with its answer and what was changed."""
    heads = ("variant", "verdict", "a month", "first token p99,\u00a0s", "whole answer p99,\u00a0s", "what was changed")
    found = []
    for name, answer, changed in rows:
        first = html.Th(name, scope="row")
        if answer is None:
            found.append(html.Tr([first, html.Td("not simulated yet", colSpan=4), html.Td(changed, className="text")]))
            continue
        document = answer.document
        decision, code = document["decision"], Shown.of(answer.scenario.prices).code
        row = _row(document, decision["recommended"] or (decision["nearest"] or {}).get("pattern"))
        cells = [_NONE] * 3
        if row is not None:
            cost = f"{_interval(row['monthly_cost_usd'], 'mean', usd)} {code}"
            cells = [cost, _p99(row, "ttft_s"), _p99(row, "e2e_s")]
        found.append(html.Tr([first, *map(html.Td, [headline(document), *cells]), html.Td(changed, className="text")]))
    return _table("Variants side by side", heads, found)
