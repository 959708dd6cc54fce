"""From a scenario to a table of requests."""

from __future__ import annotations

from functools import cache, partial
from itertools import starmap
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from simulator.errors import Fault, ScenarioError
from simulator.scenario.arrivals import AtOnceArrivals
from simulator.scenario.workloads import RecordedWorkload
from simulator.streams import stream
from simulator.trace.request_table import COLUMNS, RequestTable, joined
from simulator.units import DAY_S
from simulator.workload.calendar import ClinicalCalendar
from simulator.workload.conversations import draw_turns, growing_prompts
from simulator.workload.departments import draw_departments, length_factors
from simulator.workload.following import linked, waits_for_answers
from simulator.workload.lengths import draw_lengths
from simulator.workload.prefixes import PREFIXES_PER_WORKLOAD, Identities, Levels, single_prefix
from simulator.workload.replay import arriving, expected_replayed
from simulator.workload.thinking import goes_on_with, said, with_thinking
from simulator.workload.volume import expected_requests, requests_of_one

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from simulator.scenario.schema import Scenario
    from simulator.scenario.workloads import SyntheticWorkload
    from simulator.workload.calendar import Cells
    from simulator.workload.departments import Streams

    Columns = tuple[NDArray[Any], ...]

_WORKLOAD: Final = COLUMNS.index("workload")
#: Drawn at a time: some 4 GB.
MOST_REQUESTS: Final = 20_000_000
#: Of one simulation: most of an hour of one core, and some 25 GB of tables.
MOST_IN_ALL: Final = 500_000_000


def synthesise(scenario: Scenario, replication: int, calendar: ClinicalCalendar | None = None) -> RequestTable:
    """Requests of one replication, the same for every hosting pattern.

    Each synthetic workload draws its days, arrivals, lengths and prefixes from streams of its own; recorded ones are
    the same in every replication.

    Raises:
        ScenarioError: See `refuse_too_many`.
        TraceError: A recorded trace cannot be read.
    """
    return joined([table for table, _ in synthesise_parts(scenario, replication, calendar)])


def synthesise_parts(
    scenario: Scenario, replication: int, calendar: ClinicalCalendar | None = None
) -> Iterator[tuple[RequestTable, float]]:
    """The same requests a stretch of the calendar at a time, each part with the moment at which the next one begins.

    A horizon of up to seven weeks with up to two million requests has one part, and so has one in which requests wait
    for each other's answers. How recorded requests are divided changes nothing of what is drawn.

    Raises:
        ScenarioError: See `refuse_too_many`.
        TraceError: See `synthesise`.
    """
    calendar = calendar or ClinicalCalendar(scenario.horizon)
    expected = _expected(scenario, calendar)
    cells, portions = _cut(scenario, calendar.cells, expected)
    names = tuple(scenario.workloads)
    prefixes = Identities(len(names) * PREFIXES_PER_WORKLOAD)
    sources = [
        _recorded(load, number, portions, prefixes)
        if isinstance(load, RecordedWorkload)
        else None
        if load.follows is not None
        else _ahead(
            _synthetic(scenario, name, load, number, replication, expected[name], cells, prefixes), cells, portions
        )
        for number, (name, load) in enumerate(scenario.workloads.items())
    ]
    if waits_for_answers(scenario):
        end_s = scenario.horizon.duration_s
        drawn = [None if source is None else _within(source, end_s) for source in sources]
        columns, links = linked(scenario, drawn, replication, prefixes)
        none_late = tuple(column[:0] for column in columns)
        yield prefixes.nested(RequestTable(names, *columns, links=links), none_late), end_s
        return
    late: list[Columns] = []
    for _, stretch in portions.stretches():
        # In no variable: nothing of what was handed on stays in memory here.
        yield (
            prefixes.nested(
                RequestTable(
                    names, *_due(late, [next(source) for source in sources if source is not None], stretch.end_s)
                ),
                late[0],
            ),
            stretch.end_s,
        )


def _within(source: Iterator[Columns], end_s: float) -> Columns:
    """All that one workload asks before a moment."""
    columns = [np.concatenate(column) for column in zip(*source, strict=True)]
    return tuple(column[columns[0] < end_s] for column in columns)


