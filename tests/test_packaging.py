"""What a package must carry: its licence, how to cite it, whom to ask, and one version that all of them say."""

from __future__ import annotations

import tomllib

import pytest
from ruamel.yaml import YAML

import simulator
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
