"""What happened to every request, and every hour of every replica: written as Parquet, read as DataFrames."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import numpy as np

from simulator.engine.record import Outcome, Reason, answers_s
from simulator.errors import RunStoreError, SimulationGone, UnknownName
from simulator.experiment import checkpoint
from simulator.files import Draft, cannot_write, writing_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pandas as pd
    from numpy.typing import DTypeLike, NDArray

    from simulator.engine.record import ReplicaLevels, RequestLog, RunRecord
    from simulator.trace.request_table import RequestTable

TABLES: Final = ("requests", "levels")
#: Times that stand in no file, and the columns they are made of.
LATENCIES: Final = {
    "ttft_s": ("arrival_s", "first_token_s"),
    "itl_s": ("first_token_s", "last_token_s", "output_tokens"),
    "e2e_s": ("arrival_s", "last_token_s"),
}
#: Requests that are written, and later read, at a time.
_ROW_GROUP: Final = 131_072


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Tables:
    """Requests and levels of the first replication of each hosting pattern.

    Pickled and copied with what they hold, so that they outlive the folder they lie in; of a run directory, its path.

    Attributes:
        kept: By simulated pattern, where its simulation is kept; empty for a run directory, or where none is.
        run: A run directory, if that is where they are.
        shared: By pattern, the one whose simulation it shares.
    """

    kept: Mapping[str, Path] = field(default_factory=dict)
    run: Path | None = None
    shared: Mapping[str, str] = field(default_factory=dict)

    def __reduce__(self) -> tuple[Any, ...]:
        if self.run is not None:
            return Tables, ({}, self.run, dict(self.shared))
        held = {name: _content(name, path) for name, path in self.kept.items()}
        return _carried, ({name: path.name for name, path in self.kept.items()}, held, dict(self.shared))

    def requests(self, pattern: str | None = None, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """One row per request: stamps in seconds since the start of the horizon, tokens, outcome, backend.

        `ttft_s`, `itl_s` (of two tokens and more) and `e2e_s` are what its client waited, once it was answered.
        `first_answer_s` is there where it thought before: elsewhere its first token is its first answer token.

        Args:
            pattern: Only this hosting pattern. All that were simulated when absent, those that share a simulation once.
            columns: Only these, which reads less.
        """
        asked = list(LATENCIES) if columns is None else [name for name in columns if name in LATENCIES]
        stored = None
        if columns is not None:
            sources = [source for name in asked for source in LATENCIES[name]]
            stored = list(dict.fromkeys([name for name in columns if name not in LATENCIES] + sources))
        found = self._read("requests", pattern, stored)
        if found.empty and not len(found.columns):
            return found
        for name in asked:
            found[name] = latency_s(found, name)
        if columns is None:
            return found
        first = [name for name in ("pattern",) if name in found and name not in columns]
        return found[[*first, *columns]]

    def levels(self, pattern: str | None = None) -> pd.DataFrame:
        """One row per replica and hour: seconds busy, and sequences running, sequences waiting and KV blocks x seconds.

        `kv_blocks` and `max_num_seqs` are what the replica has of them.

        Args:
            pattern: Only this hosting pattern. All that were simulated when absent, those that share a simulation once.
        """
        return self._read("levels", pattern, None)

    def row_groups(
        self,
        kind: Literal["requests", "levels"] = "requests",
        pattern: str | None = None,
        columns: Sequence[str] | None = None,
    ) -> Iterator[Any]:
        """A table a row group at a time, as `pyarrow.Table`, in flat memory; a row group is of one hosting pattern.

        Args:
            kind: Which table.
            pattern: Only this hosting pattern.
            columns: Only these, which reads less.
        """
        wanted = None if pattern is None else self.shared.get(pattern, pattern)
        some = None if columns is None else list(columns)
        if self.run is None:
            yield from _named_groups(self._paths(kind, wanted), some)
        elif (whole := self.run / f"{kind}.parquet").is_file():
            yield from _groups(whole, some, wanted)

    def _read(self, kind: str, pattern: str | None, columns: Sequence[str] | None) -> pd.DataFrame:
        import pandas as pd

        some = None if columns is None else list(columns)
        wanted = None if pattern is None else self.shared.get(pattern, pattern)
        if self.run is not None:
            whole = self.run / f"{kind}.parquet"
            only = None if wanted is None else [("pattern", "==", wanted)]
            with _as_parquet(whole):
                return pd.read_parquet(whole, columns=some, filters=only) if whole.is_file() else pd.DataFrame()
        paths = self._paths(kind, wanted)
        frames = {name: pd.read_parquet(path, columns=some) for name, path in paths.items() if path.is_file()}
        if not frames:
            return pd.DataFrame()
        found = pd.concat(frames, names=["pattern"]).reset_index(level="pattern")
        return found.reset_index(drop=True)

    def _paths(self, kind: str, wanted: str | None) -> dict[str, Path]:
        """Where the tables of this kind lie; levels only of those that have a cluster."""
        if wanted is not None and wanted not in self.kept:
            raise UnknownName("hosting pattern that was simulated", wanted, self.kept)
        parts = self.kept if wanted is None else {wanted: self.kept[wanted]}
        for name, path in parts.items():
            _check_kept(name, path)
        return {name: checkpoint.table_path(path, kind) for name, path in parts.items()}


def latency_s(requests: pd.DataFrame, metric: str) -> pd.Series[float]:
    """A time of `LATENCIES` of each request, in seconds; NaN where there is none."""
    if metric == "itl_s":
        gaps = (requests["output_tokens"] - 1).where(requests["output_tokens"] > 1)
        return (requests["last_token_s"] - requests["first_token_s"]) / gaps
    end = "first_token_s" if metric == "ttft_s" else "last_token_s"
    return requests[end] - requests["arrival_s"]


def temporary_tables(names: Mapping[str, str], shared: Mapping[str, str]) -> tuple[Path, Tables]:
    """A folder for simulations with these names, by pattern, and their tables, with which the folder goes."""
    place = Path(tempfile.mkdtemp(prefix="simulator-"))
    tables = Tables({name: place / file for name, file in names.items()}, shared=shared)
    weakref.finalize(tables, shutil.rmtree, place, ignore_errors=True)
    return place, tables


def _content(pattern: str, kept: Path) -> dict[str, bytes]:
    """The files of a pattern's tables, by kind."""
    _check_kept(pattern, kept)
    paths = {kind: checkpoint.table_path(kept, kind) for kind in TABLES}
    return {kind: path.read_bytes() for kind, path in paths.items() if path.is_file()}


