"""A store of simulations kept from growing without end: what was used longest ago goes first."""

from __future__ import annotations

import os
import time
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from simulator.errors import SimulatorError
from simulator.experiment.runs import stored_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where nobody is kept out
    fcntl = None  # type: ignore[assignment]

#: What stored simulations may take unless something else is said: some hundred thousand of them.
MOST_BYTES: Final = 1_000_000_000


def most_bytes() -> int:
    """What stored simulations may take: 1 GB, or what SIMULATOR_STORE_GB says.

    Raises:
        SimulatorError: It says no number of gigabytes.
    """
    said = os.environ.get("SIMULATOR_STORE_GB", "")
    if not said:
        return MOST_BYTES
    with suppress(ValueError):
        if 0.0 <= (found := float(said) * 1e9) < 1e18:
            return round(found)
    raise SimulatorError(f"SIMULATOR_STORE_GB={said}: expected a number of gigabytes, such as 5")


class StoreInUse:
    """A store that a command works with: nothing of it is removed meanwhile, by whomever.

    Attributes:
        folder: The store.
        since_ns: When the command began.
        close: Lets others remove what they like.
    """

    close: Callable[[], object]

    def __init__(self, folder: Path) -> None:
        self.folder, self.since_ns = folder, time.time_ns()
        self._handle = None if fcntl is None else os.open(folder, os.O_RDONLY)
        self.close = (lambda: None) if self._handle is None else weakref.finalize(self, os.close, self._handle)
        self._lock(alone=False)

    def bound(self, most: int | None = None) -> int:
        """Remove the simulations used longest ago until the rest take no more than that; returns the bytes removed.

        What this command has used stays, however much it is, and so does everything while another command is at work.
        Whatever else lies there neither counts nor goes.
        """
        if not self._lock(alone=True):
            return 0
        try:
            return _bound(self.folder, most_bytes() if most is None else most, self.since_ns)
        finally:
            self._lock(alone=False)

    def _lock(self, *, alone: bool) -> bool:
        """Whether nobody else holds it, or is where a file system knows no locks."""
        if self._handle is not None and fcntl is not None:
            try:
                fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB if alone else fcntl.LOCK_SH)
            except BlockingIOError:
                return False
            except OSError:
                pass
        return True


def _bound(store: Path, most: int, since_ns: int) -> int:
    simulations: dict[str, list[tuple[Path, int]]] = {}
    used_ns: dict[str, int] = {}
    for file, known in stored_files(store):
        # Its tables go with a summary.
        name = file.name.partition(".")[0]
        simulations.setdefault(name, []).append((file, known.st_size))
        used_ns[name] = max(used_ns.get(name, 0), known.st_mtime_ns, known.st_atime_ns)
    left, freed = sum(size for files in simulations.values() for _, size in files), 0
    for name in sorted(simulations, key=lambda name: (used_ns[name], name)):
        if left - freed <= most or used_ns[name] >= since_ns:
            break
        for file, size in simulations[name]:
            # Another process may be at the same.
            with suppress(OSError):
                file.unlink()
                freed += size
    return freed
