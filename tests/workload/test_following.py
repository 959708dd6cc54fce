"""Workloads that follow others, and conversations that wait for their answers, as they are drawn."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from simulator.scenario.faults import causes
from simulator.trace.request_table import joined
from simulator.workload.demand import demands
from simulator.workload.synthesis import refuse_too_many, synthesise, synthesise_parts
from tests.workload.clinic import APRIL, WEEK, scenario, source


def lognormal(mean, sigma=0.5):
    return {"kind": "lognormal", "mean": mean, "sigma": sigma}


def following(workload, **settings):
    made = source(follows={"workload": workload, **settings.pop("follows", {})}, **settings)
    del made["volume"]
    return made


def scribe(horizon=WEEK, **settings):
    note = {"share": 0.8, "delay": "2s", "correlation": 0.9} | settings
    return scenario(
        horizon,
        # Stated before what it follows: the order in the file does not matter.
        codes=following("note", output_tokens=lognormal(90)),
        speech=source(volume={"requests_per_month": 20_000}, output_tokens=lognormal(900)),
        note=following("speech", follows=note, prompt_tokens=lognormal(700), output_tokens=lognormal(300, 0.3)),
        letters=source(),
    )


def test_each_follows_a_request_of_the_workload_before_it():
    demand = scribe()
    table = synthesise(demand, 0)
    names, links = table.workloads, table.links
    assert (np.diff(table.arrival_s) >= 0).all()
    before = {"note": "speech", "codes": "note"}
    for number, name in enumerate(names):
        mine = np.flatnonzero(table.workload == number)
        if name not in before:
            assert (links.after[mine] == -1).all()
            continue
        parents = links.after[mine]
        assert (parents >= 0).all()
        assert {names[load] for load in table.workload[parents]} == {before[name]}
        # Nobody is followed twice by the same workload, and everybody comes after what it follows.
        assert len(set(parents.tolist())) == len(parents)
        assert (parents < mine).all()
        np.testing.assert_allclose(table.arrival_s[mine] - table.arrival_s[parents], links.delay_s[mine], atol=1e-6)
    count = {name: int((table.workload == number).sum()) for number, name in enumerate(names)}
    assert count["codes"] == count["note"]
    assert abs(count["note"] - 0.8 * count["speech"]) < 4 * np.sqrt(0.16 * count["speech"])
    # What comes by itself comes as it does alone.
    by_itself = source(volume={"requests_per_month": 20_000}, output_tokens=lognormal(900))
    alone = synthesise(scenario(WEEK, speech=by_itself), 0)
    np.testing.assert_array_equal(np.sort(table.arrival_s[table.workload == names.index("speech")]), alone.arrival_s)


@pytest.mark.parametrize("correlation", [0.0, 0.5, 1.0])
def test_a_long_answer_makes_a_long_prompt_as_often_as_is_stated(correlation):
    from scipy.stats import spearmanr

    table = synthesise(scribe(correlation=correlation), 0)
    mine = np.flatnonzero(table.workload == table.workloads.index("note"))
    answers, prompts = table.output_tokens[table.links.after[mine]], table.prompt_tokens[mine]
    # Of normal scores with correlation r, ranks have 6/pi asin(r/2) (Pearson 1907).
    expected = 6 / np.pi * np.arcsin(correlation / 2)
    assert spearmanr(answers, prompts).statistic == pytest.approx(expected, abs=0.04)
    # The lengths are those that were drawn without it.
    free = synthesise(scribe(correlation=0.0), 0)
    of_free = free.prompt_tokens[free.workload == free.workloads.index("note")]
    np.testing.assert_array_equal(np.sort(prompts), np.sort(of_free))


def test_what_is_expected_of_the_month_follows_too():
    for horizon in (WEEK, APRIL):
        asked = demands(scribe(horizon))
        assert asked["note"].billed == pytest.approx(0.8 * 20_000)
        assert asked["codes"].billed == pytest.approx(0.8 * 20_000)
        assert asked["note"].expected == pytest.approx(0.8 * asked["speech"].expected)
        assert asked["note"].tokens == pytest.approx(0.8 * 20_000 * 1_000, rel=0.01)
    refuse_too_many(scribe())


def test_a_quarter_is_one_part_and_the_same_requests_as_its_workloads():
    quarter = {"start": "2027-01-04", "duration": "90d", "time_zone": "America/Chicago"}
    ((table, end_s),) = synthesise_parts(scribe(quarter), 0)
    assert end_s == 90 * 86_400.0
    alone = joined([part for part, _ in synthesise_parts(scenario(quarter, letters=source()), 0)])
    mine = table.workload == table.workloads.index("letters")
    np.testing.assert_array_equal(table.arrival_s[mine], alone.arrival_s)


def test_turns_that_wait_for_the_answer_are_those_that_do_not():
    """The same conversations, lengths and prefixes; only that each waits for the answer before it."""
    turns = {"mean": 4, "think": {"median": "40s", "sigma": 0.8}}
    free = synthesise(scenario(WEEK, charts=source(turns=turns)), 0)
    waits = synthesise(scenario(WEEK, charts=source(turns=turns | {"think_from": "answer"})), 0)
    assert free.links is None
    for name in ("arrival_s", "prompt_tokens", "output_tokens", "prefix_tokens"):
        np.testing.assert_array_equal(getattr(free, name), getattr(waits, name))
    after = waits.links.after
    later = np.flatnonzero(after >= 0)
    assert len(later) + len(np.unique(waits.prefix_id)) == len(waits)
    np.testing.assert_array_equal(waits.prefix_id[later], waits.prefix_id[after[later]])
    np.testing.assert_allclose(waits.links.delay_s[later], waits.arrival_s[later] - waits.arrival_s[after[later]])
    # Each sends along all that was said: the prompt before, its answer and fifty tokens of a question.
    said = waits.prompt_tokens[after[later]] + waits.output_tokens[after[later]] + 50
    np.testing.assert_array_equal(waits.prompt_tokens[later], said)


@pytest.mark.parametrize(
    ("workloads", "key", "said"),
    [
        ({"note": following("speech")}, "workloads.note.follows.workload", "no other synthetic workload"),
        ({"note": following("note"), "a": source()}, "workloads.note.follows.workload", "expected one of: a"),
        ({"a": following("b"), "b": following("a")}, "workloads.a.follows.workload", "none comes first"),
        ({"a": source(), "b": source(follows={"workload": "a"})}, "workloads.b.volume", "leave one of them out"),
        ({"a": source(), "b": following("a", days=["mon"])}, "workloads.b.days", "leave one of them out"),
        ({"a": {key: value for key, value in source().items() if key != "volume"}}, "workloads.a.volume", "is missing"),
        ({"a": source(objectives={"chain": "9s"})}, "workloads.a.objectives.chain", "needs `follows`"),
    ],
)  # fmt: skip
def test_what_cannot_follow_is_said(workloads, key, said):
    with pytest.raises(ValidationError) as raised:
        scenario(WEEK, **workloads)
    found = []
    for error in raised.value.errors():
        for cause in causes(error):
            place = *(part for part in error["loc"] if part != "synthetic"), *getattr(cause, "key", ())
            found.append((".".join(map(str, place)), str(cause or error["msg"])))
    assert any(place == key and said in text for place, text in found), found
