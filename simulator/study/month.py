"""A month of a rollout."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PatternMonth:
    """One hosting pattern in one month.

    Attributes:
        monthly_cost_usd: The bill, the amortisation of purchases included.
        running_usd: The bill without it: what is paid once the hardware is there.
        e2e_p99_s: Of all requests; None where nothing completed.
        busy_fraction: Of its clusters; None without one.
        missed: Why it will not do at this volume, beyond what chance explains; None where it will.
        feasible: Whether it may be used at all in this month; where not, nothing was simulated and nothing costs.
        gone: Why nobody can have it any more, whatever it cost until then: a model of it is shut down; None where it
            is there. It is in `missed` too.
    """

    monthly_cost_usd: float
    running_usd: float
    e2e_p99_s: float | None
    busy_fraction: float | None
    missed: str | None
    feasible: bool = True
    gone: str | None = None

    @property
    def out(self) -> str | None:
        """Why it cannot be used in this month; None where it can, whether or not it will do."""
        return self.gone or (None if self.feasible else self.missed or "it is not feasible")


@dataclass(frozen=True, slots=True)
class Month:
    """One month.

    Attributes:
        number: Since the start; the first is 1.
        date: Calendar month, such as 2027-01.
        share: Share of the scenario's volume.
        users: Users; None where the scenario does not say how many there are.
        tokens_per_month: Prompt plus output tokens served.
        patterns: By name, every pattern of the rollout.
    """

    number: int
    date: str
    share: float
    users: float | None
    tokens_per_month: int
    patterns: dict[str, PatternMonth]
