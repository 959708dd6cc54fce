"""The same scenario at another volume asks so many times as much, however its volume is given."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.errors import ScenarioError
from simulator.scenario.scaling import scaled
from simulator.scenario.workloads import Volume
from simulator.workload.demand import demands
from tests.experiment.small import small

WAYS = [name for name in Volume.model_fields if name != "notes_per_day"]


@pytest.mark.parametrize("way", WAYS)
@given(factor=st.floats(0.01, 100.0))
def test_law_every_way_to_give_a_volume_grows_with_it(way, factor):
    volume = {"clinicians": 50, "notes_per_day": 12} if way == "clinicians" else {way: 5e6}
    scenario = small({"workloads.letters.volume": volume})
    before, after = demands(scenario), demands(scaled(scenario, factor))
    assert list(after) == ["notes", "letters"]
    for name, asked in after.items():
        for part in ("asked", "billed", "expected", "tokens"):
            assert getattr(asked, part) == pytest.approx(factor * getattr(before[name], part), rel=1e-9)
    # All else stays.
    assert scaled(scenario, factor).hosting_patterns == scenario.hosting_patterns
    assert scaled(scenario, factor).workloads["letters"].prompt_tokens == scenario.workloads["letters"].prompt_tokens


def test_every_recorded_workload_is_told_with_its_line():
    trace = {"trace": {"file": "traces/a.parquet"}}
    scenario = small({"workloads.letters": trace, "workloads.charts": trace})
    with pytest.raises(ScenarioError) as refused:
        scaled(scenario, 2.0)
    assert [fault.key for fault in refused.value.faults] == ["workloads.letters.trace", "workloads.charts.trace"]
    assert all("a recorded trace has the volume it has" in fault.message for fault in refused.value.faults)
