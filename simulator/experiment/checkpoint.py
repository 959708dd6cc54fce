"""Finished simulations kept on disk, for an interrupted run to continue and for a new price to need no simulation.

A simulation is a file named after a hash of all it depends on, and for a first replication the tables beside it. The
file has the checksums of all of them: what is not as it was written is simulated again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import time
from contextlib import suppress
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter

from simulator.analysis.metrics import RunSummary
from simulator.compliance.backends import allowed_backends
from simulator.errors import RunStoreError
from simulator.extensions import mark
from simulator.files import file_sha256, write_whole
from simulator.performance.clusters import cluster_profile
from simulator.scenario.costs import Prices
from simulator.scenario.customs import customs
from simulator.version import package_version
from simulator.workload.recording import trace_checksums

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from importlib.resources.abc import Traversable
    from pathlib import Path

    from simulator.scenario.patterns import HostingPattern
    from simulator.scenario.schema import Scenario

#: Names of what is kept, of an earlier version's drafts too.
NAME: Final = re.compile(r"[0-9a-f]{24}-\d+(?:\.(?:requests|levels)\.parquet|\.json)(?:\.\d+)?")
_SUMMARY: Final = b',"summary":'
_LOG: Final = logging.getLogger(__name__)


def simulation_key(pattern: HostingPattern) -> str:
    """Hash of what determines a simulation: everything about a pattern but money, words and who may see what."""
    api: dict[str, Any] = {"prices": True, "costs": True, "placement": True, "deployment": {"unit_hour"}}
    money: dict[str, Any] = {
        "costs": True,
        "cluster": {"placement", "profile"},
        "api": api,
        "clusters": {"__all__": {"costs": True, "cluster": {"placement", "profile"}}},
        "apis": {"__all__": api},
    }
    facts = pattern.model_dump(mode="json", exclude={"description": True, "refused_on_purpose": True, **money})
    # What is in a profile counts, not where it lies.
    own = [one.cluster for one in pattern.hosted.values() if one.cluster.profile is not None]
    return _hash([facts, [cluster_profile(cluster).model_dump(mode="json") for cluster in own]])


def demand_key(scenario: Scenario) -> str:
    """Hash of everything else a summary depends on, this package's version and sources included."""
    facts = scenario.model_dump(
        mode="json",
        exclude={
            "name": True,
            "description": True,
            "hosting_patterns": True,
            # A volume a month is one of its hours.
            "prices": Prices.model_fields.keys() - {"month"},
            "constraints": True,
            "compliance": True,
            "workloads": {"__all__": {"phi", "data_protection"}},
            "rollout": True,
            "rules": True,
            "experiment": {"replications"},
        },
    )
    for name, checksum in trace_checksums(scenario).items():
        # What is in a trace counts, not where it lies.
        facts["workloads"][name]["trace"]["file"] = checksum
    # A line of the bill needs no new simulation, nor does another pattern that goes by the same code.
    own = sorted({mark(group, one.name) for _, group, one in customs(scenario) if group != "cost_lines"})
    return _hash([package_version(), _sources(), facts, *own])


def file_name(scenario: Scenario, pattern: str, replication: int) -> str:
    """Name under which a simulation is kept; it changes with everything the simulation depends on."""
    return f"{stem(scenario, pattern)}-{replication}.json"


def finished(store: Path, scenario: Scenario, patterns: Iterable[str]) -> int:
    """How many simulations of these patterns are kept."""
    stems = {stem(scenario, pattern) for pattern in patterns}
    return sum(len(list(store.glob(f"{name}-*.json"))) for name in stems)


def table_path(kept: Path, kind: str) -> Path:
    """Where the table of this kind of a kept simulation lies: `requests` or `levels`."""
    return kept.with_name(f"{kept.stem}.{kind}.parquet")


def stem(scenario: Scenario, pattern: str) -> str:
    """What the names of a pattern's simulations begin with; the number of the replication follows."""
    content = scenario.hosting_patterns[pattern]
    profiles = [cluster_profile(one.cluster).model_dump(mode="json") for one in content.hosted.values()]
    return _hash([demand_key(scenario), simulation_key(content), profiles, permitted(scenario, content)])[:24]


def permitted(scenario: Scenario, pattern: HostingPattern) -> dict[str, list[bool]]:
    """All that a simulation depends on of compliance: by workload, whether it may use each backend, clusters first."""
    allowed = allowed_backends(scenario, pattern)
    return {load: [reason is None for reason in row.values()] for load, row in allowed.items()}


@cache
def _sources() -> str:
    """Hash of the code a simulation runs through, whose changes a version number lags behind."""
    package = resources.files("simulator")
    parts = ("scenario", "trace", "workload", "performance", "engine", "analysis")
    # Step-time profiles are large and enter by their content.
    digest = hashlib.sha256((package / "streams.py").read_bytes())
    for part in parts:
        for file in _files(package / part):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _files(folder: Traversable) -> Iterable[Traversable]:
    """Every file below a folder, in order of names; profiles and compiled files left out."""
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_file():
            yield entry
        elif entry.name not in {"__pycache__", "profiles"}:
            yield from _files(entry)


def _hash(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


@cache
def _adapter() -> TypeAdapter[RunSummary]:
    return TypeAdapter(RunSummary)


def note_use(path: Path) -> None:
    """Note that a kept simulation was of use now: what was used longest ago goes first when there is no more room."""
    # As the time of access, whatever the file system makes of that itself; when it was written stays known.
    with suppress(OSError):
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))


def save(path: Path, summary: RunSummary, tables: Mapping[str, str] | None = None) -> None:
    """Write a summary, whole or not at all, and the checksums of all that is kept of its simulation.

    Args:
        path: Its place.
        summary: The summary.
        tables: SHA-256 of the tables beside it, by their kind.

    Raises:
        RunStoreError: There is no room for it.
    """
    content = _adapter().dump_json(summary)
    sums = {"summary": hashlib.sha256(content).hexdigest(), **(tables or {})}
    head = json.dumps({"simulation": path.stem, "sha256": sums}, separators=(",", ":")).encode()
    write_whole(path, head[:-1] + _SUMMARY + content + b"}", fault=RunStoreError, durable=False)


def load(path: Path, *, tables: bool = False) -> RunSummary | None:
    """The summary that was saved, to the last bit.

    Args:
        path: Its place.
        tables: Whether its tables are needed too.

    Returns:
        None where there is none, or none that is as it was written; the latter is said.
    """
    try:
        content = path.read_bytes()
        head, _, body = content.partition(_SUMMARY)
        known = json.loads(head + b"}")
        sums = dict(known["sha256"])
        whole = known["simulation"] == path.stem and sums["summary"] == hashlib.sha256(body[:-1]).hexdigest()
        if tables and whole:
            if "requests" not in sums:
                return None
            whole = all(file_sha256(table_path(path, kind)) == sums[kind] for kind in sums if kind != "summary")
        if whole and body.endswith(b"}"):
            found = _adapter().validate_json(body[:-1])
            note_use(path)
            return found
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    _LOG.warning("%s is not as it was written; it is simulated again", path)
    return None
