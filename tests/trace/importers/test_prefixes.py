"""Prefixes out of block identities: what a trace says is shared is shared, and how much of it is kept."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.trace.importers.prefixes import LEVELS, Paths
from tests.parts import TRACES

SAMPLE = TRACES / "mooncake_conversation_first800.jsonl"


def tree(prompts):
    """Block names that are equal only for equal beginnings, as a log of a prefix cache has them."""
    names = {}
    return [[names.setdefault(tuple(one[: at + 1]), len(names)) for at in range(len(one))] for one in prompts]


def reused(prompts):
    """Blocks of each prompt that an unlimited cache of all before it would hold."""
    seen, found = set(), []
    for blocks in prompts:
        found.append(next((at for at, block in enumerate(blocks) if block not in seen), len(blocks)))
        seen.update(blocks)
    return found


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), max_size=12))
def test_requests_of_one_prefix_begin_alike(prompts):
    blocks = tree(prompts)
    paths = Paths(1, levels=0)
    prefix_id, tokens = paths.assign(blocks, np.full(len(blocks), 10**6))
    for one in range(len(blocks)):
        for other in range(one):
            if prefix_id[one] == prefix_id[other]:
                shared = min(tokens[one], tokens[other])
                assert blocks[one][:shared] == blocks[other][:shared]
    kept, longest = 0, {}
    for path, count, most in zip(prefix_id.tolist(), tokens.tolist(), reused(blocks), strict=True):
        # No cache of the trace's prefixes holds more of a prompt than the real one would.
        assert min(count, longest.get(path, 0)) <= most
        kept += min(count, longest.get(path, 0))
        longest[path] = max(count, longest.get(path, 0))
    assert (paths.kept_blocks, paths.shared_blocks) == (kept, sum(reused(blocks)))


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), max_size=12))
def test_levels_say_the_whole_tree(prompts):
    """Every two requests share, by their prefixes and what those begin with, exactly what their blocks share."""
    blocks = tree(prompts)
    paths = Paths(1)
    prefix_id, tokens = paths.assign(blocks, np.full(len(blocks), 10**6))
    nesting = paths.nesting()
    told = []
    for one, count in zip(prefix_id.tolist(), tokens.tolist(), strict=True):
        along = [*nesting.outer(one), (one, count)]
        told.append([next(name for name, end in along if at < end) for at in range(count)])
    for one, ours in zip(blocks, told, strict=True):
        for other, theirs in zip(blocks, told, strict=True):
            shared = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
            shared = min(len(one), len(other)) if shared is None else shared
            same = [a == b for a, b in zip(ours, theirs, strict=False)]
            assert (same.index(False) if False in same else len(same)) == shared
    assert paths.kept_blocks == paths.shared_blocks == sum(reused(blocks))


def test_a_conversation_is_one_prefix_that_grows():
    prefix_id, tokens = Paths(512).assign([[1], [1, 2, 3], [1, 2, 3, 4], [9], None, ["x"]], np.full(6, 1700))
    assert prefix_id.tolist() == [0, 0, 0, 1, -1, 2]
    # Never more than the prompt has.
    assert tokens.tolist() == [512, 1536, 1700, 512, 0, 512]


@pytest.mark.needs("public traces")
@pytest.mark.parametrize(("levels", "kept"), [(0, 0.725), (1, 0.869), (LEVELS, 1.0)])
def test_what_mooncake_reuses_is_kept(levels, kept):
    blocks = [json.loads(line)["hash_ids"] for line in SAMPLE.read_text().splitlines()]
    paths = Paths(512, levels)
    paths.assign(blocks, np.full(len(blocks), 10**6))
    assert paths.shared_blocks == sum(reused(blocks))
    assert paths.kept_blocks / paths.shared_blocks == pytest.approx(kept, abs=5e-4)
