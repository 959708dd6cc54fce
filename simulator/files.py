"""All that this package writes, replaces and removes on disk goes through here.

A file is whole or absent, whoever else writes it at the same moment: it grows in a draft of its own and the last rename
wins. A draft is locked while its process lives; what a killed one left is removed an hour later, if it is the user's
own. Links are followed to what they name, and devices and pipes are written to, not replaced.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, BinaryIO, Final, Literal, cast

from simulator.errors import SimulatorError

if TYPE_CHECKING:
    from collections.abc import Iterator

    Fault = type[SimulatorError]

try:
    import fcntl
except ImportError:  # Windows, where age alone tells what was left
    fcntl = None  # type: ignore[assignment]

#: What no process has touched for so long was left by one that was killed.
LEFT_S: Final = 3600.0
#: Bytes that tell two drafts apart, whoever makes them, and characters of the name that they keep.
_TOKEN_BYTES: Final = 8
_KEPT: Final = 48
Kind = Literal["draft", "unfinished"]
#: How they are told apart, and were by an earlier version.
_TOKENS: Final[dict[Kind, str]] = {
    "draft": r"\.(?:[0-9a-f]{16}|\d+)",
    "unfinished": r"(?:\.[0-9a-f]{16}|-[0-9a-f]{12})",
}
_HELD_BYTES: Final = 2**26


def write_whole(
    path: Path, content: str | bytes, *, fault: Fault = SimulatorError, durable: bool = True, anew: bool = False
) -> None:
    """Write a file; arguments and errors are those of `writing_whole`."""
    with writing_whole(path, fault=fault, durable=durable, anew=anew) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def writing_whole(
    path: Path, *, fault: Fault = SimulatorError, durable: bool = True, anew: bool = False
) -> Iterator[BinaryIO]:
    """A file to write piece by piece: in its place when the block ends, untouched when it fails.

    Args:
        path: Its place.
        fault: What to raise.
        durable: Whether it outlasts a power failure; what can be made again need not.
        anew: Whether nothing may be there, of whoever was faster.

    Raises:
        SimulatorError: The place cannot be written to, or is taken; of the kind asked for.
    """
    with cannot_write(path, fault):
        if anew and os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        if (place := _place(path)) is None:
            with SpooledTemporaryFile(_HELD_BYTES) as held:
                yield cast("BinaryIO", held)
                held.seek(0)
                _write_through(path, cast("BinaryIO", held))
            return
        with Draft(place, durable=durable) as draft:
            yield draft.file
            draft.commit(anew=anew)


@contextmanager
def cannot_write(path: Path, fault: Fault = SimulatorError) -> Iterator[None]:
    """Say what could not be written where the block fails for a reason of the machine's."""
    try:
        yield
    except OSError as error:
        raise fault(f"{path}: cannot be written: {error.strerror or error}") from None


class Draft:
    """A file in the making, beside its place; nothing is left of it unless it is committed.

    Args:
        place: A file that may be there, or not; no link, no device.
        durable: Whether it outlasts a power failure.

    Attributes:
        file: Where to write.
    """

    def __init__(self, place: Path, *, durable: bool = True) -> None:
        self._place, self._durable = place, durable
        sweep(place.parent, place.name)
        # What is there keeps its permissions; what is new gets what the user's mask allows.
        self._mode = None
        with suppress(FileNotFoundError):
            self._mode = stat.S_IMODE(place.lstat().st_mode) & 0o777
        self._path = place.with_name(_name(place.name, "draft"))

    def sha256(self) -> str:
        """Of all that was written."""
        self.file.flush()
        self.file.seek(0)
        return hashlib.file_digest(self.file, "sha256").hexdigest()  # type: ignore[arg-type]

    def commit(self, *, anew: bool = False) -> None:
        """Put it in its place. Raises FileExistsError where something is there and nothing may be."""
        self.file.flush()
        if self._mode is not None and hasattr(os, "fchmod"):
            os.fchmod(self.file.fileno(), self._mode)
        if self._durable:
            os.fsync(self.file.fileno())
        if not (anew and self._linked()):
            os.replace(self._path, self._place)
        self.file.close()
        if self._durable:
            _sync_folder(self._place.parent)

    def _linked(self) -> bool:
        """Whether it has its place as a second name, which takes none that is taken; not every file system can."""
        try:
            os.link(self._path, self._place)
        except FileExistsError:
            raise
        except OSError:
            return False
        with suppress(OSError):  # a name that is left goes like any draft
            self._path.unlink()
        return True

    def __enter__(self) -> Draft:
        """Begin it. Raises OSError where the place cannot be written to."""
        try:
            self.file: BinaryIO = _open_new(self._path, 0o666 if self._mode is None else self._mode)
        except BaseException:  # an interruption may come when it is there already
            self._path.unlink(missing_ok=True)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if not self.file.closed:
            with suppress(OSError):  # what could not be written cannot be written now either
                self.file.close()
            self._path.unlink(missing_ok=True)


