"""The documentation site: it builds strictly without a network, has every public name, and a dead link stops it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

import simulator
from tests.parts import ROOT

STEPS = sorted((ROOT / ".github").glob("workflows/*.yml"))
#: Nothing is fetched: an address that nobody listens at stands for the network.
NOWHERE = {f"{kind}_proxy": "http://127.0.0.1:9" for kind in ("http", "https", "HTTP", "HTTPS")}


@pytest.mark.slow
@pytest.mark.needs("site generator")
def test_the_site_builds_strictly_and_a_dead_link_stops_it(tmp_path):
    # The same sources, and one page that leads nowhere: what is said of it is all that is wrong.
    for name in ("docs", "README.md", "scenarios", "simulator", "tools", "notebooks", ".github"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "docs").unlink()
    (tmp_path / "docs").mkdir()
    for path in (ROOT / "docs").iterdir():
        (tmp_path / "docs" / path.name).symlink_to(path)
    (tmp_path / "docs" / "zz_dead.md").write_text(
        "# Dead\n\n[gone](no_such_page.md), [here](costs.md#no-such-heading)\n"
    )
    (tmp_path / "mkdocs.yml").write_text((ROOT / "mkdocs.yml").read_text())
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(
        words, cwd=tmp_path, capture_output=True, text=True, check=False, env=os.environ | NOWHERE | {"NO_COLOR": "1"}
    )
    warned = [line for line in done.stderr.splitlines() if line.startswith(("WARNING", "ERROR"))]
    assert done.returncode == 1, done.stderr
    faults = 'not included in the "nav"', "no_such_page.md", "#no-such-heading"
    assert len(warned) == len(faults), warned
    assert all(fault in "\n".join(warned) for fault in faults)
    page = (tmp_path / "site" / "api.html").read_text()
    for name in set(simulator.__all__) - {"__version__", "examples"}:
        one = getattr(simulator, name)
        assert f'id="{one.__module__}.{one.__qualname__}"' in page, name
    found = json.loads((tmp_path / "site" / "search" / "search_index.json").read_text())["docs"]
    assert {"costs.html", "api.html", "gallery.html"} <= {row["location"].partition("#")[0] for row in found}
    gallery = (tmp_path / "site" / "gallery.html").read_text()
    assert gallery.count("Plotly.newPlot") >= 2
    assert (tmp_path / "site" / "plotly.min.js").stat().st_size > 1_000_000
    # What it loads, it has: a link may lead elsewhere, a script or a picture may not.
    for path in (tmp_path / "site").glob("*.html"):
        assert not re.findall(r'<(?:script|img|link)[^>]*(?:src|href)="https?://[^"]*"', path.read_text()), path.name


@pytest.mark.slow
@pytest.mark.needs("site generator")
def test_each_version_lies_beside_the_others(tmp_path):
    """The step that publishes, as the workflow has it, on a page of one's own and with a folder for the code host."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# Start\n")
    settings = {"INHERIT": str(ROOT / "mkdocs.yml"), "nav": [{"Start": "index.md"}], "hooks": [], "plugins": ["search"]}
    (tmp_path / "mkdocs.yml").write_text(json.dumps(settings))
    host, token = tmp_path / "host", "t"
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (
        ["git", "init", "-q", "--bare", str(host)],
        [*git, "init", "-q"],
        [*git, "add", "docs", "mkdocs.yml"],
    ):
        subprocess.run(words, check=True)
    subprocess.run([*git, "commit", "-q", "-m", "one"], check=True)
    publish = YAML(typ="safe").load((ROOT / ".github" / "workflows" / "docs.yml").read_text())["jobs"]["publish"]
    (script,) = (step["run"] for step in publish["steps"] if "run" in step)
    script = script.replace("pip install", "echo installed: ")
    assert "installed: " in script
    (tmp_path / "gitconfig").write_text(
        f'[url "{host.as_uri()}"]\ninsteadOf = https://x-access-token:{token}@github.com/o/r\n'
    )
    env = (
        os.environ
        | NOWHERE
        | {"TOKEN": token, "GITHUB_REPOSITORY": "o/r", "GIT_CONFIG_GLOBAL": str(tmp_path / "gitconfig")}
    )
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"

    def shown(place: str) -> str:
        return subprocess.run(
            ["git", "-C", str(host), "show", f"gh-pages:{place}"], check=True, capture_output=True, text=True
        ).stdout

    for name in ("dev", "v1.0.0", "v1.1.0"):
        subprocess.run(["bash", "-eo", "pipefail", "-c", script], cwd=tmp_path, check=True, env=env | {"NAME": name})
        # As a machine of the code host begins: it knows nothing of what was published before.
        subprocess.run([*git, "branch", "-q", "-D", "gh-pages"], check=True)
    found = {one["version"]: one["aliases"] for one in json.loads(shown("versions.json"))}
    assert found == {"dev": [], "v1.1.0": ["latest"], "v1.0.0": []}
    assert "latest/" in shown("index.html")
    assert '"provider": "mike"' in shown("v1.0.0/index.html")


