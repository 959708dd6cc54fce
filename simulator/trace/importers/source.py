"""The files of a source: one, packed or not, in whatever encoding, or all of a folder."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import os
import re
import zipfile
import zlib
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TextIO

from simulator.errors import TraceError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What a broken compressed file raises while it is read.
BROKEN: Final = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, OSError)
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
#: First bytes of what is packed, and what its files are called.
_PACKED: Final = {
    b"\x1f\x8b": "gz", b"BZh": "bz2", b"\xfd7zXZ\x00": "xz", b"(\xb5/\xfd": "zst", b"\x04\x22\x4d\x18": "lz4",
    b"PK\x03\x04": "zip",
}  # fmt: skip
#: A letter with an accent of Windows's Western encoding between others, and one of UTF-8.
_WINDOWS: Final = re.compile(rb"[A-Za-z ][\xc0-\xff][A-Za-z ;,_\-]")
_UTF8: Final = re.compile(rb"[\xc3-\xef][\x80-\xbf]")
_SUFFIXES: Final = tuple(f".{name}" for name in _PACKED.values())


def source_files(path: Path, patterns: tuple[str, ...]) -> list[Path]:
    """The file itself, or those of a folder and its subfolders that fit a pattern (packed or not), in order of name.

    Raises:
        TraceError: There is none, or a folder cannot be looked into.
    """
    if not path.is_dir():
        if not path.is_file():
            other = "is no file, and a log is read more than once" if path.exists() else "no such file or folder"
            raise TraceError(f"{path}: {other}")
        return [path]
    found = [entry for entry in sorted(_shown(path)) if any(fnmatch(_unpacked_name(entry.name), p) for p in patterns)]
    if not found:
        named = "" if "*" in patterns else f" is named like {' or '.join(patterns)}"
        raise TraceError(f"{path}: no file in it{named}")
    return found


def _unpacked_name(name: str) -> str:
    return next((name.removesuffix(suffix) for suffix in _SUFFIXES if name.endswith(suffix)), name)


def _shown(path: Path) -> Iterator[Path]:
    """Files that are not hidden, nor below what is; a folder that cannot be looked into is no folder without logs."""

    def fail(error: OSError) -> None:
        raise TraceError(f"{error.filename}: cannot be read: {error.strerror}") from None

    for folder, inner, names in os.walk(path, onerror=fail):
        inner[:] = [name for name in inner if not name.startswith(".")]
        files = (Path(folder) / name for name in names if not name.startswith("."))
        yield from (file for file in files if file.is_file())


@contextmanager
def open_source(path: Path) -> Iterator[io.BufferedReader]:
    """The bytes of a file, unpacked where it is packed by its first bytes, whatever its name says.

    Raises:
        TraceError: Not to be read, or a zip of several files.
    """
    try:
        raw = path.open("rb")
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror}") from None
    with raw:
        head = raw.peek(8)
        kind = next((kind for mark, kind in _PACKED.items() if head.startswith(mark)), None)
        if kind is None:
            yield raw
            return
        try:
            file = _unpacked(path, raw, kind)
        except BROKEN:
            raise TraceError(f"{path}: line 1: the compressed data breaks off or is corrupt") from None
        with file:
            yield file


def is_parquet(path: Path) -> bool:
    """Whether a file, unpacked where it is packed, begins as Parquet does.

    Raises:
        TraceError: See `open_source`, or its beginning is corrupt.
    """
    with open_source(path) as file:
        try:
            return file.peek(4)[:4] == b"PAR1"
        except BROKEN:
            raise TraceError(f"{path}: line 1: the compressed data breaks off or is corrupt") from None


def _unpacked(path: Path, raw: BinaryIO, kind: str) -> Any:  # noqa: ANN401 - of several libraries; all can peek
    if kind == "zip":
        return _member(path, raw)
    if kind in ("zst", "lz4"):
        import pyarrow as pa

        inner: Any = pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), {"zst": "zstd"}.get(kind, kind))
        return io.BufferedReader(inner)
    return {"gz": gzip.open, "bz2": bz2.open, "xz": lzma.open}[kind](raw)  # type: ignore[operator]


def _member(path: Path, raw: BinaryIO) -> Any:  # noqa: ANN401 - likewise
    """The one file in a zip."""
    archive = zipfile.ZipFile(raw)
    names = [one for one in archive.infolist() if not one.is_dir() and not one.filename.startswith("__MACOSX/")]
    if any(one.filename.startswith("xl/") for one in names):
        raise TraceError(f"{path}: an Excel workbook; save its sheet as CSV")
    if len(names) != 1:
        raise TraceError(f"{path}: a zip of {len(names)} files; unpack it and import the folder")
    try:
        return archive.open(names[0])
    except (RuntimeError, NotImplementedError):
        raise TraceError(f"{path}: a zip that is encrypted, or packed in a way that is not known") from None


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """The text of a file, in the encoding its first bytes tell, else UTF-8; what is no character becomes U+FFFD.

    So a stray byte spoils the value it stands in and nothing else. Line ends are left as they are.

    Raises:
        TraceError: Not to be read, or no text.
    """
    with open_source(path) as file:
        try:
            head = file.peek(64)
        except BROKEN:
            raise TraceError(f"{path}: line 1: the compressed data breaks off or is corrupt") from None
        encoding = next((name for mark, name in _MARKS if head.startswith(mark)), None) or _guessed(head[:8192])
        with io.TextIOWrapper(file, encoding=encoding, errors="replace", newline="") as text:
            yield text


def _guessed(head: bytes) -> str:
    """UTF-16 without a mark has a zero in every other byte of what is mostly Latin; letters of Windows are no UTF-8."""
    even, odd = head[:32:2], head[1:32:2]
    if len(odd) > 1 and not any(odd) and all(even):
        return "utf-16-le"
    if len(odd) > 1 and not any(even) and all(odd):
        return "utf-16-be"
    return "cp1252" if _WINDOWS.search(head) and not _UTF8.search(head) else "utf-8"
