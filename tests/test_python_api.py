"""The package as Python users meet it: every question has a function, every answer a tidy table."""

from __future__ import annotations

import json
import pickle
from dataclasses import FrozenInstanceError
from datetime import date

import numpy as np
import pandas as pd
import pytest

import simulator
from simulator.cli.main import main
from simulator.errors import RunStoreError, ScenarioError, TraceError, UnknownName
from simulator.experiment.summary import Tabular
from simulator.trace.editing import cut, shift
from tests.parts import ROOT

FILE = ROOT / "scenarios" / "ci_small.yaml"
REPLICAS = "hosting_patterns.self_hosted.cluster.replicas"
SETTINGS = {"horizon.duration": "1d", "experiment.replications": 2}


@pytest.fixture(scope="module")
def scenario():
    return simulator.load_scenario(FILE, settings=SETTINGS)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def results(scenario, store):
    return simulator.run(scenario, patterns=["api", "self_hosted"], folder=store, band=False, outlook=False)


def printed(capsys, *words):
    with pytest.raises(SystemExit):
        main([str(word) for word in words])
    return json.loads(capsys.readouterr().out)


def options(settings=SETTINGS):
    return [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]


def short(answer):
    """Every answer says what it is in a line, and shows its table in a notebook."""
    assert len(repr(answer)) < 200
    assert "<table" in answer._repr_html_()
    return answer.summary()


def test_a_sweep_is_that_of_the_command(scenario, store, tmp_path, capsys):
    found = simulator.sweep(scenario, {REPLICAS: np.array([1, 2])}, patterns="self_hosted", store=store)
    rows = short(found)
    told = printed(
        capsys, "sweep", FILE, *options(), "--over", f"{REPLICAS}=1,2", "--pattern", "self_hosted", "--store", store,
        "--output", tmp_path / "kept", "--json", "--quiet", "--jobs", 1,
    )  # fmt: skip
    assert json.loads(rows.to_json(orient="records")) == told
    cost = rows[(rows["metric"] == "monthly_cost_usd")].set_index(REPLICAS)["value"]
    assert cost[2] > cost[1]
    # Cost, p99 and use of one hosting pattern.
    assert len(found.plot().data) == 3


def test_a_plan_is_that_of_the_command(scenario, store, capsys):
    space = simulator.Space(gpus="l40s", tensor_parallel=[1], quantisations=["w4a16", "bf16"], most_replicas=2)
    found = simulator.plan(scenario, "self_hosted", space, store=store)
    rows = short(found)
    told = printed(
        capsys, "plan", FILE, *options(), "--pattern", "self_hosted", "--gpu", "l40s", "--tensor-parallel", 1,
        "--quantisation", "w4a16", "--quantisation", "bf16", "--most-replicas", 2, "--store", store, "--json",
    )  # fmt: skip
    assert list(rows["candidate"]) == [row["label"] for row in told["simulated"]]
    assert list(rows[rows["chosen"]]["candidate"]) == ([told["best"]] if told["best"] else [])
    assert (rows["monthly_cost_usd_low"] <= rows["monthly_cost_usd"]).all()
    assert found.plot().data
    with pytest.raises(FrozenInstanceError):
        found.best = None


def test_every_answer_is_frozen():
    for name in simulator.__all__:
        getattr(simulator, name)
    assert len(kinds := list(Tabular.__subclasses__())) > 10
    assert [one.__name__ for one in kinds if not one.__dataclass_params__.frozen] == []


def test_capacity_is_that_of_the_command(scenario, store, capsys):
    found = simulator.capacity(scenario, patterns="self_hosted", store=store)
    rows = short(found)
    told = printed(
        capsys, "capacity", FILE, *options(), "--pattern", "self_hosted", "--store", store, "--json", "--jobs", 1
    )
    assert found.document() == told
    assert list(rows["replicas"]) == [1, 2]
    assert rows["more_usd"][1] == pytest.approx(rows["monthly_cost_usd"][1] - rows["monthly_cost_usd"][0])


@pytest.mark.slow
def test_break_evens_are_those_of_the_command(store, capsys):
    settings = {"horizon.duration": "8h", "experiment.replications": 1, "hosting_patterns.hybrid": None}
    found = simulator.break_even(simulator.load_scenario(FILE, settings=settings), store=store)
    rows = short(found)
    words = options({key: "null" if value is None else value for key, value in settings.items()})
    assert found.document() == printed(capsys, "break-even", FILE, *words, "--store", store, "--json", "--jobs", 1)
    assert list(rows[["cluster", "api"]].iloc[0]) == ["self_hosted", "api"]
    assert found.plot().data


