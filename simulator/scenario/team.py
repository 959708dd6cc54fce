"""Who would run a cluster."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field

from simulator.scenario.base import Config

Skill = Literal["deployment", "gpu_infrastructure", "tuning", "monitoring", "security"]
SKILLS: tuple[Skill, ...] = get_args(Skill)


class Team(Config):
    """The people there are; without it, nobody asks whether a pattern can be run.

    A pattern whose bill pays for people (`costs.staff`) takes those; one whose bill is silent is held against the rule
    of thumb `staffing`.
    """

    ml_engineers: Annotated[float, Field(ge=0, le=10_000)]
    """Engineers who serve models, as full-time equivalents."""
    skills: list[Skill] | None = None
    """What they can do; a cluster takes all five. Absent, it is not asked."""
    rules_out: bool = False
    """Whether a pattern that takes more than these people is out; otherwise the verdict says so under "take care"."""
