"""The files of a source: one, gzipped or not, in whatever encoding, or all of a folder."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from contextlib import contextmanager
from fnmatch import fnmatch
from typing import TYPE_CHECKING, BinaryIO, Final, TextIO, cast

from simulator.errors import TraceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: What a broken compressed file raises while it is read.
BROKEN: Final = (EOFError, zlib.error, OSError)
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip


def source_files(path: Path, patterns: tuple[str, ...]) -> list[Path]:
    """The file itself, or those of a folder and its subfolders that fit a pattern (`.gz` or not), in order of name.

    Raises:
        TraceError: There is none.
    """
    if not path.is_dir():
        if not path.is_file():
            raise TraceError(f"{path}: no such file or folder")
        return [path]
    shown = [entry for entry in sorted(path.rglob("*")) if entry.is_file() and not _hidden(entry.relative_to(path))]
    found = [entry for entry in shown if any(fnmatch(entry.name.removesuffix(".gz"), p) for p in patterns)]
    if not found:
        raise TraceError(f"{path}: no file in it is named like {' or '.join(patterns)}")
    return found


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


@contextmanager
def open_source(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a file, uncompressed where it is gzip by its first bytes, whatever its name says.

    Raises:
        TraceError: Not to be read.
    """
    try:
        raw = path.open("rb")
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror}") from None
    with raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if packed:
            with gzip.open(raw) as file:
                yield cast("BinaryIO", file)
        else:
            yield raw


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """The text of a file, in the encoding its byte order mark names, else UTF-8; what is no character becomes U+FFFD.

    So a stray byte spoils the value it stands in and nothing else. Line ends are left as they are.

    Raises:
        TraceError: Not to be read.
    """
    with open_source(path) as file:
        try:
            head = file.read(4)
            file.seek(0)
        except BROKEN:
            raise TraceError(f"{path}: line 1: the compressed data breaks off or is corrupt") from None
        encoding = next((name for mark, name in _MARKS if head.startswith(mark)), "utf-8")
        with io.TextIOWrapper(file, encoding=encoding, errors="replace", newline="") as text:
            yield text
