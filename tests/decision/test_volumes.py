"""Limits at other volumes: where patterns are simulated, what lies between, and what the verdict makes of it."""

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from simulator.decision.cost_curve import cost_curve
from simulator.decision.plausible import Candidate, Factors, VolumePoint, candidates, rivals, winners
from simulator.decision.ranges import Driver
from simulator.decision.screening import screen
from simulator.decision.tornado import tornado
from simulator.decision.volume_bar import volume_bar
from simulator.decision.volumes import volume_points
from simulator.experiment.objectives import LimitSample
from simulator.workload.demand import demands
from tests.decision.test_cost_curve import BOOK, costing
from tests.decision.test_verdict import result
from tests.experiment.small import small

VOLUME = Driver("volume", "volume", (), 0.5, 2.0, "assumed", "")
SCALING = {"kind": "queue", "at_least": 0}
QUOTA = {"hosting_patterns.api.api.limits": {"requests_per_minute": 2}}
#: What `costing` says was served.
TODAY = 800e6


def kept(pattern, *volumes):
    return pattern.keeps(Factors.at_volume(np.array(volumes))).tolist()


def point(factor, as_long=1.0, *, overloaded=False, samples=None):
    return VolumePoint(factor, overloaded, {"notes": {"e2e_s": as_long}}, samples or {})


def asked_for(results, settings=None, queue=lambda name, factor: False, capacity=None):
    """Factors, patterns and replicas that are simulated where a queue grows as is said; and the points."""
    scenario, asked = small(settings), []
    requests = scenario.workloads["letters"].volume.requests_per_month

    def once(other, names):
        factor = other.workloads["letters"].volume.requests_per_month / requests
        clusters = {name: [*other.hosting_patterns[name].hosted.values()] for name in names}
        asked.append((round(factor, 4), {name: sum(one.cluster.replicas for one in clusters[name]) for name in names}))
        return {
            name: [SimpleNamespace(workloads={}, saturation="overloaded" if queue(name, factor) else "stable")]
            for name in names
        }

    screening = screen(scenario, results, BOOK)
    costings = {one.name: costing(one.name, capacity or 10**10, scenario=scenario) for one in results}
    usual = {one.name: [SimpleNamespace(workloads={})] for one in results}
    return asked, volume_points(scenario, screening, costings, demands(scenario), usual, once)


def test_both_ends_are_simulated_with_those_of_which_they_could_say_otherwise():
    full, late = result("api", 1.0, saturation="overloaded"), result("rented", 2.0, met=False)
    asked, found = asked_for([full, late, result("bought", 3.0), result("hybrid", 4.0)], QUOTA)
    both = {"rented": 1, "api": 0}
    # The API is overloaded today and not there, so the middle is simulated too.
    assert asked == [(2.0, {"rented": 1, "bought": 1, "hybrid": 1}), (0.5, both), (0.7071, {"api": 0})]
    assert [one.factor for one in found["rented"]] == [0.5, 2.0]


def test_an_api_that_lets_in_whatever_comes_is_simulated_nowhere():
    asked, _ = asked_for([result("api", 1.0, met=False), result("rented", 2.0)])
    assert asked == [(2.0, {"rented": 1})]


def test_replicas_that_are_sent_away_are_simulated_with_fewer_requests_too():
    asked, _ = asked_for(
        [result("rented", 1.0), result("bought", 2.0)], {"hosting_patterns.rented.cluster.autoscaling": SCALING}
    )
    assert asked == [(2.0, {"rented": 1, "bought": 1}), (0.5, {"rented": 1})]


def test_a_cluster_is_simulated_where_it_is_fullest_before_its_next_replica():
    """One replica serves 1,000M of which 800M are asked: the second comes at 1.25 times the volume."""
    asked, _ = asked_for([result("rented", 1.0), result("api", 2.0)], capacity=1_000_000_000)
    assert asked == [(2.0, {"rented": 2}), (1.25, {"rented": 1})]


def test_the_middle_is_simulated_where_a_pattern_does_at_one_place_and_not_at_the_next():
    asked, found = asked_for(
        [result("rented", 1.0), result("bought", 2.0)], queue=lambda name, factor: name == "rented" and factor > 1.3
    )
    assert asked == [(2.0, {"rented": 1, "bought": 1}), (1.4142, {"rented": 1})]
    pattern = Candidate(result("rented", 1.0), None, (), points=found["rented"])
    assert kept(pattern, 1.18, 1.20, 2.0) == [True, False, False]


