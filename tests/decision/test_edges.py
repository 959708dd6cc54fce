"""Where a limit, a budget or two bills lie exactly on each other, the verdict is what arithmetic says."""

from __future__ import annotations

import pytest

import simulator
from simulator.decision.screening import over_budget
from tests.decision.test_verdict import result, verdict
from tests.experiment.small import small

#: Every call alike: 0.7 s to the first of 101 tokens, and 2 s for the other hundred.
API = {"model": "bedrock/llama-3.3-70b", "ttft": "700ms", "output_tokens_per_s": 50}
LOAD = {"prompt_tokens": 600, "output_tokens": 101}


def asked(objectives, *, volume=3000, api=None, horizon="3d", **workloads):
    return small(
        {
            "horizon.duration": horizon,
            "workloads": {
                "notes": {"volume": {"requests_per_month": volume}, **LOAD, "objectives": objectives},
                **workloads,
            },
            "hosting_patterns": {"api": {"kind": "metered_api", "api": {**API, **(api or {})}}},
            "experiment.replications": 2,
        }
    )


def judged(scenario, workload="notes"):
    results = simulator.run(scenario, band=False, tables=False)
    return results.decision, results.pattern("api").workloads[workload].objective


@pytest.mark.parametrize(
    ("objectives", "verdict"),
    [
        ({"ttft": "700ms"}, "chosen"),
        ({"ttft": "699ms"}, "none"),
        ({"end_to_end": "2.7s"}, "chosen"),
        ({"end_to_end": "2.699s"}, "none"),
    ],
)
def test_what_takes_its_limit_exactly_keeps_it(objectives, verdict):
    decision, found = judged(asked(objectives))
    assert decision.verdict == verdict
    assert {limit.share for limit in found.limits} == {1.0 if verdict == "chosen" else 0.0}


@pytest.mark.parametrize(("limit", "share"), [("5.9s", 1.0), ("5.89s", 0.0)])
def test_a_chain_that_takes_its_limit_exactly_keeps_it(limit, share):
    """By hand: 2.7 s, half a second of handing over, 2.7 s."""
    follows = {"follows": {"workload": "notes", "delay": "500ms", "share": "90 %"}, **LOAD}
    codes = {"codes": {**follows, "objectives": {"chain": limit}}}
    assert judged(asked({"end_to_end": "20s"}, **codes), "codes")[1].limits[0].share == share


@pytest.mark.parametrize("horizon", ["2d", "7d", "28d"])
@pytest.mark.parametrize(("tier", "late"), [(0.75, 0.25), (1.1, 0.0)])
def test_a_part_of_a_month_shows_as_many_slow_answers_as_its_month(horizon, tier, late):
    """By hand: of a month's tokens the tier covers three quarters, so a quarter of the requests take twice as long.

    Weekdays alone are asked for, and the horizon begins on one: its tokens are not in proportion to its hours.
    """
    volume = 40_000
    api = {"usage_tier": {"tokens_per_month": tier * volume * 701}}
    scenario = asked({"ttft": "1s"}, volume=volume, api=api, horizon=horizon)
    scenario = scenario.with_overrides({"workloads.notes.days": ["mon", "tue", "wed", "thu", "fri"]})
    _, found = judged(scenario)
    assert 1.0 - found.limits[0].share == pytest.approx(late, abs=0.05 if late else 0.0)


@pytest.mark.parametrize("horizon", ["31d", "45d", "61d"])
def test_a_month_of_744_hours_has_one_usage_tier_and_longer_horizons_as_many_as_months(horizon):
    """By hand: nine tenths of the tokens of each month are in its tier, and a tenth of the requests is late.

    Were the tier to begin anew after 730 h, the last 14 of 744 would be in time: 1 - 0.9 - 14 / 744 = 0.081.
    """
    volume = 30_000
    api = {"usage_tier": {"tokens_per_month": 0.9 * volume * 701}}
    _, found = judged(asked({"ttft": "1s"}, volume=volume, api=api, horizon=horizon))
    assert 1.0 - found.limits[0].share == pytest.approx(0.1, abs=0.01)


def test_equal_bills_are_called_equal_and_so_is_a_budget_that_is_spent_to_the_cent():
    found = verdict(result("api", 500.0), result("rented", 500.004))
    assert found.recommended == "api"
    assert "next is rented, which costs the same" in found.reasons[0]
    assert "rented costs as much as api: the least difference in a price decides" in found.what_would_change_it
    dearer = verdict(result("api", 500.0), result("rented", 500.2))
    assert "next is rented, for 0.20 USD more" in dearer.reasons[0]
    one = result("api", 984.7145)
    assert over_budget(one, 984.7145) is None
    assert over_budget(one, 984.709) is None
    assert over_budget(one, 984.60) == "984.71 USD a month exceed the budget of 984.60 USD"


def test_a_pattern_that_no_volume_makes_eligible_changes_nothing_by_its_costs():
    """A single replica falls to the loss of one at every volume, however little it costs there."""
    settings = {"hosting_patterns": None, "experiment.replications": 2}
    del settings["hosting_patterns"]
    free = simulator.run(small(settings), patterns=["api", "rented"], band=False, tables=False).decision
    barred = simulator.run(
        small(settings | {"constraints.survives": ["replica"]}), patterns=["api", "rented"], band=False, tables=False
    ).decision
    assert [row.tokens_per_month for row in free.break_even] == [row.tokens_per_month for row in barred.break_even]
    assert any("rented undercuts api" in text for text in free.what_would_change_it)
    assert not any("rented" in text for text in barred.what_would_change_it)


@pytest.mark.parametrize(("day", "said"), [("2026-04-06", False), ("2026-04-07", True), ("2027-01-01", True)])
@pytest.mark.parametrize("where", ["contract", "override"])
def test_prices_that_hold_later_are_no_part_of_the_bill_and_that_is_said(day, said, where):
    """Ten times as dear from that day on; the horizon begins on 6 April."""
    new = {"prompt": "7.2 USD/1M tokens", "output": "7.2 USD/1M tokens", "holds_from": day}
    scenario = asked({"end_to_end": "20s"}, api={"prices": new} if where == "contract" else None)
    if where == "override":
        scenario = scenario.with_overrides({"prices.overrides": {"bedrock/llama-3.3-70b": new | {"source": "offer"}}})
    results = simulator.run(scenario, band=False, tables=False, outlook=False)
    dear = 0.72 * 3000 * 701 / 1e6 * (1.0 if said else 10.0)
    assert results.pattern("api").monthly_cost_usd.mean == pytest.approx(dear, rel=0.02)
    told = [text for text in results.decision.take_care if "hold from" in text]
    one = f"api: other prices of bedrock/llama-3.3-70b hold from {day}: the bill has those of the first day, 2026-04-06"
    assert told == ([one] if said else [])