def _open_new(path: Path, mode: int) -> BinaryIO:
    """A new file, locked."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    while True:
        handle = os.open(path, flags, mode)
        _lock(handle)
        # Before it was locked, somebody may have removed all that nobody holds.
        if path.exists():
            return os.fdopen(handle, "w+b")
        os.close(handle)


def _place(path: Path) -> Path | None:
    """The regular file that a name stands for, or will; None where what it names is written to and never replaced."""
    if _open_file(path) is not None:
        return None
    try:
        known = path.stat()
    except FileNotFoundError:
        return Path(os.path.realpath(path))
    if stat.S_ISDIR(known.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(known.st_mode):
        return None
    with suppress(FileNotFoundError):  # gone meanwhile
        os.close(os.open(path, os.O_WRONLY))
    return Path(os.path.realpath(path))


def _open_file(path: Path) -> int | None:
    """The open file that `/dev/stdout` and its kind name, links to them included."""
    hop = path.absolute()
    for _ in range(40):
        if found := re.fullmatch(r"(?:/dev/fd|/proc/(?:self|thread-self|\d+)/fd)/(\d+)", str(hop)):
            return int(found[1])
        if str(hop) in _STREAMS:
            return _STREAMS[str(hop)]
        if not hop.is_symlink():
            return None
        hop = Path(os.path.normpath(hop.parent / hop.readlink()))
    return None


_STREAMS: Final = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}


def _write_through(path: Path, content: BinaryIO) -> None:
    """Hand a file on to what is no file."""
    number = _open_file(path)
    sys.stdout.flush()
    handle = os.open(path, os.O_WRONLY) if number is None else os.dup(number)
    with os.fdopen(handle, "wb") as out:
        shutil.copyfileobj(content, out)


def make_folder(folder: Path, fault: Fault = SimulatorError) -> Path:
    """A folder, made with its parents where it is not there.

    Raises:
        SimulatorError: It cannot be made; of the kind asked for.
    """
    with cannot_write(folder, fault):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def folder_for(folder: Path, fault: Fault = SimulatorError) -> Iterator[None]:
    """Likewise, and gone again where the block fails and it was not there before."""
    there = folder.is_dir()
    make_folder(folder, fault)
    try:
        yield
    except BaseException:
        if not there:
            with suppress(OSError):
                folder.rmdir()
        raise


@contextmanager
def private_folder(beside: Path, name: str) -> Iterator[Path]:
    """A folder of this process alone, on the file system of its neighbours; gone when the block ends.

    Raises:
        OSError: It cannot be made.
    """
    folder = beside / _name(name, "unfinished")
    handle = _make_locked(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if handle is not None:
            os.close(handle)


def _make_locked(folder: Path) -> int | None:
    while True:
        folder.mkdir()
        # Before it is locked, somebody may remove all that nobody holds.
        with suppress(FileNotFoundError):
            if (handle := _open_folder(folder)) is None:
                return None
            _lock(handle)
            if folder.exists():
                return handle
            os.close(handle)


def replace_folder(whole: Path, target: Path, aside: Path) -> None:
    """Move a folder to its place, and what is there aside; of several processes at it, the last one wins.

    Args:
        whole: The folder.
        target: Its place: nothing, an empty folder, or one that may be replaced.
        aside: An empty folder for what was there, under its name in a folder of its own.

    Raises:
        OSError: It cannot be moved.
    """
    moved = None
    try:
        for number in range(1000):
            try:
                os.rename(whole, target)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or number == 999:
                    raise
            else:
                _sync_folder(target.parent)
                return
            (aside / str(number)).mkdir()
            moved = aside / str(number) / target.name
            with suppress(FileNotFoundError):
                os.rename(target, moved)
    except BaseException:
        if moved is not None and whole.exists():
            # The older one is better than none.
            with suppress(OSError):
                os.rename(moved, target)
        raise


def left_in(folder: Path, kind: Kind, name: str | None = None) -> Iterator[tuple[Path, str]]:
    """What killed processes of the same user left of this name, or of any, whatever its age; links never.

    Yields:
        Its path, and so much of the name of what it was to become as it keeps.
    """
    stem = r".+" if name is None else re.escape(name[:_KEPT])
    pattern = re.compile(rf"\.({stem}){_TOKENS[kind]}\.{kind}", re.DOTALL)
    with os.scandir(folder) as entries:
        found = sorted((Path(entry), known[1]) for entry in entries if (known := pattern.fullmatch(entry.name)))
    for path, kept in found:
        # Another process may be at the same.
        with suppress(OSError):
            facts = path.lstat()
            plain = stat.S_ISDIR(facts.st_mode) if kind == "unfinished" else stat.S_ISREG(facts.st_mode)
            if plain and (not hasattr(os, "geteuid") or facts.st_uid == os.geteuid()) and not _locked(path):
                yield path, kept


def is_old(path: Path) -> bool:
    """Whether nobody has touched something for so long that its process was killed."""
    with suppress(OSError):
        return time.time() - path.lstat().st_mtime > LEFT_S
    return False


def sweep(folder: Path, name: str) -> None:
    """Remove the drafts that killed processes left of a file."""
    for path, _ in left_in(folder, "draft", name):
        if is_old(path):
            with suppress(OSError):
                path.unlink()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_plain(path: Path) -> bool:
    """Whether a regular file is there; a link is none."""
    with suppress(OSError):
        return stat.S_ISREG(path.lstat().st_mode)
    return False


def _name(name: str, kind: Kind) -> str:
    return f".{name[:_KEPT]}.{secrets.token_hex(_TOKEN_BYTES)}.{kind}"


def _lock(handle: int) -> None:
    # Not every file system can; age alone tells there.
    with suppress(OSError):
        if fcntl is not None:
            # Nobody else keeps it longer than a look takes.
            fcntl.flock(handle, fcntl.LOCK_EX)


def _locked(path: Path) -> bool:
    """Whether the process that made a draft or a folder lives."""
    if fcntl is None:
        return False
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False


def _open_folder(folder: Path) -> int | None:
    return None if sys.platform == "win32" else os.open(folder, os.O_RDONLY)


def _sync_folder(folder: Path) -> None:
    """Have the names in a folder outlast a power failure, where its file system can."""
    with suppress(OSError):
        if (handle := _open_folder(folder)) is not None:
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def remove_tree(folder: Path) -> None:
    """Remove a folder and all below it; links in it go, what they name stays. Raises OSError."""
    while os.path.lexists(folder):
        with suppress(FileNotFoundError):  # another process is at the same
            shutil.rmtree(folder)
