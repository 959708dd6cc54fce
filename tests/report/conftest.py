"""One small run that pages, workbooks and browsers look at; whoever spoils it copies it first."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO

import pytest

from simulator.cli.main import main


@pytest.fixture(scope="session")
def kept(tmp_path_factory):
    target = tmp_path_factory.mktemp("page") / "run"
    arguments = ["run", "scenarios/ci_small.yaml", "--quiet", "--jobs", "1", "--report", "--output", str(target)]
    with redirect_stdout(StringIO()), pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 0
    return target
