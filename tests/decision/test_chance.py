"""What may be chance in which of two costs less, held against draws of which the truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.decision.chance import undecided, untold, would_tell
from simulator.experiment.workload_result import Interval
from tests.decision.test_verdict import KINDS, result

TRIALS = 1000


def with_costs(one, costs):
    mean = float(np.mean(costs))
    return replace(
        one, monthly_cost_usd=Interval(mean, None), by_replication={"all": {"monthly_cost_usd": [*map(float, costs)]}}
    )


def told(ours, theirs):
    """Share of trials in which one of two patterns, by the costs of their replications, is said to cost less."""
    api, hybrid = result("api", 300), result("hybrid", 300)
    found = 0
    for pair in zip(ours, theirs, strict=True):
        both = [with_costs(one, costs) for one, costs in zip((api, hybrid), pair, strict=True)]
        found += undecided(sorted(both, key=lambda one: one.cost_usd)) is None
    return found / len(ours)


@pytest.mark.parametrize("replications", [2, 3, 4])
def test_of_two_that_cost_the_same_one_is_said_to_cost_less_once_in_a_thousand(replications):
    """The hybrid's API takes a share that swings from month to month, far more than the number of its requests says."""
    rng = np.random.default_rng(replications)
    ours = np.full((TRIALS, replications), 300.0)
    theirs = 300.0 + 20.0 * rng.standard_normal((TRIALS, replications))
    assert told(ours, theirs) <= 0.005


@pytest.mark.parametrize(("replications", "apart", "at_least"), [(2, 1200.0, 0.95), (3, 45.0, 0.95), (4, 13.0, 0.95)])
def test_what_is_far_apart_is_told(replications, apart, at_least):
    """In standard deviations: what two cannot tell, three or four can."""
    rng = np.random.default_rng(7)
    theirs = 300.0 + apart + rng.standard_normal((200, replications))
    assert told(np.full((200, replications), 300.0), theirs) >= at_least


def test_two_replications_that_agree_by_chance_tell_nothing():
    """Twenty cents between what they say: half the interval is 636.6 x 0.141 / 1.414 = 63.7, of three 31.6 x 0.082."""
    rented, hybrid = result("rented", 300, each=[300.0, 300.0]), result("hybrid", 370, each=[369.9, 370.1])
    assert undecided([rented, hybrid]) is None
    close = undecided([rented, result("hybrid", 360, each=[359.9, 360.1])])
    assert close is not None
    assert (close.costs, close.replications_to_tell) == (["hybrid"], 3)


def test_a_single_replication_goes_by_the_number_of_requests():
    """100 requests of 1,000 USD: 141 USD supposed, times t of three degrees, 12.9."""
    api = with_tokens(result("api", 1000, each=[1000.0]), 1000)
    for more, known in ((1800.0, False), (1850.0, True)):
        found = undecided([api, result("rented", 1000 + more, each=[1000.0 + more])])
        assert (found is None) is known


@pytest.mark.parametrize("key", ["api_prompt", "api_cached_prompt", "api_cache_write", "api_output", "api_long_output"])
@pytest.mark.parametrize("name", ["", "azure."])
def test_every_line_of_tokens_may_vary_and_no_other_does(key, name):
    """As above, of whatever kind the tokens are and however many APIs there are."""
    rented = result("rented", 1800, each=[1800.0])
    api = with_tokens(result("api", 1000, each=[1000.0]), 1000, name + key)
    assert undecided([api, rented]) is not None
    for other in ("api_storage", "provisioned_units", "power", "rental"):
        assert undecided([with_tokens(api, 1000, name + other), rented]) is None


def test_two_that_pay_as_much_for_tokens_vary_alike():
    one, other = (
        with_tokens(result(name, usd, each=[usd]), 1000) for name, usd in (("api", 1000.0), ("hybrid", 1050.0))
    )
    assert undecided([one, other]) is None


