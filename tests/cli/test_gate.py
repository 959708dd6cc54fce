"""`simulator compare` and `simulator check`, as a shell sees them."""

from __future__ import annotations

import json

import jsonschema
import pytest

from tests.cli.command import run
from tests.gate.kept import VARIANTS, kept


def test_check_passes_fails_and_writes_everything(tmp_path, capsys):
    base = str(kept())
    assert run(["check", base, "--baseline", base], capsys)[0] == 0
    files = ["--markdown", str(tmp_path / "c.md"), "--junit", str(tmp_path / "c.xml")]
    code, out, err = run(["check", str(kept(VARIANTS["price"])), "--baseline", base, *files], capsys)
    assert (code, err) == (1, "")
    assert "cause: price +73.00 USD" in out
    assert (tmp_path / "c.md").is_file()
    assert (tmp_path / "c.xml").is_file()


def test_one_json_document_and_nothing_else(capfd):
    code, out, _ = run(["check", str(kept(None, 1)), "--baseline", str(kept()), "--json"], capfd)
    assert code == json.loads(out)["check"]["exit_code"] == 3
    code, out, _ = run(["compare", str(kept()), str(kept(VARIANTS["price"])), "--json"], capfd)
    assert code == 0
    assert json.loads(out)["check"] is None
    assert json.loads(out)["costs"][0]["by_usd"]["price"] == 73.0


def test_compare_judges_nothing(capsys):
    assert run(["compare", str(kept()), str(kept(VARIANTS["replica"]))], capsys)[0] == 0


@pytest.mark.parametrize("broken", ["result", "baseline", "policy", "place"])
def test_broken_input_is_2_and_nothing_is_written(tmp_path, capsys, broken):
    bad = tmp_path / "bad"
    bad.write_text("{")
    files = {"result": str(kept()), "baseline": str(kept()), "policy": None} | {broken: str(bad)}
    out = tmp_path / ("none/c.md" if broken == "place" else "c.md")
    arguments = ["check", files["result"], "--baseline", files["baseline"], "--markdown", str(out)]
    code, printed, err = run(arguments + (["--policy", files["policy"]] if files["policy"] else []), capsys)
    assert (code, printed) == (2, "")
    assert err
    assert not out.exists()


def test_a_run_directory_is_a_result_too(tmp_path, capsys):
    (tmp_path / "summary.json").write_bytes(kept().read_bytes())
    assert run(["compare", str(tmp_path), str(kept())], capsys)[0] == 0


def test_the_schema_of_a_result_is_published(capsys):
    code, out, _ = run(["schema", "result"], capsys)
    assert code == 0
    schema, document = json.loads(out), json.loads(kept().read_text())
    jsonschema.validate(document, schema)
    del document["patterns"][0]["feasible"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema)


PARTS = {
    "policy.yaml": "rules:\n- {metric: e2e_p99_s, relative: 5 %}\n",
    "base.yaml": "workloads:\n  notes: {profile: clinical_documentation}\n",
    "site.yaml": "horizon: {start: 2026-04-06, duration: 1d}\nprices: {}\n",
}
WRONG = {
    "rules: [{metric: e2e_p9_s, relative: 5 %}]\n": "no such metric; did you mean 'e2e_p99_s'?",
    "horizn: {}\nworkloads: {}\n": "unknown key; did you mean 'horizon'?",
    "description: x\nhorizon: {duration: 1d}\nworkloads: {}\nhosting_patterns: {}\n": "name: is missing",
    "name: x\nworkloads: {}\n": "horizon: is missing",
    "": "",
}


@pytest.mark.parametrize("name", PARTS)
def test_what_lies_beside_scenarios_does_not_break_validate(tmp_path, capsys, name):
    (tmp_path / name).write_text(PARTS[name])
    code, out, err = run(["validate", str(tmp_path / name), "scenarios/ci_small.yaml"], capsys)
    assert (code, err) == (0, "")
    assert ("a policy of the gate with 1 rule" in out) == (name == "policy.yaml")
    assert ("a part of a scenario" in out) == (name != "policy.yaml")


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_wrong_wherever_it_lies(tmp_path, capsys, text):
    (tmp_path / "s.yaml").write_text(text)
    code, _, err = run(["validate", str(tmp_path / "s.yaml")], capsys)
    assert code == 2
    assert WRONG[text] in err
