"""Every way to get a scenario wrong ends with its line, what is allowed, and exit code 2."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.cli import main
from simulator.errors import ScenarioError
from simulator.scenario.loading import load_scenario
from tests.scenario.valid import VALID

# (name, text to replace, replacement, line of the fault, phrases of its message)
BROKEN = [
    ("misspelt key", "objectives:", "objectivs:", 10, "unknown key; did you mean 'objectives'?"),
    ("misspelt nested key", "notes_per_day: 15", "notes_per_dya: 15", 5, "did you mean 'notes_per_day'?"),
    ("unknown top-level key", "experiment:", "experiments:", 24, "did you mean 'experiment'?"),
    ("key of another kind", "kind: constant, tokens", "kind: constant, mean: 5, tokens", 9, "unknown key"),
    ("text for a number", "mean: 600", "mean: many", 8, "expected a valid number"),
    ("number for text", "gpu: a100-80gb", "gpu: 100", 19, "expected a valid string"),
    (
        "list for a mapping",
        "costs:\n      compute: {",
        "costs:\n      - compute: {",
        22,
        "expected keys and values, found a list",
    ),
    ("unknown kind", "kind: metered_api", "kind: metered", 12, "expected one of: metered_api, self_hosted, hybrid"),
    ("no kind", "    kind: metered_api\n", "", 12, "needs 'kind', one of: metered_api"),
    ("missing section", "    prompt_tokens: {kind: lognormal, mean: 600, sigma: 0.45}\n", "", 4, "is missing"),
    ("yaml 1.1 boolean", "profile:", "phi: yes\n    profile:", 6, "'yes' is text in YAML 1.2; expected true or false"),
    ("duplicate key", "  api:\n", "  own: {}\n  api:\n", 16, 'found duplicate key "own"'),
    ("wrong indentation", "      gpu: a100-80gb", "     gpu: a100-80gb", 19, "is not valid YAML"),
    ("tab", "      gpu: a100-80gb", "\tgpu: a100-80gb", 19, "indent with spaces"),
    ("unclosed bracket", "[mon, tue, wed, thu, fri]", "[mon, tue", 8, "is not valid YAML"),
    ("duration without unit", "ttft: 2s,", "ttft: 2,", 10, "a duration needs a unit, such as '2s'"),
    ("negative duration", "ttft: 2s,", "ttft: -2s,", 10, "expected a duration"),
    ("unknown duration unit", "ttft: 2s,", "ttft: 2 fortnights,", 10, "units ms, s, min, h, d, w"),
    ("duration beyond belief", "end_to_end: 60s", "end_to_end: 900000d", 10, "may not exceed twenty years"),
    ("negative price", "1.19 USD/h", "-1.19 USD/h", 23, "expected an amount such as '2.38 USD/h'"),
    ("price without unit", "1.19 USD/h", "1.19", 23, "an amount of money needs its unit"),
    ("price in another unit", "1.19 USD/h", "1.19 USD/month", 23, "units 'USD/h'"),
    ("price that is not a number", "1.19 USD/h", "nan USD/h", 23, "expected an amount"),
    (
        "two prices of one cluster",
        "gpu_hour: 1.19 USD/h",
        "gpu_hour: 1 USD/h, replica_hour: 2 USD/h",
        23,
        "exactly one",
    ),
    ("not a number", "sigma: 0.45", "sigma: .nan", 8, "finite"),
    ("infinity", "mean: 600", "mean: .inf", 8, "finite"),
    ("negative number", "mean: 600", "mean: -600", 8, "greater than 0"),
    ("out of range", "sigma: 0.45", "sigma: 9", 8, "less than or equal to 4"),
    ("share over one", "ttft: 2s,", "ttft: 2s, share: 130 %,", 10, "a share lies between 0 and 1"),
    (
        "two ways to give a volume",
        "notes_per_day: 15",
        "notes_per_day: 15, requests_per_month: 5",
        5,
        "exactly one way",
    ),
    ("half a formula", "clinicians: 10, notes_per_day: 15", "clinicians: 10", 5, "exactly one way"),
    ("unknown weekday", "[mon, tue", "[monday, tue", 7, "'mon', 'tue'"),
    (
        "unknown profile",
        "profile: clinical_documentation",
        "profile: clinical_documentatoin",
        6,
        "clinical_documentation",
    ),
    ("unknown time zone", "America/Chicago", "America/Chikago", 2, "IANA time zone"),
    ("month that does not exist", "2026-04,", "2026-14,", 2, "expected a month such as"),
    ("month and start", "month: 2026-04", "month: 2026-04, start: 2026-04-01", 2, "give a month, or a start"),
    ("end before start", "month: 2026-04", "start: 2026-04-10, end: 2026-04-01", 2, "must end after it starts"),
    ("date that does not exist", "month: 2026-04", "start: 2026-02-30, duration: 7d", 2, "expected a date"),
    ("unknown gpu", "gpu: a100-80gb", "gpu: a100", 19, "unknown GPU 'a100'; expected one of a100-80gb"),
    ("unknown model", "model: llama-3.3-70b\n", "model: llama-9\n", 18, "no profile for 'llama-9'"),
    ("unknown api model", "bedrock/llama-3.3-70b", "bedrock/llama-3.3-70", 14, "bedrock/llama-3.3-70b"),
    ("memory", "quantisation: w4a16", "quantisation: bf16", 17, "65.7 GiB weights"),
    ("unmeasured parallelism", "tensor_parallel: 2", "tensor_parallel: 1", 17, "no performance profile"),
    ("impossible parallelism", "tensor_parallel: 2", "tensor_parallel: 3", 20, "expected 1, 2, 4 or 8"),
    ("warm-up beyond the horizon", "replications: 2", "warm_up: 40d", 0, "shorter than the horizon"),
    ("no replication", "replications: 2", "replications: 0", 25, "greater than or equal to 1"),
    ("bad name", "name: small", "name: Small Clinic", 1, "lower-case letters"),
    ("missing base", "name: small", "extends: nowhere.yaml\nname: small", 1, "there is no file 'nowhere.yaml'"),
    ("extends itself", "name: small", "extends: broken.yaml\nname: small", 1, "extends this file in turn"),
    ("no patterns", VALID[VALID.index("  api:") : VALID.index("experiment:")], "  {}\n", 11, "at least 1 item"),
]


def command(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    printed = capsys.readouterr()
    return stop.value.code, printed.out, printed.err


@pytest.mark.parametrize(("_name", "old", "new", "line", "phrase"), BROKEN, ids=[row[0] for row in BROKEN])
def test_broken(_name, old, new, line, phrase, tmp_path, capsys):
    assert old in VALID
    path = tmp_path / "broken.yaml"
    path.write_text(VALID.replace(old, new, 1))
    code, out, err = command(["validate", str(path)], capsys)
    assert code == 2
    assert out == ""
    assert "Traceback" not in err
    place = f"{path}:{line}:" if line else f"{path}:"
    assert any(place in row and phrase in row for row in err.splitlines()), err


FILES = {
    "empty": (b"", "the file is empty"),
    "comment only": (b"# nothing\n", "the file is empty"),
    "a list": (b"- 1\n- 2\n", "found a list"),
    "a word": (b"hello\n", "found text"),
    "binary": (bytes(range(256)) * 10, "is a binary file"),
    "latin-1": ("name: höchst\n".encode("latin-1"), "is not UTF-8"),
    "two documents": (b"a: 1\n---\nb: 2\n", "is not valid YAML"),
    "deep": (b"a: " + b"[" * 300 + b"]" * 300, "nested more than 40 levels"),
    "deeper": (b"[" * 100_000, ""),
}


@pytest.mark.parametrize("name", FILES)
def test_no_scenario_at_all(name, tmp_path, capsys):
    content, phrase = FILES[name]
    path = tmp_path / "scenario.yaml"
    path.write_bytes(content)
    code, _, err = command(["validate", str(path)], capsys)
    assert code == 2
    assert phrase in err
    assert "Traceback" not in err


def test_aliases_that_explode(tmp_path, capsys):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    path = tmp_path / "bomb.yaml"
    path.write_text("\n".join(lines))
    code, _, err = command(["validate", str(path)], capsys)
    assert code == 2
    assert "aliases" in err


def test_100_megabytes_are_refused_unread(tmp_path, capsys):
    path = tmp_path / "huge.yaml"
    with path.open("wb") as file:
        file.truncate(100_000_000)
    code, _, err = command(["validate", str(path)], capsys)
    assert code == 2
    assert "100.0 MB; a scenario may not exceed 1 MB" in err


@pytest.mark.parametrize("where", ["missing.yaml", "."])
def test_no_file(where, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = command(["validate", where], capsys)
    assert code == 2
    assert where in err


def test_all_faults_are_reported_at_once_in_file_order(tmp_path, capsys):
    text = VALID.replace("mean: 600", "mean: x").replace("1.19 USD/h", "1.19").replace("name: small", "name: S")
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    _, _, err = command(["validate", str(path)], capsys)
    assert [int(row.split(":")[1]) for row in err.splitlines()] == [1, 8, 23]


def test_as_a_process(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text(VALID.replace("gpu: a100-80gb", "gpu: a100"))
    for arguments in (["validate", path], ["run", path], ["run", path, "--json"]):
        done = subprocess.run(
            [sys.executable, "-m", "simulator", *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert done.stdout == ""
        assert f"{path}:19:" in done.stderr
        assert "Traceback" not in done.stderr


def mutations():
    lines = VALID.splitlines()
    pieces = st.sampled_from(
        ["", "-", ": ", "{", "}", "[", "\t", "null", "1e999", "&a", "*a", "!!x", "'", "yes", "\x00", "é"]
    )
    return st.lists(st.tuples(st.integers(0, len(lines) - 1), st.integers(0, 60), pieces), min_size=1, max_size=4)


@settings(max_examples=150, deadline=None)
@given(mutations())
def test_whatever_is_in_the_file_it_loads_or_explains_itself(tmp_path_factory, changes):
    lines = VALID.splitlines()
    for number, column, piece in changes:
        lines[number] = lines[number][:column] + piece + lines[number][column + len(piece) :]
    path = tmp_path_factory.mktemp("fuzz") / "scenario.yaml"
    path.write_text("\n".join(lines), encoding="utf-8")
    try:
        load_scenario(path)
    except ScenarioError as error:
        assert str(error)
