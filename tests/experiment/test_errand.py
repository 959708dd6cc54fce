"""Work that travels: nothing is needed on the way but what it carries, and everything comes back."""

from __future__ import annotations

import pickle
import subprocess
import sys
from concurrent.futures import Future
from functools import partial

import pytest

from simulator.compliance.registry import registry_ids
from simulator.errors import ScenarioError, SimulatorError, TraceError
from simulator.experiment import errand
from simulator.experiment.clusters import _opened, on_cluster
from simulator.experiment.errand import Call, WorkerFault, differences, identity, moved, named_files, packed
from simulator.experiment.workers import Workers, spread
from simulator.performance.profile import read_profile
from simulator.results import run
from simulator.scenario.loading import load_scenario
from simulator.study.axes import grid, parse_axes
from simulator.study.capacity import capacity_advice
from simulator.study.sweep import configurations, tabulate

RECORDED = """
name: recorded
horizon: {start: 2026-03-02, duration: 1d, time_zone: America/Chicago}
experiment: {replications: 2, seed: 5}
workloads:
  notes: {trace: {file: t.csv, repeat: false, align: start}}
hosting_patterns:
  api:
    kind: metered_api
    api:
      model: bedrock/llama-3.3-70b
      ttft: {median: 700ms, sigma: 0.4}
      output_tokens_per_s: {median: 50, sigma: 0.15}
  l40s:
    kind: self_hosted
    cluster: {model: llama-3.1-8b, gpu: l40s}
    costs: {compute: {kind: rental, gpu_hour: 1.86 USD/h}}
"""
TRACE = "arrival_s,workload,prompt_tokens,output_tokens\n" + "".join(
    f"{60 * number},notes,{100 + number},{50 + number % 7}\n" for number in range(40)
)


class Bytes:
    """A cluster of one worker that has nothing but what it is sent, and is at work when it is asked to."""

    address = "bytes"

    def __init__(self, before=lambda: None, there=1):
        self.before, self.there, self.calls = before, there, []

    def share(self, content):
        return content

    def submit(self, payload, contents, *, urgent):
        answer = Future()
        if self.there:
            self.before()
            self.calls.append(payload)
            try:
                answer.set_result(_opened(payload, *contents))
            except Exception as error:
                answer.set_exception(error)
        return answer

    def workers(self):
        return self.there

    def explained(self, error):
        return None


@pytest.fixture
def scenario_file(tmp_path):
    folder = tmp_path / "client"
    folder.mkdir()
    (folder / "s.yaml").write_text(RECORDED)
    (folder / "t.csv").write_text(TRACE)
    return folder / "s.yaml"


@pytest.fixture(autouse=True)
def _no_shared_store(monkeypatch):
    monkeypatch.setattr(errand, "_is_shared", lambda *_: False)


def test_a_run_elsewhere_needs_no_file_of_here_and_is_the_same(scenario_file, tmp_path):
    scenario, store = load_scenario(scenario_file), tmp_path / "store"
    here = run(scenario).to_json()
    trace = scenario_file.with_name("t.csv")
    facts = trace.stat()
    store.mkdir()

    cluster = Away(scenario_file.parent)
    assert run(scenario, jobs=Workers(cluster, 1.0), folder=store).to_json() == here
    assert trace.stat().st_mtime_ns == facts.st_mtime_ns
    # Two patterns twice, and the cluster at both ends of its band.
    assert len(cluster.calls) == len(list(store.glob("*.json"))) == 6
    assert len(list(store.glob("*.requests.parquet"))) == 2
    # What is kept is not asked for again.
    assert run(scenario, jobs=Workers(cluster, 1.0), folder=store).to_json() == here
    assert len(cluster.calls) == 6
    assert str(tmp_path).encode() not in b"".join(one.read_bytes() for one in store.glob("*.json"))


