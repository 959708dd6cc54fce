import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import chisquare, gamma

from simulator.errors import ScenarioError
from simulator.units import WEEK_S
from simulator.workload.arrivals import day_multipliers, draw_arrivals
from simulator.workload.profiles import hour_of_week
from tests.workload.clinic import APRIL, WEEK, WEEKDAYS_ONLY, expected, scenario, source

BATCHES = {"kind": "batches", "every": "30min", "spacing": "1s", "size_sigma": 0.6}


def draw(calendar, requests, replication=0, **settings):
    workload = scenario(notes=source(**settings)).workloads["notes"]
    purposes = ("days", "arrivals", "rate")
    rngs = {purpose: np.random.default_rng([replication, number]) for number, purpose in enumerate(purposes, 1)}
    return np.concatenate(list(draw_arrivals(workload, requests, calendar.cells, rngs.__getitem__)))


def totals(settings, horizon=WEEK, replications=40):
    calendar, requests = expected(horizon, **settings)
    counts = np.array([len(draw(calendar, requests, replication, **settings)) for replication in range(replications)])
    return requests.sum(), counts


@settings(max_examples=40)
@given(
    arrivals=st.sampled_from(
        [{"kind": "poisson"}, {"kind": "poisson", "burst_mean": 8, "burst_spacing": "10min"}, BATCHES]
    ),
    variation=st.floats(0, 1),
    volume=st.floats(0.01, 20_000),
    replication=st.integers(0, 1000),
)
def test_arrivals_ascend_inside_the_horizon(arrivals, variation, volume, replication):
    shape = {"arrivals": arrivals, "day_variation": variation, "volume": {"requests_per_month": volume}}
    calendar, requests = expected(WEEK, **shape)
    times = draw(calendar, requests, replication, **shape)
    assert (np.diff(times) >= 0).all()
    assert times.size == 0 or (times[0] >= 0 and times[-1] < 7 * 86_400)


def test_the_number_of_requests_is_poisson():
    mean, counts = totals({"profile": "radiology_anomaly", "volume": {"scans_per_month": 20_000}}, replications=60)
    assert counts.mean() == pytest.approx(mean, abs=4 * np.sqrt(mean / 60))
    assert 0.4 < counts.var(ddof=1) / mean < 1.9  # chi-square, 59 degrees of freedom, beyond 4 sigma


@pytest.mark.parametrize(
    "settings",
    [
        {"arrivals": {"kind": "poisson", "burst_mean": 5}},
        {"arrivals": BATCHES},
        {"arrivals": BATCHES, "profile": "prior_auth_appeals"},
        {"day_variation": 0.3, "profile": "clinical_documentation"},
    ],
)
def test_bursts_batches_and_days_keep_the_mean(settings):
    mean, counts = totals({"volume": {"requests_per_month": 20_000}, **settings})
    assert counts.mean() == pytest.approx(mean, abs=4 * counts.std(ddof=1) / np.sqrt(len(counts)))


def test_bursts_have_the_mean_size_and_gap_they_should():
    settings = {"arrivals": {"kind": "poisson", "burst_mean": 4, "burst_spacing": "5s"}}
    calendar, requests = expected(APRIL, volume={"requests_per_month": 3000}, **settings)
    gaps_s = np.concatenate([np.diff(draw(calendar, requests, seed, **settings)) for seed in range(5)])
    inside = gaps_s[gaps_s < 60]  # bursts lie about an hour apart
    heads = len(gaps_s) - len(inside)
    assert len(gaps_s) / heads == pytest.approx(4, rel=0.06)
    assert inside.mean() == pytest.approx(5, rel=0.08)


def test_day_multipliers_have_mean_one():
    draws = day_multipliers(0.3, 200_000, np.random.default_rng(6))
    assert draws.mean() == pytest.approx(1.0, abs=4 * draws.std() / np.sqrt(len(draws)))
    assert np.log(draws).std() == pytest.approx(0.3, rel=0.01)
    assert (day_multipliers(0.0, 5, np.random.default_rng(6)) == 1.0).all()


