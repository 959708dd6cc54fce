"""The scenarios and notebooks that ship with the package, beside an installed wheel too.

    >>> import simulator
    >>> simulator.examples.scenario("ci_small").name
    'ci_small.yaml'

`simulator.examples.copy("work")` lays them out as they lie in the repository, for notebooks to run in `work/notebooks`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from simulator.errors import SimulatorError, UnknownName
from simulator.files import make_folder, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

#: What of the repository is in a wheel too, in the folder `shipped` of the package (`pyproject.toml` says the same).
PLACES: Final = (
    "scenarios",
    "notebooks",
    "traces/clinic_week.csv",
    "traces/clinic_week.yaml",
    "tests/bench/recorded/cpu",
)
_SHIPPED: Final = Path(__file__).parent / "shipped"


def folder() -> Path:
    """Where they are: in the installed package, or in the repository it is used from."""
    return _SHIPPED if _SHIPPED.is_dir() else Path(__file__).parents[1]


def names() -> list[str]:
    """Scenarios, by their paths without the ending, such as `apis/deployments`."""
    at = folder() / "scenarios"
    return sorted(path.relative_to(at).with_suffix("").as_posix() for path in at.rglob("*.yaml"))


def scenario(name: str) -> Path:
    """The file of a scenario, for `simulator.run`.

    Raises:
        UnknownName: There is none of that name.
    """
    if name not in names():
        raise UnknownName("shipped scenario", name, names())
    return folder() / "scenarios" / f"{name}.yaml"


def copy(target: str | PathLike[str]) -> Path:
    """Lay all of them out in a folder, as they lie in the repository; what is there already stays as it is.

    Returns:
        The folder.

    Raises:
        SimulatorError: It cannot be written.
    """
    place = Path(target)
    for file in _files():
        to = place / file.relative_to(folder())
        if not to.exists():
            make_folder(to.parent, SimulatorError)
            write_whole(to, file.read_bytes())
    return place


def _files() -> Iterator[Path]:
    for name in PLACES:
        at = folder() / name
        found = at.rglob("*") if at.is_dir() else [at]
        yield from sorted(path for path in found if path.is_file() and ".ipynb_checkpoints" not in path.parts)
