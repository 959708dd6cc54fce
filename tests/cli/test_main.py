from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from simulator.cli.main import main
from tests.parts import ROOT

SMALL = str(ROOT / "scenarios" / "ci_small.yaml")


def command(arguments, capfdbinary):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    printed = capfdbinary.readouterr()
    return stop.value.code, printed.out, printed.err.decode()


def test_help_names_every_command(capfdbinary):
    code, out, _ = command(["--help"], capfdbinary)
    assert code == 0
    for name in (b"run", b"validate", b"schema", b"init"):
        assert name in out


def test_validate_says_ok(capfdbinary):
    code, out, err = command(["validate", SMALL], capfdbinary)
    assert (code, err) == (0, "")
    assert out.decode() == f"{SMALL}: ok (2 workloads, 3 hosting patterns)\n"
    code, out, _ = command(["validate", SMALL, "--json"], capfdbinary)
    assert json.loads(out) == {"schema_version": 1, "ok": True, "faults": []}
    short = ["--set", "hosting_patterns.self_hosted.cluster.engine.max_model_len=600"]
    code, out, err = command(["validate", SMALL, *short], capfdbinary)
    assert (code, out.decode()) == (0, f"{SMALL}: ok (2 workloads, 3 hosting patterns)\n")
    assert "longer than engine.max_model_len 600 allows" in err
    code, out, _ = command(["validate", SMALL, *short, "--json"], capfdbinary)
    assert "will be refused" in json.loads(out)["warnings"][SMALL][0]


def test_validate_checks_every_file_and_every_override(tmp_path, capfdbinary):
    broken = tmp_path / "broken.yaml"
    broken.write_text(
        (ROOT / "scenarios" / "ci_small.yaml").read_text() + "overrides: {big: {experiment: {seed: x}}}\n"
    )
    code, out, err = command(["validate", str(broken), SMALL, str(tmp_path / "none.yaml")], capfdbinary)
    assert code == 2
    assert out.decode() == f"{SMALL}: ok (2 workloads, 3 hosting patterns)\n"
    assert [row.split(": ")[1] for row in err.splitlines()] == ["experiment.seed", "cannot be read"]
    alone = broken.read_text()
    two = "overrides: {big: {experiment: {seed: x}}, small: {experiment: {seed: y, replications: 0}}, fine: {}}"
    broken.write_text(alone.replace("overrides: {big: {experiment: {seed: x}}}", two))
    code, _, err = command(["validate", str(broken)], capfdbinary)
    assert code == 2
    keys = sorted(row.split(": ")[1] for row in err.splitlines())
    assert keys == ["experiment.replications", "experiment.seed", "experiment.seed"]
    broken.write_text(f"{broken.read_text()}name: 3\n".replace("name: ci_small", "nome: ci_small"))
    code, _, err = command(["validate", str(broken)], capfdbinary)
    assert (code, err.count("experiment.seed"), err.count("nome")) == (2, 2, 1)
    broken.write_text(alone)
    code, out, err = command(["validate", str(broken), "--json"], capfdbinary)
    assert (code, err) == (2, "")
    [fault] = json.loads(out)["faults"]
    assert fault == {
        "file": str(broken),
        "line": len(broken.read_text().splitlines()),
        "key": "experiment.seed",
        "message": "'x': expected a valid integer",
    }


def test_overrides_and_settings_reach_the_scenario(tmp_path, capfdbinary):
    path = tmp_path / "scenario.yaml"
    path.write_text((ROOT / "scenarios" / "ci_small.yaml").read_text() + "overrides: {big: {experiment: {seed: 3}}}\n")
    assert command(["validate", str(path), "--override", "big", "--set", "prices.month=720h"], capfdbinary)[0] == 0
    code, _, err = command(["validate", str(path), "--override", "bog", "--set", "prices.moth=720h"], capfdbinary)
    assert code == 2
    assert "--override: bog: the scenario has no such override; did you mean 'big'?" in err
    assert "--set prices.moth: prices.moth: unknown key; did you mean 'month'?" in err


def test_schema_is_the_committed_one(capfdbinary):
    code, out, _ = command(["schema"], capfdbinary)
    assert code == 0
    assert out == (ROOT / "scenario.schema.json").read_bytes()


@pytest.mark.parametrize(("error", "expected"), [(KeyboardInterrupt(), 130), (RuntimeError("of\nours"), 70)])
def test_interrupts_and_our_own_faults_say_so_in_a_line(error, expected, monkeypatch, capfdbinary):
    def fail():
        raise error

    monkeypatch.setattr("simulator.scenario.json_schema.scenario_schema", fail)
    monkeypatch.delenv("SIMULATOR_DEBUG", raising=False)
    code, out, err = command(["schema"], capfdbinary)
    assert (code, out) == (expected, b"")
    assert "Traceback" not in err
    if expected == 70:
        assert err.splitlines()[0] == "simulator failed: RuntimeError: of ours"
        monkeypatch.setenv("SIMULATOR_DEBUG", "1")
        code, _, err = command(["schema"], capfdbinary)
        assert code == 70
        assert "Traceback" in err


