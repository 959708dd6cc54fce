"""Who runs a pattern: by its bill first, by a rule of thumb where that is silent, and a hard rule only where asked."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.cost.prices import load_price_book
from simulator.decision.screening import screen
from simulator.decision.staffing import paid_fte, shortages, unready
from simulator.experiment.workload_result import Latency
from tests.decision.test_verdict import result, verdict
from tests.experiment.small import small

BOOK = load_price_book("2026-11")
ALL_SKILLS = ["deployment", "gpu_infrastructure", "tuning", "monitoring", "security"]


def staffed(*shares, **team):
    staff = [{"role": "engineer", "salary": "150000 USD/year", "share": share} for share in shares]
    return small({"hosting_patterns.rented.costs.staff": staff, "constraints.team": team})


@pytest.mark.parametrize(
    ("team", "out"),
    [
        ({"ml_engineers": 0}, {"rented", "bought", "hybrid"}),
        ({"ml_engineers": 1.5}, {"rented", "bought"}),
        ({"ml_engineers": 3}, set()),
        ({"ml_engineers": 5, "skills": ["deployment", "tuning"]}, {"rented", "bought", "hybrid"}),
        (None, set()),
    ],
)
@pytest.mark.parametrize("hard", [True, False])
def test_bills_that_name_nobody_are_held_against_the_rule_of_thumb(team, out, hard):
    results = [result("api", 9), result("rented", 1), result("bought", 2), result("hybrid", 3)]
    scenario = small({"constraints.team": team if team is None else team | {"rules_out": hard}})
    found = screen(scenario, results, BOOK)
    assert {one.pattern for one in found.out if one.rule == "staffing"} == (out if hard else set())
    assert found.winner == ("rented" if not (hard and out) else "api" if "hybrid" in out else "hybrid")
    said = verdict(*results, settings={"constraints.team": team if team is None else team | {"rules_out": hard}})
    lines = [line for line in said.take_care if "ML engineer" in line or "nobody knows" in line]
    short = {name for name in out if any(name in line for line in lines)}
    assert short == (set() if hard else out)


@given(st.lists(st.floats(0, 1).map(lambda share: round(share, 2)), max_size=4), st.floats(0, 4), st.booleans())
def test_law_people_that_the_bill_pays_for_must_be_there(shares, have, hard):
    scenario = staffed(*shares, ml_engineers=have, rules_out=hard)
    pattern = scenario.hosting_patterns["rented"]
    wanted = sum(shares)
    assert paid_fte(pattern) == pytest.approx(wanted)
    if wanted > 0:
        short = wanted > have + 1e-9
        assert bool(shortages(scenario.constraints.team, pattern)) is short
        assert (unready(scenario.constraints.team, pattern) is not None) is (short and hard)


def test_two_engineers_run_what_half_a_one_is_paid_for():
    """The cliff: naming the two people there are must not take away what half of one is paid to run."""
    before = screen(staffed(0.5, ml_engineers=100), [result("rented", 1), result("api", 9)], BOOK)
    for hard in (False, True):
        two = staffed(0.5, ml_engineers=2, rules_out=hard)
        assert screen(two, [result("rented", 1), result("api", 9)], BOOK).winner == before.winner == "rented"


def test_an_api_takes_the_people_its_bill_pays_for_and_no_skills():
    staff = [{"role": "prompt engineer", "salary": "150000 USD/year", "share": 0.5}]
    team = {"ml_engineers": 0, "skills": [], "rules_out": True}
    scenario = small({"hosting_patterns.api.api.costs": {"staff": staff}, "constraints.team": team})
    assert "0.5 full-time people" in unready(scenario.constraints.team, scenario.hosting_patterns["api"])
    bare = small({"constraints.team": team})
    assert unready(bare.constraints.team, bare.hosting_patterns["api"]) is None


def test_every_reason_against_a_pattern_is_given():
    team = {"ml_engineers": 4, "skills": ALL_SKILLS[:-1], "rules_out": True}
    settings = {
        "constraints.team": team, "constraints.monthly_cost_at_most": "10 USD/month",
        "hosting_patterns.hybrid.api.model": "azure/gpt-4-turbo",
    }  # fmt: skip
    found = verdict(result("hybrid", 20, met=False), result("api", 2), settings=settings)
    assert found.rules_fired == ["availability", "staffing", "objectives", "budget", "cost"]
    (reason,) = [reason for reason in found.reasons if reason.startswith("hybrid is out")]
    parts = (
        "was shut down on 2026-10-23",
        "nobody knows security",
        "objectives not met for notes",
        "exceed the budget",
    )
    assert [reason.count(part) for part in parts] == [1, 1, 1, 1]
    assert sorted(parts, key=reason.index) == list(parts)
    assert found.not_assessed == []
    assert "constraints.team" in verdict(result("api", 2)).not_assessed[0]


def test_what_a_bill_leaves_out_is_said():
    found = verdict(result("api", 1), result("rented", 2), result("hybrid", 3))
    assert "rented, hybrid: their bills pay nobody to run them (costs.staff)" in found.take_care
    assert not any("electricity" in line for line in found.take_care)
    bought = verdict(result("bought", 1), settings={"hosting_patterns.bought.costs.power": None})
    assert "bought: its bill has no electricity for hardware of its own (costs.power)" in bought.take_care


def test_an_adapter_that_no_api_gets_is_a_matter_of_care():
    lora = {f"hosting_patterns.{name}.cluster.engine.lora": {"max_loras": 2} for name in ("rented", "bought", "hybrid")}
    given = [result("api", 1), result("rented", 2), result("hybrid", 3)]
    found = verdict(*given, settings=lora | {"workloads.notes.adapter": "scribe"})
    (line,) = [line for line in found.take_care if "adapter" in line]
    assert line.startswith("api, hybrid: no API gets an adapter (scribe of notes): ")
    assert not any("adapter" in line for line in verdict(*given, settings=lora).take_care)


def test_a_bill_that_pays_somebody_is_not_said_to_pay_nobody():
    staff = [{"role": "engineer", "salary": "150000 USD/year", "share": 0.1}]
    found = verdict(result("rented", 2), result("bought", 3), settings={"hosting_patterns.rented.costs.staff": staff})
    (line,) = [line for line in found.take_care if "pays nobody" in line]
    assert line.startswith("bought: ")


@pytest.mark.parametrize(("have", "said"), [(0, "0 ML engineers"), (0.5, "0.5 ML engineers"), (1, "1 ML engineer ")])
def test_one_is_an_engineer_and_none_are_engineers(have, said):
    scenario = small({"constraints.team": {"ml_engineers": have}})
    (found,) = shortages(scenario.constraints.team, scenario.hosting_patterns["rented"])
    assert found.reason.startswith(f"by a rule of thumb {said}")


def test_the_nearest_is_named_with_what_it_misses_and_what_would_help():
    found = verdict(
        result("api", 1, feasible=False),
        result("rented", 300, met=False),
        result("bought", 200, met=False, saturation="overloaded"),
        result("hybrid", 500),
        settings={"constraints.monthly_cost_at_most": "100 USD/month"},
    )
    assert found.recommended is None
    # Over the budget alone, before over the budget and too slow, before forbidden.
    assert found.nearest.pattern == "hybrid"
    assert found.nearest.misses == ["500 USD a month exceed the budget of 100 USD"]
    assert found.nearest.would_help == ["a budget of 500.00 USD a month"]
    assert "nearest is hybrid, 500 USD a month: 500 USD a month exceed" in found.reasons[0]
    assert verdict(result("api", 1)).nearest is None
    slow = verdict(result("rented", 300, met=False), result("api", 1, feasible=False))
    assert (slow.nearest.pattern, slow.nearest.would_help) == ("rented", ["more replicas (simulator capacity)"])


@pytest.mark.parametrize(
    ("ttft", "e2e", "helps"),
    [
        # p50, p95, p99; limits of small: 5 s and 60 s for 95 %.
        ((6, 7, 8), (9, 9, 9), ["a limit of 7.00 s to the first token instead of 5 s for notes", "a faster GPU"]),
        ((1, 7, 8), (9, 9, 9), ["a limit of 7.00 s to the first token instead of 5 s for notes", "more replicas"]),
        ((1, 2, 3), (30, 80, 99), ["a limit of 80.0 s end to end instead of 60 s for notes", "a faster GPU"]),
        ((1, 2, 40), (30, 80, 99), ["a limit of 80.0 s end to end instead of 60 s for notes", "more replicas"]),
    ],
)
def test_more_replicas_are_not_advised_where_half_or_decoding_is_too_slow(ttft, e2e, helps):
    one = result("rented", 300, met=False)
    waits = {
        name: Latency(p50, p50, p95, p95, p99, None) for name, (p50, p95, p99) in {"ttft_s": ttft, "e2e_s": e2e}.items()
    }
    objective = one.workloads["notes"].objective
    alike = [replace(limit, reached_s=waits[limit.metric].p95 / 1.005) for limit in objective.limits]
    load = replace(one.workloads["notes"], latency=waits, objective=replace(objective, limits=alike))
    found = verdict(replace(one, workloads={"notes": load}))
    assert len(found.nearest.would_help) == len(helps)
    assert all(text.startswith(wanted) for text, wanted in zip(found.nearest.would_help, helps, strict=True))


def test_a_wider_miss_is_further():
    near, far = result("rented", 900, met=False), result("bought", 1, met=False)
    far = replace(far, workloads={"notes": replace(far.workloads["notes"], share_met=0.5)})
    assert verdict(near, far).nearest.pattern == "rented"
