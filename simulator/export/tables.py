"""A run as plain tables: figures, bill lines, requests and levels, as CSV or Parquet."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal

from simulator.errors import RunStoreError
from simulator.files import folder_for, writing_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import pandas as pd

    from simulator.export.kept_run import KeptRun

Format = Literal["csv", "parquet"]
#: Tables and what a row of each is.
TABLES: Final = {
    "figures": "one figure of a hosting pattern or workload",
    "costs": "one line of a bill",
    "requests": "one request of the first replication",
    "levels": "one hour of a replica in the first replication",
}


#: How a formula begins, to one spreadsheet or another.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def export_tables(run: KeptRun, folder: Path, form: Format) -> list[Path]:
    """Write every table of a run into a folder, all of them or none; returns what was written.

    Raises:
        RunStoreError: The folder cannot be made.
    """
    import pyarrow as pa

    tables = {
        "figures": iter([pa.Table.from_pandas(figures(run), preserve_index=False)]),
        "costs": iter([pa.Table.from_pandas(costs(run), preserve_index=False)]),
        "requests": run.tables.row_groups("requests"),
        "levels": run.tables.row_groups("levels"),
    }
    written = []
    # All are written before the first is in its place.
    with folder_for(folder, RunStoreError), ExitStack() as stack:
        for name, parts in tables.items():
            first = next(parts, None)
            if first is not None:
                written.append(folder / f"{name}.{form}")
                _WRITE[form](stack.enter_context(writing_whole(written[-1])), chain([first], parts))
    return written


def _write_csv(file: BinaryIO, parts: Iterable[Any]) -> None:
    import pyarrow as pa

    for number, part in enumerate(parts):
        frame = part.to_pandas()
        for name in frame.columns:
            kind = part.schema.field(name).type
            if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind):
                frame[name] = as_text(frame[name])
        frame.to_csv(file, mode="wb", index=False, header=not number, lineterminator="\n")


def as_text(cells: pd.Series[Any]) -> pd.Series[Any]:
    """Text that no spreadsheet takes for a formula: what begins like one has an apostrophe before it (CWE-1236)."""
    return cells.map(lambda cell: f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell)


def _write_parquet(file: BinaryIO, parts: Iterable[Any]) -> None:
    import pyarrow.parquet as pq

    writer = None
    for part in parts:
        writer = writer or pq.ParquetWriter(file, part.schema, compression="zstd")
        writer.write_table(part)
    if writer is not None:
        writer.close()


_WRITE: Final = {"csv": _write_csv, "parquet": _write_parquet}


def figures(run: KeptRun) -> pd.DataFrame:
    """Every figure of the published document: `pattern`, `workload`, `figure`, `value`, `ci95_low`, `ci95_high`."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for pattern in run.published["patterns"]:
        for workload, part in {"all": pattern, **pattern["workloads"]}.items():
            rows += [
                {"pattern": pattern["name"], "workload": workload, "figure": name, "value": value}
                | ({} if ci95 is None else {"ci95_low": ci95[0], "ci95_high": ci95[1]})
                for name, value, ci95 in _figures(part)
            ]
    columns = ["pattern", "workload", "figure", "value", "ci95_low", "ci95_high"]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[3:], float))


def _figures(part: dict[str, Any]) -> Iterator[tuple[str, float, list[float] | None]]:
    """Name, value and interval of what a pattern or workload has of each."""
    cost = part.get("monthly_cost_usd")
    if cost is not None:
        yield "monthly_cost_usd", cost["mean"], cost["ci95"]
    for name in ("usd_per_million_tokens", "share_met", "goodput", "objective_met"):
        if part.get(name) is not None:
            yield name, float(part[name]), None
    for group in ("requests", "tokens", "utilisation"):
        for name, value in (part.get(group) or {}).items():
            if isinstance(value, dict):
                for reason, count in value.items():
                    yield f"{name}_{reason}", float(count), None
            elif value is not None:
                yield f"{name}_tokens" if group == "tokens" else name, float(value), None
    for metric, found in (part.get("latency") or {}).items():
        for name, value in (found or {}).items():
            if name != "ci95":
                yield f"{metric.removesuffix('_s')}_{name}_s", value, found["ci95"] if name == "p99" else None


def costs(run: KeptRun) -> pd.DataFrame:
    """Every line of every bill, with its arithmetic in words."""
    import pandas as pd

    return pd.DataFrame(
        [
            {"pattern": pattern["name"], "line": line, "usd_a_month": usd, "basis": pattern["cost_basis"].get(line, "")}
            for pattern in run.published["patterns"]
            for line, usd in pattern["cost_lines_usd"].items()
        ],
        columns=["pattern", "line", "usd_a_month", "basis"],
    )
