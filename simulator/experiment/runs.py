"""What runs and stored simulations take on disk, and removing them."""

from __future__ import annotations

import os
import stat
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from simulator.errors import RunStoreError, SimulatorError
from simulator.experiment import checkpoint
from simulator.experiment.store import CHECKSUMS, MANIFEST, left_of_runs, manifest_sha256
from simulator.files import file_sha256, is_plain, left_in, remove_tree
from simulator.reading import read_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Folder of stored simulations among the runs.
STORE: Final = "store"


@dataclass(frozen=True, slots=True)
class KeptRun:
    """A run directory.

    Attributes:
        path: Its place.
        written_at: When, ISO 8601.
        scenario: Name of its scenario.
        replications: How many it had.
        recommended: The pattern it recommends, if any.
        bytes: What it takes on disk.
    """

    path: Path
    written_at: str
    scenario: str
    replications: int
    recommended: str | None
    bytes: int


def size_bytes(folder: Path) -> int:
    """What everything below a folder takes."""
    return sum(size for _, size in _files(folder))


def _files(folder: Path) -> Iterator[tuple[Path, int]]:
    """All files below a folder and what they take; not those that another process removes meanwhile."""
    for at, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                file = Path(at, name)
                yield file, file.stat().st_size


def list_runs(root: Path) -> list[KeptRun]:
    """The runs below a folder, oldest first; whatever else lies there is passed over."""
    found = []
    for manifest in sorted(root.glob("*/manifest.json")):
        try:
            made_by = read_json(manifest)
            summary = read_summary(manifest.parent)
            run = KeptRun(
                path=manifest.parent,
                written_at=str(made_by["environment"]["written_at"]),
                scenario=str(made_by["scenario"]["name"]),
                replications=int(made_by["replications"]),
                recommended=summary["decision"]["recommended"],
                bytes=size_bytes(manifest.parent),
            )
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RunStoreError):
            continue
        found.append(run)
    return sorted(found, key=lambda run: run.written_at)


def read_summary(run: Path) -> dict[str, Any]:
    """The published JSON document of a run.

    Raises:
        RunStoreError: There is no run, or its document cannot be read.
    """
    return _read(run, "summary.json")


def read_manifest(run: Path) -> dict[str, Any]:
    """What made a run.

    Raises:
        RunStoreError: There is no run, or its manifest cannot be read.
    """
    return _read(run, "manifest.json")


def _read(run: Path, name: str) -> dict[str, Any]:
    try:
        found = read_json(run / name)
    except (OSError, ValueError) as error:
        raise RunStoreError(f"{run} is not a run directory: {error}") from None
    if not isinstance(found, dict):
        raise RunStoreError(f"{run} is not a run directory: its {name} is no document")
    return found


@contextmanager
def reading(run: Path) -> Iterator[None]:
    """Use what a run directory holds; where that fails, say so if it is not as it was written.

    Raises:
        RunStoreError: It is not as it was written, or was written before that could be told.
    """
    try:
        yield
    except Exception as error:
        changed = [] if isinstance(error, (SimulatorError, OSError)) else changed_files(run)
        if not changed:
            raise
        said = f"{type(error).__name__}: {' '.join(str(error).split()):.200}"
        raise RunStoreError(f"{run} is not as it was written ({', '.join(changed)}): {said}") from error


def changed_files(run: Path) -> list[str]:
    """Files of a run whose checksums are not those its manifest has; the manifest where it has none."""
    try:
        made_by = read_manifest(run)
        sums = dict(made_by[CHECKSUMS])
        if sums.pop(MANIFEST) != manifest_sha256(made_by):
            return [MANIFEST]
    except (RunStoreError, KeyError, TypeError, ValueError):
        return [MANIFEST]
    return [
        name for name, known in sorted(sums.items()) if not is_plain(run / name) or file_sha256(run / name) != known
    ]


def stored_bytes(root: Path) -> int:
    """What the simulations stored among these runs take."""
    return sum(known.st_size for _, known in stored_files(root / STORE))


def stored_files(store: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Files of a store that are ours by their names, links left out."""
    for file, known in _facts(sorted(store.glob("*.*"))):
        if checkpoint.NAME.fullmatch(file.name) and stat.S_ISREG(known.st_mode):
            yield file, known


def _facts(paths: Iterable[Path]) -> Iterator[tuple[Path, os.stat_result]]:
    """Of what is still there."""
    for path in paths:
        with suppress(FileNotFoundError):
            yield path, path.lstat()


def prune(root: Path, *, older_than_days: float, everything: bool = False) -> tuple[int, int]:
    """Remove stored simulations that were not touched for so long, and what killed runs left; runs stay.

    Only what this package has made goes: files and folders are known by their names, and links are not followed.

    Args:
        root: Folder of runs.
        older_than_days: Younger ones stay.
        everything: Remove all of them, whatever their age.

    Returns:
        Files and bytes removed.

    Raises:
        RunStoreError: The store is a link, or something cannot be removed.
    """
    latest = time.time() - (0.0 if everything else 86_400.0 * older_than_days)
    files = freed = 0
    store = root / STORE
    if store.is_symlink():
        raise RunStoreError(f"{store} is a link to {store.readlink()}; nothing was removed: name the folder it is in")
    try:
        drafts = left_in(store, "draft") if store.is_dir() else ()
        mine = [draft for draft, name in drafts if checkpoint.NAME.fullmatch(name)]
        for file, known in [*stored_files(store), *_facts(mine)]:
            if max(known.st_mtime, known.st_atime) <= latest or everything:
                file.unlink(missing_ok=True)
                files, freed = files + 1, freed + known.st_size
        for folder, known in _facts(left_of_runs(root) if root.is_dir() else ()):
            if known.st_mtime <= latest or everything:
                sizes = [size for _, size in _files(folder)]
                files, freed = files + len(sizes), freed + sum(sizes)
                remove_tree(folder)
    except OSError as error:
        raise RunStoreError(f"{error.filename or root} cannot be removed: {error.strerror}") from error
    return files, freed
