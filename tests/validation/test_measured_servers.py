"""Real servers, replayed: the errors we promise. The measurements are not part of the repository."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.bench.measurements import read_measurements
from simulator.bench.validate import compare_all, derived_profile
from tests.parts import MEASUREMENTS

pytestmark = [pytest.mark.slow, pytest.mark.needs("measurements")]


@pytest.fixture(scope="module")
def rows():
    # As the command does: the p99 of one draw of arrivals is two or three per cent from that of another.
    collection = read_measurements(MEASUREMENTS, ("A", "A-"))
    collection.experiments = [one for one in collection.experiments if one.kind == "open"]
    return compare_all(collection.experiments)[0]


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


@pytest.mark.parametrize("gpus", [("a100-80gb", "l40s"), ("h100-80gb",)], ids="+".join)
@pytest.mark.parametrize(
    ("metric", "median"), [("itl_mean_s", 0.03), ("e2e_mean_s", 0.03), ("e2e_p99_s", 0.06), ("ttft_mean_s", 0.06)]
)
def test_medians_hold_on_every_kind_of_gpu(gpus, metric, median, rows):
    own = [row for row in rows if row.experiment.gpu in gpus and not row.saturated]
    assert np.median(errors(own, metric)) <= median


def test_the_wait_for_a_first_token_has_the_tail_that_it_has_on_every_gpu(rows):
    """On A100 a step with a prompt in it loses the packed attention of its decodes: without that, 13 % short there."""
    own = [row for row in rows if row.experiment.gpu in ("a100-80gb", "l40s") and not row.stage.starts_up]
    assert len(own) == 3
    assert np.all(errors(own, "ttft_p99_s") <= 0.06)
    a100 = [row for row in own if row.experiment.gpu == "a100-80gb"]
    assert np.median(errors(a100, "e2e_p99_s")) <= 0.042  # AISimulate's


def test_prompts_that_come_all_at_once_take_an_a100_as_long():
    """Nothing is fitted on bursts; with decodes packed beside prompts they come out 21 to 33 % short."""
    bursts = [
        one for one in read_measurements(MEASUREMENTS, ("A",)).experiments
        if one.kind == "burst" and one.gpu == "a100-80gb" and one.prompt_tokens >= 1900
    ]  # fmt: skip
    found = errors(compare_all(bursts, replications=1)[0], "itl_mean_s")
    assert len(found) == 3
    assert np.all(found <= 0.22)
    assert np.median(found) <= 0.20


def test_a_further_sequence_costs_what_it_costs(rows):
    """Slope of the inter-token time against requests in flight (Little's law), between two loads on one A100."""
    for name in ("blis-36", "blis-38"):
        low, high = sorted((row for row in rows if row.experiment.name == name), key=lambda row: row.stage.rate_per_s)

        def slope(values, low=low, high=high):
            return (values(high)["itl_mean_s"] - values(low)["itl_mean_s"]) / (
                high.stage.rate_per_s * values(high)["e2e_mean_s"] - low.stage.rate_per_s * values(low)["e2e_mean_s"]
            )

        assert slope(lambda row: row.simulated) == pytest.approx(slope(lambda row: row.stage.measured), rel=0.12)


@pytest.mark.needs("kernel tables")
def test_one_request_at_a_time_lies_in_the_band_in_every_format():
    """Qwen2.5 shapes of 14B and 32B, vLLM 0.7.2; shapes long enough for latencies printed to 0.1 s."""
    lone = [
        one
        for one in read_measurements(MEASUREMENTS, ("B",)).experiments
        if one.name.startswith("rh") and one.kind == "closed" and one.output_tokens >= 256 and one.tensor_parallel == 1
    ]
    found, _ = compare_all(lone, derive=derived_profile, replications=1)
    for quantisation, most in (("bf16", 0.05), ("int8", 0.08), ("fp8", 0.08), ("w4a16", 0.08)):
        own = [row for row in found if row.experiment.quantisation == quantisation]
        assert len(own) >= 8
        assert all(row.in_band("e2e_mean_s") for row in own), quantisation
        assert np.median(errors(own, "e2e_mean_s")) <= most


def test_no_quiet_server_is_far_off_on_the_mean(rows):
    """One row misses 12 %: Llama-2-7B near its limit (14 %), where a step 1 % longer makes the whole 5 % longer.

    Another measures 13 % above four runs of the same, and lies 12 % off.
    """
    quiet = [row for row in rows if not row.saturated and "e2e_mean_s" in row.metrics()]
    far = {row.stage.row for row in quiet if abs(row.error("e2e_mean_s")) > 0.12}
    assert far <= {"blis-20260217-231439-llama-2-7b-tp1-general-s1", "blis-22-s1"}


def test_most_measured_steps_lie_within_the_bands_we_publish(rows):
    inside = [row.in_band("itl_mean_s") for row in rows if not row.saturated and "itl_mean_s" in row.metrics()]
    assert np.mean(inside) > 0.8
