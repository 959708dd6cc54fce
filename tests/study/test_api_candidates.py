"""A plan chooses between standard, provisioned with spillover, batch and a cluster of one's own."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest

from simulator.cli.main import main
from simulator.experiment.checks import load_checked
from simulator.performance.provisioned import provisioned_model, units_needed
from simulator.study.api_candidates import load_by_minute, sizes
from simulator.study.candidates import Space
from simulator.study.plan import plan
from tests.parts import SCENARIOS

SCENARIO = SCENARIOS / "apis" / "deployments.yaml"
SHORT = {"horizon.duration": "7d", "experiment.replications": 1}
API = "hosting_patterns.by_the_token.api"
EVERY = ("standard", "provisioned", "batch")
SPACE = Space(gpus=("l40s",), tensor_parallel=(1,), quantisations=("bf16",), most_replicas=2, deployments=EVERY)


def scenario(workload, **more):
    given = load_checked(SCENARIO, settings=SHORT | more)
    return given.model_copy(update={"workloads": {workload: given.workloads[workload]}})


def chosen(workload, space=SPACE, **more):
    return plan(scenario(workload, **more), ["by_the_token", "own"], space, replications=1)


def test_what_can_wait_a_day_goes_into_files_at_half_the_price():
    found = chosen("prior_auth_appeals")
    by_label = {one.label: one for one in found.simulated}
    assert found.best.label == "azure/gpt-4.1, batch"
    standard = by_label["azure/gpt-4.1, standard"]
    assert standard.refused is None
    assert found.best.cost_usd == pytest.approx(standard.cost_usd / 2, rel=1e-6)
    # What costs more before it has served anything is not simulated.
    assert "no less than the best" in found.refused["azure/gpt-4.1, provisioned"]


def test_what_cannot_wait_is_paid_by_the_token():
    found = chosen("clinical_documentation")
    assert found.best.label == "azure/gpt-4.1, standard"
    batch = next(one for one in found.simulated if "batch" in one.label)
    assert "objectives not met" in batch.refused


def test_where_the_quota_is_too_small_units_or_a_cluster_serve_whichever_is_cheaper():
    tight = {f"{API}.limits.tokens_per_minute": 2_000}
    found = chosen("clinical_documentation", **tight)
    assert found.best.label == "1 x (1 x l40s, bf16)"
    only_apis = plan(scenario("clinical_documentation", **tight), ["by_the_token"], SPACE, replications=1)
    assert only_apis.best.label == "azure/gpt-4.1, 15 units, else by the token"
    spilled = only_apis.best.result.requests.failed_over["capacity"]
    assert 0 <= spilled < only_apis.best.result.requests.arrived
    assert set(only_apis.best.pattern.metered) == {"units", "tokens"}
    assert only_apis.best.pattern.metered["tokens"].limits.tokens_per_minute == 2_000


def test_sizes_are_sold_and_end_at_what_the_busiest_minute_needs():
    volume = {"clinicians": 30_000, "notes_per_day": 15}
    given = scenario("clinical_documentation", **{"workloads.clinical_documentation.volume": volume})
    model = provisioned_model("azure/gpt-4.1")
    load = load_by_minute(model, given)
    found = sizes(model, load, "global")
    assert len(load) == 7 * 1440
    assert found == sorted(set(found))
    assert found[0] == 15
    assert len(found) >= 4
    assert all(model.steps["global"].at_least(Fraction(size)) == size for size in found)
    notes = Fraction(30_000 * 15, 1440)
    mean = units_needed(model, prompt_tokens_per_minute=600 * notes, output_tokens_per_minute=200 * notes)
    assert found[-1] > mean


@pytest.mark.parametrize(
    ("space", "label", "reason"),
    [
        ({"deployments": ("priority",), "api_models": ("azure/llama-3.3-70b",)},
         "azure/llama-3.3-70b, priority", "has no priority price of azure/llama-3.3-70b"),
        ({"deployments": ("provisioned",), "api_models": ("bedrock/claude-sonnet-4.5",)},
         "bedrock/claude-sonnet-4.5, provisioned", "no provisioned units are known"),
        ({"deployments": ("batch",), "api_models": ("azure/gpt-6-luna",)}, "azure/gpt-6-luna, batch", "no batch price"),
    ],
)  # fmt: skip
def test_what_cannot_be_bought_is_refused_with_the_reason(space, label, reason):
    found = plan(scenario("clinical_documentation"), ["by_the_token"], Space(**space), replications=1)
    assert found.best is None
    assert reason in found.refused[label]


def test_the_command_plans_one_workload_over_several_patterns(capsys, tmp_path):
    words = ["plan", str(SCENARIO), "--pattern", "by_the_token", "--deployment", "standard", "--deployment", "batch"]
    words += [word for key, value in SHORT.items() for word in ("--set", f"{key}={value}")]
    words += ["--workload", "prior_auth_appeals", "--store", str(tmp_path), "--json", "--jobs", "1"]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["best"] == "azure/gpt-4.1, batch"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--pattern", "by_the_token", "--workload", "notes"], "expected one of clinical_documentation"),
        (["--pattern", "by_the_token", "--deployment", "spot"], "expected one of standard, priority"),
        (["--pattern", "units"], "has several clusters or APIs"),
    ],
)
def test_bad_input(capsys, tmp_path, words, message):
    with pytest.raises(SystemExit) as ended:
        main(["plan", str(SCENARIO), *words, "--store", str(tmp_path)])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
