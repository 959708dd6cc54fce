from __future__ import annotations

from simulator.report.warnings import warnings_about
from tests.experiment.small import small


def test_settings_beyond_the_measured_range_are_flagged():
    inside = small()
    cluster = "hosting_patterns.rented.cluster.engine"
    beyond = small(
        {
            f"{cluster}.max_num_seqs": 2000,
            f"{cluster}.max_num_batched_tokens": 16_384,
            f"{cluster}.max_model_len": 16_384,
        }
    )
    assert not [line for line in warnings_about(inside, ["rented"]) if "measured for" in line]
    found = [line for line in warnings_about(beyond, ["rented"]) if "measured for" in line]
    assert [line.split(": ")[1].split()[0] for line in found] == [
        "max_num_seqs",
        "max_num_batched_tokens",
        "max_model_len",
    ]
    assert all("straight lines" in line for line in found)
