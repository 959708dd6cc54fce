"""What is simulated, by counting; and that the answer is the one that `simulator run` gives."""

from __future__ import annotations

import json
from statistics import stdev

import pytest
from plotly.utils import PlotlyJSONEncoder

from simulator.cli.main import main
from simulator.cost import bill
from simulator.experiment import checkpoint, replications
from simulator.studio import view
from simulator.studio.answer import Memory, answer
from simulator.studio.desk import Desk
from simulator.studio.question import Fineness, Question
from simulator.studio.saving import save
from simulator.studio.session import Session
from tests.parts import SCENARIOS

RENT = ("prices", "overrides", "aws/g6e.xlarge", "instance_hour")
SCANS = ("workloads", "radiology_anomaly", "volume", "scans_per_month")


@pytest.fixture
def small(tmp_path):
    """A day of the smallest scenario, three replications."""
    source = tmp_path / "small.yaml"
    base = (SCENARIOS / "ci_small.yaml").resolve()
    source.write_text(
        f"extends: {base}\nhorizon: {{duration: 1d}}\nexperiment: {{replications: 3}}\n", encoding="utf-8"
    )
    return Session.opened(source)


@pytest.fixture
def simulated(monkeypatch):
    """Replications that were simulated, each by its number."""
    found = []
    own = replications._simulated

    def counted(scenario, task, *rest):
        found.append(task.replication)
        return own(scenario, task, *rest)

    monkeypatch.setattr(replications, "_simulated", counted)
    return found


@pytest.fixture
def desk(tmp_path):
    store = tmp_path / "store"
    store.mkdir()
    found = Desk(store)
    yield found
    found.close()


def same_numbers(one, other):
    """Of two documents: everything but what a first answer leaves to the look at other volumes."""
    later = (
        "cost_curve", "tornado", "confidence", "break_even_by_model", "what_would_change_it", "break_even",
        "break_even_tokens_per_month",
    )  # fmt: skip
    plain = [
        {**found, "decision": {k: v for k, v in found["decision"].items() if k not in later}} for found in (one, other)
    ]
    return plain[0] == plain[1]


@pytest.mark.slow
def test_a_price_simulates_nothing_and_the_answer_is_that_of_the_saved_file(
    small, desk, simulated, tmp_path, capfdbinary
):
    desk.ask(small.scenario)
    assert desk.wait()
    _, whole, _, fault = desk.state
    assert not fault
    assert whole.fineness == Fineness(3, whole=True)
    before = len(simulated)
    dearer = small.changed({RENT: "9.87 USD/h"})
    assert not dearer.faults
    first = desk.ask(dearer.scenario)
    assert desk.wait()
    assert len(simulated) == before > 0
    _, last, _, _ = desk.state
    target = tmp_path / "dearer.yaml"
    save(dearer, target)
    with pytest.raises(SystemExit):
        main(["run", str(target), "--json", "--quiet", "--jobs", "1", "--store", str(tmp_path / "store"),
              "--output", str(tmp_path / "run")])  # fmt: skip
    printed = capfdbinary.readouterr().out
    assert last.results.to_json() == printed
    assert first.fineness.replications == 3
    assert same_numbers(first.results.document(), json.loads(printed))
    cost = {row.name: row.monthly_cost_usd.mean for row in first.results.patterns}
    assert cost["self_hosted"] != pytest.approx(
        next(row.monthly_cost_usd.mean for row in whole.results.patterns if row.name == "self_hosted")
    )


def test_a_volume_needs_one_replication_before_its_first_answer(small, desk, simulated):
    desk.ask(small.scenario)
    assert desk.wait()
    simulated.clear()
    # The same question again is answered again.
    desk.ask(small.scenario)
    assert desk.wait()
    assert not simulated
    busier = small.changed({SCANS: "4500"})
    patterns = len(Question(busier.scenario).missing(Fineness(1), desk._store))
    told = []
    say = desk._say
    desk._say = lambda found: (told.append((found.fineness, list(simulated))), say(found))
    assert desk.ask(busier.scenario) is None
    assert desk.wait()
    fineness, behind = told[0]
    assert fineness == Fineness(1)
    assert behind == [0] * patterns
    counts = [one.replications for one, _ in told]
    assert counts == sorted(counts)
    assert told[-1][0] == Fineness(3, whole=True)


PRICES = {
    RENT: "9.87 USD/h",
    ("prices", "vat"): "19 %",
    ("prices", "discount_rate"): "3 %",
    ("hosting_patterns", "self_hosted", "costs", "storage"): "77 USD/month",
}


