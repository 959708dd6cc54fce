"""Every dollar of a difference between two bills has a cause."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.cost.prices import load_price_book
from simulator.cost.usage import ApiUse, ClusterUse, Usage
from simulator.gate.attribution import Billed, attribute
from tests.experiment.small import small

BOOK = load_price_book("2026-11")
NAME = "bedrock/llama-3.3-70b"
tokens = st.integers(0, 10**9)
causes = st.sets(st.sampled_from(["price", "volume", "capacity", "policy"]))


def billed(pattern, settings=None, use=(10**6, 0, 10**6), busy=0.5, month="730"):
    found = small(settings).hosting_patterns[pattern]
    usage = Usage(
        hours=24.0,
        clusters={name: ClusterUse(busy) for name in found.hosted},
        apis={name: ApiUse(*use) for name in found.metered},
        served_prompt_tokens=10**6,
        served_output_tokens=10**6,
    )
    return Billed(found, usage, BOOK, Decimal(month))


def usd(found):
    return {cause: round(amount, 6) for cause, amount in found.by_usd.items() if round(amount, 6)}


@given(tokens, tokens, tokens, tokens, st.integers(1, 5), st.integers(100, 300), st.floats(0, 1), causes)
def test_law_the_parts_sum_to_the_difference(prompt, output, more, less, replicas, cents, busy, causes):
    settings = {
        "hosting_patterns.hybrid.cluster.replicas": replicas,
        "hosting_patterns.hybrid.costs.compute.gpu_hour": f"{cents / 100} USD/h",
        "hosting_patterns.hybrid.api.prices": {"prompt": f"{cents} USD/1M tokens", "output": "1 USD/1M tokens"},
    }
    base = billed("hybrid", use=(prompt, 0, output))
    new = billed("hybrid", settings, use=(more, 0, less), busy=busy)
    found = attribute(base, new, causes)
    assert sum(found.by_usd.values()) + found.together_usd == pytest.approx(new.usd - base.usd, abs=Decimal("1e-6"))
    back = attribute(new, base, causes)
    assert sum(back.by_usd.values()) + back.together_usd == pytest.approx(base.usd - new.usd, abs=Decimal("1e-6"))


def test_a_price_alone_is_all_price():
    dearer = billed("rented", {"hosting_patterns.rented.costs.compute.gpu_hour": "1.5 USD/h"})
    assert usd(attribute(billed("rented"), dearer, {"price"})) == {"price": Decimal(365)}


def test_a_new_price_book_is_all_price():
    entry = BOOK.api_prices[NAME]
    twice = type(entry.prompt)(entry.prompt.usd_per_million * 2)
    entries = BOOK.api_prices | {NAME: entry.model_copy(update={"prompt": twice})}
    book = BOOK.model_copy(update={"api_prices": entries})
    base = billed("api")
    new = Billed(base.pattern, base.usage, book, base.month_hours)
    assert usd(attribute(base, new, {"price"})) == {"price": round(new.usd - base.usd, 6)}


def test_another_model_of_the_api_is_price():
    other = billed("api", {"hosting_patterns.api.api.model": "azure/gpt-4-turbo"})
    base = billed("api")
    assert usd(attribute(base, other, {"price"})) == {"price": round(other.usd - base.usd, 6)}


def test_more_replicas_are_capacity_at_the_old_price():
    settings = {
        "hosting_patterns.rented.cluster.replicas": 2,
        "hosting_patterns.rented.costs.compute.gpu_hour": "1.5 USD/h",
    }
    found = attribute(billed("rented"), billed("rented", settings), {"price", "capacity"})
    # 730 USD for the second replica as it was; half a dollar more an hour for both.
    assert usd(found) == {"capacity": Decimal(730), "price": Decimal(730)}


def test_twice_the_purchase_for_twice_the_gpus_is_capacity():
    settings = {
        "hosting_patterns.bought.cluster.replicas": 2,
        "hosting_patterns.bought.costs.compute.gpus": "14600 USD",
        "hosting_patterns.bought.costs.power": None,
    }
    base = billed("bought", {"hosting_patterns.bought.costs.power": None})
    assert usd(attribute(base, billed("bought", settings), {"price", "capacity"})) == {"capacity": Decimal(730)}


def test_more_tokens_are_volume_and_the_rest_is_policy():
    base, new = billed("hybrid"), billed("hybrid", use=(3 * 10**6, 0, 3 * 10**6))
    alone = attribute(base, new, {"policy"})
    assert set(usd(alone)) == {"policy"}
    grown = Usage(
        **{name: getattr(new.usage, name) for name in new.usage.__slots__}
        | {"served_prompt_tokens": 2 * 10**6, "served_output_tokens": 2 * 10**6}
    )
    both = attribute(base, Billed(new.pattern, grown, BOOK, new.month_hours), {"volume", "policy"})
    assert both.by_usd["volume"] == pytest.approx(both.by_usd["policy"])


PRICES = {"hosting_patterns.api.api.prices": {"prompt": "1 USD/1M tokens", "output": "10 USD/1M tokens"}}


def in_hours(hours, called, served):
    """An API that was called with so many prompt and output tokens in so many hours, and served so many."""
    found = billed("api", PRICES, use=(called[0], 0, called[1]))
    prompt, output = served
    return replace(
        found, usage=replace(found.usage, hours=hours, served_prompt_tokens=prompt, served_output_tokens=output)
    )


def test_volume_is_what_is_served_an_hour_of_each_kind():
    """A million of each a day, then two and three a day, over two days: 1 + 20 USD a day more, 30.4 days. A million
    prompt tokens of calls that answered nobody are no volume."""
    base = in_hours(24.0, (10**6, 10**6), (10**6, 10**6))
    new = in_hours(48.0, (5 * 10**6, 6 * 10**6), (4 * 10**6, 6 * 10**6))
    days = 730 / 24
    found = {cause: float(amount) for cause, amount in usd(attribute(base, new, {"volume", "policy"})).items()}
    assert found == pytest.approx({"volume": 21 * days, "policy": 0.5 * days}, rel=1e-6)
    assert set(usd(attribute(base, new, {"volume"}))) == {"volume"}


def test_what_was_served_of_no_kind_before_has_no_volume():
    base, new = in_hours(24.0, (10**6, 0), (10**6, 0)), in_hours(24.0, (2 * 10**6, 10**6), (2 * 10**6, 10**6))
    found = {cause: float(amount) for cause, amount in usd(attribute(base, new, {"volume", "policy"})).items()}
    assert found == pytest.approx({"volume": 730 / 24, "policy": 10 * 730 / 24}, rel=1e-6)


def test_calls_of_a_kind_of_which_nothing_was_served_stay_as_many():
    base, new = (in_hours(24.0, (prompt, 10**6), (prompt, 0)) for prompt in (10**6, 2 * 10**6))
    found = {cause: float(amount) for cause, amount in usd(attribute(base, new, {"volume", "policy"})).items()}
    assert found == pytest.approx({"volume": 730 / 24}, rel=1e-6)


def test_what_an_api_costs_beside_its_tokens_is_price():
    dearer = billed("api", {"hosting_patterns.api.api.costs": {"storage": "30 USD/month"}})
    assert usd(attribute(billed("api"), dearer, {"price"})) == {"price": Decimal(30)}


def test_a_price_for_the_whole_that_stays_for_twice_the_gpus_is_no_other_price():
    """As a file says it where both stand for themselves; the settings of `small` would take it in proportion."""
    base = billed("bought")
    cluster = base.pattern.cluster.model_copy(update={"replicas": 2})
    both = replace(base, pattern=base.pattern.model_copy(update={"cluster": cluster}))
    assert "price" not in usd(attribute(base, both, {"capacity"}))


def test_a_longer_month_is_price():
    assert usd(attribute(billed("rented", month="720"), billed("rented", month="744"), set())) == {"price": Decimal(24)}


def test_what_cannot_be_told_apart_is_said():
    found = attribute(billed("hybrid"), billed("hybrid", use=(2 * 10**6, 0, 10**6)), {"capacity", "policy"})
    assert found.together == ("capacity", "policy")
    assert found.together_usd > 0


def several(gpu_hour="1 USD/h", replicas=1, prompt="1 USD/1M tokens"):
    """A pattern of two clusters and two APIs."""
    settings = {
        "hosting_patterns.hybrid": {
            "kind": "hybrid",
            "clusters": {
                "small": {
                    "cluster": {"model": "llama-3.1-8b", "gpu": "l40s", "replicas": replicas},
                    "costs": {"compute": {"kind": "rental", "gpu_hour": gpu_hour}},
                },
                "large": {
                    "cluster": {"model": "llama-3.1-8b", "gpu": "l40s"},
                    "costs": {"compute": {"kind": "rental", "gpu_hour": "2 USD/h"}},
                },
            },
            "apis": {
                "own": {**METERED, "prices": {"prompt": prompt, "output": "1 USD/1M tokens"}},
                "listed": METERED,
            },
        }
    }
    return billed("hybrid", settings)


METERED = {
    "model": NAME,
    "ttft": {"median": "700ms"},
    "output_tokens_per_s": {"median": 50},
}


def test_each_of_several_backends_keeps_its_old_price():
    base = several()
    assert usd(attribute(base, several(gpu_hour="1.5 USD/h"), {"price"})) == {"price": Decimal(365)}
    assert usd(attribute(base, several(replicas=2), {"capacity"})) == {"capacity": Decimal(730)}
    both = attribute(base, several(gpu_hour="1.5 USD/h", replicas=2), {"price", "capacity"})
    assert usd(both) == {"capacity": Decimal(730), "price": Decimal(730)}
    dearer = several(prompt="3 USD/1M tokens")
    assert usd(attribute(base, dearer, {"price"})) == {"price": round(dearer.usd - base.usd, 6)}


def test_another_kind_of_pattern_is_parted_too():
    base, new = billed("hybrid"), several()
    found = attribute(base, new, {"capacity", "policy"})
    assert sum(found.by_usd.values()) + found.together_usd == pytest.approx(new.usd - base.usd, abs=Decimal("1e-6"))


def test_units_at_another_price_are_price_and_more_of_them_capacity():
    def units(count, price):
        deployment = {"kind": "provisioned", "units": count, "unit_hour": price}
        settings = {"hosting_patterns.api.api.model": "azure/gpt-4o", "hosting_patterns.api.api.deployment": deployment}
        return billed("api", settings)

    base = units(50, "1 USD/h")
    assert usd(attribute(base, units(50, "2 USD/h"), {"price"})) == {"price": Decimal(36_500)}
    assert usd(attribute(base, units(100, "1 USD/h"), {"capacity"})) == {"capacity": Decimal(36_500)}


def test_a_reservation_at_another_price_is_price():
    def reserved(price):
        one = small().resolved["hosting_patterns"]["api"]["api"]
        deployment = {
            "kind": "reserved", "input_tokens_per_minute": 100_000, "output_tokens_per_minute": 10_000,
            "input_price": price, "output_price": price, "spillover": "tokens",
        }  # fmt: skip
        apis = {"reserved": one | {"deployment": deployment}, "tokens": one}
        return billed("api", {"hosting_patterns.api": {"kind": "metered_api", "apis": apis}})

    base = reserved("10 USD/month")
    assert usd(attribute(base, reserved("12 USD/month"), {"price"})) == {"price": Decimal(220)}


def test_usage_that_moved_by_itself_is_simulation():
    assert set(usd(attribute(billed("api"), billed("api", use=(2 * 10**6, 0, 10**6)), set()))) == {"simulation"}


def more_tokens(found, factor):
    """The same side with so many times the tokens at its APIs, and as many served as before."""
    uses = found.usage.apis.items()
    apis = {name: ApiUse(factor * use.prompt_tokens, 0, factor * use.output_tokens) for name, use in uses}
    return replace(found, usage=replace(found.usage, apis=apis))


def test_capacity_is_told_beside_another_cause_and_what_is_left_belongs_to_both():
    """730 USD for the second replica, to the cent; two million tokens more in a day at 0.72 USD are 43.80 a month."""
    base = billed("hybrid")
    grown = more_tokens(billed("hybrid", {"hosting_patterns.hybrid.cluster.replicas": 2}), 2)
    found = attribute(base, grown, {"capacity", "policy"})
    assert usd(found) == {"capacity": Decimal(730)}
    assert found.together == ("capacity", "policy")
    assert round(found.together_usd, 6) == Decimal("43.8")
    # With volume among the causes it takes what the old usage costs when scaled; nothing more was served.
    three = attribute(base, grown, {"volume", "capacity", "policy"})
    assert (usd(three), round(three.together_usd, 6)) == (usd(found), Decimal("43.8"))


def one_api_or_two(pattern):
    """The hybrid pattern with its one API, or with two; its cluster is the same."""
    if pattern == "one":
        return billed("hybrid")
    apis = {
        "first": METERED,
        "second": METERED | {"prices": {"prompt": "9 USD/1M tokens", "output": "9 USD/1M tokens"}},
    }
    return billed("hybrid", {"hosting_patterns.hybrid.api": None, "hosting_patterns.hybrid.apis": apis})


@pytest.mark.parametrize(("before", "after"), [("one", "two"), ("two", "one")])
def test_one_api_instead_of_two_is_no_other_machine(before, after):
    """Where the backends are others altogether, nobody can say what the old usage would cost on the new ones."""
    base, new = one_api_or_two(before), one_api_or_two(after)
    found = attribute(base, new, {"policy"})
    assert found.by_usd["capacity"] == 0
    assert found.by_usd["policy"] + found.by_usd["price"] == pytest.approx(new.usd - base.usd, abs=Decimal("1e-9"))
    # Two million tokens a day at 9 USD.
    assert abs(new.usd - base.usd) == pytest.approx(Decimal(18 * 730) / 24, abs=Decimal("1e-6"))
