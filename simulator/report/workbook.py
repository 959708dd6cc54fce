"""A run as a workbook that a controller can follow: the bills as formulas, what they rest on, and where it comes from.

Amounts are US dollars, as in the JSON document. Nothing that a scenario says can become a formula: text is written as
text. The same run gives the same bytes.
"""

from __future__ import annotations

import io
from datetime import datetime
from typing import TYPE_CHECKING, Any

from simulator.cost.cash import HORIZONS
from simulator.decision.words import sentence
from simulator.errors import RunStoreError
from simulator.experiment.runs import read_manifest, read_summary
from simulator.files import write_whole
from simulator.report import page_tables
from simulator.report.currency import Shown
from simulator.report.sheets import Looks, Sheet
from simulator.report.warnings import warnings_about
from simulator.report.workbook_bills import Bills, Cost, read_bills
from simulator.scenario.loading import load_scenario
from simulator.study.explanation import sources_of, values_of
from simulator.wording import joined

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from simulator.scenario.schema import Scenario


def write_workbook(run: Path, target: Path) -> Path:
    """Write the workbook of a run directory.

    Args:
        run: The directory.
        target: The file.

    Returns:
        The file written.

    Raises:
        RunStoreError: There is no run, or it was kept by an earlier version.
        SimulatorError: The file cannot be written.
    """
    document, manifest = read_summary(run), read_manifest(run)
    if "inputs" not in document:
        raise RunStoreError(f"{run} was kept by an earlier version, without its inputs; simulate it again")
    write_whole(target, render_workbook(load_scenario(run / "scenario.yaml"), document, manifest, run))
    return target


def render_workbook(scenario: Scenario, document: Mapping[str, Any], manifest: Mapping[str, Any], run: Path) -> bytes:
    """The workbook.

    Args:
        scenario: The question.
        document: The published JSON document that answers it.
        manifest: What made it.
        run: Where the scenario lies.

    Raises:
        RunStoreError: Prices or usage of the run give another bill by now.
    """
    from xlsxwriter.workbook import Workbook

    content = io.BytesIO()
    made = datetime.fromisoformat(manifest["environment"]["written_at"]).replace(tzinfo=None)
    with Workbook(content, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}) as book:
        book.set_properties({"title": scenario.description or scenario.name, "created": made})
        looks = Looks(book)
        names = ("comparison", "bill lines", "assumptions", "provenance")
        sheets = {name: Sheet(book.add_worksheet(name), looks) for name in names}
        costs = Bills(sheets["bill lines"], looks).write(read_bills(scenario, document))
        _comparison(sheets["comparison"], scenario, document, costs)
        _assumptions(sheets["assumptions"], scenario, document, run)
        _provenance(sheets["provenance"], scenario, document, manifest)
        book.worksheets()[0].activate()
    return content.getvalue()


def _comparison(sheet: Sheet, scenario: Scenario, document: Mapping[str, Any], costs: Mapping[str, Cost]) -> None:
    looks, decision, shown = sheet.looks, document["decision"], Shown.of(scenario.prices)
    sheet.columns(28, 9, *[13] * 16)
    sheet.line(scenario.description or scenario.name, look=looks.title)
    for reason in decision["reasons"]:
        sheet.line(sentence(reason, [*scenario.hosting_patterns]), look=looks.plain)
    rate = None
    if shown.code != "USD":
        sheet.line(f"US dollars of one {shown.code}, {shown.on}, {shown.source}", look=looks.plain)
        sheet.put(0, float(shown.usd), looks.price)
        rate = f"$A${sheet.row + 1}"
        sheet.row += 1
    sheet.row += 1
    heads = [
        "hosting pattern", "", "USD a month", "± (95 %)", "before the first month, USD", "USD in the first year, cash",
        "USD in three years, cash", "million tokens a month", "USD per 1M tokens", "TTFT p99, s", "end to end p99, s",
        "GPUs busy", "of capacity", "completed", "every objective", "queue",
    ]  # fmt: skip
    heads += [f"{shown.code} a month", f"{shown.code} in three years, cash"] if rate else []
    sheet.page.set_row(sheet.row, 42)
    sheet.line(*heads, look=looks.head)
    sheet.page.freeze_panes(sheet.row, 1)
    for row in document["patterns"]:
        chosen = "chosen" if row["name"] == decision["recommended"] else ""
        sheet.put(0, row["name"], looks.bold if chosen else looks.plain)
        sheet.put(1, chosen)
        if row["name"] in costs:
            _compared(sheet, row, costs[row["name"]], document)
            if rate:
                for column, text, usd in (
                    (16, "C", costs[row["name"]].month.usd),
                    (17, "G", costs[row["name"]].cash(36)),
                ):
                    sheet.formula(column, f"={text}{sheet.row + 1}/{rate}", shown.amount(usd), looks.usd)
        else:
            sheet.put(2, f"not simulated: {joined(row['infeasible_reasons'])}", looks.plain)
        sheet.row += 1
    sheet.row += 1
    sheet.line("Take care", look=looks.bold)
    for doubt in [*decision["take_care"], *warnings_about(scenario, [row["name"] for row in document["patterns"]])]:
        sheet.line(doubt, look=looks.plain)
    for line in (
        "Blue cells on “bill lines” may be changed: every amount here and there follows.",
        "Cash: what is paid before the first month, then each month without what pays for a purchase over time, "
        "and for hardware again when it has been written off, less what the old set fetches.",
        "Amounts are shown to the cent and added up as they are. ± is half the 95 % interval over replications.",
    ):
        sheet.line(line, look=looks.soft)


