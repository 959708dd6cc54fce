"""Failover goes nowhere a request may not go: law, not configuration."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simulator
from simulator.compliance.backends import allowed_backends
from simulator.errors import ScenarioError
from simulator.experiment.checks import load_checked
from simulator.experiment.replications import replicate
from tests.experiment.small import small

API = "bedrock/llama-3.3-70b"
REGISTRY = """\
id: clinic
date: 2026-03-01
extends: reference
models:
  bedrock/llama-3.3-70b: {approved_on: 2026-01-01}
  azure/gpt-4.1-data-zone: {approved_on: 2026-01-01}
  self_hosted/llama-3.1-8b: {approved_on: 2026-01-01}
"""
protections = st.fixed_dictionaries(
    {},
    optional={
        "residency": st.sampled_from([["us"], ["eu"], ["us", "eu"]]),
        "may_leave": st.booleans(),
        "air_gap": st.booleans(),
        "modality": st.sampled_from(["text", "image"]),
        "kept_at_most_days": st.sampled_from([0, 30]),
    },
)
loads = st.fixed_dictionaries({"phi": st.sampled_from([True, False, "de_identified"]), "data_protection": protections})


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    path = tmp_path_factory.mktemp("registry") / "clinic.yaml"
    path.write_text(REGISTRY, encoding="utf-8")
    return path


def clinic(registry, *, agreements, leaves, more):
    """Sixty clinicians at a cluster that takes one request at a time, and an API behind it."""
    sections = {
        "constraints": {"phi_may_leave": leaves},
        "compliance": {"registry": str(registry), "agreements": agreements, "forbidden_failover": "stay"},
        "hosting_patterns.hybrid.cluster.placement": {"premises": "on_site"},
        "hosting_patterns.hybrid.api.placement": {"region": "us-east-1"},
        "hosting_patterns.hybrid.routing": {"max_in_flight": 1, "timeout": "4s"},
        "workloads.letters.volume": {"requests_per_month": 60_000},
        "horizon.duration": "10h",
    }
    return small(
        sections | {f"workloads.{name}.{key}": value for name, load in more.items() for key, value in load.items()}
    )


SECOND = {"model": "azure/gpt-4.1-data-zone", "ttft": {"median": "1s"}, "output_tokens_per_s": {"median": 50}}
routings = st.sampled_from(
    [
        {"kind": "overflow", "max_in_flight": 1, "timeout": "4s"},
        {"kind": "least_loaded", "max_in_flight": 1, "timeout": "4s"},
        {"kind": "overflow", "max_in_flight": 1, "backends": {"notes": ["second", "cluster", "first"]}},
    ]
)


@pytest.mark.parametrize("examples", [25, pytest.param(150, marks=pytest.mark.slow)])
def test_no_request_reaches_a_backend_it_may_not_use(registry, examples):
    ends = Counter()

    @settings(max_examples=examples)
    @given(
        notes=loads,
        letters=loads,
        leaves=st.booleans(),
        signed=st.sets(st.sampled_from(["aws", "azure"])),
        how=routings,
    )
    def law(notes, letters, leaves, signed, how):
        agreements = dict.fromkeys(sorted(signed), "2026-01-01")
        scenario = clinic(registry, agreements=agreements, leaves=leaves, more={"notes": notes, "letters": letters})
        first = scenario.resolved["hosting_patterns"]["hybrid"]["api"]
        scenario = scenario.with_overrides(
            {"hosting_patterns.hybrid.routing": how, "hosting_patterns.hybrid.api": None,
             "hosting_patterns.hybrid.apis": {"first": first, "second": SECOND}}
        )  # fmt: skip
        allowed = allowed_backends(scenario, scenario.hosting_patterns["hybrid"])
        try:
            results = simulator.run(scenario, patterns=["hybrid"], replications=1, band=False, outlook=False)
        except ScenarioError:
            # Nobody may see the requests of some workload.
            assert any(all(row.values()) for row in allowed.values())
            ends["refused"] += 1
            return
        ends["limited" if any(any(row.values()) for row in allowed.values()) else "free"] += 1
        requests = results.tables.requests("hybrid")
        for name, row in allowed.items():
            mine = requests[requests["workload"] == name]
            assert len(mine)
            permitted = {backend for backend, reason in row.items() if reason is None}
            assert set(mine["backend"].dropna()) <= permitted, (name, row)
            if len(permitted) == 1:
                assert not sum(results.pattern("hybrid").workloads[name].requests.failed_over.values()), name
        whole = results.pattern("hybrid").requests
        ended = whole.completed + whole.rejected + whole.timed_out + whole.cancelled + whole.unfinished
        assert whole.arrived == ended

    law()
    # The law is empty where all is refused, and easy where all is free.
    assert ends["limited"] >= examples / 10, ends


def test_a_forbidden_failover_is_refused_unless_it_is_said_that_requests_stay(registry):
    scenario = clinic(registry, agreements={}, leaves=True, more={})
    assert simulator.run(scenario, patterns=["hybrid"], replications=1).pattern("hybrid").feasible
    strict = scenario.with_overrides({"compliance.forbidden_failover": "refuse"})
    with pytest.raises(ScenarioError, match="there is no business associate agreement with aws"):
        simulator.run(strict, patterns=["hybrid"], replications=1)


def test_a_cluster_that_is_forbidden_is_passed_by(registry):
    """A hybrid pattern whose cluster stands with somebody without an agreement: health information goes to the API."""
    scenario = clinic(registry, agreements={"aws": "2026-01-01"}, leaves=True, more={})
    moved = scenario.with_overrides(
        {"hosting_patterns.hybrid.cluster.placement": {"premises": "cloud", "provider": "x"}}
    )
    results = simulator.run(moved, patterns=["hybrid"], replications=1, band=False, outlook=False)
    requests = results.tables.requests("hybrid")
    assert set(requests["backend"][requests["workload"] == "notes"]) == {API}
    assert set(requests["backend"][requests["workload"] == "letters"]) == {"cluster", API}


def test_an_api_is_as_forbidden_as_the_one_it_spills_over_to(registry):
    """Units that are full send on by themselves; nobody asks the router."""
    scenario = clinic(registry, agreements={"azure": "2026-01-01"}, leaves=True, more={})
    units = {"kind": "provisioned", "units": 15, "scope": "data_zone", "spillover": "first"}
    first = scenario.resolved["hosting_patterns"]["hybrid"]["api"]
    spilling = scenario.with_overrides(
        {"hosting_patterns.hybrid.api": None,
         "hosting_patterns.hybrid.apis": {"first": first, "second": SECOND | {"deployment": units}}}
    )  # fmt: skip
    row = allowed_backends(spilling, spilling.hosting_patterns["hybrid"])["notes"]
    assert row["cluster"] is None
    assert row["second"] == f"it spills over to first: {row['first']}"
    alone = spilling.with_overrides({"hosting_patterns.hybrid.apis.second.deployment.spillover": None})
    assert allowed_backends(alone, alone.hosting_patterns["hybrid"])["notes"]["second"] is None
    sold_elsewhere = alone.with_overrides({"hosting_patterns.hybrid.apis.second.deployment.scope": "global"})
    reason = allowed_backends(sold_elsewhere, sold_elsewhere.hosting_patterns["hybrid"])["notes"]["second"]
    assert reason == "its units are global, and the registry has it as data_zone"


def test_stored_simulations_are_not_reused_when_somebody_may_no_longer_go_somewhere(registry, tmp_path):
    open_ = clinic(registry, agreements={"aws": "2026-01-01"}, leaves=True, more={})
    closed = open_.with_overrides({"compliance.agreements": {"azure": "2026-01-01"}})
    first, second = (
        replicate(scenario, ["hybrid"], replications=1, folder=tmp_path)["hybrid"][0] for scenario in (open_, closed)
    )
    assert sum(first.workloads["notes"].failed_over.values()) > 0
    assert sum(second.workloads["notes"].failed_over.values()) == 0


def test_the_verdict_names_the_rule_and_the_output_says_what_was_assessed(site):
    scenario = load_checked(site(("{azure: 2026-01-15, ", "{")), must_fit=False)
    short = scenario.with_overrides({"horizon": {"start": "2026-12-07", "duration": "1d"}})
    results = simulator.run(short, replications=1)
    assert [result.feasible for result in results.patterns] == [False, True, False]
    assert results.decision.recommended == "own"
    assert results.decision.rules_fired[0] == "compliance"
    plain = results.document()
    assert plain["patterns"][0]["infeasible_by"] == "compliance"
    assert plain["compliance"]["assessed"]
    assert plain["compliance"]["registry"]["id"] == "st_elsewhere"
    unasked = simulator.run(small({"horizon.duration": "1h"}), patterns=["api"], replications=1).document()[
        "compliance"
    ]
    assert not unasked["assessed"]
    assert unasked["patterns"][0]["allowed"] is None
    assert np.all(["not legal advice" in found["disclaimer"] for found in (plain["compliance"], unasked)])


@pytest.mark.parametrize(
    ("entry", "change", "says"),
    [
        (
            "baa_coverage: not_covered, asserted_by: the vendor, asserted_on: 2026-11-20",
            (),
            "does not cover it (the vendor,",
        ),
        ("baa_coverage: unconfirmed", (), "is not known to cover it"),
        ("retires_on: 2026-12-07", (), "it is retired from 2026-12-07 on"),
        # What the provider moves its customers to is another version, and covered by nobody's word.
        ("", ("azure/gpt-4.1-data-zone", "azure/gpt-5.1-data-zone"), "is not approved in the registry"),
    ],
)
def test_a_version_that_loses_its_coverage_is_given_up_for_another_pattern(site, entry, change, says):
    """The cheapest of all while its version is covered; from the day on which it is not, the cluster is left."""

    def decided():
        scenario = load_checked(site(*([change] if change else [])), must_fit=False)
        return simulator.run(
            scenario.with_overrides({"horizon": {"start": "2026-12-07", "duration": "1d"}}),
            replications=1, band=False, outlook=False,
        )  # fmt: skip

    if not change:
        assert decided().decision.recommended == "api"
    known = site().with_name("registry.yaml")
    line = "azure/gpt-4.1-data-zone: {approved_on: 2026-10-01"
    text = known.read_text(encoding="utf-8")
    assert line in text
    known.write_text(text.replace(line, f"{line}, {entry}" if entry else line), encoding="utf-8")
    found = decided()
    assert found.decision.recommended == "own"
    assert [one.infeasible_by for one in found.patterns] == ["compliance", None, "compliance"]
    assert any(says in reason for reason in found.pattern("api").infeasible_reasons)
    assert any("api is out" in reason and says in reason for reason in found.decision.reasons)