class Away(Bytes):
    """A worker to whom nothing of the client's folder is there."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def submit(self, payload, contents, *, urgent):
        away = self.folder.with_name("away")
        self.folder.rename(away)
        try:
            return super().submit(payload, contents, urgent=urgent)
        finally:
            away.rename(self.folder)


def offer(folder, module, **groups):
    """A package in a folder that offers code of a module by group and name, such as `cost_lines="fee"`."""
    meta = folder / f"{module}-1.0.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    offered = (f"[simulator.{group}]\n{name} = {module}:{name}\n" for group, name in groups.items())
    (meta / "entry_points.txt").write_text("".join(offered))


def test_a_worker_whose_code_of_ones_own_is_another_is_refused(scenario_file, tmp_path, monkeypatch):
    code = tmp_path / "ward_code.py"
    code.write_text("def fee(month):\n    return 7\n")
    offer(tmp_path, "ward_code", cost_lines="fee")
    monkeypatch.syspath_prepend(str(tmp_path))
    lines = {"hosting_patterns.l40s.costs.lines": {"fee": {"kind": "custom", "name": "fee"}}}
    scenario = load_scenario(scenario_file, settings=lines)
    asked = partial(run, scenario, patterns="l40s", replications=1, band=False, outlook=False)
    assert asked(jobs=Workers(Bytes(), 1.0)).to_json() == asked().to_json()
    other = Bytes(before=lambda: code.write_text("def fee(month):\n    return 1007\n"))
    with pytest.raises(SimulatorError, match="would give other figures: cost line 'fee': [0-9a-f]{12} here"):
        asked(jobs=Workers(other, 1.0))


def own_files(folder):
    """A scenario with a step-time profile and a register of models of its own."""
    profile = read_profile("llama-3.1-8b-bf16-l40s-x1")
    (folder / "p.json").write_text(profile.model_dump_json())
    (folder / "r.yaml").write_text(f"extends: {registry_ids()[0]}\nid: mine\ndate: 2026-11-01\n")
    cluster = "hosting_patterns.l40s.cluster"
    files = {f"{cluster}.profile": str(folder / "p.json"), "compliance.registry": str(folder / "r.yaml")}
    return files | {f"{cluster}.quantisation": "bf16", "workloads.notes.phi": False}


SURVIVES = {
    "constraints.survives": ["replica", "api"],
    "workloads.notes.objectives": {"ttft": "2s", "end_to_end": "60s"},
}


@pytest.mark.parametrize("settings", [own_files, lambda _: SURVIVES], ids=["own files", "losses"])
def test_every_question_has_the_same_answer_elsewhere(scenario_file, tmp_path, settings):
    """Runs and what simulates beyond them, sweeps, advice about capacity: none needs a file of the client's."""
    scenario = load_scenario(scenario_file, settings=settings(scenario_file.parent))
    points = [{"experiment.seed": seed} for seed in (1, 2)]

    def sweep_table(jobs, store):
        given = configurations(scenario_file, points, settings=settings(scenario_file.parent))
        return tabulate(given, jobs=jobs, store=store).to_json()

    questions = {
        "run": lambda jobs, store: run(scenario, jobs=jobs, folder=store).to_json(),
        "sweep": sweep_table,
        "capacity": lambda jobs, store: [one.document() for one in capacity_advice(scenario, jobs=jobs, store=store)],
    }
    for name, ask in questions.items():
        cluster = Away(scenario_file.parent)
        there, here = tmp_path / f"{name} there", tmp_path / f"{name} here"
        there.mkdir()
        here.mkdir()
        assert ask(Workers(cluster, 1.0), there) == ask(1, here), name
        assert cluster.calls
        assert {file.name for file in there.glob("*-*")} == {file.name for file in here.glob("*-*")}


def test_every_simulation_of_a_sweep_is_handed_out_once(scenario_file, tmp_path):
    over = [
        "hosting_patterns.l40s.cluster.replicas=1,2",
        "hosting_patterns.l40s.costs.compute.gpu_hour=1 USD/h,2 USD/h",
    ]
    given = configurations(scenario_file, grid(parse_axes(over)))
    cluster, store = Bytes(), tmp_path / "store"
    table = tabulate(given, jobs=Workers(cluster, 1.0), store=store)
    assert table.equals(tabulate(given))
    # An API and a cluster of one or two replicas, twice each, by four configurations of which none is large.
    assert len(list(store.glob("*.json"))) == 6
    made = [name for payload in cluster.calls for _, names in told(payload) for name in names]
    assert sorted(f"{name}" for name in made) == sorted(file.name for file in store.glob("*.json"))
    handed_out = len(cluster.calls)
    assert tabulate(given, jobs=Workers(cluster, 1.0), store=store).equals(table)
    assert not [names for payload in cluster.calls[handed_out:] for _, names in told(payload) if names]


def told(payload):
    """What a worker is told of the questions that it gets together: what each is, and what it makes."""
    _, _, content = pickle.loads(payload)
    _, inner = pickle.loads(content)
    return inner[2][1]


