"""What is said beside a verdict: of a queue that is full at the end alone, and of one pattern or several."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import simulator
from simulator.decision.care import take_care
from tests.decision.test_verdict import result
from tests.experiment.small import small

ALONE = {
    "kind": "self_hosted",
    "cluster": {"model": "llama-3.1-8b", "gpu": "l40s", "engine": {"max_num_seqs": 1}},
    "costs": {"compute": {"kind": "rental", "gpu_hour": "1 USD/h"}},
}


@pytest.mark.parametrize("day", ["mon", "sun"])
def test_what_comes_on_the_last_day_alone_and_is_not_started_is_said(day):
    """One request at a time, of two thousand tokens; on one day of the week more come than it has time for.

    By hand: what came less what a day has time for still waits, where that day is the last, and no other day tells.
    """
    load = {"volume": {"requests_per_month": 13_000}, "days": [day], "prompt_tokens": 100, "output_tokens": 2000}
    settings = {"horizon.duration": "7d", "workloads": {"notes": load}, "hosting_patterns": {"alone": ALONE}}
    found = simulator.run(small(settings | {"experiment.replications": 1}), band=False, tables=False)
    one = found.pattern("alone")
    said = [text for text in found.decision.take_care if "left waiting" in text]
    takes_s = one.latency["itl_s"].mean * 1999
    excess = one.requests.arrived - 86_400.0 / takes_s
    assert excess > 0.05 * one.requests.arrived
    if day == "mon":
        assert said == []
    else:
        assert one.saturation != "overloaded"
        assert one.drift.waiting == pytest.approx(excess, rel=0.05)
        [text] = said
        assert text.startswith(f"alone: {one.drift.waiting:,.0f} requests left waiting at the end, of ")


def test_what_is_collected_for_the_next_file_is_meant_to_wait():
    """Files go out two days apart, so that what came since the last one is more than a day's requests."""
    batch = {"kind": "batch", "submit_every": "50h", "turnaround": "1h"}
    api = {"model": "azure/gpt-4.1", "deployment": batch, "limits": {}}
    load = {"volume": {"requests_per_month": 3000}, "prompt_tokens": 100, "output_tokens": 20}
    patterns = {"api": {"kind": "metered_api", "api": api}}
    settings = {"horizon.duration": "7d", "workloads": {"notes": load}, "hosting_patterns": patterns}
    found = simulator.run(small(settings | {"experiment.replications": 1}), band=False, tables=False)
    assert not any("left waiting" in text for text in found.decision.take_care)
    assert found.pattern("api").drift.waiting > 10


#: What a line about one pattern says of it, and what one about several says of them.
OF_ONE = re.compile(r"\b(its bill|(run|of) it\b|its own|it keeps|bill has)\b")
OF_SEVERAL = re.compile(r"\b(their|they|them|bills)\b")
STAFF = [{"role": "engineer", "salary": "150000 USD/year", "share": 0.5}]
TEAMS = st.sampled_from(
    [None, {"ml_engineers": 0}, {"ml_engineers": 0.25}, {"ml_engineers": 1, "skills": ["deployment"]}]
)


@given(st.sets(st.sampled_from(["api", "rented", "bought", "hybrid"]), min_size=1), TEAMS, st.booleans(), st.booleans())
def test_a_line_about_several_patterns_speaks_of_several(names, team, paid, powered):
    settings = {"constraints.team": team, "prices.overrides": {"bedrock/llama-3.3-70b": {"holds_from": "2026-05-01"}}}
    for name in names - {"api"}:
        settings[f"hosting_patterns.{name}.costs.staff"] = STAFF if paid else []
    if "bought" in names and not powered:
        settings["hosting_patterns.bought.costs.power"] = None
    if paid:
        settings["hosting_patterns.api.api.costs"] = {"staff": STAFF}
    scenario = small(settings)
    lines = take_care(scenario, [result(name, 1) for name in names])
    assert lines or names == {"api"}
    for line in lines:
        about, _, text = line.partition(": ")
        several = ", " in about
        assert not re.search(r"[{|}]", line)
        assert not (OF_ONE if several else OF_SEVERAL).search(text), line
    said = [line.partition(": ")[2] for line in lines if line.startswith(("rented: ", "hybrid: "))]
    hosted = names & {"rented", "hybrid"}
    if not paid and hosted and "bought" not in names:
        assert ("its bill pays nobody to run it (costs.staff)" in said) is (len(hosted) == 1)


@pytest.mark.parametrize(
    ("share", "have", "said"),
    [
        (1.0, 0.5, "its bill pays for 1 full-time person to run it (costs.staff), and the team has 0.5"),
        (0.5, 0.0, "its bill pays for 0.5 full-time people to run it (costs.staff), and the team has 0"),
    ],
)
def test_a_single_pattern_lacks_so_many_people(share, have, said):
    staff = [{**STAFF[0], "share": share}]
    settings = {"hosting_patterns.rented.costs.staff": staff, "constraints.team": {"ml_engineers": have}}
    assert f"rented: {said}" in take_care(small(settings), [result("rented", 1)])
    both = {**settings, "hosting_patterns.hybrid.costs.staff": staff}
    their = said.replace("its bill pays", "their bills each pay").replace("run it", "run them")
    assert f"rented, hybrid: {their}" in take_care(small(both), [result("rented", 1), result("hybrid", 2)])
