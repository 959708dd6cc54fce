"""What bought hardware costs with one replica and with several, however they came about."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.cost.bill import monthly_bill, upfront_usd
from simulator.cost.checks import price_warnings
from simulator.cost.prices import load_price_book
from simulator.cost.usage import ClusterUse, Usage
from simulator.decision.costing import with_replicas
from simulator.errors import ScenarioError
from simulator.experiment.checks import load_checked
from simulator.scenario.costs import Purchase
from simulator.scenario.loading import load_scenario
from simulator.study.sweep import configurations
from tests.experiment.small import small

BOOK = load_price_book("2026-11")
WHOLE = {"kind": "purchase", "gpus": "9000 USD", "chassis": "12000 USD", "amortisation": 48}
EACH = {
    "kind": "purchase", "gpu_each": "9000 USD", "chassis_each": "12000 USD", "gpus_per_server": 2, "amortisation": 48,
}  # fmt: skip
REPLICAS = "hosting_patterns.bought.cluster.replicas"
COMPUTE = "hosting_patterns.bought.costs.compute"


def monthly_usd(pattern):
    usage = Usage(730.0, dict.fromkeys(pattern.hosted, ClusterUse(0.1)), {}, 10**9, 10**8)
    return float(monthly_bill(pattern, usage, BOOK, Decimal(730)).usd("purchase"))


def bought(settings):
    return small({COMPUTE: WHOLE}).with_overrides(settings).hosting_patterns["bought"]


@pytest.mark.parametrize(("replicas", "usd"), [(1, 21_000), (2, 42_000), (4, 84_000)])
def test_a_price_for_the_whole_is_of_the_gpus_it_was_given_for(replicas, usd):
    """21,000 USD of one GPU in its server over 48 months are 437.50 USD."""
    pattern = bought({REPLICAS: replicas})
    assert (upfront_usd(pattern), monthly_usd(pattern)) == (usd, usd / 48)


@pytest.mark.parametrize(("replicas", "usd"), [(1, 21_000), (2, 30_000), (3, 51_000), (4, 60_000)])
def test_prices_of_one_follow_the_cluster_a_server_for_every_two_gpus(replicas, usd):
    assert upfront_usd(bought({COMPUTE: EACH, REPLICAS: replicas})) == usd


def test_a_server_holds_one_replica_unless_said():
    given = {name: value for name, value in EACH.items() if name != "gpus_per_server"}
    assert Purchase.model_validate(given).whole(3, 2).price_usd == 6 * 9_000 + 3 * 12_000


def test_saying_both_means_both():
    """Whoever changes the price beside the replicas has said what they cost."""
    assert upfront_usd(bought({REPLICAS: 4, f"{COMPUTE}.gpus": "30000 USD"})) == 42_000
    assert upfront_usd(bought({REPLICAS: 4, f"{COMPUTE}.for_gpus": 2})) == 42_000


def test_it_is_said_that_a_price_was_taken_in_proportion():
    (key, doubt), *_ = price_warnings(bought({REPLICAS: 4}), BOOK, BOOK.date)
    assert (key, doubt.split(";")[0]) == (
        "costs.compute",
        "the price is for 1 GPU, the cluster has 4: taken in proportion",
    )
    assert price_warnings(bought({COMPUTE: EACH, REPLICAS: 4}), BOOK, BOOK.date) == []


FILE = """\
name: site
horizon: {start: 2026-04-06, duration: 1d}
workloads:
  notes:
    volume: {requests_per_month: 30_000}
    prompt_tokens: {kind: constant, tokens: 500}
    output_tokens: {kind: constant, tokens: 100}
hosting_patterns:
  one:
    kind: self_hosted
    cluster: &box {model: llama-3.1-8b, gpu: l40s}
    costs: &costs {compute: {kind: purchase, gpus: 9000 USD, chassis: 12000 USD, residual: 1000 USD, amortisation: 48}}
  two:
    kind: self_hosted
    clusters: {north: {cluster: *box, costs: *costs}, south: {cluster: *box, costs: *costs}}
overrides:
  large: {hosting_patterns: {one: {cluster: {replicas: 3}}}}
"""


def test_every_way_to_change_replicas_costs_the_same(tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text(FILE, encoding="utf-8")
    (tmp_path / "child.yaml").write_text(
        "extends: site.yaml\nname: child\nhosting_patterns: {one: {cluster: {replicas: 3}}}\n", encoding="utf-8"
    )
    key = "hosting_patterns.one.cluster.replicas"
    asked = {
        "set": load_checked(path, settings={key: 3}),
        "override": load_checked(path, overrides=["large"]),
        "extends": load_scenario(tmp_path / "child.yaml"),
        "python": load_scenario(path).with_overrides({key: 3}),
        "sweep": configurations(path, [{key: 1}, {key: 3}])[-1].scenario,
        "capacity": load_scenario(path).model_copy(
            update={"hosting_patterns": {"one": with_replicas(load_scenario(path).hosting_patterns["one"], 3.0)}}
        ),
    }
    assert {name: upfront_usd(one.hosting_patterns["one"]) for name, one in asked.items()} == dict.fromkeys(
        asked, Decimal(63_000)
    )
    # Costs that stand in the file once for several clusters are those of the others still.
    assert upfront_usd(asked["set"].hosting_patterns["two"]) == 42_000
    assert asked["set"].hosting_patterns["one"].hosted["cluster"].bought.residual_usd == 3_000


amounts = st.integers(0, 10**6).map(lambda usd: f"{usd} USD")


@given(
    st.fixed_dictionaries(
        {"kind": st.just("purchase")},
        optional={"infrastructure": amounts, "spares": amounts},
    ),
    st.one_of(
        st.fixed_dictionaries({"gpus": amounts, "chassis": amounts}),
        st.fixed_dictionaries({"gpu_each": amounts, "chassis_each": amounts, "gpus_per_server": st.integers(1, 9)}),
    ),
    st.integers(1, 5),
    st.integers(1, 5),
)
def test_law_more_replicas_never_cost_nothing(beside, price, before, more):
    """And never less; where any part of the price is of GPUs, they cost more."""
    base = small({COMPUTE: beside | price, REPLICAS: before})
    larger = base.with_overrides({REPLICAS: before + more})
    ours, theirs = (upfront_usd(one.hosting_patterns["bought"]) for one in (base, larger))
    assert ours <= theirs
    free = price.get("gpu_each", "0 USD") == "0 USD" if "gpu_each" in price else not ours
    assert ours < theirs or free
    # A cluster that grows step by step costs what one does that is as large at once.
    steps = base
    for count in range(before, before + more + 1):
        steps = steps.with_overrides({REPLICAS: count})
    assert float(upfront_usd(steps.hosting_patterns["bought"])) == pytest.approx(float(theirs), abs=0.05)


@pytest.mark.parametrize(
    ("compute", "fault"),
    [
        ({"kind": "purchase"}, "give either gpus or gpu_each"),
        (WHOLE | {"gpu_each": "1 USD"}, "give either gpus or gpu_each"),
        (EACH | {"chassis": "1 USD"}, "give chassis or chassis_each, not both"),
        (WHOLE | {"gpus_per_server": 4}, "needs chassis_each"),
        (EACH | {"residual": "21001 USD"}, "may not exceed the price of 21,000"),
        (WHOLE | {"residual": "21001 USD"}, "may not exceed the price of 21,000"),
    ],
)
def test_what_makes_no_price_is_refused(compute, fault):
    with pytest.raises(ScenarioError, match=fault):
        small({COMPUTE: compute})
