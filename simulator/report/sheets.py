"""Sheets of a workbook that are written from the top down, and how they look."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from xlsxwriter.format import Format
    from xlsxwriter.workbook import Workbook
    from xlsxwriter.worksheet import Worksheet

#: A cell holds 32,767 characters at most.
_LONGEST_TEXT: Final = 32_000


class Looks:
    """The few formats there are: what may be changed is blue, as controllers expect it."""

    def __init__(self, book: Workbook) -> None:
        def look(**properties: object) -> Format:
            return book.add_format({"font_name": "Arial", "font_size": 10, "valign": "top", **properties})

        wash = {"bg_color": "#FFF9E5", "font_color": "#0B3FA8"}
        self.plain, self.wrapped, self.bold = look(), look(text_wrap=True), look(bold=True)
        self.title = look(bold=True, font_size=14)
        self.head = look(bold=True, text_wrap=True, bottom=1, bg_color="#EEF2F6")
        self.soft = look(font_color="#56616F", indent=1)
        self.said = look(indent=1)
        self.price = look(num_format="#,##0.00####", **wash)
        self.input = look(num_format="#,##0.######", **wash)
        self.measured = look(num_format="#,##0.######")
        self.usd = look(num_format="#,##0.00")
        self.total = look(num_format="#,##0.00", bold=True, top=1)
        self.total_name = look(bold=True, top=1)
        self.share, self.number, self.seconds = (
            look(num_format="0.0%"),
            look(num_format="#,##0"),
            look(num_format="0.00"),
        )


@dataclass(slots=True)
class Sheet:
    """A sheet that is written from the top down."""

    page: Worksheet
    looks: Looks
    row: int = field(default=0)

    def columns(self, *widths: float) -> None:
        """Widths of the columns, and how the sheet prints: across one page."""
        for at, width in enumerate(widths):
            self.page.set_column(at, at, width, self.looks.plain)
        self.page.set_landscape()
        self.page.set_paper(9)
        self.page.fit_to_pages(1, 0)

    def line(self, *cells: object, look: Format | None = None) -> int:
        """A row of texts and numbers; its number."""
        for at, cell in enumerate(cells):
            self.put(at, cell, look)
        self.row += 1
        return self.row - 1

    def put(self, column: int, cell: object, look: Format | None = None) -> None:
        """A text or a number in the row that is being written; nothing where there is none."""
        if isinstance(cell, (bool, str)):
            self.page.write_string(self.row, column, str(cell)[:_LONGEST_TEXT], look or self.looks.wrapped)
        elif isinstance(cell, int | float):
            self.page.write_number(self.row, column, cell, look or self.looks.measured)

    def formula(self, column: int, text: str, value: float, look: Format) -> None:
        """A formula, with what it comes to for those who do not work it out."""
        self.page.write_formula(self.row, column, text, look, value)

    def table(self, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """A table under its heads, which can be sorted and sieved."""
        first = self.line(*heads, look=self.looks.head)
        for row in rows:
            self.line(*row)
        self.page.autofilter(first, 0, max(first, self.row - 1), len(heads) - 1)
