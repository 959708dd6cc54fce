"""`simulator prices`."""

from __future__ import annotations

import json
from importlib import resources

import pytest

from simulator.cli.main import main
from simulator.cost.prices import load_price_book

BOOK = load_price_book("2026-11")


@pytest.fixture
def command(capsys):
    def run(*arguments):
        with pytest.raises(SystemExit) as stop:
            main(["prices", *arguments])
        return stop.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def altered(tmp_path):
    """The shipped book with one price changed, one entry gone and one new."""
    raw = resources.files("simulator.cost").joinpath("data", "prices-2026-11.json").read_text("utf-8")
    content = json.loads(raw)
    content["id"] = "mine"
    content["api_prices"]["azure/gpt-4.1"]["prompt"] = "1.80 USD/1M tokens"
    content["gpu_offers"]["here/a100"] = content["gpu_offers"].pop("lambda/a100-40gb-x8")
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_every_entry_is_listed(command):
    code, out, _ = command("list", "--retired", "--json", "--on", str(BOOK.date))
    document = json.loads(out)
    assert code == 0
    assert [row["key"] for row in document["prices"]] == BOOK.keys()
    assert [row["key"] for row in document["prices"] if row["stale"]] == BOOK.stale(BOOK.date)
    assert document["price_book"] == {"id": BOOK.id, "date": str(BOOK.date), "sha256": BOOK.sha256}


def test_what_has_retired_is_listed_only_when_asked_for(command):
    _, out, _ = command("list", "--json", "--kind", "api")
    assert [row["key"] for row in json.loads(out)["prices"]] == list(BOOK.on_sale())
    _, out, _ = command("list", "gpt-4-turbo", "--json")
    assert json.loads(out)["prices"] == []


def test_a_list_can_be_narrowed(command):
    code, out, _ = command("list", "llama", "--kind", "api", "--json", "--stale", "--on", "2026-11-23")
    assert code == 0
    assert [row["key"] for row in json.loads(out)["prices"]] == ["azure/llama-3.3-70b-data-zone"]
    code, out, _ = command("list", "a100", "--kind", "gpu")
    assert code == 0
    assert "27.44705 USD/h for 8 a100-80gb, on_demand" in out


def test_an_entry_is_shown_with_its_source(command):
    code, out, _ = command("show", "azure/gpt-4-turbo", "aws/p4de.24xlarge", "hardware/a100-80gb-new", "--json")
    turbo, p4de, card = json.loads(out)["prices"]
    assert code == 0
    assert turbo["prompt"] == "10 USD/1M tokens"
    assert turbo["retires_on"] == "2026-10-23"
    assert p4de["instance_hour"] == "27.44705 USD/h"
    assert (card["low"], card["high"]) == ("8000 USD", "15000 USD")
    code, out, _ = command("show", "azure/gpt-4-turbo", "aws/p4de.24xlarge")
    assert code == 0
    assert "15 USD/1M tokens" in out
    assert "20,036.35 USD" in out


def test_two_books_are_compared(command, altered):
    code, out, _ = command("diff", "2026-11", str(altered), "--json")
    changes = {(change["key"], change["what"]): (change["old"], change["new"]) for change in json.loads(out)["changes"]}
    assert code == 0
    assert changes[("azure/gpt-4.1", "prompt")] == ("2 USD/1M tokens", "1.80 USD/1M tokens")
    assert changes[("lambda/a100-40gb-x8", "removed")][1] is None
    assert changes[("here/a100", "added")][0] is None
    assert len(changes) == 3
    assert json.loads(command("diff", "2026-11", "2026-11", "--json")[1])["changes"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "azure/gpt-4.11"], "did you mean azure/gpt-4.1"),
        (["list", "--kind", "gpus"], "expected one of api, gpu, unit, service, reference"),
        (["list", "--on", "yesterday"], "expected a day such as"),
        (["list", "--book", "2025-01"], "there is no price book '2025-01'"),
        (["diff", "2026-11", "none.json"], "none.json cannot be read"),
    ],
)
def test_slips_are_explained(command, arguments, message):
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_every_fault_of_a_file_is_reported(command, tmp_path):
    path = tmp_path / "broken.json"
    offer = {"gpu": "l40s", "kind": "rented", "gpus_per_instance": 0, "instance_hour": "3 USD"}
    path.write_text(json.dumps({"id": "x", "date": "2026-01-01", "api_prices": {}, "gpu_offers": {"a": offer}}))
    code, _, err = command("list", "--book", str(path))
    assert code == 2
    for key in ("kind", "gpus_per_instance", "instance_hour", "basis", "captured_on", "source"):
        assert f"gpu_offers.a.{key}: " in err
    path.write_text("[]")
    assert "is no price book" in command("list", "--book", str(path))[2]
