"""The shipped traces are what their command makes, small, and as clinical as their profiles."""

from __future__ import annotations

import runpy
from dataclasses import fields

import numpy as np
import pytest

from simulator.bench.replay_record import read_replay
from simulator.trace.canonical import read_trace
from simulator.trace.header import read_header
from simulator.trace.request_table import RequestTable
from simulator.units import DAY_S, HOUR_S
from simulator.workload.profiles import hour_of_week
from simulator.workload.synthesis import synthesise
from tests.parts import ROOT
from tests.workload.clinic import scenario, source

TRACES = ROOT / "traces"
MAKER = runpy.run_path(str(ROOT / "tools" / "make_traces.py"))
MADE = MAKER["SHIPPED"]
#: As it was sent to a real server, of which the log is kept beside it.
SENT = "monday_five_minutes.csv"


def test_every_trace_has_a_command_that_makes_it():
    assert {path.name for path in TRACES.iterdir() if path.suffix in (".csv", ".parquet")} == {*MADE, SENT}


@pytest.mark.parametrize("name", sorted(MADE))
def test_a_trace_is_what_its_command_makes(name, tmp_path):
    MAKER["main"](tmp_path, only=name)
    kept, made = read_trace(TRACES / name), read_trace(tmp_path / name)
    for column in (one for one in fields(RequestTable) if one.name != "nesting"):
        # Not the bytes: those are the Parquet library's.
        np.testing.assert_array_equal(getattr(kept, column.name), getattr(made, column.name), column.name)
    assert (TRACES / name).stat().st_size < 1_000_000
    header = read_header(TRACES / name)
    assert header.licence == "Apache-2.0"
    assert header.week_offset_s == 0.0


def weekdays(name):
    """Requests by weekday, Monday first."""
    return np.bincount((read_trace(TRACES / f"{name}_week.parquet").arrival_s // DAY_S).astype(int), minlength=7)


def test_documentation_has_no_weekend_and_appeals_only_tuesday_to_thursday():
    assert (weekdays("clinical_documentation")[:5] > 1500).all()
    assert weekdays("clinical_documentation")[5:].tolist() == [0, 0]
    assert (weekdays("prior_auth_appeals")[1:4] > 300).all()
    assert weekdays("prior_auth_appeals")[[0, 4, 5, 6]].tolist() == [0, 0, 0, 0]


def test_synthetic_patients_leave_when_real_ones_do():
    """13.0 % before noon and 42.2 % before 15:00, of 202 hospitals in Florida."""
    demand = scenario(
        {"start": "2027-04-05", "duration": "4w"},
        discharges=source(profile="discharge", volume={"requests_per_month": 200_000}),
    )
    hour = synthesise(demand, 0).arrival_s % DAY_S / HOUR_S
    assert np.mean(hour < 12) == pytest.approx(0.130, abs=4 * np.sqrt(0.13 * 0.87 / len(hour)))
    assert np.mean(hour < 15) == pytest.approx(0.422, abs=4 * np.sqrt(0.422 * 0.578 / len(hour)))


@pytest.mark.parametrize("name", ["chart_review", "discharge_summary", "patient_messages", "radiology_anomaly"])
def test_a_week_has_the_shape_of_its_profile(name):
    """Shares by hour of the day within what days that stray, conversations and bursts explain."""
    seen = np.histogram(read_trace(TRACES / f"{name}_week.parquet").arrival_s % DAY_S, 24, (0, DAY_S))[0]
    wanted = hour_of_week(name).sum(axis=0) * seen.sum()
    # Conversations of four make counts vary seven times as much as independent requests.
    assert (np.abs(seen - wanted) < 4 * np.sqrt(7 * wanted) + 5).all()


def test_the_log_of_a_real_server_is_of_a_shipped_trace_and_lost_nothing():
    log = TRACES / "vllm_cpu_monday_five_minutes.json.gz"
    record, header = read_replay(log), read_header(TRACES / SENT)
    assert (record.trace.sha256, record.trace.sent) == (header.sha256, header.rows)
    assert header.week_offset_s == 9 * HOUR_S
    assert len(read_trace(TRACES / SENT)) == header.rows
    assert set(record.requests.outcome) == {"completed"}
    assert log.stat().st_size < 1_000_000
