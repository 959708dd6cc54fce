from dataclasses import asdict, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.analysis import tally, timeline
from simulator.analysis.levels import utilisation_of
from simulator.analysis.metrics import Summariser, summarise
from simulator.engine import simulation
from simulator.engine.record import Charge, Incident, Outcome, Reason, ReplicaLevels, RequestLog, RunRecord
from simulator.scenario.workloads import Objectives
from tests.engine.demand import table

HOUR_S = 3600.0
NO_OBJECTIVES = {"notes": None}


def record(demand, horizon_s=HOUR_S, levels=(), **columns):
    """Every request takes 1 s to its first token and 3 s to its last, but for what `columns` says."""
    log = RequestLog.empty(len(demand))
    log.first_token_s[:] = demand.arrival_s + 1.0
    log.last_token_s[:] = demand.arrival_s + 3.0
    log.outcome[:] = Outcome.COMPLETED
    for name, values in columns.items():
        getattr(log, name)[:] = values
    return RunRecord(("cluster",), horizon_s, log, levels)


def levels(busy_s, sequence_s=None, waiting_s=None, interval_s=HOUR_S):
    busy = np.asarray(busy_s, float)
    return ReplicaLevels(
        interval_s=interval_s,
        busy_s=busy,
        sequence_s=busy if sequence_s is None else np.asarray(sequence_s, float),
        waiting_s=np.zeros(len(busy)) if waiting_s is None else np.asarray(waiting_s, float),
        kv_block_s=10.0 * busy,
        steps=1,
        preemptions=2,
        kv_blocks=100,
        max_num_seqs=4,
    )


outcomes = st.lists(
    st.tuples(st.sampled_from(list(Outcome)), st.sampled_from(list(Reason)), st.integers(0, 1)), min_size=1, max_size=60
)


@given(outcomes)
def test_law_conservation_by_workload_and_in_total(rows):
    ended, reasons, workload = zip(*rows, strict=True)
    demand = table(np.arange(len(rows)), workload=workload, workloads=("notes", "letters"))
    found = summarise(record(demand, outcome=ended, failover=reasons), demand, {})
    assert found.total.arrived == len(rows) == sum(part.arrived for part in found.workloads.values())
    for outcome in Outcome:
        name = outcome.name.lower()
        assert found.total.outcomes[name] == ended.count(outcome)
        assert found.total.outcomes[name] == sum(part.outcomes[name] for part in found.workloads.values())
    assert found.total.failed_over == {
        "capacity": reasons.count(1),
        "timeout": reasons.count(2),
        "error": reasons.count(3),
        "fault": reasons.count(4),
        "breaker": reasons.count(5),
        "hedge": reasons.count(6),
        "too_long": reasons.count(7),
    }
    assert found.total.output_tokens == 200 * ended.count(Outcome.COMPLETED)


def test_latencies_are_those_of_completed_requests():
    demand = table([0.0, 10.0, 20.0], output_tokens=[201, 1, 5])
    run = record(demand, outcome=[Outcome.COMPLETED, Outcome.COMPLETED, Outcome.UNFINISHED])
    found = summarise(run, demand, NO_OBJECTIVES).total.latency
    assert found["ttft_s"]["p99"] == 1.0
    assert found["e2e_s"]["mean"] == 3.0
    # Two seconds over two hundred gaps; a single token has no gap.
    assert found["itl_s"]["mean"] == found["itl_s"]["p50"] == pytest.approx(0.01)


@pytest.mark.parametrize("order", [1, -1])
def test_quantiles_of_a_thousand_waits_are_their_ranks(order):
    """Waits of 1 to 1,000 s: as many per cent of them are no longer than ten times as many seconds."""
    demand = table([0.0] * 1000)
    waits_s = np.arange(1.0, 1001.0)[::order]
    run = record(demand, 2000.0, first_token_s=waits_s, last_token_s=waits_s)
    found = summarise(run, demand, NO_OBJECTIVES).total.latency["ttft_s"]
    assert found == {"mean": 500.5, "p50": 500.0, "p90": 900.0, "p95": 950.0, "p99": 990.0}


