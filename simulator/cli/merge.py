"""`simulator merge`: the table of a sweep from those of its shards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simulator.cli.options import AsJson
from simulator.errors import RunStoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


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
    what = {name: value for name, value in first.items() if name not in ("shard", "simulator_version", "command")}
    hashes = [one for _, made_by in ordered for one in made_by["scenario"]["sha256"]]
    what["scenario"] = {**first["scenario"], "sha256": hashes}
    paths = [text.partition("=")[0] for text in first["over"]]
    keep_table(output, _frames([folder for folder, _ in ordered]), paths, what)
    tell(output, paths, as_json=as_json)


def _complete(known: Sequence[tuple[Path, dict[str, Any]]]) -> list[tuple[Path, dict[str, Any]]]:
    """The shards in order, if they are all of one sweep.

    Raises:
        RunStoreError: They are not, with what is missing or of another sweep.
    """
    try:
        ordered = sorted(known, key=lambda one: tuple(one[1]["shard"]))
        first = _question(ordered[0][1])
        strange = [str(folder) for folder, made_by in ordered if _question(made_by) != first]
        ends = [tuple(made_by["shard"]) for _, made_by in ordered]
        points = int(ordered[0][1]["points"])
    except (KeyError, TypeError, ValueError) as error:
        raise RunStoreError(f"not all of these are shards of a sweep: {type(error).__name__} {error}") from None
    if strange:
        raise RunStoreError(f"{', '.join(strange)}: of another sweep, or of another version, than {ordered[0][0]}")
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


def _question(made_by: dict[str, Any]) -> dict[str, Any]:
    """What is the same in all shards of a sweep."""
    rest = {name: value for name, value in made_by.items() if name not in ("shard", "command")}
    return rest | {"scenario": made_by["scenario"]["name"]}


def _frames(folders: Sequence[Path]) -> Iterator[Any]:
    from simulator.study.sweep_table import read_frames

    for folder in folders:
        yield from read_frames(folder / "sweep.parquet")
