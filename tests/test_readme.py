"""The README is followed to the letter."""

from __future__ import annotations

import re
import shlex

import pytest

import simulator
from simulator.cli.main import main
from tests.parts import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(marker, language):
    return re.search(rf"{marker}\n```{language}\n(.*?)```", README, re.DOTALL)[1]


def test_the_scenario_in_ten_lines_is_one_and_runs(tmp_path):
    text = block("<!-- scenario -->", "yaml")
    assert len(text.splitlines()) <= 10
    path = tmp_path / "clinic.yaml"
    path.write_text(text, encoding="utf-8")
    results = simulator.run(simulator.load_scenario(path), replications=1)
    assert results.pattern("l40s").requests.completed > 10_000


def test_the_python_example_runs(monkeypatch):
    code = re.search(r"```python\n(import simulator.*?)```", README, re.DOTALL)[1]
    monkeypatch.chdir(ROOT)
    scope = {}
    exec(code, scope)
    assert scope["results"].replications == 5
    assert len(scope["results"].summary()) == 9


def test_there_are_two_commands_and_they_name_what_exists():
    commands = re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)
    assert len(commands) == 2
    for word in shlex.split(" ".join(commands)):
        if word.endswith((".txt", ".yaml")):
            assert (ROOT / word).is_file()


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "scenarios").glob("*.yaml")))
def test_every_shipped_scenario_is_listed_and_valid(name, capsys):
    assert f"scenarios/{name}" in README
    with pytest.raises(SystemExit) as stop:
        main(["validate", str(ROOT / "scenarios" / name)])
    assert stop.value.code == 0, capsys.readouterr().err
