import json
from decimal import Decimal
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

import simulator
from simulator.cost.prices import load_price_book
from simulator.errors import ScenarioError
from simulator.experiment.measured import measured
from simulator.experiment.pattern_result import document, pattern_result
from simulator.experiment.replications import replicate
from simulator.workload.demand import demands
from tests.experiment.small import TOO_LARGE, small

BOOK = load_price_book("2026-11")
MONTH = Decimal(730)


@pytest.fixture(scope="module")
def results():
    return simulator.run(small(), jobs=1)


def test_the_document_has_the_published_shape(results):
    plain = json.loads(results.to_json())
    assert list(plain) == [
        "schema_version",
        "simulator_version",
        "scenario",
        "seed",
        "replications",
        "horizon_days",
        "month_hours",
        "currency",
        "price_book",
        "demand",
        "patterns",
        "compliance",
        "decision",
        "inputs",
    ]
    assert (plain["seed"], plain["replications"], plain["horizon_days"], plain["currency"]) == (7, 3, 1.0, "USD")
    names = {
        "name", "kind", "feasible", "infeasible_reasons", "monthly_cost_usd", "cost_lines_usd",
        "usd_per_million_tokens", "utilisation", "requests", "tokens", "latency", "workloads", "saturation",
        "usage", "by_replication",
    }  # fmt: skip
    decision = {
        "recommended", "reasons", "break_even_tokens_per_month", "payback_months", "rules_fired", "capacity_advice",
        "what_would_change_it",
    }  # fmt: skip
    assert decision <= set(plain["decision"])
    for pattern in plain["patterns"]:
        assert names <= set(pattern)
        assert set(pattern["monthly_cost_usd"]) == {"mean", "ci95"}
        assert set(pattern["tokens"]) == {"prompt", "cached_prompt", "output"}
        assert set(pattern["latency"]) == {"ttft_s", "itl_s", "e2e_s"}
        assert set(pattern["latency"]["ttft_s"]) == {"mean", "p50", "p90", "p95", "p99", "ci95"}
        for load in pattern["workloads"].values():
            assert {"latency", "requests", "tokens", "objective_met"} <= set(load)
    api, rented = plain["patterns"][:2]
    assert api["utilisation"] is None
    assert {"busy_fraction", "batch_occupancy", "kv_occupancy"} <= set(rented["utilisation"])


def test_attributes_mirror_the_document(results):
    plain = json.loads(results.to_json())
    for ours, theirs in zip(results.patterns, plain["patterns"], strict=True):
        assert ours.requests.arrived == theirs["requests"]["arrived"]
        assert ours.latency["e2e_s"].p99 == pytest.approx(theirs["latency"]["e2e_s"]["p99"], rel=1e-8)
        assert ours.monthly_cost_usd.mean == pytest.approx(theirs["monthly_cost_usd"]["mean"], rel=1e-8)
    assert results.pattern("hybrid").name == "hybrid"
    with pytest.raises(KeyError, match="none"):
        results.pattern("none")


def test_law_workloads_share_the_whole_bill(results):
    for pattern in results.patterns:
        costs = {name: load.cost for name, load in pattern.workloads.items()}
        assert sum(cost.monthly_usd for cost in costs.values()) == pytest.approx(float(pattern.bill.total_usd))
        assert {name: cost.unit for name, cost in costs.items()} == {"notes": "note", "letters": "request"}
        assert all(cost.usd_per_unit > 0 and cost.usd_per_million_tokens > 0 for cost in costs.values())
        assert pattern.unit_costs.marginal_usd_per_million_tokens <= pattern.usd_per_million_tokens * 1.000001
    assert [len(pattern.unit_costs.at_utilisation) for pattern in results.patterns] == [0, 4, 4, 0]


def test_a_count_of_patients_needs_no_new_simulation(tmp_path):
    simulator.run(small(), folder=tmp_path)
    kept = sorted(path.name for path in tmp_path.glob("*.json"))
    result = simulator.run(small({"prices.patients": 73_000}), folder=tmp_path).pattern("rented")
    assert sorted(path.name for path in tmp_path.glob("*.json")) == kept
    assert result.unit_costs.usd_per_patient == pytest.approx(result.monthly_cost_usd.mean / 73_000)


