"""What docs/compliance.md shows can be done as it stands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from simulator.compliance.registry import load_registry
from tests.command import run

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/compliance.md").read_text(encoding="utf-8")


def test_its_commands_run(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    commands = re.findall(r"^\$ simulator (.*)$", PAGE, re.MULTILINE)
    assert commands
    for command in commands:
        code, out, _ = run(shlex.split(command), capsys)
        assert code == 0
        assert "not legal advice" in out


def test_the_registry_it_shows_is_one():
    registry = load_registry(ROOT / "scenarios/registries/st_elsewhere.yaml")
    assert registry.models["azure/gpt-4.1-data-zone"].approved_by == "information security board"
    assert "azure/gpt-5" not in registry.models
