"""The same scenario at another volume."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.errors import Fault, ScenarioError
from simulator.scenario.workloads import SyntheticWorkload

if TYPE_CHECKING:
    from simulator.scenario.schema import Scenario

#: Numbers of a volume that grow with it; notes per day stay, clinicians grow.
_GROWS = (
    "requests_per_month",
    "tokens_per_month",
    "denials_per_month",
    "messages_per_month",
    "charts_per_month",
    "scans_per_month",
    "clinicians",
)


def scaled(scenario: Scenario, factor: float) -> Scenario:
    """The scenario with so many times the volume of every workload.

    Raises:
        ScenarioError: A workload replays a recorded trace, which has the volume it has.
    """
    recorded = [name for name, load in scenario.workloads.items() if not isinstance(load, SyntheticWorkload)]
    if recorded:
        faults = []
        for name in recorded:
            file, line = scenario.origin("workloads", name, "trace")
            message = "a recorded trace has the volume it has; another volume takes a synthetic workload"
            faults.append(Fault(file, line, f"workloads.{name}.trace", message))
        raise ScenarioError(faults)
    loads = {name: _scaled(load, factor) for name, load in scenario.workloads.items()}
    return scenario.model_copy(update={"workloads": loads})


def _scaled(load: object, factor: float) -> object:
    assert isinstance(load, SyntheticWorkload)
    if load.volume is None:
        # What it follows grows.
        return load
    given = {name: value for name in _GROWS if (value := getattr(load.volume, name)) is not None}
    volume = load.volume.model_copy(update={name: value * factor for name, value in given.items()})
    return load.model_copy(update={"volume": volume})
