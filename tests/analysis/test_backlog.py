"""What waits, counted by hand; and whether a queue grows, judged where the answer is known."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.analysis.backlog import Backlog, BacklogTally, drift_of, ticks_of

DAY_S = 86_400.0


def backlog(arrival_s, start_s, end_s, begin_s=0.0):
    tally = BacklogTally(begin_s, end_s)
    tally.add(*ticks_of(np.asarray(arrival_s, float), np.asarray(start_s, float)))
    return tally.finish()


def test_who_waits_counted_by_hand():
    """Of three, the one that comes at 6 s waits until 16 s; one that comes at 95 s is never started."""
    found = backlog([5.0, 6.0, 25.0, 95.0], [5.0, 16.0, 25.0, np.nan], 100.0)
    assert found.block_s == 10.0
    assert found.arrived == [2, 0, 1, 0, 0, 0, 0, 0, 0, 1]
    # Nobody waited when the others were started.
    assert found.started == [0, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert found.waited_s == [4.0, 6.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 5.0]
    assert found.least == [0] * 10
    assert found.waiting == 1


def test_one_a_second_arrives_and_one_in_two_is_started():
    """After 600 s, 300 wait; in the last tenth never fewer than the 270 that waited at its beginning."""
    arrival_s = np.arange(600.0)
    start_s = np.concatenate([2.0 * np.arange(300.0), np.full(300, np.nan)])
    found = backlog(arrival_s, start_s, 600.0)
    assert (found.waiting, found.least[-1]) == (300, 270)
    drift = drift_of([found])
    assert drift.load == pytest.approx(2.0, rel=0.01)
    assert (drift.may_grow, drift.grows, drift.waiting) == (True, True, 300.0)


def test_a_week_is_days_and_what_is_over_comes_first():
    tally = BacklogTally(0.0, 17.5 * DAY_S)
    tally.add(*ticks_of(np.array([DAY_S, 4.0 * DAY_S]), np.array([np.nan, 5.0 * DAY_S])))
    found = tally.finish()
    # The two last weeks; the second request came half a day after they began.
    assert (len(found.arrived), found.block_s, found.phases) == (14, DAY_S, 7)
    assert found.arrived == [1] + [0] * 13
    assert found.least == [1] * 14
    assert found.started == [0, 1] + [0] * 12


requests = st.lists(st.tuples(st.integers(0, 100), st.integers(0, 60) | st.none()), min_size=1, max_size=40).map(
    lambda rows: sorted(rows, key=lambda row: row[0])
)


@given(requests, st.lists(st.integers(0, 40), max_size=4))
def test_law_parts_add_up_to_the_whole(rows, cuts):
    arrival_s, wait_s = np.array(rows, float).T
    whole = backlog(arrival_s, arrival_s + wait_s, 100.0)
    tally = BacklogTally(0.0, 100.0)
    for low, high in pairwise([0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]):
        tally.add(*ticks_of(arrival_s[low:high], (arrival_s + wait_s)[low:high]))
    assert tally.finish() == whole


@given(requests)
def test_law_who_waits_is_who_has_come_and_was_not_started(rows):
    """Against counting: nothing happens between whole seconds, so half seconds see every level."""
    arrival_s, wait_s = np.array(rows, float).T
    found = backlog(arrival_s, arrival_s + wait_s, 100.0)
    leaves_s = np.where(np.isnan(wait_s), np.inf, arrival_s + wait_s)
    levels = np.array([((arrival_s < at) & (leaves_s > at)).sum() for at in np.arange(100) + 0.5])
    assert found.waited_s == [(levels[low : low + 10] > 0).sum() for low in range(0, 100, 10)]
    assert found.least == [levels[low : low + 10].min() for low in range(0, 100, 10)]
    assert found.waiting == levels[-1]
    assert sum(found.arrived) == (arrival_s < 100.0).sum()
    assert sum(found.started) == sum(
        leaves < 100.0 and levels[int(leaves) - 1] > 0 for leaves in leaves_s if 0.0 < leaves < np.inf
    )


def days(arrived, started, least):
    """A week, or weeks, in which somebody always waits."""
    return Backlog(DAY_S, arrived, started, [DAY_S] * len(arrived), least, least[-1])


def test_the_course_of_a_week_is_no_chance():
    """Four weeks of 1,000 on weekdays and 100 at weekends, 1.05 for each that is started: like days are compared."""
    arrived = [1000, 1000, 1000, 1000, 1000, 100, 100] * 4
    run = days(arrived, [round(5200 / 7 / 1.05)] * 28, list(range(0, 28 * 35, 35)))
    assert drift_of([run]).grows
    # Of one such week, nobody can say what is its course and what is chance; of eight replications of it, anybody can.
    week = days(arrived[:7], [round(5200 / 7 / 1.05)] * 7, list(range(0, 245, 35)))
    assert (drift_of([week]).may_grow, drift_of([week]).grows) == (True, False)
    assert drift_of([week] * 8).grows


@pytest.mark.parametrize(("last", "grows"), [(0.9, False), (1.1, True)])
def test_a_queue_that_kept_up_for_weeks_and_does_not_any_more_grows(last, grows):
    """Three weeks at 0.8 of what is started, and one at `last` of it: by then the weeks before prove nothing.

    By hand: at 1.1 a hundred more arrive each day than are started, so that 700 wait in the end.
    """
    started = [1000] * 28
    arrived = [800, 810, 790, 800, 805, 795, 800] * 3 + [round(1000 * last)] * 7
    least = [10] * 21 + [10 + max(0, round(1000 * (last - 1.0))) * day for day in range(7)]
    drift = drift_of([days(arrived, started, least)] * 2)
    assert drift.grows is grows
    assert sum(arrived) < sum(started)
    if grows:
        assert drift.load == pytest.approx(last)


def test_part_of_a_day_does_not_speak_for_a_day():
    """Half as much again as it can start from dawn to noon may be no more than it can start in a day."""
    seconds = np.linspace(0.0, 1.0, 9001)[1:]
    arrival_s = 6 * 3600.0 * np.sqrt(seconds)
    start_s = 6 * 3600.0 * np.arange(1, 9001) / 5500.0
    start_s = np.maximum(start_s, arrival_s)
    found = drift_of([backlog(arrival_s, np.where(start_s > 6 * 3600.0, np.nan, start_s), 6 * 3600.0)])
    assert (found.may_grow, found.grows) == (True, False)


def test_what_empties_does_not_grow():
    """All wait for files that are handed in at the hour, and the run ends just before one."""
    arrival_s = np.arange(30.0, 23.9 * 3600.0, 60.0)
    start_s = (arrival_s // 3600.0 + 1.0) * 3600.0
    found = drift_of([backlog(arrival_s, np.where(start_s > 23.9 * 3600.0, np.nan, start_s), 23.9 * 3600.0)])
    assert (found.may_grow, found.grows) == (False, False)
    # Nor where one in a hundred fails each time, and is part of the next file, so that it never quite empties.
    start_s[::100] += 3600.0
    found = drift_of([backlog(arrival_s, np.where(start_s > 23.9 * 3600.0, np.nan, start_s), 23.9 * 3600.0)])
    assert (found.may_grow, found.grows) == (False, False)


def test_nothing_is_ever_started():
    found = drift_of([backlog(np.arange(500.0), np.full(500, np.nan), 600.0)])
    assert (found.load, found.grows, found.waiting) == (None, True, 500.0)


def test_nobody_ever_waits():
    found = drift_of([backlog(np.arange(500.0), np.arange(500.0), 600.0)])
    assert (found.load, found.may_grow, found.grows) == (None, False, False)


def growing(load=1.5, least=50, waited=1.0, started=1000):
    """A week in which somebody waits for that share of the time, and so many arrive for each that is started then."""
    arrived = round(load * started / waited)
    return Backlog(DAY_S, [arrived] * 7, [started] * 7, [waited * DAY_S] * 7, [least] * 7, least)


EMPTIED = growing(least=0)


@pytest.mark.parametrize(
    ("runs", "may_grow"),
    [
        # In more than half of the replications somebody must have waited throughout.
        ([growing()], True), ([EMPTIED], False), ([growing(), EMPTIED], False), ([growing(), growing(), EMPTIED], True),
        # More than one in two hundred of the 1,500 that arrive on the last day.
        ([growing(least=7)], False), ([growing(least=8)], True), ([growing(1.0, 5)], False), ([growing(1.0, 6)], True),
        # For a third of the time at least.
        ([growing(waited=0.34)], True), ([growing(waited=0.32)], False),
        # And 0.995 must arrive for each that is started.
        ([growing(0.995)], False), ([growing(0.996)], True),
    ],
)  # fmt: skip
def test_what_may_grow_at_all(runs, may_grow):
    assert drift_of(runs).may_grow is may_grow


def test_what_arrives_is_held_against_what_is_started_while_somebody_waits():
    """1,000 in half of a day are 2,000 a day: 1.5 of those."""
    drift = drift_of([growing(waited=0.5), growing(waited=0.5)])
    assert (drift.load, drift.waiting) == (pytest.approx(1.5), 50)


@pytest.mark.parametrize(("load", "grows"), [(1.99, False), (2.0, True)])
def test_part_of_a_course_grows_where_twice_as_much_arrives(load, grows):
    """Ten blocks that differ by far more than chance, so that they speak for no week."""
    arrived = [round(load * part) for part in (200, 1800) * 5]
    run = Backlog(3600.0, arrived, [1000] * 10, [3600.0] * 10, [50] * 10, 50)
    assert drift_of([run] * 4).grows is grows


def test_blocks_that_differ_by_a_tenth_and_chance_are_even():
    """Of 11,200 in the mean: a variance of as many is chance, and (0.1 x 11,200)² is let pass."""

    def run(swing):
        arrived = [11_200 + swing, 11_200 - swing] * 5
        return Backlog(3600.0, arrived, [10_000] * 10, [3600.0] * 10, [500] * 10, 500)

    # swing² x 60 / 59, of six times ten blocks, is at most 1,254,400 + 11,200: swing at most 1,115.
    assert [drift_of([run(swing)] * 6).grows for swing in (1000, 1110, 1120)] == [True, True, False]


@pytest.mark.parametrize("runs", [1, 4])
def test_how_sure_it_is_by_hand(runs):
    """Weeks all alike of 700 started and 700 x load arrived: nothing but the chance of so many counts. Its variance is
    that of what arrives, and of 0.95 of what is started; t is that of all but one of them, at 1 %."""
    freedom = 6 if runs == 1 else 7 * (runs - 1)
    t = {6: 3.142668, 21: 2.517648}[freedom]
    for load in np.arange(0.97, 1.2, 0.01):
        came, began = round(100 * load) * 7 * runs, 700 * runs
        surely = came - 0.95 * began > t * np.sqrt(came + 0.95**2 * began)
        found = drift_of([Backlog(DAY_S, [round(100 * load)] * 7, [100] * 7, [DAY_S] * 7, [50] * 7, 50)] * runs)
        assert found.grows is bool(surely and came / began > 0.995)


@pytest.mark.parametrize(("swing", "grows"), [(44, True), (45, False)])
def test_weeks_that_differ_by_more_than_chance_say_less(swing, grows):
    """Four weeks of 120 a day, more by so much in two of them and less in the others, of 100 started. The variance of
    their sum is 4/3 of the squares, 28 x swing²; 700 more than 0.95 of the starts are 2.5176, t of 21 degrees, times
    the root of 74,773 and 0.9025 x 2,800: a swing of 44.8."""
    weeks = [Backlog(DAY_S, [120 + by] * 7, [100] * 7, [DAY_S] * 7, [50] * 7, 50) for by in (swing, -swing) * 2]
    assert drift_of(weeks).grows is grows


@pytest.mark.parametrize(("last", "before", "grows"), [(10, 10_000, True), (10_000, 10, False)])
def test_who_waits_throughout_is_held_against_what_came_in_the_last_block(last, before, grows):
    """Twenty wait all through it: many beside ten that came, hardly any beside ten thousand."""
    arrived = [10_000] * 8 + [before, last]
    found = Backlog(3600.0, arrived, [count // 3 for count in arrived], [3600.0] * 10, [20] * 10, 20)
    assert drift_of([found]).may_grow is grows
