"""`simulator run`, as a shell sees it."""

import json
import os
import signal
import subprocess
import sys

import pytest
from ruamel.yaml import YAML

from simulator import open_run
from simulator.cli.main import main
from tests.experiment.small import small
from tests.parts import ROOT
from tests.waiting import PATIENCE_S, until


@pytest.fixture
def scenario(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "small.yaml"
    with path.open("w") as file:
        YAML().dump(small().resolved, file)
    return path


def simulator(*arguments):
    """Exit code of the command in this process."""
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return stop.value.code


def test_json_is_all_there_is_on_standard_output(scenario, capfd):
    assert simulator("run", scenario, "--json", "--jobs", 1) == 0
    captured = capfd.readouterr()
    plain = json.loads(captured.out)
    assert plain["scenario"]["name"] == "small"
    assert captured.err.startswith("kept in runs/small-")
    (kept,) = (scenario.parent / "runs").glob("small-*")
    assert (kept / "summary.json").read_text() == captured.out


def test_quiet_says_nothing_but_the_results(scenario, capfd):
    assert simulator("run", scenario, "--quiet", "--jobs", 1, "--replications", 1) == 0
    captured = capfd.readouterr()
    assert captured.err == ""
    assert "Verdict: " in captured.out


def test_options_replace_what_the_file_says(scenario, capfd):
    options = ("--seed", 5, "--replications", 2, "--pattern", "api", "--set", "workloads.notes.volume.clinicians=20")
    assert simulator("run", scenario, "--json", "--jobs", 1, "--output", "kept", *options) == 0
    plain = json.loads(capfd.readouterr().out)
    assert (plain["seed"], plain["replications"]) == (5, 2)
    assert [pattern["name"] for pattern in plain["patterns"]] == ["api"]
    assert 250 < plain["patterns"][0]["workloads"]["notes"]["requests"]["arrived"] < 350
    assert (scenario.parent / "kept" / "manifest.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pattern", "apu"], "no such hosting pattern; expected one of api, rented, bought, hybrid"),
        (["--set", "experiment.sed=1"], "did you mean 'seed'?"),
        (["--set", "experiment.seed"], "expected PATH=VALUE"),
        (["--override", "peak"], "peak"),
        (["--replications", "0"], "--replications"),
        (["--output", "."], "is not a run directory"),
    ],
)
def test_bad_input_is_exit_code_two_with_a_reason(scenario, capfd, arguments, message):
    assert simulator("run", scenario, *arguments) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert "Traceback" not in captured.err


@pytest.mark.needs("signals")
def test_an_interruption_is_exit_code_130_and_the_same_command_continues(scenario):
    command = [sys.executable, "-m", "simulator", "run", str(scenario), "--jobs", "1", "--json", "--output", "kept"]
    slow = ["--set", "workloads.notes.volume.clinicians=3000", "--replications", "12", "--pattern", "api"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    # A shell's background jobs ignore interruptions, and so would what they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen([*command, *slow], stderr=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    until(lambda: list(scenario.parent.glob("runs/store/*.json")), process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (130, b"")
    assert b"finished simulations are kept" in err
    assert not (scenario.parent / "kept").exists()
    finished = subprocess.run([*command, *slow], capture_output=True, check=True, env=environment)
    assert json.loads(finished.stdout)["replications"] == 12
    assert [path.name for path in scenario.parent.iterdir() if "kept" in path.name] == ["kept"]


def test_a_cluster_that_can_take_no_prompt_refuses_every_one(scenario, capfd):
    """`max_model_len: 1`: the cluster answers nobody, what may go elsewhere does, and all are counted."""
    names = [name for name, one in small().hosting_patterns.items() if one.hosted]
    shortest = [f"--set=hosting_patterns.{name}.cluster.engine.max_model_len=1" for name in names]
    assert simulator("run", scenario, "--json", "--quiet", "--jobs", 1, *shortest) == 0
    found = json.loads(capfd.readouterr().out)
    results = {one["name"]: one for one in found["patterns"]}
    outcomes = "completed", "rejected", "timed_out", "cancelled", "unfinished"
    for one in results.values():
        assert one["requests"]["arrived"] == sum(one["requests"][name] for name in outcomes)
    own = results["rented"]["requests"]
    assert own["arrived"] == own["rejected"] == own["lost"]["too_long"] > 0
    assert found["decision"]["recommended"] != "rented"


def test_a_run_whose_files_lie_beside_its_scenario_is_reported_from_anywhere(tmp_path, monkeypatch):
    """A profile of one's own and a register of models, named as seen from the scenario's file."""
    folder, elsewhere = tmp_path / "question" / "deeper", tmp_path / "elsewhere"
    folder.mkdir(parents=True)
    elsewhere.mkdir()
    profile = ROOT / "simulator" / "performance" / "data" / "profiles" / "llama-3.1-8b-bf16-l40s-x1.json"
    (folder.parent / "own.json").write_bytes(profile.read_bytes())
    (folder.parent / "models.yaml").write_text(
        "id: ours\ndate: 2026-01-01\nextends: reference\n"
        "models: {self_hosted/llama-3.1-8b: {approved_on: 2026-01-01, approved_by: CISO}}\n"
    )
    (folder / "clinic.yaml").write_text(
        f"extends: {ROOT / 'scenarios' / 'ci_small.yaml'}\nhorizon: {{duration: 1d}}\nexperiment: {{replications: 1}}\n"
        "hosting_patterns:\n  self_hosted: {cluster: {profile: ../own.json, placement: {premises: on_site}}}\n"
        "  api: null\n  hybrid: null\n"
        "compliance: {registry: ../models.yaml}\n"
    )
    monkeypatch.chdir(tmp_path / "question")
    assert simulator("run", "deeper/clinic.yaml", "--quiet", "--report", "--output", "kept") == 0
    (tmp_path / "question" / "kept").rename(elsewhere / "moved")
    monkeypatch.chdir(elsewhere)
    for words in (("--output", "page.html"), ("--xlsx", "bill.xlsx")):
        assert simulator("report", "moved", *words) == 0
        assert (elsewhere / words[1]).stat().st_size > 0
    assert open_run("moved").document()["scenario"]["name"] == "ci_small"
