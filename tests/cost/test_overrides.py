"""A scenario's own prices for entries of the book."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

import simulator
from simulator.cli.main import main
from simulator.cost.overrides import book_excerpt, scenario_book
from simulator.cost.prices import PRICED_SECTIONS, load_price_book
from simulator.errors import PriceNotFound
from simulator.scenario.costs import Prices
from tests.experiment.small import small

BOOK = load_price_book("2026-11")
LLAMA = "bedrock/llama-3.3-70b"
CHEAP = {LLAMA: {"prompt": "0.36 USD/1M tokens", "output": "0.36 USD/1M tokens", "source": "contract of May 2026"}}


def book(overrides):
    return scenario_book(Prices(overrides=overrides))


def test_without_overrides_the_book_is_the_shipped_one():
    assert book({}) == BOOK


def test_what_an_override_names_changes_and_nothing_else():
    found = book({LLAMA: {"prompt": "0.50 USD/1M tokens"}, "aws/p4de.24xlarge": {"instance_hour": "20 USD/h"}})
    entry = found.api(LLAMA)
    assert entry.prompt.usd_per_million == Decimal("0.50")
    assert (entry.basis, entry.source, entry.litellm_row) == ("quote", "scenario", "")
    assert entry.output == BOOK.api(LLAMA).output
    assert found.gpu_offer("aws/p4de.24xlarge").instance_hour == 20
    assert found.sha256 == BOOK.sha256
    changed = {key for key, one in found.entries().items() if one != BOOK.entries()[key]}
    assert changed == {LLAMA, "aws/p4de.24xlarge"}


def test_an_excerpt_holds_the_prices_that_were_used():
    excerpt = book_excerpt(Prices(overrides=CHEAP), {LLAMA, "aws/p5.4xlarge", "nobody"})
    assert excerpt["api_prices"][LLAMA]["prompt"] == "0.36 USD/1M tokens"
    assert list(excerpt["gpu_offers"]) == ["aws/p5.4xlarge"]
    assert book_excerpt(Prices(), {LLAMA})["api_prices"][LLAMA]["prompt"] == "0.72 USD/1M tokens"


def test_half_the_price_is_half_the_bill_and_takes_no_simulation(tmp_path):
    dear = simulator.run(small(), patterns=["api", "hybrid"], folder=tmp_path)
    kept = sorted(path.name for path in tmp_path.glob("*.json"))
    cheap = simulator.run(small({"prices.overrides": CHEAP}), patterns=["api", "hybrid"], folder=tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*.json")) == kept
    assert cheap.pattern("api").bill.total_usd == pytest.approx(dear.pattern("api").bill.total_usd / 2)
    document = json.loads(cheap.to_json())
    assert document["price_book"]["overridden"] == [LLAMA]
    assert document["inputs"]["prices"]["api_prices"][LLAMA]["source"] == "contract of May 2026"
    assert "overridden" not in json.loads(dear.to_json())["price_book"]


def test_every_slip_is_reported_where_it_stands(tmp_path, capsys):
    path = tmp_path / "scenario.yaml"
    with pytest.raises(SystemExit):
        main(["init", str(path)])
    wrong = """
  overrides:
    bedrock/llama-3.3-7b: {prompt: 1 USD/1M tokens}
    azure/gpt-4o:
      promt: 1 USD/1M tokens
      output: 1 USD
    hardware/a100-80gb-new: {low: 1 USD}
"""
    text = path.read_text(encoding="utf-8")
    assert "\nprices:" not in text
    path.write_text(text + "\nprices:" + wrong, encoding="utf-8")
    first = len(text.splitlines()) + 4
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(["validate", str(path)])
    out, err = capsys.readouterr()
    assert (stop.value.code, out) == (2, "")
    assert [line.split(": ")[1] for line in err.splitlines()] == [
        "prices.overrides.bedrock/llama-3.3-7b",
        "prices.overrides.azure/gpt-4o.promt",
        "prices.overrides.azure/gpt-4o.output",
        "prices.overrides.hardware/a100-80gb-new",
    ]
    assert f"scenario.yaml:{first}: " in err
    assert "did you mean bedrock/llama-3.3-70b" in err
    assert "unknown field; expected one of prompt" in err
    assert "'1 USD': expected an amount such as '10 USD/1M tokens'" in err


def test_in_a_notebook_a_slip_is_an_error_too():
    with pytest.raises(PriceNotFound, match="charges for no 'azure/gpt-9'"):
        book({"azure/gpt-9": {"prompt": "1 USD/1M tokens"}})


def test_an_excerpt_has_every_section_and_services_only_where_one_is_used():
    service = next(iter(load_price_book("2026-11").services))
    plain = book_excerpt(Prices(), [])
    assert plain == {section: {} for section in PRICED_SECTIONS if section != "services"}
    assert {section: list(entries) for section, entries in book_excerpt(Prices(), [service]).items()} == {
        **{section: [] for section in plain}, "services": [service],
    }  # fmt: skip
