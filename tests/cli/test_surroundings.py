"""Commands where the machine is not as ours: other characters, no home, nobody who listens, a narrow window."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys

import pytest

from tests.parts import ROOT

SCENARIO = str(ROOT / "scenarios" / "ci_small.yaml")
#: What prints much, and the shortest that prints of each kind.
PRINTING = {
    "help": ["--help"],
    "profile list": ["profile", "list"],
    "prices list": ["prices", "list"],
    "apis list": ["apis", "list"],
    "schema": ["schema", "--markdown"],
    "schema result": ["schema", "result"],
    "validate": ["validate", SCENARIO],
    "explain": ["explain", SCENARIO, "--all"],
    "trace head": ["trace", "head", str(ROOT / "traces" / "monday_five_minutes.csv")],
    "runs list": ["runs", "list"],
    "bench conform": ["bench", "conform", "--help"],
}
SURROUNDINGS = {
    "ASCII alone": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "Latin-1": {"PYTHONIOENCODING": "latin-1"},
    "no home": {"HOME": None},
    "a home that is not there": {"HOME": "/nonexistent/home"},
    "a narrow window": {"COLUMNS": "20"},
    "a dumb terminal": {"TERM": "dumb"},
    "no terminal at all": {"TERM": None},
}
#: Without importing the package anew for each: the interpreter's own start is most of what these take.
CHILD = "import sys; from simulator.cli.main import main; main(sys.argv[1:])"


def start(words, surroundings=None, **streams):
    changed = {"PYTHONPATH": str(ROOT)} | (surroundings or {})
    env = {key: value for key, value in (os.environ | changed).items() if value is not None}
    return subprocess.run([sys.executable, "-c", CHILD, *words], env=env, check=False, **streams)


@pytest.mark.slow
@pytest.mark.parametrize("words", PRINTING.values(), ids=PRINTING)
def test_nobody_need_read_to_the_end(tmp_path, words):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as stream:
        done = start(words, stdout=stream, stderr=subprocess.PIPE, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("surroundings", SURROUNDINGS.values(), ids=SURROUNDINGS)
def test_the_same_is_said_in_other_surroundings(tmp_path, surroundings):
    done = start(PRINTING["explain"], surroundings, capture_output=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"experiment.seed" in done.stdout.replace(b"\n", b"") or "COLUMNS" in surroundings


@pytest.mark.slow
@pytest.mark.parametrize("surroundings", SURROUNDINGS.values(), ids=SURROUNDINGS)
@pytest.mark.parametrize("name", ["profile list", "schema", "runs list", "apis list"])
def test_so_is_it_by_other_commands(tmp_path, surroundings, name):
    done = start(PRINTING[name], surroundings, capture_output=True, cwd=tmp_path)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
    assert done.stdout or name == "runs list"


def test_json_is_json_whatever_characters_there_are(tmp_path):
    (tmp_path / "s.yaml").write_text("name: x\nwörkloads: {}\n", encoding="utf-8")
    words = ["validate", "s.yaml", "--json"]
    found = [
        json.loads(start(words, surroundings, stdout=subprocess.PIPE, cwd=tmp_path).stdout)
        for surroundings in ({"PYTHONUTF8": "1"}, SURROUNDINGS["ASCII alone"])
    ]
    assert found[0] == found[1]
    assert "wörkloads" in {fault["key"] for fault in found[0]["faults"]}


def in_shell(line, words, where):
    """The command in a shell, in whose line `"$@"` stands for it."""
    return subprocess.run(
        ["sh", "-c", line, "sh", sys.executable, "-c", CHILD, *words],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False, capture_output=True, cwd=where,
    )  # fmt: skip


@pytest.mark.parametrize("closed", [0, 1, 2])
def test_a_stream_may_be_closed(tmp_path, closed):
    done = in_shell(f'exec "$@" {closed}>&-', PRINTING["validate"], tmp_path)
    assert done.returncode == 0
    assert b"Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('exec "$@" >/dev/full', b"No space left on device"),
        ('exec "$@" >/dev/full 2>/dev/full', b""),
    ],
)
def test_what_cannot_be_printed_is_said_once_or_not_at_all(tmp_path, line, said):
    """Of the buffer that is left when Python ends, too: it ends in 120 there."""
    done = in_shell(line, PRINTING["explain"], tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert b"Exception ignored" not in done.stderr


def test_a_scenario_may_come_through_a_pipe(tmp_path):
    """It is looked at several times, and a pipe gives it once."""
    done = in_shell(f'cat "{SCENARIO}" | "$@"', ["validate", "/dev/stdin"], tmp_path)
    assert done.stdout.startswith(b"/dev/stdin: ok (")


@pytest.mark.slow
def test_a_price_book_may_come_through_a_pipe(tmp_path):
    book = ROOT / "simulator" / "cost" / "data" / "prices-2026-11.json"
    done = in_shell(f"cat '{book}' | \"$@\"", ["prices", "list", "--book", "/dev/stdin"], tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("mask", [0o077, 0o027, 0o002])
def test_what_is_written_is_for_whom_the_mask_says(tmp_path, mask):
    words = ["run", SCENARIO, "--quiet", "--replications", "1", "--pattern", "api", "--output", "run", "--report"]
    done = in_shell(f'umask {mask:04o}; exec "$@"', words, tmp_path)
    assert done.returncode == 0, done.stderr
    for path in [tmp_path / "run", *(tmp_path / "run").iterdir()]:
        most = 0o777 if path.is_dir() else 0o666
        assert stat.S_IMODE(path.stat().st_mode) == most & ~mask
