"""Steps of a mixture of experts beside timings of another, on which nothing here was fitted."""

from __future__ import annotations

import pytest

from simulator.performance.architecture import known_model
from simulator.performance.operator_tables import import_profile
from simulator.performance.profile import read_profile
from simulator.performance.step_time import ProfiledStepTime
from tests.parts import MEASUREMENTS

FOLDER = MEASUREMENTS.parent / "llmservingsim" / "profiles" / "RTXPRO6000" / "Qwen" / "Qwen3-30B-A3B-Instruct-2507"
#: Sequences, their context, and tokens of a prompt.
STEPS = [
    (1, 700, 0), (4, 700, 0), (16, 700, 0), (32, 700, 0), (64, 700, 0), (128, 700, 0), (256, 1500, 0), (0, 0, 512),
    (0, 0, 2048), (16, 700, 512), (64, 700, 2048),
]  # fmt: skip


@pytest.mark.needs("measurements")
def test_steps_of_qwen3_30b_a3b_on_rtx_pro_6000():
    """Kernels timed one by one under vLLM 0.24, and a served model's operators under 0.19: all but one within 6 %."""
    theirs = import_profile(FOLDER / "bf16", known_model("qwen3-30b-a3b"), "rtx-pro-6000")
    ours = read_profile("qwen3-30b-a3b-bf16-rtx-pro-6000-x1")
    both = [ProfiledStepTime(one, 256, 8192) for one in (ours, theirs)]
    ratios = []
    for sequences, context, chunk in STEPS:
        chunks = [(chunk, 0)] if chunk else []
        mine, other = (one.step_s(sequences, sequences * context, chunks) for one in both)
        ratios.append(mine / other)
    off = sorted(abs(ratio - 1.0) for ratio in ratios)
    assert off[len(off) // 2] < 0.03
    assert off[-2] < 0.07
    assert off[-1] < 0.20
