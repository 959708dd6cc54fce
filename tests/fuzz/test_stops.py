"""Commands that are asked to stop at any moment; `python -m tests.fuzz.stops` is the same for a night."""

from __future__ import annotations

from random import Random

import pytest

from simulator.files import writing_whole
from tests.fuzz.stops import HOW, sound_files, stop, undisturbed

pytestmark = pytest.mark.needs("signals")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("name", ["run", "trace convert", "runs prune", "check"])
def test_law_a_command_may_be_stopped_at_any_moment(tmp_path, name):
    sound, out = tmp_path / "at", tmp_path / "out"
    sound.mkdir()
    sound_files(sound)
    wanted, calls = undisturbed(sound, out, name)
    for number in range(6):
        draw = Random(f"{name} {number}")
        assert stop(sound, out, name, draw.choice(HOW), draw.randint(1, calls), wanted)[1] == []


def test_an_interruption_while_a_draft_is_made_leaves_none(tmp_path, monkeypatch):
    """It came between the file's beginning and the block that removes it: one of 40 did."""
    from simulator import files

    really = files._lock

    def interrupted(handle):
        really(handle)
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "_lock", interrupted)
    with pytest.raises(KeyboardInterrupt), writing_whole(tmp_path / "t.csv"):
        pass
    assert list(tmp_path.iterdir()) == []
