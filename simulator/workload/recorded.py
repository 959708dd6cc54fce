"""What a replayed trace holds and brings, in sums: each found in one pass, for whoever asks next as well."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from simulator.workload.calendar import ClinicalCalendar
from simulator.workload.recording import recording
from simulator.workload.replay import repeated_s, replayed, wanted_parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from simulator.scenario.horizon import Horizon
    from simulator.scenario.schema import Scenario
    from simulator.scenario.workloads import RecordedWorkload
    from simulator.trace.request_table import RequestTable


@dataclass(frozen=True, slots=True)
class Counted:
    """How often whole numbers occur.

    Attributes:
        value: int64, ascending.
        count: int64, at least 1.
    """

    value: NDArray[np.int64]
    count: NDArray[np.int64]

    @classmethod
    def of(cls, parts: Sequence[NDArray[np.int64]]) -> Counted:
        """Values and counts one part after the other."""
        values = np.concatenate([[], *(part[0] for part in parts)]).astype(np.int64)
        value, place = np.unique(values, return_inverse=True)
        count = np.zeros(len(value), np.int64)
        np.add.at(count, place, np.concatenate([[], *(part[1] for part in parts)]).astype(np.int64))
        return cls(value, count)

    def share_above(self, most: int) -> float:
        """Share of the numbers that are greater; 0 where there are none."""
        whole = int(self.count.sum())
        return int(self.count[self.value > most].sum()) / whole if whole else 0.0


@dataclass(frozen=True, slots=True)
class Sums:
    """Requests, and their tokens as they were recorded."""

    requests: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0

    def with_(self, table: RequestTable) -> Sums:
        """These and some more."""
        return Sums(
            self.requests + len(table),
            self.prompt_tokens + int(table.prompt_tokens.sum(dtype=np.int64)),
            self.output_tokens + int(table.output_tokens.sum(dtype=np.int64)),
        )


@dataclass(frozen=True, slots=True)
class Content:
    """The requests of a trace that are sent, each once.

    Attributes:
        repeated: Those that are sent again and again; none where nothing is repeated.
        prompt: Tokens of their prompts.
        answered: Tokens of prompt and answer, which the output limit cuts.
        reserved: Tokens of the prompt and the output limit.
        thinks: Whether any of them thought before its answer.
    """

    repeated: Sums
    prompt: Counted
    answered: Counted
    reserved: Counted
    thinks: bool


@dataclass(frozen=True, slots=True)
class Played:
    """What a trace brings within a horizon.

    Attributes:
        measured: What arrives once the warm-up is over.
        cell_tokens: float64, prompt and output tokens by cell of the calendar.
    """

    measured: Sums
    cell_tokens: NDArray[np.float64]


def content(load: RecordedWorkload) -> Content:
    """What a recorded workload sends.

    Raises:
        TraceError: A recorded trace cannot be read.
    """
    return _content(_Asked.of(load))


def played(load: RecordedWorkload, scenario: Scenario) -> Played:
    """What a recorded workload brings within the horizon of its scenario.

    Raises:
        TraceError: A recorded trace cannot be read.
    """
    return _played(_Asked.of(load, scenario.horizon, scenario.experiment.warm_up))


@dataclass(frozen=True, slots=True)
class _Asked:
    """A recorded workload and where it is replayed, known by all that its sums depend on."""

    key: tuple[object, ...]
    load: RecordedWorkload = field(compare=False)
    horizon: Horizon | None = field(compare=False)
    from_s: float

    @classmethod
    def of(cls, load: RecordedWorkload, horizon: Horizon | None = None, from_s: float = 0.0) -> _Asked:
        how = load.model_dump_json(include={"trace", "max_tokens"})
        when = None if horizon is None else horizon.model_dump_json()
        return cls((recording(load.trace.file).sha256, how, when), load, horizon, from_s)


@lru_cache(maxsize=64)
def _content(asked: _Asked) -> Content:
    load = asked.load
    lasts_s = repeated_s(load, recording(load.trace.file))
    repeated, found, thinks = Sums(), [Counted.of([]) for _ in range(3)], False
    for part in wanted_parts(load):
        if lasts_s is not None:
            repeated = repeated.with_(part.rows(slice(int(np.searchsorted(part.arrival_s, lasts_s)))))
        thinks |= bool(part.thinking_tokens.any())
        prompt = part.prompt_tokens.astype(np.int64)
        most = part.max_tokens if load.max_tokens is None else np.full(len(part), load.max_tokens)
        for number, tokens in enumerate((prompt, prompt + np.minimum(part.output_tokens, most), prompt + most)):
            new = np.unique(tokens, return_counts=True)
            before = found[number]
            found[number] = Counted.of([np.array([before.value, before.count]), np.array(new)])
    return Content(repeated, found[0], found[1], found[2], thinks)


@lru_cache(maxsize=64)
def _played(asked: _Asked) -> Played:
    assert asked.horizon is not None
    cells = ClinicalCalendar(asked.horizon).cells
    measured, tokens = Sums(), np.zeros(len(cells.start_s))
    for part in replayed(asked.load, cells):
        cell = np.searchsorted(cells.start_s, part.arrival_s, side="right") - 1
        tokens += np.bincount(cell, weights=part.prompt_tokens + part.output_tokens, minlength=len(tokens))
        measured = measured.with_(part.rows(part.arrival_s >= asked.from_s))
    return Played(measured, tokens)
