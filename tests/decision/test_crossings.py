"""Break-evens beside the bills they are told from, and those by model at the source document's cluster."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.cost.prices import load_price_book
from simulator.cost.usage import ApiUse, ClusterUse, Usage
from simulator.decision.costing import Costing
from simulator.decision.crossings import crossings, crossings_by_model, headline, serves_same_model
from simulator.decision.undercut import Bills, Range, undercuts
from tests.decision.test_cost_curve import MONTH, costing
from tests.decision.test_verdict import result
from tests.experiment.small import small

BOOK = load_price_book("2026-11")
#: 5,900 USD a month, nearly all of it rent: another replica costs as much again.
DOCUMENTS = {
    "hosting_patterns.rented.costs.compute.gpu_hour": "8 USD/h",
    "hosting_patterns.rented.costs.monitoring": "60 USD/month",
}


@pytest.fixture(scope="module")
def rows():
    """Break-evens of a cluster of 5,900 USD and 1,500 tokens/s for 30 days, three prompt tokens for each of output."""
    scenario = small(DOCUMENTS | {"hosting_patterns.api.api.model": "azure/gpt-4-turbo"})
    found = crossings_by_model(
        scenario, [result("rented", 5900)], BOOK, {"rented": costing("rented", 3_888_000_000, scenario=scenario)}
    )
    return {row.api: row for row in found}


@pytest.mark.parametrize(
    ("api", "millions"),
    [
        ("azure/gpt-4-turbo", 393),
        ("azure/gpt-4o", 1349),
        ("azure/gpt-4.1", 1686),
        ("azure/gpt-5.4", 1049),
        ("bedrock/claude-sonnet-4.5", 983),
    ],
)
def test_the_break_even_is_a_property_of_the_model(rows, api, millions):
    row = rows[api]
    assert round(row.tokens_per_month / 1e6) == millions
    assert (row.within_capacity, row.replicas) == (True, 1)
    assert row.capacity_share == pytest.approx(row.tokens_per_month / 3.888e9)
    assert f"rented undercuts {api} from {millions:,}M tokens a month" in row.text


@pytest.mark.parametrize("api", ["bedrock/llama-3.3-70b", "azure/gpt-6-luna"])
def test_where_a_replica_costs_more_than_the_api_for_all_it_serves_there_is_none(rows, api):
    """5,840 USD of rent, while 3,888M tokens cost 2,799 USD at 0.72 USD per million; the volumes at which the first
    replica alone would cost as much (8,194M and 29,500M) are beyond what it can serve."""
    row = rows[api]
    assert (row.tokens_per_month, row.within_capacity, row.ranges) == (None, False, ())
    assert row.text.startswith(f"rented never undercuts {api} up to 31,104M tokens a month: it costs ")


def test_every_model_on_sale_has_one_and_dearer_ones_come_first(rows):
    zones = {key for key, entry in BOOK.api_prices.items() if entry.deployment == "data_zone"}
    assert set(rows) == set(BOOK.on_sale()) - zones | {"azure/gpt-4-turbo"}
    prices = [row.usd_per_million_tokens for row in rows.values()]
    assert prices == sorted(prices, reverse=True)
    volumes = [row.tokens_per_month for row in rows.values() if row.replicas == 1 and row.tokens_per_month]
    assert volumes == sorted(volumes)
    # Law: volume times price is the fixed cost of one replica, to the price of one token.
    for row in rows.values():
        if row.tokens_per_month and row.replicas == 1:
            assert row.tokens_per_month * row.usd_per_million_tokens / 1e6 == pytest.approx(5900.0, abs=1e-3)
            assert (row.cluster_usd, row.api_usd) == pytest.approx((5900.0, 5900.0), abs=0.005)


def test_models_that_are_gone_are_marked(rows):
    assert not rows["azure/gpt-4-turbo"].available
    assert rows["azure/gpt-5.4"].available


def test_like_is_compared_with_like():
    scenario = small({"hosting_patterns.rented.cluster": {"model": "llama-3.3-70b", "gpu": "a100-80gb"}})
    pattern = scenario.hosting_patterns["rented"]
    assert serves_same_model(pattern, "bedrock/llama-3.3-70b")
    assert serves_same_model(pattern, "azure/llama-3.3-70b-data-zone")
    assert not serves_same_model(pattern, "azure/gpt-4.1")
    assert not serves_same_model(small().hosting_patterns["rented"], "bedrock/llama-3.3-70b")


#: gpt-4.1: 2 USD per 1M prompt tokens, 0.50 cached, 8 of output.
SITE = {
    "hosting_patterns.api.api.model": "azure/gpt-4.1",
    "hosting_patterns.api.api.costs": {
        "prompt_iteration": 2,
        "compliance": "10 %",
        "storage": "30 USD/month",
        "staff": [{"role": "engineer", "salary": "120000 USD/year", "share": "20 %"}],
    },
    "hosting_patterns.rented.costs.monitoring": "3270 USD/month",
}


def cached(costing, share):
    """The same with that share of its API's prompt tokens read from the cache."""
    (name, use), *_ = costing.usage.apis.items()
    use = ApiUse(use.prompt_tokens, round(share * use.prompt_tokens), use.output_tokens)
    usage = Usage(730.0, costing.usage.clusters, {name: use}, 600_000_000, 200_000_000)
    return Costing(costing.pattern, usage, BOOK, MONTH, costing.hourly, costing.capacity_tokens_per_month)


