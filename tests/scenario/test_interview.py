"""Whatever is answered, the file validates, says where each default comes from, and nothing is left of a refusal."""

from __future__ import annotations

import io
import re

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.errors import ScenarioError
from simulator.experiment.checks import load_checked
from simulator.scenario.interview import HOLIDAYS, USES, Answers, composed, parse_uses
from tests.cli.command import run

ANSWERS = st.builds(
    Answers,
    uses=st.lists(st.sampled_from(sorted(USES)), min_size=1, unique=True).map(tuple),
    beds=st.integers(1, 20_000),
    clinicians=st.integers(1, 20_000),
    may_leave=st.booleans(),
    engineers=st.sampled_from([0.0, 0.1, 1.0, 12.5]),
    budget=st.sampled_from([None, "5000 USD/month", "90,000 USD/year"]),
    month=st.sampled_from(["2026-12", "2027-02", "2028-02"]),
    time_zone=st.sampled_from([*HOLIDAYS, "UTC", "Asia/Kolkata"]),
)
#: What says of a figure whose it is.
_BASIS = re.compile(r"yours|assumed|derived|measured|documented|published|price book|\b(19|20)\d\d\b|shape|step times")


@settings(max_examples=25)
@given(ANSWERS)
def test_every_answer_makes_a_sound_scenario_that_holds_what_was_answered(tmp_path_factory, answers):
    path = tmp_path_factory.mktemp("interview") / "s.yaml"
    path.write_text(composed(answers))
    scenario = load_checked(path)
    assert set(scenario.workloads) == set(answers.uses)
    assert scenario.constraints.phi_may_leave == answers.may_leave
    assert scenario.constraints.team.ml_engineers == answers.engineers
    assert (scenario.constraints.monthly_cost_at_most is None) == (answers.budget is None)
    if not answers.may_leave:
        assert {name for name, one in scenario.hosting_patterns.items() if one.refused_on_purpose} == {"api"}


@given(ANSWERS)
def test_every_line_with_a_figure_says_whose_it_is(answers):
    rows = composed(answers).split("workloads:\n", 1)[1].splitlines()
    bare = [
        row
        for row in rows
        if re.search(r": [\[{]?[^#]*\d", row) and not _BASIS.search(row.partition("#")[2]) and "&staff" not in row
    ]
    assert [row for row in bare if "description" not in row and "replications" not in row] == []


def test_volumes_are_those_of_their_sources():
    # 250 beds x 33,679,935 / 916,752 / 12 = 765.4; 120 clinicians x 695 / 3 = 27,800, x 7.1 = 852, x 6.5 = 780.
    text = composed(Answers(tuple(USES), 250, 120, True, 0, None, "2027-01", "UTC"))
    for row in ("requests_per_month: 765}", "messages_per_month: 27800}", "charts_per_month: 852}",
                "denials_per_month: 780}", "scans_per_month: 5000}", "clinicians: 120 "):  # fmt: skip
        assert row in text


GIVEN = ["--use", "notes", "--clinicians", "9", "--must-stay", "--engineers", "0.5", "--month", "2027-01"]


def test_options_answer_every_question(tmp_path, capsys):
    path = tmp_path / "clinic.yaml"
    assert run(["init", str(path), "--ask", *GIVEN], capsys)[0] == 0
    assert load_checked(path).name == "clinic"
    assert (tmp_path / "scenario.schema.json").exists()
    assert run(["init", str(path), *GIVEN], capsys)[0] == 2, "an answer asks, and nothing is written over"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--ask"], ["--use: is missing", "--may-leave or --must-stay: is missing", "--engineers: is missing"]),
        (["--use", "notes", "--may-leave", "--engineers", "1"], ["--clinicians: is missing"]),
        (["--use", "radiology,discharges", "--may-leave", "--engineers", "1"], ["--beds: is missing"]),
        (
            ["--use", "note", "--budget", "5k"],
            ["did you mean 'notes'?", "did you mean '5000 USD/month'?", "--engineers"],
        ),
        ([*GIVEN, "--time-zone", "America/Chikago"], ["did you mean 'America/Chicago'?"]),
        ([*GIVEN[:-1], "2027-13"], ["--month: horizon.month: '2027-13': expected a month"]),
        ([*GIVEN, "--template", "hospital"], ["a template asks no questions"]),
        ([*GIVEN, "--beds", "0"], ["--beds"]),
    ],
)
def test_what_is_missing_or_wrong_is_told_of_at_once_and_nothing_is_written(
    arguments, said, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    code, out, err = run(["init", str(tmp_path / "clinic.yaml"), *arguments], capsys)
    assert (code, out) == (2, "")
    assert [phrase for phrase in said if phrase not in err] == []
    assert list(tmp_path.iterdir()) == []


class _Terminal(io.StringIO):
    def isatty(self):
        return True


def test_at_a_terminal_it_asks_again_until_it_understands(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", _Terminal())
    answers = iter(
        ["notse", "notes, discharges", "many", "40", "120", "perhaps", "no", "0.5", "5k", "4000 USD/month", "UTC"]
    )
    asked = []

    def prompt(text, **_):
        asked.append(text)
        return next(answers)

    monkeypatch.setattr(typer, "prompt", prompt)
    path = tmp_path / "clinic.yaml"
    assert run(["init", str(path), "--ask"], capsys)[0] == 0
    assert len(asked) == 11
    scenario = load_checked(path)
    assert set(scenario.workloads) == {"notes", "discharges"}
    assert float(scenario.constraints.monthly_cost_at_most) == 4000


def test_an_interruption_leaves_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", _Terminal())

    def prompt(text, **_):
        if "engineers" in text or "GPUs" in text:
            raise typer.Abort
        return {"What": "notes", "How": "40", "May": "yes"}[text.split()[0]]

    monkeypatch.setattr(typer, "prompt", prompt)
    assert run(["init", str(tmp_path / "clinic.yaml"), "--ask"], capsys)[0] == 130
    assert list(tmp_path.iterdir()) == []


def test_uses_are_read_as_people_write_them():
    assert parse_uses("Notes, charts notes") == ("notes", "charts")
    for text in ("", ",", "none"):
        with pytest.raises(ScenarioError, match="expected some of notes"):
            parse_uses(text)


@pytest.mark.slow
def test_what_was_made_of_answers_runs(tmp_path, capsys):
    path = tmp_path / "clinic.yaml"
    assert run(["init", str(path), "--ask", *GIVEN], capsys)[0] == 0
    kept = ["--output", str(tmp_path / "kept"), "--store", str(tmp_path / "store")]
    code, out, _ = run(["run", str(path), "--replications", "1", *kept], capsys)
    assert code == 0
    assert "Verdict: " in out
