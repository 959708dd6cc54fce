"""Requests held against two limits, each case by hand: those still open when the run ends above all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.analysis.limits import API_TIMES
from simulator.analysis.waits import ANSWER, METRICS, QUANTILES, Waits, latencies
from simulator.engine.record import Outcome, RequestLog
from simulator.scenario.workloads import Objectives
from tests.engine.demand import table

NAN = float("nan")
BOTH = Objectives.model_validate({"ttft": "5s", "end_to_end": "60s", "share": 0.95})
LOOSE = BOTH.model_copy(update={"ttft": 7.0})
DONE, OPEN, REFUSED = Outcome.COMPLETED, Outcome.UNFINISHED, Outcome.REJECTED


def judged(*rows, objectives=BOTH, parts=1, admitted_s=0.0, network_s=0.0):
    """Of requests as (arrival, first token, last token, outcome, whether an API answered); the run ends at 100 s."""
    rows = sorted(rows, key=lambda row: row[0])
    waits = Waits(objectives, 0.0, 100.0)
    for part in np.array_split(np.arange(len(rows)), parts):
        arrival_s, first_s, last_s, outcome, api = (
            list(column) for column in zip(*(rows[at] for at in part), strict=True)
        )
        log = RequestLog.empty(len(part))
        log.first_token_s[:], log.last_token_s[:], log.outcome[:] = first_s, last_s, outcome
        log.scheduled_s[:] = np.array(arrival_s) + admitted_s
        log.backend[:] = [(0 if one else 1) if end == DONE else -1 for end, one in zip(outcome, api, strict=True)]
        waits.judge(table(arrival_s), log, np.ones(len(part), bool), np.array([network_s, NAN, NAN]))
    return waits


#: What each is within: the limit on the first token, on the last; None where nobody knows yet.
CASES = [
    ((0, 1, 3, DONE, 0), True, True),
    ((0, 5, 60, DONE, 1), True, True),
    ((0, 6, 10, DONE, 0), False, True),
    ((0, 2, 70, DONE, 1), True, False),
    ((10, NAN, NAN, REFUSED, 0), False, False),
    # Open, and no first token for 4, 5 and 6 of the 5 seconds that it may take.
    ((96, NAN, NAN, OPEN, 0), None, None),
    ((95, NAN, NAN, OPEN, 0), None, None),
    ((94, NAN, NAN, OPEN, 0), False, None),
    # The first token came, in time or late; the last may yet.
    ((90, 92, NAN, OPEN, 0), None, None),
    ((90, 98, NAN, OPEN, 0), False, None),
    # Open for a minute, and for more.
    ((40, 41, NAN, OPEN, 0), None, None),
    ((39, 40, NAN, OPEN, 0), None, False),
]


@pytest.mark.parametrize(("row", "first", "last"), CASES)
def test_each_case_is_met_missed_or_not_known_for_each_limit(row, first, last):
    found = judged(row)
    for limit, met in zip(found.limits, (first, last), strict=True):
        assert (sum(limit.judged), sum(limit.met), limit.undecided) == (met is not None, met is True, met is None)
    both = None if False not in (first, last) and None in (first, last) else float(first is True and last is True)
    assert found.shares(1)[1] == both


@given(st.lists(st.sampled_from(CASES), min_size=1, max_size=30), st.integers(1, 4))
def test_law_shares_of_many_are_those_of_each_however_they_are_cut(drawn, parts):
    rows = [row for row, _, _ in drawn]
    found = judged(*rows, parts=min(parts, len(rows)))
    limits = []
    for limit, at in zip(found.limits, (1, 2), strict=True):
        known = [case[at] for case in drawn if case[at] is not None]
        assert (sum(limit.judged), sum(limit.met), limit.undecided) == (len(known), sum(known), len(drawn) - len(known))
        limits.append((sum(known) / len(known) if known else None, len(drawn) - len(known)))
    told = [case for case in drawn if False in case[1:] or case[1] is case[2] is True]
    # One has been open for long that may yet be in time: those that came in the last minute, if others did, tell less.
    followed = [case for case in told if case[0][0] <= 100 - 60]
    told = followed if CASES[8] in drawn and followed else told
    within = sum(first is last is True for _, first, last in told)
    # The hardest: what is missed by most; one of which nothing is known, unless another is missed.
    missed = [one for one in limits if one[0] is not None and one[0] < 0.95]
    unknown = [one for one in limits if one[0] is None]
    share, left = (missed and min(missed, key=lambda one: one[0])) or (
        unknown or sorted(limits, key=lambda one: one[0])
    )[0]
    assert found.shares(len(rows)) == (share, within / len(told) if told else None, left)


def test_a_limit_of_which_nothing_is_known_is_the_hardest_unless_another_is_missed():
    kept, open_still, late = CASES[0][0], CASES[8][0], (0, 6, NAN, OPEN, 0)
    first_only = Objectives.model_validate({"ttft": "5s", "share": 0.95})
    assert judged(kept, open_still, objectives=first_only).shares(2) == (1.0, 1.0, 1)
    # Nothing is known of either.
    assert judged(open_still).shares(1) == (None, None, 1)
    # Of the first token it is, and it is missed.
    assert judged((94, NAN, NAN, OPEN, 0), open_still).shares(2) == (0.0, 0.0, 1)
    assert judged(late).shares(1) == (0.0, 0.0, 0)


def test_without_a_limit_or_a_request_there_is_no_share():
    assert judged(CASES[0][0], objectives=None).shares(1) == (None, None, 0)
    assert Waits(BOTH, 0.0, 100.0).shares(0) == (None, None, 0)
    assert (Waits(BOTH, 0.0, 1.0).judges, Waits(None, 0.0, 1.0).judges) == (True, False)


def test_what_an_api_answered_may_take_as_many_times_as_long_as_leaves_it_within():
    """Let in after half a second, and done after 40: its own 39.5 s may be 1.506 times as long for a minute in all."""
    found = judged((0, 1, 40, DONE, 1), (0, 1, 40, DONE, 0), (1, NAN, NAN, REFUSED, 1), admitted_s=0.5)
    ttft, e2e = found.limits
    assert e2e.by_api == [int(factor <= 59.5 / 39.5) for factor in API_TIMES]
    assert ttft.by_api == [int(factor <= 4.5 / 0.5) for factor in API_TIMES]


def test_what_the_network_takes_is_not_the_apis():
    """2 of the 4.5 s to the first token are the network's, and of the 39.5 s to the last: 2.5 and 37.5 are its own."""
    found = judged((0, 5, 40, DONE, 1), admitted_s=0.5, network_s=2.0, objectives=LOOSE)
    ttft, e2e = found.limits
    assert ttft.by_api == [int(factor <= 4.5 / 2.5) for factor in API_TIMES]
    assert e2e.by_api == [int(factor <= 57.5 / 37.5) for factor in API_TIMES]


