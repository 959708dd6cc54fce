"""A small run that was kept."""

from __future__ import annotations

from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path
from tempfile import mkdtemp

import pytest
from ruamel.yaml import YAML

from simulator.cli.main import main
from tests.experiment.small import small


@cache
def run_directory():
    """Two replications of the small scenario."""
    folder = Path(mkdtemp())
    with (folder / "small.yaml").open("w") as file:
        YAML().dump(small().resolved, file)
    options = ["--quiet", "--jobs", "1", "--replications", "2", "--store", str(folder / "store")]
    # Whoever asks first must not find it in what it captured.
    with pytest.raises(SystemExit) as stop, redirect_stdout(StringIO()):
        main(["run", str(folder / "small.yaml"), "--output", str(folder / "run"), *options])
    assert stop.value.code == 0
    return folder / "run"
