"""The volume at which a verdict is said to turn, against what the scenario says of it and against running it there."""

from __future__ import annotations

import pytest

from simulator.results import run
from simulator.scenario.scaling import scaled
from tests.experiment.small import small

#: Requests that are alike, so that which of them are slow hangs on the volume alone.
ALIKE = {
    "workloads.notes.prompt_tokens": {"kind": "constant", "tokens": 600},
    "workloads.notes.output_tokens": {"kind": "constant", "tokens": 100},
    "workloads.letters.prompt_tokens": {"kind": "constant", "tokens": 600},
    "workloads.notes.objectives": {"end_to_end": "60s", "share": 0.95},
    "experiment.replications": 2,
}
NAMES = ["api", "rented"]


def volume_bar(scenario):
    found = run(scenario, patterns=NAMES, tables=False).decision
    return found.recommended, next(bar for bar in found.tornado.bars if bar.factor == "volume")


def test_beyond_a_usage_tier_it_turns_where_one_in_twenty_is_slow():
    """A tier of 1.2 times the month's tokens: of 1.2 / 0.95 times as many 5 % are beyond it, and much too slow."""
    tokens = volume_bar(small(ALIKE))[1].base
    tier = {"tokens_per_month": 1.2 * tokens, "slowdown": 100.0}
    scenario = small(ALIKE | {"hosting_patterns.api.api.usage_tier": tier})
    recommended, bar = volume_bar(scenario)
    assert (recommended, bar.recommended_high) == ("api", "rented")
    turn = bar.flips_at / bar.base
    assert turn == pytest.approx(1.2 / 0.95, rel=0.03)
    # Run there, it keeps its limit just below, as measured, and just above no more.
    for factor, keeps in ((0.97 * turn, True), (1.03 * turn, False)):
        there = run(scaled(scenario, factor), patterns=["api"], tables=False, band=False, outlook=False)
        assert there.patterns[0].met_as_measured is keeps
