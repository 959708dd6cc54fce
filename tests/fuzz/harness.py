"""Spoil a file, let its reader read it, and hold the law: exit 0, 1, 2 or 3, and nothing but the output changed."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from tests.fuzz.command import run, tree

ALLOWED = {0, 1, 2, 3}


def fuzz(reader, sound, cases, seed=1):
    """Outcomes by exit code, and what broke the law: number of the case, exit code and what was said."""
    outcomes, broken = Counter(), []
    original = (sound / reader.file).read_bytes()
    with TemporaryDirectory() as place:
        at, out = Path(place) / "at", Path(place) / "out"
        shutil.copytree(sound, at)
        for case in range(cases):
            out.mkdir()
            (at / reader.file).write_bytes(reader.spoil(original, Random(f"{reader.name} {seed} {case}")))
            before = tree(at)
            ended = run(*reader.words(at, out))
            outcomes[ended.code] += 1
            if ended.code not in ALLOWED or "Traceback" in ended.said:
                broken.append((case, ended.code, ended.said[-300:]))
            if tree(at) != before:
                broken.append((case, ended.code, "something but the output changed"))
            if ended.code == 2 and any(path.is_file() and path.name.startswith(".") for path in out.rglob("*")):
                broken.append((case, ended.code, "something half-written was left"))
            shutil.rmtree(out)
    return outcomes, broken