def test_latencies_are_those_that_are_known():
    waits = Waits(None, 0.0, 1.0)
    values = np.array([1.0, 2.0, NAN, 3.0, 4.0])
    waits.add({"ttft_s": values[:2], "e2e_s": np.array([NAN])})
    waits.add({"ttft_s": values[2:]})
    found = waits.latency()
    assert (list(found), found["itl_s"], found["e2e_s"]) == (list(METRICS), {}, {})
    assert list(found["ttft_s"]) == ["mean", *QUANTILES]
    assert found["ttft_s"]["mean"] == 2.5
    assert found["ttft_s"]["p50"] == pytest.approx(np.quantile([1, 2, 3, 4], 0.5), abs=0.6)
    assert QUANTILES == {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}


def test_of_those_who_think_the_time_to_the_first_answer_token_is_from_their_arrival():
    """Of 11 tokens an API sends, 5 are thoughts: half of the ten seconds; of a replica's, where it was stamped."""
    rows = replace(table([1.0, 2.0, 3.0], output_tokens=11), thinking_tokens=np.array([5, 5, 0]))
    log = RequestLog.empty(3)
    log.first_token_s[:], log.last_token_s[:] = [2.0, 4.0, 6.0], [12.0, 14.0, 16.0]
    log.first_answer_s[:], log.billed_prompt_tokens[:] = [0.0, 10.0, 0.0], [7, 0, 0]
    everybody = np.ones(3, bool)
    assert latencies(rows, log, everybody, thinking=True)[ANSWER].tolist() == [6.0, 8.0, 3.0]
    assert ANSWER not in latencies(rows, log, everybody, thinking=False)
