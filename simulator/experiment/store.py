"""A run as a directory: the question, the answer, the requests, the levels, and what made them.

Everything is written beside its place first and then moved there, so a directory is whole or absent.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.engine.record import Outcome, Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.engine.record import RunRecord
    from simulator.scenario.schema import Scenario
    from simulator.workload.request import RequestTable

_LIBRARIES = ("numpy", "pandas", "pydantic", "scipy", "simpy")


def write_tables(folder: Path, pattern: str, record: RunRecord, table: RequestTable) -> None:
    """Write the requests and hourly levels of one run, `<pattern>.requests.parquet` and `<pattern>.levels.parquet`."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    def words(codes: Any, names: Sequence[str]) -> Any:  # noqa: ANN401 - pyarrow has no types
        return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(names, pa.string())).cast(
            pa.string()
        )

    log = record.log
    requests = {
        "pattern": words(np.zeros(len(table), np.int32), [pattern]),
        "arrival_s": table.arrival_s,
        "workload": words(table.workload, table.workloads),
        "prompt_tokens": table.prompt_tokens,
        "output_tokens": table.output_tokens,
        "priority": table.priority,
        "enqueued_s": log.enqueued_s,
        "scheduled_s": log.scheduled_s,
        "first_token_s": log.first_token_s,
        "last_token_s": log.last_token_s,
        "outcome": words(log.outcome, [outcome.name.lower() for outcome in Outcome]),
        "failed_over": words(log.failover, [reason.name.lower() for reason in Reason]),
        # No backend is -1, the last of the names.
        "backend": words(log.backend % (len(record.backends) + 1), [*record.backends, "none"]),
        "cached_tokens": log.cached_tokens,
        "preemptions": log.preemptions,
        "attempts": log.attempts,
        "wasted_tokens": log.wasted_tokens,
    }
    pq.write_table(pa.table(requests), folder / f"{pattern}.requests.parquet", compression="zstd")
    levels = [
        {
            "pattern": words(np.zeros(len(level.busy_s), np.int32), [pattern]),
            "replica": np.full(len(level.busy_s), number),
            "start_s": np.arange(len(level.busy_s)) * level.interval_s,
            "busy_s": level.busy_s,
            "sequence_s": level.sequence_s,
            "waiting_s": level.waiting_s,
            "kv_block_s": level.kv_block_s,
        }
        for number, level in enumerate(record.levels)
    ]
    if levels:
        whole = pa.concat_tables(pa.table(level) for level in levels)
        pq.write_table(whole, folder / f"{pattern}.levels.parquet", compression="zstd")


def manifest(scenario: Scenario, summary: dict[str, Any], inputs: dict[str, Any]) -> dict[str, Any]:
    """What made a run; only `environment` differs between two machines that ran the same."""
    return {
        "schema_version": 1,
        "simulator_version": summary["simulator_version"],
        "scenario": summary["scenario"],
        "seed": summary["seed"],
        "replications": summary["replications"],
        "price_book": summary["price_book"],
        **inputs,
        "tables": "requests and levels are those of the first replication",
        "environment": {
            "python": platform.python_version(),
            "platform": platform.platform(),
            "libraries": {name: version(name) for name in _LIBRARIES},
            "command": sys.argv[1:],
        },
        "resolved": scenario.resolved,
    }


def write_run(target: Path, scenario: Scenario, summary: bytes, made_by: dict[str, Any], tables: Path) -> None:
    """Write a run directory, replacing one that is there.

    Raises:
        OSError: The place cannot be written.
    """
    from ruamel.yaml import YAML

    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        with (staging / "scenario.yaml").open("w", encoding="utf-8") as file:
            YAML().dump(scenario.resolved, file)
        (staging / "summary.json").write_bytes(summary)
        (staging / "manifest.json").write_text(json.dumps(made_by, indent=2) + "\n", encoding="utf-8")
        for kind in ("requests", "levels"):
            _join(sorted(tables.glob(f"*.{kind}.parquet")), staging / f"{kind}.parquet")
        staging.chmod(0o755)
        old = target.with_name(f".{target.name}-old-{os.getpid()}")
        if target.exists():
            target.rename(old)
        staging.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def _join(parts: list[Path], target: Path) -> None:
    """Concatenate Parquet files of the same columns, one row group at a time."""
    import pyarrow.parquet as pq

    if not parts:
        return
    with pq.ParquetWriter(target, pq.read_schema(parts[0]), compression="zstd") as writer:
        for part in parts:
            file = pq.ParquetFile(part)
            for group in range(file.num_row_groups):
                writer.write_table(file.read_row_group(group))
