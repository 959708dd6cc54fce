"""What a command reads it does not write over; what it writes goes to one place each."""

from __future__ import annotations

import io
import os
import shutil

import pytest

from simulator.cli.places import WRITTEN
from simulator.errors import SimulatorError
from simulator.studio.saving import save
from simulator.studio.session import Session
from tests.fuzz.command import _COMMAND, run, tree
from tests.fuzz.sound import TRACE
from tests.parts import ROOT, SCENARIOS

BASELINE = SCENARIOS / "baselines" / "ci_small.json"
STEPS = ROOT / "tests" / "bench" / "recorded" / "cpu" / "steps.json.gz"


@pytest.fixture
def at(tmp_path):
    """What the commands below read; the run is none, which nobody may find out before it is safe."""
    (tmp_path / "t.csv").write_text(TRACE)
    shutil.copy(BASELINE, tmp_path / "b.json")
    shutil.copy(STEPS, tmp_path / "s.json.gz")
    shutil.copy(SCENARIOS / "ci_small.yaml", tmp_path / "scenario.yaml")
    (tmp_path / "run").mkdir()
    for name in ("summary.json", "manifest.json", "scenario.yaml", "requests.parquet"):
        (tmp_path / "run" / name).write_text(name)
    (tmp_path / "soft").symlink_to("run/summary.json")
    os.link(tmp_path / "b.json", tmp_path / "hard")
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        "report {at}/run --xlsx {at}/run/summary.json",
        "report {at}/run --pdf {at}/soft",
        "report {at}/run --output {at}/run/../run/scenario.yaml",
        "export prometheus {at}/run --output {at}/run/requests.parquet",
        "compare {at}/b.json {at}/b.json --markdown {at}/hard",
        "check {at}/b.json --baseline {at}/b.json --junit {at}/b.json",
        "bench fit {at}/s.json.gz --output {at}/s.json.gz",
        "profile plot {at}/b.json --output {at}/b.json",
        "trace cut {at}/t.csv {at}/t.csv --to 9s",
        "trace merge {at}/t.csv {at}/t.csv --output {at}/t.csv",
        "trace inspect {at}/t.csv --plot {at}/t.csv",
        "plan {at}/scenario.yaml --plot {at}/scenario.yaml",
    ],
)
def test_what_is_read_is_not_written_over(at, command):
    before = tree(at)
    ended = run(*command.format(at=at).split())
    assert ended.code == 2
    assert "it is read by this command" in " ".join(ended.said.split())
    assert tree(at) == before


def test_two_outputs_are_two_files(at):
    ended = run("report", at / "run", "--xlsx", at / "one", "--output", at / "run" / ".." / "one")
    assert ended.code == 2
    assert "are one file" in ended.said
    assert not (at / "one").exists()


def test_what_is_written_anew_is_not_in_the_way(at):
    for _ in range(2):
        assert run("trace", "cut", at / "t.csv", at / "run" / "cut.csv", "--to", "9s").code == 0


def test_every_option_that_names_an_output_is_known():
    """Of those that take a file: the stores and folders of runs are guarded where they are replaced."""

    def commands(group):
        for command in group.commands.values():
            yield from commands(command) if hasattr(command, "commands") else [command]

    told = {
        parameter.name
        for command in commands(_COMMAND)
        for parameter in command.params
        if "write" in (getattr(parameter, "help", None) or "").lower() and parameter.name != "anyway"
    }
    assert told - {"path"} <= WRITTEN | {"full", "with_report"}
    assert type(next(commands(_COMMAND))).__name__ == "Command"


@pytest.mark.parametrize("name", ["loop", "loop/x.yaml", "a\0b", "gone/x.yaml", "full", "x" * 300])
def test_the_studio_saves_nowhere_odd(tmp_path, name):
    source = tmp_path / "s.yaml"
    source.write_text(f"extends: {(SCENARIOS / 'ci_small.yaml').resolve()}\n")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "full").symlink_to("/dev/full")
    session, before = Session.opened(source), sorted(os.listdir(tmp_path))
    with pytest.raises(SimulatorError, match="cannot be written"):
        save(session, tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == before


def test_a_schema_is_not_written_through_a_link(tmp_path):
    (tmp_path / "at").mkdir()
    (tmp_path / "at" / "scenario.schema.json").symlink_to(tmp_path / "elsewhere")
    assert run("init", tmp_path / "at" / "s.yaml").code == 0
    assert not (tmp_path / "elsewhere").exists()


def test_who_ends_the_questions_interrupts(tmp_path, monkeypatch):
    """Ctrl+D at a prompt is no verdict: exit code 1 is one."""
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    ended = run("init", tmp_path / "s.yaml", "--ask")
    assert ended.code == 130
    assert not (tmp_path / "s.yaml").exists()