def _ahead(drawn: Iterator[Columns], cells: Cells, portions: Cells) -> Iterator[Columns]:
    """By portion of the calendar, what is drawn of the stretch that begins with it; nothing where none does."""
    begin_s = {stretch.start_s[0] for _, stretch in cells.stretches()}
    nothing: Columns = ()
    for _, portion in portions.stretches():
        columns = [next(drawn) if portion.start_s[0] in begin_s else nothing]
        nothing = tuple(column[:0].copy() for column in columns[0])
        # In no variable: nothing of what was handed on stays in memory here.
        yield columns.pop()


def _due(late: list[Columns], drawn: list[Columns], end_s: float) -> Columns:
    """What arrives before a moment, in order; the rest of it is then `late`.

    What arrives at once comes in the order of the workloads, wherever a portion ends.
    """
    columns = [np.concatenate(column) for column in zip(*late, *drawn, strict=True)]
    order = np.argsort(columns[_WORKLOAD], kind="stable")
    order = order[np.argsort(columns[0][order], kind="stable")]
    columns = [column[order] for column in columns]
    due = int(np.searchsorted(columns[0], end_s))
    late[:] = [tuple(column[due:].copy() for column in columns)]
    return tuple(column[:due] for column in columns)


def room_for(scenario: Scenario, calendar: ClinicalCalendar | None = None) -> int:
    """A number of requests that hardly any replication will reach: three times what is expected, and a million."""
    return int(3.0 * expected_in_all(scenario, calendar)) + 1_000_000


def expected_in_all(scenario: Scenario, calendar: ClinicalCalendar | None = None) -> float:
    """Expected requests of a replication."""
    calendar = calendar or ClinicalCalendar(scenario.horizon)
    expected = 0.0
    for load in scenario.workloads.values():
        if isinstance(load, RecordedWorkload):
            expected += float(expected_replayed(load, calendar.cells).sum())
        else:
            expected += requests_of_one(load) * float(expected_requests(load, scenario, calendar).sum())
    return expected


def refuse_too_many(scenario: Scenario, calendar: ClinicalCalendar | None = None) -> None:
    """Say that there are too many requests before they fill the memory, or hours.

    Raises:
        ScenarioError: More are expected at a time than `MOST_REQUESTS`, or in all than `MOST_IN_ALL`.
    """
    calendar = calendar or ClinicalCalendar(scenario.horizon)
    _cut(scenario, calendar.cells, _expected(scenario, calendar))


def _expected(scenario: Scenario, calendar: ClinicalCalendar) -> dict[str, NDArray[np.float64]]:
    """By workload that is not recorded: what begins in each cell."""
    return {
        name: expected_requests(load, scenario, calendar)
        for name, load in scenario.workloads.items()
        if not isinstance(load, RecordedWorkload)
    }


def _cut(scenario: Scenario, cells: Cells, expected: Mapping[str, NDArray[np.float64]]) -> tuple[Cells, Cells]:
    """The calendar in stretches that are drawn at a time, and in portions of them that are handed over at a time.

    There are as many portions as recorded and drawn requests together ask for.

    Raises:
        ScenarioError: See `refuse_too_many`.
    """
    drawn = np.zeros(len(cells.start_s))
    for name, begun in expected.items():
        load = scenario.workloads[name]
        assert not isinstance(load, RecordedWorkload)
        own = requests_of_one(load) * begun
        if isinstance(load.arrivals, AtOnceArrivals):
            drawn[0] += own.sum()
        else:
            drawn += own
    # Some are sent when others are answered: all of them are needed.
    is_whole = waits_for_answers(scenario) or any(load.clients is not None for load in scenario.workloads.values())
    cells = cells if is_whole else cells.cut(drawn)
    for load in scenario.workloads.values():
        if isinstance(load, RecordedWorkload):
            drawn = drawn + expected_replayed(load, cells)
    portions = cells if is_whole else cells.cut(drawn)
    in_all = float(drawn.sum())
    at_a_time = in_all if is_whole else max(float(drawn[rows].sum()) for rows, _ in portions.stretches())
    for found, most, what in ((in_all, MOST_IN_ALL, ""), (at_a_time, MOST_REQUESTS, " to draw at a time")):
        if found > most:
            days = scenario.horizon.duration_s / DAY_S
            said = f"{found:,.0f} requests are too many{what}, expected at most {most:,}"
            raise ScenarioError([Fault(scenario.name, 0, "workloads", f"{said}; the horizon has {days:,.3g} days")])
    return cells, portions


