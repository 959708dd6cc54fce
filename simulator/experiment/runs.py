"""What runs and stored simulations take on disk, and removing them."""

from __future__ import annotations

import json
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from simulator.errors import RunStoreError

#: Folder of stored simulations among the runs.
STORE: Final = "store"
#: What stored simulations may take: some hundred thousand of them.
MOST_BYTES: Final = 1_000_000_000


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
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def list_runs(root: Path) -> list[KeptRun]:
    """The runs below a folder, oldest first; whatever else lies there is passed over."""
    found = []
    for manifest in sorted(root.glob("*/manifest.json")):
        try:
            made_by = json.loads(manifest.read_text("utf-8"))
            summary = read_summary(manifest.parent)
            run = KeptRun(
                path=manifest.parent,
                written_at=str(made_by["environment"]["written_at"]),
                scenario=str(made_by["scenario"]["name"]),
                replications=int(made_by["replications"]),
                recommended=summary["decision"]["recommended"],
                bytes=size_bytes(manifest.parent),
            )
        except (OSError, ValueError, KeyError, TypeError, RunStoreError):
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
        found = json.loads((run / name).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RunStoreError(f"{run} is not a run directory: {error}") from None
    if not isinstance(found, dict):
        raise RunStoreError(f"{run} is not a run directory: its {name} is no document")
    return found


def bound(store: Path, most_bytes: int = MOST_BYTES) -> int:
    """Remove the simulations stored longest ago until the rest take no more than this; returns the bytes removed."""
    facts = []
    for file in store.glob("*.*"):
        # Another process may be at the same.
        with suppress(FileNotFoundError):
            known = file.stat()
            facts.append((known.st_mtime_ns, known.st_size, file))
    left = sum(size for _, size, _ in facts)
    freed = 0
    for _, size, file in sorted(facts):
        if left - freed <= most_bytes:
            break
        file.unlink(missing_ok=True)
        freed += size
    return freed


def prune(root: Path, *, older_than_days: float, everything: bool = False) -> tuple[int, int]:
    """Remove stored simulations that were not touched for so long, and what killed runs left; runs stay.

    Args:
        root: Folder of runs.
        older_than_days: Younger ones stay.
        everything: Remove all of them, whatever their age.

    Returns:
        Files and bytes removed.

    Raises:
        RunStoreError: Something cannot be removed.
    """
    latest = time.time() - (0.0 if everything else 86_400.0 * older_than_days)
    files = freed = 0
    try:
        for file in sorted((root / STORE).glob("*.*")):
            facts = file.stat()
            if facts.st_mtime <= latest or everything:
                file.unlink()
                files, freed = files + 1, freed + facts.st_size
        for folder in sorted(root.glob(".*.unfinished")):
            if folder.stat().st_mtime <= latest or everything:
                freed += size_bytes(folder)
                files += sum(1 for file in folder.rglob("*") if file.is_file())
                shutil.rmtree(folder)
    except OSError as error:
        raise RunStoreError(f"{error.filename} cannot be removed: {error.strerror}") from error
    return files, freed
