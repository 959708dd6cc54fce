"""The command as a user runs it, in this process."""

from __future__ import annotations

import pytest

from simulator.cli.main import main


def run(arguments, capsys):
    """Exit code, standard output and standard error."""
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    printed = capsys.readouterr()
    return stop.value.code, printed.out, printed.err