def test_what_an_api_costs_beside_its_tokens_and_what_it_caches_are_in_a_break_even():
    """By hand. 800M tokens, half of the prompts cached: 300 × 2 + 300 × 0.50 + 200 × 8 = 2,350 USD, twice that for
    work on prompts, a tenth more for compliance: 5,170 USD, 6.4625 per million. Beside them 30 of storage and 2,000 of
    an engineer, and a tenth: 2,233. The cluster costs 730 + 3,270 = 4,000. It is met at 1,767 / 6.4625 = 273.4M."""
    scenario = small(SITE)
    costings = {
        "api": cached(costing("api", scenario=scenario), 0.5),
        "rented": costing("rented", 10**11, scenario=scenario),
    }
    (row,) = crossings(scenario, [result("api", 1), result("rented", 1)], BOOK, costings)
    assert row.tokens_per_month == pytest.approx(1767 / 6.4625 * 1e6, abs=2)
    assert row.usd_per_million_tokens == pytest.approx(6.4625)
    assert (row.cached_share, row.ranges) == (pytest.approx(0.5), (Range(row.tokens_per_month, None),))
    assert (row.cluster_usd, row.api_usd) == pytest.approx((4000.0, 4000.0), abs=0.005)
    by_model = crossings_by_model(scenario, [result("api", 1), result("rented", 1)], BOOK, costings)
    (same,) = [one for one in by_model if one.api == "azure/gpt-4.1"]
    assert same.tokens_per_month == row.tokens_per_month


def test_the_headline_is_of_the_cheapest_cluster_and_the_cheapest_api():
    given = small().resolved["hosting_patterns"]["api"]
    scenario = small({"hosting_patterns.dear": given, "hosting_patterns.dear.api.model": "azure/gpt-4.1"})
    names = ("api", "dear", "rented", "bought", "hybrid")
    costings = {name: costing(name, 10**11, scenario=scenario) for name in names}
    costs = {"api": 576, "dear": 2800, "rented": 730, "bought": 740, "hybrid": 731}
    kinds = {"dear": "metered_api"}
    results = [result(name, usd, kind=kinds.get(name)) for name, usd in costs.items()]
    rows = crossings(scenario, results, BOOK, costings)
    assert len(rows) == 6
    first = headline(rows, results)
    assert (first.cluster, first.api) == ("rented", "api")
    # 730 USD over 0.72 USD per million tokens; the dear API is met at 730 / 3.50.
    assert first.tokens_per_month == pytest.approx(730 / 0.72 * 1e6, abs=1)
    (dear,) = [row.tokens_per_month for row in rows if (row.cluster, row.api) == ("rented", "dear")]
    assert dear == pytest.approx(730 / 3.5 * 1e6, abs=1)
    assert headline(rows, [one for one in results if one.kind != "self_hosted"]).cluster == "hybrid"


def test_a_replica_more_may_make_a_cluster_dearer_again():
    """730 USD a replica, each serves 1,300M tokens a month, the API takes 936 USD for them: by hand, from 1,013.9M up
    to the first step, and from 1,460 / 0.72 = 2,027.8M up to the second."""
    scenario = small()
    api, rented = costing("api", scenario=scenario), costing("rented", 1_300_000_000, scenario=scenario)
    (row, *_) = crossings(scenario, [result("api", 1), result("rented", 1)], BOOK, {"api": api, "rented": rented})
    first, second = row.ranges[:2]
    assert (first.from_tokens, first.to_tokens) == pytest.approx((730 / 0.72e-6, 1.3e9), rel=1e-8)
    assert (second.from_tokens, second.to_tokens) == pytest.approx((1460 / 0.72e-6, 2.6e9), rel=1e-8)
    # Four replicas and more cost less than the API at every volume that takes them.
    assert row.ranges[-1].to_tokens is None
    assert "from 1,014M tokens up to 1,300M tokens and from 2,028M tokens up to 2,600M tokens" in row.text


