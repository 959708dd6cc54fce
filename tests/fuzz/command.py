"""A command in this process, and what it changed."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple

from simulator.cli.main import main


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    said: str


def run(*words):
    """Exit code, standard output and standard error."""
    out, said = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    code = None
    with redirect_stdout(out), redirect_stderr(said):
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
