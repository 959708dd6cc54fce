"""What is said beside a verdict of a queue that is full at the end alone."""

from __future__ import annotations

import pytest

import simulator
from tests.experiment.small import small

ALONE = {
    "kind": "self_hosted",
    "cluster": {"model": "llama-3.1-8b", "gpu": "l40s", "engine": {"max_num_seqs": 1}},
    "costs": {"compute": {"kind": "rental", "gpu_hour": "1 USD/h"}},
}


@pytest.mark.parametrize("day", ["mon", "sun"])
def test_what_comes_on_the_last_day_alone_and_is_not_started_is_said(day):
    """One request at a time, of two thousand tokens; on one day of the week more come than it has time for.

    By hand: what came less what a day has time for still waits, where that day is the last, and no other day tells.
    """
    load = {"volume": {"requests_per_month": 13_000}, "days": [day], "prompt_tokens": 100, "output_tokens": 2000}
    settings = {"horizon.duration": "7d", "workloads": {"notes": load}, "hosting_patterns": {"alone": ALONE}}
    found = simulator.run(small(settings | {"experiment.replications": 1}), band=False, tables=False)
    one = found.pattern("alone")
    said = [text for text in found.decision.take_care if "left waiting" in text]
    takes_s = one.latency["itl_s"].mean * 1999
    excess = one.requests.arrived - 86_400.0 / takes_s
    assert excess > 0.05 * one.requests.arrived
    if day == "mon":
        assert said == []
    else:
        assert one.saturation != "overloaded"
        assert one.drift.waiting == pytest.approx(excess, rel=0.05)
        [text] = said
        assert text.startswith(f"alone: {one.drift.waiting:,.0f} requests left waiting at the end, of ")


def test_what_is_collected_for_the_next_file_is_meant_to_wait():
    """Files go out two days apart, so that what came since the last one is more than a day's requests."""
    batch = {"kind": "batch", "submit_every": "50h", "turnaround": "1h"}
    api = {"model": "azure/gpt-4.1", "deployment": batch, "limits": {}}
    load = {"volume": {"requests_per_month": 3000}, "prompt_tokens": 100, "output_tokens": 20}
    patterns = {"api": {"kind": "metered_api", "api": api}}
    settings = {"horizon.duration": "7d", "workloads": {"notes": load}, "hosting_patterns": patterns}
    found = simulator.run(small(settings | {"experiment.replications": 1}), band=False, tables=False)
    assert not any("left waiting" in text for text in found.decision.take_care)
    assert found.pattern("api").drift.waiting > 10
