"""What the doubt about a cluster's step times does to its result."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BandEnd:
    """A cluster whose every step lasts longer or shorter than its profile says, in the first replication.

    Attributes:
        factor: By how much.
        e2e_p99_s: By workload.
        missed: Workloads that miss their objectives.
        cannot_tell: Workloads of which this replication cannot tell.
    """

    factor: float
    e2e_p99_s: dict[str, float | None]
    missed: list[str]
    cannot_tell: list[str]


@dataclass(frozen=True, slots=True)
class StepTimeBandResult:
    """What the doubt about a cluster's step times does to the result.

    Attributes:
        label: Whether the profile is measured, derived or estimated.
        source: Where the doubt comes from.
    """

    label: str
    source: str
    low: BandEnd
    high: BandEnd