def test_another_package_on_a_worker_is_refused_by_name(scenario_file, monkeypatch):
    mine = {**identity()}
    other = mine | {"simulator/cost": "0123456789ab", "llm-hosting-simulator": "9.9"}
    asked = errand.identity
    cluster = Bytes(before=lambda: monkeypatch.setattr(errand, "identity", lambda: other))
    scenario = load_scenario(scenario_file)

    def back():
        monkeypatch.setattr(errand, "identity", asked)

    def submit(payload, contents, *, urgent):
        try:
            return Bytes.submit(cluster, payload, contents, urgent=urgent)
        finally:
            back()

    cluster.submit = submit
    with pytest.raises(SimulatorError, match="would give other figures") as refused:
        run(scenario, jobs=Workers(cluster, 1.0))
    for text in ("simulator/cost", mine["simulator/cost"], "0123456789ab", mine["llm-hosting-simulator"], "9.9"):
        assert text in str(refused.value)
    assert "simulator/engine" not in str(refused.value)


def test_an_identity_changes_with_any_file_of_the_package():
    known = identity()
    assert {"simulator/engine", "simulator/cost", "simulator/scenario", "numpy", "numba", "python"} <= known.keys()
    assert differences(known, known) == ""
    assert differences(known, {}).count(";") == len(known) - 1


def test_a_trace_that_is_gone_stops_a_sweep_and_is_no_answer(scenario_file, tmp_path):
    given = configurations(scenario_file, [{"experiment.seed": 1}, {"experiment.seed": 2}])
    scenario_file.with_name("t.csv").unlink()
    for jobs in (1, Workers(Bytes(), 1.0)):
        with pytest.raises(SimulatorError, match=r"t\.csv: cannot be read"):
            tabulate(given, jobs=jobs, store=tmp_path)


def faulty(scenario, folder, what):
    """Stands for a function of the package that ends otherwise than it should."""
    raise what


def test_what_is_wrong_with_a_scenario_is_said_as_here_and_not_tried_again(scenario_file):
    scenario = load_scenario(scenario_file)
    (trace,) = named_files(scenario)
    broken = ScenarioError([errand.Fault("s.yaml", 7, "workloads.notes", "is wrong")])
    for error, kind, said in (
        (broken, ScenarioError, r"^s\.yaml:7: workloads\.notes: is wrong$"),
        (TraceError("t.csv: row 3 is wrong"), SimulatorError, r"worker on .*: t\.csv: row 3 is wrong"),
        (MemoryError(), SimulatorError, "not enough memory"),
        (KeyError("x"), WorkerFault, "KeyError"),
    ):
        cluster = Bytes()
        with pytest.raises(kind, match=said):
            list(spread([Call(faulty, scenario, (error,))], Workers(cluster, 1.0), None))
        assert len(cluster.calls) == 1
    assert trace.endswith("t.csv")


def test_nobody_there_is_borne_for_so_long(scenario_file, caplog, monkeypatch):
    monkeypatch.setattr("simulator.experiment.workers._LOOK_S", 0.01)
    with pytest.raises(SimulatorError, match="no worker for 0 s"):
        run(load_scenario(scenario_file), jobs=Workers(Bytes(there=0), 0.0))
    assert "waiting up to 0 s" in caplog.text


def test_files_lie_elsewhere_and_nothing_else_changes(scenario_file):
    scenario = load_scenario(scenario_file)
    (trace,) = named_files(scenario)
    there = moved(scenario, {trace: "/elsewhere/t.csv"})
    assert list(named_files(there)) == ["/elsewhere/t.csv"]
    assert moved(there, {"/elsewhere/t.csv": trace}) == scenario
    assert moved(scenario, {"/nowhere": "x"}) is scenario


def test_a_worker_without_the_package_can_say_so(scenario_file):
    """It can read what it is sent as far as the name of the package, and so its fault comes back as one."""
    import cloudpickle

    sent = packed(Call(faulty, load_scenario(scenario_file)), [], None, "")
    worker = (
        "import sys, pickle; sys.modules['simulator'] = None\n"
        "function, sent = pickle.load(sys.stdin.buffer)\n"
        "try: function(sent)\n"
        "except ImportError as error: print('said', error)\n"
    )
    content = cloudpickle.dumps((_opened, sent))
    ended = subprocess.run([sys.executable, "-c", worker], input=content, capture_output=True, check=True)
    assert ended.stdout.startswith(b"said"), ended.stderr
    assert b"simulator" in ended.stdout


@pytest.mark.parametrize(
    ("executor", "address", "said"),
    [("dask", None, "`address`"), ("dask", "tcp://127.0.0.1:1", "no Dask"), ("dask", "http://x", "no Dask")],
)
def test_a_cluster_that_is_not_there_is_said_so(executor, address, said, monkeypatch):
    monkeypatch.setattr("simulator.experiment.clusters.PATIENCE_S", 0.5)
    with pytest.raises(SimulatorError, match=said), on_cluster(executor, address):
        pass
