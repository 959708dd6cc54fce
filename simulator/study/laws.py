"""The engine's laws, held against a scenario: for whoever has written a router or an arrival process."""

from __future__ import annotations

from itertools import pairwise
from math import sqrt
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from simulator.experiment.checkpoint import permitted
from simulator.experiment.checks import as_scenario
from simulator.extensions import using
from simulator.results import run
from simulator.units import HOUR_S
from simulator.workload.synthesis import synthesise

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from os import PathLike

    import pandas as pd

    from simulator.extensions import Extensions
    from simulator.results import Results
    from simulator.scenario.schema import Scenario

_STAMPS: Final = ("arrival_s", "enqueued_s", "scheduled_s", "first_token_s", "last_token_s")
_ENDS: Final = ("completed", "rejected", "timed_out", "cancelled", "unfinished")
_EPSILON_S: Final = 1e-6


def assert_laws(
    scenario: Scenario | str | PathLike[str],
    *,
    patterns: str | Sequence[str] | None = None,
    replications: int = 2,
    extensions: Extensions | None = None,
) -> Results:
    """Simulate a scenario twice and see that the engine's laws hold.

    Every request ends in exactly one outcome; its stamps are in order and within the horizon; it is served by a backend
    that its workload may use; a replica computes no more than an hour in an hour and holds no more blocks and sequences
    than it has; all hosting patterns see the same requests; the volume is that of the scenario; and the same seed gives
    the same bytes.

    Args:
        scenario: The scenario, or the file it stands in.
        patterns: Only these hosting patterns, or one.
        replications: How many.
        extensions: See `simulator.run`.

    Returns:
        The result.

    Raises:
        AssertionError: Every law that does not hold.
        ScenarioError: The scenario cannot be simulated.
    """
    with using(**(extensions or {})):
        scenario = as_scenario(scenario)
        asked: dict[str, Any] = {"patterns": patterns, "replications": replications, "band": False, "outlook": False}
        results = run(scenario, **asked)
        broken = [*_counts(results), *_demand(results)]
        for name in dict.fromkeys(results.tables.shared.values()):
            broken += [f"{name}: {law}" for law in _requests(results, name)]
        broken += _levels(results.levels)
        if run(scenario, **asked).to_json() != results.to_json():
            broken.append("the same seed gives other bytes: something draws without the generator it was given")
    if broken:
        raise AssertionError("\n".join(broken))
    return results


def _counts(results: Results) -> Iterator[str]:
    rows = results.summary()
    ended = rows[list(_ENDS)].sum(axis=1)
    # Each is a mean over replications, rounded.
    for row in rows[(rows["arrived"] - ended).abs() > len(_ENDS)].itertuples():
        yield f"{row.pattern} {row.workload}: {row.arrived} requests arrived, and not as many ended"


def _demand(results: Results) -> Iterator[str]:
    for name, one in results.demand.items():
        away, chance = abs(one.arrived_requests - one.expected_requests), 6.0 * sqrt(one.expected_requests)
        if away > chance + 0.1 * one.expected_requests:
            yield f"{name}: {one.arrived_requests:,.0f} requests arrived, {one.expected_requests:,.0f} were asked for"


def _requests(results: Results, name: str) -> Iterator[str]:
    rows, horizon_s = results.tables.requests(name), results.scenario.horizon.duration_s
    drawn = synthesise(results.scenario, 0)
    known = drawn.arrival_s[drawn.arrival_s < horizon_s]
    if not np.array_equal(rows["arrival_s"].to_numpy(), known):
        yield "its requests are not those that every hosting pattern gets"
    if (rows[["prompt_tokens", "output_tokens"]] < 1).any(axis=None) or (rows["arrival_s"] < 0.0).any():
        yield "a request without a token, or before the horizon"
    stamps = rows[list(_STAMPS)]
    for first, second in pairwise(_STAMPS):
        if (stamps[second] < stamps[first] - _EPSILON_S).any():
            yield f"{second} comes before {first}"
    if (stamps > horizon_s + _EPSILON_S).any(axis=None):
        yield "something happens after the horizon"
    done = rows[rows["outcome"] == "completed"]
    if done[list(_STAMPS)].isna().any(axis=None):
        yield "a request is completed without every stamp"
    yield from _places(results, name, done)


def _places(results: Results, name: str, done: pd.DataFrame) -> Iterator[str]:
    pattern = results.scenario.hosting_patterns[name]
    for workload, may in permitted(results.scenario, pattern).items():
        allowed = {backend for backend, yes in zip(pattern.backend_names, may, strict=True) if yes}
        if wrong := set(done[done["workload"] == workload]["backend"].astype(str)) - allowed:
            yield f"{workload} is served by {', '.join(sorted(wrong))}, which may not see it"


def _levels(rows: pd.DataFrame) -> Iterator[str]:
    if rows.empty:
        return
    for used, most in (("busy_s", 1.0), ("sequence_s", rows["max_num_seqs"]), ("kv_block_s", rows["kv_blocks"])):
        if (rows[used] > most * HOUR_S * (1.0 + 1e-9) + _EPSILON_S).any():
            yield f"a replica has more {used} in an hour than there is"