def _recorded(workload: RecordedWorkload, number: int, cells: Cells, prefixes: Identities) -> Iterator[Columns]:
    moved = np.int32(prefixes.of(workload.trace.file))
    for table in arriving(workload, cells):
        size, max_tokens, priority = len(table), table.max_tokens, table.priority
        if workload.max_tokens is not None:
            max_tokens = np.full(size, workload.max_tokens, np.int32)
        if workload.priority is not None:
            priority = np.full(size, workload.priority, np.int8)
        yield (
            table.arrival_s,
            np.full(size, number, np.int16),
            table.prompt_tokens,
            np.minimum(table.output_tokens, max_tokens),
            max_tokens,
            np.where(table.prefix_id < 0, table.prefix_id, table.prefix_id + moved),
            table.prefix_tokens,
            priority,
            np.minimum(table.thinking_tokens, max_tokens),
        )


def _synthetic(
    scenario: Scenario,
    name: str,
    workload: SyntheticWorkload,
    number: int,
    replication: int,
    expected: NDArray[np.float64],
    cells: Cells,
    prefixes: Identities,
) -> Iterator[Columns]:
    @cache
    def rng(purpose: str) -> np.random.Generator:
        # One for each purpose, on which all stretches of the calendar draw in turn.
        return stream(scenario.experiment.seed, replication, f"workload/{name}/{purpose}")

    begun = draw_departments(workload, expected, cells, rng)
    nested = isinstance(workload.shared_prefix, list) or workload.turns is not None
    levels = Levels(workload, prefixes) if nested else None
    return starmap(partial(_requests, workload, number, length_factors(workload, rng), cells.end_s, levels, rng), begun)


def _requests(
    workload: SyntheticWorkload,
    number: int,
    factor: NDArray[np.float64] | None,
    end_s: float,
    levels: Levels | None,
    rng: Streams,
    begin_s: NDArray[np.float64],
    department: NDArray[np.int64],
) -> Columns:
    """Requests that begin, or whose conversations begin, at these moments in these departments."""
    turn, arrival_s = None, begin_s
    if workload.turns is not None:
        turn = draw_turns(workload.turns, begin_s, rng("turns"))
        arrival_s, department = turn.arrival_s, department[turn.conversation]
    longer = None if factor is None else factor[department]
    prompt, output = draw_lengths(workload, len(arrival_s), rng("lengths"), longer)
    output, thinking = with_thinking(workload, output, partial(rng, "thinking"), longer)
    kept = arrival_s < end_s
    if workload.turns is not None and turn is not None:
        whole = growing_prompts(workload.turns, turn, prompt, said(workload, output, thinking))
        kept &= (whole <= workload.turns.longest) | (turn.first == np.arange(len(whole)))
        prompt = np.minimum(whole, np.iinfo(np.int32).max).astype(np.int32)
        prefix_tokens = prompt + goes_on_with(workload, output, thinking)
    if levels is None:
        prefix_id, prefix_tokens = single_prefix(workload, number, prompt, department, rng("prefixes"))
    elif turn is None:
        prefix_id, prefix_tokens = levels.draw(prompt, department, rng("prefixes"))
    else:
        first = np.unique(turn.first)
        shared = levels.draw(prompt[first], department[first], rng("prefixes"))
        prefix_id = levels.continued(turn.conversation, shared)
    columns = (
        arrival_s,
        np.full(len(kept), number, np.int16),
        prompt,
        output,
        np.full(len(kept), workload.max_tokens, np.int32),
        prefix_id,
        prefix_tokens,
        np.full(len(kept), workload.priority, np.int8),
        thinking,
    )
    return columns if turn is None else tuple(column[kept] for column in columns)
