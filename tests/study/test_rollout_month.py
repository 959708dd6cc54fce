"""A month of a rollout is what `run` says of the same volume, calendar, size and number of replications."""

from __future__ import annotations

import pytest

from simulator.results import run
from simulator.study.rollout import rollout
from tests.experiment.small import small

RENTED = "hosting_patterns.rented"
CHANGES = {
    "as it is": {},
    "the calendar's own month, taxed": {"prices.month": "calendar", "prices.vat": "19 %"},
    "replicas by timetable": {
        f"{RENTED}.cluster.replicas": 2,
        f"{RENTED}.cluster.autoscaling": {
            "kind": "schedule",
            "first_replicas": 1,
            "changes": [{"at": "every day 08:00", "replicas": 2}, {"at": "every day 18:00", "replicas": 1}],
        },
    },
    "a season": {"workloads.notes.trend": {"seasons": {"apr": 1.3}}},
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_first_month_costs_what_run_says_of_it(change):
    rise = {"kind": "table", "points": [{"month": 1, "share": 0.5}]}
    phases = [{"pattern": "rented"}, {"pattern": "bought", "replicas": 2, "from_month": 12}]
    scenario = small(CHANGES[change] | {"rollout": {"months": 1, "adoption": rise, "phases": phases}})
    (month,) = rollout(scenario, replications=2).projection.months
    alone = {
        "workloads.notes.volume.clinicians": 30.0,
        "workloads.letters.volume.requests_per_month": 300.0,
        "hosting_patterns.bought.cluster.replicas": 2,
        "hosting_patterns.bought.costs.compute.for_gpus": 1,
    }
    found = {one.name: one for one in run(small(CHANGES[change] | alone), replications=2).patterns}
    for name, twin in {"rented": "rented", "bought_x2": "bought"}.items():
        assert month.patterns[name].monthly_cost_usd == found[twin].monthly_cost_usd.mean
        assert month.patterns[name].running_usd == float(found[twin].bill.running_usd)
        assert month.patterns[name].busy_fraction == found[twin].utilisation["busy_fraction"]
