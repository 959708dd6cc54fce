"""A write that fails, a full disk, a kill: the same command again gives the same bytes, and nothing is lost."""

from __future__ import annotations

import pytest

from tests.fuzz.command import _COMMAND, run
from tests.fuzz.faults import COMMANDS, FEW, KINDS, NOT_TRIED, WRITES, inject, operations, words
from tests.fuzz.sound import TRACE, prepare

#: What a killed process does not close.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    prepare(folder)
    return folder


def commands(group=_COMMAND, name=()):
    for one, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*name, one))
        else:
            yield " ".join((*name, one)), command


def test_every_command_that_writes_is_tried_or_says_why_not():
    writers = {
        (name, option)
        for name, command in commands()
        for option in WRITES & {option for parameter in command.params for option in parameter.opts}
    }
    given = [(f"{words} ", (*words.split(), "target")) for words in COMMANDS.values()]
    tried = {
        (name, option)
        for name, option in writers
        if any(words.startswith(f"{name} ") and option in parts for words, parts in given)
    }
    assert len(tried) > 20
    assert {name for name, _ in writers - tried} == set(NOT_TRIED)


@pytest.mark.parametrize("name", ["trace inspect", "bench replay"])
def test_law_what_is_written_is_whole_or_absent(tmp_path, name):
    (tmp_path / "at").mkdir()
    (tmp_path / "at" / "t.csv").write_text(TRACE)
    (tmp_path / "at" / "few.csv").write_text(FEW)
    seen, wanted = operations(tmp_path / "at", tmp_path / "out", name)
    for number, at in enumerate(range(len(seen))):
        assert inject(tmp_path / "at", tmp_path / "out", name, KINDS[number % 3], at, wanted) is None


@pytest.mark.slow
def test_law_a_measurement_goes_on_whichever_step_of_it_fails(tmp_path):
    """Its journal, too: every line of it, on a full disk and at a kill."""
    (tmp_path / "at").mkdir()
    seen, wanted = operations(tmp_path / "at", tmp_path / "out", "bench measure")
    assert seen.count("write") > 40
    for number, at in enumerate(range(0, len(seen), 3)):
        assert inject(tmp_path / "at", tmp_path / "out", "bench measure", KINDS[number % 3], at, wanted) is None


@pytest.mark.parametrize("name", ["bench replay", "bench measure"])
def test_a_place_that_cannot_be_written_is_found_before_an_hour_of_work(tmp_path, monkeypatch, name):
    (tmp_path / "few.csv").write_text(FEW)
    (tmp_path / "out" / "r.json").mkdir(parents=True)
    (tmp_path / "out" / "steps.json").mkdir()
    begun = []
    monkeypatch.setattr("simulator.bench.replay.replay", lambda *_, **__: begun.append("replay"))
    monkeypatch.setattr("simulator.bench.measure.start", lambda *_, **__: begun.append("measure"))
    ended = run(*words(COMMANDS[name], tmp_path, tmp_path / "out"))
    assert (ended.code, begun) == (2, [])
    assert "cannot be written: Is a directory" in ended.said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["r.json", "steps.json"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["run, replacing", "trace scale", "export csv", "init"])
def test_law_after_a_fault_the_same_command_gives_the_same_bytes(sound, tmp_path, name):
    """A sample; `python -m tests.fuzz.faults` takes every operation of every command."""
    out = tmp_path / "out"
    seen, wanted = operations(sound, out, name)
    assert {"create", "write", "replace", "fsync"} <= set(seen)
    places = sorted(
        {*range(0, len(seen), max(1, len(seen) // 3)), *(at for at, one in enumerate(seen) if one == "rename")}
    )
    for number, at in enumerate(places):
        kinds = ("fail", "kill") if seen[at] == "rename" else KINDS[number % 3 :][:1]
        assert [inject(sound, out, name, kind, at, wanted) for kind in kinds] == [None] * len(kinds)


def test_an_older_run_outlives_a_rename_that_fails(tmp_path, monkeypatch):
    """Both what stands and what is new are folders: the older one is moved aside first."""
    import os

    from simulator import files

    for name in ("run", "whole", "aside"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "text").write_text(name)
    (tmp_path / "aside" / "text").unlink()
    real, calls = os.rename, []

    def rename(source, target):
        calls.append(source)
        if len(calls) == 3:
            raise OSError(5, "Input/output error")
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(OSError, match="Input/output"):
        files.replace_folder(tmp_path / "whole", tmp_path / "run", tmp_path / "aside")
    assert (tmp_path / "run" / "text").read_text() == "run"
    assert len(calls) == 4
