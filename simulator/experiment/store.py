"""A run as a directory: the question, the answer, the requests, the levels, and what made them.

Work in progress lies in a hidden directory beside its place. What is whole is moved there at the end, so a run
directory is complete or absent, and an interrupted run finds what it has done.
"""

from __future__ import annotations

import json
import platform
import shutil
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from simulator.errors import RunStoreError
from simulator.experiment import checkpoint
from simulator.experiment.tables import TABLES, join_tables

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from simulator.scenario.schema import Scenario

_LIBRARIES = ("numpy", "pydantic", "scipy", "simpy", "holidays")
_MANIFEST = "manifest.json"


def open_folder(target: Path, scenario: Scenario) -> Path:
    """A place for the unfinished work of a run that will be kept at `target`.

    Raises:
        RunStoreError: Something other than a run is there, or it cannot be written.
    """
    if target.exists() and not (target / _MANIFEST).is_file() and (not target.is_dir() or any(target.iterdir())):
        raise RunStoreError(f"{target} exists and is not a run directory; choose another place for the run")
    if not target.name or (target.exists() and target.samefile(".")):
        raise RunStoreError(f"{target} is where you stand; choose another place for the run")
    folder = target.parent / f".{target.name}-{scenario.sha256[:12]}.unfinished"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunStoreError(f"{target} cannot be written: {error.strerror}") from error
    return folder


def manifest(scenario: Scenario, summary: dict[str, Any], inputs: dict[str, Any]) -> dict[str, Any]:
    """What made a run; only `environment` differs between two machines that ran the same."""
    facts = ("simulator_version", "scenario", "seed", "replications", "price_book")
    return {
        "schema_version": 1,
        **{fact: summary[fact] for fact in facts},
        "horizon": {
            "start": scenario.horizon.start_local.isoformat(),
            "end": scenario.horizon.end_local.isoformat(),
        },
        **inputs,
        "tables": "requests.parquet and levels.parquet hold the first replication only",
        "environment": {
            "written_at": datetime.now(tz=UTC).isoformat(timespec="seconds"),
            "host": platform.node(),
            "platform": platform.platform(),
            "python": platform.python_version(),
            "libraries": {name: version(name) for name in _LIBRARIES},
            "command": sys.argv[1:],
        },
    }


def write_run(
    target: Path,
    folder: Path,
    scenario: Scenario,
    summary: bytes,
    made_by: dict[str, Any],
    kept: Mapping[str, Path],
) -> None:
    """Turn a finished folder into a run directory, replacing an older run.

    Args:
        target: Its place.
        folder: From `open_folder`, on the same file system; gone afterwards.
        scenario: The question.
        summary: The published JSON document.
        made_by: From `manifest`.
        kept: Where the first replication of each pattern that has tables is kept, by name.

    Raises:
        RunStoreError: The place cannot be written.
    """
    from ruamel.yaml import YAML

    whole = folder / "whole"
    try:
        shutil.rmtree(whole, ignore_errors=True)
        whole.mkdir()
        with (whole / "scenario.yaml").open("w", encoding="utf-8") as file:
            YAML().dump(scenario.resolved, file)
        (whole / "summary.json").write_bytes(summary)
        for kind in TABLES:
            parts = {name: checkpoint.table_path(path, kind) for name, path in kept.items()}
            join_tables(parts, whole / f"{kind}.parquet")
        (whole / _MANIFEST).write_text(json.dumps(made_by, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        if target.exists():
            target.replace(folder / "replaced")
        whole.replace(target)
    except OSError as error:
        raise RunStoreError(f"{target} cannot be written: {error.strerror}") from error
    shutil.rmtree(folder, ignore_errors=True)
