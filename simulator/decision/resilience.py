"""Whether a pattern stands the losses it must, and how much of a year it answers; what stops it where nobody asked."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from simulator.compliance.backends import allowed_backends, reachable
from simulator.decision.words import kept_share
from simulator.experiment.losses import asked, parts_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.experiment.losses import Loss, Part
    from simulator.experiment.pattern_result import PatternResult
    from simulator.scenario.patterns import HostingPattern
    from simulator.scenario.schema import Scenario

_ONE = {"replica": "one replica", "node": "one machine", "site": "one site", "api": "one API"}


def fragile(scenario: Scenario, result: PatternResult) -> str | None:
    """Why a pattern does not stand what `survives` and `objectives.availability` ask for; None where it does."""
    must = scenario.constraints.survives
    found = _lost([one for one in result.losses if one.component in must and not one.survived])
    for name, share in result.yearly_availability.items():
        objectives = scenario.workloads[name].objectives
        if objectives is not None and objectives.availability is not None and share < objectives.availability:
            wanted = f"{kept_share(objectives.availability)} wanted"
            found.append(f"expected to answer {kept_share(share)} of {name} over a year ({wanted})")
    return "; ".join(found) or None


def _lost(losses: list[Loss]) -> list[str]:
    """One clause for all losses that do the same."""
    same: dict[str, list[str]] = {}
    for loss in losses:
        broken = {name: hour for name, hour in loss.workloads.items() if not hour.kept}
        shares = {name: hour.answered if hour.within is None else hour.within for name, hour in broken.items()}
        if not any(shares.values()):
            text = f"{', '.join(shares)}: nothing is left"
        else:
            text = ", ".join(f"{name} ({kept_share(share)} of its requests)" for name, share in shares.items())
        same.setdefault(f"in its busiest hour ({loss.at}), for {text}", []).append(_what(loss))
    return [f"does not survive {' or '.join(dict.fromkeys(what))} {rest}" for rest, what in same.items()]


def _what(loss: Loss) -> str:
    if loss.component == "api":
        return f"an outage of {loss.of}"
    named = "" if loss.of == "cluster" else f" of {loss.of}"
    return f"the loss of {('the' if named else 'its') if loss.component == 'site' else 'a'} {loss.component}{named}"


def stands(scenario: Scenario, result: PatternResult) -> list[str]:
    """What a pattern that stands everything was put through, in words; nothing where the scenario asks for nothing."""
    kept = [one for one in result.losses if one.component in scenario.constraints.survives and one.survived]
    found = []
    if kept:
        what = ", ".join(dict.fromkeys(_what(one) for one in kept))
        found.append(
            f"{result.name} keeps every promise in its busiest hour ({kept[0].at}) through {what}, one at a time"
        )
    if result.yearly_availability:
        shares = ", ".join(f"{kept_share(share)} of {name}" for name, share in result.yearly_availability.items())
        hours = ", ".join(dict.fromkeys(f"{_what(one)} {one.hours_per_year:.0f} h" for one in result.losses))
        found.append(f"{result.name} is expected to answer {shares} over a year; hours down, assumed: {hours}")
    return found


def single_points(scenario: Scenario, pattern: HostingPattern) -> Iterator[str]:
    """What stops a workload when it fails, with the hours a year that are expected; none where the scenario asks."""
    if asked(scenario):
        return
    parts, allowed = list(parts_of(scenario, pattern)), allowed_backends(scenario, pattern)
    alike = Counter(part.component for part in parts)
    stopped: dict[tuple[str, str], list[str]] = {}
    for load, row in allowed.items():
        used = {name for name in reachable(pattern, load) if row[name] is None}
        alone = [part for part in parts if used and used <= _takes(pattern, part)]
        if alone:
            total = sum(part.hours_per_year for part in alone)
            each = ", ".join(f"{part.component} {part.hours_per_year:.0f} h" for part in alone)
            first = alone[0]
            # Which of them, where there are several of its kind.
            what = _ONE[first.component] + (f" ({first.of})" if alike[first.component] > 1 else "")
            stopped.setdefault((what, f"about {total:.0f} h a year ({each})"), []).append(load)
    for (what, hours), loads in stopped.items():
        yield f"{what} serves {', '.join(loads)}; its failure stops that, {hours}: assumed, see constraints.failures"


def _takes(pattern: HostingPattern, part: Part) -> set[str]:
    """Backends that are gone when one such part fails."""
    if part.component == "site":
        return {name for name, one in pattern.hosted.items() if (one.cluster.site or name) == part.of}
    if part.component == "api" or part.count == 1:
        return {part.of}
    return set()
