"""Every command in the documentation is run, every file it links to is there.

A command stands in a `console` block behind `$ `; one that ends with `# exits with N` is meant to. The blocks of a page
run one after the other in one folder, which has the scenarios and traces of the repository, and the files that the page
shows behind `<!-- file: NAME -->`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.parts import ROOT
from tests.waiting import PATIENCE_S

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
BLOCK = re.compile(r"^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"^<!-- file: (\S+) -->\n```\w*\n(.*?)^```", re.DOTALL | re.MULTILINE)
EXITS = re.compile(r"\s+# exits with (\d+)$")


def commands(page):
    """Commands of a page with the exit code each is meant to have."""
    for block in BLOCK.findall(page.read_text(encoding="utf-8")):
        for line in block.splitlines():
            if line.startswith("$ "):
                meant = EXITS.search(line)
                yield EXITS.sub("", line[2:]), int(meant[1]) if meant else 0


WITH_COMMANDS = [page for page in PAGES if any(commands(page))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_links_to_is_there(page):
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.name)
def test_the_commands_of_a_page_work(page, tmp_path, tmp_path_factory):
    for folder in ("scenarios", "traces"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    # What other pages have simulated is known; it appears there whole.
    everybody = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        everybody = everybody.parent
    known, store = everybody / "stores-of-pages", tmp_path / "runs" / "store"
    for one in known.glob("*.md"):
        shutil.copytree(one, store, dirs_exist_ok=True)
    shutil.copy(ROOT / "scenario.schema.json", tmp_path)
    for name, content in FILE.findall(page.read_text(encoding="utf-8")):
        (tmp_path / name).write_text(content, encoding="utf-8")
    shell = tmp_path / "bin" / "simulator"
    shell.parent.mkdir()
    shell.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m simulator "$@"\n', encoding="utf-8")
    shell.chmod(0o755)
    places = {"PATH": f"{shell.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    for command, meant in commands(page):
        done = subprocess.run(
            ["bash", "-c", command],
            check=False,
            cwd=tmp_path,
            env=os.environ | places,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert done.returncode == meant, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    if store.is_dir():
        known.mkdir(exist_ok=True)
        shutil.copytree(store, known / f"{page.name}.draft")
        (known / f"{page.name}.draft").rename(known / page.name)
