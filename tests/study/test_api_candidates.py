"""A plan chooses between standard, provisioned with spillover, batch and a cluster of one's own."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction

import pytest

from simulator.cli.main import main
from simulator.cost.prices import load_price_book
from simulator.decision.screening import falls_short
from simulator.experiment.checks import load_checked
from simulator.performance.provisioned import provisioned_model, units_needed
from simulator.results import run
from simulator.scenario.apis import Provisioned, RateLimits, Reserved
from simulator.scenario.patterns import ApiPattern
from simulator.study.api_candidates import api_series, load_by_minute, sizes, tokens_by_minute
from simulator.study.candidates import Space
from simulator.study.plan import plan
from tests.parts import SCENARIOS

SCENARIO = SCENARIOS / "apis" / "deployments.yaml"
SHORT = {"horizon.duration": "7d", "experiment.replications": 1}
BOOK = load_price_book("2026-11")
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


FLEX = {"prices.overrides": {"azure/gpt-4.1": {"flex_prompt": "1 USD/1M tokens", "flex_output": "4 USD/1M tokens"}}}


def test_what_can_wait_minutes_but_not_a_day_is_processed_flexibly_at_half_the_price():
    """Batch and flex cost half as much; of the two only flex answers within an hour."""
    within = {"workloads.prior_auth_appeals.objectives": {"end_to_end": "1h"}, **FLEX}
    kinds = ("standard", "flex", "batch")
    found = plan(scenario("prior_auth_appeals", **within), ["by_the_token"], Space(deployments=kinds), replications=2)
    assert found.best.label == "azure/gpt-4.1, flex"
    by_label = {one.label: one for one in found.simulated}
    assert "objectives not met" in by_label["azure/gpt-4.1, batch"].refused
    # Flex answers fewer, for some find no capacity three times: one in 8,000.
    assert found.best.cost_usd == pytest.approx(by_label["azure/gpt-4.1, standard"].cost_usd / 2, rel=5e-3)


@pytest.mark.parametrize(("usd", "wins"), [("0.10", True), ("100", False)])
def test_a_reservation_wins_at_a_price_below_what_it_saves_by_the_token(usd, wins):
    """100 and 10 thousand tokens a minute: 11 USD a month against some 176 by the token, or 11,000."""
    given = scenario("clinical_documentation")
    found = plan(reserving(given, usd), ["bought"], Space(deployments=("standard", "reserved")), replications=1)
    label = "azure/gpt-4.1, 100,000 and 10,000 tokens a minute reserved, else by the token"
    assert (found.best.label == label) == wins
    if wins:
        # A minute never brings more than it holds, so nothing is paid by the token.
        assert found.best.cost_usd == pytest.approx(11.0)
        assert not any(found.best.result.requests.failed_over.values())
    else:
        assert "costs at least 11,000 USD" in found.refused["azure/gpt-4.1, reserved"]


def test_reservations_end_at_what_the_busiest_minute_needs():
    volume = {"clinicians": 30_000, "notes_per_day": 15}
    given = scenario("clinical_documentation", **{"workloads.clinical_documentation.volume": volume})
    pattern = reserving(given, "1").hosting_patterns["bought"]
    found, _ = api_series("bought", pattern, Space(deployments=("reserved",)), given, BOOK, Decimal(730))
    sizes_ = [one.pattern.metered["reserved"].deployment for one in found[0].candidates]
    prompts, outputs = (int(load.max()) for load in tokens_by_minute(given))
    assert 0 <= sizes_[-1].input_tokens_per_minute - prompts < 1_000
    assert 0 <= sizes_[-1].output_tokens_per_minute - outputs < 1_000
    assert (sizes_[0].input_tokens_per_minute, sizes_[0].output_tokens_per_minute) == (100_000, 10_000)
    assert [one.at_least_usd for one in found[0].candidates] == sorted(one.at_least_usd for one in found[0].candidates)


def with_units(unit_hour, quota, **more):
    """Units that serve but 60 prompt tokens a minute, so that a small hospital needs dozens, before a small quota."""
    given = scenario("clinical_documentation", **{"horizon.duration": "1d"})
    one = given.hosting_patterns["by_the_token"].api
    terms = {"tokens_per_unit": 60, "output_ratio": 4.0, "unit_hour": f"{unit_hour} USD/h", **more}
    units = Provisioned(kind="provisioned", units=100, spillover="quota", **terms)
    apis = {
        "bought": one.model_copy(update={"limits": RateLimits(), "deployment": units}),
        "quota": one.model_copy(update={"limits": RateLimits(tokens_per_minute=quota)}),
    }
    return given.model_copy(update={"hosting_patterns": {"units": ApiPattern(kind="metered_api", apis=apis)}})


@pytest.mark.parametrize(
    ("unit_hour", "quota", "wins"),
    [("0.001", 30_000, "units"), ("0.001", 2_000, "units"), ("1", 2_000, "units"), ("1", 150_000, "standard")],
)
def test_of_units_that_a_pattern_has_it_takes_as_many_as_trying_all_says(unit_hour, quota, wins):
    """Cheap units all, dear ones as few as the quota leaves room for, none where the quota is enough."""
    given, space = with_units(unit_hour, quota), Space(deployments=("own", "standard", "provisioned"))
    (series, refused) = api_series("units", given.hosting_patterns["units"], space, given, BOOK, Decimal(730))
    every = [one for each in series for one in each.candidates]
    assert not refused
    assert {"azure/gpt-4.1", "azure/gpt-4.1, standard"} < {one.label for one in every}
    assert len(every) >= 6
    able = []
    for one in every:
        alone = given.model_copy(update={"hosting_patterns": {"units": one.pattern}})
        (found,) = run(alone, replications=1, tables=False, band=False, outlook=False).patterns
        if falls_short(given, found) is None and found.met_as_measured:
            able.append((found.cost_usd, one.label))
    best = plan(given, ["units"], space, replications=1)
    cost, label = min(able)
    assert best.simulated[0].cost_usd <= cost
    chosen_ = next(one for one in best.simulated if one.label == label)
    assert (chosen_.refused, chosen_.cost_usd) == (None, pytest.approx(cost))
    assert ("standard" in label) is (wins == "standard")


def test_units_keep_their_terms_and_where_they_spill_to():
    given = with_units("2", 2_000, burst="10s")
    space = Space(deployments=("provisioned",))
    (series,), _ = api_series("units", given.hosting_patterns["units"], space, given, BOOK, Decimal(730))
    for one in series.candidates:
        units = one.pattern.metered["bought"].deployment
        assert (units.unit_hour, units.burst, units.spillover) == (Decimal(2), 10.0, "quota")
        assert one.pattern.metered["quota"].limits.tokens_per_minute == 2_000
        assert one.at_least_usd == pytest.approx(units.units * 2 * 730)


def reserving(given, usd):
    one = given.hosting_patterns["by_the_token"].api.model_copy(update={"limits": RateLimits()})
    tokens = {"input_tokens_per_minute": 100_000, "output_tokens_per_minute": 10_000}
    price = f"{usd} USD/month"
    deployment = Reserved(kind="reserved", spillover="tokens", input_price=price, output_price=price, **tokens)
    apis = {"reserved": one.model_copy(update={"deployment": deployment}), "tokens": one}
    pattern = ApiPattern(kind="metered_api", apis=apis)
    return given.model_copy(update={"hosting_patterns": {"bought": pattern}})


@pytest.mark.parametrize(
    ("space", "label", "reason"),
    [
        ({"deployments": ("flex",)}, "azure/gpt-4.1, flex", "has no flex price of azure/gpt-4.1"),
        ({"deployments": ("reserved",)}, "azure/gpt-4.1, reserved", "no price is published"),
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
        (["--pattern", "by_the_token", "--deployment", "spot"], "expected one of own, standard, priority"),
        (
            ["--pattern", "units", "--set", "hosting_patterns.units.apis.units.deployment.spillover=null"],
            "has several clusters or APIs",
        ),
    ],
)
def test_bad_input(capsys, tmp_path, words, message):
    with pytest.raises(SystemExit) as ended:
        main(["plan", str(SCENARIO), *words, "--store", str(tmp_path)])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