def test_every_page_is_in_the_menu():
    nav = YAML(typ="safe").load(re.sub(r"!\w+", "", (ROOT / "mkdocs.yml").read_text()))["nav"]
    named = {one for entry in nav for value in entry.values() for one in ([value] if isinstance(value, str) else value)}
    assert named - {"index.md", "api.md", "gallery.md"} == {path.name for path in (ROOT / "docs").glob("*.md")}


@pytest.mark.parametrize("path", STEPS, ids=lambda path: path.stem)
def test_a_workflow_keeps_no_credentials_and_asks_for_little(path):
    found = YAML(typ="safe").load(path.read_text())
    assert found["permissions"]
    jobs = found["jobs"].values()
    for step in (step for job in jobs for step in job["steps"] if "actions/checkout" in step.get("uses", "")):
        assert step["with"]["persist-credentials"] is False
    for job in jobs:
        assert "timeout-minutes" in job
        used = [step["uses"] for step in job["steps"] if "uses" in step]
        assert all(re.fullmatch(r"[\w./-]+@(v\d+|[0-9a-f]{40})", action) for action in used), used


def test_dependabot_sees_what_is_pinned():
    found = YAML(typ="safe").load((ROOT / ".github" / "dependabot.yml").read_text())
    assert {one["package-ecosystem"] for one in found["updates"]} == {"pip", "github-actions", "docker"}
    assert (ROOT / "Dockerfile").exists()


def test_the_image_is_made_of_what_is_here():
    """No container engine is needed for this: each source exists, what runs is the README's own command."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [re.sub(r"\s+", " ", line).strip() for line in text.splitlines() if line and not line.startswith("#")]
    steps = [line.partition(" ")[::2] for line in lines]
    assert all(re.search(r"python:3\.1[123]-slim", rest) for step, rest in steps if step == "FROM" and "python" in rest)
    for step, rest in steps:
        if step == "COPY" and "--from" not in rest:
            assert all((ROOT / source).exists() for source in rest.split()[:-1]), rest
    (install,) = (rest for step, rest in steps if step == "RUN" and "pip install" in rest)
    assert "--constraint constraints.txt" in install
    assert "--constraint constraints.txt" in (ROOT / "README.md").read_text()
    copied = {source.rstrip("/") for step, rest in steps if step == "COPY" for source in rest.split()[:-1]}
    # What the wheel is made of is there.
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    for source in (*build["packages"], *build["force-include"], "LICENSE", "README.md", "pyproject.toml"):
        assert any(source == one or source.startswith(f"{one}/") for one in copied), source
    assert ("USER", "simulator") in steps
    assert [rest for step, rest in steps if step == "ENTRYPOINT"] == ['["simulator"]']


@pytest.mark.parametrize("path", STEPS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_with_the_version_beside_it(path):
    """A tag can be moved to other code; Dependabot reads the version in the remark."""
    used = [line.split("uses:", 1)[1].strip() for line in path.read_text().splitlines() if "uses:" in line]
    assert used
    for one in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one), one
