"""Results of a small scenario as files, each simulated once."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import simulator
from simulator.gate.result_file import read_result
from tests.experiment.small import small

#: One change of each kind that a reviewer may meet, and what explains it.
VARIANTS = {
    "price": {"hosting_patterns.rented.costs.compute.gpu_hour": "1.10 USD/h"},
    "volume": {"workloads.notes.volume.clinicians": 80},
    "replica": {"hosting_patterns.rented.cluster.replicas": 2},
    "routing": {"hosting_patterns.hybrid.routing.max_in_flight": 2},
}


@cache
def folder():
    """A folder that outlives a test; finished simulations are shared in it."""
    return Path(mkdtemp())


@cache
def _kept(settings, replications):
    results = simulator.run(small(json.loads(settings)), folder=folder(), tables=False, replications=replications)
    path = folder() / f"{abs(hash((settings, replications)))}.result"
    path.write_bytes(results.to_json())
    return path


def kept(settings=None, replications=None):
    """Path of the result with these settings."""
    return _kept(json.dumps(settings or {}), replications)


def edited(change, settings=None):
    """The result of `kept`, after a function has changed what it says, read again."""
    plain = json.loads(kept(settings).read_text())
    change(plain)
    path = folder() / f"{abs(hash(json.dumps(plain)))}.edited"
    path.write_text(json.dumps(plain))
    return read_result(path)


def side(settings=None, replications=None):
    """The same, read."""
    return read_result(kept(settings, replications))