def test_a_price_is_put_on_what_is_remembered_and_nothing_is_priced_twice(small, tmp_path, monkeypatch):
    """What comes out is what comes out of simulations that are read anew."""
    memory, fineness = Memory(tmp_path), Fineness(3, whole=True)
    usual = answer(Question(small.scenario), fineness, memory, outlook=False)
    own, bills = bill.backend_bills, []

    def counted(pattern, *rest):
        bills.append(pattern.kind)
        return own(pattern, *rest)

    monkeypatch.setattr(bill, "backend_bills", counted)
    for key, text in PRICES.items():
        session = small.changed({key: text})
        assert not session.faults
        question = Question(session.scenario)
        assert question.finest_kept(tmp_path) == fineness
        bills.clear()
        with monkeypatch.context() as closed:
            for name in ("load", "save"):
                closed.setattr(checkpoint, name, lambda *_, **__: pytest.fail("the store is looked into"))
            found = answer(question, fineness, memory, outlook=False)
        hosted = sum(pattern.kind != "metered_api" for pattern in session.scenario.hosting_patterns.values())
        patterns = len(found.results.patterns)
        # Every replication, all as one, the same with nothing asked, as one with its unit costs; and both ends of a
        # band beside its middle.
        assert len(bills) <= patterns * (3 + 3) + 3 * hosted
        assert found.results.to_json() == answer(question, fineness, Memory(tmp_path), outlook=False).results.to_json()
        assert found.results.to_json() != usual.results.to_json()


@pytest.mark.parametrize(
    ("mean", "ci95", "said"),
    [
        (7676.0, (7672.15, 7679.85), "7,676 ± 4"),
        (5721.0, (5720.97, 5721.03), "5,721"),
        (44.01, (43.43, 44.59), "44.01 ± 0.58"),
        (5721.0, None, "5,721"),
    ],
)
def test_an_interval_has_the_digits_of_what_it_is_of(mean, ci95, said):
    assert view._interval({"mean": mean, "ci95": ci95}, "mean", view.usd) == said


@pytest.fixture
def month(tmp_path):
    """Four weeks of the smallest scenario, and of all that it asks."""
    source = tmp_path / "month.yaml"
    base = (SCENARIOS / "ci_small.yaml").resolve()
    source.write_text(f"extends: {base}\nhorizon: {{duration: 28d}}\n", encoding="utf-8")
    return Session.opened(source)


def test_the_first_answer_to_a_volume_takes_one_week_of_each_simulation(month, desk, monkeypatch):
    busier = month.changed({SCANS: "4500"}).scenario
    simulated = []
    own = replications._simulated

    def counted(scenario, task, *rest):
        simulated.append((task.replication, scenario.horizon.duration_s / 86_400.0, task.tables))
        return own(scenario, task, *rest)

    monkeypatch.setattr(replications, "_simulated", counted)
    told = []

    def say(found):
        told.append(found)
        # Nobody asks for more than the first.
        desk._asked += 1

    monkeypatch.setattr(desk, "_say", say)
    question = Question(busier)
    desk.ask(busier)
    assert desk.wait()
    assert simulated == [(0, 7.0, False)] * len(set(question.simulated_as.values()))
    (first,) = told
    assert first.fineness == Fineness(1, week=True)
    assert "coarse" in view.behind(first, working=True)
    # It is of the month: as many requests are billed as are asked, and its length is what the prices say.
    whole = answer(question, Fineness(2), Memory(desk._store))
    assert first.results.month_hours == whole.results.month_hours
    for name, one in first.results.demand.items():
        assert one.billed_requests_per_month == pytest.approx(whole.results.demand[name].billed_requests_per_month)
    for one, other in zip(first.results.patterns, whole.results.patterns, strict=True):
        assert one.cost_usd == pytest.approx(other.cost_usd, rel=0.05)
    # A week may leave open what a month tells, and then names the same as measured.
    decided = first.results.decision
    assert whole.results.decision.recommended in (decided.recommended, *decided.undecided.candidates[:1])
    # What is known of the month is never replaced by less.
    assert question.finest_kept(desk._store) == Fineness(2)


