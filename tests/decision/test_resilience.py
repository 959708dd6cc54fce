"""What must survive, what a year of failures leaves, and what stops a workload where nobody asked."""

from __future__ import annotations

import json
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

import simulator
from simulator.decision.resilience import single_points
from simulator.experiment.losses import Loss, LostHour, _kept, busiest_hours, parts_of, yearly_availability
from simulator.scenario.loading import load_scenario
from simulator.workload.calendar import to_local
from tests.cli.command import run as command
from tests.experiment.small import small

CLINIC = """
name: clinic
horizon: {start: 2026-12-09, duration: 1d, time_zone: America/New_York}
workloads:
  reports:
    volume: {scans_per_month: 40_000}
    profile: radiology_anomaly
    prompt_tokens: {kind: constant, tokens: 600}
    output_tokens: {kind: constant, tokens: 100}
    objectives: {end_to_end: 60s}
hosting_patterns:
  one:
    kind: self_hosted
    cluster: &l40s {model: llama-3.1-8b, gpu: l40s}
    costs: &rent {compute: {kind: rental, gpu_hour: 2 USD/h}}
  pair: {kind: self_hosted, cluster: {<<: *l40s, replicas: 2}, costs: *rent}
  rooms:
    kind: self_hosted
    clusters: {north: &room {cluster: *l40s, costs: *rent}, south: *room}
    routing: {kind: least_loaded}
experiment: {replications: 1}
"""


@pytest.fixture
def clinic(tmp_path):
    path = tmp_path / "clinic.yaml"
    path.write_text(CLINIC)
    return path


def answer(path, **settings):
    scenario = load_scenario(path, settings={key.replace("__", "."): value for key, value in settings.items()})
    return simulator.run(scenario, band=False)


@pytest.mark.parametrize(
    ("survives", "chosen"),
    [([], "one"), (["replica"], "pair"), (["node"], "rooms"), (["site"], "rooms"), (["replica", "site"], "rooms")],
)
def test_the_cheapest_that_stands_what_is_asked_is_chosen(clinic, survives, chosen):
    """One replica stands nothing; two on one machine stand the loss of one; only two rooms stand that of a room."""
    found = answer(clinic, constraints__survives=survives)
    assert found.decision.recommended == chosen
    out = {reason.split(" is out")[0] for reason in found.decision.reasons if "does not survive" in reason}
    proven = [reason for reason in found.decision.reasons if reason.startswith(f"{chosen} keeps every promise")]
    assert len(proven) == bool(survives)
    assert out == {"one", "pair", "rooms"} - ({"pair", "rooms"} if chosen == "pair" else {"rooms"}) - (
        set() if survives else {"one", "pair"}
    )


def test_two_machines_stand_the_loss_of_one(clinic):
    failures = {"gpus_per_node": 1}
    found = answer(clinic, constraints__survives=["node"], constraints__failures=failures)
    assert found.decision.recommended == "pair"


def test_clusters_of_one_room_are_lost_together(clinic):
    room = {f"hosting_patterns__rooms__clusters__{name}__cluster__site": "basement" for name in ("north", "south")}
    found = answer(clinic, constraints__survives=["site"], **room)
    assert found.decision.recommended is None
    (loss,) = found.pattern("rooms").losses
    assert (loss.component, loss.of, loss.survived) == ("site", "basement", False)
    assert loss.workloads["reports"].answered == 0.0


def test_an_availability_is_what_the_hours_down_leave(clinic):
    """One replica: 10.5 h of 2,115 d, of 154 d and 4 h of 730 d, in each of which everything is lost; by hand."""
    found = answer(clinic, workloads__reports__objectives__availability="99.9 %")
    down = [10.5 / (2115 * 24 + 10.5), 10.5 / (154 * 24 + 10.5), 4 / (730 * 24 + 4)]
    both = down[0] * down[1] + down[0] * down[2] + down[1] * down[2]
    one = found.pattern("one")
    assert all(loss.workloads["reports"].answered == 0.0 for loss in one.losses)
    assert one.yearly_availability["reports"] == pytest.approx(1 - sum(down) - both, abs=1e-9)
    # Two replicas on one machine: the loss of one costs what it was doing, that of the machine everything.
    pair = found.pattern("pair").yearly_availability["reports"]
    assert 1 - down[1] - down[2] - 5e-5 < pair < 1 - down[1] - down[2] + 1e-9
    assert found.pattern("rooms").yearly_availability["reports"] > 0.9999
    assert found.decision.recommended == "rooms"
    (proven,) = [reason for reason in found.decision.reasons if reason.startswith("rooms is expected to answer")]
    assert "the loss of a node of north 25 h" in proven
    (reason,) = [reason for reason in found.decision.reasons if reason.startswith("one is out")]
    assert "expected to answer 99.67 % of reports over a year (99.90 % wanted)" in reason


