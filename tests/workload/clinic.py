"""Small scenarios for the workload tests."""

from __future__ import annotations

from simulator.scenario.horizon import Horizon
from simulator.scenario.schema import Scenario
from simulator.workload.calendar import ClinicalCalendar
from simulator.workload.volume import expected_requests

WEEKDAYS_ONLY = ["mon", "tue", "wed", "thu", "fri"]
APRIL = {"month": "2027-04", "time_zone": "America/Chicago", "holidays": "US"}
WEEK = {"start": "2027-04-05", "duration": "7d", "time_zone": "America/Chicago"}

_API = {
    "kind": "metered_api",
    "api": {
        "model": "bedrock/llama-3.3-70b",
        "ttft": {"median": "700ms", "sigma": 0.4},
        "output_tokens_per_s": {"median": 50, "sigma": 0.15},
    },
}


def source(**settings):
    """A workload of constant lengths, 1,000 requests a month, unless told otherwise."""
    defaults = {
        "volume": {"requests_per_month": 1000},
        "prompt_tokens": {"kind": "constant", "tokens": 600},
        "output_tokens": {"kind": "constant", "tokens": 200},
    }
    return defaults | settings


def scenario(horizon=APRIL, seed=1, prices=None, **workloads):
    return Scenario.model_validate(
        {
            "name": "clinic",
            "horizon": horizon,
            "workloads": workloads,
            "hosting_patterns": {"api": _API},
            "prices": prices or {},
            "experiment": {"seed": seed},
        }
    )


def calendar(**horizon):
    return ClinicalCalendar(Horizon.model_validate(horizon))


def expected(horizon=APRIL, prices=None, **settings):
    """Calendar and expected requests per cell of a single workload."""
    demand = scenario(horizon, prices=prices, notes=source(**settings))
    days = ClinicalCalendar(demand.horizon)
    return days, expected_requests(demand.workloads["notes"], demand, days)
