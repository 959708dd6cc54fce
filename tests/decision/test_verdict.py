import itertools
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.analysis.limits import FACTORS, LimitCounts
from simulator.analysis.metrics import Group, summarise
from simulator.cost.bill import Bill, BillLine
from simulator.cost.prices import load_price_book
from simulator.decision.screening import missed
from simulator.decision.verdict import decide
from simulator.engine.record import ReplicaLevels, RequestLog, RunRecord
from simulator.experiment.counts import Requests, Tokens
from simulator.experiment.measured import measured
from simulator.experiment.objectives import limit_samples, objective_result
from simulator.experiment.pattern_result import PatternResult, pattern_result
from simulator.experiment.step_time_band import BandEnd, StepTimeBandResult
from simulator.experiment.workload_result import Interval, WorkloadResult
from simulator.workload.demand import Demand
from tests.decision.test_cost_curve import costing
from tests.engine.demand import table
from tests.experiment.small import small

BOOK = load_price_book("2026-11")
KINDS = {"api": "metered_api", "rented": "self_hosted", "bought": "self_hosted", "hybrid": "hybrid"}
CAPACITY = 10**10


def objective(met, judged=1_000_000, share=0.95, limit_s=60.0, limits=None):
    """Requests of two replications, met by so great a share of them: within half the limit, the others within twice."""
    half = judged // 2
    within = round(half * met)
    edges = np.zeros(len(FACTORS), np.int64)
    edges[np.searchsorted(FACTORS, 0.5)], edges[np.searchsorted(FACTORS, 2.0)] = within, half - within
    counts = [
        LimitCounts(metric, limit, edges.tolist(), [half // 8] * 7 + [half - half // 8 * 7], _spread(within, half))
        for metric, limit in (limits or {"e2e_s": limit_s}).items()
    ]
    group = Group({"completed": half}, {}, {}, 0, 0, 0, {}, limits=counts)
    samples = limit_samples([group, group])
    return samples, objective_result(samples, share)


def _spread(within, half):
    """As many of each of eight blocks as of the whole, to the next whole number."""
    sizes = [half // 8] * 7 + [half - half // 8 * 7]
    ends = [within * sum(sizes[:at]) // half for at in range(9)]
    return [after - before for before, after in itertools.pairwise(ends)]


def result(
    name, usd, *, met=True, half=0.0, feasible=True, saturation="stable", busy=0.1, kind=None, judged=10**6, each=None
):
    """What `decide` reads of a pattern; `met` may be the share itself, `each` the cost of each replication."""
    if not feasible:
        rule = "compliance" if KINDS[name] == "metered_api" else "feasibility"
        return PatternResult(
            name, KINDS[name], "", feasible=False, infeasible_reasons=["it may not"], infeasible_by=rule
        )
    requests, tokens = Requests(100, 100, 0, 0, 0, 0, {}), Tokens(3000, 0, 1000)
    share = met if not isinstance(met, bool) else 0.97 if met else 0.9
    samples, found = objective(share, judged)
    load = WorkloadResult({}, requests, tokens, found.hardest.share, 0.9, found.met, objective=found, samples=samples)
    use = {"busy_fraction": busy, "batch_occupancy": busy, "kv_occupancy": busy, "capacity_fraction": busy}
    return PatternResult(
        name,
        kind or KINDS[name],
        "",
        feasible=True,
        infeasible_reasons=[],
        monthly_cost_usd=Interval(usd, (usd - half, usd + half)),
        utilisation=None if name == "api" else use,
        requests=requests,
        tokens=tokens,
        workloads={"notes": load},
        saturation=saturation,
        by_replication={"all": {"monthly_cost_usd": each or [usd - half, usd + half]}},
        bill=Bill(
            (BillLine("power", "Electricity", Decimal(str(usd)) / 10, ""), BillLine("purchase", "", Decimal(9), ""))
        ),
    )


def verdict(*results, settings=None):
    scenario = small(settings)
    return decide(scenario, results, BOOK, costings(*results, scenario=scenario))


def costings(*results, scenario, capacity=CAPACITY):
    """What prices those that were simulated: 800M tokens a month, whatever their results say they cost."""
    return {one.name: costing(one.name, capacity, scenario=scenario) for one in results if one.feasible}


def test_the_cheapest_that_meets_the_objectives():
    found = verdict(result("api", 10, met=False), result("rented", 300), result("hybrid", 200))
    assert (found.recommended, found.runner_up) == ("hybrid", "rented")
    assert found.rules_fired == ["objectives", "cost"]
    assert found.reasons[0].startswith(
        "hybrid meets every objective and costs least, 200 USD a month; next is rented, for 100 USD more;"
    )
    assert (
        "api is out: objectives not met for notes (90.00 % of its requests within 1 min end to end, 95 % wanted)"
        in found.reasons
    )


def test_rules_come_in_their_order():
    found = verdict(
        result("api", 1, feasible=False),
        result("rented", 2, feasible=False),
        result("bought", 3, saturation="overloaded"),
        result("hybrid", 500),
        settings={"constraints.monthly_cost_at_most": "499 USD/month"},
    )
    assert found.recommended is None
    assert found.rules_fired == ["feasibility", "compliance", "objectives", "budget"]
    assert found.reasons[0].startswith("no hosting pattern is allowed")
    assert "hybrid is out: 500 USD a month exceed the budget of 499 USD" in found.reasons


def test_an_overloaded_pattern_is_never_recommended():
    found = verdict(result("api", 1, saturation="overloaded"), result("rented", 1000, saturation="backlogged"))
    assert found.recommended == "rented"


def test_a_model_that_was_shut_down_cannot_be_chosen():
    found = verdict(
        result("api", 1), result("rented", 1000), settings={"hosting_patterns.api.api.model": "azure/gpt-4-turbo"}
    )
    assert found.recommended == "rented"
    assert "availability" in found.rules_fired
    assert "api is out: azure/gpt-4-turbo was shut down on 2026-10-23" in found.reasons
    # It is still what the break-even is stated against, for want of another.
    assert found.break_even_tokens_per_month == pytest.approx(730 / 15.0 * 1e6, abs=1)


def test_costs_that_chance_may_turn_round_are_no_verdict():
    """Differences of 10 on average with a spread of 5.16 in four replications: 12.9 x 5.16 / 2 is more than 10."""
    rented = result("rented", 300, each=[300.0] * 4)
    close = verdict(rented, result("hybrid", 310, each=[304.0, 308.0, 312.0, 316.0]))
    assert (close.recommended, close.verdict, close.runner_up) == (None, "cannot_tell", None)
    assert close.undecided.candidates == ["rented", "hybrid"]
    assert close.undecided.costs == ["hybrid"]
    # t is 5.96 for seven replications and 5.41 for eight: 5.96 x 5.16 / sqrt(7) = 11.6, 5.41 x 5.16 / sqrt(8) = 9.9.
    assert close.undecided.replications_to_tell == 8
    assert "cannot tell with 4 replications whether hybrid costs less than rented" in close.reasons[0]
    apart = verdict(rented, result("hybrid", 310, each=[309.0, 310.0, 310.0, 311.0]))
    assert (apart.recommended, apart.undecided) == ("rented", None)
    # On the same demand both may swing as much as they like.
    together = verdict(
        result("rented", 300, each=[200.0, 400.0, 250.0, 350.0]),
        result("hybrid", 310, each=[210.0, 410.0, 260.0, 360.0]),
    )
    assert together.recommended == "rented"


def test_a_cheaper_pattern_that_may_keep_its_objective_is_no_verdict():
    """One of 64 late at 99 % wanted, as for the smallest of hospitals."""
    rare = verdict(result("api", 0.04, met=30 / 32, judged=64), result("rented", 5675))
    assert (rare.recommended, rare.verdict) == (None, "cannot_tell")
    assert rare.undecided.objectives == ["api"]
    assert rare.undecided.candidates == ["api", "rented"]
    assert "93.75 % of 64 requests" in rare.reasons[0]
    assert rare.undecided.replications_to_tell > 2
    # A few that are still open at the end are no reason to leave the cheaper one out and choose the other.
    open_still = result("api", 0.04, met=30 / 32, judged=64)
    open_still.workloads["notes"] = replace(open_still.workloads["notes"], undecided=3)
    assert missed(open_still) is None
    assert verdict(open_still, result("rented", 5675)).undecided.candidates == ["api", "rented"]


@pytest.mark.parametrize(
    ("arrived", "met", "wrong"),
    [(20, 18, False), (20, 14, False), (20, 11, True), (2000, 1890, False), (2000, 1840, True)],
)
def test_what_chance_may_have_missed_rules_nothing_out(arrived, met, wrong):
    """95 % wanted: 18 of 20 happen in a quarter of all months, 1,840 of 2,000 in none."""
    assert (missed(result("api", 10.0, met=met / arrived, judged=arrived)) is not None) is wrong


def test_a_dearer_pattern_in_doubt_keeps_nobody_from_choosing():
    found = verdict(result("api", 10), result("rented", 300, met=61 / 64, judged=64))
    assert (found.recommended, found.runner_up, found.undecided) == ("api", "rented", None)
    assert "should it meet its objectives" in found.reasons[0]


def test_different_models_are_pointed_out():
    other = verdict(result("api", 1), result("rented", 2))
    assert "api serves llama-3.3-70b, rented llama-3.1-8b: compare quality too" in other.reasons
    same = verdict(result("rented", 1), result("bought", 2))
    assert not any("quality" in reason for reason in same.reasons)


def test_break_even_is_none_where_the_cluster_never_costs_less():
    """A replica of 730 USD a month; at 0.72 USD per million the API takes as much for 1,014M tokens."""
    results = [result("api", 1), result("rented", 720)]
    within, beyond = (
        decide(small(), results, BOOK, costings(*results, scenario=small(), capacity=capacity))
        for capacity in (2 * 10**9, 10**9)
    )
    assert within.break_even_tokens_per_month == pytest.approx(730 / 0.72e-6, rel=1e-8)
    assert beyond.break_even_tokens_per_month is None
    assert "rented never undercuts api up to 8,000M tokens a month" in beyond.what_would_change_it[-1]


def test_payback_counts_the_running_cost_alone():
    found = verdict(result("api", 1070), result("bought", 700))
    # 7,300 USD upfront, 1,070 - 70 saved a month.
    assert found.payback_months == pytest.approx(7.3)
    assert verdict(result("api", 60), result("bought", 700)).payback_months is None
    assert verdict(result("api", 60), result("rented", 700)).payback_months is None


def test_capacity_advice_is_about_the_recommended_cluster():
    found = verdict(result("bought", 900, busy=0.01), result("rented", 300, busy=0.3))
    assert found.capacity_advice == "rented serves 30.0 % of what it could, at every objective: no replica is missing"
    idle = verdict(result("api", 1), result("rented", 300, busy=0.01))
    assert idle.capacity_advice.startswith("rented serves 1 % of what it could: the demand does not need")


def test_nothing_to_judge():
    found = verdict()
    assert (found.recommended, found.break_even_tokens_per_month, found.capacity_advice) == (None, None, None)
    assert found.document()["break_even"] == []


candidates = st.builds(
    result,
    name=st.sampled_from(sorted(KINDS)),
    usd=st.integers(1, 10**5),
    met=st.booleans(),
    feasible=st.booleans(),
    saturation=st.sampled_from(["stable", "backlogged", "overloaded"]),
)


@given(st.lists(candidates, unique_by=lambda candidate: candidate.name), st.integers(1, 10**5))
def test_law_nothing_allowed_is_cheaper_than_what_is_recommended(results, budget):
    found = verdict(*results, settings={"constraints.monthly_cost_at_most": f"{budget} USD/month"})
    fit = [
        one
        for one in results
        if one.feasible
        and one.objectives_met
        and one.saturation != "overloaded"
        and one.monthly_cost_usd.mean <= budget
    ]
    assert (found.recommended is None) is (not fit)
    if fit:
        cheapest = min(one.monthly_cost_usd.mean for one in fit)
        assert next(one for one in fit if one.name == found.recommended).monthly_cost_usd.mean == cheapest
    # Everyone who was there and was not chosen for its cost has a reason.
    out = [one.name for one in results if one not in fit]
    assert all(any(reason.startswith(f"{name} is out: ") for reason in found.reasons) for name in out)


@given(st.lists(candidates, unique_by=lambda candidate: candidate.name))
def test_the_order_of_the_patterns_does_not_matter(results):
    forwards, backwards = verdict(*results), verdict(*reversed(results))
    assert forwards.recommended == backwards.recommended
    assert forwards.break_even_tokens_per_month == backwards.break_even_tokens_per_month


def test_a_scenario_without_objectives_does_not_claim_to_meet_any():
    found = verdict(replace(result("api", 1), workloads={}), settings={"workloads.notes.objectives": None})
    assert found.reasons[0].startswith("api costs least, 1.00 USD a month; it is the only one left;")


def test_where_too_little_arrived_there_is_no_verdict_and_what_is_out_is_said_all_the_same():
    untold = "cannot tell: nothing arrived in the 1 h that were measured"
    found = verdict(replace(result("api", 1), cannot_tell=untold), result("rented", 2, feasible=False))
    assert (found.verdict, found.recommended, found.rules_fired) == ("cannot_tell", None, ["feasibility", "demand"])
    assert found.reasons == [untold, "rented is out: it may not"]


def simulated(name, load, seed):
    """A day of a pattern whose queue has this load: two replications of one server, with Poisson arrivals."""
    pattern, runs = small().hosting_patterns[name], []
    backend = pattern.backend_names[0]
    for replication in range(2):
        rng = np.random.default_rng([seed, replication])
        arrival_s = np.sort(rng.random(5000)) * 86_400.0
        service_s = rng.exponential(load * 86_400.0 / 5000, 5000)
        # First come, first served (Lindley): each begins when all before it are done, or when it comes.
        done_s = service_s.cumsum()
        start_s = done_s - service_s + np.maximum.accumulate(arrival_s - done_s + service_s)
        log = RequestLog.empty(5000)
        in_time = start_s + service_s <= 86_400.0
        log.scheduled_s[:] = np.where(start_s <= 86_400.0, start_s, np.nan)
        for stamps in (log.first_token_s, log.last_token_s, log.ended_s):
            stamps[:] = np.where(in_time, start_s + service_s, np.nan)
        log.outcome[:] = in_time
        log.backend[:] = 0
        level = ReplicaLevels(3600.0, *np.zeros((4, 24)), 0, 0, 1, 1)
        levels = () if pattern.kind == "metered_api" else (replace(level, cluster=backend),)
        demand = table(arrival_s, workloads=("notes",))
        runs.append(summarise(RunRecord((backend,), 86_400.0, log, levels), demand, {}))
    month = 5000 * 730 / 24
    asked = {"notes": Demand(asked=month, billed=month, expected=5000.0, tokens=month * 60)}
    return pattern_result(name, pattern, measured(pattern, runs, Decimal(730), asked), BOOK, Decimal(730))


@settings(max_examples=25)
@given(
    st.dictionaries(
        st.sampled_from(["api", "rented", "bought"]), st.sampled_from([0.5, 0.8, 0.9, 1.15, 1.4, 3.0]), min_size=1
    ),
    st.integers(0, 2**32 - 1),
)
def test_law_what_is_chosen_has_no_backlog_that_grows(loads, seed):
    """Nothing is asked for but what it costs: a queue that falls behind for ever would be the cheapest of all."""
    scenario = small({"workloads.notes.objectives": None, "workloads.letters": None})
    results = [simulated(name, load, seed) for name, load in loads.items()]
    found = decide(scenario, results, BOOK, costings(*results, scenario=scenario))
    if found.recommended is not None:
        assert loads[found.recommended] < 1.0
    assert (found.recommended is None) is all(load > 1.0 for load in loads.values())


DOUBTS = {
    "met": ("rented would miss objectives for notes if its steps lasted 1.25 times", 0.99),
    "missed": ("rented would meet every objective if its steps lasted 0.80 times", 0.9),
    "cannot_tell": (None, 0.9501),
}


@pytest.mark.parametrize("missed_there", [[], ["notes"]])
@pytest.mark.parametrize("untold_there", [[], ["letters"]])
@pytest.mark.parametrize("answer", DOUBTS)
def test_steps_of_another_length_are_told_where_they_turn_what_is_told_today(answer, missed_there, untold_there):
    """What is met today and missed there, and the other way round; nothing of what nobody can tell, here or there."""
    said, share = DOUBTS[answer]
    one = result("rented", 1.0, met=share, judged=2_000)
    assert one.answer == answer
    there, slower = BandEnd(0.8, {}, missed_there, untold_there), BandEnd(1.25, {}, missed_there, untold_there)
    ends = (BandEnd(0.8, {}, [], []), slower) if answer == "met" else (there, BandEnd(1.25, {}, ["notes"], []))
    one = replace(one, step_time_band=StepTimeBandResult("estimated", "a guess", *ends))
    turned = missed_there if answer == "met" else answer == "missed" and not (missed_there or untold_there)
    found = [text for text in verdict(one).what_would_change_it if "steps lasted" in text]
    assert [text.split(" as long")[0] for text in found] == ([said] if turned else [])
