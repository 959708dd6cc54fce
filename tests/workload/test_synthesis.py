import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.errors import ScenarioError
from simulator.streams import stream
from simulator.trace.request_table import COLUMNS
from simulator.workload.synthesis import MOST_REQUESTS, refuse_too_many, synthesise
from tests.workload.clinic import APRIL, WEEK, scenario, source

NOTES = source(
    volume={"requests_per_month": 3000},
    profile="clinical_documentation",
    day_variation=0.1,
    prompt_tokens={"kind": "lognormal", "median": 2400, "sigma": 0.45},
    output_tokens={"kind": "lognormal", "median": 750, "sigma": 0.45},
    correlation=0.67,
    shared_prefix={"tokens": 1200, "variants": 5},
    max_tokens=1500,
)
SCANS = source(volume={"scans_per_month": 5000}, arrivals={"kind": "poisson", "burst_mean": 1.5}, priority=1)
LETTERS = source(profile="prior_auth_appeals", arrivals={"kind": "batches", "every": "30min"},
                 shared_prefix={"tokens": 100})  # fmt: skip
CHARTS = source(
    volume={"charts_per_month": 900},
    turns={"mean": 3, "think": {"median": "1min", "sigma": 1.0}},
    prompt_tokens={"kind": "lognormal", "median": 20_000, "sigma": 1.0},
    departments={"count": 3, "length_sigma": 0.5},
    rate_variation={"sigma": 0.5, "time_constant": "1h"},
)
AGENT = source(
    volume={"requests_per_month": 5000},
    arrivals={"kind": "on_off", "train_mean": 20, "gap": "1s", "clients": 2},
    departments={"count": 4},
    shared_prefix={"tokens": 500, "variants": 3, "share": 0.4},
    trend={"seasons": {"apr": 0.5}, "adoption": {"ceiling": 0.6, "time_constant": "8w", "since": "8w"}},
)
SLOTTED = source(arrivals={"kind": "poisson", "burst_mean": 2, "slots": {"minutes": [0, 30], "spread": "10min"}})
QUEUED = source(arrivals={"kind": "batches", "every": "1h", "client": {"concurrency": 4, "answer": "20s"}})
ALL_KINDS = {
    "notes": NOTES,
    "scans": SCANS,
    "letters": LETTERS,
    "charts": CHARTS,
    "agent": AGENT,
    "slotted": SLOTTED,
    "queued": QUEUED,
}


def columns(table):
    return {name: getattr(table, name) for name in COLUMNS}


def rows_of(table, name):
    mine = table.workload == table.workloads.index(name)
    return {key: values[mine] for key, values in columns(table).items() if key not in ("workload", "prefix_id")}


def assert_equal(left, right):
    for name, values in left.items():
        np.testing.assert_array_equal(values, right[name], err_msg=name)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**63 - 1), replication=st.integers(0, 100))
def test_every_row_is_a_possible_request(seed, replication):
    demand = scenario(WEEK, seed, **ALL_KINDS)
    table = synthesise(demand, replication)
    assert (np.diff(table.arrival_s) >= 0).all()
    assert table.arrival_s[0] >= 0
    assert table.arrival_s[-1] < demand.horizon.duration_s
    assert {name: values.dtype.name for name, values in columns(table).items()} == {
        "arrival_s": "float64", "workload": "int16", "prompt_tokens": "int32", "output_tokens": "int32",
        "max_tokens": "int32", "prefix_id": "int32", "prefix_tokens": "int32", "priority": "int8",
        "thinking_tokens": "int32",
    }  # fmt: skip
    assert {len(values) for values in columns(table).values()} == {len(table)}
    assert table.prompt_tokens.min() >= 1
    assert table.output_tokens.min() >= 1
    assert (table.output_tokens <= table.max_tokens).all()
    assert (table.prefix_tokens >= 0).all()
    assert (table.prefix_tokens <= table.prompt_tokens + table.output_tokens).all()
    assert (table.prefix_tokens[table.prefix_id < 0] == 0).all()
    for name, workload in demand.workloads.items():
        mine = table.workload == table.workloads.index(name)
        assert (table.priority[mine] == workload.priority).all()
        assert (table.max_tokens[mine] == workload.max_tokens).all()


def test_the_same_seed_gives_the_same_table_and_another_another():
    demand = scenario(WEEK, 7, notes=NOTES, scans=SCANS)
    again = columns(synthesise(demand, 3))
    assert_equal(columns(synthesise(demand, 3)), again)
    for other in (synthesise(demand, 4), synthesise(scenario(WEEK, 8, notes=NOTES, scans=SCANS), 3)):
        assert len(np.intersect1d(other.arrival_s, again["arrival_s"])) == 0


