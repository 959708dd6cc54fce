"""What requests come by besides the model, hop by hop and pattern by pattern."""

from __future__ import annotations

from typing import get_args

import pytest

from simulator.compliance.check import assess
from simulator.compliance.data_flow import EXPECTED, data_flow, sees_phi, unstated
from simulator.compliance.registry import load_registry
from simulator.experiment.checks import load_checked
from simulator.scenario.compliance import Compliance, Hop, HopKind
from tests.cli.command import run
from tests.experiment.small import small

EDGE = "    edge: {kind: cdn, provider: cloudflare, region: us, keeps_days: 0}\n"
PATTERNS = ("api", "own", "hybrid")


def hops(scenario, pattern):
    section = scenario.compliance
    return {one.hop: one for one in data_flow(scenario, section, load_registry(section.registry), pattern)}


@pytest.mark.parametrize("named", [["api"], ["own", "hybrid"], None])
def test_a_hop_is_on_the_way_of_the_patterns_that_it_names_and_of_all_unless_it_names_some(site, named):
    said = "" if named is None else f", patterns: [{', '.join(named)}]"
    scenario = load_checked(site((EDGE, EDGE.replace("}", said + "}"))))
    for pattern in PATTERNS:
        assert ("edge" in hops(scenario, pattern)) == (named is None or pattern in named)
        assert {"gateway", "archive", "traces"} <= set(hops(scenario, pattern))


def test_an_agreement_that_is_missing_refuses_the_patterns_whose_requests_come_by(site, capsys):
    """Nobody has signed anything with fastly, and only the API is behind it."""
    path = site((EDGE, EDGE.replace("cloudflare", "fastly").replace("}", ", patterns: [api]}")))
    reason = "it sees protected health information of notes, and there is no business associate agreement with fastly"
    code, out, _ = run(["compliance", str(path), "--json"], capsys)
    assert code == 1
    assert reason in out
    code, _, said = run(["validate", str(path)], capsys)
    assert code == 2
    assert f"edge (cdn): {reason}" in said
    assert said.count("fastly") == 1


def test_a_hop_sees_the_workloads_that_come_by_and_their_content(site):
    pieces = {
        "all": EDGE,
        "letters": EDGE.replace("}", ", workloads: [letters]}"),
        "notes": EDGE.replace("}", ", workloads: [notes]}"),
        "headers alone": EDGE.replace("}", ", content: false}"),
    }
    found = {name: hops(load_checked(site((EDGE, text))), "api")["edge"].sees_phi_of for name, text in pieces.items()}
    # Letters are no health information.
    assert found == {"all": ["notes"], "letters": [], "notes": ["notes"], "headers alone": []}


def test_health_information_is_seen_until_the_first_hop_that_takes_it_out(site):
    """Edge, scrubber, log: the edge sees it and so does the scrubber, and nobody behind it."""
    more = "    scrubber: {kind: de_identification, on_site: true}\n    late: {kind: logs, on_site: true}\n"
    scenario = load_checked(site((EDGE, EDGE + more), ("phi: true", "phi: de_identified")))
    flow = scenario.compliance.data_flow
    seen = {hop: sees_phi(scenario, flow, hop, "notes") for hop in flow}
    # What takes it out was given it; the traces hold no content.
    assert seen == {
        "edge": True, "scrubber": True, "late": False, "gateway": False, "archive": False, "traces": False,
    }  # fmt: skip
    assert assess(scenario).patterns[0].allowed


@pytest.mark.parametrize("kind", get_args(HopKind))
def test_what_no_hop_takes_out_was_taken_out_before(kind):
    """Said to be de-identified: of the hops alone it follows that nobody sees anything, unless one of them does it."""
    scenario = small({"workloads.notes.phi": "de_identified"})
    flow = {name: Hop(kind=kind, on_site=True) for name in ("first", "second")}
    seen = [sees_phi(scenario, flow, hop, "notes") for hop in flow]
    assert seen == [kind == "de_identification", False]


@pytest.mark.parametrize("phi", [True, "de_identified"])
@pytest.mark.parametrize("stated", [[], *([kind] for kind in EXPECTED)])
def test_of_each_kind_of_hop_that_is_not_stated_it_is_said_so(stated, phi):
    """What takes health information out is asked for where somebody says that it is taken out."""
    section = Compliance(data_flow={kind: Hop(kind=kind, on_site=True) for kind in stated})
    asked = [kind for kind in EXPECTED if kind != "de_identification" or phi == "de_identified"]
    found = unstated(small({"workloads.notes.phi": phi}), section)
    assert found == [kind for kind in asked if kind not in stated]
