"""A run as a directory: the question, the answer, the requests, the levels, and what made them.

It is put together in a hidden folder of its process beside its place, and moved there at the end, so a run directory is
complete or absent. Only what is a run by its manifest and its names is replaced.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import re
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from simulator.errors import RunStoreError, SimulationGone
from simulator.experiment import checkpoint
from simulator.experiment.tables import TABLES, join_tables
from simulator.files import (
    cannot_write,
    file_sha256,
    is_old,
    is_plain,
    left_in,
    make_folder,
    private_folder,
    remove_tree,
    replace_folder,
    write_whole,
)
from simulator.reading import read_json
from simulator.scenario.loading import movable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from simulator.scenario.schema import Scenario

_LIBRARIES = ("numpy", "pydantic", "scipy", "simpy", "holidays")
MANIFEST: Final = "manifest.json"
#: Key of the checksums in it, by the names of the other files.
CHECKSUMS: Final = "sha256"
#: Parts of the folder in which a run is put together.
_WHOLE, _ASIDE = "whole", "replaced"
#: What may be in a run directory: its own files, and what `report` and `export` write there.
_FILE: Final = r"manifest\.json|summary\.json|scenario\.yaml|(requests|levels)\.parquet|report\.html|metrics\.om"
_EXPORTS: Final = "export"
_TABLE: Final = r"(figures|costs|requests|levels)\.(csv|parquet)"
#: And what they write at this moment, or were killed at.
_OWN, _EXPORTED = (re.compile(rf"{one}|\.({one})\.[0-9a-f]+\.draft") for one in (_FILE, _TABLE))
#: How often is looked again at what others replace meanwhile, which takes them a moment.
_LOOKS: Final = 10_000


def open_place(target: Path) -> Path:
    """See that a run can be kept there, before it is simulated.

    Returns:
        The place itself, where a link was named.

    Raises:
        RunStoreError: Something other than a run is there, or it cannot be written.
    """
    place = Path(os.path.realpath(target)) if target.is_symlink() else target
    with cannot_write(target, RunStoreError):
        if reason := not_replaceable(place):
            raise RunStoreError(f"{target} {reason}; choose another place for the run")
        if not place.name or os.path.realpath(place) == os.path.realpath(Path.cwd()):
            raise RunStoreError(f"{target} is where you stand; choose another place for the run")
        make_folder(place.parent, RunStoreError)
        _sweep(place)
        with private_folder(place.parent, place.name):
            pass
    return place


def not_replaceable(place: Path) -> str | None:
    """Why what lies there may not be replaced by a run; None where it is an older run, an empty folder or nothing.

    Another process may replace it just now, so that what it held goes between two looks: an objection counts where the
    same stood there before and after.

    Raises:
        OSError: It cannot be looked at.
    """
    reason = None
    for _ in range(_LOOKS):
        before = _standing(place)
        try:
            reason = _objection(place)
        except FileNotFoundError:
            continue
        if reason is None or _standing(place) == before:
            break
    return reason


def _standing(place: Path) -> tuple[int, ...] | None:
    """What tells a file or folder and its names from another, or from itself when they change."""
    try:
        facts = place.lstat()
    except FileNotFoundError:
        return None
    return facts.st_dev, facts.st_ino, facts.st_mtime_ns, facts.st_ctime_ns


def _objection(place: Path) -> str | None:
    if not os.path.lexists(place):
        return None
    if not place.is_dir() or place.is_symlink():
        return "exists and is not a run directory"
    names = sorted(entry.name for entry in place.iterdir())
    if not names:
        return None
    if not _is_ours(place / MANIFEST):
        return "exists and is not a run directory"
    others = [name for name in names if not _belongs(place / name)]
    if others:
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        return f"is a run directory with other files in it ({', '.join(others[:3])}{more}), which would be lost"
    return None


def _is_ours(file: Path) -> bool:
    """Whether a manifest is one that `manifest` made."""
    try:
        made_by = read_json(file)
        scenario, environment = made_by["scenario"], made_by["environment"]
        return bool(
            {"schema_version", "simulator_version", "seed", "replications", "price_book"} <= set(made_by)
            and re.fullmatch("[0-9a-f]{64}", scenario["sha256"])
            and isinstance(environment["written_at"], str)
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _belongs(entry: Path) -> bool:
    """Whether a run itself, its report or its exports have a file or folder of this name."""
    if entry.name == _EXPORTS:
        known = not entry.is_symlink() and entry.is_dir()
        return known and all(_EXPORTED.fullmatch(one.name) for one in entry.iterdir())
    return bool(_OWN.fullmatch(entry.name)) and is_plain(entry)


def left_of_runs(root: Path, name: str | None = None) -> Iterator[Path]:
    """What killed processes left of runs in a folder; what one has moved aside is put back first."""
    for folder, kept in left_in(root, "unfinished", name):
        try:
            for whole in _aside(folder):
                _put_back(whole, root / (whole.name if whole.name != _ASIDE else kept))
            parts = {entry.name for entry in folder.iterdir()}
            ours = parts <= {_WHOLE, _ASIDE} and not any(map(_strange, [*_aside(folder), *folder.glob(_WHOLE)]))
        except FileNotFoundError:  # its process lived, or another removes what it left
            continue
        if ours:
            yield folder


def _put_back(whole: Path, place: Path) -> None:
    if os.path.lexists(place) or not _is_ours(whole / MANIFEST):
        return
    with cannot_write(place, RunStoreError):
        try:
            whole.rename(place)
        except OSError as error:
            # Another process was quicker: with the same, or with a newer run.
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
                raise


def _aside(folder: Path) -> list[Path]:
    """Runs that a killed process moved aside, the last first; an earlier version had one, without its name."""
    aside = folder / _ASIDE
    return [aside] if (aside / MANIFEST).exists() else sorted(aside.glob("*/*"), reverse=True)


def _strange(folder: Path) -> bool:
    """Whether there is something in an unfinished or replaced run that is not of a run."""
    return not folder.is_dir() or not all(map(_belongs, folder.iterdir()))


def _sweep(target: Path) -> None:
    """Put back or remove what killed processes left of a run."""
    for folder in left_of_runs(target.parent, target.name):
        if is_old(folder):
            with cannot_write(folder, RunStoreError):
                remove_tree(folder)


def _see_that_all_are_there(kept: Mapping[str, Path]) -> None:
    lost = [name for name, path in kept.items() if not checkpoint.table_path(path, TABLES[0]).is_file()]
    if lost:
        raise SimulationGone(f"what was simulated of {', '.join(lost)} was removed meanwhile; run it again")


def manifest(scenario: Scenario, summary: dict[str, Any], inputs: dict[str, Any]) -> dict[str, Any]:
    """What made a run; only `environment` differs between two machines that ran the same."""
    facts = ("simulator_version", "scenario", "seed", "replications", "price_book")
    return {
        "schema_version": 1,
        **{fact: summary[fact] for fact in facts},
        "horizon": {
            "start": scenario.horizon.start_local.isoformat(),
            "end": scenario.horizon.end_local.isoformat(),
        },
        **inputs,
        "tables": "requests.parquet and levels.parquet hold the first replication only",
        "environment": {
            "written_at": datetime.now(tz=UTC).isoformat(timespec="seconds"),
            "host": platform.node(),
            "platform": platform.platform(),
            "python": platform.python_version(),
            "libraries": {name: version(name) for name in _LIBRARIES},
            "command": sys.argv[1:],
        },
    }


def manifest_sha256(made_by: Mapping[str, Any]) -> str:
    """Checksum of a manifest, which it carries itself: of all in it but the checksums."""
    rest = {key: value for key, value in made_by.items() if key != CHECKSUMS}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def write_run(
    target: Path,
    scenario: Scenario,
    summary: bytes,
    made_by: dict[str, Any],
    kept: Mapping[str, Path],
    more: Callable[[Path], object] | None = None,
) -> None:
    """Write a run directory, whole or not at all, replacing an older run; of two at once the later one stays.

    Args:
        target: Its place, from `open_place`.
        scenario: The question.
        summary: The published JSON document.
        made_by: From `manifest`.
        kept: Where the first replication of each pattern that has tables is kept, by name.
        more: Writes what else is to be in it, into the directory before it is in its place.

    Raises:
        SimulationGone: A table is.
        RunStoreError: The place cannot be written.
    """
    from ruamel.yaml import YAML

    text = StringIO()
    YAML().dump(movable(scenario.resolved), text)
    _see_that_all_are_there(kept)
    with cannot_write(target, RunStoreError), private_folder(target.parent, target.name) as folder:
        whole, aside = folder / _WHOLE, folder / _ASIDE
        whole.mkdir()
        aside.mkdir()
        write_whole(whole / "scenario.yaml", text.getvalue())
        write_whole(whole / "summary.json", summary)
        for kind in TABLES:
            parts = {name: checkpoint.table_path(path, kind) for name, path in kept.items()}
            join_tables(parts, whole / f"{kind}.parquet")
        _see_that_all_are_there(kept)
        sums = {file.name: file_sha256(file) for file in sorted(whole.iterdir())}
        made_by = {**made_by, CHECKSUMS: {**sums, MANIFEST: manifest_sha256(made_by)}}
        write_whole(whole / MANIFEST, json.dumps(made_by, indent=2, ensure_ascii=False) + "\n")
        if more is not None:
            more(whole)
        # Somebody may have put something there while this was simulated.
        if reason := not_replaceable(target):
            raise RunStoreError(f"{target} {reason}; choose another place for the run")
        replace_folder(whole, target, aside)
