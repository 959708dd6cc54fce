"""From a scenario to a table of requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simulator.workload.arrivals import draw_arrivals
from simulator.workload.calendar import ClinicalCalendar
from simulator.workload.lengths import draw_lengths
from simulator.workload.request import RequestTable
from simulator.workload.streams import stream
from simulator.workload.volume import expected_requests

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.scenario.schema import Scenario
    from simulator.scenario.workloads import Workload

#: Prefix ids of one workload start here times its position in the sorted names, so that they never collide.
_PREFIXES_PER_WORKLOAD = 1 << 16


def synthesise(scenario: Scenario, replication: int, calendar: ClinicalCalendar | None = None) -> RequestTable:
    """Requests of one replication, the same for every hosting pattern.

    Each workload draws its days, arrivals, lengths and prefixes from streams of its own.
    """
    calendar = calendar or ClinicalCalendar(scenario.horizon)
    names = tuple(scenario.workloads)
    parts = [_workload(scenario, name, number, replication, calendar) for number, name in enumerate(names)]
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.argsort(columns[0], kind="stable")
    return RequestTable(names, *(column[order] for column in columns))


def _workload(
    scenario: Scenario, name: str, number: int, replication: int, calendar: ClinicalCalendar
) -> tuple[NDArray[np.generic], ...]:
    workload = scenario.workloads[name]

    def rng(purpose: str) -> np.random.Generator:
        return stream(scenario.experiment.seed, replication, f"workload/{name}/{purpose}")

    expected = expected_requests(workload, scenario, calendar)
    arrival_s = draw_arrivals(workload, expected, calendar.cells, rng("days"), rng("arrivals"))
    size = len(arrival_s)
    prompt, output = draw_lengths(workload, size, rng("lengths"))
    prefix_id, prefix_tokens = _prefixes(workload, number, prompt, rng("prefixes"))
    return (
        arrival_s,
        np.full(size, number, np.int16),
        prompt,
        output,
        np.full(size, workload.max_tokens, np.int32),
        prefix_id,
        prefix_tokens,
        np.full(size, workload.priority, np.int8),
    )


def _prefixes(
    workload: Workload, number: int, prompt: NDArray[np.int32], rng: np.random.Generator
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Identity and length of each request's shared prefix; a prompt is at least one token longer."""
    shared = workload.shared_prefix
    if shared is None:
        return np.full(len(prompt), -1, np.int32), np.zeros(len(prompt), np.int32)
    variant = rng.integers(0, shared.variants, len(prompt), dtype=np.int32)
    return variant + np.int32(number * _PREFIXES_PER_WORKLOAD), np.minimum(prompt - 1, shared.tokens).astype(np.int32)
