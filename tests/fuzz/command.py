"""A command in this process, and what it changed."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple
from unittest.mock import patch

from typer.main import get_command

from simulator.cli.main import app, main

#: Made once: it is most of what a short command takes.
_COMMAND = get_command(app)


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    said: str


def run(*words):
    """Exit code, standard output and standard error."""
    out, said = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    code = None
    with redirect_stdout(out), redirect_stderr(said), patch("simulator.cli.main.app", _COMMAND):
        try:
            main([*map(str, words)])
        except SystemExit as stop:
            code = stop.code
    out.flush()
    return Ended(code, out.buffer.getvalue().decode(), said.getvalue())


def tree(folder):
    """Content of every file below a folder, and of every link."""
    return {
        str(path.relative_to(folder)): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }
