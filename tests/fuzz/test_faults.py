"""A write that fails, a full disk, a kill: the same command again gives the same bytes, and nothing is lost."""

from __future__ import annotations

import pytest

from tests.fuzz.command import _COMMAND
from tests.fuzz.faults import COMMANDS, KINDS, NOT_TRIED, WRITES, inject, operations
from tests.fuzz.sound import TRACE, prepare


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


def test_law_a_drawing_of_a_trace_is_whole_or_absent(tmp_path):
    (tmp_path / "at").mkdir()
    (tmp_path / "at" / "t.csv").write_text(TRACE)
    seen, wanted = operations(tmp_path / "at", tmp_path / "out", "trace inspect")
    for number, at in enumerate(range(len(seen))):
        assert inject(tmp_path / "at", tmp_path / "out", "trace inspect", KINDS[number % 3], at, wanted) is None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["run, replacing", "trace scale", "export csv"])
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