def test_law_a_figure_is_the_mean_of_its_replications(results):
    for pattern in results.patterns:
        found = pattern.by_replication["all"]
        assert mean(found["monthly_cost_usd"]) == pytest.approx(pattern.monthly_cost_usd.mean)
        assert mean(found["e2e_p99_s"]) == pytest.approx(pattern.latency["e2e_s"].p99)
        for name, load in pattern.workloads.items():
            assert mean(pattern.by_replication[name]["ttft_p99_s"]) == pytest.approx(load.latency["ttft_s"].p99)


def test_the_document_says_what_it_was_priced_with(results):
    plain = json.loads(results.to_json())["inputs"]
    assert plain["scenario"] == small().resolved
    assert list(plain["prices"]["api_prices"]) == ["bedrock/llama-3.3-70b"]
    assert not plain["prices"]["gpu_offers"]


def test_units_of_throughput_are_among_the_prices():
    settings = {
        "hosting_patterns.api.api.model": "azure/gpt-4o",
        "hosting_patterns.api.api.deployment": {"kind": "provisioned", "units": 50},
        "hosting_patterns.api.api.prices": {"prompt": "1 USD/1M tokens", "output": "1 USD/1M tokens"},
    }
    plain = simulator.run(small(settings), patterns=["api"], replications=1).document()
    assert list(plain["inputs"]["prices"]["provisioned_units"]) == ["azure/global"]


def test_law_conservation_in_the_document(results):
    ends = ("completed", "rejected", "timed_out", "cancelled", "unfinished")
    for pattern in results.patterns:
        for part in (pattern, *pattern.workloads.values()):
            assert part.requests.arrived == sum(getattr(part.requests, end) for end in ends)
        for count in ("arrived", *ends):
            parts = (getattr(load.requests, count) for load in pattern.workloads.values())
            assert getattr(pattern.requests, count) == sum(parts)


def test_law_cost_per_million_times_millions_is_the_cost(results):
    for pattern in results.patterns:
        tokens = {name: load.tokens.prompt + load.tokens.output for name, load in pattern.workloads.items()}
        # As many as the month asks, for those that arrived.
        month = sum(
            count * results.demand[name].billed_requests_per_month / results.demand[name].arrived_requests
            for name, count in tokens.items()
        )
        assert pattern.usd_per_million_tokens * month / 1e6 == pytest.approx(pattern.monthly_cost_usd.mean, rel=1e-3)


def test_law_cost_lines_sum_to_the_cost(results):
    for pattern in results.patterns:
        assert sum(pattern.cost_lines_usd.values()) == pytest.approx(pattern.monthly_cost_usd.mean, abs=0.05)


def test_only_what_is_metered_varies(results):
    assert results.pattern("rented").monthly_cost_usd.ci95 == (730.0, 730.0)
    low, high = results.pattern("api").monthly_cost_usd.ci95
    assert low < results.pattern("api").monthly_cost_usd.mean < high


def test_the_same_bytes_whatever_the_number_of_processes(results, tmp_path):
    assert simulator.run(small(), jobs=2, folder=tmp_path).to_json() == results.to_json()
    # And from what was kept.
    assert simulator.run(small(), folder=tmp_path).to_json() == results.to_json()


