"""What nobody can tell is said by every command in the same way: no choice, what is open, and exit code 3."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ruamel.yaml import YAML

from simulator.cli.exit_codes import INCONCLUSIVE
from simulator.results import run
from simulator.study.axes import grid, parse_axes
from simulator.study.capacity import capacity_advice
from simulator.study.sweep import configurations, tabulate
from tests.cli.command import run as command
from tests.experiment.small import small

ONLY = {"hosting_patterns.bought": None, "hosting_patterns.hybrid": None, "experiment.replications": 2}
REPLICAS = "hosting_patterns.rented.cluster.replicas"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


def answered(given):
    return run(given, tables=False, band=False, outlook=False)


@pytest.fixture(scope="module")
def near():
    """The API's limit is the time that the wanted share of its requests kept: exactly as measured, and by chance."""
    found = answered(small(ONLY)).pattern("api").workloads["notes"].objective
    ttft = next(limit for limit in found.limits if limit.metric == "ttft_s")
    return ONLY | {"workloads.notes.objectives.ttft": f"{ttft.reached_s:.6f}s"}


@pytest.fixture(scope="module")
def alone(store):
    """The same of the cluster, by its last token, with nothing beside it."""
    own = ONLY | {"hosting_patterns.api": None}
    found = answered(small(own)).pattern("rented").workloads["notes"].objective
    whole = next(limit for limit in found.limits if limit.metric == "e2e_s")
    return own | {"workloads.notes.objectives.end_to_end": f"{whole.reached_s:.6f}s"}


@pytest.fixture
def file(tmp_path):
    def written(settings):
        path = tmp_path / "small.yaml"
        with path.open("w") as stream:
            YAML().dump(small(settings).resolved, stream)
        return str(path)

    return written


def test_a_limit_that_is_kept_as_measured_and_no_better_is_not_told(near):
    found = answered(small(near))
    assert (found.decision.verdict, found.decision.recommended) == ("cannot_tell", None)
    assert found.decision.undecided.objectives == ["api"]
    assert found.decision.undecided.candidates == ["api", "rented"]
    # Of a limit twice as long everybody can tell.
    limit_s = float(near["workloads.notes.objectives.ttft"].removesuffix("s"))
    assert answered(small(near | {"workloads.notes.objectives.ttft": f"{2 * limit_s}s"})).decision.recommended == "api"


def test_a_sweep_has_no_number_where_there_is_no_answer(near, file):
    frame = tabulate(configurations(file(near), grid(parse_axes([f"{REPLICAS}=1"]))))
    whole = frame[frame["workload"] == "all"].set_index(["pattern", "metric"])["value"]
    assert np.isnan(whole["api", "objectives_met"])
    assert np.isnan(whole["api", "chosen"])
    assert whole["rented", "objectives_met"] == 1.0


def test_capacity_recommends_nothing_and_says_what_is_open(alone):
    (advice,) = capacity_advice(small(alone), patterns=["rented"])
    as_it_is = advice.options[0]
    assert as_it_is.falls_short is None
    assert "notes" in as_it_is.cannot_tell
    assert advice.recommended is None
    assert "cannot tell" in advice.text


def test_a_plan_chooses_nothing_and_ends_with_three(alone, file, capsys):
    asked = ["plan", file(alone), "--pattern", "rented", "--gpu", "l40s", "--most-replicas", "1", "--jobs", "1"]
    code, out, _ = command([*asked, "--tensor-parallel", "1", "--json"], capsys)
    document = json.loads(out)
    assert (code, document["best"]) == (INCONCLUSIVE, None)
    assert document["undecided"]["objectives"] == document["undecided"]["candidates"][:1]
    code, out, _ = command([*asked, "--tensor-parallel", "1"], capsys)
    assert code == INCONCLUSIVE
    assert "cannot tell with 2 replications" in " ".join(out.split())


def test_the_gate_is_inconclusive_where_a_choice_is_no_longer_told(near, tmp_path, capsys):
    limit_s = float(near["workloads.notes.objectives.ttft"].removesuffix("s"))
    before = answered(small(near | {"workloads.notes.objectives.ttft": f"{2 * limit_s}s"}))
    after = answered(small(near))
    for name, results in (("before", before), ("after", after)):
        (tmp_path / f"{name}.json").write_bytes(results.to_json())
    code, out, err = command(
        ["check", str(tmp_path / "after.json"), "--baseline", str(tmp_path / "before.json")], capsys
    )
    assert code == INCONCLUSIVE, out + err
    text = " ".join((out + err).split())
    assert "cannot tell which of api, rented" in text