def test_a_run_is_kept_opened_and_shown(results, tmp_path):
    place = results.save(tmp_path / "kept")
    opened = simulator.open_run(place)
    pd.testing.assert_frame_equal(opened.summary(), results.summary(), rtol=1e-8)
    pd.testing.assert_frame_equal(opened.requests, results.requests, check_dtype=False, check_categorical=False)
    pd.testing.assert_frame_equal(opened.levels, results.levels, check_dtype=False, check_categorical=False)
    assert opened.document() == json.loads(results.to_json())
    assert opened.recommended == results.decision.recommended
    assert opened.pattern("api")["requests"]["arrived"] == results.pattern("api").requests.arrived
    assert opened.plot.cost() == results.plot.cost()
    assert len(short(pickle.loads(pickle.dumps(opened)))) == len(results.summary())
    with pytest.raises(UnknownName, match="did you mean 'api'"):
        opened.pattern("apy")
    with pytest.raises(RunStoreError, match="not a run directory"):
        simulator.open_run(tmp_path)
    assert simulator.write_report(opened).read_text() == simulator.write_report(place, tmp_path / "o.html").read_text()
    with pytest.raises(ValueError, match="say where"):
        simulator.write_report(results)
    assert "ci_small" in simulator.write_report(results, tmp_path / "page.html").read_text()


def test_results_are_compared_and_judged_in_any_form(results, scenario, store, tmp_path, capsys):
    compute = {"hosting_patterns.self_hosted.costs.compute": {"kind": "rental", "gpu_hour": "9 USD/h"}}
    dearer = scenario.with_overrides(compute)
    other = simulator.run(dearer, patterns=["api", "self_hosted"], folder=store, band=False, outlook=False)
    kept = tmp_path / "other.json"
    kept.write_bytes(other.to_json())
    place = results.save(tmp_path / "kept")
    found = simulator.compare(results, kept)
    rows = short(found).set_index(["pattern", "workload", "metric"])
    cost = rows.loc[("self_hosted", "all", "monthly_cost_usd")]
    means = [one.pattern("self_hosted").monthly_cost_usd.mean for one in (results, other)]
    assert cost["change"] == pytest.approx(means[1] - means[0])
    assert cost["change_low"] <= cost["change"] <= cost["change_high"]
    judged = simulator.check(other, place)
    assert judged.outcome == "failed"
    assert "failed" in short(judged)["outcome"].tolist()
    with pytest.raises(SystemExit) as stop:
        main(["check", str(kept), "--baseline", str(place)])
    capsys.readouterr()
    assert stop.value.code == judged.exit_code
    assert simulator.check(results.document(), results).outcome != "failed"
    broken = results.document()
    del broken["seed"]
    with pytest.raises(RunStoreError, match="document: seed: is missing"):
        simulator.compare(results, broken)


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda given: simulator.plan(given, "clod"), "patterns: clod: no such hosting pattern"),
        (lambda given: simulator.plan(given, workload="clod"), "workload: clod: no such workload"),
        (lambda given: simulator.plan(given, space=simulator.Space(gpus=["l40"])), "gpus: l40: expected one of"),
        (
            lambda given: simulator.plan(given, space=simulator.Space(leases=["spott"])),
            "leases: spott: expected one of",
        ),
        (lambda given: simulator.plan(given, space=simulator.Space(most_replicas=0)), "most_replicas: 0: expected 1"),
        (lambda given: simulator.capacity(given, patterns=["api", "clod"]), "patterns: clod: no such"),
        (lambda given: simulator.sweep(given, {"experiment.seed": 7}), "over: experiment.seed: needs values, such as"),
        (lambda _: simulator.prices(kind="gpus"), "kind: gpus: expected one of api, gpu"),
        (lambda given: simulator.sweep(given, {"experiment.seed": []}), "over: experiment.seed: names no value"),
        (lambda given: simulator.sweep(given, {"experiment.seed": "1:0:3"}), "over: experiment.seed: the interval"),
        (lambda given: simulator.sweep(given, {"experiment.seed": [1]}, patterns="x"), "patterns: x: no such"),
        (simulator.rollout, "rollout: missing"),
        (lambda given: simulator.compare("a", "b", allow_different="horizn"), "a: cannot be read"),
    ],
)
def test_misuse_is_answered_in_python(scenario, ask, said):
    with pytest.raises((ScenarioError, RunStoreError)) as fault:
        ask(scenario)
    assert said in str(fault.value)
    assert "--" not in str(fault.value)


TRACE = ROOT / "traces" / "clinic_week.csv"


def test_a_trace_is_read_fitted_and_drawn(tmp_path, capsys):
    trace = simulator.read_trace(TRACE)
    rows = short(trace).set_index("workload")
    told = printed(capsys, "trace", "inspect", TRACE, "--json")
    assert trace.statistics == {key: told[key] for key in trace.statistics}
    own = trace.requests[trace.requests["workload"] == rows.index[0]]
    assert rows["prompt_tokens_mean"].iloc[0] == pytest.approx(own["prompt_tokens"].mean())
    assert len(trace.plot().data) == 3 * len(rows)
    fitted = simulator.fit_trace(trace)
    assert set(short(fitted)["workload"]) == set(rows.index)
    with pytest.raises(SystemExit):
        main(["trace", "fit", str(TRACE)])
    assert capsys.readouterr().out == fitted.text
    drawn = simulator.synthesise(fitted.save(tmp_path / "fitted.yaml"), duration="2d", seed=3)
    written = simulator.synthesise(tmp_path / "fitted.yaml", tmp_path / "two.parquet", duration="2d", seed=3)
    pd.testing.assert_frame_equal(drawn.requests, written.requests)
    pd.testing.assert_frame_equal(drawn.requests, simulator.read_trace(tmp_path / "two.parquet").requests)
    assert len(drawn) == written.header.rows > 0


