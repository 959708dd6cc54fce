"""Names of files as nobody meant them: too long, a loop of links, below a file, empty, no UTF-8, odd characters."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.fuzz.command import run
from tests.fuzz.sound import TRACE
from tests.parts import ROOT, SCENARIOS

STEPS = ROOT / "tests" / "bench" / "recorded" / "cpu" / "steps.json.gz"
READ = {
    "validate": ("validate", "{}"),
    "explain": ("explain", "{}"),
    "check": ("check", SCENARIOS / "baselines" / "ci_small.json", "--baseline", "{}"),
    "trace validate": ("trace", "validate", "{}"),
    "trace scale": ("trace", "scale", "{}", "{out}", "--factor", "2"),
    "trace convert": ("trace", "convert", "--format", "litellm", "{}", "{out}"),
    "bench fit": ("bench", "fit", "{}", "--output", "{out}"),
    "report": ("report", "{}"),
    "runs list": ("runs", "show", "{}"),
    "profile show": ("profile", "show", "{}"),
    "profile import": ("profile", "import", "{}", "--gpu", "a", "--model", "llama-3.1-8b", "--output", "{out}"),
    "prices list": ("prices", "list", "--book", "{}"),
}
ODD = {
    "too long": "n" * 300 + ".csv",
    "a path too long": "d/" * 3000 + "x.csv",
    "a loop of links": "loop",
    "below a loop": "loop/x.csv",
    "below a file": "plain/x.csv",
    "a folder": "folder",
    "nothing": "",
    "no UTF-8": "a\udcff.csv",
    "no name": "/",
    "a device": "/dev/null",
}


@pytest.fixture
def at(tmp_path, monkeypatch):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "plain").write_text("x")
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", READ)
def test_what_cannot_be_read_is_bad_input(at, command):
    ended = {}
    odd = {kind: name for kind, name in ODD.items() if command != "trace convert" or kind != "no name"}  # all logs of /
    for kind, name in odd.items():
        words = [name if word == "{}" else str(word).format(out="t.csv") for word in READ[command]]
        found = run(*words)
        ended[kind] = found.code
        assert "simulator failed" not in found.said, (kind, found.said)
    assert ended == dict.fromkeys(odd, 2)
    assert sorted(os.listdir(at)) == ["folder", "loop", "plain"]


WRITES = {
    "trace scale": ("trace", "scale", "{at}/t.csv", "{}", "--factor", "2"),
    "trace shift": ("trace", "shift", "{at}/t.csv", "{}", "--by", "5s"),
    "trace fit": ("trace", "fit", "{at}/t.csv", "--output", "{}"),
    "bench fit": ("bench", "fit", STEPS, "--output", "{}"),
    "init": ("init", "{}"),
    "compare": ("compare", "{at}/b.json", "{at}/b.json", "--markdown", "{}"),
    "check": ("check", "{at}/b.json", "--baseline", "{at}/b.json", "--junit", "{}"),
}


@pytest.mark.parametrize("command", WRITES)
def test_where_nothing_can_be_written_is_bad_input_and_leaves_nothing(at, tmp_path_factory, command):
    sound = tmp_path_factory.mktemp("sound")
    (sound / "t.csv").write_text(TRACE)
    shutil.copy(SCENARIOS / "baselines" / "ci_small.json", sound / "b.json")
    for kind, name in ODD.items():
        if kind == "a device":
            continue
        found = run(*(name if word == "{}" else str(word).format(at=sound) for word in WRITES[command]))
        assert found.code == 2, (kind, found.said)
        assert "simulator failed" not in found.said, (kind, found.said)
        assert sorted(os.listdir(at)) == ["folder", "loop", "plain"], kind


def test_spaces_lines_and_other_scripts_are_names_as_any(at):
    for name in (" a b.csv", "a\nb.csv", "über 病院.csv", "-x.csv", "a'b\"c.csv", "#.csv", "%s{0}.csv"):
        (at / name).write_text(TRACE)
        ended = run("trace", "scale", f"./{name}", f"./2{name}", "--factor", "1")
        assert ended.code == 0, ended.said
        assert (at / f"2{name}").read_text().count("\n") == TRACE.count("\n")


def test_a_folder_that_is_gone_and_no_place_for_temporary_files_are_said(monkeypatch):
    for error, said in (
        (FileNotFoundError(2, "No usable temporary directory found in ['/tmp']"), "No usable temporary directory"),
        (FileNotFoundError(2, "No such file or directory"), "the current folder is no longer there"),
    ):

        def lacks(*_, error=error, **__):
            raise error

        monkeypatch.setattr("simulator.scenario.loading.read_with_bases", lacks)
        ended = run("validate", SCENARIOS / "ci_small.yaml")
        assert ended.code == 2
        assert said in ended.said
