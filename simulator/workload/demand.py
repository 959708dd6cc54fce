"""What each workload asks of the month that is billed, beside what the measured hours are expected to hold.

A month is one of ordinary weeks, month hours / 168 of them, without public holidays, at the level its trend has in the
measured hours; a horizon that is itself a month counts as it is. A recorded trace that is repeated brings its
repeated part again and again; one that is not is all that is known, and goes on as in the measured hours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simulator.scenario.workloads import RecordedWorkload
from simulator.units import HOUR_S
from simulator.workload.calendar import ClinicalCalendar
from simulator.workload.recorded import content, played
from simulator.workload.recording import recording
from simulator.workload.replay import repeated_s
from simulator.workload.volume import (
    expected_requests,
    mean_tokens_of,
    month_hours,
    ordinary_month,
    requests_of_one,
    without_trend,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.scenario.schema import Scenario
    from simulator.scenario.workloads import SyntheticWorkload
    from simulator.workload.calendar import Cells


@dataclass(frozen=True, slots=True)
class Demand:
    """Requests of one workload.

    Attributes:
        asked: In a month as its volume says, without a trend; for a recorded trace, as it brings them.
        billed: In the billed month: `asked` at the level of its trend.
        expected: In the measured hours of one replication.
        tokens: Prompt and output tokens of the billed month.
        prompt_factor: Mean prompt of the billed month over that of the measured hours; not 1 only for a recording.
        output_factor: The same of outputs.
    """

    asked: float
    billed: float
    expected: float
    tokens: float
    prompt_factor: float = 1.0
    output_factor: float = 1.0


def demands(scenario: Scenario) -> dict[str, Demand]:
    """What each workload asks, by name.

    Raises:
        TraceError: A recorded trace cannot be read.
    """
    calendar = ClinicalCalendar(scenario.horizon)
    return {
        name: _recorded(load, scenario) if isinstance(load, RecordedWorkload) else _synthetic(load, scenario, calendar)
        for name, load in scenario.workloads.items()
    }


def share_of_month(scenario: Scenario) -> float:
    """Share of the billed month's tokens that the horizon is expected to ask, its warm-up included.

    Several months ask more than all of them.

    Raises:
        TraceError: A recorded trace cannot be read.
    """
    whole = scenario.experiment.model_copy(update={"warm_up": 0.0})
    every = demands(scenario.model_copy(update={"experiment": whole})).values()
    asked = sum(one.tokens for one in every)
    return sum(one.tokens * one.expected / one.billed for one in every if one.billed) / asked if asked else 1.0


def _synthetic(load: SyntheticWorkload, scenario: Scenario, calendar: ClinicalCalendar) -> Demand:
    each, measured = requests_of_one(load), _measured_share(calendar.cells, scenario.experiment.warm_up)
    plain, expected = without_trend(load, scenario, calendar), expected_requests(load, scenario, calendar)
    asked, month_is_horizon = ordinary_month(load, scenario, plain)
    # A horizon that is the month has all of its trend; another the level of what is measured.
    part = np.ones(len(measured)) if month_is_horizon else measured
    ordinary = float(plain @ part)
    level = float(expected @ part) / ordinary if ordinary else 1.0
    tokens = mean_tokens_of(load) * asked * level
    return Demand(asked * each, asked * level * each, float(expected @ measured) * each, tokens)


def _measured_share(cells: Cells, warm_up_s: float) -> NDArray[np.float64]:
    """Share of each cell that is measured."""
    return np.asarray(np.clip((cells.start_s + cells.length_s - warm_up_s) / cells.length_s, 0.0, 1.0))


def _recorded(load: RecordedWorkload, scenario: Scenario) -> Demand:
    sent = month = played(load, scenario).measured
    lasts_s = repeated_s(load, recording(load.trace.file))
    if lasts_s is None:
        lasts_s = scenario.horizon.duration_s - scenario.experiment.warm_up
    else:
        month, lasts_s = content(load).repeated, lasts_s / load.trace.speed
    months = month_hours(scenario) * HOUR_S / lasts_s
    asked = month.requests * months

    def longer(of_month: int, of_sent: int) -> float:
        both = month.requests and sent.requests
        return (of_month / month.requests) / (of_sent / sent.requests) if both else 1.0

    return Demand(
        asked,
        asked,
        float(sent.requests),
        float(month.prompt_tokens + month.output_tokens) * months,
        longer(month.prompt_tokens, sent.prompt_tokens),
        longer(month.output_tokens, sent.output_tokens),
    )
