"""The workbook of a run: formulas that a controller can follow, and that give what the bill computes."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import zipfile
from decimal import Decimal

import pytest
from xlsxwriter.workbook import Workbook

from simulator.cost.bill import Bill, monthly_bill, one_off_bill, upfront_bill
from simulator.cost.cash import HORIZONS, cash_of, renewal_bill
from simulator.cost.usage import ApiUse
from simulator.report.sheets import Looks, Sheet
from simulator.report.workbook import write_workbook
from simulator.report.workbook_bills import Bills, PatternBills
from simulator.scenario.patterns import HybridPattern
from tests.cli.command import run
from tests.cost.test_bill import API, BOOK, CLUSTER, MONTH, POWER, of
from tests.parts import LIBREOFFICE
from tests.report.spreadsheet import Spreadsheet

BILLS, COMPARISON = "bill lines", "comparison"


@pytest.fixture(scope="module")
def book(kept, tmp_path_factory):
    return write_workbook(kept, tmp_path_factory.mktemp("book") / "bill.xlsx")


def test_every_formula_comes_to_what_the_file_says_and_to_the_bill(book, kept):
    sheet, document = Spreadsheet(book), json.loads((kept / "summary.json").read_text("utf-8"))
    assert sheet.sheets == [COMPARISON, BILLS, "assumptions", "provenance"]
    for (name, place), (text, value) in sheet.formulas.items():
        assert sheet.value(name, place) == pytest.approx(value, abs=1e-6), text
    for row in document["patterns"]:
        at = sheet.find(COMPARISON, row["name"])
        assert round(sheet.value(COMPARISON, f"C{at}"), 2) == round(row["monthly_cost_usd"]["mean"], 2)
        assert sheet.value(COMPARISON, f"I{at}") == pytest.approx(row["usd_per_million_tokens"], rel=1e-6)
        for key, basis in row["cost_basis"].items():
            line = sheet.find(BILLS, basis, "G", after=sheet.find(BILLS, row["name"]))
            assert round(sheet.value(BILLS, f"E{line}"), 2) == row["cost_lines_usd"][key]


@pytest.mark.parametrize(
    ("said", "changed"),
    [("135000 USD/year", "150000 USD/year"), ("10 %", "12.5 %")],
)
def test_what_is_changed_is_found_by_its_name(book, said, changed):
    """The salary and the share of the shipped scenario's engineer, by hand: both move the month in proportion."""
    sheet = Spreadsheet(book)
    at = sheet.find(BILLS, "Staff", after=sheet.find(BILLS, "self_hosted"))
    column, factor = ("C", 150 / 135) if "USD" in said else ("B", 1.25)
    before = sheet.value(COMPARISON, f"C{sheet.find(COMPARISON, 'self_hosted')}")
    sheet.change(BILLS, f"{column}{at}", sheet.value(BILLS, f"{column}{at}") * factor)
    after = sheet.value(COMPARISON, f"C{sheet.find(COMPARISON, 'self_hosted')}")
    assert after - before == pytest.approx(1125.0 * (factor - 1))


FACTS = {
    "gpu_hour": 1.861,
    "discount": 0.5,
    "salary": 135_000,
    "share": 0.25,
    "kwh": 0.12,
    "pue": 1.55,
    "prompt": 2.0,
    "output": 8.0,
    "compliance": 0.1,
    "again": 2.5,
    "monitoring": 20,
    "bought": 187_000,
    "residual": 6_000,
    "months": 36,
    "interest": 0.06,
    "review": 12_000,
    "vat": 0.19,
}
USED = of(730.0, 0.31, ApiUse(123_456_789, 23_456_789, 34_567_891))


def hybrid(*, buys=False, **changes):
    """The bills of a pattern with every kind of line, as these facts have it."""
    return priced(*pattern_of(buys=buys, **changes))


def priced(pattern, book):
    before = Bill((*upfront_bill(pattern, book.vat).lines, *one_off_bill(pattern, book.vat).lines))
    again = {months: renewal_bill(pattern, months, book.vat) for months in HORIZONS}
    return PatternBills("hybrid", monthly_bill(pattern, USED, book, MONTH), before, again)


