"""A scenario from the answers to a few questions, each default in it with its source in its comment."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from string import Template
from typing import Final, Literal

from simulator.errors import Fault, ScenarioError, meant

#: What a hospital uses language models for, what decides how often, and in which words to ask.
USES: Final[dict[str, tuple[Literal["beds", "clinicians"], str]]] = {
    "notes": ("clinicians", "notes of visits"),
    "messages": ("clinicians", "answers to patients' messages"),
    "appeals": ("clinicians", "appeal letters"),
    "charts": ("clinicians", "questions to charts"),
    "discharges": ("beds", "discharge summaries"),
    "radiology": ("beds", "checks of imaging reports"),
}
#: Whose public holidays apply in a time zone; none elsewhere, which the file says.
HOLIDAYS: Final = {
    "America/New_York": "US", "America/Chicago": "US", "America/Denver": "US", "America/Los_Angeles": "US",
    "America/Phoenix": "US", "America/Toronto": "CA", "Europe/London": "GB-ENG", "Europe/Berlin": "DE",
    "Europe/Paris": "FR", "Europe/Madrid": "ES", "Europe/Rome": "IT", "Europe/Vienna": "AT", "Europe/Zurich": "CH",
    "Europe/Amsterdam": "NL", "Australia/Sydney": "AU",
}  # fmt: skip
#: Admissions of a staffed bed in a month: 33,679,935 a year in 916,752 beds (AHA, Fast Facts on U.S. Hospitals, 2024).
_DISCHARGES_A_BED: Final = 33_679_935 / 916_752 / 12
#: Messages of a clinician in a month: 695 a quarter (Cleveland Clinic, 2021).
_MESSAGES: Final = 695 / 3
#: 1.5 a week (assumed), 52 weeks in twelve months.
_APPEALS: Final = 1.5 * 52 / 12
#: Sessions of a trained user in a month (Stanford ChatEHR).
_CHARTS: Final = 7.1
#: Assumed.
_SCANS_A_BED: Final = 20.0

_HEAD: Final = """\
# yaml-language-server: $$schema=scenario.schema.json
#
# Written by `simulator init --ask`. Every figure says where it comes from: published (source and year), derived from
# that, measured, or assumed; replace what is marked "yours". Check with `simulator validate`, look through with
# `simulator explain`, ask with `simulator run`.
name: $name
horizon: {month: $month, time_zone: $time_zone$holidays} # yours
workloads:
"""


_REFUSED: Final = "    refused_on_purpose: true # data must stay; here to be compared with\n"


@dataclass(frozen=True, slots=True)
class Answers:
    """What was answered.

    Attributes:
        uses: Names of `USES`.
        beds: Staffed beds; None where no use depends on them.
        clinicians: Clinicians who would use it; None where no use depends on them.
        may_leave: Whether health information may go to an API under an agreement.
        engineers: People who could run GPUs, as full-time equivalents.
        budget: Such as 5000 USD/month; None without a limit.
        month: Calendar month, such as 2027-01.
        time_zone: IANA name.
        name: Of the scenario.
    """

    uses: tuple[str, ...]
    beds: int | None
    clinicians: int | None
    may_leave: bool
    engineers: float
    budget: str | None
    month: str
    time_zone: str
    name: str = "my_hospital"


def needed(uses: tuple[str, ...]) -> set[str]:
    """Which counts these uses depend on."""
    return {USES[use][0] for use in uses}


def parse_uses(text: str) -> tuple[str, ...]:
    """Names of uses from a list such as `notes, messages`, each once.

    Raises:
        ScenarioError: One of them is none, or there is none.
    """
    names = tuple(dict.fromkeys(part.strip().lower() for part in text.replace(",", " ").split()))
    known = f"expected some of {', '.join(USES)}"
    faults = [Fault("--use", 0, name, f"{meant(name, USES)} {known}".strip()) for name in names if name not in USES]
    if faults or not names:
        raise ScenarioError(faults or [Fault("--use", 0, "", known)])
    return names


def composed(answers: Answers) -> str:
    """The scenario file."""
    beds, clinicians = answers.beds or 0, answers.clinicians or 0
    holidays = HOLIDAYS.get(answers.time_zone)
    values = {
        "name": answers.name,
        "month": answers.month,
        "time_zone": answers.time_zone,
        "holidays": f", holidays: {holidays}" if holidays else "",
        "beds": f"{beds:,}",
        "clinicians": clinicians,
        "messages": round(_MESSAGES * clinicians),
        "appeals": round(_APPEALS * clinicians),
        "charts": round(_CHARTS * clinicians),
        "discharges": max(1, round(_DISCHARGES_A_BED * beds)),
        "scans": max(1, round(_SCANS_A_BED * beds)),
        "share": f"{100 * min(0.25, answers.engineers or 0.25):g}",
        "refused": "" if answers.may_leave else _REFUSED,
    }
    parts = [_HEAD, *(_part(use) for use in answers.uses), "hosting_patterns:\n", _part("apis")]
    parts.append(_part("rented" if answers.may_leave else "bought"))
    return Template("".join(parts)).substitute(values) + _constraints(answers)


def _part(name: str) -> str:
    return (resources.files(__name__) / f"{name}.yaml").read_text("utf-8")


def _constraints(answers: Answers) -> str:
    stays = "true # under a business associate agreement" if answers.may_leave else "false # nothing leaves the house"
    lines = ["constraints:", f"  phi_may_leave: {stays}", f"  team: {{ml_engineers: {answers.engineers:g}}} # yours"]
    if answers.budget is not None:
        lines.append(f"  monthly_cost_at_most: {answers.budget} # yours")
    return "\n".join([*lines, "experiment: {replications: 5} # more narrow the intervals", ""])