def test_a_new_price_needs_no_new_simulation(tmp_path):
    before = simulator.run(small(), folder=tmp_path)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.json")}
    dear = simulator.run(small({"hosting_patterns.rented.costs.compute.gpu_hour": "3 USD/h"}), folder=tmp_path)
    assert kept == {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.json")}
    assert dear.pattern("rented").monthly_cost_usd.mean == 3.0 * before.pattern("rented").monthly_cost_usd.mean
    assert dear.pattern("rented").latency == before.pattern("rented").latency


def test_one_replication_has_no_intervals():
    only = simulator.run(small(), patterns=["api"], replications=1).patterns[0]
    assert only.monthly_cost_usd.ci95 is None
    assert only.latency["ttft_s"].ci95 is None


def test_chosen_patterns_keep_the_order_of_the_scenario():
    found = simulator.run(small(), patterns=["rented", "api"], replications=1)
    assert [pattern.name for pattern in found.patterns] == ["api", "rented"]


@pytest.mark.parametrize("changes", [{"replications": 0}, {"jobs": 0}])
def test_counts_below_one_are_refused(changes):
    with pytest.raises(ValueError, match="at least one"):
        simulator.run(small(), **changes)


def test_an_unknown_pattern_is_named_with_those_there_are():
    with pytest.raises(ScenarioError, match="no such hosting pattern; expected one of api, rented, bought, hybrid"):
        simulator.run(small(), patterns=["api", "apu"])


def test_a_cluster_too_small_for_its_model_is_reported_and_the_others_run():
    found = simulator.run(small({"hosting_patterns.rented.cluster": TOO_LARGE}), replications=1)
    rented = found.pattern("rented")
    assert not rented.feasible
    assert "GiB weights" in rented.infeasible_reasons[0]
    assert rented.monthly_cost_usd is None
    assert found.pattern("bought").feasible
    assert "feasibility" in found.decision.rules_fired
    assert json.loads(found.to_json())["patterns"][1]["requests"] is None
    assert "rented" not in set(found.summary()["pattern"])


def test_a_scenario_in_which_nothing_fits_is_refused():
    scenario = small({"hosting_patterns.rented.cluster": TOO_LARGE})
    with pytest.raises(ScenarioError, match=r"hosting_patterns\.rented\.cluster: .*GiB weights"):
        simulator.run(scenario, patterns=["rented"])


def test_a_pattern_that_may_not_see_the_prompts_is_not_simulated():
    free = simulator.run(small(), replications=1, band=False, outlook=False)
    found = simulator.run(small({"constraints.phi_may_leave": False}), replications=1)
    assert not found.pattern("api").feasible
    assert "compliance" in found.decision.rules_fired
    # What it would have cost does not matter: it is the cheapest by far, and recommended where it may be used.
    assert free.decision.recommended == "api"
    chosen = found.pattern(found.decision.recommended)
    assert chosen.name != "api"
    assert chosen.monthly_cost_usd.mean > 10 * free.pattern("api").monthly_cost_usd.mean
    assert sum(found.pattern("hybrid").workloads["notes"].requests.failed_over.values()) == 0


def test_a_workload_nobody_uses():
    found = simulator.run(small({"workloads.notes.volume.clinicians": 1e-6}), replications=1)
    notes = found.pattern("api").workloads["notes"]
    assert notes.requests.arrived == 0
    assert notes.objective_met is None
    assert notes.latency["ttft_s"] is None


def test_the_summary_is_tidy(results):
    frame = results.summary()
    assert list(frame["workload"][:3]) == ["all", "notes", "letters"]
    assert len(frame) == 4 * 3
    whole = frame[frame["workload"] == "all"].set_index("pattern")
    assert whole.loc["api", "arrived"] == results.pattern("api").requests.arrived
    assert whole.loc["rented", "busy_fraction"] == results.pattern("rented").utilisation["busy_fraction"]
    assert "<table" in results._repr_html_()


def test_pooled_objectives_weigh_replications_by_their_requests():
    scenario = small({"workloads.notes.objectives": {"ttft": "900ms", "share": 0.5}})
    runs = replicate(scenario, ["api"], replications=3)["api"]
    pattern = scenario.hosting_patterns["api"]
    found = pattern_result("api", pattern, measured(pattern, runs, MONTH, demands(scenario)), BOOK, MONTH).workloads[
        "notes"
    ]
    within = sum(run.workloads["notes"].share_met * run.workloads["notes"].arrived for run in runs)
    assert found.share_met == pytest.approx(within / sum(run.workloads["notes"].arrived for run in runs))
    assert found.objective_met is (found.share_met >= 0.5)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_figures_have_nine_digits_and_rounding_again_changes_nothing(value):
    once = document({"x": [value, Decimal(1), None, 3]})["x"]
    assert once[0] == pytest.approx(value, rel=1e-8)
    assert document(once) == once
    assert len(f"{once[0]!r}".split("e")[0].replace("-", "").replace(".", "").strip("0")) <= 9


def test_an_autoscaled_cluster_is_billed_for_the_hours_it_had():
    config = {"kind": "schedule", "first_replicas": 0, "changes": [{"at": "+6h", "replicas": 1}]}
    scenario = small(
        {"hosting_patterns.rented.cluster": {"model": "llama-3.1-8b", "gpu": "l40s", "autoscaling": config}}
    )
    found = simulator.run(scenario, patterns=["rented"], replications=1, band=False, outlook=False).pattern("rented")
    assert found.cost_lines_usd["rental"] == pytest.approx(730 * 18 / 24)
    assert found.timeline.serving["cluster"][0] == 0.0
    assert found.timeline.serving["cluster"][-1] == 1.0
