"""A small reader of workbooks that works their formulas out: numbers, cells, other sheets, SUM, INT, + - * / ^."""

from __future__ import annotations

import re
import zipfile
from math import floor
from xml.etree import ElementTree

MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
REFERENCE = re.compile(r"(?:'([^']+)'!|(\w+)!)?\$?([A-Z]{1,2})\$?(\d+)(?::\$?([A-Z]{1,2})\$?(\d+))?")


class Spreadsheet:
    """Cells by sheet and place: `texts`, `numbers`, `formulas` with what the file says each comes to."""

    def __init__(self, content):
        self.texts, self.numbers, self.formulas = {}, {}, {}
        with zipfile.ZipFile(content) as parts:
            shared = [
                "".join(text.text or "" for text in one.iter(f"{MAIN}t"))
                for one in ElementTree.fromstring(parts.read("xl/sharedStrings.xml")).iter(f"{MAIN}si")
            ]
            names = [
                one.get("name") for one in ElementTree.fromstring(parts.read("xl/workbook.xml")).iter(f"{MAIN}sheet")
            ]
            for number, name in enumerate(names, 1):
                for cell in ElementTree.fromstring(parts.read(f"xl/worksheets/sheet{number}.xml")).iter(f"{MAIN}c"):
                    self._read(name, cell, shared)
        self.sheets, self.known = names, {}

    def _read(self, sheet, cell, shared):
        value, formula = cell.find(f"{MAIN}v"), cell.find(f"{MAIN}f")
        place = sheet, cell.get("r")
        if formula is not None:
            self.formulas[place] = formula.text, float(value.text)
        elif value is not None and cell.get("t") == "s":
            self.texts[place] = shared[int(value.text)]
        elif value is not None:
            self.numbers[place] = float(value.text)

    def change(self, sheet, place, value):
        """Write a number over a number."""
        assert (sheet, place) in self.numbers, (sheet, place)
        self.numbers[sheet, place] = value
        self.known.clear()

    def value(self, sheet, place):
        """What a cell comes to."""
        at = sheet, place
        if at in self.numbers:
            return self.numbers[at]
        if at not in self.formulas:
            assert at not in self.texts, f"{at} is text: {self.texts[at]}"
            return 0.0
        if at not in self.known:
            text = REFERENCE.sub(lambda found: self._of(sheet, found), self.formulas[at][0]).replace("^", "**")
            assert re.fullmatch(r"(SUM|INT|[-+*/().,e\d\s\[\]])*", text), text
            self.known[at] = float(eval(text, {"SUM": sum, "INT": floor}))
        return self.known[at]

    def _of(self, sheet, found):
        sheet = found[1] or found[2] or sheet
        if found[5] is None:
            return repr(self.value(sheet, found[3] + found[4]))
        assert found[3] == found[5], "one column"
        rows = range(int(found[4]), int(found[6]) + 1)
        return repr(
            [self.value(sheet, f"{found[3]}{row}") for row in rows if (sheet, f"{found[3]}{row}") not in self.texts]
        )

    def find(self, sheet, text, column="A", after=0):
        """Row of the first cell with that text."""
        rows = (
            int(re.sub(r"\D", "", place))
            for (name, place), said in self.texts.items()
            if name == sheet and said == text and re.sub(r"\d", "", place) == column
        )
        return min(row for row in rows if row > after)