def pattern_of(*, buys=False, **changes):
    fact = FACTS | changes
    compute = {
        "kind": "rental",
        "gpu_hour": f"{fact['gpu_hour']} USD/h",
        "commitment": {"months": 36, "discount": fact["discount"]},
    }
    if buys:
        compute = {
            "kind": "purchase",
            "gpus": f"{fact['bought']} USD",
            "chassis": "0 USD",
            "residual": f"{fact['residual']} USD",
            "amortisation": fact["months"],
            "interest": fact["interest"],
            "support": 0.08,
        }
    costs = {
        "compute": compute,
        "power": {**POWER, "price": f"{fact['kwh']} USD/kWh", "pue": fact["pue"]},
        "monitoring": f"{fact['monitoring']} USD/month",
        "network": "20 USD/month",
        "staff": [{"role": "MLOps", "salary": f"{fact['salary']} USD/year", "share": fact["share"]}],
        "compliance": fact["compliance"],
        "one_off": {"security_review": f"{fact['review']} USD"},
    }
    prices = {
        "prompt": f"{fact['prompt']} USD/1M tokens",
        "cached_prompt": "0.5 USD/1M tokens",
        "output": f"{fact['output']} USD/1M tokens",
        "source": "contract",
    }
    api = {**API, "prices": prices, "costs": {"prompt_iteration": fact["again"], "compliance": 0.1}}
    book = BOOK.model_copy(update={"vat": fact["vat"]})
    return HybridPattern.model_validate({"kind": "hybrid", "cluster": CLUSTER, "costs": costs, "api": api}), book


def written(*bills):
    content = io.BytesIO()
    with Workbook(content, {"in_memory": True}) as target:
        looks = Looks(target)
        costs = Bills(Sheet(target.add_worksheet(BILLS), looks), looks).write(list(bills))
    return Spreadsheet(content), costs


def amount(sheet, one):
    return sheet.value(BILLS, one.cell.partition("!")[2])


@pytest.mark.parametrize(
    ("fact", "label", "column", "value"),
    [
        ("gpu_hour", "GPU rental", "C", 2.3871),
        ("discount", "discount, committed for 36 months", "B", 0.37),
        ("salary", "Staff", "C", 171_234),
        ("share", "Staff", "B", 0.4),
        ("kwh", "Electricity", "C", 0.2713),
        ("pue", "PUE", "B", 1.2),
        ("prompt", "API, prompt tokens", "C", 3.3333),
        ("output", "API, output tokens", "C", 0.01),
        ("compliance", "Compliance", "B", 0.15),
        ("again", "API, work on prompts", "B", 4.0),
        ("monitoring", "Monitoring", "C", 200),
        ("bought", "Hardware, written off", "C", 250_001),
        ("residual", "residual value", "C", 0),
        ("months", "Hardware, written off", "B", 60),
        ("interest", "interest a year", "B", 0.045),
        ("review", "Security review", "C", 45_000),
    ],
)
def test_after_a_change_it_says_what_the_bill_says(fact, label, column, value):
    """A number written over in the workbook, and the same number in the scenario."""
    bought = fact in ("bought", "residual", "months", "interest")
    sheet, costs = written(hybrid(buys=bought))
    typed = value - 1 if fact == "again" else value
    sheet.change(BILLS, f"{column}{sheet.find(BILLS, label)}", typed)
    wanted = hybrid(buys=bought, **{fact: value})
    found = costs["hybrid"]
    assert round(amount(sheet, found.month), 2) == float(round(wanted.month.total_usd, 2))
    assert round(amount(sheet, found.running), 2) == float(round(wanted.month.running_usd, 2))
    assert round(amount(sheet, found.before), 2) == float(round(wanted.before.total_usd, 2))
    assert wanted != hybrid(buys=bought)


def test_an_abbreviation_stays_one_after_the_name_of_the_api():
    labels = [line.label for line in hybrid().month.lines]
    assert "API, VAT" in labels
    assert "API, output tokens" in labels


def test_numbers_that_are_alike_by_chance_are_not_tied_together():
    """Network and monitoring cost 20 USD each: whoever changes one has not changed the other."""
    sheet, _ = written(hybrid())
    sheet.change(BILLS, f"C{sheet.find(BILLS, 'Monitoring')}", 99.0)
    assert sheet.value(BILLS, f"E{sheet.find(BILLS, 'Network')}") == 20.0


def test_a_year_is_twelve_months_and_three_years_of_cash_are_what_is_paid():
    """By hand: hardware with its tax, the review with its tax, and 36 months without what pays for the purchase."""
    sheet, costs = written(one := hybrid(buys=True))
    year = sheet.find(BILLS, "twelve such months")
    assert sheet.value(BILLS, f"E{year}") == pytest.approx(12 * float(one.month.total_usd))
    capital = sum(one.month.usd(key) for key in ("purchase", "purchase_vat", "financing"))
    once = Decimal(187_000 + 12_000) * Decimal("1.19")
    assert costs["hybrid"].cash(36) == pytest.approx(float(once + 36 * (one.month.total_usd - capital)))


@pytest.mark.parametrize("life", [5, 12, 17, 24, 36, 60])
def test_three_years_of_cash_follow_how_long_hardware_lasts(life):
    """The months written over in the workbook, and the cash of a run whose scenario says so, to the cent."""
    sheet, costs = written(hybrid(buys=True))
    sheet.change(BILLS, f"B{sheet.find(BILLS, 'Hardware, written off')}", float(life))
    pattern, book = pattern_of(buys=True, months=life)
    cash = cash_of(pattern, priced(pattern, book).month, book.vat)
    for months, usd in zip(HORIZONS, (cash.first_year_usd, cash.three_years_usd), strict=True):
        text = costs["hybrid"].cash_formula(months)
        sheet.formulas[BILLS, f"Z{months}"] = text.removeprefix("="), 0.0
        assert round(sheet.value(BILLS, f"Z{months}"), 2) == round(usd, 2)
        anew, wanted = written(priced(pattern, book))
        assert round(wanted["hybrid"].cash(months), 2) == round(usd, 2)
        assert round(amount(anew, wanted["hybrid"].again[months]), 2) == round(wanted["hybrid"].again[months].usd, 2)


