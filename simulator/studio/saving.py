"""A session as a scenario file that says only what was changed."""

from __future__ import annotations

import os
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
    """The file that `target` would be: it extends the session's own, and has what differs."""
    from ruamel.yaml import YAML

    base = os.path.relpath(os.path.realpath(session.source), Path(os.path.realpath(target)).parent)
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.representer.ignore_aliases = lambda _: True
    text = StringIO()
    yaml.dump({"extends": Path(base).as_posix(), **difference(session.base.data, session.scenario.resolved)}, text)
    return f"# What was changed in {session.source.name}; everything else is as it stands there.\n{text.getvalue()}"


def save(session: Session, target: Path, *, again: bool = False) -> None:
    """Write the file.

    Args:
        session: What to save.
        target: Where to.
        again: Whether it may replace what is there.

    Raises:
        ScenarioError: Something is there.
        SimulatorError: It cannot be written.
    """
    if "\0" in str(target):
        raise ScenarioError([Fault(str(target), 0, "", "cannot be written: no file is called so")])
    own = os.path.realpath(target) == os.path.realpath(session.source)
    if own or (os.path.lexists(target) and not again):
        raise ScenarioError([Fault(str(target), 0, "", "cannot be written: File exists")])
    write_whole(target, saved_text(session, target))
