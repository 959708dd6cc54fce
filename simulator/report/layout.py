"""Tables of a terminal page, all alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType

NONE: Final = Text("–", "dim")


def table_of(columns: Iterable[str]) -> Table:
    """An empty table, its first column to the left and the others to the right."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    return table


def section(title: str, remark: str, table: Table) -> RenderableType:
    """A table under its title."""
    return Padding(Group(Text.assemble((title, "bold"), (f"  {remark}", "dim")), table), (0, 0, 1, 0))