def test_no_name_becomes_a_formula(kept, tmp_path):
    hostile = tmp_path / "run"
    shutil.copytree(kept, hostile)
    said = ["=1+1", "+1", "-1+cmd|' /C calc'!A0", "@SUM(1)", '=HYPERLINK("http://example.org")']
    for name in ("summary.json", "scenario.yaml"):
        text = (hostile / name).read_text("utf-8")
        text = text.replace("One week of one clinic, for continuous integration.", "=1+1")
        (hostile / name).write_text(text, encoding="utf-8")
    document = json.loads((hostile / "summary.json").read_text("utf-8"))
    document["decision"]["reasons"] = said
    (hostile / "summary.json").write_text(json.dumps(document), encoding="utf-8")
    sheet = Spreadsheet(write_workbook(hostile, tmp_path / "bill.xlsx"))
    assert {"=1+1", *said[1:]} <= {text.rstrip(".") for text in sheet.texts.values()}
    for text, _ in sheet.formulas.values():
        assert re.fullmatch(r"(SUM|INT|MIN|MAX|'bill lines'!|[A-Z]\d+|[-+*/^().,:\d\s])+", text), text


def test_the_same_run_gives_the_same_bytes(book, kept, tmp_path):
    assert write_workbook(kept, tmp_path / "again.xlsx").read_bytes() == book.read_bytes()


def test_it_says_what_is_measured_derived_and_assumed_from_where_and_when(book):
    """Each source with its label and a day, every default marked as one."""
    sheet = Spreadsheet(book)
    first = sheet.find("provenance", "what rests on it")
    labels = {said for (name, place), said in sheet.texts.items() if name == "provenance" and place[0] == "C"}
    assert {"derived", "list price"} <= labels
    assert first > sheet.find("provenance", "Prices")
    origins = {said for (name, place), said in sheet.texts.items() if name == "assumptions" and place[0] == "C"}
    assert {"stated", "default"} <= origins


def test_prices_that_changed_since_are_noticed(kept, tmp_path, capsys):
    old = tmp_path / "run"
    shutil.copytree(kept, old)
    document = json.loads((old / "summary.json").read_text("utf-8"))
    document["patterns"][0]["cost_lines_usd"]["api_prompt"] += 1.0
    (old / "summary.json").write_text(json.dumps(document), encoding="utf-8")
    code, _, err = run(["report", str(old), "--xlsx", str(tmp_path / "bill.xlsx")], capsys)
    assert code == 2
    assert "simulate it again" in err
    assert not (tmp_path / "bill.xlsx").exists()


@pytest.mark.slow
@pytest.mark.needs("LibreOffice")
def test_libreoffice_finds_no_error_and_the_bill_at_another_price(book, tmp_path):
    """With what it comes to left out of the file, so that it is worked out there."""
    sheet = Spreadsheet(book)
    place = f"C{sheet.find(BILLS, 'GPU rental', after=sheet.find(BILLS, 'self_hosted'))}"
    changed = tmp_path / "changed.xlsx"
    with zipfile.ZipFile(book) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            text = old.read(name)
            if name.startswith("xl/worksheets/sheet"):
                text = re.sub(rb"(</f>)<v>[^<]*</v>", rb"\1", text)
            if name.endswith("sheet2.xml"):
                text, count = re.subn(rf'(<c r="{place}"[^>]*><v>)[^<]*'.encode(), rb"\g<1>2.3871", text)
                assert count == 1
            new.writestr(name, text)
    every = "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,false,false,false,-1"
    home = f"-env:UserInstallation=file://{tmp_path / 'home'}"
    command = [str(LIBREOFFICE), home, "--headless", "--convert-to", every, "--outdir", str(tmp_path), str(changed)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    pages = {name: (tmp_path / f"changed-{name}.csv").read_text("utf-8") for name in sheet.sheets}
    assert not re.search(r"#(REF|NAME|VALUE|DIV/0|N/A|NUM)|Err:\d", "".join(pages.values()))
    sheet.change(BILLS, place, 2.3871)
    row = next(line for line in pages[COMPARISON].splitlines() if line.startswith("self_hosted,"))
    wanted = sheet.value(COMPARISON, f"C{sheet.find(COMPARISON, 'self_hosted')}")
    assert float(row.split(",")[2]) == pytest.approx(wanted)
    assert wanted == pytest.approx(2.3871 * 730 + 1125)