def test_no_colour_when_asked_not_to():
    def shown(**environment):
        return subprocess.run(
            [sys.executable, "-m", "simulator", "--help"],
            env={**os.environ, "FORCE_COLOR": "1", **environment},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    colour = re.compile(r"\x1b\[[0-9;]*3[0-7]")
    assert colour.search(shown())
    assert not colour.search(shown(NO_COLOR="1"))


def test_init_writes_a_scenario_that_validates_and_never_overwrites(tmp_path, capfdbinary):
    path = tmp_path / "mine.yaml"
    assert command(["init", str(path)], capfdbinary)[0] == 0
    assert command(["validate", str(path)], capfdbinary)[0] == 0
    code, _, err = command(["init", str(path)], capfdbinary)
    assert code == 2
    assert "File exists" in err


def test_run_as_json_is_one_document_and_the_same_for_any_jobs(tmp_path, capfdbinary):
    documents = []
    for number, jobs in enumerate(("1", "2")):
        arguments = ["run", SMALL, "--json", "--quiet", "--jobs", jobs, "--output", str(tmp_path / str(number))]
        code, out, err = command(arguments, capfdbinary)
        assert (code, err) == (0, "")
        documents.append(out)
    assert documents[0] == documents[1]
    found = json.loads(documents[0])
    assert found["schema_version"] == 1
    assert found["scenario"]["name"] == "ci_small"
    for pattern in found["patterns"]:
        requests = pattern["requests"]
        ends = ("completed", "rejected", "timed_out", "cancelled", "unfinished")
        assert requests["arrived"] == sum(requests[end] for end in ends)
    assert (tmp_path / "0" / "summary.json").read_bytes() == documents[0]
    kept = sorted(path.name for path in (tmp_path / "0").iterdir())
    assert kept == ["levels.parquet", "manifest.json", "requests.parquet", "scenario.yaml", "summary.json"]


def test_a_kept_run_holds_every_request(tmp_path, capfdbinary):
    import pandas as pd

    command(["run", SMALL, "-q", "--replications", "1", "--output", str(tmp_path / "kept")], capfdbinary)
    requests = pd.read_parquet(tmp_path / "kept" / "requests.parquet")
    summary = json.loads((tmp_path / "kept" / "summary.json").read_text())
    for pattern in summary["patterns"]:
        own = requests[requests.pattern == pattern["name"]]
        assert len(own) == pattern["requests"]["arrived"]
        assert (own.outcome == "completed").sum() == pattern["requests"]["completed"]
    resolved = tmp_path / "kept" / "scenario.yaml"
    code, _, err = command(["validate", str(resolved)], capfdbinary)
    assert code == 0, err


def test_tables_name_every_pattern_and_the_verdict(tmp_path, capfdbinary):
    code, out, _ = command(["run", SMALL, "-q", "--full", "--output", str(tmp_path / "kept")], capfdbinary)
    assert code == 0
    text = out.decode()
    for phrase in ("self_hosted", "hybrid", "What it costs", "What users wait", "Verdict: api", "of capacity:"):
        assert phrase in text


@pytest.mark.parametrize(
    ("arguments", "phrase"),
    [
        (["run", SMALL, "--set", "experiment.seed"], "expected PATH=VALUE"),
        (["run", SMALL, "--set", "experiment.seed=[1"], "is not valid YAML"),
        (["run", SMALL, "--pattern", "hybridd"], "expected one of api, self_hosted, hybrid"),
        (["run", SMALL, "--replications", "0"], "replications"),
        (["run"], "Missing argument"),
        (["rnu"], "No such command"),
        (["init", "x.yaml", "--template", "none"], "expected one of clinic_group, health_system, hospital"),
    ],
)
def test_bad_usage_exits_2(arguments, phrase, capfdbinary):
    code, out, err = command(arguments, capfdbinary)
    assert code == 2
    assert out == b""
    assert phrase in " ".join(err.split())
    assert "Traceback" not in err


def test_nothing_is_half_written_when_the_place_is_taken(tmp_path, capfdbinary):
    (tmp_path / "file").write_text("mine")
    code, _, err = command(
        ["run", SMALL, "-q", "--replications", "1", "--output", str(tmp_path / "file" / "run")], capfdbinary
    )
    assert code == 2
    assert "cannot be written" in err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_as_a_module():
    done = subprocess.run([sys.executable, "-m", "simulator", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("simulator ")
