"""Requests that begin when another one is answered: chains of workloads, and conversations whose client waits.

They are drawn like all others, once for every hosting pattern; when they really come the simulation finds out. Until
then they are taken to come as soon as they could: as if what they follow took no time.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.scenario.workloads import SyntheticWorkload, follows_of
from simulator.streams import stream
from simulator.trace.links import Links
from simulator.trace.request_table import COLUMNS
from simulator.workload.lengths import draw_lengths
from simulator.workload.prefixes import Levels, single_prefix
from simulator.workload.thinking import with_thinking

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from simulator.scenario.arrivals import Follows
    from simulator.scenario.schema import Scenario
    from simulator.workload.prefixes import Identities

    Columns = tuple[NDArray[Any], ...]

_ARRIVAL, _OUTPUT, _PREFIX = (COLUMNS.index(name) for name in ("arrival_s", "output_tokens", "prefix_id"))


def waits_for_answers(scenario: Scenario) -> bool:
    """Whether any of its requests begins when another one is answered."""
    return any(follows_of(load) is not None or _waits_in_turn(load) for load in scenario.workloads.values())


def linked(
    scenario: Scenario, drawn: Sequence[Columns | None], replication: int, prefixes: Identities
) -> tuple[Columns, Links]:
    """All requests, in the order in which they could come at the soonest.

    Args:
        scenario: The scenario.
        drawn: By workload, the requests that come by themselves; None where they follow others.
        replication: Number of the replication.
        prefixes: Gives out the identities of their prefixes.

    Returns:
        The columns of their table, and which of them wait for another one's answer.
    """
    names = list(scenario.workloads)
    found = {name: columns for name, columns in zip(names, drawn, strict=True) if columns is not None}
    begins: dict[str, int] = {}
    after: list[NDArray[np.int64]] = []
    delay_s: list[NDArray[np.float64]] = []
    size = 0
    for name in sorted(names, key=lambda name: len(scenario.chain(name))):
        load, begins[name] = scenario.workloads[name], size
        if isinstance(load, SyntheticWorkload) and load.follows is not None:
            parent = found[load.follows.workload]
            number = names.index(name)
            found[name], own, wait_s = _following(scenario, number, load, load.follows, parent, replication, prefixes)
            own = own + begins[load.follows.workload]
        elif _waits_in_turn(load):
            own, wait_s = _turns(found[name])
            own = np.where(own >= 0, own + size, -1)
        else:
            own, wait_s = np.full(len(found[name][0]), -1), np.zeros(len(found[name][0]))
        after.append(own)
        delay_s.append(wait_s)
        size += len(own)
    columns = [np.concatenate(column) for column in zip(*(found[name] for name in begins), strict=True)]
    order = np.argsort(columns[_ARRIVAL], kind="stable")
    links = Links(np.concatenate(after).astype(np.int64), np.concatenate(delay_s))
    return tuple(column[order] for column in columns), links.sorted(order)


def _waits_in_turn(load: object) -> bool:
    turns = load.turns if isinstance(load, SyntheticWorkload) else None
    return turns is not None and turns.think_from == "answer"


def _turns(columns: Columns) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The request before, in each one's conversation, which is what has their prefix; -1 for none."""
    conversation, arrival_s = columns[_PREFIX], columns[_ARRIVAL]
    order = np.lexsort((arrival_s, conversation))
    goes_on = conversation[order][1:] == conversation[order][:-1]
    after, delay_s = np.full(len(order), -1), np.zeros(len(order))
    after[order[1:][goes_on]] = order[:-1][goes_on]
    delay_s[order[1:][goes_on]] = np.diff(arrival_s[order])[goes_on]
    return after, delay_s


def _following(
    scenario: Scenario,
    number: int,
    load: SyntheticWorkload,
    follows: Follows,
    before: Columns,
    replication: int,
    prefixes: Identities,
) -> tuple[Columns, NDArray[np.int64], NDArray[np.float64]]:
    """The requests that follow others, the row of the one that each follows, and how long after it."""

    def rng(purpose: str) -> np.random.Generator:
        name = list(scenario.workloads)[number]
        return stream(scenario.experiment.seed, replication, f"workload/{name}/{purpose}")

    lot = rng("follows")
    after = np.flatnonzero(lot.random(len(before[0])) < follows.share)
    size = len(after)
    delay_s = follows.delay * np.exp(follows.delay_sigma * lot.standard_normal(size))
    prompt, output = draw_lengths(load, size, rng("lengths"))
    if follows.correlation > 0.0:
        place = _ranked_like(before[_OUTPUT][after], prompt, follows.correlation, lot)
        prompt, output = prompt[place], output[place]
    output, thinking = with_thinking(load, output, partial(rng, "thinking"))
    department = np.zeros(size, np.int64)
    if isinstance(load.shared_prefix, list):
        prefix_id, prefix_tokens = Levels(load, prefixes).draw(prompt, department, rng("prefixes"))
    else:
        prefix_id, prefix_tokens = single_prefix(load, number, prompt, department, rng("prefixes"))
    columns = (
        before[_ARRIVAL][after] + delay_s,
        np.full(size, number, np.int16),
        prompt,
        output,
        np.full(size, load.max_tokens, np.int32),
        prefix_id,
        prefix_tokens,
        np.full(size, load.priority, np.int8),
        thinking,
    )
    return columns, after, delay_s


def _ranked_like(
    answer: NDArray[np.int32], prompt: NDArray[np.int32], correlation: float, rng: np.random.Generator
) -> NDArray[np.intp]:
    """An order of the prompts in which their ranks go with those of the answers (Iman and Conover 1982)."""
    normal = np.sort(rng.standard_normal(len(answer)))
    # Equal lengths in a random order.
    of_answer, of_prompt = (np.lexsort((rng.random(len(answer)), lengths)) for lengths in (answer, prompt))
    score = np.empty(len(answer))
    score[of_answer] = correlation * normal
    score += np.sqrt(1.0 - correlation**2) * rng.standard_normal(len(answer))
    place = np.empty(len(answer), np.intp)
    place[np.argsort(score, kind="stable")] = of_prompt
    return place
