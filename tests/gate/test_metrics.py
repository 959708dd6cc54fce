"""Each figure that is compared: whose it is, which way is better, and what it is of a result."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.gate.metrics import METRICS, answers, missed_change, missed_interval
from simulator.gate.result_file import Figures, PatternFigures

WAITS = {
    name: {"mean": at + 0.1, "p50": at + 0.5, "p90": at + 0.9, "p95": at + 0.95, "p99": at + 0.99}
    for at, name in enumerate(("ttft_s", "ttfat_s", "itl_s", "e2e_s"), 1)
}
#: Every figure different.
LOAD = {
    "requests": {"arrived": 200, "completed": 150, "failed_over": {"capacity": 7, "timeout": 3}},
    "latency": WAITS,
    "goodput": 0.7,
    "availability": 0.8,
    "objective_met": False,
}
LEVELS = {"busy_fraction": 0.1, "batch_occupancy": 0.2, "kv_occupancy": 0.3, "capacity_fraction": 0.4}
PATTERN = LOAD | {
    "name": "a", "kind": "hybrid", "feasible": True, "monthly_cost_usd": {"mean": 1000.0},
    "usd_per_million_tokens": 2.5, "utilisation": LEVELS,
    "workloads": {"notes": LOAD, "letters": LOAD | {"objective_met": True}},
}  # fmt: skip

#: By metric: of a pattern, of a workload (None where it has none), and which way is better.
FIGURES = {
    "monthly_cost_usd": (1000.0, None, "lower"), "usd_per_million_tokens": (2.5, None, "lower"),
    **{
        f"{name}_{figure}_s": (at + part, at + part, "lower")
        for at, name in enumerate(("ttft", "ttfat", "itl", "e2e"), 1)
        for figure, part in (("mean", 0.1), ("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99))
    },
    "unserved_share": (0.25, 0.25, "lower"), "goodput": (0.7, 0.7, "higher"), "availability": (0.8, 0.8, "higher"),
    "objectives_missed": (1.0, 1.0, "lower"), "requests_arrived": (200.0, 200.0, "same"),
    "failed_over_share": (0.05, 0.05, "same"),
    **{name: (value, None, "same") for name, value in LEVELS.items()},
}  # fmt: skip


@pytest.mark.parametrize("name", METRICS)
def test_each_figure_is_picked_from_where_it_stands(name):
    metric, (of_pattern, of_load, better) = METRICS[name], FIGURES[name]
    assert metric.pick(PatternFigures.model_validate(PATTERN)) == pytest.approx(of_pattern)
    assert (metric.better, metric.of_workloads) == (better, of_load is not None)
    if of_load is not None:
        assert metric.pick(Figures.model_validate(LOAD)) == pytest.approx(of_load)
    # A quantile of the slowest hundredth says nothing by itself.
    assert metric.needs_interval is name.endswith("_p99_s")


@pytest.mark.parametrize("name", METRICS)
def test_what_is_not_there_is_none(name):
    bare = PatternFigures(name="a", kind="hybrid", feasible=False)
    assert METRICS[name].pick(bare) is None
    assert METRICS[name].pick(Figures()) is None
    empty = bare.model_copy(update={"utilisation": {}, "latency": dict.fromkeys(WAITS)})
    assert METRICS[name].pick(empty) is None


def test_of_no_arrivals_there_is_no_share():
    quiet = Figures.model_validate({"requests": {"arrived": 0, "completed": 0, "failed_over": {}}})
    assert [METRICS[name].pick(quiet) for name in ("unserved_share", "failed_over_share", "requests_arrived")] == [
        None, None, 0.0,
    ]  # fmt: skip


def test_the_answer_stands_above_what_earlier_versions_said():
    def load(met, answer=None):
        return {"objective_met": met} | ({"objective": {"answer": answer}} if answer else {})

    loads = {
        "a": load(None, "cannot_tell"),
        "b": load(False, "met"),
        "c": load(False),
        "d": load(True),
        "e": load(None),
    }
    found = PatternFigures.model_validate({"name": "a", "kind": "hybrid", "feasible": True, "workloads": loads})
    assert answers(found) == {"a": "cannot_tell", "b": "met", "c": "missed", "d": "met"}
    assert answers(Figures.model_validate(loads["c"])) == {"": "missed"}


ANSWERS = ("met", "missed", "cannot_tell")
drawn = st.dictionaries(st.sampled_from("abcd"), st.sampled_from(ANSWERS))


def figures(found):
    loads = {name: {"objective": {"answer": answer}} for name, answer in found.items()}
    return PatternFigures.model_validate({"name": "a", "kind": "hybrid", "feasible": True, "workloads": loads})


@given(drawn, drawn)
def test_law_at_least_and_at_most_so_many_more_are_missed_as_some_truth_would_have_it(before, after):
    """Whatever an open answer turns out to be; one that is open before and after stays what it is."""
    change = missed_change(figures(before), figures(after))
    low = high = 0
    for name in {*before, *after}:
        was, now = before.get(name, "met"), after.get(name, "met")
        truths = [
            (now_missed - was_missed)
            for was_missed, now_missed in product((0, 1), repeat=2)
            if was in ("cannot_tell", ("met", "missed")[was_missed])
            and now in ("cannot_tell", ("met", "missed")[now_missed])
        ]
        low, high = low + (0 if was == now else min(truths)), high + (0 if was == now else max(truths))
    assert (change.low, change.mean, change.high) == (low, (low + high) / 2, high)
    interval = missed_interval(figures(after))
    missed, still = (list(after.values()).count(answer) for answer in ("missed", "cannot_tell"))
    assert (interval.low, interval.mean, interval.high) == (missed, missed + still / 2, missed + still)
