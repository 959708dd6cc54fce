"""Fixtures that the scenario tests share."""

from __future__ import annotations

import pytest


@pytest.fixture
def file(tmp_path):
    """Writes a text into a file of its own folder, and returns its path."""

    def write(text, name="scenario.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write
