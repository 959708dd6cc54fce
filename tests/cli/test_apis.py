"""`simulator apis …` as a user runs it."""

from __future__ import annotations

import json

import pytest

from simulator.cli.main import main
from tests.parts import SCENARIOS

LOAD = ["--requests-per-minute", "1000", "--prompt-tokens", "200", "--output-tokens", "20"]


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main(["apis", *arguments])
    return stop.value.code, capsys.readouterr()


@pytest.mark.parametrize(
    ("cached", "raw", "units", "usd"), [("0 %", 105.88, 150, 219_000), ("0.5", 76.47, 100, 146_000)]
)
def test_size(capsys, cached, raw, units, usd):
    code, said = run(capsys, "size", "gpt-5.2", *LOAD, "--scope", "regional", "--cached", cached, "--json")
    found = json.loads(said.out)
    assert code == 0
    assert round(found["units_needed"], 2) == raw
    assert found["units"] == units
    assert found["monthly_cost_usd"] == usd == units * 2 * 730


def test_size_in_words(capsys):
    _, said = run(capsys, "size", "azure/gpt-5.2", *LOAD, "--scope", "regional")
    assert "1000 × (200 × 1 + 8 × 20)" in said.out
    assert "105.88 units" in said.out
    assert "150 as sold" in said.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("size", "gpt-9", *LOAD), "no provisioned units are known for 'gpt-9'"),
        (("size", "llama-3.3-70b", *LOAD, "--scope", "regional"), "is sold as global, data_zone"),
        (("size", "gpt-5.2", *LOAD, "--cached", "150 %"), "expected a share"),
        (("size", "gpt-5.2", *LOAD, "--cached", "half"), "expected a share"),
        (("size", "gpt-5.2", *LOAD, "--book", "1999-01"), "there is no price book '1999-01'"),
    ],
)
def test_bad_input(capsys, arguments, message):
    code, said = run(capsys, *arguments)
    assert code == 2
    assert message in said.err
    assert said.out == ""


def test_list(capsys):
    _, said = run(capsys, "list", "--json")
    assert json.loads(said.out)["models"]["gpt-5.2"]["output_ratio"] == 8
    _, said = run(capsys, "list")
    assert "gpt-5.2" in said.out


SCENARIO = str(SCENARIOS / "apis" / "deployments.yaml")


def test_peak(capsys):
    code, said = run(capsys, "peak", SCENARIO, "--model", "azure/gpt-4.1", "--workload", "prior_auth_appeals", "--json")
    found = json.loads(said.out)
    assert code == 0
    assert found["busiest_minute_tokens"] > 10 * found["mean_minute_tokens"] > 0
    sizes = found["sizes"]
    assert [row["units"] for row in sizes] == sorted(row["units"] for row in sizes)
    assert all(0 < row["minutes_within"] <= 1 and 0 < row["load_within"] <= 1 for row in sizes)
    assert sizes[-1]["load_within"] == sizes[-1]["minutes_within"] == 1.0
    assert sizes[-1]["tokens_per_minute"] >= found["busiest_minute_tokens"]
    # Fewer minutes are within than load is: a minute that exceeds the units is served in part.
    assert all(row["load_within"] <= 1.0 for row in sizes)
    _, said = run(capsys, "peak", SCENARIO, "--model", "azure/gpt-4.1")
    assert "15 units serve    45,000 a minute" in said.out


def test_peak_of_nothing_known(capsys):
    code, said = run(capsys, "peak", SCENARIO, "--model", "azure/gpt-4.1", "--workload", "notes")
    assert code == 2
    assert "expected one of clinical_documentation, prior_auth_appeals" in said.err
    code, said = run(capsys, "peak", SCENARIO, "--model", "azure/llama-3.3-70b", "--scope", "regional")
    assert code == 2
    assert "not sold as regional" in said.err
