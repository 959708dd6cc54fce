"""Rollouts, simulated."""

import json
from io import StringIO

import pytest
from rich.console import Console

import simulator
from simulator import results as answering
from simulator.errors import ScenarioError
from simulator.experiment import replications
from simulator.experiment.checks import checked
from simulator.report.rollout import render
from simulator.results import run
from simulator.scenario.merging import apply_settings
from simulator.scenario.scaling import scaled
from simulator.scenario.yaml_source import Document
from simulator.study.rollout import months_of, rollout
from simulator.workload.synthesis import synthesise
from tests.experiment.small import small

GROWS = {"kind": "table", "points": [{"month": 1, "share": 0.25}, {"month": 4, "share": 1.0}]}
ROLLOUT = {
    "months": 5,
    "users": 60,
    "adoption": GROWS,
    "phases": [{"pattern": "api"}, {"pattern": "bought", "from_users": 45, "one_off": "100 USD"}],
}


def scenario(**settings):
    return small({"rollout": ROLLOUT, "experiment.replications": 1} | settings)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def found(store):
    return rollout(scenario(), store=store)


def test_each_month_is_simulated_at_its_volume(found):
    months = found.projection.months
    assert [month.share for month in months] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
    assert [month.users for month in months] == pytest.approx([15, 30, 45, 60, 60])
    tokens = [month.tokens_per_month for month in months]
    assert tokens == sorted(tokens)
    # Law: a month is what the scenario of its volume costs by itself.
    alone = run(scaled(scenario(), 0.5), patterns=["api", "bought"], band=False, outlook=False, tables=False)
    for name in ("api", "bought"):
        assert months[1].patterns[name].monthly_cost_usd == pytest.approx(alone.pattern(name).monthly_cost_usd.mean)
    assert months[1].patterns["bought"].running_usd == pytest.approx(
        months[1].patterns["bought"].monthly_cost_usd - 730.0
    )


def test_the_plan_switches_where_its_users_are_reached(found):
    planned = found.projection.course.strategies[0]
    assert planned.patterns == ["api", "api", "bought", "bought", "bought"]
    assert planned.cash_usd[2] == pytest.approx(
        found.projection.months[2].patterns["bought"].running_usd + 7300.0 + 100.0
    )


def test_new_prices_take_no_simulation(found, store, monkeypatch):
    monkeypatch.setattr(replications, "simulate", None)
    dearer = rollout(scenario(**{"hosting_patterns.bought.costs.compute.gpus": "14600 USD"}), store=store, jobs=2)
    planned = dearer.projection.course.strategies[0]
    assert planned.cash_usd[2] - found.projection.course.strategies[0].cash_usd[2] == pytest.approx(7300.0)


def test_the_same_months_share_an_answer(store, monkeypatch):
    asked = []
    monkeypatch.setattr("simulator.study.rollout.run", lambda *a, **k: asked.append(1) or answering.run(*a, **k))
    rollout(scenario(), store=store)
    # The last two of five have the same volume, and a horizon that is no calendar month is the same in each.
    assert len(asked) == 4


def test_more_processes_change_nothing(found, tmp_path):
    assert rollout(scenario(), jobs=2, store=tmp_path).document() == found.document()


def test_actual_adoption_stands_beside_the_projection(store):
    actual = {
        "kind": "fitted",
        "curve": "saturating",
        "observed": [{"month": 1, "share": 0.1}, {"month": 3, "share": 0.2}],
    }
    both = rollout(scenario(**{"rollout.actual": actual}), store=store)
    assert both.actual.adoption.shares[2] == pytest.approx(0.2, abs=1e-6)
    assert both.actual.course.steps[0].month is None
    plain = json.loads(json.dumps(both.document()))
    assert plain["actual"]["adoption"]["observed"] == [[1, 0.1], [3, 0.2]]
    assert len(plain["projection"]["months"]) == 5


def test_a_notebook_gets_a_row_for_each_month_and_pattern(found):
    frame = found.summary()
    assert len(frame) == 5 * 2
    assert list(frame["month"]) == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    month = found.projection.months[2]
    (row,) = frame[(frame["month"] == 3) & (frame["pattern"] == "bought")].to_dict("records")
    assert row["running_usd"] == month.patterns["bought"].running_usd
    assert "<table" in found._repr_html_()
    assert simulator.rollout is rollout


def test_calendar_months_follow_each_other():
    given = scenario(**{"rollout.start": "2026-11", "rollout.months": 4})
    assert months_of(given, given.rollout) == ["2026-11", "2026-12", "2027-01", "2027-02"]
    assert months_of(scenario(), scenario().rollout)[0] == "2026-04"


def test_a_calendar_month_has_its_own_working_days(tmp_path):
    settings = {
        "horizon": {"month": "2026-04"},
        "workloads.notes.volume": {"clinicians": 1, "notes_per_day": 4},
        "workloads.notes.days": ["mon"],
        "workloads.letters": None,
        "rollout.months": 3,
        "rollout.adoption": {"kind": "table", "points": [{"month": 1, "share": 1.0}]},
        "rollout.users": None,
        "rollout.phases": [{"pattern": "api"}],
    }
    months = rollout(scenario(**settings), store=tmp_path).projection.months
    # Four Mondays in April and May 2026, five in June; as a month of 730 h costs.
    assert [month.date for month in months] == ["2026-04", "2026-05", "2026-06"]
    assert months[2].tokens_per_month > 1.1 * months[1].tokens_per_month


