"""Sweeps: the same table however it comes about, nothing lost when something is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from simulator.errors import ScenarioError
from simulator.study.axes import grid, parse_axes
from simulator.study.sweep import configurations, tabulate
from tests.parts import ROOT
from tests.waiting import PATIENCE_S, until

SCENARIO = ROOT / "scenarios" / "ci_small.yaml"
CHEAPER = {"workloads.clinical_documentation.output_tokens.mean": 100}
SHORT = {"horizon.duration": "6h", "experiment.replications": 2}
OVER = ["hosting_patterns.hybrid.cluster.replicas=1,2", "workloads.clinical_documentation.output_tokens.mean=100,300"]


def given(over=OVER, settings=SHORT):
    return configurations(SCENARIO, grid(parse_axes(over)), settings=settings)


@pytest.fixture(scope="module")
def table():
    return tabulate(given())


def test_the_table_is_tidy(table):
    keys = ["configuration", "pattern", "workload", "metric"]
    assert not table.duplicated(keys).any()
    assert set(table["pattern"]) == {"api", "self_hosted", "hybrid"}
    assert set(table["configuration"]) == {0, 1, 2, 3}
    assert list(table.columns[:3]) == ["configuration", *(text.split("=")[0] for text in OVER)]
    cost = table[(table["metric"] == "monthly_cost_usd") & (table["pattern"] == "hybrid")].set_index("configuration")
    assert cost["value"][2] > cost["value"][0] + 1000
    assert (cost["ci95_low"] <= cost["value"]).all()
    chosen = table[table["metric"] == "chosen"].groupby("configuration")["value"].sum()
    assert (chosen <= 1).all()


@pytest.mark.slow
def test_more_processes_change_nothing_and_the_store_saves_all_simulation(table, tmp_path, monkeypatch):
    store = tmp_path / "store"
    pd.testing.assert_frame_equal(tabulate(given(), jobs=2, store=store), table)

    def refuse(*_, **__):
        raise AssertionError("simulates again")

    monkeypatch.setattr("simulator.experiment.replications.simulate", refuse)
    pd.testing.assert_frame_equal(tabulate(given(), store=store), table)
    # Neither does another price need a simulation.
    dearer = given(over=["hosting_patterns.hybrid.costs.staff.0.share=10 %,20 %"], settings=SHORT | CHEAPER)
    costs = tabulate(dearer, patterns=["hybrid"], store=store)
    costs = costs[costs["metric"] == "monthly_cost_usd"]["value"]
    assert costs.iloc[1] > costs.iloc[0]


def test_all_faults_of_all_configurations_are_reported_once():
    with pytest.raises(ScenarioError) as refused:
        given(over=["hosting_patterns.hybrid.cluster.replicas=0,1,-1", "experiment.sed=1"])
    keys = [fault.key for fault in refused.value.faults]
    assert keys.count("experiment.sed") == 1
    assert any("replicas" in key for key in keys)


def test_a_model_that_does_not_fit_is_an_answer():
    over = ["hosting_patterns.self_hosted.cluster.engine.gpu_memory_utilisation=0.92,0.27"]
    found = tabulate(given(over=over), patterns=["self_hosted"])
    feasible = found[found["metric"] == "feasible"].set_index("configuration")
    assert feasible["value"].tolist() == [1.0, 0.0]
    assert "one request of max_model_len" in feasible["note"][1]


def run(folder, *words):
    command = [sys.executable, "-m", "simulator", "sweep", SCENARIO, "--quiet", "--output", folder / "out"]
    return [*map(str, command), "--store", str(folder / "store"), *words]


WORDS = [
    "--over", "hosting_patterns.hybrid.cluster.replicas=1,2",
    "--over", "workloads.clinical_documentation.output_tokens.mean=100:400:5", "--set", "experiment.replications=2",
    "--set", "horizon.duration=1d",
]  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A sweep that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    subprocess.run(run(folder, *WORDS), check=True, capture_output=True)
    return folder


@pytest.mark.slow
@pytest.mark.needs("signals")
def test_a_killed_sweep_goes_on_where_it_was(whole, tmp_path):
    part = tmp_path / "part"
    part.mkdir()
    process = subprocess.Popen(run(part, *WORDS), stdout=subprocess.DEVNULL, start_new_session=True)
    store = part / "store"
    until(lambda: len(list(store.glob("*.json"))) >= 15, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = {path.name: path.stat().st_mtime_ns for path in store.glob("*.json")}
    assert kept
    assert not (part / "out" / "sweep.parquet").exists()
    subprocess.run(run(part, *WORDS), check=True, capture_output=True)
    assert {name: (store / name).stat().st_mtime_ns for name in kept} == kept
    assert (part / "out" / "sweep.parquet").read_bytes() == (whole / "out" / "sweep.parquet").read_bytes()


def holds(store, count):
    return len(list(store.glob("*.json"))) >= count


class Dask:
    """A real scheduler, and workers as they are asked for."""

    def __init__(self, folder):
        self.folder, self.contact, self.started = folder, folder / "scheduler.json", []
        words = "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", self.contact
        self.scheduler = self._start("dask_scheduler", *words)
        until(lambda: self.contact.exists() and self.contact.read_text(), self.scheduler)
        self.address = json.loads(self.contact.read_text())["address"]

    def worker(self, threads=1, package=ROOT):
        words = "--scheduler-file", self.contact, "--nthreads", threads, "--no-nanny", "--no-dashboard"
        return self._start("dask_worker", *words, package=package)

    def _start(self, what, *words, package=ROOT):
        command = [sys.executable, "-m", f"distributed.cli.{what}", *map(str, words)]
        with (self.folder / f"{len(self.started)}.log").open("wb") as log:
            places = os.environ | {"PYTHONPATH": str(package)}
            self.started.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, env=places))
        return self.started[-1]

    def sweep(self, folder, *words):
        folder.mkdir(exist_ok=True)
        command = run(folder, *words, "--executor", "dask", "--address", self.address)
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for one in self.started:
            one.kill()
            one.wait()


@pytest.mark.slow
@pytest.mark.needs("signals")
def test_a_dask_cluster_loses_a_worker_its_scheduler_and_nothing_else(whole, tmp_path):
    """With a process of threads and one of a single thread; then the scheduler is killed and the rest done here."""
    with Dask(tmp_path) as cluster:
        for name, victim in (("worker", cluster.worker(threads=3)), ("scheduler", cluster.scheduler)):
            survivor = cluster.worker()
            there, store = tmp_path / name, tmp_path / name / "store"
            process = cluster.sweep(there, *WORDS)
            until(partial(holds, store, 15), process, survivor)
            victim.kill()
            _, said = process.communicate(timeout=PATIENCE_S)
            kept = {path.name: path.stat().st_mtime_ns for path in store.glob("*.json")}
            assert process.returncode == (0 if name == "worker" else 2), said
            if name == "scheduler":
                assert "the cluster is gone" in said
                assert "Traceback" not in said
                assert 15 <= len(kept) < len(list((whole / "store").glob("*.json")))
                subprocess.run(run(there, *WORDS), check=True, capture_output=True)
            assert {file: (store / file).stat().st_mtime_ns for file in kept} == kept
            assert (there / "out" / "sweep.parquet").read_bytes() == (whole / "out" / "sweep.parquet").read_bytes()


@pytest.mark.slow
@pytest.mark.needs("signals")
def test_a_dask_cluster_without_workers_and_with_those_of_another_version(tmp_path):
    with Dask(tmp_path) as cluster:
        waiting = cluster.sweep(tmp_path / "none", *WORDS, "--wait", "1")
        _, said = waiting.communicate(timeout=PATIENCE_S)
        assert waiting.returncode == 2
        assert "has had no worker for 1 s" in said
        other = tmp_path / "other"
        shutil.copytree(ROOT / "simulator", other / "simulator", ignore=shutil.ignore_patterns("__pycache__"))
        (book,) = (other / "simulator" / "cost" / "data").glob("prices-2026-11.json")
        book.write_text(book.read_text().replace("0.72 USD", "1.44 USD"))
        cluster.worker(package=other)
        refused = cluster.sweep(tmp_path / "other_version", *WORDS)
        _, said = refused.communicate(timeout=PATIENCE_S)
        assert refused.returncode == 2
        assert "would give other figures: simulator/cost: " in said
        assert not list((tmp_path / "other_version" / "store").glob("*.json"))


class Ray:
    """A real head with two workers."""

    def __enter__(self):
        # Names of sockets lie in it, which must be short.
        self.folder = tempfile.mkdtemp(prefix="ray-")
        with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
            port, client_port = (str(server.getsockname()[1]) for server in (one, other))
        self.address = f"127.0.0.1:{port}"
        words = "start", "--head", "--block", "--port", port, "--ray-client-server-port", client_port, "--num-cpus", "2"
        more = "--include-dashboard", "false", "--disable-usage-stats", "--temp-dir", self.folder
        command = [sys.executable, "-m", "ray.scripts.scripts", *words, *more, "--object-store-memory", "100000000"]
        where = os.pathsep.join([str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
        places = os.environ | {"PYTHONPATH": where, "OF_RAY": self.folder}
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.head = subprocess.Popen(command, env=places, **silent)
        until(partial(listens, int(port)), self.head)
        return self

    def __exit__(self, *_):
        # The node first: it would have its workers go, and start others.
        self.head.kill()
        self.head.wait()
        while self.kill(""):
            pass
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self, name, most=None):
        """Kill its processes of that name, or no more than so many; how many are killed."""
        mine = [place.parent for place in Path("/proc").glob("[0-9]*/cmdline") if self.is_mine(place, name)][:most]
        for place in mine:
            with suppress(ProcessLookupError):
                os.kill(int(place.name), signal.SIGKILL)
        return len(mine)

    def is_mine(self, place, name):
        with suppress(OSError):
            made_with = place.with_name("environ").read_bytes()
            return name.encode() in place.read_bytes() and f"OF_RAY={self.folder}".encode() in made_with
        return False


def listens(port):
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    return False


@pytest.mark.slow
@pytest.mark.needs("Ray", "/proc", "signals")
def test_a_ray_cluster_loses_a_worker_and_nothing_else(whole, tmp_path):
    with Ray() as cluster:
        store = tmp_path / "store"
        command = run(tmp_path, *WORDS, "--executor", "ray", "--address", cluster.address)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        until(partial(holds, store, 10), process, cluster.head)
        kept = {path.name: path.stat().st_mtime_ns for path in store.glob("*.json")}
        until(partial(cluster.kill, "ray::_opened", 1), process, cluster.head)
        _, said = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, said
        # What its workers had just done may be handed in once more.
        again = [file for file, at_ns in kept.items() if (store / file).stat().st_mtime_ns != at_ns]
        assert len(again) <= 2 < len(kept)
        assert (tmp_path / "out" / "sweep.parquet").read_bytes() == (whole / "out" / "sweep.parquet").read_bytes()


@pytest.mark.slow
@pytest.mark.needs("Ray", "/proc", "signals")
def test_a_ray_node_that_dies_under_a_command_lets_it_say_what_to_do(tmp_path):
    with Ray() as cluster:
        command = run(tmp_path, *WORDS, "--executor", "ray", "--address", cluster.address)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        until(partial(cluster.kill, "ray::_opened", 1), process, cluster.head)
        assert cluster.kill("raylet/raylet")
        _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode in (1, 2)
    assert "what was simulated is kept, and the same command goes on from there" in said
