"""Questions that need the same simulations: each of these is made once, and nobody waits for ever."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from simulator.experiment.errand import Call
from simulator.study.questions import Question, answers


@dataclass(frozen=True)
class Asked:
    """Stands for a scenario: the simulations it needs, and how many requests each has."""

    needs: tuple[str, ...]
    requests: float
    hosting_patterns: tuple[str, ...] = ("all",)

    @property
    def scenario(self):
        return self


class Room:
    """Workers that answer in any order, from what they are sent and what has come back before."""

    def __init__(self, window, random):
        self.window, self.random = window, random
        self.calls, self.kept, self.made = [], set(), []

    @property
    def in_flight(self):
        return len(self.calls)

    def submit(self, call):
        # What it reads is there when it is handed out.
        assert {*call.reads} - {name for _, mine in (call.arguments or ((), ()))[1] for name in mine} <= self.kept
        self.calls.append(call)

    def next(self):
        call = self.calls.pop(self.random.randrange(len(self.calls)))
        if call.makes is not None:
            return call, self.make(call.makes)
        function, told = call.arguments
        here, found = {*call.reads} & self.kept, []
        for one, (what, mine) in zip(call.scenario, told, strict=True):
            for name in mine:
                self.make(name)
            here |= {*mine}
            assert {*one.needs} <= here
            found.append((what[0], mine, function(one, None, *what, 1)))
        return call, found

    def make(self, name):
        self.made.append(name)
        self.kept.add(name)


def numbered(scenario, folder, number, patterns, replications, jobs):
    return scenario.needs


NAMES = st.lists(st.sampled_from("abcdefgh"), min_size=0, max_size=4, unique=True).map(tuple)


@given(
    st.lists(st.builds(Asked, NAMES, st.sampled_from([0.0, 9_000.0, 40_000.0])), min_size=1, max_size=40),
    st.sets(st.sampled_from("abcdefgh")),
    st.sampled_from([1, 2, 8, 1000]),
    st.sampled_from([1, 4, 16]),
    st.randoms(),
)
def test_each_simulation_is_made_once_and_each_question_answered_once(asked, kept, window, portions, random):
    room = Room(window, random)
    room.kept |= kept

    @contextmanager
    def pool(jobs, folder):
        yield room

    here = {
        "pool": pool,
        "with_model_lengths": lambda scenario: scenario,
        "unfit": lambda scenario, names: (),
        "representatives": lambda scenario, names: {"all": "all"},
        "tasks_of": lambda scenario, *_, **__: [SimpleNamespace(name=name) for name in scenario.needs],
        "is_kept": lambda folder, task: task.name in room.kept,
        "expected_in_all": lambda scenario: scenario.requests,
        "asked": lambda scenario: (),
        "call_of": lambda scenario, task: Call(None, scenario, makes=task.name),
        "_PORTIONS": portions,
    }
    questions = [Question(number, lambda one=one: one, ("all",), 1) for number, one in enumerate(asked)]
    with patch.multiple("simulator.study.questions", **here):
        found = list(answers(questions, numbered, jobs=1, store=Path()))
    assert sorted(found) == [(number, one.needs) for number, one in enumerate(asked)]
    assert sorted(room.made) == sorted({name for one in asked for name in one.needs} - kept)
