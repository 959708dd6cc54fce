"""`simulator audit`: the source document's claims, as written, recomputed and simulated."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simulator.cli.options import AsJson, Jobs, Store
from simulator.errors import Fault, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from simulator.audit.claims import Audited
    from simulator.audit.simulate import Answer

_STYLES = {"wrong": "red", "inconsistent": "yellow", "unverifiable": "dim", "right": "green"}


def audit(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[CLAIM]...", help="Only these claims, with every figure.")
    ] = None,
    verdict: Annotated[
        str | None, typer.Option(help="Only claims that are right, unverifiable, inconsistent or wrong.")
    ] = None,
    book: Annotated[str, typer.Option(help="Price book for what the document takes from price lists.")] = "2026-11",
    simulate: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also ask the simulator, with the scenarios of this folder; takes minutes."),
    ] = None,
    jobs: Jobs = 0,
    store: Store = Path("runs/store"),
    as_json: AsJson = False,
) -> None:
    """Check the 55 numbers of the article this simulator answers: as written, recomputed, and a verdict on each.

    Example: simulator audit N17 N31 --simulate scenarios
    """
    from simulator.audit.claims import VERDICTS
    from simulator.audit.claims import audit as recompute
    from simulator.cost.prices import load_price_book

    prices = load_price_book(book)
    audited = recompute(prices)
    known = {one.claim.id for one in audited}
    faults = [
        Fault("CLAIM", 0, name, f"there is no such claim; expected N1 to N{len(known)}")
        for name in ids or ()
        if name not in known
    ]
    if verdict is not None and verdict not in VERDICTS:
        faults.append(Fault("--verdict", 0, verdict, f"expected one of {', '.join(reversed(VERDICTS))}"))
    if faults:
        raise ScenarioError(faults)
    chosen = [one for one in audited if (not ids or one.claim.id in ids) and verdict in (None, one.verdict)]
    found = [] if simulate is None else _simulated(simulate, {one.claim.id for one in chosen}, jobs, store)
    if as_json:
        price_book = {"id": prices.id, "date": prices.date.isoformat(), "sha256": prices.sha256}
        typer.echo(json.dumps(_document(chosen, found) | {"price_book": price_book}, indent=2, ensure_ascii=False))
        return
    _show(chosen, found, in_full=bool(ids))


def _simulated(scenarios: Path, claims: set[str], jobs: int, store: Path) -> list[Answer]:
    from simulator.audit.simulate import answers, questions
    from simulator.errors import RunStoreError
    from simulator.files import make_folder

    kept = make_folder(store, RunStoreError).resolve()
    return answers(
        scenarios,
        [question for question in questions() if question.claim in claims],
        jobs=jobs or os.cpu_count() or 1,
        store=kept,
        on_run=lambda name: typer.echo(f"simulating {name}", err=True),
    )


def _document(audited: Sequence[Audited], answers: Sequence[Answer]) -> dict[str, Any]:
    from simulator.audit.claims import tally

    return {
        "schema_version": 1,
        "tally": tally(audited),
        "claims": [
            {
                "id": one.claim.id,
                "lines": one.claim.lines,
                "claim": one.claim.claim,
                "recomputed": one.recomputed,
                "verdict": one.verdict,
                "note": one.claim.note,
                "figures": [
                    {
                        "what": found.figure.what,
                        "stated": _number(found.figure.stated),
                        "recomputed": _number(found.value),
                        "unit": found.figure.unit,
                        "against": found.figure.against,
                        "verdict": found.verdict,
                    }
                    for found in one.findings
                ],
                "simulated": [
                    {
                        "what": answer.question.what,
                        "value": _number(answer.value),
                        "unit": answer.question.unit,
                        "scenario": answer.question.scenario,
                        "pattern": answer.question.pattern,
                    }
                    for answer in answers
                    if answer.question.claim == one.claim.id
                ],
            }
            for one in audited
        ],
    }


def _number(value: Any) -> Any:  # noqa: ANN401 - a number, a range of two, or nothing
    """A JSON number of twelve significant digits."""
    if isinstance(value, list):
        return [_number(one) for one in value]
    return None if value is None else float(f"{float(value):.12g}")


def _show(audited: Sequence[Audited], answers: Sequence[Answer], *, in_full: bool) -> None:
    """One line a claim, or a table for each; then the tally."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from simulator.audit.claims import tally

    console = Console(width=None if sys.stdout.isatty() else 140)
    if in_full:
        for one in audited:
            console.print(_figures(one))
            console.print(f"{one.verdict}. {one.claim.note}".strip(), highlight=False)
            console.print(*(f"simulated, {text}" for text in _said(one, answers)), "", sep="\n", highlight=False)
    else:
        grid = Table("", "as written", "recomputed", *(["simulated"] if answers else []), "verdict")
        for one in audited:
            verdict = Text(one.verdict, _STYLES[one.verdict])
            said = ["; ".join(_said(one, answers))] if answers else []
            grid.add_row(one.claim.id, one.claim.claim, one.recomputed, *said, verdict)
        console.print(grid)
    counts = ", ".join(f"{count} {verdict}" for verdict, count in tally(audited).items())
    typer.echo(f'{len(audited)} claims of "The Model Hosting Decision": {counts}')


def _said(one: Audited, answers: Sequence[Answer]) -> list[str]:
    """What was simulated about a claim, in words."""
    from simulator.audit.claims import amount

    about = (answer for answer in answers if answer.question.claim == one.claim.id and answer.value is not None)
    return [f"{answer.question.what}: {amount(answer.value or 0.0, answer.question.unit)}" for answer in about]


def _figures(one: Audited) -> Table:
    """Every figure of a claim."""
    from rich.table import Table
    from rich.text import Text

    from simulator.audit.claims import amount

    title = f"{one.claim.id}, lines {one.claim.lines}: {one.claim.claim}"
    grid = Table("figure", "as written", "recomputed", "verdict", title=title, title_justify="left")
    for found in one.findings:
        stated, unit = found.figure.stated, found.figure.unit
        numbers = stated if isinstance(stated, list) else [] if stated is None else [stated]
        written = " to ".join(f"{number:,f}" for number in numbers) + ("" if unit.startswith("M ") else " ")
        value = "" if found.value is None else amount(found.value, unit)
        verdict = Text(found.verdict, _STYLES[found.verdict])
        grid.add_row(found.figure.what, f"{written}{unit}" if numbers else "", value, verdict)
    return grid
