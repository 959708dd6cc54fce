"""Processes that are killed, and many at once; `python -m tests.fuzz.kills` is the same for a night."""

from __future__ import annotations

from random import Random

import pytest

from tests.fuzz.faults import plain
from tests.fuzz.kills import BESIDE, ENGINES, alone, at_once, crowd, finish, once
from tests.fuzz.sound import prepare

pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs("signals"),
    # They are made for this alone, and nothing else goes on in them.
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    prepare(folder)
    return folder


@pytest.mark.parametrize("pattern", ENGINES.values(), ids=ENGINES)
def test_law_after_a_kill_the_same_command_gives_the_same_bytes(sound, tmp_path, pattern):
    wanted, longest_s = alone(sound, tmp_path / "out", pattern)
    for number in range(6):
        assert once(sound, tmp_path / "out", pattern, Random(number), longest_s, wanted)[1]


@pytest.mark.parametrize("kills", [0, 5])
def test_of_ten_processes_at_one_place_none_fails_after_its_work(sound, tmp_path, kills):
    wanted, longest_s = alone(sound, tmp_path / "out", "api")
    assert at_once(sound, tmp_path / "out", Random(1), 10, kills, longest_s, BESIDE if kills else ()) == []
    if kills:
        assert finish(sound, tmp_path / "out", "api") == wanted
    else:
        assert plain(tmp_path / "out") == wanted


def test_of_a_crowd_that_replaces_one_run_none_fails(sound, tmp_path):
    failed = [crowd(sound / "run", tmp_path / "out", Random(number), 10, number % 8, 5) for number in range(8)]
    assert failed == [[]] * 8
    assert plain(tmp_path / "out").keys() == {f"run/{file.name}" for file in (sound / "run").iterdir()}