def _compared(sheet: Sheet, row: Mapping[str, Any], cost: Cost, document: Mapping[str, Any]) -> None:
    looks, at = sheet.looks, sheet.row + 1
    sheet.formula(2, f"={cost.month.cell}", cost.month.usd, looks.usd)
    ends = row["monthly_cost_usd"]["ci95"]
    sheet.put(3, (ends[1] - ends[0]) / 2 if ends else None, looks.usd)
    sheet.formula(4, f"={cost.before.cell}", cost.before.usd, looks.usd)
    for column, months in zip((5, 6), HORIZONS, strict=True):
        sheet.formula(column, cost.cash_formula(months), cost.cash(months), looks.usd)
    usage = row["usage"]
    served = usage["served_prompt_tokens"] + usage["served_output_tokens"]
    millions = served * document["month_hours"] / usage["hours"] / 1e6
    sheet.put(7, millions, looks.measured)
    if millions:
        sheet.formula(8, f"=C{at}/H{at}", cost.month.usd / millions, looks.usd)
    for column, metric in ((9, "ttft_s"), (10, "e2e_s")):
        found = row["latency"].get(metric)
        grows = row["saturation"] == "overloaded"
        sheet.put(column, "grows" if grows else found and found["p99"], looks.seconds)
    for column, share in ((11, "busy_fraction"), (12, "capacity_fraction")):
        sheet.put(column, row["utilisation"] and row["utilisation"][share], looks.share)
    arrived = row["requests"]["arrived"]
    sheet.put(13, row["requests"]["completed"] / arrived if arrived else None, looks.share)
    answers = {one["objective"]["answer"] for one in row["workloads"].values() if one["objective"]}
    answer = next((one for one in ("missed", "cannot_tell", "met") if one in answers), "none set")
    sheet.put(14, answer.replace("_", " "))
    sheet.put(15, row["saturation"])


def _assumptions(sheet: Sheet, scenario: Scenario, document: Mapping[str, Any], run: Path) -> None:
    sheet.columns(60, 34, 10, 90)
    names = [row["name"] for row in document["patterns"]]
    sheet.line("What it rests on: every value, those that the scenario states first", look=sheet.looks.title)
    for row in page_tables.lengths(scenario, names):
        sheet.line(f"{row['name']}: max_model_len {row['tokens']} (derived): {row['why']}", look=sheet.looks.plain)
    values = sorted(values_of(run / "scenario.yaml", scenario, []), key=lambda value: value.origin == "default")
    rows = (
        (
            ".".join(map(str, one.key)),
            _plain(one.value),
            "default" if one.origin == "default" else "stated",
            one.meaning,
        )
        for one in values
    )
    sheet.page.freeze_panes(sheet.row + 1, 1)
    sheet.table(("key", "value", "", "what it means"), rows)


def _plain(value: object) -> str | float | int:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _provenance(sheet: Sheet, scenario: Scenario, document: Mapping[str, Any], manifest: Mapping[str, Any]) -> None:
    from simulator.cost.overrides import scenario_book

    sheet.columns(44, 44, 16, 14, 80, 60)
    sheet.line("How it was made", look=sheet.looks.title)
    for label, value in page_tables.provenance(document, manifest):
        sheet.line(label, value)
    sheet.row += 1
    sheet.line("Prices", look=sheet.looks.title)
    prices = page_tables.prices(document)
    for row in [
        {"key": "what", "price": "price", "basis": "basis", "captured_on": "date", "source": "source"},
        *prices,
    ]:
        look = sheet.looks.head if row["key"] == "what" else None
        sheet.line(*(str(row[name]) for name in ("key", "price", "basis", "captured_on", "source")), look=look)
    sheet.row += 1
    sheet.line("Whose numbers these are: measured, derived, list price or assumed", look=sheet.looks.title)
    book = scenario_book(scenario.prices, scenario.horizon.start_local.date())
    rows = (
        (one.place, one.what, one.label, "", one.source, "; ".join(one.notes)) for one in sources_of(scenario, book)
    )
    sheet.table(("what rests on it", "number", "label", "", "source, with its date", "notes"), rows)
