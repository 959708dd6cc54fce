"""Every way to get a scenario wrong ends with its line, what is allowed, and exit code 2."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.cli.main import main
from simulator.errors import ScenarioError
from simulator.experiment.checks import load_checked
from tests.scenario.valid import VALID

# (name, text to replace, replacement, line of the fault, phrases of its message)
BROKEN = [
    ("misspelt key", "objectives:", "objectivs:", 10, "unknown key; did you mean 'objectives'?"),
    ("misspelt nested key", "notes_per_day: 15", "notes_per_dya: 15", 5, "did you mean 'notes_per_day'?"),
    ("unknown top-level key", "experiment:", "experiments:", 24, "did you mean 'experiment'?"),
    ("key of another kind", "kind: constant, tokens", "kind: constant, mean: 5, tokens", 9, "unknown key"),
    (
        "stages of layers",
        "gpu: a100-80gb",
        "gpu: a100-80gb\n      engine: {pipeline_parallel_size: 2}",
        20,
        "not modelled",
    ),
    (
        "a key of the section around",
        "gpu: a100-80gb",
        "gpu: a100-80gb\n      engine: {tensor_parallel_size: 2}",
        20,
        "beside",
    ),
    ("text for a number", "mean: 600", "mean: many", 8, "expected a valid number"),
    ("number for text", "gpu: a100-80gb", "gpu: 100", 19, "expected a valid string"),
    (
        "list for a mapping",
        "costs:\n      compute: {",
        "costs:\n      - compute: {",
        22,
        "expected keys and values, found a list",
    ),
    ("unknown kind", "kind: metered_api", "kind: metered", 12, "Expected one of: metered_api, self_hosted, hybrid"),
    ("unknown deployment", "api: {", "api: {deployment: {kind: cheap}, ", 14, "expected one of: standard, "),
    (
        "burn-down of outputs nobody counts",
        "api: {",
        "api: {limits: {output_burndown: 5}, ",
        14,
        "needs settles: true",
    ),
    (
        "units and windows at once",
        "api: {",
        "api: {deployment: {kind: provisioned, units: 100}, limits: {tokens_per_minute: 9}, ",
        14,
        "do not apply to a provisioned deployment",
    ),
    (
        "spillover to nowhere",
        "api: {",
        "api: {deployment: {kind: provisioned, units: 100, spillover: other}, ",
        14,
        "'other' is no other API of the pattern that is paid by the token; the pattern has none",
    ),
    (
        "units nobody sells",
        "api: {model: bedrock/llama-3.3-70b,",
        "api: {model: azure/llama-3.3-70b, deployment: {kind: provisioned, units: 150},",
        14,
        "150 is not sold (at least 100, in steps of 100); expected such as 100 or 200",
    ),
    (
        "units at no known price",
        "api: {model: bedrock/llama-3.3-70b,",
        "api: {model: mine/llama-3.3-70b, deployment: {kind: provisioned, units: 100},",
        14,
        "has no provisioned units 'mine/global'",
    ),
    ("priority price nobody knows", "api: {", "api: {deployment: {kind: priority}, ", 14, "no priority price"),
    (
        "unknown backend in routing",
        "    kind: self_hosted\n",
        "    kind: self_hosted\n    routing: {backends: {notes: [nowhere]}}\n",
        17,
        "no backend 'nowhere'; this pattern has cluster",
    ),
    (
        "unknown policy",
        "    kind: self_hosted\n",
        "    kind: self_hosted\n    routing: {kind: random}\n",
        17,
        "expected one of: overflow, least_loaded",
    ),
    (
        "rules with a gap",
        "    kind: self_hosted\n",
        "    kind: self_hosted\n    routing:\n      kind: rules\n      rules:\n"
        "        - {name: short, when: {prompt_tokens: {below: 500}}, send_to: [cluster]}\n",
        19,
        "no rule is for notes, priority 1, prompt of 500 tokens",
    ),
    (
        "a rule that never decides",
        "    kind: self_hosted\n",
        "    kind: self_hosted\n    routing:\n      kind: rules\n      rules:\n"
        "        - {name: all, send_to: [cluster]}\n        - {name: more, send_to: [cluster]}\n",
        21,
        "rule 'more' never decides",
    ),
    (
        "a document's router without an API",
        "    kind: self_hosted\n",
        "    kind: self_hosted\n    routing: {kind: seed_as_written, router: failover}\n",
        17,
        "need a cluster and an API",
    ),
    (
        "unknown workload in routing",
        "    kind: self_hosted\n",
        "    kind: self_hosted\n    routing: {backends: {ghosts: [cluster]}}\n",
        17,
        "no workload 'ghosts'; expected one of notes",
    ),
    ("no kind", "    kind: metered_api\n", "", 12, "needs 'kind', one of: metered_api"),
    ("missing section", "    prompt_tokens: {kind: lognormal, mean: 600, sigma: 0.45}\n", "", 4, "is missing"),
    ("yaml 1.1 boolean", "profile:", "phi: yes\n    profile:", 6, "'yes' is text in YAML 1.2; expected true or false"),
    ("duplicate key", "  api:\n", "  own: {}\n  api:\n", 16, "duplicate key; it is already in line 12"),
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
    ("unknown gpu", "gpu: a100-80gb", "gpu: a100", 19, "unknown GPU 'a100'; did you mean 'a100-40gb'"),
    ("unknown model", "model: llama-3.3-70b\n", "model: llama-9\n", 18, "no profile for 'llama-9'"),
    ("unknown api model", "bedrock/llama-3.3-70b", "bedrock/llama-3.3-70", 14, "bedrock/llama-3.3-70b"),
    (
        "memory",
        "quantisation: w4a16",
        "quantisation: bf16\n      engine: {max_model_len: 65536}",
        17,
        "65.7 GiB weights",
    ),
    ("unmeasured parallelism", "tensor_parallel: 2", "tensor_parallel: 8", 17, "no performance profile"),
    (
        "a model that runs in another format",
        "model: llama-3.3-70b\n      gpu: a100-80gb\n      tensor_parallel: 2\n      quantisation: w4a16",
        "model: gpt-oss-120b\n      gpu: h100-80gb",
        17,
        "on these GPUs there is one with quantisation: mxfp4",
    ),
    ("impossible parallelism", "tensor_parallel: 2", "tensor_parallel: 3", 20, "expected 1, 2, 4 or 8"),
    ("warm-up beyond the horizon", "replications: 2", "warm_up: 40d", 25, "shorter than the horizon"),
    ("no replication", "replications: 2", "replications: 0", 25, "greater than or equal to 1"),
    ("bad name", "name: small", "name: Small Clinic", 1, "lower-case letters"),
    ("missing base", "name: small", "extends: nowhere.yaml\nname: small", 1, "there is no file 'nowhere.yaml'"),
    ("extends itself", "name: small", "extends: broken.yaml\nname: small", 1, "extends this file in turn"),
    ("truth for a number", "mean: 600", "mean: true", 8, "True: expected a valid number"),
    ("truth for a whole number", "replications: 2", "replications: true", 25, "True: expected a valid integer"),
    ("empty section", "horizon: {month: 2026-04, time_zone: America/Chicago, holidays: US}", "horizon:", 2, "is empty"),
    ("empty value", "replications: 2", "replications:", 25, "is empty: expected a valid integer"),
    ("mapping for a list", "days: [mon, tue, wed, thu, fri]", "days: {mon: 1}", 7, "expected a list"),
    ("misspelt choice", "quantisation: w4a16", "quantisation: w4a17", 21, "did you mean 'w4a16'?"),
    ("digits without end", "mean: 600", f"mean: {'9' * 5000}", 8, "is not a number"),
    ("number beyond any float", "mean: 600", f"mean: {'9' * 400}", 8, "expected a valid number"),
    ("share beyond any float", "ttft: 2s,", f"ttft: 2s, share: {'9' * 400},", 10, "a share lies between 0 and 1"),
    ("milliseconds without unit", "ttft: 2s,", "ttft: 900,", 10, "such as '900ms' or '900s' or '900min'"),
    ("duration beyond any float", "ttft: 2s,", f"ttft: {'9' * 400},", 10, "a duration needs a unit"),
    ("duration that is not a number", "ttft: 2s,", "ttft: .nan,", 10, "a duration needs a unit, such as '30s'"),
    ("tag", "name: small", "name: !!python/object:os.system small", 1, "tags such as"),
    ("key that is a list", "name: small", "name: small\n? [a, b]\n: c", 2, "a key must be plain text"),
    ("half a character", "name: small", 'name: small\ndescription: "\\ud800"', 2, "not a character"),
    ("yaml 1.1", "name: small", "%YAML 1.1\n---\nname: small", 1, "expected YAML 1.2"),
    ("unknown alias", "tokens: 200", "tokens: *tokens", 9, "undefined alias"),
    ("alias of itself", "name: small", "name: small\nx: &x {y: *x}", 2, "nested more than 40 levels"),
    ("merge of itself", "name: small", "name: small\nx: &x {<<: *x}", 2, "nested more than 40 levels"),
    ("merge of text", "name: small", "name: &x small\nhorizon: {<<: *x}", 2, "expected an alias of keys and values"),
    ("second colon", "name: small", "name: small: clinic", 1, "quote text that contains it"),
    ("text without a key", "name: small", "name: small\nsmall", 2, "expected 'key: value'"),
    ("quote left open", "name: small", "name: 'small", 1, "a quote or bracket opened here is never closed"),
    ("sign that yaml reserves", "name: small", "name: @small", 1, "quote a value that begins with"),
    ("control character", "name: small", "name: small\ndescription: \x07", 2, "character U+0007"),
    ("year out of range", "2026-04,", "9999-12,", 2, "from 1900 to 2099"),
    ("start out of range", "month: 2026-04", "start: 0001-01-01, duration: 7d", 2, "from 1900 to 2099"),
    ("no duration", "month: 2026-04", "start: 2026-04-01, duration: 0s", 2, "must end after it starts"),
    ("unknown country", "holidays: US", "holidays: XX", 2, "unknown country or subdivision 'XX'"),
    ("unknown subdivision", "holidays: US", "holidays: US-ZZ", 2, "unknown country or subdivision 'US-ZZ'"),
    ("country by name", "holidays: US", "holidays: utils", 2, "such as US, GB-ENG or DE-BY"),
    ("unknown price book", "name: small", "name: small\nprices: {book: 2026-10}", 2, "no price book '2026-10'"),
    ("unknown offer", "gpu_hour: 1.19 USD/h", "offer: aws/p9", 23, "aws/p9"),
    (
        "budget of steps below the batch",
        "quantisation: w4a16",
        "engine: {max_num_batched_tokens: 64, max_num_seqs: 256}",
        21,
        "64 is less than max_num_seqs 256",
    ),
    ("profile of six days", "profile: clinical_documentation", f"profile: {[[1] * 24] * 6}", 6, "seven rows of 24"),
    ("base that is a list", "name: small", "extends: [a]\nname: small", 1, "expected the name of a scenario file"),
    ("base that is a folder", "name: small", "extends: .\nname: small", 1, "is a directory"),
    ("base with a zero byte", "name: small", 'extends: "a\\0b"\nname: small', 1, "embedded null"),
    ("base with a name too long", "name: small", f"extends: {'x' * 300}\nname: small", 1, "too long"),
    ("overrides that are a list", "name: small", "name: small\noverrides: [a]", 2, "expected named blocks"),
    ("override that is a number", "name: small", "name: small\noverrides: {a: 3}", 2, "expected keys and values"),
    ("fault in an override", "name: small", "name: small\noverrides:\n  a:\n    nmae: x", 4, "did you mean 'name'?"),
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
    "deep, by values": (b"a: " + b"{a: " * 60 + b"1" + b"}" * 60, "nested more than 40 levels"),
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


def test_faults_of_form_and_of_meaning_come_together(tmp_path, capsys):
    text = (
        VALID.replace("mean: 600", "mean: x").replace("gpu: a100-80gb", "gpu: a100").replace("name: small", "nmae: s")
    )
    text = text.replace("holidays: US", "holidays: XX") + "  seed: 1\n  seed: 2\nprices: {book: '1'}\n"
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    _, _, err = command(["validate", str(path)], capsys)
    # Line 1 has two: the misspelt key, and the name that is missing because of it.
    assert [int(row.split(":")[1]) for row in err.splitlines()] == [1, 1, 2, 8, 19, 27, 28]


def test_a_cycle_of_files_is_found_where_it_closes(tmp_path, capsys):
    for name, base in [("a", "b"), ("b", "c"), ("c", "a")]:
        (tmp_path / f"{name}.yaml").write_text(f"name: {name}\nextends: {base}.yaml\n")
    code, _, err = command(["validate", str(tmp_path / "a.yaml")], capsys)
    assert code == 2
    assert err == f"{tmp_path / 'c.yaml'}:2: extends: 'a.yaml' extends this file in turn\n"


def test_a_file_that_may_not_be_read(tmp_path, capsys, monkeypatch):
    def refuse(self, *_):
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "scenario.yaml"
    path.write_text(VALID)
    monkeypatch.setattr(Path, "open", refuse)
    code, _, err = command(["validate", str(path)], capsys)
    assert (code, err) == (2, f"{path}: cannot be read: Permission denied\n")


def test_merges_that_explode(tmp_path, capsys):
    lines = ["a0: &a0 {x: 1}", *(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 20))]
    path = tmp_path / "bomb.yaml"
    path.write_text("\n".join(lines))
    code, _, err = command(["validate", str(path)], capsys)
    assert code == 2
    assert "expands to more than 100,000 values" in err


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


@settings(max_examples=150)
@given(mutations())
def test_whatever_is_in_the_file_it_loads_or_explains_itself(tmp_path_factory, changes):
    lines = VALID.splitlines()
    for number, column, piece in changes:
        lines[number] = lines[number][:column] + piece + lines[number][column + len(piece) :]
    path = tmp_path_factory.mktemp("fuzz") / "scenario.yaml"
    path.write_text("\n".join(lines), encoding="utf-8")
    loads_or_explains_itself(path)


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, len(VALID) - 1), st.binary(max_size=3)), min_size=1, max_size=3))
def test_whatever_the_bytes_are_it_loads_or_explains_itself(tmp_path_factory, changes):
    content = bytearray(VALID.encode())
    for place, piece in changes:
        content[place : place + len(piece)] = piece
    path = tmp_path_factory.mktemp("fuzz") / "scenario.yaml"
    path.write_bytes(content)
    loads_or_explains_itself(path)


@settings(max_examples=50)
@given(st.permutations(range(len(VALID.splitlines()))), st.integers(0, 25))
def test_whatever_the_order_of_lines_it_loads_or_explains_itself(tmp_path_factory, order, moved):
    lines = VALID.splitlines()
    path = tmp_path_factory.mktemp("fuzz") / "scenario.yaml"
    path.write_text("\n".join([lines[number] for number in order[:moved]] + lines[moved:]))
    loads_or_explains_itself(path)


def loads_or_explains_itself(path):
    try:
        load_checked(path)
    except ScenarioError as error:
        assert error.faults
        size = len(path.read_bytes().splitlines()) + 1
        assert all(fault.message and 0 <= fault.line <= size for fault in error.faults)
