"""Whether the people there are can run a hosting pattern: by its bill, or a rule of thumb where that is silent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator.decision.rules import STAFFING
from simulator.scenario.rules import shipped_tables
from simulator.scenario.team import SKILLS
from simulator.wording import agreeing, counted

if TYPE_CHECKING:
    from simulator.scenario.patterns import HostingPattern
    from simulator.scenario.team import Team


@dataclass(frozen=True, slots=True)
class Shortage:
    """What a team lacks for a pattern.

    Attributes:
        said: In words, `{of one pattern|of several}` where they differ.
        helps: What would end it.
    """

    said: str
    helps: str

    @property
    def reason(self) -> str:
        """Of one pattern, in words."""
        return agreeing(self.said, 1)


def paid_fte(pattern: HostingPattern) -> float:
    """Full-time equivalents that the bill of a pattern pays for: the shares of `costs.staff` of all its backends."""
    costs = [*(one.costs for one in pattern.hosted.values()), *(api.costs for api in pattern.metered.values())]
    return sum(member.share for cost in costs for member in cost.staff)


def shortages(team: Team | None, pattern: HostingPattern) -> list[Shortage]:
    """Why these people cannot run a pattern; empty where they can, nothing is to be run, or nobody says who there is.

    A bill that pays for people says how many it takes. One that does not is held against the rule of thumb `staffing`.
    A cluster also takes every skill of the checklist.
    """
    if team is None:
        return []
    found = []
    have, paid = team.ml_engineers, paid_fte(pattern)
    if paid > have + 1e-9:
        people = counted(paid, "full-time person")
        said = "{its bill pays|their bills each pay} for " + people + " to run {it|them} (costs.staff), and "
        found.append(Shortage(f"{said}the team has {have:g}", f"{paid:g} people instead of {have:g}"))
    elif not paid and pattern.hosted:
        rules = shipped_tables()[STAFFING].matching({"ml_engineers": have})
        if not any(pattern.kind in rule.answers for rule in rules):
            thumb = "; ".join(rule.text for rule in rules)
            reason = f"by a rule of thumb {counted(have, 'ML engineer')} cannot run {{it|them}} ({thumb})"
            found.append(Shortage(reason, "more engineers, or costs.staff that says how few it takes"))
    missing = [skill for skill in SKILLS if team.skills is not None and skill not in team.skills]
    if missing and pattern.hosted:
        known = ", ".join(missing).replace("_", " ")
        found.append(Shortage(f"nobody knows {known}", f"somebody who knows {known}"))
    return found


def unready(team: Team | None, pattern: HostingPattern) -> str | None:
    """`shortages` where they rule a pattern out; None where they do not."""
    if team is None or not team.rules_out:
        return None
    return "; ".join(one.reason for one in shortages(team, pattern)) or None
