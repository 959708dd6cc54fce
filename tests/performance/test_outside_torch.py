from __future__ import annotations

import pytest

from simulator.performance.outside_torch import NON_TORCH_GIB, context_gib, outside_torch_gib
from simulator.scenario.patterns import EngineSettings


@pytest.mark.parametrize(("version", "counted"), [("0.7.3", True), ("0.9", True), ("0.9.0", True), ("0.9.1", False),
                                                  ("0.10.1", False), (None, False)])  # fmt: skip
def test_the_context_was_counted_up_to_0_9_0(version, counted):
    outside = outside_torch_gib("h100-80gb", 2, EngineSettings(vllm_version=version))
    assert outside == pytest.approx(NON_TORCH_GIB[2] + (context_gib("h100-80gb") if counted else 0.0))


def test_a_context_grows_with_the_threads_that_may_be_resident():
    """An H100 keeps stacks for 132 x 2,048 threads, a T4 for 40 x 1,024: 6.6 times as much."""
    assert context_gib("h100-80gb") / context_gib("t4") == pytest.approx(132 * 2048 / (40 * 1024))
    # A V0 log on an RTX 3090 has 0.35 GiB outside PyTorch, of which 0.13 are others.
    assert context_gib("rtx-3090") + NON_TORCH_GIB[1] == pytest.approx(0.35, abs=0.25)
    assert context_gib("a card nobody knows") == 0.5
