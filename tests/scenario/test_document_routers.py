"""The source document's routers: as written, what executing its code gave; corrected, what it says it wants."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.scenario.document_routers import CORRECTED, WorkloadFacts, decide
from simulator.scenario.patterns import HybridPattern
from simulator.scenario.routing_explained import explain_routing
from simulator.scenario.rules import shipped_tables
from tests.engine.demand import COSTS, api, cluster

# The document's four workloads: volume, coefficient of variation, latency, fine-tuned.
FOUR = {
    "clinical_docs": {"tokens_per_month": 432e6, "variation": 0.12, "latency": "1500ms"},
    "prior_auth": {"tokens_per_month": 25.5e6, "variation": 0.6, "latency": "10s"},
    "patient_comms": {"tokens_per_month": 0.48e6, "variation": 0.8, "latency": "5s"},
    "radiology": {"tokens_per_month": 54e6, "variation": 0.15, "latency": "800ms", "fine_tuned": True},
}


def routed(**routing):
    content = {"kind": "hybrid", "cluster": cluster(), "costs": COSTS, "api": api(), "routing": routing}
    return HybridPattern.model_validate(content)


def facts(millions, variation, latency_ms, **more):
    content = {"tokens_per_month": millions * 1e6, "variation": variation, "latency": f"{latency_ms}ms", **more}
    return WorkloadFacts.model_validate(content)


@pytest.mark.parametrize(
    ("kind", "targets"),
    [
        ("seed_as_written", ["api", "api", "api", "self_hosted"]),
        ("seed_corrected", ["self_hosted", "api", "api", "self_hosted"]),
    ],
)
def test_the_four_workloads(kind, targets):
    pattern = routed(kind=kind, router="hosting_pattern", facts=FOUR)
    assert [pattern.routing.target(name)[0] for name in FOUR] == targets
    backends = {"api": ("azure/gpt-4-turbo",), "self_hosted": ("cluster",)}
    explained = explain_routing(pattern, list(FOUR))
    assert [route.backends for route in explained.routes] == [backends[target] for target in targets]
    assert all(route.rule for route in explained.routes)
    assert explained.differences[0].subject == "clinical_docs"
    assert len(explained.differences) == 7


# What executing the document's function gave at its edges.
@pytest.mark.parametrize(
    ("workload", "written"),
    [
        (facts(5000, 0.30, 1500), "api"),
        (facts(500.000001, 0.45, 1500), "api"),
        (facts(500, 0.10, 1500), "api"),
        (facts(300, 0.35, 1500), "api"),
        (facts(300, 0.40, 1500), "api"),
        (facts(99.9, 0.10, 100), "api"),
        (facts(486, 0.10, 1500), "api"),
        (facts(5000, 0.10, 1500, experimental=True, fine_tuned=True), "api"),
        (facts(5000, 0.29, 1500), "self_hosted"),
        (facts(300, 0.41, 1500), "hybrid"),
        (facts(300, 0.10, 499), "self_hosted"),
    ],
)
def test_as_written_is_what_executing_it_gives(workload, written):
    assert decide(workload, shipped_tables()["routing_function"])[0] == written


@given(st.floats(1, 2e4), st.floats(0, 3), st.integers(1, 60_000))
def test_an_experiment_goes_to_the_api_and_weights_of_ones_own_stay_whatever_else_is_known(volume, variation, latency):
    """As the document writes it: the experiment first, then the weights, then volumes."""

    def target(**what):
        return decide(facts(volume, variation, latency, **what), shipped_tables()["routing_function"])[0]

    assert target(experimental=True) == "api"
    assert target(fine_tuned=True) == "self_hosted"
    assert target(experimental=True, fine_tuned=True) == "api"


@given(st.floats(1, 2e4), st.floats(0, 3), st.integers(1, 60_000), st.booleans(), st.booleans())
def test_corrected_has_no_gap_and_sends_no_weights_of_our_own_to_an_api(volume, variation, latency, tuned, trial):
    workload = facts(volume, variation, latency, fine_tuned=tuned, experimental=trial)
    target = decide(workload, CORRECTED)[0]
    assert target == "self_hosted" or not tuned
    if not tuned and not trial and latency >= 500 and variation < 0.4:
        # More volume never moves a steady workload back to the API.
        more = facts(2 * volume, variation, latency)
        assert (target, decide(more, CORRECTED)[0]) != ("self_hosted", "api")


def test_workload_types_as_written_and_corrected():
    types = {"experimental": ["trial"], "production": ["clinical_docs"], "router": "workload_type"}
    written = routed(kind="seed_as_written", **types).routing
    assert [written.target(name)[0] for name in ("trial", "clinical_docs", "triage")] == ["api", "self_hosted", "api"]
    corrected = routed(kind="seed_corrected", **types).routing
    assert corrected.unsaid(["trial", "clinical_docs", "triage"]) == ["triage"]
    assert [corrected.target(name)[0] for name in ("trial", "clinical_docs")] == ["api", "hybrid"]


def test_the_failover_router_has_the_documents_numbers_only_as_written():
    written, corrected = (
        routed(kind=f"seed_{kind}", router="failover").routing for kind in ("as_written", "corrected")
    )
    assert (written.in_flight_limit, written.timeout_s, written.queues_on_api_failure) == (100, 5.0, False)
    assert (corrected.in_flight_limit, corrected.timeout_s, corrected.queues_on_api_failure) == (None, None, True)
    assert [written.share(priority) for priority in (1, 2, 3)] == [1.0, 1.0, 1.0]
    assert corrected.share(3) < corrected.share(2) < corrected.share(1)
