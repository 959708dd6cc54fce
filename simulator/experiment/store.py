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
    from simulator.engine.record import RunRecord
    from simulator.scenario.schema import Scenario
    from simulator.workload.request import RequestTable

_LIBRARIES = ("numpy", "pandas", "pydantic", "scipy", "simpy")


def write_tables(folder: Path, pattern: str, record: RunRecord, table: RequestTable) -> None:
    """Write the requests and hourly levels of one run as Parquet, `<pattern>.requests.parquet` and `.levels.`."""
    import pandas as pd

    log = record.log
    backends = [*record.backends, "none"]
    requests = {
        "arrival_s": table.arrival_s,
        "workload": pd.Categorical.from_codes(table.workload, list(table.workloads)),
        "prompt_tokens": table.prompt_tokens,
        "output_tokens": table.output_tokens,
        "priority": table.priority,
        "enqueued_s": log.enqueued_s,
        "scheduled_s": log.scheduled_s,
        "first_token_s": log.first_token_s,
        "last_token_s": log.last_token_s,
        "outcome": pd.Categorical.from_codes(log.outcome, [outcome.name.lower() for outcome in Outcome]),
        "failed_over": pd.Categorical.from_codes(log.failover, [reason.name.lower() for reason in Reason]),
        "backend": pd.Categorical.from_codes([number % len(backends) for number in log.backend], backends),
        "cached_tokens": log.cached_tokens,
        "preemptions": log.preemptions,
        "attempts": log.attempts,
        "wasted_tokens": log.wasted_tokens,
    }
    levels = [
        pd.DataFrame(
            {
                "replica": number,
                "start_s": [hour * level.interval_s for hour in range(len(level.busy_s))],
                "busy_s": level.busy_s,
                "sequence_s": level.sequence_s,
                "waiting_s": level.waiting_s,
                "kv_block_s": level.kv_block_s,
            }
        )
        for number, level in enumerate(record.levels)
    ]
    pd.DataFrame(requests).assign(pattern=pd.Categorical([pattern] * len(table))).to_parquet(
        folder / f"{pattern}.requests.parquet"
    )
    if levels:
        pd.concat(levels).assign(pattern=pattern).to_parquet(folder / f"{pattern}.levels.parquet")


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
    """Concatenate Parquet files, a row group at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not parts:
        return
    tables = [pq.read_table(part) for part in parts]
    pq.write_table(pa.concat_tables(_plain_strings(table) for table in tables), target, compression="zstd")


def _plain_strings(table: Any) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Dictionaries differ between files; their strings do not."""
    import pyarrow as pa

    for number, column in enumerate(table.schema):
        if pa.types.is_dictionary(column.type):
            table = table.set_column(number, column.name, table.column(number).cast(pa.string()))
    return table.replace_schema_metadata(None)
