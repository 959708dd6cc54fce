"""The table of requirements is complete, and what it names exists."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from tests.parts import ROOT

ROWS = re.findall(
    r"^\| R(\d+) \| (.+?) \| (.+?) \|$", (ROOT / "docs" / "requirements.md").read_text(encoding="utf-8"), re.MULTILINE
)


@cache
def functions_of(path):
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_requirement_is_there_once():
    assert [int(number) for number, _, _ in ROWS] == list(range(1, 97))


@pytest.mark.parametrize(("number", "requirement", "shown_by"), ROWS, ids=lambda text: text if text.isdigit() else "")
def test_it_is_shown_by_what_exists_or_open_for_a_reason(number, requirement, shown_by):
    evidence, _, reason = shown_by.partition("open: ")
    references = re.findall(r"`((?:tests|scenarios|docs|notebooks)/[^`]+)`", shown_by)
    assert references or len(reason) > 10, "neither evidence nor a reason why it is open"
    for reference in references:
        path, _, name = reference.partition("::")
        assert (ROOT / path).is_file(), reference
        if path.startswith("tests/"):
            assert name in functions_of(path), reference
            assert name.startswith("test_"), reference
