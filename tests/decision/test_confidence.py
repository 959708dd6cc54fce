"""How sure a verdict is: what is counted, what is drawn, and how both are said."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from simulator.cost.bill import Bill, BillLine
from simulator.decision.confidence import _else, _named, confidence, unsure
from simulator.decision.ranges import VOLUME, Driver
from simulator.decision.screening import Screening
from simulator.workload.demand import demands
from tests.decision.test_verdict import costings, result
from tests.experiment.small import small


def driver(name, label, lines=("x",), low=0.5, high=1.2345):
    return Driver(name, label, lines, low, high, "assumed", "")


def test_what_is_drawn_is_named_and_what_is_no_price_with_its_range():
    price, rent = driver("a", "API prices"), driver("b", "GPU rent")
    volume, speed = driver(VOLUME, "the volume", ()), driver("s", "step times", (), 0.81234, 2)
    assert _named([price]) == "API prices"
    assert _named([price, rent, speed]) == "API prices, GPU rent and step times (0.812 to 2 times)"
    assert _named([volume, rent]) == "the volume (0.5 to 1.23 times) and GPU rent"


def test_who_wins_otherwise_the_most_frequent_first():
    shares = {"api": 0.125, "none": 0.5, "bought": 0.125}
    assert _else(shares) == "; else no pattern does (50.0 %), api (12.5 %), bought (12.5 %)"
    assert (_else({"api": 1.0}), _else({})) == ("; else api (100 %)", "")


def passing(*ranked, able=None):
    left = list(ranked if able is None else able)
    return Screening(left={"objectives": left, "resilience": left}, ranked=list(ranked))


def told(whole, *each, priced=()):
    scenario = small()
    return confidence(scenario, whole, each, costings(*priced, scenario=scenario), demands(scenario))


def test_one_without_a_rival_is_no_matter_of_draws():
    rented = result("rented", 10)
    alone, other = passing(rented), passing(result("bought", 9), rented)
    found = told(alone, alone, alone, other, Screening(), priced=[rented])
    assert (found.replications, found.replications_won) == (4, 2)
    assert (found.draws, found.share_won, found.others, found.drawn) == (0, None, {}, [])
    assert found.text.startswith("rented is the choice in 2 of 4 replications; there is no alternative")
    assert told(Screening(), alone) is None


def test_with_a_rival_so_many_draws_are_won():
    """A price between a half and twice tells nothing where the other costs a hundred times as much."""
    cheap, dear = result("rented", 10), result("bought", 1000)
    found = told(passing(cheap, dear), passing(cheap, dear))
    assert (found.draws, found.share_won, found.others) == (1024, 1.0, {})
    assert found.text.startswith("rented is the choice in 1 of 1 replication and at 100 % of 1,024 plausible comb")
    assert [one.id for one in found.drawn] == [one.id for one in unsure(small(), [cheap, dear], {}, demands(small()))]


def test_a_choice_in_doubt_would_be_one():
    doubt = result("api", 10, met=30 / 32, judged=64)
    found = told(passing(doubt), passing(doubt))
    assert "api would be, as measured, the choice" in found.text


def billed(one, **lines):
    return replace(one, bill=Bill(tuple(BillLine(key, "", Decimal(usd), "") for key, usd in lines.items())))


@pytest.mark.parametrize(
    ("lines", "ids"),
    [
        ({"rental": 5}, {"gpu_rent"}),
        ({"rental": 0, "power": 5}, {"energy"}),
        ({"api_prompt": 5, "staff": 5}, {"api_prices", "staff"}),
        ({}, set()),
    ],
)
def test_only_prices_that_somebody_pays_are_unsure(lines, ids):
    found = {one.id: one for one in unsure(small(), [billed(result("rented", 5), **lines)], {}, demands(small()))}
    prices = {name for name, one in found.items() if one.lines}
    assert len(prices) == len(ids)
    assert {key for key in lines if any(found[name].owns(key) for name in prices)} == {
        key for key, usd in lines.items() if usd
    }
    # The volume only where there is something that prices it.
    assert VOLUME not in found
    assert VOLUME in {one.id for one in unsure(
        small(), [result("rented", 5)], costings(result("rented", 5), scenario=small()), demands(small()))}  # fmt: skip
    assert unsure(small(), [replace(result("rented", 5), bill=None)], {}, demands(small())) == [
        one for one in found.values() if not one.lines
    ]