def test_so_many_replications_would_tell_as_the_supposed_spread_says():
    """141 USD supposed: t of five degrees, 6.87, makes 561 of three replications; t of six, 5.96, 421 of four."""
    api = with_tokens(result("api", 1000, each=[1000.0]), 1000)
    found = undecided([api, result("rented", 1500, each=[1500.0])])
    assert (found.candidates, found.replications_to_tell) == (["api", "rented"], 4)
    # Three hundredths of the requests: as many times less sure.
    few = replace(api, requests=replace(api.requests, arrived=3))
    assert undecided([few, result("rented", 1500, each=[1500.0])]).replications_to_tell > 4


def test_what_is_the_same_to_the_cent_is_the_same():
    rented = result("rented", 300, each=[300.0, 300.0])
    assert undecided([rented, result("hybrid", 300, each=[300.0, 300.0])]) is None
    assert undecided([rented, result("hybrid", 300.0, each=[300.000002, 299.999998])]) is None
    # Two cents more and two less: half the interval is 637 x 0.028 / 1.41 = 12.7.
    assert undecided([rented, result("hybrid", 300.2, each=[300.18, 300.22])]).costs == ["hybrid"]


DOUBT = {"met": 30 / 32, "judged": 64}


@given(st.lists(st.tuples(st.sampled_from(["met", "cannot_tell"]), st.booleans()), min_size=1, max_size=4))
def test_law_candidates_are_the_first_sure_one_what_is_cheaper_and_what_may_be(drawn):
    """A thousand USD between neighbours. Costs that swing by far more tell nothing beside one that does not."""
    ranked = []
    for at, (name, (answer, swings)) in enumerate(zip(KINDS, drawn, strict=False), 1):
        usd, swing = 1000.0 * at, 90_000.0 if swings else 0.0
        ranked.append(result(name, usd, each=[usd - swing, usd + swing], **(DOUBT if answer == "cannot_tell" else {})))
        assert ranked[-1].answer == answer
    known = [one.name for one, (answer, _) in zip(ranked, drawn, strict=True) if answer == "met"]
    names = [one.name for one in ranked]
    first = names.index(known[0]) if known else len(ranked)
    costs = [names[at] for at in range(first + 1, len(ranked)) if drawn[at][1] is not drawn[first][1]]
    candidates = names[: first + 1] + costs
    objectives = [name for name in candidates if name not in known]
    found = undecided(ranked)
    if not objectives and not costs:
        assert found is None
        return
    assert (found.candidates, found.objectives, found.costs) == (candidates, objectives, costs)
    choice = next(
        (name for name, one in zip(names, ranked, strict=True) if name in candidates and one.met_as_measured), None
    )
    assert (f"as measured, {choice} would be the choice" if choice else "none of them does") in found.text


def needed(*results):
    found = undecided(results)
    return found.replications_to_tell, found.text


def test_as_many_replications_as_the_hardest_question_takes():
    """Each question by itself, and both together; where one is never told, nothing is."""
    doubt, less = result("api", 100, **DOUBT), result("api", 100, met=0.94, judged=640)
    sure = result("rented", 300, each=[300.0, 300.0])
    swings = result("hybrid", 310, each=[300.0, 320.0])
    of_objective, of_another, of_cost = (needed(*pair)[0] for pair in ((doubt, sure), (less, sure), (sure, swings)))
    assert of_objective > max(of_another, of_cost) > min(of_another, of_cost) > 2
    assert needed(doubt, sure, swings)[0] == needed(less, replace(doubt, name="bought"), sure)[0] == of_objective
    assert needed(less, sure, swings)[0] == max(of_another, of_cost)
    count, text = needed(doubt, sure, result("hybrid", 300, each=[200.0, 400.0]))
    assert count is None
    assert text.endswith("it is too near for any number of replications to tell")
    assert needed(doubt, sure)[1].endswith(f"; {would_tell(of_objective)}")


