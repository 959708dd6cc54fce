"""No command writes over what it reads."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from typer.core import TyperCommand

from simulator.errors import SimulatorError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import typer

#: Parameters that name a file to be written, and the only ones.
WRITTEN: Final = {"output", "xlsx", "pdf", "plot", "markdown", "junit", "target"}


class Command(TyperCommand):
    """A command that first looks where its output goes."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - of the library that typer brings along
        """Run the command.

        Raises:
            SimulatorError: Two outputs are one file, one is what is read, or a name could not be written down.
        """
        for value in ctx.params.values():
            for said in value if isinstance(value, (list, tuple)) else [value]:
                _check_text(said)
        places = {name: value for name, value in ctx.params.items() if name in WRITTEN and isinstance(value, Path)}
        read = [place for name, value in ctx.params.items() if name not in WRITTEN for place in _files(value)]
        for number, (name, place) in enumerate(places.items()):
            for other, second in [*places.items()][:number]:
                # A device takes what comes from both.
                if os.path.realpath(place) == os.path.realpath(second) and (place.is_file() or not place.exists()):
                    raise SimulatorError(f"--{name} and --{other} are one file: {place}")
            if any(_same(place, source) for source in read):
                raise SimulatorError(f"{place}: it is read by this command, and would be lost; choose another place")
        return super().invoke(ctx)


def _check_text(said: object) -> None:
    """Raise SimulatorError for what is no UTF-8, since what was given is kept in files that are."""
    if isinstance(said, (str, Path)):
        try:
            str(said).encode()
        except UnicodeEncodeError:
            shown = os.fsencode(said).decode("utf-8", "backslashreplace")
            raise SimulatorError(f"{shown}: is no text in UTF-8, as names of files must be here") from None


def _files(value: object) -> Iterator[Path]:
    """The files that a parameter names; of a folder those in it, the pages and tables made of it apart."""
    for one in value if isinstance(value, (list, tuple)) else [value]:
        if isinstance(one, (str, Path)) and str(one):
            with suppress(OSError, ValueError):
                path = Path(one)
                yield from (path / name for name in _OF_A_RUN) if path.is_dir() else (path,)


#: What makes a folder a run, in which other files may lie.
_OF_A_RUN: Final = ("manifest.json", "summary.json", "scenario.yaml", "requests.parquet", "levels.parquet")


def _same(place: Path, source: Path) -> bool:
    """Whether both are one regular file, by whatever names."""
    with suppress(OSError, ValueError):
        return place.is_file() and os.path.samefile(place, source)
    return False


def guard(group: typer.Typer) -> None:
    """Have every command of a group, and of the groups in it, look first."""
    for command in group.registered_commands:
        command.cls = Command
    for inner in group.registered_groups:
        if inner.typer_instance is not None:
            guard(inner.typer_instance)