def test_a_workload_that_sleeps_in_the_busiest_hour_has_one_of_its_own(clinic):
    """A batch at midnight has most tokens; without an hour of their own the reports of the day would count as kept."""
    night = {
        "volume": {"requests_per_month": 12_000}, "arrivals": {"kind": "batches", "every": "24h", "spacing": "100ms"},
        "prompt_tokens": {"kind": "constant", "tokens": 2000}, "output_tokens": {"kind": "constant", "tokens": 100},
    }  # fmt: skip
    quiet = [[0] * 8 + [1] * 10 + [0] * 6] * 7
    settings = {"workloads__letters": night, "workloads__reports__profile": quiet, "constraints__survives": ["site"]}
    found = answer(clinic, **settings, workloads__reports__objectives__availability="99.9 %")
    losses = [loss for loss in found.pattern("one").losses if loss.component == "site"]
    assert [sorted(loss.workloads) for loss in losses] == [["letters"], ["reports"]]
    assert [loss.at[-5:] == "00:00" for loss in losses] == [True, False]
    assert not any(loss.survived for loss in losses)
    assert found.pattern("one").yearly_availability["reports"] == pytest.approx(0.9967, abs=1e-4)


def test_rates_of_ones_own_decide(clinic):
    rare = {"mean_time_between": "5000d", "repair": "1h"}
    rates = dict.fromkeys(("replica", "node", "site"), rare)
    settings = {"workloads__reports__objectives__availability": "99.9 %", "constraints__failures": rates}
    found = answer(clinic, **settings)
    assert found.decision.recommended == "one"
    assert found.pattern("one").yearly_availability["reports"] == pytest.approx(1 - 3 / (5000 * 24 + 1), abs=1e-8)


def test_a_hybrid_stands_the_loss_of_its_cluster_only_where_prompts_may_leave(clinic):
    api = {"model": "bedrock/llama-3.3-70b", "ttft": {"median": "700ms"}, "output_tokens_per_s": {"median": 50}}
    both = {
        "kind": "hybrid", "api": api, "cluster": {"model": "llama-3.1-8b", "gpu": "l40s"},
        "costs": {"compute": {"kind": "rental", "gpu_hour": "1 USD/h"}},
    }  # fmt: skip
    settings = {"hosting_patterns__both": both, "constraints__survives": ["site", "api"]}
    assert answer(clinic, **settings).decision.recommended == "both"
    found = answer(clinic, **settings, constraints__phi_may_leave=False)
    assert found.decision.recommended == "rooms"
    sites = {loss.component: loss.survived for loss in found.pattern("both").losses}
    assert sites == {"site": False, "api": True}


def test_nothing_is_added_where_nobody_asks(clinic):
    document = answer(clinic).document()
    assert not any({"losses", "yearly_availability"} & set(row) for row in document["patterns"])


def test_without_the_keys_a_single_part_is_a_matter_of_care(clinic):
    care = answer(clinic).decision.take_care
    (one,) = [line for line in care if line.startswith("one: one replica serves reports")]
    # 8,760 h times the shares above: 1.8, 24.8 and 2.0 h.
    assert "about 29 h a year (replica 2 h, node 25 h, site 2 h)" in one
    (pair,) = [line for line in care if line.startswith("pair: one machine serves reports")]
    assert "about 27 h a year (node 25 h, site 2 h)" in pair
    assert not any(line.startswith("rooms: one") for line in care)
    asked = answer(clinic, constraints__survives=["replica"]).decision.take_care
    assert not any("its failure stops" in line for line in asked)


