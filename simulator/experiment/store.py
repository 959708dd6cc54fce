"""A run as a directory: the question, the answer, the requests, the levels, and what made them.

Work in progress lies in a hidden directory beside its place. What is whole is moved there at the end, so a run
directory is complete or absent, and an interrupted run finds what it has done.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.engine.record import Outcome, Reason
from simulator.errors import RunStoreError
from simulator.experiment import checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from simulator.engine.record import RunRecord
    from simulator.scenario.schema import Scenario
    from simulator.workload.request import RequestTable

_LIBRARIES = ("numpy", "pydantic", "scipy", "simpy", "holidays")
_MANIFEST = "manifest.json"
_TABLES = ("requests", "levels")


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


def write_tables(kept: Path, record: RunRecord, table: RequestTable) -> None:
    """Write the requests and hourly levels of one run as Parquet beside its summary; levels only of a cluster.

    Args:
        kept: Where the summary is kept.
        record: The run.
        table: The requests it was given.
    """
    import pyarrow as pa

    log = record.log
    requests = {
        "workload": _named(table.workload, table.workloads),
        "arrival_s": table.arrival_s,
        "prompt_tokens": table.prompt_tokens,
        "output_tokens": table.output_tokens,
        "priority": table.priority,
        "enqueued_s": log.enqueued_s,
        "scheduled_s": log.scheduled_s,
        "first_token_s": log.first_token_s,
        "last_token_s": log.last_token_s,
        "outcome": _named(log.outcome, [outcome.name.lower() for outcome in Outcome]),
        "failed_over": _named(log.failover, [reason.name.lower() for reason in Reason]),
        "backend": _named(log.backend, record.backends),
        "cached_tokens": log.cached_tokens,
        "preemptions": log.preemptions,
        "attempts": log.attempts,
        "billed_prompt_tokens": log.billed_prompt_tokens,
        "billed_output_tokens": log.billed_output_tokens,
        "wasted_tokens": log.wasted_tokens,
    }
    columns = {name: pa.array(values, from_pandas=True) for name, values in requests.items()}
    rows = [(number, level) for number, level in enumerate(record.levels)]
    if rows:
        levels = {
            "replica": np.concatenate([np.full(len(level.busy_s), number, np.int16) for number, level in rows]),
            "start_s": np.concatenate([np.arange(len(level.busy_s)) * level.interval_s for _, level in rows]),
        }
        for name in ("busy_s", "sequence_s", "waiting_s", "kv_block_s"):
            levels[name] = np.concatenate([getattr(level, name) for _, level in rows])
        _write(checkpoint.table_path(kept, "levels"), pa.table(levels))
    # Last, because it says that both are there.
    _write(checkpoint.table_path(kept, "requests"), pa.table(columns))


def _write(path: Path, table: Any) -> None:  # noqa: ANN401 - pyarrow has no types
    """Write a table, whole or not at all."""
    import pyarrow.parquet as pq

    part = path.with_name(f"{path.name}.{os.getpid()}")
    pq.write_table(table, part, compression="zstd")
    part.replace(path)


def _named(codes: NDArray[Any], names: Iterable[str]) -> Any:  # noqa: ANN401 - pyarrow has no types
    """A dictionary-encoded column; a negative code is null."""
    import pyarrow as pa

    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), pa.array(list(names), pa.string()))


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
        for kind in _TABLES:
            _join({name: checkpoint.table_path(path, kind) for name, path in kept.items()}, whole / f"{kind}.parquet")
        (whole / _MANIFEST).write_text(json.dumps(made_by, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        if target.exists():
            target.replace(folder / "replaced")
        whole.replace(target)
    except OSError as error:
        raise RunStoreError(f"{target} cannot be written: {error.strerror}") from error
    shutil.rmtree(folder, ignore_errors=True)


def _join(parts: Mapping[str, Path], target: Path) -> None:
    """Concatenate the Parquet files that exist, one in memory at a time, each with the name of its pattern."""
    import pyarrow.parquet as pq

    writer = None
    for pattern, part in parts.items():
        if not part.is_file():
            continue
        table = pq.read_table(part)
        table = table.add_column(0, "pattern", _named(np.zeros(len(table), np.int8), [pattern]))
        writer = writer or pq.ParquetWriter(target, table.schema, compression="zstd")
        writer.write_table(table)
    if writer is not None:
        writer.close()
