"""Real servers, replayed: the errors we promise. The measurements are not part of the repository."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.bench.measurements import read_measurements
from simulator.bench.validate import compare_all
from tests.parts import MEASUREMENTS

pytestmark = [pytest.mark.slow, pytest.mark.needs("measurements")]


@pytest.fixture(scope="module")
def rows():
    found, _ = compare_all(read_measurements(MEASUREMENTS, ("A", "A-")).experiments, replications=1)
    return [row for row in found if row.experiment.kind == "open"]


def errors(rows, metric):
    return np.array([abs(row.error(metric)) for row in rows if metric in row.metrics()])


@pytest.mark.parametrize(
    ("metric", "median", "least"),
    [("itl_mean_s", 0.04, 60), ("e2e_mean_s", 0.04, 60), ("e2e_p99_s", 0.08, 25), ("ttft_mean_s", 0.08, 60)],
)
def test_median_errors_on_open_load(metric, median, least, rows):
    found = errors(rows, metric)
    assert len(found) >= least
    assert np.median(found) <= median


def test_no_quiet_server_is_far_off_on_the_mean(rows):
    """One row misses 12 %: Llama-2-7B near its limit (14 %), where a step 1 % longer makes the whole 5 % longer.

    Another measures 13 % above four runs of the same, and lies 12 % off.
    """
    far = {row.stage.row for row in rows if not row.saturated and abs(row.error("e2e_mean_s")) > 0.12}
    assert far <= {"blis-20260217-231439-llama-2-7b-tp1-general-s1", "blis-22-s1"}


def test_most_measured_steps_lie_within_the_bands_we_publish(rows):
    inside = [row.in_band("itl_mean_s") for row in rows if not row.saturated and "itl_mean_s" in row.metrics()]
    assert np.mean(inside) > 0.8
