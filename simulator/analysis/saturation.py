"""Whether a hosting pattern keeps up with its demand, judged by where its queue is going."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, Protocol

from simulator.analysis.backlog import Drift, drift_of
from simulator.analysis.share import exceeds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simulator.analysis.backlog import Backlog

Saturation = Literal["stable", "backlogged", "overloaded"]

#: Share of the requests that may be turned away, or have to repeat their call, before it counts.
_FEW: Final = 0.01
#: Why a request is lost that no more room would have saved.
_ELSE: Final = ("error", "fault", "too_long")


class Group(Protocol):
    """Requests that are judged together; see `simulator.analysis.metrics.Group`."""

    @property
    def arrived(self) -> int: ...  # noqa: D102
    @property
    def outcomes(self) -> Mapping[str, int]: ...  # noqa: D102
    @property
    def lost(self) -> Mapping[str, int]: ...  # noqa: D102
    @property
    def backlog(self) -> Backlog | None: ...  # noqa: D102


class Run(Protocol):
    """A replication; see `simulator.analysis.metrics.RunSummary`."""

    @property
    def total(self) -> Group: ...  # noqa: D102
    @property
    def workloads(self) -> Mapping[str, Group]: ...  # noqa: D102
    @property
    def queued(self) -> bool: ...  # noqa: D102
    @property
    def repeated(self) -> int: ...  # noqa: D102


def saturation_of(runs: Sequence[Run]) -> Saturation:
    """Whether a hosting pattern keeps up, by all its replications.

    *Overloaded*: more than one request in a hundred is turned away for want of room or gives up waiting, beyond what
    chance explains, or the backlog of the whole, or of one of its workloads, grows
    (`simulator.analysis.backlog.drift_of`). *Backlogged*: it may grow, or more may be turned away, but there is too
    little to say; or more wait in the clusters than run over some hour, or more than one request in a hundred has to
    repeat its call to the API. *Stable* otherwise.
    """
    arrived = max(1, sum(run.total.arrived for run in runs))
    whole, *parts = drifts(runs).values()
    lost = [_turned_away(run) for run in runs]
    if exceeds(lost, [run.total.arrived for run in runs], _FEW) or any(drift.grows for drift in (whole, *parts)):
        return "overloaded"
    repeated = sum(run.repeated for run in runs) / arrived
    may_grow = any(drift.may_grow for drift in (whole, *parts)) or sum(lost) > _FEW * arrived
    return "backlogged" if may_grow or repeated > _FEW or any(run.queued for run in runs) else "stable"


def turned_away(runs: Sequence[Run]) -> float:
    """Share of the arrivals that were refused for want of room, or gave up waiting."""
    return sum(map(_turned_away, runs)) / max(1, sum(run.total.arrived for run in runs))


def _turned_away(run: Run) -> int:
    given_up = sum(run.total.outcomes.get(outcome, 0) for outcome in ("rejected", "timed_out"))
    return given_up - sum(run.total.lost.get(reason, 0) for reason in _ELSE)


def drifts(runs: Sequence[Run]) -> dict[str | None, Drift]:
    """Where the queue of the whole is going, under None, and that of each workload."""
    names = list(runs[0].workloads)
    if len(names) < 2:
        # One workload is the whole.
        whole = _drift([run.total for run in runs], 1)
        return {None: whole} | dict.fromkeys(names, whole)
    parts = {name: _drift([run.workloads[name] for run in runs], len(names) + 1) for name in names}
    return {None: _drift([run.total for run in runs], len(names) + 1)} | parts


def _drift(groups: Sequence[Group], tested: int) -> Drift:
    found = [group.backlog for group in groups if group.backlog is not None]
    return drift_of(found, tested) if found else Drift(None, 0.0, may_grow=False, grows=False)
