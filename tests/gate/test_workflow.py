"""The workflow and the hook that are offered for copying do what they say."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest
from ruamel.yaml import YAML

from simulator.report.comparison import MARKER
from tests.gate.kept import VARIANTS, kept
from tests.parts import ROOT

WORKFLOW = YAML(typ="safe").load(ROOT / ".github" / "workflows" / "scenario-gate.yml")
STEPS = {step.get("name", step.get("uses")): step for step in WORKFLOW["jobs"]["gate"]["steps"]}

#: Stands for the simulator: hands out results that are already there, and judges them for real.
COMMAND = """#!/bin/sh
if [ "$1" = run ]; then mkdir -p "$5" && cp new.json "$5/summary.json"; else exec "{python}" -m simulator "$@"; fi
"""


@pytest.fixture
def repository(tmp_path):
    """A repository with one guarded scenario; returns a function that runs the gate on a new result."""
    (tmp_path / "scenarios" / "baselines").mkdir(parents=True)
    shutil.copy(kept(), tmp_path / "scenarios" / "baselines" / "small.json")
    command = tmp_path / "bin" / "simulator"
    command.parent.mkdir()
    command.write_text(COMMAND.format(python=sys.executable))
    command.chmod(0o755)

    def gate(new):
        shutil.copy(new, tmp_path / "new.json")
        places = {
            "PATH": f"{command.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        }
        # As GitHub runs a step.
        script = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", STEPS["Gate"]["run"]]
        done = subprocess.run(
            script, check=False, cwd=tmp_path, env=os.environ | places, capture_output=True, text=True
        )
        return done.returncode, tmp_path

    return gate


@pytest.mark.parametrize(
    ("new", "code"),
    [
        pytest.param(None, 0, marks=pytest.mark.slow),
        ("replica", 1),
        pytest.param("few", 3, marks=pytest.mark.slow),
    ],
)
def test_the_step_ends_as_the_gate_does_and_leaves_a_comment(repository, new, code):
    path = kept(None, 1) if new == "few" else kept(VARIANTS.get(new))
    found, folder = repository(path)
    assert found == code
    assert (folder / "gate" / "comment.md").read_text().startswith(MARKER)
    assert (folder / "summary.md").read_text() == (folder / "gate" / "comment.md").read_text()
    assert (folder / "gate" / "small.xml").is_file()


@pytest.mark.slow
def test_bad_input_is_bad_input(repository, tmp_path):
    broken = tmp_path / "broken.json"
    broken.write_text('{"patterns": []}')
    assert repository(broken)[0] == 2


@pytest.mark.slow
def test_a_policy_of_ones_own_is_used(repository, tmp_path):
    (tmp_path / "scenarios" / "policy.yaml").write_text("rules: [{metric: monthly_cost_usd, absolute: 1000000}]\n")
    assert repository(kept(VARIANTS["replica"]))[0] == 0


def test_every_script_is_valid_bash():
    for step in STEPS.values():
        if script := step.get("run"):
            subprocess.run(["bash", "-n", "-c", script], check=True)


def test_the_comment_is_found_again_by_its_marker():
    assert "marker=$(head -n 1 gate/comment.md)" in STEPS["Comment"]["run"]
    # It stands inside a jq string.
    assert '"' not in MARKER
    assert "\\" not in MARKER


def test_every_guarded_scenario_of_the_repository_is_there():
    baselines = {path.stem for path in (ROOT / "scenarios" / "baselines").glob("*.json")}
    assert "ci_small" in baselines
    assert baselines <= {path.stem for path in (ROOT / "scenarios").glob("*.yaml")}


def test_the_hook_takes_scenarios_and_nothing_else():
    (hook,) = YAML(typ="safe").load(ROOT / ".pre-commit-hooks.yaml")
    wanted = re.compile(hook["files"])
    for path in (ROOT / "scenarios").glob("*.yaml"):
        assert wanted.search(str(path.relative_to(ROOT)))
    assert not wanted.search("scenarios/baselines/policy.yaml")
    assert not wanted.search("docker-compose.yaml")
    done = subprocess.run(
        [sys.executable, "-m", *hook["entry"].split(), str(ROOT / "scenarios" / "ci_small.yaml")],
        check=False,
        capture_output=True,
        cwd=ROOT,
    )
    assert done.returncode == 0