def test_what_a_scenario_draws_is_what_it_simulates(scenario, results):
    drawn = simulator.synthesise(scenario).requests
    assert drawn["arrival_s"].to_numpy() == pytest.approx(results.tables.requests("api")["arrival_s"].to_numpy())


def test_a_log_is_imported(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("when,in,out,who\n" + "".join(f"2026-11-30T08:00:{n:02d}Z,{100 + n},20,a\n" for n in range(30)))
    columns = {"time": "when", "prompt_tokens": "in", "output_tokens": "out"}
    found = simulator.convert_trace("csv", log, tmp_path / "t.parquet", columns=columns, where={"who": "a"})
    assert short(found).set_index("what")["count"]["imported"] == 30
    assert found.trace().requests["prompt_tokens"].tolist() == list(range(100, 130))


def test_profiles_and_prices_are_tables():
    found = simulator.profiles(model="llama", gpu="l40s")
    assert short(found)["gpu"].str.contains("l40s").all()
    assert len(simulator.profiles().found) > len(found.found) > 0
    listed = simulator.prices("llama", kind="api", on=date(2026, 11, 30))
    rows = short(listed)
    assert (rows["kind"] == "api").all()
    assert rows["key"].tolist() == list(listed.found)
    assert rows["stale"].tolist() == [(date(2026, 11, 30) - day).days > 90 for day in rows["captured_on"]]


@pytest.mark.parametrize(
    ("ask", "said", "optioned"),
    [
        ({"kind": "csvv"}, "`kind`: expected one of", "--format: expected"),
        ({"columns": {"user": "x"}}, "`columns` user: expected", "--column user: expected"),
        ({"units": {"time": "min"}}, "`units` time: expected one of s, ms", "--unit time: expected"),
        ({"zone": "Mars/One"}, "`zone` Mars/One: expected an IANA name", "--zone Mars/One"),
        ({"time_format": "soon"}, "`time_format` soon: expected directives", "--time-format soon"),
        ({"labels": {"a": "b"}}, "`label_by` and `labels` go together", "--label-by and --label go"),
        ({"tolerate": 2.0}, "`tolerate` is a share", None),
    ],
)
def test_a_wrong_argument_of_an_import_is_called_by_its_name_and_by_its_option(tmp_path, capsys, ask, said, optioned):
    log = tmp_path / "log.csv"
    log.write_text("time,prompt_tokens,output_tokens\n2026-11-30T08:00:00Z,10,20\n")
    given = {"kind": "csv"} | ask
    with pytest.raises(simulator.TraceError) as fault:
        simulator.convert_trace(given.pop("kind"), log, tmp_path / "t.csv", **given)
    assert said in str(fault.value)
    assert "--" not in str(fault.value)
    if optioned is None:
        return
    options = {"columns": "column", "units": "unit", "labels": "label"}
    words = ["trace", "convert", str(log), str(tmp_path / "t.csv"), "--format", ask.get("kind", "csv")]
    for key, value in ask.items():
        if key != "kind":
            one = value if isinstance(value, str) else "=".join(*value.items())
            words += [f"--{options.get(key, key).replace('_', '-')}", one]
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert optioned in capsys.readouterr().err


def test_cutting_and_shifting_are_called_by_their_arguments(tmp_path):
    target = tmp_path / "part.csv"
    for wrong, said in (
        (lambda: cut(TRACE, target, start_s=9e9, end_s=None, workloads=()), "`start_s` and `end_s`: expected"),
        (lambda: shift(TRACE, target, -1e6, wrap=False), "`by_s`: the first request"),
    ):
        with pytest.raises(TraceError) as fault:
            wrong()
        assert said in str(fault.value)
        assert "--" not in str(fault.value)


def test_a_day_and_the_numbers_of_numpy_are_settings(scenario):
    moved = scenario.with_overrides({"horizon.start": date(2026, 4, 13), "experiment.seed": np.int64(7)})
    written = scenario.with_overrides({"horizon.start": "2026-04-13", "experiment.seed": 7})
    assert moved.horizon == written.horizon
    assert moved.experiment == written.experiment


def test_the_command_line_calls_the_same_fault_by_its_option(capsys):
    for words, said in (
        (["prices", "list", "--kind", "gpus"], "--kind: gpus: expected one of"),
        (["trace", "cut", TRACE, "x.csv", "--from", "900d"], "--from and --to: expected a stretch"),
        (["plan", FILE, "--gpu", "l40"], "--gpu: l40: expected one of"),
        (["plan", FILE, "--workload", "x"], "--workload: x: no such workload"),
        (["capacity", FILE, "--pattern", "x"], "--pattern: x: no such hosting pattern"),
        (["sweep", FILE, "--over", "experiment.seed=1:0:2"], "--over: experiment.seed=1:0:2: the interval"),
    ):
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        assert stop.value.code == 2
        assert said in capsys.readouterr().err
