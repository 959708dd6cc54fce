"""A session as a scenario file that says only what was changed."""

from __future__ import annotations

import os
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.errors import Fault, ScenarioError
from simulator.files import write_whole

if TYPE_CHECKING:
    from simulator.studio.session import Session


def difference(below: Any, above: Any) -> Any:  # noqa: ANN401 - a YAML value is anything
    """What to lay over one value to get the other; mappings merge, null removes, everything else replaces.

    >>> difference({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": 3}, "d": [1]})
    {'a': {'b': 3, 'c': None}}
    """
    if not (isinstance(below, dict) and isinstance(above, dict)) or below.get("kind") != above.get("kind"):
        return above
    changed = {name: difference(below.get(name), value) for name, value in above.items() if below.get(name) != value}
    return changed | {name: None for name in below if name not in above}


def saved_text(session: Session, target: Path) -> str:
    """The file that `target` would be: it extends the session's own as that is now, and has what differs.

    Raises:
        ScenarioError: The session's own cannot be read any more.
    """
    from ruamel.yaml import YAML

    from simulator.scenario.loading import read_merged

    base = os.path.relpath(os.path.realpath(session.source), Path(os.path.realpath(target)).parent)
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.representer.ignore_aliases = lambda _: True
    text, shown = StringIO(), session.scenario.resolved
    yaml.dump({"extends": Path(base).as_posix(), **difference(read_merged(session.source).data, shown)}, text)
    return f"# What was changed in {session.source.name}; everything else is as it stands there.\n{text.getvalue()}"


def save(session: Session, target: Path, *, last: str | None = None) -> str:
    """Write the file.

    Args:
        session: What to save.
        target: Where to.
        last: What was saved there before, which it may replace.

    Returns:
        Its text.

    Raises:
        ScenarioError: Something else is there, or what it extends cannot be read any more.
        SimulatorError: It cannot be written.
    """
    there = os.path.lexists(real_place(target))
    if real_place(target) == real_place(session.source) or ((there or os.path.islink(target)) and last is None):
        raise _refused(target, "File exists")
    if there and not _says(target, str(last)):
        raise _refused(target, "it was changed since it was saved here; choose another name")
    text = saved_text(session, target)
    write_whole(target, text, anew=not there)
    return text


def real_place(target: Path) -> Path:
    """The file that a name stands for, through links. Raises ScenarioError where no file can be called so."""
    name = str(target)
    if "\0" in name or name.encode("utf-8", "replace").decode() != name:
        raise _refused(name.encode("utf-8", "backslashreplace").decode(), "no file is called so")
    return Path(os.path.realpath(target))


def _refused(name: Path | str, why: str) -> ScenarioError:
    return ScenarioError([Fault(str(name), 0, "", f"cannot be written: {why}")])


def _says(path: Path, text: str) -> bool:
    """Whether a file has this text and nothing else."""
    content = text.encode()
    with suppress(OSError), path.open("rb") as file:
        return file.read(len(content) + 1) == content
    return False
