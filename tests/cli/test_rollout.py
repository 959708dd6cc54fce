"""`simulator rollout`, as a shell sees it."""

import json

import pytest
from ruamel.yaml import YAML

from simulator.experiment.checks import load_checked
from simulator.plots.decision import rollout_cash
from tests.cli.command import run
from tests.experiment.small import small
from tests.parts import SCENARIOS
from tests.study.test_rollout import ROLLOUT

SHIPPED = SCENARIOS / "health_system_rollout.yaml"


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "small.yaml"
    with path.open("w") as stream:
        YAML().dump(small({"rollout": ROLLOUT}).resolved, stream)
    return str(path)


def test_json_is_all_there_is_on_standard_output(file, capsys):
    code, out, err = run(["rollout", file, "--json", "--jobs", "1"], capsys)
    plain = json.loads(out)
    assert (code, err) == (0, "")
    assert {"projection", "actual", "price_book", "seed"} <= set(plain)
    assert [one["name"] for one in plain["projection"]["course"]["strategies"]] == [
        "plan", "stay", "switch_later", "switch_now",
    ]  # fmt: skip
    again = run(["rollout", file, "--json", "--jobs", "1"], capsys)[1]
    assert again == out


def test_the_tables_name_the_steps(file, capsys):
    code, out, _ = run(["rollout", file, "--jobs", "1", "--set", "rollout.months=4"], capsys)
    assert code == 0
    for text in ("Adoption as projected", "bought from the first month", "Which step pays when", "Reviews"):
        assert text in out


def test_the_picture_has_a_line_for_each_way(file, capsys, tmp_path):
    code, out, err = run(["rollout", file, "--json", "--jobs", "1", "--plot", "cash.html"], capsys)
    assert (code, err) == (0, "wrote cash.html\n")
    document = json.loads(out)
    lines = rollout_cash(document).data
    strategies = document["projection"]["course"]["strategies"]
    assert [list(line.y) for line in lines[:-1]] == [one["cumulative_usd"] for one in strategies]
    assert list(lines[-1].x) == [3]
    assert (tmp_path / "cash.html").read_text(encoding="utf-8").count("bought from the first month") == 1


def test_what_may_not_be_used_has_no_price(file, capsys):
    forbidden = ["--set", "constraints.phi_may_leave=false", "--set", "rollout.review_every=2"]
    code, out, _ = run(["rollout", file, "--jobs", "1", *forbidden], capsys)
    text = " ".join(out.split())
    assert code == 0
    assert "▸ not allowed" in text
    assert "not allowed from month 1" in text
    assert "api will not do (notes" in text


def test_bad_input_is_exit_code_two_with_a_place(file, capsys):
    code, out, err = run(["rollout", file, "--set", "rollout.phases=null"], capsys)
    assert (code, out) == (2, "")
    assert "rollout" in err
    code, out, err = run(["rollout", file, "--set", "rollout=null"], capsys)
    assert (code, out) == (2, "")
    assert "how use grows" in err


@pytest.mark.parametrize("name", [None, "by_volume", "slow_adoption", "against_gpt4"])
def test_the_shipped_plans_are_sound(name):
    plan = load_checked(SHIPPED, overrides=[name] if name else ()).rollout
    assert plan.months == 36
    assert len(plan.phases) == 3