def test_nothing_completed_leaves_no_latency():
    demand = table([0.0])
    run = record(demand, outcome=Outcome.TIMED_OUT, first_token_s=np.nan, last_token_s=np.nan)
    found = summarise(run, demand, {"notes": Objectives(ttft="2s")}).workloads["notes"]
    assert found.latency == {"ttft_s": {}, "itl_s": {}, "e2e_s": {}}
    assert found.share_met == found.goodput == 0.0


def test_no_requests_at_all():
    demand = table([])
    found = summarise(record(demand), demand, {"notes": Objectives(ttft="2s")})
    assert found.total.arrived == 0
    assert found.workloads["notes"].share_met is None


def test_each_limit_and_all_limits():
    demand = table([0.0, 100.0, 200.0, 300.0])
    run = record(
        demand,
        first_token_s=demand.arrival_s + np.array([1.0, 9.0, 1.0, np.nan]),
        last_token_s=demand.arrival_s + np.array([3.0, 10.0, 99.0, np.nan]),
        outcome=[1, 1, 1, Outcome.REJECTED],
    )
    both = {"notes": Objectives(ttft="2s", end_to_end="60s", share="50 %")}
    found = summarise(run, demand, both).workloads["notes"]
    # Two of four are within each limit, one within both; the rejected one is within none.
    assert (found.share_met, found.goodput, found.target_share) == (0.5, 0.25, 0.5)
    only_first = summarise(run, demand, {"notes": Objectives(ttft="2s")}).workloads["notes"]
    assert only_first.share_met == only_first.goodput == 0.5


def test_a_request_whose_limit_has_not_run_out_is_censored_and_not_late():
    """Ten hours of one request an hour, each answered after 3 h; the limit is 4 h. What is open may yet be in time."""
    demand = table(HOUR_S * np.arange(10.0))
    run = answered_after(demand, 3.0 * HOUR_S, 10.0 * HOUR_S)
    found = summarise(run, demand, {"notes": Objectives(end_to_end="4h")}).workloads["notes"]
    assert (found.arrived, found.outcomes["unfinished"]) == (10, 2)
    assert (found.share_met, found.goodput, found.undecided, found.decided) == (1.0, 1.0, 2, 8)
    # Answers that take 5 h are late, and those not yet late are left out: at 9 h only arrivals from 6 h on.
    late = summarise(
        answered_after(demand, 5.0 * HOUR_S, 10.0 * HOUR_S), demand, {"notes": Objectives(end_to_end="4h")}
    ).workloads["notes"]
    assert (late.share_met, late.undecided) == (0.0, 4)


def answered_after(demand, wait_s, horizon_s):
    """A run in which every answer comes at once, so long after its request."""
    answered_s = demand.arrival_s + wait_s
    answered_s[answered_s > horizon_s] = np.nan
    outcome = np.where(np.isnan(answered_s), Outcome.UNFINISHED, Outcome.COMPLETED)
    return record(demand, horizon_s, first_token_s=answered_s, last_token_s=answered_s, outcome=outcome)


def test_a_first_token_that_came_late_is_late_however_long_the_answer_lasts():
    demand = table([0.0, 100.0, 200.0])
    run = record(
        demand,
        1000.0,
        first_token_s=demand.arrival_s + np.array([1.0, 9.0, np.nan]),
        last_token_s=[3.0, np.nan, np.nan],
        outcome=[Outcome.COMPLETED, Outcome.UNFINISHED, Outcome.UNFINISHED],
    )
    # The second was late with its first token, the third has waited 800 s for it: only the first kept the limit.
    found = summarise(run, demand, {"notes": Objectives(ttft="2s", end_to_end="2h")}).workloads["notes"]
    assert found.share_met == found.goodput == 1 / 3
    assert found.undecided == 0
    # Of the end-to-end limit alone, neither is known to be late, and none was followed for as long.
    found = summarise(run, demand, {"notes": Objectives(end_to_end="2h")}).workloads["notes"]
    assert (found.share_met, found.undecided) == (None, 2)


