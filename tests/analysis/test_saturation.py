"""Whether a pattern keeps up, judged over replications and workloads that differ."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from simulator.analysis.backlog import Backlog
from simulator.analysis.saturation import drifts, saturation_of, turned_away

DAY_S = 86_400.0


def queue(load, least=50):
    """A week in which somebody always waits, and so many arrive for each that is started; 1,000 a day are started."""
    return Backlog(DAY_S, [round(1000 * load)] * 7, [1000] * 7, [DAY_S] * 7, [least] * 7, least)


#: As many arrive as are started, ten a day: too few to say more.
FEW = Backlog(DAY_S, [10] * 7, [10] * 7, [DAY_S] * 7, [5] * 7, 5)
EMPTY = Backlog(DAY_S, [1000] * 7, [0] * 7, [0.0] * 7, [0] * 7)


@dataclass
class Group:
    arrived: int = 1000
    outcomes: dict = field(default_factory=dict)
    lost: dict = field(default_factory=dict)
    backlog: Backlog | None = EMPTY


@dataclass
class Run:
    total: Group = field(default_factory=Group)
    workloads: dict = field(default_factory=dict)
    queued: bool = False
    repeated: int = 0


def losing(rejected, timed_out=0, arrived=1000, **lost):
    return Run(Group(arrived, {"rejected": rejected, "timed_out": timed_out, "completed": 1}, lost))


def test_a_quiet_pattern_is_stable():
    assert saturation_of([Run(), Run()]) == "stable"
    # Nobody asked anything.
    assert saturation_of([Run(Group(0)), Run(Group(0))]) == "stable"
    assert turned_away([Run(Group(0))]) == 0.0


@pytest.mark.parametrize(
    ("runs", "verdict"),
    [
        # One in a hundred of all replications may be turned away, one more may be chance; ten in a hundred are none.
        ([losing(10), losing(10)], "stable"), ([losing(20), losing(0)], "stable"),
        ([losing(10), losing(11)], "backlogged"), ([losing(21), losing(0)], "backlogged"),
        ([losing(100), losing(100)], "overloaded"), ([losing(0, 100), losing(50, 50)], "overloaded"),
        # What failed for another reason took no room.
        ([losing(100, error=50, fault=30, too_long=10), losing(10)], "stable"),
        ([losing(100, capacity=90), losing(100)], "overloaded"),
    ],
)  # fmt: skip
def test_what_is_turned_away_counts_beyond_one_in_a_hundred_of_all_replications(runs, verdict):
    assert saturation_of(runs) == verdict


def test_the_share_that_is_turned_away_is_of_all_arrivals():
    runs = [losing(30, 10, arrived=100, error=5), losing(0, 7, arrived=300, timeout=7)]
    assert turned_away(runs) == pytest.approx((35 + 7) / 400)


@pytest.mark.parametrize(
    ("repeated", "verdict"), [((20, 0), "stable"), ((21, 0), "backlogged"), ((0, 21), "backlogged")]
)
def test_calls_that_are_repeated_count_beyond_one_in_a_hundred(repeated, verdict):
    assert saturation_of([Run(repeated=count) for count in repeated]) == verdict


def test_one_replication_that_queues_is_enough():
    assert saturation_of([Run(), Run(queued=True)]) == "backlogged"
    lost = [losing(200), losing(200)]
    lost[1].queued = True
    assert saturation_of(lost) == "overloaded"


def mixed(whole, **loads):
    return Run(Group(backlog=whole), {name: Group(backlog=one) for name, one in loads.items()})


def test_a_queue_of_one_workload_is_enough():
    """The whole empties every night, and so do the letters; the notes never do."""
    assert saturation_of([mixed(EMPTY, letters=EMPTY, notes=queue(1.2))] * 2) == "overloaded"
    assert saturation_of([mixed(queue(1.2), letters=EMPTY, notes=EMPTY)] * 2) == "overloaded"
    assert saturation_of([mixed(EMPTY, letters=EMPTY, notes=FEW)] * 2) == "backlogged"
    assert saturation_of([mixed(EMPTY, letters=queue(0.9), notes=EMPTY)] * 2) == "stable"


def test_drifts_are_those_of_each_and_of_the_whole():
    found = drifts([mixed(queue(1.3), letters=queue(1.1, 40), notes=queue(1.2, 30))] * 2)
    assert list(found) == [None, "letters", "notes"]
    assert [round(one.load, 9) for one in found.values()] == [1.3, 1.1, 1.2]
    assert [one.waiting for one in found.values()] == [50, 40, 30]
    # One workload is the whole, whatever is said of it alone; and where nothing queues, nothing drifts.
    alone = drifts([mixed(queue(1.3), notes=queue(1.1))])
    assert alone == {None: alone[None], "notes": alone[None]}
    assert alone[None].load == pytest.approx(1.3)
    unknown = drifts([Run(Group(backlog=None))])[None]
    assert (unknown.load, unknown.waiting, unknown.may_grow, unknown.grows) == (None, 0.0, False, False)


def test_of_several_queues_each_must_be_surer_than_one_alone():
    """Near the edge: at which load one queue is called growing by itself, and at which beside two others."""

    def least(runs_of):
        return next(load for load in np.arange(0.96, 1.2, 0.001) if saturation_of(runs_of(load)) == "overloaded")

    alone = least(lambda load: [mixed(queue(load), notes=EMPTY)])
    beside = least(lambda load: [mixed(queue(load), notes=EMPTY, letters=EMPTY, charts=EMPTY)])
    assert beside > alone + 0.0005
