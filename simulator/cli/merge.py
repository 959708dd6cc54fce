"""`simulator merge`: the table of a sweep from those of its shards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt, ValidationError

from simulator.cli.options import AsJson
from simulator.errors import RunStoreError
from simulator.files import file_sha256

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


#: What a shard, or who put it together, says of itself alone.
_OWN: Final = ("shard", "simulator_version", "command", "table_sha256")


class _Swept(BaseModel):
    """The scenario of a sweep: its name, and the hash of each configuration."""

    name: str
    sha256: list[str]


class _Shard(BaseModel, strict=True):
    """What `sweep.json` of a shard must say: which configurations of how many, what varies, the hash of the table."""

    shard: Annotated[list[NonNegativeInt], Field(min_length=2, max_length=2)]
    points: PositiveInt
    over: Annotated[list[str], Field(min_length=1)]
    scenario: _Swept
    table_sha256: str | None = None


def merge(
    shards: Annotated[list[Path], typer.Argument(help="Folders that `simulator sweep --shard` wrote.")],
    output: Annotated[Path, typer.Option(metavar="DIR", help="Where the table goes.")],
    as_json: AsJson = False,
) -> None:
    """Put the shards of a sweep together: the same table, to the byte, as of one sweep.

    Example: simulator merge runs/shards/* --output runs/swept
    """
    from simulator.cli.sweep import keep_table, tell
    from simulator.reading import read_json

    known: list[tuple[Path, dict[str, Any]]] = []
    for folder in shards:
        try:
            known.append((folder, read_json(folder / "sweep.json")))
            (folder / "sweep.parquet").stat()
        except (OSError, ValueError) as error:
            raise RunStoreError(f"{folder} is no finished sweep: {error}") from None
    ordered = _complete(known)
    first = ordered[0][1]
    what = {name: value for name, value in first.items() if name not in _OWN}
    hashes = [one for _, made_by in ordered for one in made_by["scenario"]["sha256"]]
    what["scenario"] = {**first["scenario"], "sha256": hashes}
    paths = [text.partition("=")[0] for text in first["over"]]
    keep_table(output, _frames([folder for folder, _ in ordered], paths), paths, what)
    tell(output, paths, as_json=as_json)


def _complete(known: Sequence[tuple[Path, dict[str, Any]]]) -> list[tuple[Path, dict[str, Any]]]:
    """The shards in order, if they are all of one sweep.

    Raises:
        RunStoreError: They are not, with what is missing or of another sweep.
    """
    shards = [(_shard(folder, made_by), folder, made_by) for folder, made_by in known]
    shards.sort(key=lambda one: one[0].shard)
    ordered = [(folder, made_by) for _, folder, made_by in shards]
    first, ends, points = _question(ordered[0][1]), [one.shard for one, _, _ in shards], shards[0][0].points
    if strange := [str(folder) for folder, made_by in ordered if _question(made_by) != first]:
        raise RunStoreError(f"{', '.join(strange)}: of another sweep, or of another version, than {ordered[0][0]}")
    for one, folder, _ in shards:
        if one.table_sha256 is not None and one.table_sha256 != file_sha256(folder / "sweep.parquet"):
            raise RunStoreError(f"{folder / 'sweep.parquet'} is not as it was written; sweep that shard again")
    missing, reached = [], 0
    for start, stop in ends:
        if start < reached:
            raise RunStoreError(f"configuration {start} is in two of these shards")
        missing += [(reached, start)] if start > reached else []
        reached = stop
    missing += [(reached, points)] if reached < points else []
    if missing:
        said = ", ".join(f"{start} to {stop - 1}" for start, stop in missing)
        raise RunStoreError(f"shards are missing, of configurations {said}")
    return ordered


def _shard(folder: Path, made_by: dict[str, Any]) -> _Shard:
    try:
        return _Shard.model_validate(made_by)
    except ValidationError as error:
        (fault, *_) = error.errors()
        where = ".".join(map(str, fault["loc"]))
        raise RunStoreError(f"not all of these are shards of a sweep: {folder}: {where}: {fault['msg']}") from None


def _question(made_by: dict[str, Any]) -> dict[str, Any]:
    """What is the same in all shards of a sweep."""
    rest = {name: value for name, value in made_by.items() if name not in ("shard", "command", "table_sha256")}
    return rest | {"scenario": made_by["scenario"]["name"]}


def _frames(folders: Sequence[Path], paths: Sequence[str]) -> Iterator[Any]:
    from simulator.study.sweep_table import read_frames

    for folder in folders:
        yield from read_frames(folder / "sweep.parquet", paths)
