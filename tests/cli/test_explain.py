"""`simulator init` and `simulator explain`, as a shell sees them."""

from __future__ import annotations

import json

import pytest

import simulator
from simulator.scenario.json_schema import scenario_schema
from simulator.scenario.templates import read_template, template_names, template_summary
from tests.cli.command import run
from tests.parts import ROOT

SMALL = str(ROOT / "scenarios" / "ci_small.yaml")


@pytest.mark.parametrize("name", template_names())
def test_a_template_is_commented_valid_and_finds_its_schema(tmp_path, capsys, name):
    path = tmp_path / "mine.yaml"
    assert run(["init", str(path), "--template", name], capsys)[0] == 0
    assert run(["validate", str(path)], capsys)[0] == 0
    text = path.read_text()
    assert text.splitlines()[0] == "# yaml-language-server: $schema=scenario.schema.json"
    assert (tmp_path / "scenario.schema.json").read_text() == scenario_schema()
    assert text.count("#") > 10
    assert template_summary(name).endswith(".")


def test_a_template_runs(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(read_template("rural_hospital"))
    results = simulator.run(simulator.load_scenario(path), replications=1, band=False)
    assert all(pattern.requests.completed > 250 for pattern in results.patterns)


def test_a_schema_that_is_there_stays(tmp_path, capsys):
    schema = tmp_path / "scenario.schema.json"
    schema.write_text("mine")
    assert run(["init", str(tmp_path / "a.yaml")], capsys)[0] == 0
    assert schema.read_text() == "mine"


def test_the_templates_are_listed(capsys):
    code, out, _ = run(["init", "--list"], capsys)
    assert code == 0
    assert [line.split(":")[0] for line in out.splitlines()] == template_names()


def explained(capsys, *arguments):
    code, out, err = run(["explain", *arguments, "--json"], capsys)
    assert (code, err) == (0, "")
    return json.loads(out)


def test_every_value_says_where_it_was_set(tmp_path, capsys):
    (tmp_path / "base.yaml").write_text(read_template("health_system"))
    path = tmp_path / "mine.yaml"
    path.write_text("extends: base.yaml\nname: mine\nexperiment: {replications: 2}\n")
    options = ["--override", "no_egress", "--set", "experiment.seed=7"]
    values = {one["key"]: one for one in explained(capsys, str(path), *options)["values"]}
    lines = (tmp_path / "base.yaml").read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if "clinicians: 1_200" in text)

    def said(key):
        return [values[key][name] for name in ("value", "origin", "place")]

    assert said("workloads.clinical_documentation.volume.clinicians") == [
        1200,
        "file",
        f"{tmp_path / 'base.yaml'}:{line}",
    ]
    assert said("name") == ["mine", "file", f"{path}:2"]
    assert said("experiment.replications") == [2, "file", f"{path}:3"]
    assert said("experiment.seed") == [7, "set", "--set experiment.seed"]
    assert said("constraints.phi_may_leave")[:2] == [False, "override"]
    assert said("constraints.phi_may_leave")[2].startswith(f"no_egress ({tmp_path / 'base.yaml'}:")
    assert said("experiment.warm_up") == ["0 s", "default", ""]
    assert said("hosting_patterns.own_cluster.costs.staff.1.share") == [
        "10 %",
        "file",
        values["hosting_patterns.own_cluster.costs.staff.1.share"]["place"],
    ]


def test_law_what_is_explained_is_what_runs(capsys):
    """Every value that the resolved scenario gives is there, and nothing is there twice."""
    values = {one["key"]: one["value"] for one in explained(capsys, SMALL)["values"]}

    def leaves(data, key=""):
        for name, value in data.items():
            if isinstance(value, dict):
                yield from leaves(value, f"{key}{name}.")
            elif not (isinstance(value, list) and any(isinstance(item, dict) for item in value)):
                yield f"{key}{name}", value

    given = dict(leaves(simulator.load_scenario(SMALL).resolved))
    assert given.items() <= values.items()


def test_sources_and_size(capsys):
    found = explained(capsys, SMALL)
    rests_on = {one["what"]: one for one in found["sources"]}
    assert set(rests_on) == {
        "clinical_documentation",
        "radiology_anomaly",
        "bedrock/llama-3.3-70b",
        "context_tokens 128,000",
        "llama-3.1-8b-bf16-l40s-x1",
        "aws/g6e.xlarge",
    }
    assert all(one["source"] and one["label"] for one in found["sources"])
    results = simulator.run(simulator.load_scenario(SMALL), replications=1, patterns=["api"])
    assert found["size"]["requests"] == results.pattern("api").requests.arrived
    # Three patterns six times, and two clusters at both ends of their bands.
    assert found["size"]["simulations"] == 3 * 6 + 2 * 2


def test_contract_prices_are_no_price_of_the_book(capsys):
    prices = "hosting_patterns.api.api.prices={prompt: 1 USD/1M tokens, output: 1 USD/1M tokens}"
    places = [one["place"] for one in explained(capsys, SMALL, "--set", prices)["sources"]]
    assert "hosting_patterns.api.api.model" not in places
    assert "hosting_patterns.hybrid.api.model" in places


def test_a_part_of_it_with_what_the_keys_mean(capsys):
    code, out, _ = run(["explain", SMALL, "--only", "experiment"], capsys)
    assert code == 0
    assert "Root of every random stream." in out
    assert "workloads" not in out
    code, _, err = run(["explain", SMALL, "--only", "experimnt"], capsys)
    assert code == 2
    assert "--only: experimnt" in err


def test_what_is_wrong_is_said_instead(tmp_path, capsys):
    path = tmp_path / "bad.yaml"
    path.write_text("name: x\n")
    code, out, err = run(["explain", str(path)], capsys)
    assert (code, out) == (2, "")
    assert "horizon: is missing" in err


def test_explain_says_who_is_sent_where_and_what_is_wrong_with_the_documents_router(capsys):
    routers = str(ROOT / "scenarios" / "routing" / "document_routers.yaml")
    code, out, _ = run(["explain", routers, "--json"], capsys)
    assert code == 0
    written, corrected = (json.loads(out)["routing"][name] for name in ("as_written", "corrected"))
    backends = [[route["backends"] for route in one["routes"]] for one in (written, corrected)]
    api, own = ["bedrock/llama-3.3-70b"], ["cluster"]
    assert backends == [[api, api, api, own], [own, api, api, own]]
    assert written["differences"] == corrected["differences"]
    assert written["differences"][0]["subject"] == "clinical_documentation"
    shown = run(["explain", routers], capsys)[1]
    assert "Routing of as_written" in shown
    assert "a low volume hides a latency below 500 ms" in shown
