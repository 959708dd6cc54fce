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
