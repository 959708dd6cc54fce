"""What docs/apis.md shows behind a command is what it prints."""

from __future__ import annotations

import shlex

import pytest

from simulator.cli.main import main
from tests.parts import ROOT

DOC = (ROOT / "docs" / "apis.md").read_text(encoding="utf-8")


def shown():
    """Commands and what follows them, from the console blocks."""
    for block in DOC.split("```console\n")[1:]:
        for part in block.split("```")[0].split("$ simulator ")[1:]:
            command, _, output = part.partition("\n")
            if output.strip():
                yield command, output


@pytest.mark.parametrize(("command", "output"), list(shown()))
def test_console_blocks(command, output, capsys):
    with pytest.raises(SystemExit) as stop:
        main(shlex.split(command))
    assert stop.value.code == 0
    assert capsys.readouterr().out == output