def test_a_cluster_below_an_apis_fixed_costs_undercuts_it_at_any_volume():
    scenario = small(SITE | {"hosting_patterns.rented.costs.monitoring": None})
    costings = {"api": costing("api", scenario=scenario), "rented": costing("rented", 10**12, scenario=scenario)}
    (row,) = crossings(scenario, [result("api", 1), result("rented", 1)], BOOK, costings)
    assert (row.tokens_per_month, row.ranges) == (0, (Range(0, None),))
    assert row.text.startswith("rented undercuts api at any volume")


FLAT = {"workloads.letters": None, "workloads.notes.profile": [[1.0] * 24] * 7}


def met(capacity, beside="0 USD/month"):
    """The break-even of a cluster of 730 USD a replica, and so much beside, with an API of 0.72 USD per million."""
    scenario = small(FLAT | {"hosting_patterns.rented.costs.monitoring": beside})
    costings = {name: costing(name, capacity, scenario=scenario) for name in ("api", "rented")}
    (row,) = crossings(scenario, [result("api", 1), result("rented", 1)], BOOK, costings)
    return row


def test_a_break_even_says_how_much_of_the_cluster_it_takes_or_how_many_replicas():
    """By hand: 730 / 0.72 = 1,013.9M, of 9,500M 10.7 %. 300 USD dearer, a replica of 1,300M is full before
    1,030 / 0.72 = 1,430.6M, and two meet the API at 1,760 / 0.72 = 2,444.4M."""
    one = met(9_500_000_000)
    assert one.text == "rented undercuts api from 1,014M tokens a month, 10.7 % of what it could serve"
    assert (one.replicas, one.within_capacity) == (1, True)
    assert one.capacity_share == pytest.approx(1013.889 / 9500, rel=1e-6)
    assert one.looked_up_to == 8 * 9_500_000_000
    two = met(1_300_000_000, "300 USD/month")
    assert two.text.endswith("and further on at some volumes a month, with 2 replicas")
    assert "undercuts api from 2,444M tokens up to 2,600M tokens and from 3,458M" in two.text
    assert (two.replicas, two.within_capacity) == (2, False)
    assert (two.cluster_usd, two.api_usd) == pytest.approx((1760.0, 1760.0), abs=0.001)
    assert two.looked_up_to == 8 * 1_300_000_000
    assert two.usd_per_million_tokens == pytest.approx(0.72)


def test_where_none_is_it_says_how_near_they_come():
    """A replica of 800M tokens costs 730 USD, the API takes 576 for them: 154 more at best. Looked at up to eight times
    what a full cluster serves, and up to 2,000M at least."""
    row = met(800_000_000)
    assert (row.tokens_per_month, row.ranges, row.within_capacity, row.capacity_share) == (None, (), False, None)
    assert (row.cluster_usd, row.api_usd, row.replicas) == (None, None, 1)
    said = "it costs 154 USD more at 800M tokens, where they are nearest"
    assert row.text == f"rented never undercuts api up to 6,400M tokens a month: {said}"
    assert met(10_000_000).looked_up_to == 2_000_000_000


def test_three_ranges_are_told_and_that_there_are_more():
    """1,060M a replica, from n × 1,013.9M: four times n × 46.1M, and so on; a third range is the last that is told."""
    text = met(1_060_000_000, "20 USD/month").text
    told = ["from 1,042M tokens up to 1,060M", "from 2,056M tokens up to 2,120M", "from 3,069M tokens up to 3,180M"]
    assert all(one in text for one in told)
    assert "from 4," not in text
    assert text.endswith("and further on at some volumes a month, 98.3 % of what it could serve")


