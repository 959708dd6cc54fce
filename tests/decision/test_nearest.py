"""Where nothing will do: which pattern is nearest, criterion by criterion, and what is advised for each reason."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simulator.decision.nearest import nearest
from simulator.decision.screening import Exclusion, Screening
from simulator.experiment.counts import Requests
from simulator.experiment.workload_result import Latency, Thinking
from tests.decision.test_verdict import result
from tests.experiment.small import small

#: A limit on both workloads, of different lengths and shares.
BOTH = {"workloads.letters.objectives": {"end_to_end": "2min", "share": 0.99}}


def missing(name, usd, notes=0.95, letters=0.99, **latency):
    """A pattern that keeps so great a share of each workload; as `small` asks, 95 % and 99 % are wanted."""
    one = result(name, usd)
    load = replace(one.workloads["notes"], latency=latency)
    loads = {"notes": replace(load, share_met=notes), "letters": replace(load, share_met=letters)}
    return replace(one, workloads=loads)


def told(*results, settings=None, **rules):
    """`rules` are those that speak against each pattern, by name."""
    out = [Exclusion(rule, name, f"{name} fails {rule}") for name, failed in rules.items() for rule in failed]
    return nearest(small(BOTH | (settings or {})), results, Screening(out=out))


WORST = missing("rented", 900, 0.1, 0.1)


@pytest.mark.parametrize(
    ("near", "far", "rules"),
    [
        # What cannot be used at all is farther than what fails more rules, by more, at more cost; whichever forbids it.
        (WORST, missing("api", 1), {"rented": ["staffing", "objectives"], "api": ["feasibility"]}),
        (WORST, missing("api", 1), {"rented": ["staffing", "objectives"], "api": ["compliance"]}),
        (WORST, missing("api", 1), {"rented": ["staffing", "objectives"], "api": ["availability"]}),
        # One rule against it, before two; however many workloads.
        (WORST, missing("api", 1, 0.9), {"rented": ["objectives"], "api": ["objectives", "budget"]}),
        # One workload that misses by far, before two that nearly keep theirs.
        (missing("rented", 900, 0.1), missing("api", 1, 0.94, 0.98), {"rented": ["objectives"], "api": ["objectives"]}),
        # By its worst workload: 0.2 below, before 0.3 and next to nothing.
        (
            missing("rented", 900, 0.75, 0.79),
            missing("api", 1, 0.94, 0.69),
            {"rented": ["objectives"], "api": ["objectives"]},
        ),
        (missing("rented", 900, 0.1), missing("api", 1, 0.0), {"rented": ["objectives"], "api": ["objectives"]}),
        # A share that is exactly what is wanted is not missed.
        (missing("rented", 900, 0.95), missing("api", 1, 0.9499), {"rented": ["budget"], "api": ["budget"]}),
        # And then by cost.
        (missing("rented", 8, 0.9), missing("api", 9, 0.9), {"rented": ["objectives"], "api": ["objectives"]}),
    ],
)
def test_the_nearest_by_each_criterion_however_much_the_later_ones_speak_against_it(near, far, rules):
    for order in ((near, far), (far, near)):
        found = told(*order, **rules)
        assert (found.pattern, found.monthly_cost_usd) == ("rented", near.cost_usd)
        assert found.misses == [f"rented fails {rule}" for rule in rules["rented"]]


def test_there_is_none_where_something_passes_or_nothing_was_asked():
    one = result("rented", 300)
    assert nearest(small(), [], Screening()) is None
    assert nearest(small(), [one], Screening(out=[Exclusion("budget", "api", "")], ranked=[one])) is None


def test_what_was_not_simulated_has_no_cost():
    found = told(result("rented", 1, feasible=False), rented=["feasibility"])
    assert found.monthly_cost_usd is None
    fits = "a GPU type, split or weight format that fits (simulator plan)"
    assert found.text == f"nearest is rented: rented fails feasibility; what would help: {fits}"


@pytest.mark.parametrize(
    ("rule", "helps"),
    [
        ("feasibility", ["a GPU type, split or weight format that fits (simulator plan)"]),
        ("compliance", ["a place that may see the prompts (simulator compliance)"]),
        ("availability", ["a model that lasts"]),
        ("staffing", ["more engineers, or costs.staff that says how few it takes"]),
        ("resilience", ["a spare of what fails: another replica, machine, site or API (simulator capacity)"]),
        ("budget", ["a budget of 300.00 USD a month"]),
        ("demand", []),
    ],
)
def test_each_reason_has_its_own_advice(rule, helps):
    one = missing("rented", 300)
    assert told(one, settings={"constraints.team": {"ml_engineers": 0}}, rented=[rule]).would_help == helps


def waits(p50, p90, p95, p99):
    return Latency(p50, p50, p90, p95, p99, None)


MORE, FASTER = "more replicas (simulator capacity)", "a faster GPU, a wider split or a smaller model"
QUOTA, BETTER = "more quota (limits)", "a faster model or deployment"


@pytest.mark.parametrize(("name", "more", "faster"), [("rented", MORE, FASTER), ("api", QUOTA, BETTER)])
@pytest.mark.parametrize(
    ("ttft", "e2e", "slow"),
    [
        # Half within the limits of 5 s and 60 s, to the second, is waiting; half beyond is not.
        ((5, 5, 5, 90), (60, 60, 60, 90), False),
        ((5.1, 5.1, 5.1, 90), (60, 60, 60, 60), True),
        ((5, 5, 5, 90), (60.1, 61, 61, 90), True),
        # A first token within a quarter of the minute, and a last one beyond it.
        ((1, 1, 1, 14.9), (30, 30, 30, 61), True),
        ((1, 1, 1, 15.1), (30, 30, 30, 61), False),
        ((1, 1, 1, 14.9), (30, 30, 30, 60), False),
    ],
)
def test_what_is_slow_alone_takes_faster_machines_and_what_waits_more_of_them(name, more, faster, ttft, e2e, slow):
    one = missing(name, 300, 0.5, ttft_s=waits(*ttft), e2e_s=waits(*e2e))
    advice = told(one, **{name: ["objectives"]}).would_help
    assert [text for text in advice if " instead of " not in text] == [faster if slow else more]


@pytest.mark.parametrize(
    ("kept", "errors", "advice"),
    [(0.93, 30, "more retries, or another API or cluster to fail over to"), (0.93, 10, QUOTA)],
)
def test_what_fails_takes_no_more_room(kept, errors, advice):
    """95 % are wanted of a thousand: with 30 errors answered 96 % would be, with 10 of them 94 %."""
    one = missing("api", 300, kept, ttft_s=waits(1, 1, 1, 1), e2e_s=waits(30, 30, 30, 30))
    lost = Requests(1000, 1000 - errors, errors, 0, 0, 0, {}, {"error": errors})
    loads = one.workloads | {"notes": replace(one.workloads["notes"], requests=lost)}
    assert told(replace(one, workloads=loads), api=["objectives"]).would_help == [advice]


@pytest.mark.parametrize(
    ("share", "said"), [(0.5, "61.0"), (0.9, "62.0"), (0.95, "63.0"), (0.99, "64.0"), (0.97, None)]
)
def test_the_quantile_that_is_named_is_that_of_the_share(share, said):
    one = missing("rented", 300, 0.1, ttft_s=None, e2e_s=waits(61, 62, 63, 64))
    found = told(one, settings={"workloads.notes.objectives.share": share}, rented=["objectives"]).would_help
    assert found == [*([f"a limit of {said} s end to end instead of 60 s for notes"] if said else []), FASTER]


def test_a_limit_that_is_advised_is_kept_by_those_that_were_not_answered_too():
    """Where some were lost, 99 % of all take longer than 99 % of the answered."""
    one = missing("rented", 300, 0.1, ttft_s=None, e2e_s=waits(61, 62, 63, 64))
    load = one.workloads["notes"]
    limits = [replace(limit, reached_s=80.0) for limit in load.objective.limits]
    lost = {**one.workloads, "notes": replace(load, objective=replace(load.objective, limits=limits))}
    found = told(replace(one, workloads=lost), rented=["objectives"]).would_help
    assert found == ["a limit of 80.4 s end to end instead of 60 s for notes", FASTER]


def test_a_quantile_that_is_its_limit_keeps_it():
    one = missing("rented", 300, 0.1, ttft_s=waits(1, 1, 5, 20), e2e_s=waits(1, 1, 60, 70))
    assert told(one, rented=["objectives"]).would_help == [MORE]


def test_advice_is_for_the_workloads_that_miss_theirs_and_each_thing_is_said_once():
    late = {"ttft_s": None, "e2e_s": waits(1, 1, 130, 150)}
    both = told(missing("rented", 300, 0.5, 0.5, **late), rented=["objectives"]).would_help
    first, second = (
        f"a limit of {waited} end to end instead of {limit}"
        for waited, limit in (("130.0 s", "60 s"), ("150.0 s", "120 s"))
    )
    assert both == [f"{first} for notes", MORE, f"{second} for letters"]
    one = told(missing("rented", 300, 0.95, 0.5, **late), rented=["objectives"]).would_help
    assert one == [f"{second} for letters", MORE]


@pytest.mark.parametrize(
    ("name", "more", "longer"),
    [("rented", MORE, "a longer engine.max_model_len"), ("api", QUOTA, "a model that takes longer prompts")],
)
def test_what_is_overloaded_or_too_long_is_told_and_waits_where_they_matter_too(name, more, longer):
    slow = {"ttft_s": waits(9, 9, 9, 9), "e2e_s": waits(90, 90, 90, 90)}
    one = missing(name, 300, 0.5, 0.5, **slow)

    def refusing(share):
        """So great a share of each workload is longer than what is taken."""
        loads = {
            key: replace(load, requests=replace(load.requests, arrived=1000, lost={"too_long": round(1000 * share)}))
            for key, load in one.workloads.items()
        }
        return replace(one, workloads=loads)

    full = replace(refusing(0.5), saturation="overloaded")
    assert told(full, **{name: ["objectives"]}).would_help == [more]
    # Where all the rest keeps its promise nothing else would help; where it does not, something must.
    assert told(refusing(0.5), **{name: ["objectives"]}).would_help == [longer]
    found = told(refusing(0.06), **{name: ["objectives"]}).would_help
    assert found[0] == longer
    assert "a limit of 90.0 s end to end instead of 60 s for notes" in found
    # A promise stands a few refusals beside what misses it, and no length would keep it.
    assert longer not in told(refusing(0.004), **{name: ["objectives"]}).would_help
    broken = replace(one, requests=replace(one.requests, lost={"error": 3}))
    assert longer not in told(broken, **{name: ["objectives"]}).would_help


@pytest.mark.parametrize(
    ("kept", "silent", "helps"),
    [
        # Half of the answers are empty, and all others early: more quota would change nothing.
        (0.5, 500, ["a longer max_tokens for notes, whose thoughts use it up"]),
        # The others wait as well.
        (0.3, 500, ["a longer max_tokens for notes, whose thoughts use it up", QUOTA]),
        # As few as the objective allows.
        (0.9, 50, [QUOTA]),
    ],
)
def test_thoughts_that_use_up_the_limit_are_told(kept, silent, helps):
    one = missing("api", 1, kept)
    notes = one.workloads["notes"]
    requests = replace(notes.requests, arrived=1000, completed=1000)
    thought = replace(notes, requests=requests, thinking=Thinking(9000, silent))
    one = replace(one, workloads=one.workloads | {"notes": thought})
    limits = {"workloads.notes.objectives": {"ttfat": "30s", "share": 0.95}}
    assert told(one, settings=limits, api=["objectives"]).would_help == helps
