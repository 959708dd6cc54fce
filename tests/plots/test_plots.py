from __future__ import annotations

import gc

import numpy as np
import pytest

import simulator
from simulator.plots.latency import curve
from simulator.plots.levels import busy_by_hour

WARM_UP = {"experiment.warm_up": "1d", "experiment.replications": 1}


@pytest.fixture(scope="module")
def results():
    return simulator.run(simulator.load_scenario("scenarios/ci_small.yaml").with_overrides(WARM_UP))


def test_tables_hold_every_request_of_every_simulation_and_go_with_the_result():
    scenario = simulator.load_scenario("scenarios/ci_small.yaml").with_overrides({"experiment.replications": 1})
    results = simulator.run(scenario)
    place = next(iter(results.tables.kept.values())).parent
    counts = results.requests.groupby("pattern").size()
    assert {row.name: counts[row.name] for row in results.patterns} == {
        row.name: row.requests.arrived for row in results.patterns
    }
    some = results.tables.requests("hybrid", ["arrival_s"])
    assert list(some.columns) == ["pattern", "arrival_s"]
    assert len(some) == counts["hybrid"]
    assert place.is_dir()
    del results
    gc.collect()
    assert not place.exists()


def test_a_latency_curve_says_what_the_result_says(results):
    """The published p99 is where the curve crosses 0.99, and what did not complete is within no limit."""
    for line in results.plot.latency().data[:2]:
        published = results.pattern(line.name).latency["e2e_s"].p99
        assert np.interp(0.99, line.y, line.x) == pytest.approx(published, rel=2e-3)
    waits, shares = curve(np.array([1.0, 2.0, 3.0]), arrived=4)
    assert max(shares) == 0.75
    assert (waits[0], waits[-1]) == (1.0, 3.0)
    assert curve(np.array([]), 5) == ([], [])


def test_a_latency_figure_shows_the_objective_of_its_workload(results):
    (workload, load), *_ = results.scenario.workloads.items()
    figure = results.plot.latency(workload, "ttft_s")
    assert figure.data[-1].x[0] == load.objectives.ttft
    assert figure.data[-1].name.startswith("objective")
    with pytest.raises(KeyError, match="nobody"):
        results.plot.latency("nobody")


def test_the_week_adds_up_to_the_busy_fraction(results):
    """Every hour of the week occurs at least once and the mean over them is what is published."""
    shares = busy_by_hour(results.scenario, results.tables.levels("self_hosted"))
    hours = ~np.isnan(shares)
    assert hours.sum() == 144
    assert shares[hours].mean() == pytest.approx(results.pattern("self_hosted").utilisation["busy_fraction"])


def test_costs_add_up_to_the_bill(results):
    figure = results.plot.cost()
    for number, name in enumerate(figure.data[0].y):
        total = sum(bar.x[number] for bar in figure.data)
        assert total == pytest.approx(results.pattern(name).monthly_cost_usd.mean, abs=0.05)


def test_costs_meet_where_a_break_even_is_said_to_be():
    """At the mark, the lines of the cluster and of the API are as high as each other; a Tuesday has every workload."""
    scenario = simulator.load_scenario("scenarios/health_system.yaml")
    quick = {"horizon": {"start": "2026-04-07", "duration": "1d", "time_zone": "UTC"}, "experiment.replications": 1}
    results = simulator.run(scenario.with_overrides(quick), patterns=["api_gpt4_turbo", "self_hosted_rental"])
    figure = results.plot.cost_by_volume()
    lines = {line.name: line for line in figure.data}
    (x,), (y,) = lines["break-even"].x, lines["break-even"].y
    cluster = lines["self_hosted_rental"]
    assert np.interp(x, cluster.x, cluster.y) == pytest.approx(y, rel=1e-3)
    # From nothing to a billion tokens and beyond: the cluster is flat until it needs another replica, and the API a
    # line through nothing that rises by its price.
    api, replicas = lines["api_gpt4_turbo"], results.decision.cost_curve.series
    assert all(line.x[0] == 0.0 and line.x[-1] >= 1000.0 for line in (api, cluster))
    assert (figure.layout.xaxis.rangemode, figure.layout.yaxis.rangemode) == ("tozero", "tozero")
    assert np.interp(1000.0, api.x, api.y) == pytest.approx(1000.0 * y / x, rel=1e-3)
    assert api.y[0] == pytest.approx(0.0, abs=0.01)
    (steps,) = [one.replicas for one in replicas if one.pattern == "self_hosted_rental"]
    alone = [usd for usd, count in zip(cluster.y, steps, strict=True) if count == steps[0]]
    assert cluster.x[len(alone) - 1] > x
    assert alone == pytest.approx([cluster.y[0]] * len(alone))
    assert lines["today's volume"].x[0] == pytest.approx(results.decision.cost_curve.today_tokens_per_month / 1e6)


def test_arrivals_by_hour_are_all_arrivals(results):
    drawn = sum(sum(line.y) for line in results.plot.demand().data)
    assert drawn == len(results.tables.requests("api", ["arrival_s"]))


def test_failovers_by_hour_are_those_counted():
    scenario = simulator.load_scenario("scenarios/ci_small.yaml")
    crowded = {"experiment.replications": 1, "hosting_patterns.hybrid.routing.max_in_flight": 1}
    results = simulator.run(scenario.with_overrides(crowded), patterns=["hybrid"])
    figure = results.plot.failovers("hybrid")
    assert sum(sum(line.y) for line in figure.data) == pytest.approx(
        sum(results.patterns[0].requests.failed_over.values())
    )


def test_the_queue_is_drawn_by_its_peaks(results):
    levels = results.tables.levels("self_hosted")
    figure = results.plot.over_time("self_hosted")
    running = next(line for line in figure.data if line.name == "running")
    assert max(running.y) == pytest.approx(levels["sequence_s"].max() / 3600.0, rel=1e-3)
    assert len(running.x) == 168


def test_patterns_without_a_cluster_have_no_week():
    scenario = simulator.load_scenario("scenarios/ci_small.yaml").with_overrides({"experiment.replications": 1})
    results = simulator.run(scenario, patterns=["api"])
    with pytest.raises(ValueError, match="no hosting pattern of this result has a cluster"):
        results.plot.week()


def test_an_axis_of_times_has_every_label_in_full(results):
    """By itself a logarithmic axis leaves 0.2 a mere 2, which reads as two seconds."""
    for axis in (results.plot.latency().layout.xaxis, results.plot.latency(metric="ttft_s").layout.xaxis):
        assert axis.type == "log"
        assert axis.tickformat == "~g"
