"""How large a benchmark is."""

from __future__ import annotations

import pytest


@pytest.fixture
def sized(pytestconfig):
    """A function of a size: itself, or with `--small` a hundredth of it, to see that the benchmark still runs."""
    return (lambda size: max(size // 100, 1)) if pytestconfig.getoption("small") else (lambda size: size)