def with_limits(one, *limits, load="notes"):
    """With these limits of one workload: answer, share, requests held against it and open at the end."""
    objective = one.workloads["notes"].objective
    hardest, *_ = objective.limits
    found = [
        replace(
            hardest, answer=answer, share=share, requests=judged, undecided=still, ci99=(share - 0.1, share + 0.005)
        )
        for answer, share, judged, still in limits
    ]
    return replace(
        one,
        workloads=one.workloads | {load: replace(one.workloads["notes"], objective=replace(objective, limits=found))},
    )


def test_the_hardest_limit_in_doubt_of_each_workload_is_told():
    one = with_limits(
        result("api", 1, **DOUBT), ("met", 0.5, 64, 0), ("cannot_tell", 0.95, 64, 0), ("cannot_tell", 0.9, 64, 0)
    )
    hard = "90.00 % of 64 requests within 1 min end to end; 95 % is wanted, 80.00 to 90.50 % is possible"
    assert untold(one) == f"notes: {hard}"
    both = with_limits(one, ("cannot_tell", 0.9, 64, 0), load="letters")
    assert untold(both) == f"notes: {hard}; letters: {hard}"
    sure = replace(one.workloads["notes"], objective=result("api", 1).workloads["notes"].objective)
    assert untold(replace(both, workloads=both.workloads | {"notes": sure})) == f"letters: {hard}"
    missed = replace(sure, objective=replace(sure.objective, answer="missed"))
    assert untold(replace(one, workloads={"notes": missed})) is None
    assert untold(replace(one, workloads={"notes": replace(sure, objective=None)})) is None


def test_where_more_is_open_than_judged_a_longer_horizon_would_tell():
    plain = result("api", 1, **DOUBT)
    one = with_limits(plain, ("cannot_tell", 0.9, 64, 64))
    assert "within 1 min" in untold(one)
    assert "longer horizon" not in undecided([one]).text
    # Of the limit that is told, the hardest; of those beside it, that it is too short.
    two = with_limits(plain, ("cannot_tell", 0.9, 64, 0), ("cannot_tell", 0.95, 64, 65))
    assert "within 1 min" in untold(two)
    assert undecided([two]).text.endswith("; a longer horizon would tell")
    most = with_limits(plain, ("cannot_tell", 0.9, 64, 1200))
    assert (
        untold(most) == "notes: 1,200 requests still open at the end, within their limit; 64 were followed for as long"
    )


def test_one_and_several_are_said_as_such():
    api, bought = result("api", 100, **DOUBT), result("bought", 200, **DOUBT)
    rented = result("rented", 300, each=[300.0, 300.0])
    swings = [result(name, 310, each=[300.0, 320.0]) for name in ("hybrid", "bought")]
    assert "cannot tell with 2 replications whether api meets its objectives (" in undecided([api, rented]).text
    assert "whether api and bought meet their objectives (" in undecided([api, bought, rented]).text
    assert "whether hybrid costs less than rented; as" in undecided([rented, swings[0]]).text
    assert "whether hybrid, bought cost less than rented; as" in undecided([rented, *swings]).text
    assert ") nor whether hybrid costs less than rented; as" in undecided([api, rented, swings[0]]).text
    assert "; a month api 100 USD, rented 300 USD; about " in undecided([api, rented]).text
    alone = with_tokens(result("api", 1000, each=[1000.0]), 1000)
    assert "with 1 replication whether" in undecided([alone, result("rented", 1500, each=[1500.0])]).text


@pytest.mark.parametrize(
    ("count", "said"),
    [(99, "99"), (100, "100"), (104, "100"), (105, "100"), (106, "110"), (994, "990"), (9951, "10,000")],
)
def test_how_many_would_tell_is_said_to_two_digits(count, said):
    assert would_tell(count) == f"about {said} replications would tell"


def with_tokens(one, usd, key="api_prompt"):
    (line, *_) = one.bill.lines
    return replace(one, bill=replace(one.bill, lines=(replace(line, key=key, usd=type(line.usd)(usd)),)))
