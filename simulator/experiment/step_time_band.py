"""What the doubt about a cluster's step times does to its result."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class BandEnd:
    """A cluster whose every step lasts longer or shorter than its profile says, in the first replication.

    Attributes:
        factor: By how much.
        e2e_p99_s: By workload.
        missed: Workloads that miss their objectives.
        cannot_tell: Workloads of which this replication cannot tell.
        overloaded: Whether its queue grows.
        times_as_long: By workload and limit (`ttft_s`, `e2e_s`), how many times as long as at the profile's own speed
            the wanted share of the requests takes; None where fewer are answered.
        cost_more_usd: What it costs beyond the profile's own speed, a month, by line of the bill.
    """

    factor: float
    e2e_p99_s: dict[str, float | None]
    missed: list[str]
    cannot_tell: list[str]
    overloaded: bool = False
    times_as_long: dict[str, dict[str, float | None]] = field(default_factory=dict)
    cost_more_usd: dict[str, float] = field(default_factory=dict)


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
