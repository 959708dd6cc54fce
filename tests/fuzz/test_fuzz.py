"""Spoilt files end in an answer or a refusal; `python -m tests.fuzz --cases 10000` is the same for a night."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from simulator.trace.importers import TITLES
from tests.fuzz.command import run
from tests.fuzz.harness import tried
from tests.fuzz.readers import READERS
from tests.fuzz.sound import prepare, prepare_rest


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    prepare(folder)
    prepare_rest(folder)
    return folder


def test_every_log_format_has_a_reader_here():
    assert {f"log, {name}" for name in TITLES} <= {reader.name for reader in READERS}


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_law_a_spoilt_file_is_read_or_refused(sound, reader, tmp_path):
    if reader.into:
        shutil.copytree(sound / Path(reader.file).parts[0], tmp_path / Path(reader.file).parts[0])
    with reader.beside():
        ended = run(*reader.words(sound, tmp_path))
    assert ended.code == 0, ended.said
    cases = list(tried(reader, sound, cases=range(2)))
    assert [case for case in cases if case.against] == []
    assert len(cases) == 2
