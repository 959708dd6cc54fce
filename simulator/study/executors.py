"""Where many simulations run: the cores of this machine, or a cluster that exists, through joblib."""

from __future__ import annotations

import importlib.util
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from simulator.engine.simulation import is_compiled, prepare
from simulator.errors import SimulatorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Executor = Literal["local", "dask", "ray"]
#: How long a cluster has to answer.
_PATIENCE_S = 20.0


@contextmanager
def spread(executor: Executor, jobs: int, address: str | None) -> Iterator[Callable[[Iterable[Any]], Iterable[Any]]]:
    """What runs `joblib.delayed` calls and gives their results as they come, in any order.

    Args:
        executor: `local` for processes here; `dask` or `ray` for a cluster that is running.
        jobs: Processes, with `local`.
        address: Of the Dask scheduler or the Ray head.

    Raises:
        SimulatorError: The package for it is missing, there is no address, or nothing answers there.
    """
    from joblib import Parallel, parallel_config

    if executor == "local":
        if jobs > 1 and not is_compiled():
            # Or each process would.
            prepare()
        yield Parallel(n_jobs=jobs, backend="loky", return_as="generator_unordered")
        return
    package = {"dask": "distributed", "ray": "ray"}[executor]
    if importlib.util.find_spec(package) is None:
        raise SimulatorError(
            f"--executor {executor} needs {package}: pip install 'llm-hosting-simulator[{executor}]', here and on "
            "every worker"
        )
    if address is None:
        raise SimulatorError(f"--executor {executor} needs --address, such as {_EXAMPLES[executor]}")
    with _CONNECT[executor](address), parallel_config(backend=executor):
        # Ray's backend has no results before the last.
        yield Parallel(n_jobs=-1, return_as="generator_unordered" if executor == "dask" else "list")


@contextmanager
def _dask(address: str) -> Iterator[None]:
    from distributed import Client

    try:
        client = Client(address, timeout=_PATIENCE_S, set_as_default=True)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise SimulatorError(f"--address {address}: no Dask scheduler answers: {error}") from None
    try:
        yield
    finally:
        client.close()  # type: ignore[no-untyped-call]


@contextmanager
def _ray(address: str) -> Iterator[None]:
    import ray
    from ray.util.joblib import register_ray

    try:
        ray.init(address=address, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise SimulatorError(f"--address {address}: no Ray cluster answers: {error}") from None
    register_ray()
    try:
        yield
    finally:
        ray.shutdown()


_CONNECT = {"dask": _dask, "ray": _ray}
_EXAMPLES = {"dask": "tcp://127.0.0.1:8786", "ray": "auto"}