@pytest.mark.parametrize("name", list(ALL_KINDS))
def test_every_kind_of_workload_is_alone_what_it_is_among_others(name):
    alone = synthesise(scenario(WEEK, 7, **{name: ALL_KINDS[name]}), 0)
    assert len(alone) > 20
    assert_equal(rows_of(alone, name), rows_of(synthesise(scenario(WEEK, 7, **ALL_KINDS), 0), name))


@pytest.mark.parametrize("order", [("notes", "scans", "letters"), ("letters", "scans", "notes")])
def test_adding_a_workload_leaves_the_others_as_they_were(order):
    sources = {"notes": NOTES, "scans": SCANS, "letters": LETTERS}
    alone = synthesise(scenario(WEEK, 7, notes=NOTES), 0)
    together = synthesise(scenario(WEEK, 7, **{name: sources[name] for name in order}), 0)
    assert_equal(rows_of(alone, "notes"), rows_of(together, "notes"))
    prefixes = together.prefix_id[together.workload == together.workloads.index("notes")]
    # Which requests share a prefix stays; the number it goes by need not.
    assert len(set(zip(alone.prefix_id.tolist(), prefixes.tolist(), strict=True))) == 5


def test_changing_lengths_moves_no_arrival():
    longer = NOTES | {"prompt_tokens": {"kind": "constant", "tokens": 9}, "shared_prefix": None}
    before, after = (synthesise(scenario(WEEK, 7, notes=notes), 0) for notes in (NOTES, longer))
    np.testing.assert_array_equal(before.arrival_s, after.arrival_s)


def test_prefixes_of_workloads_never_meet():
    table = synthesise(scenario(WEEK, 7, notes=NOTES, letters=LETTERS, scans=SCANS), 0)
    ids = {name: set(table.prefix_id[table.workload == i].tolist()) for i, name in enumerate(table.workloads)}
    assert ids["scans"] == {-1}
    assert not ids["notes"] & ids["letters"]
    assert (len(ids["notes"]), len(ids["letters"])) == (5, 1)


def test_a_workload_that_asks_almost_nothing_gives_an_empty_table():
    table = synthesise(scenario(WEEK, 7, notes=source(volume={"requests_per_month": 1e-6})), 0)
    assert len(table) == 0


def test_a_month_has_its_volume_on_average():
    demand = scenario(APRIL, 1, notes=NOTES, scans=SCANS)
    counts = np.array([np.bincount(synthesise(demand, n).workload, minlength=2) for n in range(30)])
    for mean, column in zip((3000, 5000), counts.T, strict=True):
        assert column.mean() == pytest.approx(mean, abs=4 * column.std(ddof=1) / np.sqrt(30))


def test_a_stream_depends_on_seed_replication_and_name_alone():
    reference = stream(1, 2, "a").random(4)
    np.testing.assert_array_equal(reference, stream(1, 2, "a").random(4))
    for other in (stream(2, 2, "a"), stream(1, 3, "a"), stream(1, 2, "b")):
        assert not np.array_equal(reference, other.random(4))


FEW = {"kind": "constant", "tokens": 20}


@pytest.mark.parametrize(
    "volume",
    [{"tokens_per_month": 10**12}, {"requests_per_month": 1e12}, {"clinicians": 10**9, "notes_per_day": 15}],
)
def test_more_than_any_memory_holds_is_refused(volume):
    with pytest.raises(ScenarioError, match="requests are too many, expected at most 500,000,000"):
        refuse_too_many(scenario(WEEK, notes=source(volume=volume, prompt_tokens=FEW, output_tokens=FEW)))


HOURS = WEEK | {"duration": "6h"}


def test_what_is_refused_is_counted_over_all_workloads_and_by_the_stretch():
    """That many may come in an hour: no more is drawn at a time, unless all are needed at once."""
    hourly = source(volume={"requests_per_month": MOST_REQUESTS * 0.49 * 730})
    refuse_too_many(scenario(HOURS, one=hourly, two=hourly))
    with pytest.raises(ScenarioError, match="29,400,000 requests"):
        refuse_too_many(scenario(HOURS, one=hourly, two=hourly, three=hourly))
    weekly = source(volume={"requests_per_month": MOST_REQUESTS * 1.5 * 730 / 168})
    refuse_too_many(scenario(WEEK, one=weekly))
    for at_once in ({"arrivals": {"kind": "at_once"}}, {"clients": {"count": 4}}):
        with pytest.raises(ScenarioError, match="30,000,000 requests"):
            refuse_too_many(scenario(WEEK, one=weekly | at_once))
