"""A result as it was kept, by whatever version."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from simulator.cost.bill import monthly_bill
from simulator.errors import Fault, RunStoreError, ScenarioError
from simulator.gate import result_file
from simulator.gate.result_file import read_result
from simulator.version import package_version
from tests.experiment.small import small
from tests.gate.kept import edited, kept, side


def test_a_run_directory_is_read_as_its_document(tmp_path):
    (tmp_path / "summary.json").write_bytes(kept().read_bytes())
    assert read_result(tmp_path).result == side().result
    assert read_result(tmp_path).path == str(tmp_path)
    with pytest.raises(RunStoreError, match="cannot be read"):
        read_result(tmp_path / "elsewhere")


@pytest.mark.parametrize("pattern", ["api", "rented", "bought", "hybrid"])
def test_the_bill_follows_from_what_a_result_carries(pattern):
    """Pattern, usage and prices of the file alone, priced again, are the bill that the file says."""
    found = side()
    bill = monthly_bill(
        found.scenario.hosting_patterns[pattern],
        found.usage(pattern),
        found.book,
        Decimal(str(found.result.month_hours)),
    )
    assert float(bill.total_usd) == pytest.approx(found.patterns[pattern].monthly_cost_usd.mean, abs=0.005)
    assert {line.key for line in bill.lines} == set(found.patterns[pattern].cost_lines_usd)


def test_a_later_version_may_say_more():
    def later(plain):
        plain["mood"] = "good"
        plain["patterns"][0]["colour"] = {"red": 1}
        plain["decision"]["because"] = ["of that"]

    assert edited(later).result == side().result


def test_what_a_result_does_not_carry_is_none():
    bare = edited(lambda plain: (plain.pop("inputs"), [pattern.pop("usage", None) for pattern in plain["patterns"]]))
    assert (bare.scenario, bare.book, bare.usage("api")) == (None, None, None)
    assert list(bare.patterns) == ["api", "rented", "bought", "hybrid"]


def test_a_question_or_prices_of_another_version_are_not_guessed_at():
    def strange(plain):
        plain["inputs"]["scenario"]["dragons"] = 3
        plain["inputs"]["prices"] = {"api_prices": {"bedrock/llama-3.3-70b": {"prompt": "three beans"}}}
        plain["patterns"][0]["usage"] = {"hours": "many"}

    found = edited(strange)
    assert (found.scenario, found.book, found.usage("api")) == (None, None, None)


def test_what_was_asked_is_the_scenario():
    assert side().scenario == small()
    assert json.loads(kept().read_text())["simulator_version"] == package_version()


def test_faults_of_a_result_whose_lines_cannot_be_told_are_those_of_the_file(tmp_path, monkeypatch):
    """Of a file that is longer than a scenario may be no line is named, the key is."""

    def too_long(file):
        raise ScenarioError([Fault(str(file), 0, "", "is too long")])

    monkeypatch.setattr(result_file, "read_document", too_long)
    (tmp_path / "summary.json").write_text(
        json.dumps(json.loads(kept().read_text()) | {"seed": "many"}), encoding="utf-8"
    )
    with pytest.raises(RunStoreError) as fault:
        read_result(tmp_path)
    (line,) = [line for line in str(fault.value).splitlines() if "seed" in line]
    assert line.startswith(f"{tmp_path / 'summary.json'}: seed: ")
