"""Exported tables are written all or none."""

from __future__ import annotations

import shutil

import pytest

from tests.fuzz.command import run, tree
from tests.fuzz.sound import prepare


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    prepare(folder)
    return folder / "run"


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize("older", [True, False])
def test_a_broken_table_leaves_what_was_there(kept, tmp_path, form, older):
    there, out = tmp_path / "run", tmp_path / "tables"
    shutil.copytree(kept, there)
    if older:
        assert run("export", form, there, "--output", out).code == 0
        assert len(tree(out)) == 4
    before = tree(tmp_path)
    content = (there / "requests.parquet").read_bytes()
    (there / "requests.parquet").write_bytes(content[: len(content) // 2])
    ended = run("export", form, there, "--output", out)
    assert ended.code == 2, ended.said
    (there / "requests.parquet").write_bytes(content)
    assert tree(tmp_path) == before
    assert out.exists() is older
