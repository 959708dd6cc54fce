"""What is made with known settings is found again; what is found is a workload a scenario may have."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.scenario.fragment import fragment_text, load_demand
from simulator.scenario.workloads import SyntheticWorkload
from simulator.trace.request_table import RequestTable
from simulator.units import DAY_S, HOUR_S, WEEK_S, parse_duration_s
from simulator.workload.clumping import fit_clumping
from simulator.workload.dispersion import Demand, dispersion_about, gap_variation
from simulator.workload.fit import fit_workload, lengths, rank_correlation
from simulator.workload.lengths import mean_tokens
from simulator.workload.synthesis import synthesise
from tests.workload.clinic import scenario, source


def made(weeks=1, seed=3, start="2027-03-01", **shape):
    demand = scenario({"start": start, "duration": f"{weeks}w"}, seed, notes=source(**shape))
    return synthesise(demand, 0)


def learned(table, span_s, begins_s=0.0):
    return fit_workload(table, span_s, begins_s).workload


def test_bursts_are_found_again():
    shape = {"kind": "poisson", "burst_mean": 4, "burst_spacing": "5s"}
    found = learned(made(volume={"requests_per_month": 40_000}, arrivals=shape), WEEK_S)["arrivals"]
    assert found["kind"] == "poisson"
    assert found["burst_mean"] == pytest.approx(4, rel=0.15)
    assert parse_duration_s(found["burst_spacing"]) == pytest.approx(5, rel=0.3)


def test_trains_of_a_program_are_found_again():
    shape = {"kind": "on_off", "train_mean": 60, "gap": "200ms", "gap_variation": 1.5, "idle_sigma": 0.5}
    found = learned(made(volume={"requests_per_month": 300_000}, arrivals=shape), WEEK_S)["arrivals"]
    assert found["kind"] == "on_off"
    assert found["train_mean"] == pytest.approx(60, rel=0.15)
    assert parse_duration_s(found["gap"]) == pytest.approx(0.2, rel=0.1)
    assert found["gap_variation"] == pytest.approx(1.5, rel=0.1)
    assert found["idle_sigma"] == pytest.approx(0.5, abs=0.15)


def test_a_swinging_rate_is_found_again():
    # Days without a profile: the rate may swing for hours.
    table = made(volume={"requests_per_month": 2_000_000}, rate_variation={"sigma": 0.3, "time_constant": "10min"})
    found = learned(table, WEEK_S, None)
    assert "arrivals" not in found
    assert found["rate_variation"]["sigma"] == pytest.approx(0.3, abs=0.03)
    assert parse_duration_s(found["rate_variation"]["time_constant"]) == pytest.approx(600, rel=0.25)


def test_people_who_send_on_their_own_have_nothing_to_find():
    found = learned(made(weeks=4, volume={"requests_per_month": 40_000}, profile="radiology_anomaly"), 4 * WEEK_S)
    assert found.keys().isdisjoint({"arrivals", "rate_variation"})
    assert found["day_variation"] < 0.04  # 1,300 requests a day, 21 degrees of freedom: four standard errors


def test_days_profile_and_volume_are_found_again():
    shape = {"profile": "clinical_documentation", "volume": {"requests_per_month": 60_000}, "day_variation": 0.15}
    table = made(weeks=12, days=["mon", "tue", "wed", "thu", "fri"], **shape)
    found = learned(table, 12 * WEEK_S)
    assert found["days"] == ["mon", "tue", "wed", "thu", "fri"]
    assert found["volume"]["requests_per_month"] == pytest.approx(len(table) / 12 / 168 * 730, rel=1e-3)
    assert found["day_variation"] == pytest.approx(0.15, abs=0.04)  # 55 degrees of freedom: 10 % and a little
    again = made(weeks=12, **found)
    hours = [np.histogram(one.arrival_s % WEEK_S, 168, (0, WEEK_S))[0] for one in (table, again)]
    busy = hours[0] > 100
    assert (
        np.abs(hours[1][busy] / hours[0][busy] - 1).mean() < 0.12
    )  # days swing by 0.15 / sqrt(12) = 0.04 on each side
    assert (hours[1][120:] == 0).all()


def test_when_the_trace_begins_in_the_week_is_respected():
    table = made(volume={"requests_per_month": 200_000}, profile="prior_auth_appeals", start="2027-03-01")
    found = learned(table, WEEK_S, 2 * DAY_S)  # recorded from Wednesday on: its Tuesday is our Thursday
    assert found["days"] == ["thu", "fri", "sat"]


def test_less_than_a_day_or_an_unknown_beginning_has_no_profile():
    table = made(volume={"requests_per_month": 200_000})
    for span_s, begins_s in ((WEEK_S, None), (HOUR_S, 0.0)):
        short = table.arrival_s < span_s
        part = table.rows(short)
        result = fit_workload(part, span_s, begins_s)
        assert result.workload["profile"] == "flat"
        assert any(note.startswith("profile: flat, not learned") for note in result.notes)
        assert result.workload["volume"]["requests_per_month"] == pytest.approx(200_000, rel=0.15)


def test_prefixes_are_as_often_met_again():
    shape = {"shared_prefix": {"tokens": 200, "variants": 40, "share": 0.6}, "volume": {"requests_per_month": 4_000}}
    table = made(**shape)
    found = learned(table, WEEK_S)["shared_prefix"]
    assert found["tokens"] == 200
    assert found["share"] == pytest.approx(0.6, abs=0.05)
    assert found["variants"] == pytest.approx(40, abs=3)


def test_prefixes_that_begin_with_others_are_learned_level_by_level():
    levels = [{"tokens": 100, "variants": 3}, {"tokens": 40, "variants": 4, "share": 0.5},
              {"tokens": 7, "variants": 2, "share": 0.6}]  # fmt: skip
    table = made(shared_prefix=levels, volume={"requests_per_month": 8_000},
                 prompt_tokens={"kind": "lognormal", "median": 2000, "sigma": 0.1})  # fmt: skip
    found = learned(table, WEEK_S)["shared_prefix"]
    assert [one["tokens"] for one in found] == [100, 40, 7]
    assert [one["variants"] for one in found] == [3, 4, 2]
    assert [one["share"] for one in found] == pytest.approx([1.0, 0.5, 0.6], abs=0.05)


@settings(max_examples=60)
@given(st.lists(st.integers(1, 200_000), min_size=10, max_size=3000), st.integers(0, 5))
def test_lengths_keep_the_mean_and_show_nobody(tokens, copies):
    tokens = np.array(tokens * (copies + 1), np.int32)
    found = lengths(tokens)
    if found["kind"] == "constant":
        assert found["tokens"] == max(round(float(tokens.mean())), 1)
        return
    workload = SyntheticWorkload.model_validate(source(prompt_tokens=found))
    # Each of a few hundred values is rounded to a whole token.
    assert mean_tokens(workload.prompt_tokens) == pytest.approx(tokens.mean(), abs=0.6, rel=1e-3)
    assert min(found["weights"]) * len(tokens) / 1000 >= 4.99
    assert found["values"] == sorted(set(found["values"]))


@pytest.mark.parametrize("correlation", [-0.4, 0.0, 0.67])
def test_correlation_is_that_of_the_normals_behind(correlation):
    shape = {
        "prompt_tokens": {"kind": "lognormal", "median": 900, "sigma": 0.8},
        "output_tokens": {"kind": "lognormal", "median": 300, "sigma": 1.2},
        "correlation": correlation,
    }
    table = made(volume={"requests_per_month": 40_000}, **shape)
    assert rank_correlation(table.prompt_tokens, table.output_tokens) == pytest.approx(correlation, abs=0.03)
    assert rank_correlation(table.prompt_tokens, np.full(len(table), 5, np.int32)) == 0.0


@settings(max_examples=40)
@given(
    arrival_s=st.lists(st.floats(0, 0.999), min_size=1, max_size=400),
    span_s=st.sampled_from([10.0, HOUR_S, 3 * DAY_S, 20 * DAY_S]),
    begins_s=st.sampled_from([None, 0.0, 5.3 * DAY_S]),
    seed=st.integers(0, 99),
)
def test_whatever_was_recorded_gives_a_valid_fragment(tmp_path_factory, arrival_s, span_s, begins_s, seed):
    size, rng = len(arrival_s), np.random.default_rng(seed)
    prompt, output = (rng.integers(1, 9000, size, dtype=np.int32) for _ in range(2))
    table = RequestTable(
        ("notes",), np.sort(np.array(arrival_s)) * span_s, np.zeros(size, np.int16), prompt, output,
        np.full(size, 9000, np.int32), rng.integers(-1, 3, size, dtype=np.int32), np.zeros(size, np.int32),
        np.full(size, 3, np.int8),
    )  # fmt: skip
    found = fit_workload(table, span_s, begins_s)
    path = tmp_path_factory.mktemp("fit") / "f.yaml"
    path.write_text(fragment_text(["one", ""], {"notes": (found.workload, found.notes)}))
    read = load_demand(path).workloads["notes"]
    assert read == SyntheticWorkload.model_validate(found.workload)


def test_dispersion_of_what_is_known():
    rng = np.random.default_rng(5)
    demand = Demand(np.array([0.0, 1e5]), np.array([0.0, 2e5]))
    independent = np.sort(rng.uniform(0, 1e5, 200_000))
    pairs = np.sort(np.repeat(rng.uniform(0, 1e5, 100_000), 2))
    for window_s in (0.5, 10.0, 1000.0):
        few = np.sqrt(2 * window_s / 1e5) * 5
        assert dispersion_about(independent, demand, window_s) == pytest.approx(1, abs=0.02 + few)
        assert dispersion_about(pairs, demand, window_s) == pytest.approx(2, abs=0.04 + 2 * few)
    assert gap_variation(independent, 100.0) == pytest.approx(1, abs=0.05)
    assert gap_variation(np.arange(1000.0), 100.0) == 0.0
    assert np.isnan(gap_variation(np.arange(3.0), 100.0))


def test_too_few_requests_say_nothing_about_clumping():
    few = np.sort(np.random.default_rng(1).uniform(0, 1e4, 100))
    assert fit_clumping(few, Demand(np.array([0.0, 1e4]), np.array([0.0, 100.0])), 1e3).burst_mean == 1.0
