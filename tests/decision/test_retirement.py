"""Models that stop answering: judged over the simulated days, named before they go."""

from __future__ import annotations

import calendar
import datetime
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.cost.overrides import scenario_book
from simulator.cost.prices import load_price_book
from simulator.decision.retirement import later, retirements, shut_down, unavailable
from simulator.decision.screening import screen
from simulator.decision.verdict import decide
from simulator.report.warnings import warnings_about
from tests.cli.command import run as command
from tests.decision.test_verdict import result
from tests.experiment.small import small

BOOK = load_price_book("2026-11")
#: The day after which small's API stops answering; the book says so and a test of its own says the book does.
ENDS = datetime.date(2027, 3, 30)


def at(start, duration="1d", zone="UTC", **more):
    horizon = {"horizon.start": str(start), "horizon.duration": duration, "horizon.time_zone": zone}
    return small(horizon | more)


def test_a_model_that_several_patterns_call_is_said_once():
    api = small().resolved["hosting_patterns"]["api"]
    lines = [line for line in warnings_about(small({"hosting_patterns.second": api})) if "retires on" in line]
    assert [line.partition(": ")[0] for line in lines] == ["api, hybrid, second"]
    assert lines[0].count("2027-03-30") == 1


def test_the_book_says_when_it_ends():
    assert BOOK.api("bedrock/llama-3.3-70b").retires_on == ENDS


@pytest.mark.parametrize(
    ("start", "duration", "out"),
    [
        ("2027-03-29", "1d", False),  # the last simulated day is the last on which it answers
        ("2027-03-29", "25h", True),
        ("2027-03-30", "1d", True),
        ("2027-03-24", "7d", True),
        ("2027-03-23", "7d", False),
        ("2030-01-01", "1d", True),
        ("2026-04-06", "1d", False),
    ],
)
def test_a_model_must_answer_on_the_last_simulated_day(start, duration, out):
    scenario = at(start, duration)
    found = screen(scenario, [result("api", 1), result("rented", 1000), result("hybrid", 5)], BOOK)
    assert {one.pattern for one in found.out if one.rule == "availability"} == ({"api", "hybrid"} if out else set())
    assert found.winner == ("rented" if out else "api")


def test_a_clinics_midnight_is_what_counts():
    """23:00 in Honolulu on the 29th is the 30th in London."""
    day = at("2027-03-29", "1d", "Pacific/Honolulu")
    assert unavailable(day, day.hosting_patterns["api"], BOOK) is None


@given(st.dates(datetime.date(2026, 11, 24), datetime.date(2032, 1, 1)), st.integers(1, 400))
def test_law_out_exactly_when_its_end_is_no_later_than_the_last_day(start, days):
    scenario = at(start, f"{days}d")
    last = start + datetime.timedelta(days=days - 1)
    gone = unavailable(scenario, scenario.hosting_patterns["api"], BOOK)
    assert (gone is not None) is (last >= ENDS)
    (named,) = retirements(scenario, ["api"], BOOK)
    assert named.within_horizon is (last >= ENDS)


@given(st.dates(datetime.date(1990, 1, 1), datetime.date(2090, 1, 1)), st.integers(0, 500))
def test_law_months_later_is_the_same_day_or_the_last_of_its_month(day, months):
    found = later(day, months)
    assert found.year * 12 + found.month == day.year * 12 + day.month + months
    assert found.day == day.day or ((found + datetime.timedelta(days=1)).day == 1 and found.day < day.day)


@pytest.mark.parametrize("months", range(26))
def test_the_last_day_of_a_year_months_later_is_the_last_of_each_month(months):
    found = later(datetime.date(2026, 12, 31), months)
    year, month = 2026 + (11 + months) // 12, (11 + months) % 12 + 1
    assert found == datetime.date(year, month, calendar.monthrange(year, month)[1])


@pytest.mark.parametrize(("ends", "named"), [("2029-11-28", True), ("2029-11-29", False)])
def test_three_years_ahead_it_is_named(ends, named):
    """Three years of 2026-11-29, the day the book was closed: the horizon lies before it."""
    override = {"retires_on": ends, "retirement_source": "a letter", "source": "a letter"}
    scenario = small({"prices.overrides": {"bedrock/llama-3.3-70b": override}})
    assert bool(retirements(scenario, ["api"], scenario_book(scenario.prices))) is named


def test_the_verdict_names_the_day_and_the_successor():
    override = {"retires_on": "2027-06-01", "successor": "bedrock/llama-4", "retirement_source": "the provider's page"}
    scenario = small({"prices.overrides": {"bedrock/llama-3.3-70b": override}})
    book = scenario_book(scenario.prices)
    found = decide(scenario, [result("api", 1), result("rented", 1000)], book, {})
    assert found.recommended == "api"
    said = "its model bedrock/llama-3.3-70b retires on 2027-06-01 (its successor is bedrock/llama-4)"
    assert found.reasons[0].endswith(said)
    (row,) = json.loads(json.dumps(found.document()))["retirements"]
    assert row == {
        "pattern": "api", "model": "bedrock/llama-3.3-70b", "retires_on": "2027-06-01", "successor": "bedrock/llama-4",
        "source": "the provider's page", "within_horizon": False,
    }  # fmt: skip
    # Where a cluster is chosen its verdict has no date, and the API is named all the same.
    other = decide(scenario, [result("api", 5000), result("rented", 10)], book, {})
    assert "retires" not in other.reasons[0]
    assert [one.pattern for one in other.retirements] == ["api"]
    assert [line for line in warnings_about(scenario, ["api"]) if line.startswith("api: bedrock/llama-3.3-70b retires")]


