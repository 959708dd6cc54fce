"""The table of a sweep on disk: a part for each hundred configurations while it runs, one file in the end.

A part is whole and can be read as soon as it is there; a sweep that is asked again goes on after the parts it has, if
they are as they were written: each has its checksum beside it. The
bytes of the file do not depend on how it came about: in one go, with interruptions, or merged from shards.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np

from simulator.errors import RunStoreError
from simulator.files import file_sha256, make_folder, remove_tree, write_whole
from simulator.reading import read_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

#: Configurations of a row group, and of a part.
GROUP: Final = 100
#: Configurations in the picture: more make a page that no browser opens with ease.
DRAWN: Final = 2_000
_GOLDEN: Final = (math.sqrt(5.0) - 1.0) / 2.0
#: Folder of the parts, and what they are of.
PARTS: Final = "parts"
_QUESTION: Final = "question.json"
_FIGURES: Final = dict.fromkeys(("value", "ci95_low", "ci95_high"), "float64")
_WORDS: Final = dict.fromkeys(("pattern", "workload", "metric", "note"), "str")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Layout:
    """Columns of a sweep's table and their types, the same for every part of it.

    Attributes:
        settings: Type of the column of each setting, by its path.
    """

    settings: dict[str, str]

    @classmethod
    def of(cls, points: Sequence[dict[str, Any]]) -> Layout:
        """The layout for these points; values of several kinds become text."""
        import pandas as pd

        frame = pd.DataFrame([{path: plain(value) for path, value in point.items()} for point in points])
        for path in frame.columns:
            if frame[path].map(type).nunique() > 1 and not pd.api.types.is_numeric_dtype(frame[path]):
                frame[path] = frame[path].map(str)
        return cls({path: str(frame[path].dtype) for path in frame.columns})

    def frame(self, rows: Sequence[Row]) -> pd.DataFrame:
        """Rows as a table."""
        import pandas as pd

        types = {"configuration": "int64", **self.settings, **_WORDS, **_FIGURES}
        columns = ["configuration", *self.settings, "pattern", "workload", "metric", *_FIGURES, "note"]
        return pd.DataFrame(rows, columns=columns).astype(types)


def plain(value: Any) -> Any:  # noqa: ANN401 - a setting is anything
    """Numbers and words as they are; anything larger as text."""
    return value if isinstance(value, (int, float, str)) else str(value)


@dataclass(slots=True)
class Parts:
    """The parts of a table that grows.

    Attributes:
        folder: Where the table goes.
        layout: Its columns.
        numbers: Configurations that it has in the end, in order.
        done: Those whose part is there already.
    """

    folder: Path
    layout: Layout
    numbers: range
    done: set[int] = field(default_factory=set)
    _rows: dict[int, list[Row]] = field(default_factory=dict)

    @property
    def place(self) -> Path:
        """Folder of the parts."""
        return self.folder / PARTS

    def open(self, question: dict[str, Any]) -> None:
        """Look what is there of the same question; parts of another one go.

        Raises:
            RunStoreError: The folder cannot be written.
        """
        place = make_folder(self.place, RunStoreError)
        try:
            same = read_json(place / _QUESTION) == question
        except (OSError, ValueError):
            same = False
        if not same:
            remove_tree(place)
            make_folder(place, RunStoreError)
            write_whole(place / _QUESTION, json.dumps(question), fault=RunStoreError)
        self.done = {number for first in self._firsts() if self._is_whole(first) for number in self._of(first)}

    def add(self, number: int, rows: list[Row]) -> None:
        """The rows of a configuration; a part is written when all of its are there."""
        self._rows[number] = rows
        first = max(self.numbers.start, number - number % GROUP)
        mine = self._of(first)
        if all(one in self._rows for one in mine):
            frame = self.layout.frame([row for one in mine for row in self._rows.pop(one)])
            content = _parquet([frame])
            write_whole(self._part(first), content, fault=RunStoreError)
            write_whole(self._sum(first), hashlib.sha256(content).hexdigest(), fault=RunStoreError)

    def frames(self) -> Iterator[pd.DataFrame]:
        """The parts, in order."""
        import pandas as pd

        for first in self._firsts():
            yield pd.read_parquet(self._part(first))

    def close(self) -> None:
        """Remove the parts, once the table is there."""
        remove_tree(self.place)

    def _firsts(self) -> list[int]:
        start, stop = self.numbers.start, self.numbers.stop
        return [start, *range(start - start % GROUP + GROUP, stop, GROUP)] if self.numbers else []

    def _of(self, first: int) -> range:
        return range(first, min(first - first % GROUP + GROUP, self.numbers.stop))

    def _part(self, first: int) -> Path:
        return self.place / f"{first:06d}.parquet"

    def _sum(self, first: int) -> Path:
        return self.place / f"{first:06d}.sha256"

    def _is_whole(self, first: int) -> bool:
        """Whether a part is there, as it was written."""
        try:
            return self._sum(first).read_bytes() == file_sha256(self._part(first)).encode()
        except OSError:
            return False


def write_table(file: BinaryIO, frames: Iterable[pd.DataFrame], count: int) -> pd.DataFrame:
    """Write many tables in order of configuration as one, a hundred configurations to a row group.

    Args:
        file: Where.
        frames: The tables.
        count: Configurations that there are.

    Returns:
        The rows about hosting patterns as a whole, of no more than `DRAWN` configurations.
    """
    import pandas as pd

    shown: list[pd.DataFrame] = []
    rank = 0

    def seen() -> Iterator[pd.DataFrame]:
        nonlocal rank
        for frame in _regrouped(frames):
            numbers = frame["configuration"]
            last = rank + int(numbers.nunique())
            some = pd.unique(numbers)[_drawn(rank, last, count)]
            shown.append(frame[(frame["workload"] == "all") & numbers.isin(some)])
            rank = last
            yield frame

    _write(file, seen())
    return pd.concat(shown, ignore_index=True)


def _drawn(start: int, stop: int, count: int) -> NDArray[np.bool_]:
    """Which of the configurations from `start` on are in the picture: spread evenly, and in step with no grid."""
    if count <= DRAWN:
        return np.ones(stop - start, np.bool_)
    # Multiples of the golden ratio leave no gap, in whichever part of them (Weyl 1916).
    return np.arange(start, stop) * _GOLDEN % 1.0 < DRAWN / count


def read_frames(path: Path, settings: Sequence[str]) -> Iterator[pd.DataFrame]:
    """A table a row group at a time.

    Args:
        path: The file.
        settings: Those that vary: the columns between configuration and pattern.

    Raises:
        RunStoreError: It is no table of such a sweep, or broken.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            _check(file.schema_arrow, settings)
            for number in range(file.num_row_groups):
                yield file.read_row_group(number).to_pandas()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise RunStoreError(f"{path}: is not a table of this sweep: {' '.join(str(error).split()):.200}") from None


