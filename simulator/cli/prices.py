"""`simulator prices …`: what the price book says, how old it is, and what changed between two."""

from __future__ import annotations

import json
import sys
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simulator.cli.options import AsJson
from simulator.errors import Fault, ScenarioError

if TYPE_CHECKING:
    from simulator.cost.prices import Entry, PriceBook

prices = typer.Typer(
    help="The price book: list it, look at entries with their sources, compare two.", no_args_is_help=True
)

BookId = Annotated[
    str | None, typer.Option("--book", help="Id of a shipped book, or a file.", show_default="the latest")
]


def _day(text: str | None) -> date:
    if text is None:
        return datetime.now(tz=UTC).date()
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ScenarioError([Fault("--on", 0, text, "expected a day such as 2026-11-25")]) from error


@prices.command("list")
def list_prices(
    containing: Annotated[
        str, typer.Argument(metavar="[TEXT]", help="Only keys, models and GPUs that hold this.")
    ] = "",
    kind: Annotated[str | None, typer.Option(help="Only api, gpu, unit, service or reference.")] = None,
    old: Annotated[bool, typer.Option("--stale", help="Only prices more than 90 days old.")] = False,
    retired: Annotated[
        bool, typer.Option("--retired", help="Also models that had retired when the book was closed.")
    ] = False,
    on: Annotated[
        str | None, typer.Option(metavar="DATE", help="Day on which age counts.", show_default="today")
    ] = None,
    book: BookId = None,
    as_json: AsJson = False,
) -> None:
    """List prices, with their basis and age.

    Example: simulator prices list llama --kind api
    """
    from simulator.study.catalogue import in_short, plain
    from simulator.study.catalogue import prices as listed

    day = _day(on)
    answer = listed(containing, kind=kind, stale=old, retired=retired, on=day, book=book)
    found, shown = answer.book, answer.found
    if as_json:
        rows = [{"key": key, "stale": entry.stale(day)} | plain(entry) for key, entry in shown.items()]
        typer.echo(json.dumps({"schema_version": 1, "price_book": _name(found), "prices": rows}, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    grid = Table("key", "price", "basis", "captured", "retires")
    for key, entry in shown.items():
        aged = f"{entry.captured_on}{' *' if entry.stale(day) else ''}"
        grid.add_row(key, in_short(entry), entry.basis, aged, str(getattr(entry, "retires_on", None) or ""))
    Console(width=None if sys.stdout.isatty() else 140).print(grid)
    typer.echo(f"{len(shown)} prices of book {found.id} ({found.date}); * more than 90 days before {day}")


@prices.command()
def show(
    keys: Annotated[list[str], typer.Argument(help="Keys as `list` has them.", show_default=False)],
    book: BookId = None,
    as_json: AsJson = False,
) -> None:
    """Show everything known about some prices, with their sources.

    Example: simulator prices show azure/gpt-4.1 aws/p4de.24xlarge
    """
    from simulator.study.catalogue import plain, price_book

    found = price_book(book)
    shown = {key: found.entry(key) for key in keys}
    if as_json:
        rows = [{"key": key} | plain(entry) for key, entry in shown.items()]
        typer.echo(json.dumps({"schema_version": 1, "price_book": _name(found), "prices": rows}, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 120)
    for key, entry in shown.items():
        grid = Table(title=key, title_justify="left", show_header=False)
        for name, value in {**plain(entry), **_derived(entry)}.items():
            parts = value if isinstance(value, dict) else {"": value}
            for part, price in parts.items():
                grid.add_row(f"{name} {part}".strip(), str(price))
        console.print(grid)


@prices.command()
def diff(
    old: Annotated[str, typer.Argument(help="Id of a shipped book, or a file.", show_default=False)],
    new: Annotated[str, typer.Argument(help="Id of a shipped book, or a file.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Say what changed from one price book to another.

    Example: simulator prices diff 2026-11 my-prices.json
    """
    from simulator.study.catalogue import price_book

    before, after = price_book(old), price_book(new)
    changes = _changes(before, after)
    if as_json:
        names = {"old": _name(before), "new": _name(after)}
        typer.echo(json.dumps({"schema_version": 1, **names, "changes": changes}, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    grid = Table("key", "what", before.id, after.id)
    for change in changes:
        grid.add_row(change["key"], change["what"], str(change["old"] or "–"), str(change["new"] or "–"))
    if changes:
        Console(width=None if sys.stdout.isatty() else 140).print(grid)
    typer.echo(f"{len(changes)} changes from {before.id} ({before.date}) to {after.id} ({after.date})")


def _changes(before: PriceBook, after: PriceBook) -> list[dict[str, Any]]:
    """Every field that differs, by key; an entry that is in one book only is one change."""
    from simulator.study.catalogue import plain

    old, new = ({key: plain(entry) for key, entry in book.entries().items()} for book in (before, after))
    changes = []
    for key in dict.fromkeys([*old, *new]):
        if key not in old or key not in new:
            what = "removed" if key in old else "added"
            short = {"old": _short(before, key), "new": _short(after, key)}
            changes.append({"key": key, "what": what, **short})
            continue
        fields = dict.fromkeys([*old[key], *new[key]])
        changes += [
            {"key": key, "what": name, "old": old[key].get(name), "new": new[key].get(name)}
            for name in fields
            if old[key].get(name) != new[key].get(name)
        ]
    return changes


def _short(book: PriceBook, key: str) -> str | None:
    from simulator.study.catalogue import in_short

    entry = book.entries().get(key)
    return None if entry is None else in_short(entry)


def _name(book: PriceBook) -> dict[str, str]:
    return {"id": book.id, "date": str(book.date), "sha256": book.sha256}


def _derived(entry: Entry) -> dict[str, str]:
    """What people ask of a price next."""
    from simulator.cost.prices import ApiPrice, GpuOffer
    from simulator.units import MONTH_HOURS

    if isinstance(entry, ApiPrice):
        three, one = entry.blended(3, 1), entry.blended(1, 1)
        return {"three prompt tokens to one of output": str(three), "as many of either": str(one)}
    if isinstance(entry, GpuOffer):
        month = entry.instance_hour * MONTH_HOURS
        return {"a GPU": f"{entry.gpu_hour_usd:.4g} USD/h", "a month of 730 h": f"{month:,.2f} USD an instance"}
    return {}
