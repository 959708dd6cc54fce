"""Records kept as JSON, gzipped when the name ends in `.gz`; the same record always gives the same bytes."""

from __future__ import annotations

import gzip
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from simulator.files import write_whole, writing_whole
from simulator.reading import read_unpacked

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.errors import SimulatorError

Record = TypeVar("Record", bound=BaseModel)
#: Faults of a file that are shown.
_SHOWN = 20


def write_record(record: BaseModel, path: Path) -> None:
    """Write a record, whole or not at all.

    Raises:
        SimulatorError: The place cannot be written.
    """
    content = record.model_dump_json().encode()
    write_whole(path, gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


class _Tried(Exception):
    pass


def check_place(path: Path) -> None:
    """Raise SimulatorError where a record could not be written, before what takes long to come by."""
    with suppress(_Tried), writing_whole(path):
        raise _Tried


def read_record(kind: type[Record], path: Path, fault: type[SimulatorError], what: str) -> Record:
    """Read a record, plain or gzipped.

    Args:
        kind: Of what form it must be.
        path: The file.
        fault: What to raise, with every fault by its place in the file.
        what: What the file ought to be, in the message.
    """
    try:
        return kind.model_validate_json(read_unpacked(path))
    except ValidationError as error:
        faults = [f"{path}: {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise fault("\n".join(faults[:_SHOWN])) from None
    except (OSError, ValueError) as error:
        raise fault(f"{path}: is not {what}: {error}") from None
