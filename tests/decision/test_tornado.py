"""What would change a verdict, held against scenarios in which it did change."""

import re

import numpy as np
import pytest

from simulator.decision.confidence import confidence
from simulator.decision.screening import Screening
from simulator.decision.tornado import _price_flip, changes
from simulator.results import run
from simulator.workload.demand import demands
from tests.decision.test_verdict import result
from tests.experiment.small import small

CONTRACT = {"prompt": "90 USD/1M tokens", "output": "270 USD/1M tokens"}
GIVEN = {
    "hosting_patterns.api.api.prices": CONTRACT,
    "hosting_patterns.rented.costs.compute.gpu_hour": "1.10 USD/h",
    "hosting_patterns.hybrid.costs.compute.gpu_hour": "1.20 USD/h",
    "experiment.replications": 4,
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return run(small(GIVEN))


@pytest.fixture(scope="module")
def bars(results):
    return {bar.factor: bar for bar in results.decision.tornado.bars}


def again(**settings):
    return run(small(GIVEN | settings), tables=False, band=False, outlook=False)


def margin(found, name):
    costs = {one.name: one.monthly_cost_usd.mean for one in found.patterns}
    return min(cost for other, cost in costs.items() if other != name) - costs[name]


def test_the_margin_is_what_the_next_costs_more(results):
    found = results.decision
    assert found.tornado.recommended == found.recommended == "bought"
    assert found.tornado.margin_usd == pytest.approx(found.runner_up_costs_usd_more)


def test_a_bar_ends_where_the_scenario_would_with_that_price(results, bars):
    bar = bars["hardware"]
    for factor, expected in ((bar.low, bar.margin_low_usd), (bar.high, bar.margin_high_usd)):
        found = again(**{"hosting_patterns.bought.costs.compute.gpus": f"{7300 * factor:.2f} USD"})
        assert margin(found, "bought") == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("side", [-1, 1])
def test_the_verdict_flips_where_the_tornado_says(bars, side):
    """Dear enough, the purchase loses against the rent."""
    factor = bars["hardware"].flips_at
    assert factor == pytest.approx(1.0, abs=1.0)
    found = again(**{"hosting_patterns.bought.costs.compute.gpus": f"{7300 * (factor + 0.01 * side):.2f} USD"})
    assert (found.decision.recommended == "bought") is (side < 0)


@pytest.mark.parametrize("side", [-1, 1])
def test_a_limit_rules_the_choice_out_where_the_tornado_says(bars, side):
    bar = bars["notes.end_to_end"]
    limit = f"{bar.flips_at * (1 + 0.05 * side):.4f}s"
    found = again(**{"workloads.notes.objectives.end_to_end": limit})
    assert found.pattern("bought").met_as_measured is (side > 0)


def test_at_half_the_volume_the_api_is_nearer(results, bars):
    bar = bars["volume"]
    today = results.decision.cost_curve.today_tokens_per_month
    assert (bar.low, bar.base, bar.high) == pytest.approx((today / 2, today, 2 * today), rel=1e-4)
    settings = {"workloads.notes.volume.clinicians": 30, "workloads.letters.volume.requests_per_month": 300}
    halved = again(**settings)
    assert margin(halved, "bought") == pytest.approx(bar.margin_low_usd, rel=0.1)


@pytest.mark.parametrize("side", [-1, 1])
def test_the_pattern_that_another_volume_is_said_to_choose_costs_least_there(results, bars, side):
    """A tenth beyond the volume that is told it does, a tenth before it the recommended one still does."""
    bar = bars["volume"]
    other = re.fullmatch(r"at [\d,]+M tokens a month instead of [\d,]+M, (\w+) costs least \(derived\)", bar.text)[1]
    times = bar.flips_at / bar.base
    times *= 1.0 + 0.1 * side * (-1 if times > 1.0 else 1)
    sized = {
        "workloads.notes.volume": {"requests_per_month": 60 * 15 * 365 / 12 * times},
        "workloads.letters.volume.requests_per_month": 600 * times,
    }
    # Three weeks of the few requests that cost so much, or nobody could tell a tenth apart.
    found = again(**sized, **{"horizon.duration": "21d", "experiment.replications": 4})
    assert found.decision.recommended == (other if side < 0 else "bought")


def test_bars_that_change_the_verdict_come_first(results):
    found = results.decision.tornado
    assert [bar.flips for bar in found.bars] == sorted((bar.flips for bar in found.bars), reverse=True)
    assert changes(found) == results.decision.what_would_change_it[: len(changes(found))]
    assert all(bar.basis for bar in found.bars)


def test_the_picture_ends_each_bar_at_its_margin(results):
    found, drawn = results.decision.tornado, results.plot.tornado()
    low = drawn.data[0]
    words = {"gpu_rent": "GPU rent", "api_prices": "API prices", "api_time": "API time", "ttft": "first token",
             "end_to_end": "whole answer"}  # fmt: skip
    bars = {
        ": ".join(words.get(part, part.replace("_", " ")) for part in bar.factor.split(".")): bar for bar in found.bars
    }
    assert {"hardware", "GPU rent"} <= set(low.y) < set(bars)
    for name, length in zip(low.y, low.x, strict=True):
        if bars[name].margin_low_usd is not None:
            assert low.base + length == pytest.approx(bars[name].margin_low_usd, rel=1e-6)
    # What is left out moves nothing.
    for name in set(bars) - set(low.y):
        assert bars[name].swing_usd < 2.0
        assert bars[name].recommended_low == bars[name].recommended_high == found.recommended
    crosses = [one for one in drawn.data if one.type == "scatter"]
    others = sum(end != found.recommended for bar in found.bars for end in (bar.recommended_low, bar.recommended_high))
    assert sum(len(one.x) for one in crosses) == others > 0


def test_the_step_time_bar_reports_the_band(results, bars):
    band = results.pattern("bought").step_time_band
    assert (bars["step_time"].low, bars["step_time"].high) == (band.low.factor, band.high.factor)


def test_confidence_counts_replications_and_prices(results):
    found = results.decision.confidence
    assert (found.replications, found.replications_won) == (4, 4)
    assert 0.0 < found.share_won < 1.0
    assert found.share_won + sum(found.others.values()) == pytest.approx(1.0)
    assert "rented" in found.others


def test_a_replication_in_which_another_wins_counts_against():
    whole = Screening(left={"objectives": [result("api", 10), result("rented", 11)]}, ranked=[result("api", 10)])
    other = Screening(ranked=[result("rented", 9)])
    found = confidence(small(), whole, [whole, other, Screening()], {}, demands(small()))
    assert (found.replications, found.replications_won) == (3, 1)


def test_nothing_recommended_has_no_tornado():
    found = run(small({"constraints.monthly_cost_at_most": "0.01 USD/month"}), replications=1, tables=False)
    assert (found.decision.tornado, found.decision.confidence) == (None, None)
    assert found.document()["decision"]["tornado"] is None


@pytest.mark.parametrize(
    ("others", "flip"),
    [
        # 0.6 times 10 and 90 are 96, and so are 0.6 times 60 and 60: a cheaper price favours who pays more of it.
        ({"b": [60.0, 60.0]}, (0.6, "b")),
        # 1.75 times 10 and 90 are 107.50, and so are 1.75 times 0 and 107.50.
        ({"b": [0.0, 107.5]}, (1.75, "b")),
        # Of two the nearer one, by its factor: 0.6 is farther from 1 than 1.5.
        ({"b": [60.0, 60.0], "c": [0.0, 105.0]}, (1.5, "c")),
        ({"b": [10.0, 95.0]}, (None, "")),
    ],
)
def test_a_price_flips_the_choice_where_two_bills_meet_above_or_below_what_it_is(others, flip):
    amounts = {name: np.array(usd) for name, usd in {"a": [10.0, 90.0], **others}.items()}
    factor, name = _price_flip("a", amounts, 0)
    assert (factor and round(factor, 9), name) == flip