def test_nothing_is_known_while_nothing_is_over():
    demand = table([0.0, 100.0])
    run = answered_after(demand, 2.0 * HOUR_S, HOUR_S)
    found = summarise(run, demand, {"notes": Objectives(end_to_end="4h")}).workloads["notes"]
    assert (found.share_met, found.goodput, found.undecided) == (None, None, 2)


@given(
    st.lists(st.floats(1.0, 500.0), min_size=1, max_size=40),
    st.floats(1.0, 500.0),
    st.floats(1.0, 1000.0),
    st.floats(0.0, 500.0),
)
def test_law_a_longer_horizon_never_takes_back_what_was_decided(waits_s, limit_s, horizon_s, more_s):
    """Met and missed are counted for good; only what is undecided moves."""
    demand = table(np.arange(len(waits_s), dtype=float))
    early, late = (
        summarise(
            answered_after(demand, np.array(waits_s), end_s), demand, {"notes": Objectives(end_to_end=f"{limit_s}s")}
        ).workloads["notes"]
        for end_s in (1000.0 + horizon_s, 1000.0 + horizon_s + more_s)
    )
    within = [round((one.share_met or 0.0) * one.decided) for one in (early, late)]
    assert within[0] <= within[1]
    assert early.decided - within[0] <= late.decided - within[1]
    assert late.undecided <= early.undecided


QUARTER_DAY_S = 21_600.0
LOADS = ("notes", "letters")


@st.composite
def eventful_runs(draw):
    """A run of two days, of which much went wrong, and where it is cut into parts."""
    size = draw(st.integers(0, 80))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    cuts = np.sort(draw(st.lists(st.integers(0, 9), max_size=4))) * QUARTER_DAY_S
    # On the edges of parts too.
    arrival_s = np.sort(rng.choice(np.linspace(0.0, 9 * QUARTER_DAY_S, 100), size))
    demand = table(
        arrival_s,
        rng.integers(1, 900, size),
        rng.integers(1, 5, size),
        workload=rng.integers(0, 2, size),
        workloads=LOADS,
    )
    columns = {
        "first_token_s": arrival_s + rng.random(size),
        "last_token_s": arrival_s + 1.0 + rng.random(size),
        "outcome": rng.integers(0, len(Outcome), size),
        "failover": rng.integers(0, len(Reason), size),
        "lost": rng.integers(0, len(Reason), size),
        "backend": rng.integers(-1, 2, size),
        "target": rng.integers(-1, 2, size),
        "decision": rng.integers(-1, 2, size),
        "attempts": rng.integers(0, 3, size),
        "scheduled_s": np.where(rng.random(size) < 0.1, np.nan, arrival_s + QUARTER_DAY_S * rng.integers(0, 3, size)),
    }
    tokens = ("cached_tokens", "billed_prompt_tokens", "billed_output_tokens", "wasted_tokens")
    columns |= {name: rng.integers(0, 3, size) for name in tokens}
    run = record(demand, 8 * QUARTER_DAY_S, (levels([100.0] * 48),), **columns)
    rows = rng.integers(0, size, 3 * (size > 0)).tolist()
    burnt = tuple(Charge(0.0, row, int(row % 2), 5, 3, 1, int(demand.workload[row])) for row in rows)
    incident = Incident(0.0, HOUR_S, "outage", "api", "all of it")
    run = replace(
        run, backends=("cluster", "api"), decisions=("preferred", "cheap"), incidents=(incident,), burnt=burnt
    )
    return demand, run, np.searchsorted(arrival_s, cuts)


