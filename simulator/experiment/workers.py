"""Who works: processes of this machine, or a cluster that exists. Every command hands its work out here.

A cluster is a way to have bytes answered by bytes (`Cluster`); what is in them says `errand`. Work that a lost worker
had is given to another one, a few times; wrong input is never tried twice.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final, Protocol

from simulator.engine.simulation import is_compiled, prepare
from simulator.errors import SimulatorError
from simulator.experiment.errand import claim, named_files, packed, parcel, unpacked
from simulator.extensions import refuse_elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from simulator.experiment.errand import Call, Parcel

#: Calls handed out at a time: enough for a cluster to see that it should grow.
WINDOW: Final = 1000
#: How often it is looked whether anybody is there.
_LOOK_S: Final = 1.0
_LOG: Final = logging.getLogger(__name__)


class Cluster(Protocol):
    """A cluster that was reached; `dask_cluster` and `ray_cluster` have one each."""

    address: str

    def share(self, content: bytes) -> Any:  # noqa: ANN401 - whatever stands for it there
        """Make some bytes known to all workers; returns what stands for them in `submit`."""

    def submit(self, payload: bytes, contents: Sequence[Any], *, urgent: bool) -> Future[bytes]:
        """Have `errand.carry_out` answered by any worker, now or when there is one; what is urgent first, if it can."""

    def workers(self) -> int:
        """How many there are at the moment.

        Raises:
            SimulatorError: Nobody can say: the cluster is gone.
        """

    def explained(self, error: BaseException) -> SimulatorError | None:
        """What the end of a future means, where that is not a fault of ours."""


@dataclass(slots=True)
class Workers:
    """A cluster to work on, as `jobs` of whatever simulates; see `on_cluster`.

    Attributes:
        cluster: The cluster.
        wait_s: How long to wait while there is no worker at all.
    """

    cluster: Cluster
    wait_s: float
    _shared: dict[str, Any] = field(default_factory=dict)
    _marks: dict[Path, str] = field(default_factory=dict)
    _parcels: dict[tuple[str, int, int], Parcel] = field(default_factory=dict)

    def submit(self, call: Call, store: Path | None) -> Future[bytes]:
        """Hand out a call, and the files that it needs once for all calls."""
        if store is not None and store not in self._marks:
            self._marks[store] = claim(store)
        mark = self._marks[store] if store is not None else ""
        files = [self._parcel(path) for path in dict.fromkeys(named_files(call.scenario))]
        for one in files:
            if one.sha256 not in self._shared:
                self._shared[one.sha256] = self.cluster.share(one.content)
        contents = [self._shared[one.sha256] for one in files]
        # What simulates nothing ends something: a table grows by it.
        return self.cluster.submit(packed(call, files, store, mark), contents, urgent=call.makes is None)

    def _parcel(self, path: str) -> Parcel:
        try:
            facts = Path(path).stat()
        except OSError as error:
            raise SimulatorError(f"{path}: cannot be read: {error.strerror}") from None
        key = path, facts.st_mtime_ns, facts.st_size
        if key not in self._parcels:
            self._parcels[key] = parcel(path)
        return self._parcels[key]


#: How many processes here, or a cluster.
Jobs = int | Workers


class Pool(Protocol):
    """Calls that are being answered."""

    #: How many calls should be in flight, so that nobody idles.
    window: int

    @property
    def in_flight(self) -> int:
        """How many calls have no answer yet."""

    def submit(self, call: Call) -> None:
        """Have something worked out."""

    def next(self) -> tuple[Call, Any]:
        """The next answer there is, with its call; raises what the function raises."""


@contextmanager
def pool(jobs: Jobs, folder: Path | None) -> Iterator[Pool]:
    """Who works out calls, in any order, whose simulations are kept in a folder.

    What is in flight when the block fails is given up; what was answered is kept.
    """
    if jobs != 1:
        refuse_elsewhere()
    if isinstance(jobs, Workers):
        with _remote(jobs, folder) as found:
            yield found
    elif jobs == 1:
        yield _Here(folder)
    else:
        with _processes(jobs, folder) as found:
            yield found


def spread(calls: Iterable[Call], jobs: Jobs, folder: Path | None) -> Iterator[tuple[Call, Any]]:
    """Work out calls; each with its answer, as they come."""
    with pool(jobs, folder) as workers:
        for call in calls:
            workers.submit(call)
            while workers.in_flight >= workers.window:
                yield workers.next()
        while workers.in_flight:
            yield workers.next()


class _Here:
    """The process itself, one call after the other."""

    def __init__(self, folder: Path | None) -> None:
        self._folder, self.window = folder, 1
        self._waiting: deque[Call] = deque()

    @property
    def in_flight(self) -> int:
        return len(self._waiting)

    def submit(self, call: Call) -> None:
        self._waiting.append(call)

    def next(self) -> tuple[Call, Any]:
        call = self._waiting.popleft()
        return call, call.function(call.scenario, self._folder, *call.arguments)


class _Futures:
    """Calls whose answers are futures."""

    def __init__(self, submit: Callable[[Call], Future[Any]], window: int) -> None:
        self._submit, self.window = submit, window
        self.calls: dict[Future[Any], Call] = {}
        self.ended: SimpleQueue[Future[Any]] = SimpleQueue()

    @property
    def in_flight(self) -> int:
        return len(self.calls)

    def submit(self, call: Call) -> None:
        future = self._submit(call)
        self.calls[future] = call
        future.add_done_callback(self.ended.put)

    def next(self) -> tuple[Call, Any]:
        future = self.ended.get()
        return self.calls.pop(future), future.result()


def _there(place: Path, call: Call, folder: Path | None) -> Any:  # noqa: ANN401 - whatever the call gives
    """Answer a call where it was made: processes outlive a change of folder, and scenarios name files from there."""
    os.chdir(place)
    return call.function(call.scenario, folder, *call.arguments)


@contextmanager
def _processes(jobs: int, folder: Path | None) -> Iterator[Pool]:
    from joblib.externals.loky import get_reusable_executor
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    if not is_compiled():
        # Or each process would.
        prepare()
    executor = get_reusable_executor(max_workers=jobs, timeout=300)
    try:
        yield _Futures(partial(executor.submit, _there, Path.cwd(), folder=folder), window=4 * jobs)
    except TerminatedWorkerError:
        executor.shutdown(wait=True, kill_workers=True)
        raise SimulatorError(
            f"one of {jobs} processes was killed; too little memory is likely, and fewer processes need less. What was "
            "simulated is kept, and the same command goes on from there"
        ) from None
    except BaseException:
        executor.shutdown(wait=True, kill_workers=True)
        raise


class _Remote(_Futures):
    """Calls that a cluster answers."""

    def __init__(self, workers: Workers, folder: Path | None) -> None:
        super().__init__(lambda call: workers.submit(call, folder), WINDOW)
        self._workers, self._folder = workers, folder

    def next(self) -> tuple[Call, Any]:
        future = self._ended_one()
        call = self.calls.pop(future)
        try:
            answer = future.result()
        except (Exception, CancelledError) as error:
            if (known := self._workers.cluster.explained(error)) is not None:
                raise known from None
            raise
        return call, unpacked(answer, self._folder)

    def _ended_one(self) -> Future[bytes]:
        """The next that has ended; there may be nobody to work on it, but not for ever."""
        alone_since_s: float | None = None
        while True:
            try:
                return self.ended.get(timeout=_LOOK_S)
            except Empty:
                cluster, now_s = self._workers.cluster, time.monotonic()
                if cluster.workers():
                    alone_since_s = None
                elif alone_since_s is None:
                    alone_since_s = now_s
                    said = "%s has no worker; waiting up to %.0f s for one"
                    _LOG.warning(said, cluster.address, self._workers.wait_s)
                elif now_s - alone_since_s > self._workers.wait_s:
                    raise SimulatorError(
                        f"{cluster.address} has had no worker for {self._workers.wait_s:.0f} s; what was simulated is "
                        "kept, and the same command goes on from there"
                    ) from None


@contextmanager
def _remote(workers: Workers, folder: Path | None) -> Iterator[Pool]:
    found = _Remote(workers, folder)
    try:
        yield found
    finally:
        for future in found.calls:
            future.cancel()