def test_of_several_apis_each_is_named_with_what_it_alone_serves():
    """Letters at one, notes at another: neither serves both, and what has a spare is no care any more."""
    api = {"model": "bedrock/llama-3.3-70b", "ttft": "1s", "output_tokens_per_s": 80}

    def care(notes):
        routing = {"kind": "overflow", "backends": {"letters": ["ears"], "notes": notes}}
        cloud = {"kind": "metered_api", "apis": {"ears": api, "llm": api, "spare": api}, "routing": routing}
        scenario = small({"hosting_patterns.cloud": cloud})
        return [line.partition(";")[0] for line in single_points(scenario, scenario.hosting_patterns["cloud"])]

    assert sorted(care(["llm"])) == ["one API (ears) serves letters", "one API (llm) serves notes"]
    assert care(["llm", "spare"]) == ["one API (ears) serves letters"]


def test_plan_and_capacity_size_for_the_loss_of_one(clinic, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    asked = ["--set", "constraints.survives=[replica]", "--jobs", "1"]
    code, out, _ = command(["capacity", str(clinic), "--pattern", "one", *asked, "--json"], capsys)
    (advice,) = json.loads(out)["patterns"]
    assert (code, advice["recommended"]) == (0, "cluster: 2 replicas")
    assert "does not survive the loss of a replica" in advice["options"][0]["falls_short"]
    space = ["--gpu", "l40s", "--quantisation", "bf16", "--tensor-parallel", "1", "--pattern", "one"]
    for settings, best in ((asked, 2), (asked[2:], 1)):
        code, out, _ = command(["plan", str(clinic), *space, *settings, "--json", "--quiet"], capsys)
        assert code == 0
        assert json.loads(out)["best"].startswith(f"{best} x (1 x l40s, bf16)")


def test_the_report_shows_the_day(clinic, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    asked = ["--set", "constraints.survives=[site]", "--jobs", "1", "--quiet", "--output", "kept", "--report"]
    code, _, _ = command(["run", str(clinic), *asked], capsys)
    assert code == 0
    page = (tmp_path / "kept" / "report.html").read_text()
    assert 'id="figure-loss-site"' in page
    assert "rooms without the site of north" in page


def test_the_busiest_hour_is_the_one_with_most_tokens():
    scenario = small({"horizon.duration": "7d", "workloads.notes.profile": "clinical_documentation"})
    (day, at_s), *_ = busiest_hours(scenario)
    table = simulator.run(scenario, patterns=["api"], replications=1, outlook=False).tables.requests("api")
    tokens = (table["prompt_tokens"] + table["output_tokens"]).groupby(table["arrival_s"] // 3600).sum()
    assert to_local(day, at_s) == to_local(scenario.horizon, 3600.0 * tokens.idxmax())
    assert day.duration_s <= 2 * 86_400


@given(st.integers(1, 8), st.sampled_from([1, 2, 4]), st.integers(1, 8))
def test_law_parts_of_a_cluster(replicas, split, per_node):
    cluster = {"replicas": replicas, "tensor_parallel": split}
    settings = {f"hosting_patterns.rented.cluster.{key}": value for key, value in cluster.items()}
    scenario = small(settings | {"constraints.failures.gpus_per_node": per_node})
    parts = {part.component: part for part in parts_of(scenario, scenario.hosting_patterns["rented"])}
    assert set(parts) == {"replica", "node", "site"}
    assert parts["replica"].count == replicas
    assert (parts["node"].count - 1) * per_node < replicas * split <= parts["node"].count * per_node
    # A replica of several GPUs fails as often as any of them, to first order.
    alone = scenario.constraints.failures.replica.unavailable
    assert parts["replica"].unavailable == pytest.approx(split * alone)


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0, 1)), max_size=6), st.floats(0.5, 1), st.integers(0, 5))
def test_law_more_that_can_fail_never_raises_availability(parts, answered, kept):
    def lost(number, hours, share):
        return Loss("node", f"x{number}", "", "", {"notes": LostHour(10, share, None, True)}, True, hours, None)

    found = [lost(number, *part) for number, part in enumerate(parts)]
    whole = yearly_availability(answered, "notes", found)
    assert 0.0 <= whole <= answered
    assert whole <= yearly_availability(answered, "notes", found[:kept]) + 1e-12


@given(st.integers(1, 60), st.data(), st.sampled_from([0.9, 0.95, 0.99]))
def test_law_an_hour_is_missed_only_beyond_chance(known, data, share):
    """Against the binomial sum written out."""
    met = data.draw(st.integers(0, known))
    chance = sum(comb(known, count) * share**count * (1 - share) ** (known - count) for count in range(met + 1))
    assert _kept(met, known, share) is (met >= share * known or chance >= 0.05)