def test_a_coarse_answer_has_its_interval_before_a_month_is_simulated(month, tmp_path):
    """The interval of four weeks is theirs: half of it is t(3) times their spread over the root of their number."""
    four = {("experiment", "replications"): "6"}
    question = Question(month.changed(four).scenario)
    every = [*question.finenesses()]
    assert every[:3] == [Fineness(1, week=True), Fineness(4, week=True), Fineness(2)]
    assert every[-1] == Fineness(6, whole=True)
    weeks = question.simulations(every[1])
    assert {of.horizon.duration_s for of, _ in weeks} == {7 * 86_400.0}
    assert {task.replication for _, task in weeks} == {0, 1, 2, 3}
    memory = Memory(tmp_path)
    found = answer(question, every[1], memory, outlook=False)
    (row,) = [row for row in found.results.patterns if row.name == "api"]
    costs = [float(one) for one in row.by_replication["all"]["monthly_cost_usd"]]
    assert len(costs) == 4
    low, high = row.monthly_cost_usd.ci95
    assert high > low
    assert (high - low) / 2.0 == pytest.approx(3.182446 * stdev(costs) / 2.0, rel=1e-4)
    assert "4 times · ± is half a 95 % interval of a week" in view.behind(found, working=False)
    assert "±" in json.dumps(view.comparison(found, found.document), cls=PlotlyJSONEncoder, ensure_ascii=False)
    # A scenario that asks for one replication gets no interval, coarse or whole.
    alone = Question(month.changed({("experiment", "replications"): "1"}).scenario)
    assert [*alone.finenesses()] == [Fineness(1, week=True), Fineness(1), Fineness(1, whole=True)]


@pytest.mark.parametrize(
    "more",
    [
        "horizon: {duration: 14d}",
        "workloads: {radiology_anomaly: {trend: {yearly_growth: 0.43}}}",
        "constraints: {survives: [replica]}",
        "hosting_patterns: {api: {faults: [{kind: outage, api: bedrock/llama-3.3-70b, at: [+36h], duration: 2h}]}}",
    ],
)
def test_a_week_stands_for_no_month_in_which_weeks_differ(month, tmp_path, more):
    source = tmp_path / "other.yaml"
    source.write_text(f"extends: month.yaml\n{more}\n", encoding="utf-8")
    assert Question(month.scenario).week is not None
    assert Question(Session.opened(source).scenario).week is None


@pytest.mark.slow
def test_what_is_asked_meanwhile_counts_and_the_rest_is_let_go(small, desk, simulated):
    """The newest question is answered; of the older one no more is simulated than what was in hand."""
    older, newer = small.changed({SCANS: "4400"}), small.changed({SCANS: "4600"})
    own, asked = desk._simulated, []

    def interrupted(number, scenario, fineness):
        if not asked:
            asked.append(fineness)
            desk.ask(newer.scenario)
        return own(number, scenario, fineness)

    desk._simulated = interrupted
    desk.ask(older.scenario)
    assert desk.wait()
    _, found, working, fault = desk.state
    assert not working
    assert not fault
    assert found.scenario.sha256 == newer.scenario.sha256
    assert found.fineness.whole
    assert Question(older.scenario).finest_kept(desk._store) is None


def test_an_answer_is_as_fine_as_it_says(small, tmp_path):
    question = Question(small.scenario)
    assert list(question.finenesses()) == [Fineness(1), Fineness(2), Fineness(3), Fineness(3, whole=True)]
    assert question.finest_kept(tmp_path) is None
    found = answer(question, Fineness(2), Memory(tmp_path))
    document = found.document
    # Objectives that are missed, or cannot be told, are named with the least share within their limits.
    row = next(row for row in document["patterns"] if row["requests"])
    for said in ("missed", "cannot_tell"):
        for load in row["workloads"].values():
            load["objective"] |= {"answer": said, "limits": [{"share": 0.5}, {"share": 0.25}]}
        shown = json.dumps(view.comparison(found, document), cls=PlotlyJSONEncoder)
        assert "25.00 %" in shown
    assert question.finest_kept(tmp_path) == Fineness(2)
    assert {task.replication for _, task in question.missing(Fineness(3), tmp_path)} == {2}


@pytest.mark.slow
def test_a_question_nobody_can_answer_is_said_and_the_next_one_is_answered(small, desk):
    too_many = small.changed({SCANS: "1e11"})
    assert not too_many.faults
    desk.ask(too_many.scenario)
    assert desk.wait()
    _, _, working, fault = desk.state
    assert not working
    assert "requests" in fault
    desk.ask(small.scenario)
    assert desk.wait()
    assert desk.state[3] == ""
    assert desk.state[1].fineness.whole
