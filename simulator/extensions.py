"""Code of one's own, by the name that a scenario gives it: routers, arrival processes, prices and the like (`GROUPS`).

A package offers it as an entry point, in the group `simulator.routers`, `simulator.arrivals` and so on; a notebook
passes it to `simulator.run(…, extensions={"routers": {"sticky": Sticky}})`, or says
`with simulator.using(routers={"sticky": Sticky}):` for everything in the block.
"""

from __future__ import annotations

import hashlib
import inspect
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final

from simulator.errors import SimulatorError, UnknownName

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    #: By group and name.
    Extensions = Mapping[str, Mapping[str, Any]]

#: Groups, and what one of them is called.
GROUPS: Final = {
    "routers": "router",
    "arrivals": "arrival process",
    "lengths": "length distribution",
    "step_times": "step-time model",
    "api_providers": "API provider",
    "cost_lines": "cost line",
    "log_formats": "log format",
}
_PASSED: ContextVar[Extensions] = ContextVar("extensions", default={})  # noqa: B039 - never changed


@contextmanager
def using(**extensions: Mapping[str, Any]) -> Iterator[None]:
    """Make routers, arrival processes and so on known by name, for what is simulated in this block by this process.

    Args:
        extensions: By group (`GROUPS`) and name.

    Raises:
        UnknownName: There is no such group.
    """
    for group in extensions:
        if group not in GROUPS:
            raise UnknownName("kind of extension", group, GROUPS)
    before = _PASSED.get()
    token = _PASSED.set({**before, **{group: {**before.get(group, {}), **one} for group, one in extensions.items()}})
    try:
        yield
    finally:
        _PASSED.reset(token)


def known(group: str) -> list[str]:
    """Names of a group that something goes by."""
    installed = (one.name for one in entry_points(group=f"simulator.{group}"))
    return sorted({*_PASSED.get().get(group, {}), *installed})


def find(group: str, name: str) -> Any:  # noqa: ANN401 - what a group holds
    """What goes by a name: what was passed, else what a package offers.

    Raises:
        UnknownName: Nothing does; the message lists what is there.
        SimulatorError: The package that offers it cannot be imported.
    """
    passed = _PASSED.get().get(group, {})
    if name in passed:
        return passed[name]
    for one in entry_points(group=f"simulator.{group}", name=name):
        try:
            return one.load()
        except Exception as error:
            raise SimulatorError(f"the {GROUPS[group]} '{name}' ({one.value}) cannot be loaded: {error}") from error
    raise UnknownName(GROUPS[group], name, known(group))


def fault(group: str, name: str, options: Mapping[str, Any], given: int) -> str | None:
    """What is wrong with a name and its options, to be called with so many arguments before them; None for nothing."""
    try:
        found = find(group, name)
    except SimulatorError as error:
        return str(error)
    try:
        inspect.signature(found).bind(*range(given), **options)
    except (TypeError, ValueError) as error:
        return f"the {GROUPS[group]} '{name}' does not take these options: {error}"
    return None


def place(group: str, name: str) -> str:
    """Where the code of an extension stands, such as `ward.routers.Sticky`; its name alone where nothing goes by it."""
    try:
        found = find(group, name)
    except SimulatorError:
        return name
    return f"{getattr(found, '__module__', '')}.{getattr(found, '__qualname__', name)}".lstrip(".")


def mark(group: str, name: str) -> str:
    """What tells an extension from another of that name: its source as far as it can be read, and where it lies."""
    found = find(group, name)
    try:
        module = inspect.getmodule(found)
        text = inspect.getsource(found) if module is None else inspect.getsource(module)
    except (OSError, TypeError):
        # Typed at a prompt: known by itself alone, and no longer than the process.
        text = f"{id(found)}"
    return hashlib.sha256(f"{getattr(found, '__module__', '')}.{name}\n{text}".encode()).hexdigest()


def refuse_elsewhere() -> None:
    """See that what was passed is not wanted of another process, which would not know it.

    Raises:
        SimulatorError: Something was passed.
    """
    if passed := [name for given in _PASSED.get().values() for name in given]:
        raise SimulatorError(
            f"{', '.join(passed)}: known to this process alone; simulate with jobs=1, or offer it as an entry "
            "point of a package"
        )
