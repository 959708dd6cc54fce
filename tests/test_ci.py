"""`.ci/run` and the workflow that calls it: every step, in order, and none after one that fails."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest
from ruamel.yaml import YAML

from tests.parts import PARTS, ROOT

SCRIPT = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
STEPS = re.search(r"^steps=\((.*)\)$", SCRIPT, re.MULTILINE)[1].split()
JOBS = YAML(typ="safe").load(ROOT / ".github" / "workflows" / "tests.yml")["jobs"]
#: Stands for a command: notes how it was called, and fails where a file of its name says so.
COMMAND = '#!/bin/sh\necho "$(basename "$0") $*" >> "{calls}"\n! [ -f "{folder}/fails-$(basename "$0")" ]\n'


@pytest.fixture
def repository(tmp_path):
    """A clone in which every command is played; returns a function that runs `.ci/run` there."""
    folder, calls = tmp_path / "clone", tmp_path / "calls"
    for path in (".ci/run", "README.md"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, folder / path)
    places = [
        *(
            folder / ".venv" / "bin" / name
            for name in ("pip", "pytest", "soffice", "ruff", "mypy", "bandit", "simulator", "python")
        )
    ]
    places += [folder / ".venv" / "bin" / "python3", folder / ".venv" / "oracle" / "bin" / "python"]
    places += [folder / "tools" / name for name in ("install_prometheus.sh", "install_oracle.sh")]
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(COMMAND.format(calls=calls, folder=tmp_path))
        place.chmod(0o755)

    def run(*steps, without=None, fails=None, shared=False):
        if shared:
            (tmp_path / "shared").mkdir()
        if fails:
            (tmp_path / f"fails-{fails}").touch()
        places = os.environ | ({"WITHOUT": without} if without else {})
        done = subprocess.run(
            ["bash", folder / ".ci" / "run", *steps], env=places, check=False, capture_output=True, text=True
        )
        said = calls.read_text().splitlines() if calls.exists() else []
        return done.returncode, re.findall(r"^== (\w+)", done.stdout, re.MULTILINE), said

    return run


def expected(calls):
    return [set(filter(None, parts.split(","))) for call in calls for parts in re.findall(r"--expect=([^-]*)$", call)]


def test_every_step_is_taken_and_every_part_expected_somewhere(repository):
    code, steps, calls = repository(shared=True)
    assert (code, steps) == (0, STEPS)
    assert set().union(*expected([call.partition(" tests/")[0] for call in calls])) == set(PARTS)
    pages = [re.search(r"--ledger=\S*/(\w+)\.json", call) for call in calls]
    # The default pass is told by the environment, as the README's command is left as it is.
    assert [page[1] for page in pages if page] == ["needs", "slow", "benchmarks", "vllm"]
    assert calls[-1].startswith("python -m tests.ledger")
    assert calls[-1].endswith("--without ")


def test_what_is_done_without_is_neither_fetched_nor_expected(repository):
    code, _, calls = repository(without="Chromium,vLLM")
    assert code == 0
    asked = set().union(*expected(calls))
    assert asked == set(PARTS) - {"Chromium", "vLLM", "public traces", "measurements"}
    assert not any("install_oracle" in call or "Chromium" in call for call in calls[:-1])
    assert calls[-1].endswith("--without Chromium,vLLM,public traces,measurements")


@pytest.mark.parametrize(
    ("fails", "step"),
    [
        ("pytest", "default"),
        ("install_prometheus.sh", "environment"),
        ("ruff", "lint"),
        ("mypy", "types"),
        ("simulator", "scenarios"),
    ],
)
def test_nothing_is_done_after_a_failure(repository, fails, step):
    code, steps, calls = repository(fails=fails)
    assert code != 0
    assert steps == STEPS[: STEPS.index(step) + 1]
    # What comes meanwhile may note itself last.
    assert [call for call in calls if "oracle" not in call][-1].startswith(fails)


def test_what_comes_meanwhile_is_waited_for(repository):
    code, steps, calls = repository(fails="install_oracle.sh")
    assert code == 1
    assert steps == STEPS[: STEPS.index("vllm") + 1]
    assert not [call for call in calls if "test_live.py" in call]


def test_steps_can_be_named(repository):
    assert repository("lint", "types")[1:] == (["lint", "types"], ["ruff check .", "ruff format --check .", "mypy "])


def test_a_step_nobody_knows_is_refused_before_anything_is_done(repository):
    assert repository("lint", "dance") == (2, [], [])


def test_the_workflow_does_what_the_script_does():
    asked = {name: step["run"] for name, job in JOBS.items() for step in job["steps"] if "run" in step}
    assert asked == {"default": ".ci/run default", "everything": ".ci/run"}
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_every_python_that_is_promised_is_tried():
    promised = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert JOBS["default"]["strategy"]["matrix"]["python-version"] == promised
    assert JOBS["everything"]["steps"][1]["with"]["python-version"] in promised
