"""The map of the code says what is there."""

from __future__ import annotations

import ast
import re

import pytest

from tests.parts import ROOT
from tests.test_structure import ROOMS, WINGS

PAGE = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`((?:simulator|tools)/[^`*]+)`", PAGE)))


def defined(path):
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


@pytest.mark.parametrize("named", NAMED)
def test_what_the_map_names_is_there(named):
    path, _, name = named.partition("::")
    assert (ROOT / path).exists()
    assert not name or name in defined(ROOT / path)


def test_it_answers_what_somebody_new_would_ask():
    assert len(re.findall(r"^\| .*\? \| `simulator/.*::\w+` \|$", PAGE, re.MULTILINE)) >= 5


def test_every_room_is_on_the_map():
    known = set(re.findall(r"`([a-z_/]+)/`", PAGE)) | set(re.findall(r"`(\w+)\.py`", PAGE))
    assert set().union(*ROOMS) - {"__init__", "__main__"} <= known
    wings = {wing for wing in set().union(*WINGS) if (ROOT / "simulator" / "engine" / wing).is_dir()}
    assert {f"engine/{wing}" for wing in wings} <= known
