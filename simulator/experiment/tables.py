"""What happened to every request, and every hour of every replica: written as Parquet, read as DataFrames."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from simulator.engine.record import Outcome, Reason
from simulator.experiment import checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from simulator.engine.record import RunRecord
    from simulator.workload.request import RequestTable

TABLES: Final = ("requests", "levels")


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Tables:
    """Requests and levels of the first replication of each hosting pattern.

    Attributes:
        kept: By simulated pattern, where its simulation is kept; empty for a run directory.
        run: A run directory, if that is where they are.
        shared: By pattern, the one whose simulation it shares.
    """

    kept: Mapping[str, Path] = field(default_factory=dict)
    run: Path | None = None
    shared: Mapping[str, str] = field(default_factory=dict)

    def requests(self, pattern: str | None = None, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """One row per request: stamps in seconds since the start of the horizon, tokens, outcome, backend.

        Args:
            pattern: Only this hosting pattern. All that were simulated when absent, those that share a simulation once.
            columns: Only these, which reads less.
        """
        return self._read("requests", pattern, columns)

    def levels(self, pattern: str | None = None) -> pd.DataFrame:
        """One row per replica and hour: seconds busy, and sequences running, sequences waiting and KV blocks x seconds.

        `kv_blocks` and `max_num_seqs` are what the replica has of them.

        Args:
            pattern: Only this hosting pattern. All that were simulated when absent, those that share a simulation once.
        """
        return self._read("levels", pattern, None)

    def _read(self, kind: str, pattern: str | None, columns: Sequence[str] | None) -> pd.DataFrame:
        import pandas as pd

        some = None if columns is None else list(columns)
        wanted = None if pattern is None else self.shared.get(pattern, pattern)
        if self.run is not None:
            whole = self.run / f"{kind}.parquet"
            only = None if wanted is None else [("pattern", "==", wanted)]
            return pd.read_parquet(whole, columns=some, filters=only) if whole.is_file() else pd.DataFrame()
        parts = self.kept if wanted is None else {wanted: self.kept[wanted]}
        paths = {name: checkpoint.table_path(path, kind) for name, path in parts.items()}
        frames = {name: pd.read_parquet(path, columns=some) for name, path in paths.items() if path.is_file()}
        if not frames:
            return pd.DataFrame()
        found = pd.concat(frames, names=["pattern"]).reset_index(level="pattern")
        return found.reset_index(drop=True)


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
        "lost": _named(log.lost, [reason.name.lower() for reason in Reason]),
        "backend": _named(log.backend, record.backends),
        "target": _named(log.target, record.backends),
        "decision": _named(log.decision, record.decisions),
        "cached_tokens": log.cached_tokens,
        "preemptions": log.preemptions,
        "attempts": log.attempts,
        "retries": log.retries,
        "billed_prompt_tokens": log.billed_prompt_tokens,
        "billed_output_tokens": log.billed_output_tokens,
        "wasted_tokens": log.wasted_tokens,
    }
    columns = {name: pa.array(values, from_pandas=True) for name, values in requests.items()}
    rows = [(number, level) for number, level in enumerate(record.levels)]
    if rows:
        levels = {
            "cluster": _named(
                np.concatenate([np.full(len(level.busy_s), number, np.int8) for number, level in rows]),
                [level.cluster for _, level in rows],
            ),
            "replica": np.concatenate([np.full(len(level.busy_s), number, np.int16) for number, level in rows]),
            "start_s": np.concatenate([np.arange(len(level.busy_s)) * level.interval_s for _, level in rows]),
        }
        for name in ("kv_blocks", "max_num_seqs"):
            levels[name] = np.concatenate([np.full(len(level.busy_s), getattr(level, name)) for _, level in rows])
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


def join_tables(parts: Mapping[str, Path], target: Path) -> None:
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