@given(eventful_runs(), st.sampled_from([0.0, QUARTER_DAY_S, 30_000.0]))
def test_law_a_run_in_parts_is_summarised_as_the_whole(eventful, warm_up_s):
    demand, run, cuts = eventful
    objectives = {"notes": Objectives(ttft="0.5s", end_to_end="1.5s"), "letters": Objectives(end_to_end="1.2s")}
    summariser = Summariser(
        LOADS, run.backends, objectives, horizon_s=run.horizon_s, warm_up_s=warm_up_s, timeline=True
    )
    for low, high in pairwise([0, *cuts, len(demand)]):
        summariser.add(demand.rows(slice(low, high)), run.log.rows(slice(low, high)), run.decisions)
    found = asdict(summariser.finish(replace(run, log=RequestLog.empty(0))))
    whole = asdict(summarise(run, demand, objectives, warm_up_s))
    for group, other in zip(groups(found), groups(whole), strict=True):
        for metric, latency in group["latency"].items():
            mean, other_mean = latency.pop("mean", 0.0), other["latency"][metric].pop("mean", 0.0)
            assert mean == pytest.approx(other_mean, rel=1e-12)
    assert found == whole


@given(eventful_runs())
def test_law_how_many_are_counted_at_once_changes_nothing(eventful):
    demand, run, _ = eventful
    objectives = {"notes": Objectives(ttft="0.5s", end_to_end="1.5s"), "letters": None}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tally, "_AT_ONCE", 3)
        few = summarise(run, demand, objectives, 30_000.0)
    assert few == summarise(run, demand, objectives, 30_000.0)


def groups(summary):
    return [summary["total"], *summary["workloads"].values()]


def test_a_part_that_breaks_the_law_is_told_by_its_row_in_the_run():
    summariser = Summariser(("notes",), ("cluster",), {}, horizon_s=HOUR_S)
    summariser.add(table([0.0, 1.0]), record(table([0.0, 1.0])).log, ())
    demand = table([2.0, 3.0])
    with pytest.raises(RuntimeError, match="request 3 completed without its tokens"):
        summariser.add(demand, record(demand, last_token_s=[3.0, np.nan]).log, ())


@pytest.mark.parametrize(("charged", "tokens"), [(1, 0), (2, 5)])
def test_a_call_that_answered_nobody_is_charged_for_after_the_warm_up(charged, tokens):
    demand = table([10.0, 20.0, 5000.0])
    run = replace(record(demand, 2 * HOUR_S), burnt=(Charge(30.0, charged, 0, 5, 3, 1, 0),))
    assert charged_prompts(summarise(run, demand, NO_OBJECTIVES, HOUR_S)) == tokens


def charged_prompts(summary):
    return sum(one.prompt_tokens for one in summary.backends["cluster"].charged.values())


def test_the_timeline_has_the_p99_of_each_interval():
    demand = table([*np.linspace(0.0, 299.0, 100), 700.0], workload=[0] * 100 + [1], workloads=LOADS)
    ttft_s = np.array([*range(1, 101), 0.5])
    run = record(demand, 900.0, first_token_s=demand.arrival_s + ttft_s, last_token_s=900.0)
    found = summarise(replace(run, incidents=()), demand, {}).timeline
    assert found.interval_s == 300.0
    assert found.workloads["notes"].ttft_p99_s == [99.0, None, None]
    assert found.workloads["letters"].ttft_p99_s == [None, None, 0.5]
    assert found.workloads["notes"].arrived == [100, 0, 0]


def test_warm_up_leaves_out_requests_and_time():
    demand = table([10.0, 2000.0, 5000.0])
    run = record(demand, 2 * HOUR_S, (levels([3600.0, 1800.0]),), billed_prompt_tokens=[7, 5, 3], backend=0)
    whole, later = (summarise(run, demand, NO_OBJECTIVES, warm_up_s) for warm_up_s in (0.0, HOUR_S))
    assert (whole.total.arrived, later.total.arrived) == (3, 1)
    assert [charged_prompts(one) for one in (whole, later)] == [15, 3]
    assert (whole.hours, later.hours) == (2.0, 1.0)
    assert (whole.utilisation.busy_fraction, later.utilisation.busy_fraction) == (0.75, 0.5)