def test_scaling_multiplies_the_requests_and_nothing_else():
    base, double = small(), scaled(small(), 2.0)
    counts = [len(synthesise(one, 0)) for one in (base, double)]
    assert counts[1] / counts[0] == pytest.approx(2.0, rel=0.1)
    assert double.workloads["notes"].volume.notes_per_day == base.workloads["notes"].volume.notes_per_day
    assert base.workloads["notes"].volume.clinicians == 60


def faults_of(**settings):
    document = Document(json.loads(json.dumps(small().resolved | {"rollout": ROLLOUT})))
    apply_settings(document, {key.replace("__", "."): value for key, value in settings.items()})
    with pytest.raises(ScenarioError) as error:
        checked(document)
    return [(fault.key, fault.message) for fault in error.value.faults]


def test_what_is_wrong_with_a_rollout_is_said_together():
    faults = faults_of(rollout__phases=[{"pattern": "apu"}, {"pattern": "hybird", "from_month": 3}])
    assert [key for key, _ in faults] == ["rollout.phases.0.pattern", "rollout.phases.1.pattern"]
    assert "expected one of api, rented, bought, hybrid" in faults[0][1]


@pytest.mark.parametrize(
    ("phases", "key", "message"),
    [
        ([{"pattern": "api", "from_month": 2}], "rollout.phases.0.from_month", "begins with the rollout"),
        ([{"pattern": "api"}, {"pattern": "bought"}], "rollout.phases.1", "give exactly one of from_month"),
        (
            [{"pattern": "api"}, {"pattern": "bought", "from_month": 2, "from_users": 1}],
            "rollout.phases.1",
            "give exactly one of from_month",
        ),
        ([{"pattern": "api"}, {"pattern": "bought", "from_date": "May"}], "rollout.phases.1.from_date", "2027-04"),
    ],
)
def test_phases_that_make_no_sense_are_refused(phases, key, message):
    ((found, said),) = faults_of(rollout__phases=phases)
    assert found == key
    assert message in said


def test_users_must_be_known_to_be_waited_for():
    ((key, message),) = faults_of(rollout__users=None)
    assert key == "rollout.phases.1.from_users"
    assert "needs rollout.users" in message


def test_a_model_that_retires_on_the_way_is_named(store):
    early = rollout(scenario(**{"rollout.months": 1, "rollout.adoption": GROWS}), store=store)
    (warning, *_) = early.warnings
    assert warning.startswith("api: bedrock/llama-3.3-70b retires on 2027-03-30")
    assert "the pattern is out" not in warning
    assert all("shut down" not in (one.missed or "") for one in early.projection.months[0].patterns.values())
    years_before = rollout(scenario(**{"rollout.months": 1, "rollout.start": "2024-02"}), store=store)
    assert years_before.warnings == []
    # From the month in which it goes, not before.
    settings = {"rollout.months": 3, "rollout.start": "2027-02", "rollout.adoption": GROWS}
    late = rollout(scenario(**settings), store=store)
    assert "from then on the pattern is out" in late.warnings[0]
    missed = [month.patterns["api"].missed for month in late.projection.months]
    assert missed[0] is None
    assert all(text.startswith("bedrock/llama-3.3-70b is shut down on 2027-03-30") for text in missed[1:])
    stay = next(one for one in late.projection.course.strategies if one.name == "stay")
    assert set(stay.missed_months) >= {2, 3}
    # Beside it a limit that the other pattern misses in all months, and one that nothing misses.
    said = shown(late)
    assert "met; shut down from month 2" in said
    assert "missed in" not in said
    assert said.count("†") == 3
    hard = {"workloads.notes.objectives": {"end_to_end": "1ms"}}
    assert "missed in 3 months; shut down from month 2" in shown(rollout(scenario(**settings, **hard), store=store))


def shown(result):
    """What `simulator rollout` prints, in one line."""
    console = Console(width=250, file=StringIO())
    console.print(render(result))
    return " ".join(console.file.getvalue().split())


def test_a_scenario_without_a_rollout_has_none():
    with pytest.raises(ScenarioError, match="how use grows"):
        rollout(small())


@pytest.mark.parametrize(("life", "said"), [(1, "1 month is"), (2, "2 months is"), (3, None), (60, None)])
def test_hardware_that_is_used_for_longer_than_it_is_written_off_in_is_named(store, life, said):
    """From the third of five months on there are 45 users: it is used for three."""
    asked = scenario(**{"hosting_patterns.bought.costs.compute.amortisation": life})
    lines = [line for line in rollout(asked, store=store).warnings if "bought again" in line]
    again = f"bought: hardware that is written off in {said} used for 3 here, and bought again"
    assert [line.startswith(again) for line in lines] == ([True] if said else [])
