"""Token prices of a price book, taken again from litellm's offline table (MIT licence).

    pip install --no-deps litellm==VERSION
    python tools/price_book.py 2026-11                        # write what the table says
    python tools/price_book.py 2026-11 --check                # only say what differs; exit 1 if anything does
    python tools/price_book.py 2026-11 --captured-on DATE     # after installing another version: its date

Every API entry that names a `litellm_row` gets that row's prices. Its retirement date is the row's where it is said to be
litellm's. Everything else in the book is kept by hand, with its own source. Nothing is imported and nothing asks the
network: the table is read from the installed package.
"""

from __future__ import annotations

import argparse
import json
import sys
from decimal import Decimal
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

BOOKS = Path(__file__).parents[1] / "simulator" / "cost" / "data"
TABLE = "litellm/model_prices_and_context_window_backup.json"
COLUMNS = {
    "prompt": "input_cost_per_token",
    "cached_prompt": "cache_read_input_token_cost",
    "output": "output_cost_per_token",
    "batch_prompt": "input_cost_per_token_batches",
    "batch_output": "output_cost_per_token_batches",
    "priority_prompt": "input_cost_per_token_priority",
    "priority_output": "output_cost_per_token_priority",
    "flex_prompt": "input_cost_per_token_flex",
    "flex_cached_prompt": "cache_read_input_token_cost_flex",
    "flex_output": "output_cost_per_token_flex",
}


def table() -> tuple[str, dict[str, Any]]:
    """Version and rows of the installed table, numbers as they are written."""
    package = distribution("litellm")
    text = Path(str(package.locate_file(TABLE))).read_text(encoding="utf-8")
    return package.version, json.loads(text, parse_float=Decimal)


def price_text(usd_per_token: Decimal | int) -> str:
    """`2.50 USD/1M tokens`: whole dollars without, others with at least two decimals."""
    amount = (Decimal(usd_per_token) * 1_000_000).normalize()
    whole = amount == amount.to_integral_value()
    places = 0 if whole else max(2, -int(amount.as_tuple().exponent))
    return f"{amount:.{places}f} USD/1M tokens"


def update(book: dict[str, Any], rows: dict[str, Any], version: str, captured_on: str) -> None:
    """Write a table's prices into a book.

    Raises:
        KeyError: An entry names a row that the table does not have.
    """
    before = said(book["generated_from"])
    book["generated_from"] |= {"version": version, "captured_on": captured_on}
    after = said(book["generated_from"])
    for key, entry in book["api_prices"].items():
        if "litellm_row" not in entry:
            continue
        row = rows[entry["litellm_row"]]
        prices = {name: price_text(row[column]) for name, column in COLUMNS.items() if column in row}
        rest = {name: value for name, value in entry.items() if name not in COLUMNS}
        if "deprecation_date" in row and "litellm" in rest.get("retirement_source", "litellm"):
            rest = {
                **rest,
                "retires_on": row["deprecation_date"],
                "retirement_source": rest.get("retirement_source", after),
            }
        rest["captured_on"] = captured_on
        for name in ("source", "retirement_source"):
            if name in rest:
                rest[name] = rest[name].replace(before, after)
        head = {name: rest.pop(name) for name in ("model", "deployment", "litellm_row")}
        book["api_prices"][key] = {**head, **prices, **rest}


def said(origin: dict[str, str]) -> str:
    """How sources name the table."""
    year, month, day = origin["captured_on"].split("-")
    names = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ]
    return f"litellm {origin['version']} price table ({int(day)} {names[int(month) - 1]} {year})"


def main() -> int:
    """Update or check a book."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("book", help="id of a shipped book, such as 2026-11")
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if the book differs")
    parser.add_argument("--captured-on", help="day on which this version of the table was published, as 2026-10-21")
    asked = parser.parse_args()
    path = BOOKS / f"prices-{asked.book}.json"
    text = path.read_text(encoding="utf-8")
    book = json.loads(text)
    version, rows = table()
    origin = book["generated_from"]
    if version != origin["version"] and not asked.captured_on:
        print(f"the book is of litellm {origin['version']}, installed is {version}: say --captured-on", file=sys.stderr)
        return 2
    update(book, rows, version, asked.captured_on or origin["captured_on"])
    made = json.dumps(book, indent=2, ensure_ascii=False) + "\n"
    if made == text:
        print(f"{path.name} is what litellm {version} says")
        return 0
    if asked.check:
        print(f"{path.name} differs from litellm {version}; run without --check and compare")
        return 1
    path.write_text(made, encoding="utf-8")
    print(f"wrote {path.name} from litellm {version}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
