"""What a package must carry: its licence, how to cite it, whom to ask, and one version that all of them say."""

from __future__ import annotations

import re
import shutil
import tomllib

import pytest
from ruamel.yaml import YAML

import simulator
from simulator import examples
from simulator.errors import UnknownName
from tests.parts import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_licence_is_the_one_that_is_named():
    text = (ROOT / "LICENSE").read_text()
    assert PROJECT["license"] == "Apache-2.0"
    assert PROJECT["license-files"] == ["LICENSE"]
    assert text.split()[:4] == ["Apache", "License", "Version", "2.0,"]
    assert "END OF TERMS AND CONDITIONS" in text


def test_one_version_and_one_name():
    cited = YAML(typ="safe").load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == PROJECT["version"] == simulator.__version__
    assert (cited["title"], cited["license"]) == (PROJECT["name"], PROJECT["license"])
    assert [one["name"] for one in cited["authors"]] == [one["name"] for one in PROJECT["authors"]]
    assert cited["keywords"] == PROJECT["keywords"]


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "SECURITY.md", "CHANGELOG.md"])
def test_what_people_look_for_at_the_top_is_there_and_leads_on(name):
    text = (ROOT / name).read_text()
    assert len(text) > 300
    linked = [part.split(")")[0] for part in text.split("](")[1:]]
    assert all((ROOT / link.split("#")[0]).exists() for link in linked if not link.startswith("http"))


def test_everything_in_the_package_is_there_by_name():
    for name in simulator.__all__:
        assert getattr(simulator, name) is not None
    assert set(simulator.__all__) <= set(dir(simulator))


def test_the_wheel_has_the_examples_and_their_notebooks_find_what_they_read(tmp_path, monkeypatch):
    """Laid out as the wheel lays them out, copied out of it, and a scenario of them run where a notebook stands."""
    included = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {name: f"simulator/shipped/{name}" for name in examples.PLACES} == included["force-include"]
    shipped = tmp_path / "simulator" / "shipped"
    for name in examples.PLACES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        (shipped / name).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, shipped / name)
    monkeypatch.setattr(examples, "_SHIPPED", shipped)
    place = simulator.examples.copy(tmp_path / "work")
    read = [
        (place / "notebooks" / path)
        for notebook in (place / "notebooks").glob("*.ipynb")
        for path in re.findall(r'\\"(\.\./[^"\\]+)', notebook.read_text())
    ]
    assert len(read) >= 6
    assert [path for path in read if not path.exists()] == []
    monkeypatch.chdir(place / "notebooks")
    assert simulator.load_scenario("../scenarios/ci_small.yaml").name == "ci_small"
    assert simulator.load_scenario(examples.scenario("recorded_clinic")).name == "recorded_clinic"
    (place / "scenarios" / "ci_small.yaml").write_text("mine")
    examples.copy(place)
    assert (place / "scenarios" / "ci_small.yaml").read_text() == "mine"


def test_a_scenario_that_does_not_ship_is_said():
    assert {"ci_small", "apis/deployments"} <= set(examples.names())
    with pytest.raises(UnknownName, match="no shipped scenario 'ci_smal'; did you mean 'ci_small'"):
        examples.scenario("ci_smal")
