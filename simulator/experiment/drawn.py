"""What was drawn of each workload beside what it asks of the month, in numbers and words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from simulator.wording import counted, is_or_are

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from simulator.analysis.metrics import RunSummary
    from simulator.workload.demand import Demand

#: A difference from here on is put into words.
_WORTH_SAYING: Final = 0.05
#: Mean demand of the measured hours over the month's beyond which they are told to be unlike it.
_UNLIKE: Final = 1.25
#: Fewer requests in all replications, or this share of the month's an hour, say nothing of a workload.
_FEWEST: Final = 10
_QUIETEST: Final = 0.1


@dataclass(frozen=True, slots=True)
class Drawn:
    """One workload.

    Attributes:
        asked_requests_per_month: As its volume says.
        billed_requests_per_month: At the level of its trend: what the bill is for.
        drawn_requests_per_month: What arrived, as a month of such hours; None where nothing is expected in them.
        expected_requests: In the measured hours of a replication.
        arrived_requests: In them, mean over replications.
        notes: Where these differ, in words.
    """

    asked_requests_per_month: float
    billed_requests_per_month: float
    drawn_requests_per_month: float | None
    expected_requests: float
    arrived_requests: float
    notes: list[str]


def drawn(runs: Sequence[RunSummary], demand: Mapping[str, Demand], month_hours: float) -> dict[str, Drawn]:
    """What was drawn, by workload.

    Args:
        runs: Replications of one hosting pattern; all have the same demand.
        demand: What each workload asks.
        month_hours: Hours of the billed month.
    """
    found = {}
    for name, one in demand.items():
        arrived = sum(run.workloads[name].arrived for run in runs) / len(runs)
        monthly = arrived * one.billed / one.expected if one.expected else None
        notes = [f"{name}: {note}" for note in _notes(one, monthly, one.expected / runs[0].hours * month_hours)]
        found[name] = Drawn(one.asked, one.billed, monthly, one.expected, arrived, notes)
    return found


def _notes(one: Demand, monthly: float | None, like_this: float) -> Iterator[str]:
    if one.asked and abs(one.billed / one.asked - 1.0) > _WORTH_SAYING:
        yield f"{one.asked:,.0f} requests a month are asked, {one.billed:,.0f} at its trend: costs are of these"
    if not one.billed:
        return
    if monthly is not None and abs(monthly / one.billed - 1.0) > _WORTH_SAYING:
        yield (
            f"{one.billed:,.0f} requests a month are asked, as many as {monthly:,.0f} a month were drawn: costs are of "
            "what is asked, waits of what was drawn; more replications bring them together"
        )
    times = like_this / one.billed
    if times and not 1.0 / _UNLIKE <= times <= _UNLIKE:
        yield (
            f"the measured hours are {times:.2g} times as busy as the average of the month: costs are of the month, "
            "waits and utilisation of these hours"
        )


def cannot_tell(runs: Sequence[RunSummary], demand: Mapping[str, Demand], month_hours: float) -> str | None:
    """Why these replications say nothing of the month; None where they do."""
    hours = runs[0].hours
    counts = {name: sum(run.workloads[name].arrived for run in runs) for name in demand}
    if not any(counts.values()):
        return f"cannot tell: nothing arrived in the {hours:,.4g} h that were measured"
    reasons = []
    for name, one in demand.items():
        if one.billed < 0.5 and not counts[name]:
            # Nothing is asked, and nothing came.
            continue
        open_at_end = sum(run.workloads[name].outcomes["unfinished"] for run in runs)
        if not counts[name]:
            reasons.append(f"nothing arrived for {name} in the {hours:,.4g} h that were measured")
        elif counts[name] < min(_FEWEST, one.billed):
            few = f"{counted(counts[name], 'request')} of {name} {is_or_are(counts[name])} too few to tell from"
            reasons.append(f"{few}, which takes {_FEWEST}")
        elif one.expected / hours < _QUIETEST * one.billed / month_hours:
            share = one.expected / hours * month_hours / one.billed
            reasons.append(f"{name} asks {share:.2g} times as much in the hours measured as in the month on average")
        elif open_at_end == counts[name]:
            reasons.append(f"none of the {open_at_end:,} requests of {name} had ended when the horizon did")
    return f"cannot tell: {'; '.join(reasons)}" if reasons else None
