import subprocess
import sys

import numpy as np
import pytest

from simulator.errors import SimulatorError
from simulator.workload.profiles import hour_of_week, profile_names, unknown_profile

NAMES = {
    "around_the_clock", "business_hours", "chart_review", "clinical_documentation", "discharge", "discharge_summary",
    "flat", "overnight",
    "patient_messages", "prior_auth_appeals", "radiology_anomaly",
}  # fmt: skip


def test_what_is_shipped():
    assert set(profile_names()) == NAMES
    for name in NAMES:
        shape = hour_of_week(name)
        assert shape.shape == (7, 24)
        assert shape.min() >= 0
        assert shape.sum() == pytest.approx(1.0)


def test_names_cost_no_numpy():
    code = "import sys; from simulator.workload.profiles import profile_names; profile_names(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "pandas", "scipy"} & set(loaded)


def test_an_unknown_name_suggests_the_nearest():
    assert unknown_profile("flat") is None
    assert "'radiology_anomaly'" in str(unknown_profile("radiology_anomly"))
    with pytest.raises(SimulatorError, match="did you mean 'patient_messages'"):
        hour_of_week("patient_mesages")


def test_a_table_is_taken_as_it_is():
    table = [[0.0] * 24 for _ in range(7)]
    table[2][9], table[2][10] = 1.0, 3.0
    shape = hour_of_week(table)
    assert (shape[2, 9], shape[2, 10]) == (0.25, 0.75)


@pytest.mark.parametrize("table", [[[1.0] * 24] * 6, [[0.0] * 24] * 7])
def test_a_table_must_be_a_week_with_some_demand(table):
    with pytest.raises(SimulatorError, match="seven rows"):
        hour_of_week(table)


def test_documentation_keeps_clinic_hours():
    """Outside 8-18 h below Arndt 2017's 24.2 % of weekday record time; Friday below the other weekdays."""
    weekdays = hour_of_week("clinical_documentation")[:5]
    outside = 1.0 - weekdays[:, 8:18].sum() / weekdays.sum()
    assert 0.10 < outside < 0.242
    assert weekdays[4].sum() < 0.9 * weekdays[:4].sum(axis=1).min()


def test_appeals_are_sent_on_tuesday_to_thursday():
    shape = hour_of_week("prior_auth_appeals")
    assert shape[[0, 4, 5, 6]].sum() == 0.0
    np.testing.assert_allclose(shape[1:4].sum(axis=1), 1 / 3)
    assert shape[:, 8:18].sum() == pytest.approx(0.977, abs=0.001)


def test_radiology_never_sleeps():
    """Peak over mean 2.20, nights (22-06 h) 13.7 %, weekends 18.7 %: derived from Carroll 2003 and Bruls 2020."""
    shape = hour_of_week("radiology_anomaly")
    assert shape.min() > 0
    assert shape.max() * 168 == pytest.approx(2.20, abs=0.03)
    assert shape[:, [22, 23, 0, 1, 2, 3, 4, 5]].sum() == pytest.approx(0.137, abs=0.004)
    assert shape[5:].sum() == pytest.approx(0.187, abs=0.004)


def test_messages_peak_on_monday_morning():
    shape = hour_of_week("patient_messages")
    assert np.unravel_index(shape.argmax(), shape.shape) == (0, 10)
    assert shape[:5, 8:18].sum() == pytest.approx(0.62, abs=0.01)


def test_patients_leave_when_they_did_in_florida():
    """13.0 % before noon, 42.2 % before 15:00, median hour 15 (202 hospitals, 2010-18)."""
    day = np.cumsum(hour_of_week("discharge").sum(axis=0))
    assert day[11] == pytest.approx(0.130, abs=5e-4)
    assert day[14] == pytest.approx(0.422, abs=5e-4)
    assert np.searchsorted(day, 0.5) == 15


def test_discharge_summaries_precede_the_discharge():
    """Median discharge hour 15 (202 Florida hospitals); most summaries are asked for before that."""
    day = hour_of_week("discharge_summary").sum(axis=0)
    assert int(day.argmax()) in (13, 14)
    assert np.searchsorted(np.cumsum(day), 0.5) < 15
