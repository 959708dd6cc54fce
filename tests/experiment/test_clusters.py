"""Clusters as they are reached; real ones stand in `tests/study/test_sweep.py`.

What stands for Ray here has the calls that are used; Ray itself stands there too.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import pytest
from distributed import LocalCluster

from simulator.errors import SimulatorError
from simulator.experiment import clusters, workers
from simulator.experiment.clusters import on_cluster
from simulator.results import run
from tests.experiment.small import small

#: Empty settings of HTTP/2, with which a gRPC server begins.
SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


class Killed(Exception):
    """Stands for what Ray raises when a worker died too often."""


@pytest.fixture
def ray(monkeypatch):
    """What stands for Ray."""
    module, pool = ModuleType("ray"), ThreadPoolExecutor(2)
    module.__spec__ = ModuleSpec("ray", None)
    module.opened, module.cpus = [], 2.0
    module.is_initialized = lambda: False
    module.init = lambda **options: module.opened.append(options)
    module.shutdown = lambda: module.opened.append("shut")
    module.put = lambda content: content
    module.cluster_resources = lambda: {"CPU": module.cpus} if module.cpus else {}

    def remote(**options):
        module.opened.append(options)
        called = lambda function: lambda *words: SimpleNamespace(future=lambda: pool.submit(function, *words))  # noqa: E731
        return lambda function: SimpleNamespace(remote=called(module.wrap(function)))

    module.remote, module.wrap = remote, lambda function: function
    names = "WorkerCrashedError", "OutOfMemoryError", "NodeDiedError", "RaySystemError", "ObjectLostError"
    module.exceptions = SimpleNamespace(**{name: type(name, (Killed,), {}) for name in names})
    monkeypatch.setitem(sys.modules, "ray", module)
    yield module
    pool.shutdown()


@contextmanager
def listening(answer):
    """A port at which each caller gets these bytes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            while True:
                try:
                    there, _ = server.accept()
                except OSError:
                    return
                with there:
                    there.recv(64)
                    there.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def test_ray_gives_the_same_answer(ray):
    scenario = small({"experiment.replications": 2})
    with listening(SETTINGS) as address, on_cluster("ray", address) as there:
        assert run(scenario, jobs=there).to_json() == run(scenario).to_json()
    assert ray.opened[0]["address"] == address
    assert ray.opened[1] == {"max_retries": clusters.RETRIES}
    assert ray.opened[-1] == "shut"


def test_ray_that_loses_its_workers_is_said_so(ray):
    def dies(*_):
        raise ray.exceptions.WorkerCrashedError

    ray.wrap = lambda _: dies
    said = pytest.raises(SimulatorError, match="4 workers died at the same simulation")
    with listening(SETTINGS) as address, on_cluster("ray", address) as there, said:
        run(small(), jobs=there)


@pytest.mark.parametrize("answer", [b"HTTP/1.0 400 Bad request\r\n", b"", b"+PONG\r\n"])
def test_whatever_is_no_ray_is_told_at_once(ray, answer):
    said = pytest.raises(SimulatorError, match="something else listens there")
    with listening(answer) as address, said, on_cluster("ray", address):
        pass
    assert not ray.opened


def test_nothing_at_an_address_is_told_at_once(ray):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(SimulatorError, match="no Ray cluster answers"), on_cluster("ray", f"127.0.0.1:{port}"):
        pass


LOST = ConnectionError("lost")
CLOSED = ValueError("Cannot invoke RPC on closed channel!")
REMOVED = type("_InactiveRpcError", (Exception,), {"__module__": "grpc._channel"})("Stream removed")


@pytest.mark.parametrize(
    ("asked", "fault"),
    [
        ("hand out", LOST),
        ("hand out", CLOSED),
        ("hand out", REMOVED),
        ("answer", REMOVED),
        ("answer", LOST),
        ("look", CLOSED),
    ],
)
def test_a_ray_head_that_is_lost_is_said_so(ray, asked, fault, monkeypatch):
    """In Ray's own words, or those of its client, whatever it was asked when that was noticed."""

    def lost(*_):
        raise fault

    if asked == "hand out":
        monkeypatch.setattr(ray, "remote", lambda **_: lambda _: SimpleNamespace(remote=lost))
    elif asked == "answer":
        ray.wrap = lambda _: lost
    else:
        monkeypatch.setattr(workers, "_LOOK_S", 0.01)
        ray.wrap, ray.cluster_resources = lambda _: lambda *_: time.sleep(0.2), lost
    said = pytest.raises(SimulatorError, match="the cluster is gone; what was simulated is kept")
    with listening(SETTINGS) as address, on_cluster("ray", address) as there, said:
        run(small(), jobs=there)


def test_what_is_missing_to_reach_a_cluster_is_said(monkeypatch):
    monkeypatch.setattr(clusters.importlib.util, "find_spec", lambda name: None)
    for kind, package in (("dask", "distributed"), ("ray", "ray")):
        with pytest.raises(SimulatorError, match=f"needs {package}: pip install"), on_cluster(kind, "x"):
            pass


@pytest.mark.slow
def test_what_is_given_up_leaves_no_thread_behind(monkeypatch):
    """One that still waited for Dask once its client is closed would keep the command from ever ending."""
    close = clusters._Dask.close

    def closes_late(self):
        # A scheduler that hears of what was given up before its client is gone.
        time.sleep(0.5)
        close(self)

    monkeypatch.setattr(clusters._Dask, "close", closes_late)
    monkeypatch.setattr(workers, "_LOOK_S", 0.01)
    before = set(threading.enumerate())
    with LocalCluster(n_workers=0, processes=False, dashboard_address=None) as dask:
        gives_up = pytest.raises(SimulatorError, match="has had no worker for 0 s")
        with on_cluster("dask", dask.scheduler_address, wait_s=0.0) as nobody, gives_up:
            run(small({"experiment.replications": 20}), jobs=nobody)
    left = {one.name for one in set(threading.enumerate()) - before}
    # Dask has it joined at the end of the process, whether it still waits or not.
    assert not [name for name in left if name.startswith("Dask-Callback")]


@pytest.mark.parametrize(("ends", "said"), [("os._exit(1)", "gone: go on"), ("words.take_back()", "")])
def test_who_is_ended_without_a_word_has_left_some(ends, said):
    """As Ray ends a process whose node dies: no handler of Python's runs."""
    program = (
        f"import os; from simulator.experiment.clusters import _LastWords; words = _LastWords('gone: go on'); {ends}"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (1 if said else 0, said)
