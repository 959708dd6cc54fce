"""The bills of a run as formulas: each line with what it is made of, each amount worked out by the spreadsheet."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from simulator.cost.bill import Bill, monthly_bill, one_off_bill, upfront_bill
from simulator.cost.cash import HORIZONS, renewal_bill
from simulator.cost.cluster_lines import CAPITAL
from simulator.cost.lines import SIMULATED, backend_of
from simulator.cost.overrides import scenario_book
from simulator.cost.usage import ApiUse, ClusterUse, Usage
from simulator.errors import RunStoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulator.cost.lines import BillLine, Factor
    from simulator.report.sheets import Looks, Sheet
    from simulator.scenario.patterns import HostingPattern
    from simulator.scenario.schema import Scenario

_NAME, _QUANTITY, _PRICE, _UNIT, _USD, _SOURCE, _BASIS = range(7)
_HEADS: Final = ("line", "quantity", "price, USD", "unit", "amount, USD", "who says so", "how it comes about")
#: A line and its total may each be half a cent from what the run says: the last digits of its shares are not kept.
_CENT: Final = 0.011


@dataclass(frozen=True, slots=True)
class PatternBills:
    """A hosting pattern, its bill of a month, what is paid before it, and within so many months for hardware again."""

    name: str
    month: Bill
    before: Bill
    again: Mapping[int, Bill] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Amount:
    """An amount: where on which sheet, and how much.

    Attributes:
        cell: As a formula of another sheet names it.
        usd: Amount.
    """

    cell: str
    usd: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What a pattern costs: a month, a month without what pays for a purchase, and before the first.

    And for hardware again, by the months within which it is paid; nothing for a pattern that buys none.
    """

    month: Amount
    running: Amount
    before: Amount
    again: Mapping[int, Amount]

    def cash(self, months: int) -> float:
        """USD paid until the end of so many months."""
        return self.before.usd + months * self.running.usd + (self.again[months].usd if self.again else 0.0)

    def cash_formula(self, months: int) -> str:
        """The same from the cells of the bill."""
        again = f"+{self.again[months].cell}" if self.again else ""
        return f"={self.before.cell}+{months}*{self.running.cell}{again}"


def read_bills(scenario: Scenario, document: Mapping[str, Any]) -> list[PatternBills]:
    """The bills behind a document: its usage at its prices.

    Raises:
        RunStoreError: They are not those that the document has, since a price or the arithmetic changed.
    """
    book = scenario_book(scenario.prices, scenario.horizon.start_local.date())
    month, found = Decimal(str(document["month_hours"])), []
    for row in document["patterns"]:
        if row["requests"] is None:
            continue
        pattern = scenario.hosting_patterns[row["name"]]
        bill = monthly_bill(pattern, _usage(row["usage"]), book, month)
        kept, now = row["cost_lines_usd"], {line.key: float(line.usd) for line in bill.lines}
        if kept.keys() != now.keys() or any(abs(now[key] - usd) > _CENT for key, usd in kept.items()):
            raise RunStoreError(f"the bill of {row['name']} was worked out with other prices; simulate it again")
        before = Bill((*upfront_bill(pattern, book.vat).lines, *one_off_bill(pattern, book.vat).lines))
        found.append(PatternBills(row["name"], bill, before, _again(pattern, book.vat)))
    return found


def _again(pattern: HostingPattern, vat: float) -> dict[int, Bill]:
    found = {months: renewal_bill(pattern, months, vat) for months in HORIZONS}
    return {months: bill for months, bill in found.items() if bill.lines}


def _usage(plain: Mapping[str, Any]) -> Usage:
    clusters = {name: ClusterUse(**use) for name, use in plain["clusters"].items()}
    apis = {name: _api_use(use) for name, use in plain["apis"].items()}
    return Usage(plain["hours"], clusters, apis, plain["served_prompt_tokens"], plain["served_output_tokens"])


def _api_use(plain: Mapping[str, Any]) -> ApiUse:
    long = {int(above): _api_use(part) for above, part in plain.get("long", {}).items()}
    return ApiUse(**{**plain, "long": long})