def test_nothing_is_simulated_for_one_pattern_or_without_limits():
    assert asked_for([result("rented", 1.0)]) == ([], {})
    assert asked_for([replace(result(name, 1.0), workloads={}) for name in ("rented", "bought")]) == ([], {})


def test_between_two_places_requests_take_what_lies_on_a_line():
    """Within half their limit: late where they take more than twice as long, half-way from once to four times."""
    pattern = Candidate(result("rented", 1.0), None, (), points=[point(0.25, 4.0), point(4.0, 4.0)])
    assert kept(pattern, 0.25, 0.49, 0.51, 1.0, 1.99, 2.01, 4.0) == [False, False, True, True, True, False, False]


def test_a_place_without_an_answer_speaks_for_what_is_nearest_to_it_alone():
    pattern = Candidate(result("rented", 1.0), None, (), points=[point(2.0, 1.5), point(8.0, None)])
    assert kept(pattern, 1.0, 2.0, 3.9, 4.1, 8.0) == [True, True, True, False, False]


def test_what_is_said_of_one_replica_is_not_said_of_two():
    """800M of 1,000M: nobody is answered in time at 1.25 times the volume, and with the second replica everybody is."""
    one = costing("rented", 1_000_000_000)
    pattern = Candidate(result("rented", 1.0), one, [VOLUME], points=[point(1.25, None), point(2.0, 1.0)])
    assert kept(pattern, 1.0, 1.11, 1.13, 1.25, 1.2501, 2.0) == [True, True, False, False, True, True]


def test_who_is_overloaded_today_is_judged_by_what_was_seen_elsewhere():
    full = result("rented", 1.0, saturation="overloaded", met=False)
    (seen,) = result("rented", 1.0).workloads["notes"].samples
    relieved = point(0.25, samples={"notes": [seen]})
    pattern = Candidate(full, None, (), points=[relieved])
    assert kept(pattern, 0.25, 0.49, 0.51, 1.0, 2.0) == [True, True, False, False, False]
    late = Candidate(full, None, (), points=[point(0.25, samples={"notes": full.workloads["notes"].samples})])
    assert kept(late, 0.25) == [False]
    assert isinstance(seen, LimitSample)


def bar(results, points, capacity=10**10, **settings):
    scenario = small(settings)
    screening = screen(scenario, results, BOOK)
    costings = {one.name: costing(one.name, capacity, scenario=scenario) for one in results}
    curve = cost_curve(costings, list(costings))
    best = screening.leading.name
    found = candidates(scenario, screening, costings, [VOLUME], points)
    (one,) = volume_bar(best, found, curve, VOLUME)
    shown = tornado(scenario, screening, costings, curve, demands(scenario), points)
    assert one.text in {each.text for each in shown.bars}
    return one


#: 800M tokens a month cost 800 or 2,400 USD; a rented GPU costs 730 USD, whatever the volume.
DEARER, THREEFOLD = (
    {"hosting_patterns.api.api.prices": {"prompt": f"{usd} USD/1M tokens", "output": f"{usd} USD/1M tokens"}}
    for usd in (1, 3)
)


def both(rented=730.0, api=800.0, **more):
    return [result("rented", rented, **more), result("api", api)]


def test_without_limits_that_are_missed_the_bar_is_about_costs():
    found = bar(both(), {}, **DEARER)
    assert (found.recommended_low, found.recommended_high) == ("api", "rented")
    assert (found.margin_low_usd, found.margin_high_usd) == pytest.approx((-330.0, 870.0))
    assert found.flips_at == pytest.approx(730e6, rel=1e-6)
    assert found.text == "at 730M tokens a month instead of 800M, api costs least (derived)"
    assert "costs alone" in found.basis


