"""The questions of `simulator init --ask`, and the answers that options gave."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from simulator.errors import Fault, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.scenario.interview import Answers


def asked(given: dict[str, Any], month: str | None, path: Path) -> str:
    """The scenario that the answers make, which are asked for where they are not given.

    Raises:
        ScenarioError: An answer is wrong, or missing where nobody can be asked.
    """
    from simulator.scenario.interview import Answers, composed, parse_uses

    answers = _Interview(given)
    try:
        uses = answers.get("use", "notes", parse_uses)
        found = Answers(
            uses=uses or (),
            clinicians=answers.get("clinicians", "120", _count) if _needs(uses, "clinicians") else None,
            beds=answers.get("beds", "200", _count) if _needs(uses, "beds") else None,
            may_leave=answers.get("may_leave", "yes", _yes_or_no),
            engineers=answers.get("engineers", "0", _number),
            budget=answers.get("budget", "none", _budget),
            time_zone=answers.get("time_zone", "America/New_York", _zone),
            month=month or _next_month(),
            name=_name(path),
        )
    except typer.Abort:
        raise KeyboardInterrupt from None
    answers.check()
    return _sound(composed(found), found)


def _needs(uses: tuple[str, ...] | None, count: str) -> bool:
    from simulator.scenario.interview import needed

    return uses is not None and count in needed(uses)


def _sound(text: str, answers: Answers) -> str:
    """The file, after a look at whether it is a scenario.

    Raises:
        ScenarioError: It is none, as an answer has a form that cannot be told earlier.
    """
    import tempfile

    from simulator.experiment.checks import load_checked
    from simulator.files import write_whole

    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "scenario.yaml"
        write_whole(draft, text)
        try:
            load_checked(draft)
        except ScenarioError as error:
            place = {"horizon.month": "--month", "constraints.monthly_cost_at_most": "--budget"}
            raise ScenarioError(
                [
                    Fault(place.get(one.key, f"the scenario for {answers.name}"), 0, one.key, one.message)
                    for one in error.faults
                ]
            ) from None
    return text


class _Interview:
    """Asks for what was not given as an option."""

    def __init__(self, given: dict[str, Any]) -> None:
        self._given = given
        self._faults: list[Fault] = []

    def get(self, key: str, default: str, parse: Callable[[str], Any]) -> Any:  # noqa: ANN401 - an answer is anything
        """An answer, parsed; None where it is missing and nobody can be asked."""
        given = self._given[key]
        if isinstance(given, str):
            try:
                return parse(given)
            except ScenarioError as error:
                self._faults += error.faults
                return None
        if given is not None:
            return given
        if key in ("budget", "time_zone") and not sys.stdin.isatty():
            return parse(default)
        if not sys.stdin.isatty():
            option = "--may-leave or --must-stay" if key == "may_leave" else f"--{key}"
            self._faults.append(
                Fault("init --ask", 0, option, "is missing, and standard input is no terminal to ask at")
            )
            return None
        while True:
            answer = typer.prompt(_question(key), default=default, err=True)
            try:
                return parse(answer)
            except (ScenarioError, ValueError) as error:
                typer.echo(f"  {error}", err=True)

    def check(self) -> None:
        """Raise ScenarioError for everything that is missing or wrong."""
        if self._faults:
            raise ScenarioError(self._faults)


def _question(key: str) -> str:
    from simulator.scenario.interview import USES

    what = ", ".join(f"{name} ({words})" for name, (_, words) in USES.items())
    return {
        "use": f"What for? Some of {what}",
        "clinicians": "How many clinicians would use it",
        "beds": "How many staffed beds",
        "may_leave": "May health information go to an API, under an agreement (yes or no)",
        "engineers": "How many people could run GPUs, as full-time equivalents (0: nobody)",
        "budget": "Most it may cost, such as 5000 USD/month",
        "time_zone": "Time zone",
    }[key]


def _count(text: str) -> int:
    number = int(text.replace(",", "")) if text.replace(",", "").isdecimal() else 0
    if not 0 < number <= 1_000_000:
        raise ValueError("expected a whole number from 1 to 1,000,000")
    return number


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 10_000:
        raise ValueError("expected a number from 0 to 10,000, such as 0.5")
    return number


def _yes_or_no(text: str) -> bool:
    words = {"yes": True, "y": True, "no": False, "n": False}
    if text.strip().lower() not in words:
        raise ValueError("expected yes or no")
    return words[text.strip().lower()]


def _budget(text: str) -> str | None:
    from simulator.units import number_in, parse_usd_per_month

    text = text.strip()
    if text.lower() in ("", "none", "no"):
        return None
    try:
        parse_usd_per_month(text)
    except ValueError as error:
        rough = number_in(text)
        hint = f"; did you mean '{rough} USD/month'?" if rough and "-" not in text else ""
        raise ScenarioError([Fault("--budget", 0, text, f"{error}{hint}")]) from None
    return text


def _zone(text: str) -> str:
    from zoneinfo import available_timezones

    from simulator.errors import nearest

    if text not in available_timezones():
        near = nearest(text, sorted(available_timezones()))
        near = near if near.startswith("did") else "expected an IANA time zone such as America/Chicago or Europe/London"
        raise ScenarioError([Fault("--time-zone", 0, text, near)])
    return text


def _next_month() -> str:
    from datetime import UTC, datetime, timedelta

    today = datetime.now(tz=UTC).date()
    return f"{today.replace(day=1) + timedelta(days=32):%Y-%m}"


def _name(path: Path) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", path.stem.lower()).strip("_")[:64]
    return name if re.match(r"[a-z]", name) else "my_hospital"