def test_contract_prices_do_not_revive_a_model():
    prices = {"prompt": "1 USD/1M tokens", "output": "2 USD/1M tokens"}
    scenario = at("2027-06-07", **{"hosting_patterns.api.api.prices": prices})
    assert "before the first simulated day" in unavailable(scenario, scenario.hosting_patterns["api"], BOOK)


CLINIC = """
name: clinic
horizon: {start: 2027-06-07, duration: 1d}
workloads:
  notes:
    volume: {requests_per_month: 30000}
    prompt_tokens: {kind: constant, tokens: 500}
    output_tokens: {kind: constant, tokens: 50}
hosting_patterns:
  gone: {kind: metered_api, api: &api {model: openai/gpt-5, ttft: {median: 700ms}, output_tokens_per_s: {median: 50}}}
  there:
    kind: metered_api
    api: {<<: *api, model: bedrock/gpt-oss-120b, prices: {prompt: 90 USD/1M tokens, output: 200 USD/1M tokens}}
experiment: {replications: 1}
"""


@pytest.fixture
def clinic(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "clinic.yaml"
    path.write_text(CLINIC)
    return str(path)


def test_every_command_knows_it(clinic, capsys):
    code, out, _ = command(["run", clinic, "--json", "--quiet", "--jobs", "1"], capsys)
    decision = json.loads(out)["decision"]
    assert (code, decision["recommended"]) == (0, "there")
    assert any("gone is out: openai/gpt-5 is shut down on 2026-12-11" in reason for reason in decision["reasons"])
    assert [(one["pattern"], one["within_horizon"]) for one in decision["retirements"]] == [("gone", True)]

    code, out, _ = command(["plan", clinic, "--jobs", "1"], capsys)
    assert code == 0
    assert "the choice: bedrock/gpt-oss-120b" in out
    assert "openai/gpt-5 is shut down on 2026-12-11" in " ".join(out.split())

    code, out, _ = command(["explain", clinic], capsys)
    assert "Take care: gone: openai/gpt-5 retires on 2026-12-11" in out

    days = "horizon.start=2026-12-10,2026-12-11"
    code, out, _ = command(["sweep", clinic, "--over", days, "--json", "--quiet", "--jobs", "1"], capsys)
    rows = [row for row in json.loads(out) if row["pattern"] == "gone"]
    said = {(row["metric"], row["horizon.start"]): row["value"] for row in rows}
    assert (said["available", "2026-12-10"], said["available", "2026-12-11"]) == (1.0, 0.0)
    assert (said["chosen", "2026-12-10"], said["chosen", "2026-12-11"]) == (1.0, 0.0)
    code, out, _ = command(["sweep", clinic, "--over", days, "--quiet", "--jobs", "1"], capsys)
    assert "Take care: gone: openai/gpt-5 retires on 2026-12-11" in out


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        # The book is of 2026-11-29; the simulated days are 2026-12-01 to 2026-12-07.
        ("2026-11-29", "old was shut down on 2026-11-29"),
        ("2026-11-30", "old is shut down on 2026-11-30, before the first simulated day, 2026-12-01"),
        ("2026-12-01", "old is shut down on 2026-12-01, before the first simulated day, 2026-12-01"),
        ("2026-12-02", "old is shut down on 2026-12-02, and what is simulated lasts to 2026-12-07"),
        ("2026-12-07", "old is shut down on 2026-12-07, and what is simulated lasts to 2026-12-07"),
        ("2026-12-08", None),
    ],
)
@pytest.mark.parametrize("successor", ["", "new"])
def test_when_a_model_went_is_said_as_the_simulated_days_have_it(ends, said, successor):
    first, last = datetime.date(2026, 12, 1), datetime.date(2026, 12, 7)
    name = "bedrock/llama-3.3-70b"
    day = datetime.date.fromisoformat(ends)
    kept = BOOK.api_prices[name].model_copy(update={"retires_on": None})
    old = kept.model_copy(update={"retires_on": day, "successor": successor})
    book = BOOK.model_copy(update={"api_prices": {"old": old, "kept": kept}, "date": datetime.date(2026, 11, 29)})
    api = small().hosting_patterns["api"].api
    # Two APIs of the model that goes, and one of another.
    apis = {key: api.model_copy(update={"model": key.rstrip("2")}) for key in ("old", "kept", "old2")}
    pattern = small().hosting_patterns["api"].model_copy(update={"api": None, "apis": apis})
    clause = " (its successor is new)" if said and successor else ""
    assert shut_down(pattern, book, first, last) == (said and said + clause)
    scenario = small().model_copy(update={"hosting_patterns": {"a": pattern}})
    (named,) = retirements(scenario, ["a"], book, until=last)
    assert (named.model, named.retires_on, named.successor, named.within_horizon) == (
        "old",
        ends,
        successor or None,
        bool(said),
    )
    instead = "its successor is new" if successor else "no successor is named"
    assert named.clause == f"its model old retires on {ends} ({instead})"
