"""What is looked at under one name is looked at under many: its type is made once."""

from __future__ import annotations

from unittest.mock import patch

import pytest

from simulator.trace.importers import shape
from tests.fuzz.command import run
from tests.trace.importers.samples import SAMPLES


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_a_format_makes_few_types(tmp_path, sample):
    """One of spans made 150,000, which took 700 MB and 20 s for a log of six lines."""
    (tmp_path / "log").write_text(sample.text)
    shape.parser.cache_clear()
    shape._type.cache_clear()
    with patch.object(shape, "_typed_dict", wraps=shape._typed_dict) as made:
        run("trace", "convert", "--format", sample.name, tmp_path / "log", tmp_path / "t.csv", *sample.options)
    assert made.call_count < 2000
