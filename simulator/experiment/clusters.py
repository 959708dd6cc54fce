"""Dask and Ray clusters that are running, reached from here."""

from __future__ import annotations

import importlib.util
import logging
import os
import socket
import subprocess  # nosec B404 - of this Python, and nothing that anybody gives
import sys
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, Literal

from simulator.errors import SimulatorError
from simulator.experiment.workers import Workers
from simulator.version import package_version

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: How long a cluster has to answer.
PATIENCE_S: Final = 20.0
#: A call is given to another worker so often when its own is lost.
RETRIES: Final = 3
#: How HTTP/2 begins, with empty settings (RFC 9113, sections 3.4 and 6.5); the other side answers with its own.
_SETTINGS: Final = 4
_HTTP2: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, _SETTINGS, 0, 0, 0, 0, 0])
#: Says something when whoever started it is gone without having said that all is well.
_WATCH: Final = "import sys; sys.stdin.buffer.read() or sys.stderr.write(sys.argv[1])"
_EXAMPLES: Final = {"dask": "tcp://127.0.0.1:8786", "ray": "127.0.0.1:6379"}


def _opened(payload: bytes, *contents: bytes) -> Any:  # noqa: ANN401 - bytes, whatever the package there is
    """What a worker runs: it finds everything else in its own package."""
    import pickle

    function, asked, content = pickle.loads(payload)  # nosec B301 - from the one who asks
    return function(asked, content, contents)


# So that the function itself travels, not its name: a worker without the package can then say so.
_opened.__module__ = "__main__"
_opened.__qualname__ = _opened.__name__ = "_opened_by_simulator"


@contextmanager
def on_cluster(executor: Literal["dask", "ray"], address: str | None, *, wait_s: float = 600.0) -> Iterator[Workers]:
    """Workers of a cluster that is running, to be given as `jobs`.

    Args:
        executor: Which kind.
        address: Of the Dask scheduler, or of the Ray head.
        wait_s: How long to wait while there is no worker at all.

    Raises:
        SimulatorError: The package for it is missing, there is no address, or nothing answers there.
    """
    package = {"dask": "distributed", "ray": "ray"}[executor]
    if importlib.util.find_spec(package) is None:
        raise SimulatorError(
            f"`executor` {executor} needs {package}: pip install 'llm-hosting-simulator[{executor}]', here and on "
            "every worker"
        )
    if address is None:
        raise SimulatorError(f"`executor` {executor} needs `address`, such as {_EXAMPLES[executor]}")
    cluster: _Dask | _Ray = _Dask(address) if executor == "dask" else _Ray(address)
    try:
        yield Workers(cluster, wait_s)
    finally:
        cluster.close()


class _Dask:
    """A Dask scheduler."""

    def __init__(self, address: str) -> None:
        from distributed import Client

        self.address = address
        try:
            self._client = Client(address, timeout=PATIENCE_S, set_as_default=False)  # type: ignore[no-untyped-call]
        except (OSError, ValueError) as error:
            raise SimulatorError(f"`address` {address}: no Dask scheduler answers: {error}") from None
        # What goes wrong is said by us, once.
        for name in [*logging.root.manager.loggerDict]:
            if name.partition(".")[0] in ("distributed", "tornado"):
                logging.getLogger(name).setLevel(logging.CRITICAL)

    def share(self, content: bytes) -> Any:  # noqa: ANN401 - a Dask future
        # As the result of a task, it is made again where the worker that has it is lost.
        return self._client.submit(bytes, content, pure=False)

    def submit(self, payload: bytes, contents: Sequence[Any], *, urgent: bool) -> Future[bytes]:
        there = self._client.submit(_opened, payload, *contents, pure=False, priority=int(urgent))
        here = Future[bytes]()

        async def follow() -> None:
            # Given up meanwhile where it is no longer open.
            with suppress(InvalidStateError):
                try:
                    here.set_result(await there)
                except BaseException as error:
                    here.set_exception(error)

        # Where the client listens, and ends with it. A callback of Dask's has a thread, which would wait for ever for a
        # loop that is gone.
        self._client.loop.add_callback(follow)  # type: ignore[union-attr]
        # A future that nobody holds is given up by Dask.
        here.add_done_callback(lambda _: there.release())  # type: ignore[no-untyped-call]
        return here

    def workers(self) -> int:
        if self._client.status != "running":
            raise _gone(self.address)
        try:
            return len(self._client.nthreads())  # type: ignore[no-untyped-call]
        except (OSError, TimeoutError, CancelledError):
            raise _gone(self.address) from None

    def explained(self, error: BaseException) -> SimulatorError | None:
        from distributed import KilledWorker

        if isinstance(error, KilledWorker):
            return _killed(error.allowed_failures + 1)
        if isinstance(error, (CancelledError, OSError)):
            return _gone(self.address)
        return _package_missing(error)

    def close(self) -> None:
        self._client.close(timeout=2)  # type: ignore[no-untyped-call]


