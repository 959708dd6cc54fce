"""A small run that was kept."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest
from ruamel.yaml import YAML

from simulator.cli import main
from tests.experiment.small import small


@cache
def run_directory():
    """Two replications of the small scenario."""
    folder = Path(mkdtemp())
    with (folder / "small.yaml").open("w") as file:
        YAML().dump(small().resolved, file)
    options = ["--quiet", "--jobs", "1", "--replications", "2", "--store", str(folder / "store")]
    with pytest.raises(SystemExit) as stop:
        main(["run", str(folder / "small.yaml"), "--output", str(folder / "run"), *options])
    assert stop.value.code == 0
    return folder / "run"