@pytest.mark.parametrize(("overloaded", "as_long"), [(True, 1.0), (False, 4.0), (False, None)])
def test_the_choice_that_misses_its_limits_at_twice_the_volume_is_not_the_choice_there(overloaded, as_long):
    """Costs alone say that it is ever safer. It is out half-way to a queue that grows, or to four times as long."""
    found = bar(both(api=2400.0), {"rented": [point(2.0, as_long, overloaded=overloaded)]}, **THREEFOLD)
    assert (found.recommended_low, found.recommended_high, found.margin_high_usd) == ("rented", "api", None)
    assert found.flips_at == pytest.approx(2**0.5 * TODAY, rel=0.02)
    assert found.flips
    assert re.fullmatch(
        r"at about 1,1\d\dM .* instead of 800M, rented misses its limits: api is the choice", found.text
    )


def test_where_nothing_keeps_its_limits_the_bar_says_so():
    out = {name: [point(2.0, None)] for name in ("api", "rented")}
    found = bar(both(api=2400.0), out, **THREEFOLD)
    assert (found.recommended_high, found.margin_high_usd) == (None, None)
    assert found.text.endswith("rented misses its limits: no pattern keeps its limits")


def test_a_cheaper_pattern_that_keeps_its_limits_with_fewer_requests_is_the_choice_there():
    """An API of 8 USD at 800M is overloaded today, and at half the volume it is not."""
    (seen,) = result("api", 1.0).workloads["notes"].samples
    cheap = {"hosting_patterns.api.api.prices": {"prompt": "0.01 USD/1M tokens", "output": "0.01 USD/1M tokens"}}
    relieved = {"api": [point(0.5, samples={"notes": [seen]})]}
    rows = [result("rented", 730.0), result("api", 8.0, saturation="overloaded", met=False)]
    found = bar(rows, relieved, **cheap)
    assert (found.recommended_low, found.recommended_high) == ("api", "rented")
    assert found.flips_at == pytest.approx(2**-0.5 * TODAY, rel=0.02)
    assert found.text.endswith("M, api keeps its limits, and costs least")
    assert "limits simulated at 0.5 times" in found.basis
    screening = screen(small(cheap), rows, BOOK)
    assert [one.name for one in rivals(screening, relieved)] == ["rented", "api"]
    assert [one.name for one in rivals(screening, {"api": [point(0.5, overloaded=True)]})] == ["rented"]
    costings = {one.name: costing(one.name, scenario=small(cheap)) for one in rows}
    able = candidates(small(cheap), screening, costings, [VOLUME], relieved)
    assert winners(able, Factors.at_volume(np.array([0.5, 1.0, 2.0])), None) == ["api", "rented", "rented"]


def test_where_others_miss_their_limits_the_choice_goes_on():
    """The API is out from 1,131M on, where it is not the choice anyhow; up to 243.3M it costs less."""
    found = bar(both(api=2400.0), {"api": [point(2.0, None)]}, **THREEFOLD)
    assert (found.recommended_low, found.recommended_high) == ("rented", "rented")
    assert (found.margin_low_usd, found.margin_high_usd) == (pytest.approx(470.0), None)
    assert found.flips_at == pytest.approx(730e6 / 3, rel=1e-6)
    assert found.text == "at 243M tokens a month instead of 800M, api costs least (derived)"


def test_two_volumes_that_are_told_apart_read_apart():
    """An API at 0.9126 USD a million costs what the rent does at 799.91M, which is not 800M instead of 800M."""
    for usd, said in ((0.92, "793M"), (0.913, "799.6M"), (0.9126, "799.9M"), (0.91251, "799.99M")):
        api = {"prompt": f"{usd} USD/1M tokens", "output": f"{usd} USD/1M tokens"}
        found = bar(both(api=800.0 * usd + 0.01), {}, **{"hosting_patterns.api.api.prices": api})
        assert found.text.startswith(f"at {said} tokens a month instead of 800")


def test_what_is_kept_at_both_ends_may_be_missed_in_between():
    """One replica serves 1,000M: too slow from half-way to where the second comes, at 1.25 times the volume."""
    points = {"rented": [point(1.25, None), point(2.0)]}
    found = bar(both(api=2400.0), points, capacity=1_000_000_000, **THREEFOLD)
    assert (found.recommended_low, found.recommended_high) == ("rented", "rented")
    assert found.flips_at == pytest.approx(1.25**0.5 * TODAY, rel=0.02)
    assert found.text.endswith("rented misses its limits: api is the choice")
