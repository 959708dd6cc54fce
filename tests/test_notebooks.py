"""Every notebook runs from top to bottom, shows something, and is kept without its outputs."""

from __future__ import annotations

import ast
import json

import pytest

from tests.parts import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
#: The one that a newcomer opens; the others take their time.


def cells_of(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def shown(source, scope):
    """Run a cell; the form in which a notebook would show its last expression, if it ends with one."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), scope)
    if last is None:
        return None
    value = eval(compile(ast.Expression(last.value), "cell", "eval"), scope)
    # What a figure would send to the browser: drawing it faults where showing it would.
    form = getattr(value, "to_json", None) if type(value).__name__ == "Figure" else getattr(value, "_repr_html_", None)
    return form() if form else repr(value)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_kept_without_outputs(path):
    assert cells_of(path)
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells_of(path))


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=path.stem) for path in NOTEBOOKS],
)
def test_it_runs(path, monkeypatch):
    # As Jupyter starts it: in the folder of its own.
    monkeypatch.chdir(path.parent)
    scope = {}
    outputs = [shown("".join(cell["source"]), scope) for cell in cells_of(path)]
    assert sum(output is not None for output in outputs) >= 4
