"""The cheapest configuration that will do, beside every configuration there is."""

from __future__ import annotations

import json
import re

import pytest

from simulator.cli.main import main
from simulator.errors import ScenarioError
from simulator.experiment.checks import load_checked
from simulator.results import run
from simulator.study import plan as planning
from simulator.study.candidates import Space
from simulator.study.plan import plan
from tests.experiment.small import small
from tests.parts import SCENARIOS

SCENARIO = SCENARIOS / "ci_small.yaml"
#: Busy enough that one small replica will not do.
BUSY = {
    "horizon.start": "2026-04-07", "horizon.duration": "12h", "experiment.replications": 1,
    "workloads.clinical_documentation.volume": {"clinicians": 23_000, "notes_per_day": 15},
    "workloads.clinical_documentation.objectives": {"ttft": "2s", "end_to_end": "20s"},
    "workloads.radiology_anomaly.objectives": None,
}  # fmt: skip
SPACE = Space(gpus=("l40s", "a100-80gb"), tensor_parallel=(1, 2), quantisations=("bf16", "fp8"), most_replicas=5)


def scenario(**more):
    return load_checked(SCENARIO, settings=BUSY | more)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["self_hosted", "hybrid"])
def test_it_finds_what_trying_everything_finds(name, tmp_path, monkeypatch):
    given = scenario()
    found = plan(given, [name], SPACE, replications=1, store=tmp_path)
    everything = []

    def all_of_them(candidates, simulate, too_dear):
        everything.append(len(candidates))
        return [simulate(one) for one in candidates]

    monkeypatch.setattr(planning, "_scan", all_of_them)
    monkeypatch.setattr(planning, "_bracket", all_of_them)
    brute = plan(given, [name], SPACE, replications=1, store=tmp_path)
    assert found.best is not None
    assert (found.best.label, found.best.cost_usd) == (brute.best.label, brute.best.cost_usd)
    assert found.simulations < brute.simulations == sum(everything)
    assert name == "hybrid" or any(one.refused for one in brute.simulated)
    assert all(one.cost_usd >= one.at_least_usd - 0.01 for one in brute.simulated)
    # An FP8 format an A100 has not is refused by name.
    assert any("a100" in label and "fp8" in label for label in found.refused)


def test_the_frontier_falls(tmp_path):
    found = plan(scenario(), ["self_hosted"], SPACE, replications=1, store=tmp_path)
    line = found.frontier()
    assert [one.cost_usd for one in line] == sorted(one.cost_usd for one in line)
    assert [one.e2e_p99_s for one in line] == sorted((one.e2e_p99_s for one in line), reverse=True)
    assert all(one.refused for one in found.simulated if one.cost_usd < found.best.cost_usd)


def test_nothing_beyond_the_budget_is_chosen_or_simulated_in_vain(tmp_path):
    """A budget below the cheapest that will do leaves nothing, and one above it changes nothing."""
    space = Space(gpus=("l40s",), tensor_parallel=(1,), quantisations=("bf16",), most_replicas=5)
    free = plan(scenario(), ["self_hosted"], space, replications=1, store=tmp_path)
    above, below = round(free.best.cost_usd) + 50, round(free.best.cost_usd) - 50
    rich, poor = (
        plan(
            scenario(**{"constraints.monthly_cost_at_most": f"{usd} USD/month"}),
            ["self_hosted"], space, replications=1, store=tmp_path,
        )
        for usd in (above, below)
    )  # fmt: skip
    assert (rich.best.label, rich.best.cost_usd) == (free.best.label, free.best.cost_usd)
    assert poor.best is None
    assert all(one.at_least_usd <= below for one in poor.simulated)
    assert any("exceed the budget" in (one.refused or "") for one in poor.simulated) or poor.refused


def test_where_more_is_not_faster_everything_is_tried():
    """Met by 3 and 8 replicas, not by 9: halving may not be trusted."""
    tried = []

    def simulate(replicas):
        tried.append(replicas)
        return replicas in {3, 8}

    planning._bracket([*range(1, 12)], simulate, lambda _: False)
    assert set(tried) == set(range(1, 10))
    assert len(tried) == 9


def test_an_unknown_pattern_is_refused():
    with pytest.raises(ScenarioError, match="expected one of api, self_hosted, hybrid"):
        plan(scenario(), ["both"], SPACE, replications=1)


def test_without_options_every_pattern_is_varied_on_its_own_gpus(tmp_path, capsys):
    settings = [word for key, value in BUSY.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    words = ["plan", str(SCENARIO), *settings, "--json", "--store", str(tmp_path)]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    said = json.loads(capsys.readouterr().out)
    labels = " ".join([row["label"] for row in said["simulated"]] + list(said["not_simulated"]))
    own = {one.cluster.gpu for pattern in scenario().hosting_patterns.values() for one in pattern.hosted.values()}
    assert set(re.findall(r"\(\d+ x ([^,()]+),", labels)) == own
    assert all(api.model in labels for api in scenario().hosting_patterns["api"].metered.values())


def test_the_command_says_what_and_why(tmp_path, capsys):
    settings = [f"{key}={json.dumps(value)}" for key, value in BUSY.items()]
    words = ["plan", str(SCENARIO), "--pattern", "self_hosted", "--gpu", "l40s", "--quantisation", "bf16", "--json"]
    words += [word for one in settings for word in ("--set", one)]
    words += ["--store", str(tmp_path / "store"), "--plot", str(tmp_path / "plan.html")]
    with pytest.raises(SystemExit) as ended:
        main(words)
    said = json.loads(capsys.readouterr().out)
    assert ended.value.code == 0
    assert said["best"] in {row["label"] for row in said["simulated"] if row["refused"] is None}
    assert "frontier" in (tmp_path / "plan.html").read_text(encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        main([*words, "--gpu", "gtx-1080", "--lease", "gift"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("expected one of") == 2


def test_what_it_cannot_vary_is_tried_as_it_is(tmp_path):
    """Two APIs, one for each workload, cost less than either alone would: the plan finds what the scenario has."""
    api = small().resolved["hosting_patterns"]["api"]["api"]
    dear, cheap = ({"prompt": f"{usd} USD/1M tokens", "output": f"{usd} USD/1M tokens"} for usd in (40, 1))
    pair = {
        "kind": "metered_api",
        "apis": {"dear": {**api, "prices": dear}, "cheap": {**api, "prices": cheap}},
        "routing": {"kind": "overflow", "backends": {"notes": ["cheap"], "letters": ["dear"]}},
    }
    given = small({"hosting_patterns.api.api.prices": dear, "hosting_patterns.pair": pair})
    found = plan(given, space=Space(quantisations=("bf16",)), replications=1, store=tmp_path)
    pair_usd = next(one.monthly_cost_usd.mean for one in run(given, replications=1).patterns if one.name == "pair")
    assert found.best is not None
    assert (found.best.label, found.best.cost_usd) == ("pair, as it is", pair_usd)
    # Asked about others, it keeps to them.
    others = plan(given, ["api"], Space(), replications=1, store=tmp_path)
    assert not any("pair" in one.label for one in others.simulated)