def test_provisioned_units_and_several_apis_are_compared_too():
    units = {"kind": "provisioned", "units": 100, "unit_hour": "1 USD/h", "tokens_per_unit": 3000, "output_ratio": 4}
    given = small().resolved["hosting_patterns"]["api"]["api"]
    several = {"kind": "metered_api", "apis": {"units": given | {"deployment": units}, "tokens": given}}
    scenario = small({"hosting_patterns.api": several})
    costings = {"api": costing("api", scenario=scenario), "rented": costing("rented", 10**12, scenario=scenario)}
    (row,) = crossings(scenario, [result("api", 1), result("rented", 1)], BOOK, costings)
    assert (row.tokens_per_month, row.api_usd) == (0, pytest.approx(73_000.0))


def test_what_served_nothing_meets_nobody():
    nothing = Usage(730.0, {"cluster": ClusterUse(0.0)}, {}, 0, 0)
    rented = costing("rented")
    idle = Costing(rented.pattern, nothing, BOOK, MONTH, rented.hourly, 10**9)
    assert (
        crossings(small(), [result("api", 1), result("rented", 1)], BOOK, {"api": costing("api"), "rented": idle}) == []
    )


@pytest.mark.parametrize("capacity", [10**8, 3 * 10**9])
def test_a_hybrid_that_undercuts_only_until_its_cluster_is_full(capacity):
    """Its bill falls below the API's a little before the cluster is full, and what overflows soon makes it dearer."""
    flat = {"workloads.letters": None, "workloads.notes.profile": [[1.0] * 24] * 7}
    scenario = small(flat)
    api, hybrid = costing("api", scenario=scenario), costing("hybrid", capacity, scenario=scenario)
    full = max(hybrid.bends(2e10))
    assert full == pytest.approx(max(capacity, hybrid.tokens_per_month))
    short_usd = float(hybrid.bill_at(full).total_usd - api.bill_at(full).total_usd)
    # Half a dollar cheaper there, where nobody looked between even places.
    side = "hosting_patterns.api.api.costs" if short_usd > 0 else "hosting_patterns.hybrid.costs"
    key = {"storage": f"{short_usd + 0.5:.4f} USD/month"} if short_usd > 0 else None
    more = {side: key} if key else {f"{side}.monitoring": f"{-short_usd - 0.5:.4f} USD/month"}
    scenario = small(flat | more)
    api, hybrid = costing("api", scenario=scenario), costing("hybrid", capacity, scenario=scenario)
    (found, *_) = undercuts(Bills(hybrid), Bills(api), 20_000_000_000)
    assert found.from_tokens < full < found.to_tokens
    assert found.to_tokens - found.from_tokens < 0.05 * full


usd = st.integers(0, 4000).map(lambda amount: f"{amount} USD/month")
apis = st.fixed_dictionaries(
    {"storage": usd, "prompt_iteration": st.sampled_from([1, 2.5]), "compliance": st.sampled_from([0, 0.1])}
)
bays = [1.0] * 24, [0.0] * 8 + [1.0] * 8 + [3.0] * 2 + [0.0] * 6


@given(
    st.sampled_from(["rented", "bought", "hybrid"]),
    apis,
    usd,
    st.integers(10**8, 10**10),
    st.sampled_from(bays),
    st.floats(0.0, 1.0),
    st.lists(st.floats(0.0, 1.0), min_size=30, max_size=30),
)
def test_law_a_break_even_agrees_with_the_bills_beside_it(name, beside, more, capacity, day, share, looked):
    settings = {
        "workloads.letters": None,
        "workloads.notes.profile": [day] * 7,
        "hosting_patterns.api.api.costs": beside,
        f"hosting_patterns.{name}.costs.monitoring": more,
    }
    scenario = small(settings)
    api = cached(costing("api", scenario=scenario), share)
    own = costing(name, capacity, scenario=scenario)
    most = 20_000_000_000
    ranges = undercuts(Bills(own), Bills(api), most)

    # Told from the bills anew, with no memory and no straight lines.
    def cheaper(volume):
        return own.bill_at(volume).total_usd - api.bill_at(volume).total_usd

    for one in ranges:
        assert cheaper(one.from_tokens) <= 0.0001
        assert not one.from_tokens or cheaper(one.from_tokens - 1) > -0.0001
        if one.to_tokens is not None:
            assert cheaper(one.to_tokens) <= 0.0001
            assert cheaper(one.to_tokens + 1) > -0.0001
    for place in looked:
        volume = round(place * most)
        inside = any(one.from_tokens <= volume and (one.to_tokens is None or volume <= one.to_tokens) for one in ranges)
        gap = cheaper(volume)
        assert abs(gap) < 0.01 or (gap < 0) is inside
