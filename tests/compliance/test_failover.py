"""Failover goes nowhere a request may not go: law, not configuration."""

from __future__ import annotations

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


@settings(max_examples=20, deadline=None)
@given(notes=loads, letters=loads, leaves=st.booleans(), signed=st.booleans())
def test_no_request_reaches_a_backend_it_may_not_use(registry, notes, letters, leaves, signed):
    agreements = {"aws": "2026-01-01"} if signed else {}
    scenario = clinic(registry, agreements=agreements, leaves=leaves, more={"notes": notes, "letters": letters})
    allowed = allowed_backends(scenario, scenario.hosting_patterns["hybrid"])
    try:
        results = simulator.run(scenario, patterns=["hybrid"], replications=1, band=False, outlook=False)
    except ScenarioError:
        # Not even the cluster may see the requests of some workload.
        assert any(row["cluster"] for row in allowed.values())
        return
    requests = results.tables.requests("hybrid")
    for name, row in allowed.items():
        mine = requests[requests["workload"] == name]
        assert len(mine)
        reached = set(mine["backend"].dropna())
        assert reached <= {backend for backend, reason in row.items() if reason is None}, (name, row)
        failed_over = sum(results.pattern("hybrid").workloads[name].requests.failed_over.values())
        assert (failed_over > 0) is (row[API] is None), name
    whole = results.pattern("hybrid").requests
    ended = whole.completed + whole.rejected + whole.timed_out + whole.cancelled + whole.unfinished
    assert whole.arrived == ended


def test_a_forbidden_failover_is_refused_unless_it_is_said_that_requests_stay(registry):
    scenario = clinic(registry, agreements={}, leaves=True, more={})
    assert simulator.run(scenario, patterns=["hybrid"], replications=1).pattern("hybrid").feasible
    strict = scenario.with_overrides({"compliance.forbidden_failover": "refuse"})
    with pytest.raises(ScenarioError, match="there is no business associate agreement with aws"):
        simulator.run(strict, patterns=["hybrid"], replications=1)


def test_a_cluster_that_is_forbidden_is_never_first(registry):
    """The API alone would do, but every request of a hybrid pattern meets the cluster first."""
    scenario = clinic(registry, agreements={"aws": "2026-01-01"}, leaves=True, more={})
    moved = scenario.with_overrides(
        {"hosting_patterns.hybrid.cluster.placement": {"premises": "cloud", "provider": "x"}}
    )
    with pytest.raises(ScenarioError, match="there is no business associate agreement with x"):
        simulator.run(moved, patterns=["hybrid"], replications=1)


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
    short = scenario.with_overrides({"horizon": {"start": "2026-12-07", "duration": "6h"}})
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
