"""A result that says a figure twice must say the same; what was edited in one place only is refused."""

from __future__ import annotations

import pytest

from simulator.errors import RunStoreError
from simulator.gate.comparison import compare
from simulator.gate.consistency import contradictions
from tests.gate.kept import VARIANTS, edited, side


@pytest.mark.parametrize("settings", [None, *VARIANTS.values()], ids=["as it is", *VARIANTS])
def test_law_what_is_simulated_agrees_with_itself(settings):
    assert contradictions(side(settings)) == []


def pattern(plain, name="rented"):
    return next(one for one in plain["patterns"] if one["name"] == name)


def slower_all(plain):
    pattern(plain)["latency"]["e2e_s"]["p99"] *= 1.5


def slower_workload(plain):
    pattern(plain)["workloads"]["letters"]["latency"]["ttft_s"]["p99"] *= 1.00001


def slower_replications(plain):
    values = pattern(plain)["by_replication"]["notes"]["itl_p99_s"]
    pattern(plain)["by_replication"]["notes"]["itl_p99_s"] = [2 * value for value in values]


def dearer(plain):
    pattern(plain)["monthly_cost_usd"]["mean"] += 40.0


def dearer_line(plain):
    lines = pattern(plain)["cost_lines_usd"]
    lines[next(iter(lines))] += 1.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (slower_all, "e2e_p99_s of rented (all)"),
        (slower_workload, "ttft_p99_s of rented (letters)"),
        (slower_replications, "itl_p99_s of rented (notes)"),
        (dearer, "monthly_cost_usd of rented"),
        (dearer_line, "but its lines add up to"),
    ],
)
def test_an_edit_in_one_place_is_refused_on_either_side(change, said):
    for sides in ((edited(change), side()), (side(), edited(change))):
        with pytest.raises(RunStoreError) as fault:
            compare(*sides)
        assert said in str(fault.value)


def moved(key, by):
    """The result in which one figure is another."""

    def change(plain):
        inside = pattern(plain)
        for part in key[:-1]:
            inside = inside[part]
        inside[key[-1]] = by(inside[key[-1]])

    return contradictions(edited(change))


COST, P99 = ("monthly_cost_usd", "mean"), ("latency", "e2e_s", "p99")


@pytest.mark.parametrize(
    ("key", "by", "told"),
    [
        # Nine digits are published: a millionth is what rounding may make, more is an edit, to either side.
        (P99, lambda value: value * (1 + 0.7e-6), []),
        (P99, lambda value: value * (1 - 0.7e-6), []),
        (P99, lambda value: value * (1 + 1.5e-6), ["e2e_p99_s of rented (all)"]),
        (P99, lambda value: value * (1 - 1.5e-6), ["e2e_p99_s of rented (all)"]),
        (("utilisation", "busy_fraction"), lambda value: value / 2, ["busy_fraction of rented (all)"]),
        (COST, lambda value: value * (1 + 1.5e-6), ["monthly_cost_usd of rented (all)"]),
        # A mean of some replications says nothing about the whole.
        (("by_replication", "all", "e2e_p99_s"), lambda values: [None, *(2 * one for one in values[1:])], []),
        (("by_replication", "letters", "e2e_p99_s", 0), lambda value: value * 1.01, ["e2e_p99_s of rented (letters)"]),
        # Lines are in whole cents.
        (("cost_lines_usd",), lambda lines: lines | {"rental": lines["rental"] + 0.005}, []),
        (("cost_lines_usd",), lambda lines: lines | {"rental": lines["rental"] - 0.005}, []),
        (("cost_lines_usd",), lambda lines: lines | {"rental": lines["rental"] + 0.05}, ["lines add up to 730.05"]),
        (("cost_lines_usd",), lambda lines: lines | {"rental": lines["rental"] - 0.05}, ["lines add up to 729.95"]),
        (("cost_lines_usd",), lambda lines: lines | {"more": 1.0}, ["lines add up to 731"]),
        (("cost_lines_usd",), lambda _: {}, []),
    ],
)  # fmt: skip
def test_figures_may_differ_by_what_rounding_makes_and_by_no_more(key, by, told):
    found = moved(key, by)
    assert len(found) == len(told)
    assert all(part in one for part, one in zip(told, found, strict=True))