def _carried(names: Mapping[str, str], held: Mapping[str, Mapping[str, bytes]], shared: Mapping[str, str]) -> Tables:
    """Tables that came in a pickle, in a folder of their own."""
    _, tables = temporary_tables(names, shared)
    for name, kinds in held.items():
        for kind, content in kinds.items():
            checkpoint.table_path(tables.kept[name], kind).write_bytes(content)
    return tables


def _check_kept(pattern: str, kept: Path) -> None:
    """Whether a simulation's tables are there: each leaves its requests, even where there were none.

    Raises:
        SimulationGone: They are not.
    """
    if not any(checkpoint.table_path(kept, kind).is_file() for kind in TABLES):
        raise SimulationGone(f"{kept.parent}: the requests of {pattern} are no longer there; run it again")


class RequestWriter:
    """Writes the requests of a run as Parquet, a part at a time, beside its summary: whole or not at all.

    Used in a `with` block, at whose end nothing is left of what was not finished.
    """

    def __init__(self, kept: Path, workloads: Sequence[str], backends: Sequence[str]) -> None:
        """Begin a table.

        Args:
            kept: Where the summary is kept.
            workloads: Names that `RequestTable.workload` indexes.
            backends: Names that `RequestLog.backend` and `target` index.

        Attributes:
            sha256: Of each table, by its kind, once finished.
        """
        self._kept = kept
        self._names = (workloads, backends)
        self._stack = ExitStack()
        self._draft: Draft | None = None
        self._writer: Any = None
        self.sha256: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._writer is not None:
                self._writer.close()
        finally:
            self._stack.close()

    def add(self, table: RequestTable, log: RequestLog, decisions: Sequence[str]) -> None:
        """Write the next requests in order of arrival, about which everything is settled.

        Args:
            table: The requests.
            log: What became of them.
            decisions: What `RequestLog.decision` indexes; those of earlier parts, and any new ones.
        """
        import pyarrow.parquet as pq

        for first in range(0, max(len(table), 1), _ROW_GROUP):
            some = slice(first, first + _ROW_GROUP)
            requests = _requests(table.rows(some), log.rows(some), *self._names, decisions)
            with cannot_write(self._kept):
                if self._draft is None:
                    place = checkpoint.table_path(self._kept, "requests")
                    self._draft = self._stack.enter_context(Draft(place, durable=False))
                    self._writer = pq.ParquetWriter(self._draft.file, requests.schema, compression="zstd")
                self._writer.write_table(requests)

    def finish(self, levels: Sequence[ReplicaLevels]) -> None:
        """Put the table in its place, after at least one part, and the levels beside it where there is a cluster."""
        with cannot_write(self._kept), ExitStack() as stack:
            if levels:
                hours = stack.enter_context(Draft(checkpoint.table_path(self._kept, "levels"), durable=False))
                _write_levels(hours, levels)
                self.sha256["levels"] = hours.sha256()
                hours.commit()
            self._writer.close()
            if self._draft is not None:
                self.sha256["requests"] = self._draft.sha256()
                # Last, because it says that both are there.
                self._draft.commit()


def write_tables(kept: Path, record: RunRecord, table: RequestTable) -> dict[str, str]:
    """Write the requests and levels of a run whose requests are all there; levels only of a cluster.

    Args:
        kept: Where the summary is kept.
        record: The run.
        table: The requests it was given.

    Returns:
        SHA-256 of each table, by its kind.
    """
    with RequestWriter(kept, table.workloads, record.backends) as writer:
        writer.add(table, record.log, record.decisions)
        writer.finish(record.levels)
    return writer.sha256


