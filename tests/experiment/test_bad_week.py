"""A week with an API outage of 45 minutes and a node failure, against the same week without."""

from __future__ import annotations

import numpy as np
import pytest

import simulator
from simulator.experiment.checks import load_checked

HOUR_S = 3600.0
OUTAGE = 34 * HOUR_S, 34 * HOUR_S + 45 * 60  # Tuesday 10:00 of a week that starts on a Monday
FAILURE = 86 * HOUR_S, 90 * HOUR_S  # Thursday 14:00


@pytest.fixture(scope="module")
def results():
    return simulator.run(load_checked("scenarios/resilience/bad_week.yaml"), band=False, outlook=False)


def during(rows, stretch, slack_s=0.0):
    return rows["arrival_s"].between(stretch[0] - slack_s, stretch[1] + slack_s)


def test_every_request_of_both_weeks_ends_once_and_for_a_reason(results):
    bad, good = results.pattern("hybrid").requests, results.pattern("no_faults").requests
    assert bad.arrived == good.arrived > 30_000
    for counts in (bad, good):
        outcomes = (counts.completed, counts.rejected, counts.timed_out, counts.cancelled, counts.unfinished)
        assert sum(outcomes) == counts.arrived
        assert sum(counts.lost.values()) == counts.rejected + counts.timed_out
    rows = results.tables.requests("hybrid")
    moved = rows["backend"].astype(str) != rows["target"].astype(str)
    assert (rows.loc[moved & (rows["outcome"] == "completed"), "failed_over"] != "none").all()
    assert bad.failed_over["fault"] == int((rows["failed_over"] == "fault").sum()) > 50


def test_the_outage_moves_the_letters_and_the_failure_loses_the_notes(results):
    rows = results.tables.requests("hybrid")
    letters, notes = (rows[rows["workload"] == name] for name in ("letters", "notes"))
    down = letters[during(letters, OUTAGE, -60.0)]
    assert len(down) > 30
    assert (down["outcome"] == "completed").all()
    assert (down["backend"] == "cluster").all()
    assert (down["failed_over"] == "fault").all()
    broken = notes[during(notes, FAILURE, -60.0)]
    assert len(broken) > 1000
    assert (broken["outcome"] == "rejected").all()
    assert (broken["lost"] == "fault").all()
    # The week ends while a note is being written.
    assert set(notes[~during(notes, FAILURE, 900.0)]["outcome"]) <= {"completed", "unfinished"}
    assert notes["outcome"].eq("unfinished").sum() < 10


def test_availability_and_p99_move_where_they_should_and_nowhere_else(results):
    bad, good = (results.pattern(name).workloads for name in ("hybrid", "no_faults"))
    assert good["notes"].availability == good["letters"].availability == 1.0
    assert bad["letters"].availability == 1.0
    # What is still open at the end is neither.
    ended = bad["notes"].requests.arrived - bad["notes"].requests.unfinished
    lost = bad["notes"].requests.rejected / ended
    assert bad["notes"].availability == pytest.approx(1.0 - lost)
    assert 0.01 < lost < 0.2
    assert bad["notes"].goodput < good["notes"].goodput
    # Letters in the outage first wait for the client's two retries, at least 0.75 x (0.5 + 1) s.
    timeline = results.pattern("hybrid").timeline
    by_interval = timeline.workloads["letters"].ttft_p99_s
    first = int(OUTAGE[0] / timeline.interval_s)
    assert min(by_interval[first : first + 3]) > 1.125
    assert max(by_interval[first : first + 3]) > bad["letters"].latency["ttft_s"].p95
    # They are a third of a percent, which leaves the p99 of the week where it was.
    assert bad["letters"].latency["ttft_s"].p99 == pytest.approx(good["letters"].latency["ttft_s"].p99, rel=0.05)
    assert bad["notes"].latency["ttft_s"].p99 == pytest.approx(good["notes"].latency["ttft_s"].p99, rel=0.3)


def test_the_timeline_adds_up_and_its_plot_shows_both_incidents(results):
    result = results.pattern("hybrid")
    for name, counts in result.timeline.workloads.items():
        requests = result.workloads[name].requests
        assert sum(counts.arrived) == requests.arrived
        assert sum(counts.lost) == requests.rejected + requests.timed_out
        assert sum(counts.failed_over) == sum(requests.failed_over.values())
    serving = np.array(result.timeline.serving["cluster"])
    assert serving[[0, 87, 89, 120]].tolist() == [2.0, 0.0, 0.0, 2.0]
    assert [one.cause for one in result.timeline.incidents] == ["outage", "node failure"]
    drawn = results.plot.timeline("hybrid")
    assert [shape.x0 for shape in drawn.layout.shapes] == ["2026-04-07T10:00:00", "2026-04-09T14:00:00"]
    assert {line.name for line in drawn.data} == {"notes, lost", "letters, served by another backend"}
    assert results.plot.timeline("no_faults") is None
