"""Questions that are too large are refused before anything is simulated; `python -m tests.fuzz.load` asks them all."""

from __future__ import annotations

import pytest

from tests.fuzz.load import QUESTIONS, ask

REFUSED = [name for name in QUESTIONS if name.startswith("10^12")]


@pytest.mark.parametrize("name", REFUSED)
def test_more_than_can_be_drawn_is_refused_at_once(tmp_path, name):
    command, make = QUESTIONS[name]
    ended = ask(tmp_path, tmp_path / "out", command, make(tmp_path))
    assert ended.code == 2, ended.said
    assert "requests are too many, expected at most 500,000,000" in ended.said
    assert not (tmp_path / "out" / "run").exists()


@pytest.mark.parametrize("name", sorted(set(QUESTIONS) - set(REFUSED)))
def test_the_others_are_questions(tmp_path, name):
    ended = ask(tmp_path, tmp_path / "out", "validate {file}", QUESTIONS[name][1](tmp_path))
    assert ended.code == 0, ended.said