def test_a_day_is_multiplied_as_a_whole():
    settings = {"day_variation": 0.5, "volume": {"requests_per_month": 200_000}}
    calendar, requests = expected(APRIL, **settings)
    per_day = np.histogram(draw(calendar, requests, **settings), bins=30, range=(0, 30 * 86_400))[0]
    ratio = np.log(per_day * 30 / 200_000)
    assert 0.25 < ratio.std(ddof=1) < 0.85


@pytest.mark.parametrize("profile", ["clinical_documentation", "radiology_anomaly", "patient_messages"])
def test_arrivals_have_the_shape_of_the_profile(profile):
    settings = {"profile": profile, "volume": {"requests_per_month": 40_000}}
    calendar, requests = expected(WEEK, **settings)
    hours = (draw(calendar, requests, **settings) // 3600).astype(int)
    seen = np.bincount(hours, minlength=168)
    shape = hour_of_week(profile).ravel()
    common = shape * seen.sum() >= 5  # the chi-square needs a few in each cell
    assert chisquare(seen[common], shape[common] / shape[common].sum() * seen[common].sum()).pvalue > 1e-4


def test_a_weekday_workload_has_no_weekend():
    settings = {"profile": "clinical_documentation", "days": WEEKDAYS_ONLY, "volume": {"requests_per_month": 50_000}}
    calendar, requests = expected(WEEK, **settings)
    assert draw(calendar, requests, **settings).max() < 5 * 86_400


def test_batches_are_released_on_time_and_sent_back_to_back():
    settings = {"profile": "prior_auth_appeals", "arrivals": BATCHES, "volume": {"denials_per_month": 4000}}
    calendar, requests = expected(WEEK, **settings)
    times = draw(calendar, requests, **settings)
    assert set((times // 86_400).astype(int).tolist()) == {1, 2, 3}  # Tuesday to Thursday
    heads = times[np.diff(times, prepend=-1e9) > 1.5]
    assert np.all(heads % 1800 == 0)
    assert np.all(np.isin(np.diff(times)[np.diff(times) < 1.5], [1.0]))
    hours = (times % 86_400) // 3600
    assert hours.min() >= 7
    assert hours.max() < 18


@pytest.mark.parametrize("every", ["25min", "1d", "36h", "10d"])
def test_batches_are_released_inside_the_active_hours_only(every):
    settings = {
        "profile": "prior_auth_appeals",
        "volume": {"denials_per_month": 500},
        "arrivals": {"kind": "batches", "every": every, "size_sigma": 0.0},
    }
    calendar, requests = expected(WEEK, **settings)
    times = draw(calendar, requests, **settings)
    heads = times[np.diff(times, prepend=-1e9) > 1.5]
    assert set((heads // 86_400).astype(int).tolist()) == {1, 2, 3}
    assert heads.min() % 86_400 == 7 * 3600
    assert ((heads % 86_400) // 3600).max() < 18


TRAINS = {"kind": "on_off", "train_mean": 30, "gap": "200ms", "idle_sigma": 0.8}
SWING = {"sigma": 0.4, "time_constant": "30min"}


@pytest.mark.parametrize(
    "settings",
    [
        {"arrivals": TRAINS},
        {"arrivals": TRAINS | {"idle_sigma": 0.0}, "profile": "prior_auth_appeals"},
        {"arrivals": TRAINS | {"clients": 7, "train_mean": 5}, "profile": "clinical_documentation"},
        {"rate_variation": SWING},
        {"rate_variation": SWING, "arrivals": BATCHES},
    ],
)
def test_trains_and_swings_keep_the_mean(settings):
    mean, counts = totals({"volume": {"requests_per_month": 20_000}, **settings}, replications=60)
    assert counts.mean() == pytest.approx(mean, abs=4 * counts.std(ddof=1) / np.sqrt(len(counts)))


def test_trains_have_their_size_and_gap_and_those_of_one_client_never_overlap():
    fastest = {}
    for clients in (1, 4):
        settings = {
            "arrivals": TRAINS | {"gap": "2s", "idle_sigma": 0.3, "clients": clients},
            "volume": {"requests_per_month": 300_000},
        }
        calendar, requests = expected(WEEK, **settings)
        gaps_s = np.diff(draw(calendar, requests, **settings))
        # Ten gaps of one train in 6 s are rare; two trains on top of each other make them less so.
        fastest[clients] = np.mean(np.convolve(gaps_s, np.ones(10), "valid") < 6.0) / gamma.cdf(6.0 / 2.0, 10)
        if clients == 1:
            # Some silences are too short to tell from a gap, so trains seem a little longer.
            assert len(gaps_s) / np.sum(gaps_s >= 20.0) == pytest.approx(30, rel=0.12)
            assert np.median(gaps_s) == pytest.approx(2.0 * np.log(2), rel=0.05)
    assert fastest[1] < 1.3
    assert fastest[4] > 3


def test_a_program_that_cannot_send_its_volume_is_refused():
    settings = {"arrivals": TRAINS | {"gap": "2min"}, "volume": {"requests_per_month": 30_000}}
    calendar, requests = expected(WEEK, **settings)
    with pytest.raises(ScenarioError, match="each client, which sends at most 0.00833"):
        draw(calendar, requests, **settings)


def test_a_swinging_rate_has_its_spread_and_its_time_constant():
    settings = {"rate_variation": SWING, "volume": {"requests_per_month": 2_000_000}}
    calendar, requests = expected(APRIL, **settings)
    counts = np.histogram(draw(calendar, requests, **settings), bins=30 * 24 * 12, range=(0, 30 * 86_400))[0]
    levels = np.log(counts * len(counts) / counts.sum())
    # Counts of about 230 add 1/230; windows of 5 minutes in 30 take off about 5 % of the variance.
    assert levels.std() == pytest.approx(0.4, abs=0.03)
    lag = np.corrcoef(levels[:-6], levels[6:])[0, 1]  # 30 minutes apart
    assert lag == pytest.approx(np.exp(-1), abs=0.08)


def test_slots_gather_requests_and_leave_every_hour_its_number():
    slots = {"minutes": [0, 20, 40], "spread": "4min"}
    shape = {"profile": "clinical_documentation", "volume": {"requests_per_month": 100_000}}
    calendar, requests = expected(WEEK, **shape)
    plain = draw(calendar, requests, **shape)
    gathered = draw(calendar, requests, **shape, arrivals={"kind": "poisson", "slots": slots})
    np.testing.assert_array_equal(*(np.histogram(one, 168, (0, WEEK_S))[0] for one in (plain, gathered)))
    from_slot = (gathered % 1200 + 600) % 1200 - 600
    assert np.abs(from_slot).max() <= 240
    assert from_slot.mean() == pytest.approx(0, abs=4 * 240 / np.sqrt(3 * len(gathered)))
    assert (np.diff(gathered) >= 0).all()


def test_a_client_keeps_at_most_so_many_open():
    client = {"concurrency": 8, "answer": "12s", "answer_sigma": 0.0}
    settings = {
        "profile": "prior_auth_appeals",
        "volume": {"denials_per_month": 8000},
        "arrivals": {"kind": "batches", "every": "30min", "client": client},
    }
    calendar, requests = expected(WEEK, **settings)
    times = draw(calendar, requests, **settings)
    open_at_once = np.searchsorted(times, times, side="right") - np.searchsorted(times, times - 11.999, side="left")
    assert open_at_once.max() == 8
    # A batch begins on the half hour, eight at a time, unless the one before is still being worked off.
    assert set(np.unique(times, return_counts=True)[1].tolist()) <= set(range(1, 9))
    assert np.mean(times % 1800 % 12 < 1e-6) > 0.99
    settings["arrivals"] = settings["arrivals"] | {"client": client | {"answer_sigma": 0.5}}
    spread = draw(calendar, requests, **settings)
    assert len(spread) == pytest.approx(len(times), rel=0.2)
    assert len(np.unique(spread)) > len(np.unique(times))


def test_a_client_and_a_steady_spacing_contradict():
    both = {"kind": "batches", "every": "1h", "spacing": "1s", "client": {"concurrency": 4, "answer": "20s"}}
    with pytest.raises(ValidationError, match="leave out spacing or client"):
        scenario(notes=source(arrivals=both))