class _Ray:
    """The head of a Ray cluster."""

    def __init__(self, address: str) -> None:
        import ray

        self.address = address
        _see_that_it_answers(address)
        # Whoever has a connection already, in a notebook, keeps it.
        self._mine = not ray.is_initialized()
        if self._mine:
            try:
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise _no_ray(address, str(error)) from None
        self._last_words = _LastWords(_taken_along(address)) if self._mine and "://" not in address else None
        self._ray: Any = ray
        self._run = ray.remote(max_retries=RETRIES)(_opened)

    def share(self, content: bytes) -> Any:  # noqa: ANN401 - an object of Ray's
        with self._there():
            return self._ray.put(content)

    def submit(self, payload: bytes, contents: Sequence[Any], *, urgent: bool) -> Future[bytes]:  # noqa: ARG002 - cannot
        with self._there():
            found: Future[bytes] = self._run.remote(payload, *contents).future()
        return found

    def workers(self) -> int:
        with self._there():
            return int(self._ray.cluster_resources().get("CPU", 0))

    @contextmanager
    def _there(self) -> Iterator[None]:
        """Ray's own ways, of a client of it too, to say that nobody is there any more."""
        try:
            yield
        except Exception as error:
            if isinstance(error, (OSError, RuntimeError, ValueError)) or _is_of_grpc(error):
                raise _gone(self.address) from None
            raise

    def explained(self, error: BaseException) -> SimulatorError | None:
        from ray import exceptions

        if isinstance(error, (exceptions.WorkerCrashedError, exceptions.OutOfMemoryError, exceptions.NodeDiedError)):
            return _killed(RETRIES + 1)
        lost = CancelledError, ConnectionError, exceptions.RaySystemError, exceptions.ObjectLostError
        if isinstance(error, lost) or _is_of_grpc(error):
            return _gone(self.address)
        return _package_missing(error)

    def close(self) -> None:
        if self._mine:
            self._ray.shutdown()
        if self._last_words is not None:
            self._last_words.take_back()


class _LastWords:
    """What is said on stderr when this process ends where Python cannot say it any more.

    A node of Ray's that dies ends every process that is connected to it at once, with exit code 1. Another process says
    it then, to which the end of this one is the end of a pipe.
    """

    def __init__(self, words: str) -> None:
        command = [sys.executable, "-c", _WATCH, words]
        # Ctrl-C is not meant for it.
        self._watch = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)  # nosec B603

    def take_back(self) -> None:
        """All is well."""
        with suppress(OSError):
            self._watch.communicate(b"well")


def _is_of_grpc(error: BaseException) -> bool:
    """Whether it is of the connection of a client of Ray, which nothing else has loaded."""
    return type(error).__module__.partition(".")[0] == "grpc"


def _see_that_it_answers(address: str) -> None:
    """See that something speaks gRPC there, as Ray does; Ray itself would wait for minutes, or for ever."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdecimal():
        # `auto`, or a name that Ray knows.
        return
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE_S) as there:
            if os.environ.get("RAY_USE_TLS") == "1":
                return
            there.sendall(_HTTP2)
            said = there.recv(9)
    except (OSError, OverflowError) as error:
        raise _no_ray(address, str(error)) from None
    # The head of a frame: three bytes of length, and a kind.
    if len(said) < 4 or said[3] != _SETTINGS:
        raise _no_ray(address, "something else listens there")


def _no_ray(address: str, why: str) -> SimulatorError:
    return SimulatorError(f"`address` {address}: no Ray cluster answers: {why}")


def _killed(times: int) -> SimulatorError:
    said = f"{times} workers died at the same simulation, the last ones of several tries; too little memory is likely"
    return SimulatorError(f"{said}. What was simulated is kept, and the same command goes on from there")


def _gone(address: str) -> SimulatorError:
    said = f"`address` {address}: the cluster is gone; what was simulated is kept"
    return SimulatorError(f"{said}, and the same command goes on from there")


def _taken_along(address: str) -> str:
    said = f"simulator: `address` {address}: this command was ended from outside, as by a Ray node that dies under it"
    kept = "what was simulated is kept, and the same command goes on from there once Ray runs again"
    return f"{said}; {kept}. With `ray://HOST:10001` it is no part of a node.\n"


def _package_missing(error: BaseException) -> SimulatorError | None:
    """Where a worker could not even read what it was to do."""
    if not isinstance(error, (ImportError, AttributeError)):
        return None
    return SimulatorError(
        f"a worker has not this version of llm-hosting-simulator ({str(error).splitlines()[-1]}): install "
        f"{package_version()} there, the same as here"
    )