@dataclass(frozen=True, slots=True)
class Best:
    """The cheapest patterns that meet every objective, and what there is beside them.

    Attributes:
        rows: One each, with a column for each metric.
        metrics: Metrics of any pattern.
        count: Patterns of all configurations.
        all_available: Whether all of them answer to the end.
        notes: What has to be said of any of them, each once.
    """

    rows: pd.DataFrame
    metrics: set[str]
    count: int
    all_available: bool
    notes: list[str]


def best_of(frames: Iterable[pd.DataFrame], keys: Sequence[str], most: int) -> Best:
    """The best patterns of a table that comes in parts.

    Args:
        frames: The parts.
        keys: Columns that tell one pattern of one configuration from another.
        most: How many to keep.
    """
    import pandas as pd

    best = pd.DataFrame()
    metrics: dict[str, None] = {}
    notes: dict[str, None] = {}
    count, all_available = 0, True
    for frame in frames:
        whole = frame[frame["workload"] == "all"]
        wide = whole.pivot_table(index=list(keys), columns="metric", values="value", sort=False).reset_index()
        found = [name for name in wide.columns if name not in keys]
        metrics |= dict.fromkeys(found)
        count += len(wide)
        all_available &= "available" not in wide or bool(wide["available"].all())
        noted = whole[whole["metric"].isin(["available", "objectives_met"]) & whole["note"].notna()]
        notes |= dict.fromkeys(noted["note"])
        best = _cheapest(pd.concat([best, wide], ignore_index=True), most)
    return Best(best.reindex(columns=[*keys, *metrics]), {*metrics}, count, all_available, list(notes))


def _cheapest(wide: pd.DataFrame, most: int) -> pd.DataFrame:
    order = [name for name in ("available", "objectives_met", "monthly_cost_usd") if name in wide]
    ascending = [name == "monthly_cost_usd" for name in order]
    # What nobody can tell comes after what is met, before what is missed.
    return (
        wide.sort_values(order, ascending=ascending, key=lambda values: values.fillna(0.5), kind="stable").head(most)
        if order
        else wide.head(most)
    )


def _check(schema: Any, settings: Sequence[str]) -> None:  # noqa: ANN401 - pyarrow has no types
    """Raises ValueError: A column is missing, is one too many, or holds something else."""
    from pyarrow import types

    wanted = ["configuration", *settings, "pattern", "workload", "metric", *_FIGURES, "note"]
    if schema.names != wanted:
        raise ValueError(f"its columns are {', '.join(schema.names)}")
    for name in wanted:
        kind = schema.field(name).type
        text = types.is_string(kind) or types.is_large_string(kind)
        plain_value = text or types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
        fits = (
            types.is_int64(kind) if name == "configuration"
            else text if name in _WORDS
            else types.is_float64(kind) if name in _FIGURES
            else plain_value
        )  # fmt: skip
        if not fits:
            raise ValueError(f"its column {name} holds {kind}")


def _regrouped(frames: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """The same rows, cut where a hundred configurations end."""
    import pandas as pd

    pieces = (
        (number, piece)
        for frame in frames
        for number, piece in frame.groupby(frame["configuration"] // GROUP, sort=True)
    )
    for _, same in groupby(pieces, key=itemgetter(0)):
        yield pd.concat([piece for _, piece in same], ignore_index=True)


def _parquet(frames: Iterable[pd.DataFrame]) -> bytes:
    table = io.BytesIO()
    _write(table, frames)
    return table.getvalue()


def _write(file: BinaryIO, frames: Iterable[pd.DataFrame]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    writer = None
    try:
        for frame in frames:
            table = pa.Table.from_pandas(frame, preserve_index=False)
            writer = writer or parquet.ParquetWriter(file, table.schema, compression="zstd")
            writer.write_table(table, row_group_size=len(table))
    finally:
        if writer is not None:
            writer.close()