@dataclass(slots=True)
class Bills:
    """Writes bills below one another.

    Attributes:
        sheet: Where to.
        looks: Formats.
        cells: Cells of numbers that stand there, by the backend and what it is; those of the pattern at hand.
    """

    sheet: Sheet
    looks: Looks
    cells: dict[object, str] = field(default_factory=dict)

    def write(self, bills: list[PatternBills]) -> dict[str, Cost]:
        """All bills; what each pattern costs, by its name."""
        self.sheet.columns(46, 18, 16, 24, 16, 60, 90)
        self.sheet.line("Bills, line by line", look=self.looks.title)
        self.sheet.line(
            "Blue numbers may be changed; every amount follows, here and on “comparison”.", look=self.looks.soft
        )
        self.sheet.line(*_HEADS, look=self.looks.head)
        self.sheet.page.freeze_panes(self.sheet.row, 1)
        return {one.name: self._pattern(one) for one in bills}

    def _pattern(self, one: PatternBills) -> Cost:
        self.cells = {}
        self.sheet.row += 1
        self.sheet.line(one.name, look=self.looks.title)
        month = self._bill(one.month, f"{one.name}, a month")
        capital = [
            f"{_column(_USD)}{row + 1}"
            for line, row in zip(one.month.lines, month.rows, strict=True)
            if line.key.rpartition(".")[2] in CAPITAL
        ]
        running_usd = float(one.month.running_usd)
        text = "-".join([month.amount.cell, *capital])
        running = month.amount
        if capital:
            running = self._sum("of that, without what pays for a purchase over time", f"={text}", running_usd)
        self._sum("twelve such months", f"=12*{month.amount.cell}", 12 * month.amount.usd)
        if one.before.lines:
            self.sheet.line("Before the first month", look=self.looks.bold)
        before = self._bill(one.before, f"{one.name}, before the first month")
        if one.again:
            self.sheet.line("When hardware has been written off", look=self.looks.bold)
        again = {
            months: _elsewhere(self._bill(bill, f"{one.name}, bought again within {months} months").amount)
            for months, bill in one.again.items()
        }
        return Cost(_elsewhere(month.amount), _elsewhere(running), _elsewhere(before.amount), again)

    def _bill(self, bill: Bill, name: str) -> _Written:
        first, rows = self.sheet.row, []
        for line in bill.lines:
            rows.append(self.sheet.row)
            self._line(line)
        usd = float(bill.total_usd)
        column = _column(_USD)
        text = f"=SUM({column}{first + 1}:{column}{self.sheet.row})" if rows else "=0"
        return _Written(self._sum(name, text, usd), rows)

    def _sum(self, name: str, formula: str, usd: float) -> Amount:
        for at in range(_BASIS + 1):
            self.sheet.put(at, name if at == _NAME else "", self.looks.total_name)
        self.sheet.formula(_USD, formula, usd, self.looks.total)
        self.sheet.row += 1
        return Amount(f"{_column(_USD)}{self.sheet.row}", usd)

    def _line(self, line: BillLine) -> None:
        """A line with its first quantity and its first price; the other factors in rows of their own below it."""
        at = self.sheet.row
        beside = self._beside(line.factors)
        cells, below = [], at + 1
        for factor in line.factors:
            row = at
            if factor not in beside:
                row, below = below, below + 1
            cells.append(self._factor(line, factor, row, alone=row != at))
        self.sheet.row = at
        self.sheet.put(_NAME, line.label, self.looks.bold)
        self.sheet.put(_UNIT, " × ".join(one.unit for one in beside if one.unit), self.looks.soft)
        self.sheet.put(_SOURCE, "; ".join(dict.fromkeys(one.source for one in beside)), self.looks.said)
        self.sheet.put(_BASIS, line.basis, self.looks.said)
        self.sheet.formula(_USD, f"={line.formula.format(*cells)}", float(line.usd), self.looks.usd)
        self.cells[line.key] = f"{_column(_USD)}{at + 1}"
        self.sheet.row = below

    @staticmethod
    def _beside(factors: tuple[Factor, ...]) -> list[Factor]:
        """The factors that stand in the row of the line itself: one of each kind, a quantity and a price."""
        kinds: dict[bool, Factor] = {}
        for factor in factors:
            kinds.setdefault(_is_price(factor), factor)
        return list(kinds.values())

    def _factor(self, line: BillLine, factor: Factor, row: int, *, alone: bool) -> str:
        """The cell of a factor, written unless it is a number that stands in this bill already."""
        self.sheet.row = row
        column = _PRICE if _is_price(factor) else _QUANTITY
        cell, value = f"{_column(column)}{row + 1}", float(factor.value)
        known = (backend_of(line), factor)
        if factor.lines:
            self.sheet.formula(column, "=" + "+".join(self.cells[key] for key in factor.lines), value, self.looks.usd)
        elif known in self.cells:
            self.sheet.formula(column, f"={self.cells[known]}", value, self.looks.measured)
        else:
            given = self.looks.price if column == _PRICE else self.looks.input
            self.sheet.put(column, value, self.looks.measured if factor.source == SIMULATED else given)
            self.cells[known] = cell
        if alone:
            self.sheet.put(_NAME, factor.label, self.looks.soft)
            self.sheet.put(_UNIT, factor.unit, self.looks.soft)
            self.sheet.put(_SOURCE, factor.source, self.looks.said)
        return cell


@dataclass(frozen=True, slots=True)
class _Written:
    """A bill on the sheet: its total, and the row of each line, counted from 0."""

    amount: Amount
    rows: list[int]


def _is_price(factor: Factor) -> bool:
    return factor.unit.startswith("USD")


def _column(at: int) -> str:
    return "ABCDEFG"[at]


def _elsewhere(amount: Amount) -> Amount:
    return Amount(f"'bill lines'!{amount.cell}", amount.usd)
