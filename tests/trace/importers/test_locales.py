"""Tables as German, Dutch, French and Swiss spreadsheets write them."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from simulator.trace.importers.locales import counts
from tests.cli.command import run
from tests.trace.importers.sample import CANARY

GERMAN = (
    "sep=;\r\nZeitpunkt;Station;Eingabe-Token;Ausgabe-Token;Dauer (s)\r\n"
    f"16.11.2026 08:15:46;{CANARY};1.820;240;2,31\r\n16.11.2026 08:15:52;{CANARY};412;1.000;0,5\r\n"
)
#: By hand: 1,820 + 412 and 240 + 1,000 tokens.
CASES = {
    "german": (GERMAN, ("Zeitpunkt", "Eingabe-Token", "Ausgabe-Token", "Dauer (s)"), "%d.%m.%Y %H:%M:%S", "utf-8"),
    "dutch": (
        "Tijdstip;Afdeling;Invoertokens;Uitvoertokens;Duur\n"
        f"16-11-2026 08:15:46;{CANARY};1.820;240;2,31\n16-11-2026 08:15:52;{CANARY};412;1.000;0,5\n",
        ("Tijdstip", "Invoertokens", "Uitvoertokens", "Duur"), "%d-%m-%Y %H:%M:%S", "utf-8-sig",
    ),
    "french": (
        "Horodatage;Durée;Jetons d'entrée;Jetons de réponse\n"
        "16/11/2026 08:15:46;2,31;1\u202f820;240\n16/11/2026 08:15:52;0,5;412;1\u202f000\n",
        ("Horodatage", "Jetons d'entrée", "Jetons de réponse", "Durée"), "%d/%m/%Y %H:%M:%S", "utf-8",
    ),
    "french, Windows": (
        "Horodatage;Durée;Jetons d'entrée;Jetons de réponse\n"
        "16/11/2026 08:15:46;2,31;1\u00a0820;240\n16/11/2026 08:15:52;0,5;412;1\u00a0000\n",
        ("Horodatage", "Jetons d'entrée", "Jetons de réponse", "Durée"), "%d/%m/%Y %H:%M:%S", "cp1252",
    ),
    "swiss": (
        "Datum\tEingabe Tokens\tAntwort Tokens\tDauer\n16.11.2026 08:15:46\t1'820\t240\t2,31\n"
        "16.11.2026 08:15:52\t412\t1'000\t0,5\n",
        ("Datum", "Eingabe Tokens", "Antwort Tokens", "Dauer"), "%d.%m.%Y %H:%M:%S", "utf-8",
    ),
    "decimals": (
        "Zeit;Prompt-Token;Antwort-Token;Dauer\n16.11.2026 08:15:46;1820,00;240,00;2,31\n"
        "16.11.2026 08:15:52;412,00;1000,00;0,5\n",
        ("Zeit", "Prompt-Token", "Antwort-Token", "Dauer"), "%d.%m.%Y %H:%M:%S", "utf-16",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_tables_of_other_countries(tmp_path, capsys, case):
    text, columns, form, encoding = case
    (tmp_path / "log.csv").write_bytes(text.encode(encoding))
    code, out, _ = run(["trace", "detect", str(tmp_path / "log.csv")], capsys)
    assert code == 0
    place = text.removeprefix("sep=;\r\n").splitlines()[0].replace("\t", ";").split(";").index(columns[1]) + 1
    assert f"csv, for it has a time in column 1, tokens of prompts in column {place}" in out
    assert CANARY not in out
    fields = ("time", "prompt_tokens", "output_tokens", "duration")
    options = [part for pair in zip(fields, columns, strict=True) for part in ("--column", "=".join(pair))]
    (tmp_path / "one").mkdir()
    asked = [*options, "--time-format", form, "--unit", "duration=s", "--zone", "Europe/Berlin"]
    code, _, err = run(
        ["trace", "convert", "--format", "csv", str(tmp_path / "log.csv"), str(tmp_path / "t.csv"), *asked], capsys
    )
    assert code == 0, err
    rows = [line.split(",") for line in (tmp_path / "t.csv").read_text().splitlines()[1:]]
    # At 46 s less 2.31, at 52 s less 0.5: 7.81 s later.
    assert [float(row[0]) for row in rows] == pytest.approx([0, 7.81])
    assert [row[2:4] for row in rows] == [["1820", "240"], ["412", "1000"]]
    assert "parted thousands" in (tmp_path / "t.yaml").read_text()


def test_a_day_and_a_time_of_day_in_two_columns(tmp_path, capsys):
    text = "Datum;Uhrzeit;Eingabe-Token;Ausgabe-Token\n16.11.2026;08:15;1.820;240\n17.11.2026;00:05;412;1.000\n"
    (tmp_path / "log.csv").write_text(text)
    options = ["time=Datum + Uhrzeit", "prompt_tokens=Eingabe-Token", "output_tokens=Ausgabe-Token"]
    asked = ["trace", "convert", "--format", "csv", str(tmp_path / "log.csv"), str(tmp_path / "t.csv")]
    asked += [part for one in options for part in ("--column", one)]
    code, _, err = run([*asked, "--time-format", "%d.%m.%Y %H:%M"], capsys)
    assert code == 0, err
    rows = [line.split(",") for line in (tmp_path / "t.csv").read_text().splitlines()[1:]]
    assert [float(row[0]) for row in rows] == [0, 15 * 3600 + 50 * 60]
    code, _, err = run([*asked, "--column", "time=Datum + Zeit"], capsys)
    assert code == 2
    assert "no column Zeit" in err


@pytest.mark.parametrize(
    "column",
    [
        ["1.000", "2.000"],
        ["1,000"],
        ["1.820", "1820"],
        ["412.5", "1.820"],
        ["412.5", "412.0"],
        ["1.8200"],
        ["1,820", "1.820"],
    ],
)
def test_what_nothing_decides_is_left_as_it_stands(column):
    assert counts(column) is column


@given(st.lists(st.integers(0, 10_000_000), min_size=1), st.sampled_from([",", "'", "\u2019", "\u00a0", "\u202f", " "]))
def test_parted_thousands_are_the_numbers_that_were_parted(numbers, mark):
    assume(mark != "," or any(one < 1000 or one % 1000 or one >= 1_000_000 for one in numbers))
    assert [int(one) for one in counts([f"{one:,}".replace(",", mark) for one in numbers])] == numbers
