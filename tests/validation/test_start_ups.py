"""Start-ups of real vLLM servers: the KV tokens and verdicts we promise. The reports are not part of the repository."""

from __future__ import annotations

from statistics import median

import pytest

from simulator.bench.start_ups import document, hold, read_start_ups
from tests.parts import START_UPS


@pytest.mark.needs("measurements")
def test_kv_tokens_and_verdicts_of_public_start_ups():
    found, skipped = read_start_ups(START_UPS)
    said = document(hold(found), skipped)
    assert said["representable"] >= 37
    assert abs(said["median_ratio"] - 1) <= 0.03
    assert said["median_absolute_error"] <= 0.02
    assert said["worst_absolute_error"] <= 0.12
    assert said["wrong_verdicts"] == []


@pytest.mark.needs("measurements")
def test_one_reserve_for_all_would_not_do():
    """What it replaced: 2.0 GiB, whatever the settings; half the rows then lie more than 5 % off."""
    held = [one for one in hold(read_start_ups(START_UPS)[0]) if one.start_up.tokens]
    errors = []
    for one in held:
        if not one.capacity.plan.uniform:
            continue
        gib_per_token = one.capacity.kv_bytes_per_token / 2**30
        tokens = one.capacity.tokens + (one.capacity.reserve.gib - 2.0) / gib_per_token
        errors.append(abs(tokens / one.start_up.tokens - 1))
    assert median(errors) > 0.05