def test_utilisation_is_a_mean_over_time_and_replicas():
    pair = (levels([3600.0, 0.0]), levels([1800.0, 1800.0], sequence_s=[7200.0, 0.0]))
    found = utilisation_of(pair, 2 * HOUR_S, 0.0)
    assert found.busy_fraction == 0.5
    assert found.batch_occupancy == pytest.approx((3600 + 7200) / 4 / (2 * 7200))
    assert found.kv_occupancy == pytest.approx(10 * 7200 / 100 / (2 * 7200))


@settings(max_examples=50)
@given(st.lists(st.floats(0.0, 900.0), min_size=1, max_size=30), st.floats(0.0, 0.99), st.floats(0.01, 1.0))
def test_busy_fraction_lies_between_the_least_and_the_most_busy_interval(busy_s, warm_up, last):
    # The horizon ends within the last interval.
    horizon_s = 900.0 * (len(busy_s) - 1 + last)
    busy_s[-1] = min(busy_s[-1], 900.0 * last)
    rates = [*(value / 900.0 for value in busy_s[:-1]), busy_s[-1] / (900.0 * last)]
    found = utilisation_of((levels(busy_s, interval_s=900.0),), horizon_s, warm_up * horizon_s).busy_fraction
    assert min(rates) - 1e-9 <= found <= max(rates) + 1e-9


@pytest.mark.parametrize(
    ("waiting_s", "verdict"),
    [
        ([0.0] * 20, "stable"),
        ([90.0] * 20, "stable"),
        ([0.0] * 5 + [300.0] + [0.0] * 14, "backlogged"),
        ([0.0] * 19 + [900.0], "backlogged"),
    ],
)
def test_saturation_of_a_cluster(waiting_s, verdict):
    demand = table([0.0])
    run = record(demand, 20 * HOUR_S, (levels([100.0] * 20, waiting_s=waiting_s),))
    assert summarise(run, demand, NO_OBJECTIVES).saturation == verdict


@pytest.mark.parametrize(
    ("refused", "repeated", "verdict"),
    # Of 100 requests of which 1 % may be, four or more are turned away with a chance of 1.8 %, five of 0.3 %.
    [
        (0, 0, "stable"),
        (1, 1, "stable"),
        (0, 2, "backlogged"),
        (2, 0, "backlogged"),
        (4, 0, "backlogged"),
        (5, 0, "overloaded"),
    ],
)
@pytest.mark.parametrize(("ending", "lost"), [(Outcome.REJECTED, Reason.CAPACITY), (Outcome.TIMED_OUT, Reason.TIMEOUT)])
def test_saturation_by_requests_turned_away(refused, repeated, verdict, ending, lost):
    demand = table(np.arange(100.0))
    attempts = [2] * repeated + [1] * (100 - repeated)
    endings = [ending] * refused + [Outcome.COMPLETED] * (100 - refused)
    reasons = [lost] * refused + [Reason.NONE] * (100 - refused)
    run = record(demand, attempts=attempts, outcome=endings, lost=reasons)
    assert summarise(run, demand, NO_OBJECTIVES).saturation == verdict


@pytest.mark.parametrize("lost", [Reason.ERROR, Reason.FAULT, Reason.TOO_LONG])
def test_what_no_more_room_would_have_saved_is_no_overload(lost):
    demand = table(np.arange(100.0))
    run = record(demand, outcome=[Outcome.REJECTED] * 50 + [Outcome.COMPLETED] * 50, lost=[lost] * 50 + [0] * 50)
    assert summarise(run, demand, NO_OBJECTIVES).saturation == "stable"


def test_a_record_that_breaks_the_law_is_refused():
    demand = table([0.0, 1.0])
    with pytest.raises(RuntimeError, match="request 1 completed without its tokens"):
        summarise(record(demand, last_token_s=[3.0, np.nan]), demand, NO_OBJECTIVES)
    with pytest.raises(RuntimeError, match="2 requests were given, 1 are accounted for"):
        summarise(record(table([0.0])), demand, NO_OBJECTIVES)


def test_what_a_simulation_hands_on_ends_with_an_interval_of_every_timeline():
    assert all(simulation._INTERVAL_S % interval_s == 0.0 for interval_s in timeline._INTERVALS_S)