def _requests(
    table: RequestTable, log: RequestLog, workloads: Iterable[str], backends: Iterable[str], decisions: Iterable[str]
) -> Any:  # noqa: ANN401 - pyarrow has no types
    import pyarrow as pa

    columns = {
        "workload": _named(table.workload, workloads),
        "arrival_s": table.arrival_s,
        "prompt_tokens": table.prompt_tokens,
        "output_tokens": table.output_tokens,
        "thinking_tokens": table.thinking_tokens,
        "priority": table.priority,
        "enqueued_s": log.enqueued_s,
        "scheduled_s": log.scheduled_s,
        "first_token_s": log.first_token_s,
        "first_answer_s": np.where(table.thinking_tokens > 0, answers_s(table, log), np.nan),
        "last_token_s": log.last_token_s,
        "outcome": _named(log.outcome, [outcome.name.lower() for outcome in Outcome]),
        "failed_over": _named(log.failover, [reason.name.lower() for reason in Reason]),
        "lost": _named(log.lost, [reason.name.lower() for reason in Reason]),
        "backend": _named(log.backend, backends),
        "target": _named(log.target, backends),
        "decision": _named(log.decision, decisions),
        "cached_tokens": log.cached_tokens,
        "preemptions": log.preemptions,
        "attempts": log.attempts,
        "retries": log.retries,
        "billed_prompt_tokens": log.billed_prompt_tokens,
        "billed_output_tokens": log.billed_output_tokens,
        "wasted_tokens": log.wasted_tokens,
    }
    return pa.table({name: pa.array(values, from_pandas=True) for name, values in columns.items()})


def _write_levels(draft: Draft, levels: Sequence[ReplicaLevels]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    numbers = range(len(levels))
    columns = {
        "cluster": _named(
            _by_interval(levels, numbers, np.min_scalar_type(-len(levels))), [level.cluster for level in levels]
        ),
        "replica": _by_interval(levels, numbers, np.int16 if len(levels) <= np.iinfo(np.int16).max else np.int32),
        "start_s": np.concatenate([np.arange(len(level.busy_s)) * level.interval_s for level in levels]),
    }
    for name in ("kv_blocks", "max_num_seqs"):
        columns[name] = _by_interval(levels, [getattr(level, name) for level in levels])
    for name in ("busy_s", "sequence_s", "waiting_s", "kv_block_s"):
        columns[name] = np.concatenate([getattr(level, name) for level in levels])
    pq.write_table(pa.table(columns), draft.file, compression="zstd")


def _by_interval(levels: Sequence[ReplicaLevels], values: Iterable[int], kind: DTypeLike | None = None) -> NDArray[Any]:
    """The value of each replica in all of its intervals."""
    return np.concatenate(
        [np.full(len(level.busy_s), value, kind) for level, value in zip(levels, values, strict=True)]
    )


def _named(codes: NDArray[Any], names: Iterable[str]) -> Any:  # noqa: ANN401 - pyarrow has no types
    """A dictionary-encoded column; a negative code is null."""
    import pyarrow as pa

    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), pa.array(list(names), pa.string()))


def join_tables(parts: Mapping[str, Path], target: Path) -> None:
    """Concatenate the Parquet files that exist, each with the name of its pattern; one row group is read at a time.

    Raises:
        RunStoreError: There is no room for it.
    """
    import pyarrow.parquet as pq

    groups = _named_groups(parts)
    first = next(groups, None)
    if first is None:
        return
    with (
        writing_whole(target, fault=RunStoreError) as file,
        pq.ParquetWriter(file, first.schema, compression="zstd") as to,
    ):
        for table in chain([first], groups):
            to.write_table(table)


def _named_groups(parts: Mapping[str, Path], columns: list[str] | None = None) -> Iterator[Any]:
    """Row groups of the files that exist, each with the name of its pattern."""
    for pattern, part in parts.items():
        for table in _groups(part, columns) if part.is_file() else ():
            yield table.add_column(0, "pattern", _named(np.zeros(len(table), np.int8), [pattern]))


def _groups(path: Path, columns: list[str] | None = None, pattern: str | None = None) -> Iterator[Any]:
    import pyarrow.parquet as pq

    with _as_parquet(path):
        file = pq.ParquetFile(path)
    with file:
        for number in range(file.num_row_groups):
            with _as_parquet(path):
                wanted = pattern is None or pattern == _pattern_of(file, number)
                group = file.read_row_group(number, columns) if wanted else None
            if group is not None:
                yield group


@contextmanager
def _as_parquet(path: Path) -> Iterator[None]:
    """Say which table it is that cannot be read."""
    import pyarrow as pa

    try:
        yield
    except FileNotFoundError:
        raise SimulationGone(f"{path} was removed meanwhile") from None
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        said = " ".join(str(error).split())
        raise RunStoreError(f"{path}: is not a table that a run has: {said:.200}") from None


def _pattern_of(file: Any, number: int) -> str | None:  # noqa: ANN401 - pyarrow has no types
    """The pattern that all rows of a row group are of; None where it has none."""
    names = file.read_row_group(number, ["pattern"])["pattern"]
    return names[0].as_py() if len(names) else None
