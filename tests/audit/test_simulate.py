"""The document's claims asked of the simulator, and its case studies as scenarios."""

from __future__ import annotations

import json

import pytest

import simulator
from simulator.audit.claims import audit
from simulator.audit.simulate import answers, questions
from simulator.cli.main import main
from simulator.cost.prices import load_price_book
from tests.parts import SCENARIOS

CASES = sorted((SCENARIOS / "case_studies").glob("*.yaml"))
AUDITED = {one.claim.id: one for one in audit(load_price_book("2026-11"))}
#: Refused, which is the point.
REFUSED = "telemedicine"


def exit_code(*arguments):
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return stop.value.code


@pytest.mark.parametrize("question", questions(), ids=lambda one: f"{one.claim} {one.what}")
def test_every_question_is_about_a_claim_and_a_pattern_that_exist(question):
    assert question.claim in AUDITED
    scenario = simulator.load_scenario(SCENARIOS / question.scenario)
    if question.settings:
        scenario = scenario.with_overrides(question.settings)
    assert question.pattern in scenario.hosting_patterns


@pytest.mark.parametrize("path", [path for path in CASES if path.stem != REFUSED], ids=lambda path: path.stem)
def test_case_studies_are_valid_with_each_override_and_say_where_they_come_from(path, capsys):
    assert exit_code("validate", str(path)) == 0, capsys.readouterr().err
    assert "The Model Hosting" in path.read_text(encoding="utf-8").split("\nname:")[0].replace("\n# ", " ")


def test_speech_is_refused_until_it_is_text(capsys):
    path = str(SCENARIOS / "case_studies" / f"{REFUSED}.yaml")
    assert exit_code("validate", path) == 2
    assert "does not cover realtime audio" in capsys.readouterr().err
    assert exit_code("validate", path, "--override", "transcribed") == 0


def test_the_rural_hospital_is_simulated(tmp_path, capsys):
    command = ["audit", "N45", "--simulate", str(SCENARIOS), "--store", str(tmp_path), "--jobs", "1", "--json"]
    assert exit_code(*command) == 0
    (claim,) = json.loads(capsys.readouterr().out)["claims"]
    share, api = (found["value"] for found in claim["simulated"])
    # 350 summaries a month, Poisson: 15 % is almost three standard deviations.
    assert api == pytest.approx(2.70, rel=0.15)
    assert 0.001 < share < 0.01


@pytest.mark.slow
def test_simulated_figures_are_near_the_recomputed_ones(tmp_path):
    found = {
        (one.question.claim, one.question.what): one.value for one in answers(SCENARIOS, questions(), store=tmp_path)
    }

    def recomputed(claim, figure):
        return float(AUDITED[claim].findings[figure].value)

    # The same bill: rent and salaries do not depend on what is simulated.
    assert found[("N15", "rented")] == pytest.approx(recomputed("N15", 0))
    # Electricity is simulated: idler than the document's flat 150 USD.
    assert recomputed("N15", 1) - 100 < found[("N15", "bought, power as busy as it is")] < recomputed("N15", 1)
    # Metered costs and volumes are random: the intervals are a few per cent wide.
    near = {
        ("N30", "notes of 22 working days"): 0,
        ("N37", "all on GPT-4 Turbo"): 0,
        ("N47", "on GPT-4 Turbo"): 0,
        ("N48", "on the API"): 0,
        ("N51", "tokens"): 3,
    }
    for (claim, what), figure in near.items():
        assert found[(claim, what)] == pytest.approx(recomputed(claim, figure), rel=0.05)
    # The cluster makes more of this mix than the document's 1,500 tokens/s, and every share is lower by that much.
    more = found[("N16", "full batches of this mix")] / 1500
    assert 1.0 < more < 2.0
    shares = {
        ("N31", "share of capacity, notes alone"): 0,
        ("N34", "share of capacity, notes and reports"): 1,
        ("N38", "share of its capacity"): 2,
        ("N45", "share of the cluster's capacity"): 4,
        ("N46", "share of the capacity of eight A100s"): 2,
        ("N48", "share of the cluster's capacity"): 2,
    }
    for (claim, what), figure in shares.items():
        # Other mixes than that of all workloads fill a batch otherwise.
        assert found[(claim, what)] == pytest.approx(recomputed(claim, figure) / more, rel=0.1)
