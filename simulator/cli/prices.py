"""`simulator prices …`: what the price book says, how old it is, and what changed between two."""

from __future__ import annotations

import json
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simulator.cli.options import AsJson
from simulator.errors import Fault, ScenarioError

if TYPE_CHECKING:
    from simulator.cost.prices import Entry, LongPrompts, PriceBook

prices = typer.Typer(
    help="The price book: list it, look at entries with their sources, compare two.", no_args_is_help=True
)

BookId = Annotated[
    str | None, typer.Option("--book", help="Id of a shipped book, or a file.", show_default="the latest")
]

_KINDS = {
    "api": "api_prices",
    "gpu": "gpu_offers",
    "unit": "provisioned_units",
    "service": "services",
    "reference": "references",
}


def _book(name: str | None) -> PriceBook:
    from simulator.cost.prices import load_price_book, price_book_ids, read_price_book

    if name is None:
        return load_price_book(price_book_ids()[-1])
    path = Path(name)
    return read_price_book(path) if path.suffix == ".json" else load_price_book(name)


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
    if kind is not None and kind not in _KINDS:
        raise ScenarioError([Fault("--kind", 0, kind, f"expected one of {', '.join(_KINDS)}")])
    day, found = _day(on), _book(book)
    wanted = getattr(found, _KINDS[kind]) if kind else found.entries()
    gone = found.api_prices.keys() - found.on_sale().keys()
    shown = {
        key: entry
        for key, entry in wanted.items()
        if containing.lower() in f"{key} {getattr(entry, 'model', '')} {getattr(entry, 'gpu', '')}".lower()
        and (not old or entry.stale(day))
        and (retired or key not in gone)
    }
    if as_json:
        rows = [{"key": key, "stale": entry.stale(day)} | _plain(entry) for key, entry in shown.items()]
        typer.echo(json.dumps({"schema_version": 1, "price_book": _name(found), "prices": rows}, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    grid = Table("key", "price", "basis", "captured", "retires")
    for key, entry in shown.items():
        aged = f"{entry.captured_on}{' *' if entry.stale(day) else ''}"
        grid.add_row(key, _in_short(entry), entry.basis, aged, str(getattr(entry, "retires_on", None) or ""))
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
    found = _book(book)
    shown = {key: found.entry(key) for key in keys}
    if as_json:
        rows = [{"key": key} | _plain(entry) for key, entry in shown.items()]
        typer.echo(json.dumps({"schema_version": 1, "price_book": _name(found), "prices": rows}, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 120)
    for key, entry in shown.items():
        grid = Table(title=key, title_justify="left", show_header=False)
        for name, value in {**_plain(entry), **_derived(entry)}.items():
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
    before, after = _book(old), _book(new)
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
    old, new = ({key: _plain(entry) for key, entry in book.entries().items()} for book in (before, after))
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
    entry = book.entries().get(key)
    return None if entry is None else _in_short(entry)


def _name(book: PriceBook) -> dict[str, str]:
    return {"id": book.id, "date": str(book.date), "sha256": book.sha256}


def _plain(entry: Entry | LongPrompts) -> dict[str, Any]:
    """What is set of an entry, prices as text with their unit."""
    from simulator.cost.prices import LongPrompts
    from simulator.units import TokenPrice

    plain: dict[str, Any] = {}
    for name in type(entry).model_fields:
        value = getattr(entry, name)
        if value is None or value == "":
            continue
        if isinstance(value, TokenPrice):
            plain[name] = str(value)
        elif isinstance(value, LongPrompts):
            plain[name] = _plain(value)
        elif name in {"instance_hour", "unit_hour", "audio_hour"}:
            plain[name] = f"{value} USD/h"
        else:
            plain[name] = value if isinstance(value, (int, str)) else str(value)
    return plain


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


def _in_short(entry: Entry) -> str:
    from simulator.cost.prices import ApiPrice, GpuOffer, ServicePrice, UnitPrice

    if isinstance(entry, ApiPrice):
        cached = f", {entry.cached_prompt.usd_per_million:f} cached" if entry.cached_prompt else ""
        return f"{entry.prompt.usd_per_million:f} in{cached}, {entry.output.usd_per_million:f} out USD/1M tokens"
    if isinstance(entry, GpuOffer):
        return f"{entry.instance_hour} USD/h for {entry.gpus_per_instance} {entry.gpu}, {entry.kind}"
    if isinstance(entry, UnitPrice):
        return f"{entry.unit_hour} USD/h a unit"
    if isinstance(entry, ServicePrice):
        return str(entry.tokens) if entry.tokens else f"{entry.audio_hour} USD/h of audio"
    return entry.low if entry.low == entry.high else f"{entry.low} to {entry.high}"
