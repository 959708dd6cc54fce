"""The source document's claims: the tally, the laws behind a verdict, and goldens beside them."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.audit.claims import VERDICTS, Audited, Finding, agrees, amount, audit, claims, tally
from simulator.audit.recompute import recomputed
from simulator.cli.main import main
from simulator.cost.prices import load_price_book
from tests.parts import ROOT

BOOK = load_price_book("2026-11")
AUDITED = {one.claim.id: one for one in audit(BOOK)}


def value(claim, figure=0):
    return AUDITED[claim].findings[figure].value


def test_every_claim_is_there_once_and_every_figure_has_a_value():
    assert list(AUDITED) == [f"N{number}" for number in range(1, 56)]
    values = recomputed(BOOK)
    assert {one.id: len(one.figures) for one in claims()} == {name: len(found) for name, found in values.items()}


def test_the_tally():
    assert tally(list(AUDITED.values())) == {"right": 20, "unverifiable": 7, "inconsistent": 8, "wrong": 20}


def test_what_is_not_right_says_why():
    assert [name for name, one in AUDITED.items() if one.verdict != "right" and not one.claim.note] == []


def test_a_claim_is_as_good_as_its_worst_figure():
    for one in AUDITED.values():
        ranks = [VERDICTS.index(finding.verdict) for finding in one.findings]
        assert VERDICTS.index(one.verdict) == min(ranks)


@pytest.mark.parametrize("name", [name for name, one in AUDITED.items() if one.verdict == "right"])
def test_a_claim_that_is_right_is_wrong_once_a_figure_is_half_again_as_large(name):
    """No verdict is written down anywhere: each follows from two numbers."""
    for finding in AUDITED[name].findings:
        moved = Finding(finding.figure, finding.value * 3 / 2)
        assert Audited(AUDITED[name].claim, [moved]).verdict == "wrong"


def test_dearer_tokens_make_the_price_claims_wrong():
    turbo = BOOK.api("azure/gpt-4-turbo")
    changed = {"azure/gpt-4-turbo": turbo.model_copy(update={"prompt": turbo.output})}
    dearer = BOOK.model_copy(update={"api_prices": BOOK.api_prices | changed})
    assert {one.claim.id for one in audit(dearer) if one.verdict != AUDITED[one.claim.id].verdict} == {"N1", "N2"}


@pytest.mark.parametrize(
    ("claim", "figure", "expected"),
    [
        ("N9", 0, "1713.60"),
        ("N10", 0, "1783.60"),
        ("N11", 1, "888.89"),
        ("N13", 0, "1038.89"),
        ("N14", 2, "3937.50"),
        ("N15", 0, "5721.10"),
        ("N15", 1, "4976.39"),
        ("N17", 1, "1555.20"),
        ("N18", 0, "9.50"),
        ("N18", 1, "3.79"),
        ("N19", 0, "9315.00"),
        ("N19", 1, "12420.00"),
        ("N22", 0, "583.20"),
        ("N23", 0, "10.12"),
        ("N26", 0, "393.33"),
        ("N26", 1, "295.00"),
        ("N30", 0, "316.80"),
        ("N31", 0, "11.11"),
        ("N32", 1, "382.50"),
        ("N32", 2, "510.00"),
        ("N33", 1, "7.20"),
        ("N33", 2, "9.60"),
        ("N34", 1, "12.50"),
        ("N37", 0, "7679.70"),
        ("N37", 1, "10239.60"),
        ("N38", 2, "13.17"),
        ("N45", 2, "15583.33"),
        ("N47", 0, "1275.00"),
        ("N48", 0, "180.00"),
        ("N51", 3, "30.26"),
    ],
)
def test_goldens_to_the_cent(claim, figure, expected):
    assert round(float(value(claim, figure)), 2) == float(expected)


def test_the_laws_between_claims():
    assert value("N9") + 70 == value("N10")
    assert value("N15") == value("N10") + value("N14", 2)
    assert value("N15", 1) == value("N13") + value("N14", 2)
    assert value("N18", 1) * value("N17", 1) == pytest.approx(5900)
    assert value("N20") == value("N19") - 5900
    assert value("N35", 2) == 432 + value("N32") + value("N33") + value("N34")
    assert value("N39", 2) == 12 * value("N39")


@given(st.decimals(min_value="0.01", max_value="1e6", places=2), st.integers(min_value=1, max_value=4))
def test_a_number_agrees_with_whatever_rounds_to_it(number, digits):
    written = Decimal(f"{number:.{digits}g}")
    assert agrees(written, number)
    assert not agrees(written * 2, number)


def test_a_range_agrees_with_what_lies_in_it():
    assert agrees([Decimal(1), Decimal(2)], 2)
    assert not agrees([Decimal(1), Decimal(2)], 3)


def test_amounts_are_for_people():
    assert amount(Fraction(7776, 5), "M tokens/month") == "1,555.2M tokens/month"
    assert amount(Decimal("1713.6"), "USD/month") == "1,713.60 USD/month"
    assert amount(0.00463, "%") == "0.0046 %"


def test_the_documentation_quotes_the_tally():
    text = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\w+) \| .* \| (\d+) \|$", text, re.MULTILINE))
    assert {verdict: int(count) for verdict, count in rows.items()} == tally(list(AUDITED.values()))


def command(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main(["audit", *arguments])
    return stop.value.code, *capsys.readouterr()


def test_the_command_prints_every_claim_as_json(capsys):
    code, out, _ = command(capsys, "--json")
    document = json.loads(out)
    assert code == 0
    assert len(document["claims"]) == 55
    assert {"id", "claim", "recomputed", "verdict"} <= set(document["claims"][0])
    assert document["price_book"]["sha256"] == BOOK.sha256


def test_the_command_shows_the_figures_of_one_claim(capsys):
    code, out, _ = command(capsys, "N17")
    assert code == 0
    assert "1,555.2M tokens/month" in out
    assert "40 % is taken twice" in out


def test_the_command_picks_by_verdict(capsys):
    code, out, _ = command(capsys, "--verdict", "inconsistent", "--json")
    assert code == 0
    assert {one["verdict"] for one in json.loads(out)["claims"]} == {"inconsistent"}


def test_the_command_refuses_what_does_not_exist(capsys):
    code, out, err = command(capsys, "N17", "N56", "--verdict", "true")
    assert (code, out) == (2, "")
    assert "N56" in err
    assert "unverifiable" in err
