"""What a verdict cannot tell without more replications: whether an objective is met, or which of two costs less."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.analysis.output_analysis import fewest, student
from simulator.decision.words import LIMIT_WORDS, duration, kept_share, share_range, share_wanted, usd
from simulator.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from simulator.experiment.pattern_result import PatternResult

#: Of the interval that tells which of two costs less. Of forty people who compare two that cost the same, each with a
#: seed of their own, hardly two may hear of different ones; at 99 % that happens to one group in thirty.
_COST_LEVEL: Final = 0.999
#: How much is made of the spread that is supposed where a single replication shows none: as of four observations.
_PRIOR_FREEDOM: Final = 3
#: Lines of a bill that follow the tokens.
_BY_TOKENS: Final = ("api_prompt", "api_cached_prompt", "api_cache_write", "api_output", "api_long_")


@dataclass(frozen=True, slots=True)
class Undecided:
    """A choice that these replications do not settle.

    Attributes:
        candidates: Patterns any of which may be the one to choose, cheapest first.
        objectives: Those of them of which nobody can tell whether they meet their objectives.
        costs: Those of which nobody can tell whether they cost less than the cheapest that surely does.
        replications_to_tell: How many would tell, should the figures stay what they are; None where 100,000 would not.
        text: The same in words.
    """

    candidates: list[str]
    objectives: list[str]
    costs: list[str]
    replications_to_tell: int | None
    text: str


def undecided(ranked: Sequence[PatternResult]) -> Undecided | None:
    """What keeps the cheapest pattern from being the choice; None where nothing does.

    A pattern cheaper than the first that surely meets its objectives is the choice, should it meet its own. So is one
    that costs less than the first, as far as the replications can tell.

    Args:
        ranked: Patterns that no rule speaks against, cheapest first.
    """
    sure = next((one for one in ranked if one.answer == "met"), None)
    cheaper = [*ranked] if sure is None else ranked[: ranked.index(sure)]
    dearer = [] if sure is None else ranked[ranked.index(sure) + 1 :]
    tied = [one for one in dearer if sure is not None and _cost_alike(sure, one)]
    open_ones = [one for one in ranked if one.answer == "cannot_tell" and (one in cheaper or one in tied)]
    if not open_ones and not tied:
        return None
    rivals = [one for one in ranked if one is sure or one in cheaper or one in tied]
    needed = [count for one in open_ones for count in _objective_counts(one)]
    needed += [_cost_count(sure, one) for one in tied if sure is not None]
    known = [count for count in needed if count is not None]
    enough = max(known) if known and None not in needed else None
    return Undecided(
        candidates=[one.name for one in rivals],
        objectives=[one.name for one in open_ones],
        costs=[one.name for one in tied],
        replications_to_tell=enough,
        text=_text(rivals, open_ones, tied, sure, enough),
    )


def would_tell(replications: int | None) -> str:
    """How many replications would settle it, in words.

    >>> would_tell(37), would_tell(1234)
    ('about 37 replications would tell', 'about 1,200 replications would tell')
    """
    if replications is None:
        return "it is too near for any number of replications to tell"
    rounded = replications if replications < 100 else round(replications, 2 - len(str(replications)))
    return f"about {rounded:,} replications would tell"


def _text(
    rivals: Sequence[PatternResult],
    open_ones: Sequence[PatternResult],
    tied: Sequence[PatternResult],
    sure: PatternResult | None,
    enough: int | None,
) -> str:
    count = rivals[0].replications
    parts = []
    if open_ones:
        meets = "meets its objectives" if len(open_ones) == 1 else "meet their objectives"
        parts.append(f"whether {' and '.join(one.name for one in open_ones)} {meets} ({untold(open_ones[0])})")
    if tied and sure is not None:
        names = ", ".join(one.name for one in tied)
        parts.append(f"whether {names} cost{'s' if len(tied) == 1 else ''} less than {sure.name}")
    first = next((one for one in rivals if one.met_as_measured), None)
    choice = f"as measured, {first.name} would be the choice" if first else "as measured, none of them does"
    prices = ", ".join(f"{one.name} {usd(one.cost_usd)} USD" for one in rivals)
    start = f"cannot tell with {counted(count, 'replication')}"
    settles = "a longer horizon would tell" if _too_short(open_ones) else would_tell(enough)
    return f"{start} {' nor '.join(parts)}; {choice}; a month {prices}; {settles}"


def untold(result: PatternResult) -> str | None:
    """Of which objectives nobody can tell whether a pattern meets them, in words; None where all are told."""
    return "; ".join(_open_limits(result)) or None


def _open_limits(result: PatternResult) -> Iterator[str]:
    """The hardest limit of each workload in doubt."""
    for name, load in result.workloads.items():
        if load.objective is None or load.objective.answer != "cannot_tell":
            continue
        limit = min(
            (one for one in load.objective.limits if one.answer == "cannot_tell"), key=lambda limit: limit.share
        )
        if limit.undecided > limit.requests:
            open_still = f"{counted(limit.undecided, 'request')} still open at the end, within their limit"
            yield f"{name}: {open_still}; {limit.requests:,} were followed for as long"
            continue
        yield (
            f"{name}: {kept_share(limit.share)} of {limit.requests:,} requests within {duration(limit.limit_s)} "
            f"{LIMIT_WORDS[limit.metric]}; {share_wanted(load.objective.target_share)} is wanted, "
            f"{share_range(limit.ci99)} is possible"
        )


def _too_short(open_ones: Sequence[PatternResult]) -> bool:
    """Whether more requests are still open at the end than have been judged, by some limit."""
    loads = (load.objective for one in open_ones for load in one.workloads.values() if load.objective)
    return any(limit.undecided > limit.requests for found in loads for limit in found.limits)


def _objective_counts(result: PatternResult) -> Iterator[int | None]:
    """Replications that tell about each objective that is open."""
    for load in result.workloads.values():
        if load.objective is not None and load.objective.answer == "cannot_tell":
            yield load.objective.replications_to_tell


def _costs(result: PatternResult) -> list[float]:
    values = result.by_replication.get("all", {}).get("monthly_cost_usd", [])
    return [value for value in values if value is not None]


def _cost_alike(sure: PatternResult, other: PatternResult, replications: int | None = None) -> bool:
    """Whether chance alone may make either the cheaper; to the cent the same is the same.

    What one costs beyond the other, on the same demand in each replication, has the interval of Student's t: two
    replications hardly show how they spread, and tell only what is 637 standard errors apart, three what is 32. One
    shows nothing of it; a spread is supposed then, see `_prior_usd`.
    """
    ours, theirs = _costs(sure), _costs(other)
    count, measured = replications or len(ours) or 1, len(ours) == len(theirs) > 1
    spread = float(np.std(np.subtract(theirs, ours), ddof=1)) if measured else _prior_usd(sure, other)
    freedom = count - 1 if measured else _PRIOR_FREEDOM + count - 1
    half = student(freedom, _COST_LEVEL) * spread / sqrt(count)
    return half >= 0.005 and abs(other.cost_usd - sure.cost_usd) <= half


def _prior_usd(sure: PatternResult, other: PatternResult) -> float:
    """Standard deviation of the difference that is supposed where nobody has seen any.

    Of what is paid by the token, as if requests came by chance and their lengths varied as much as their mean: a
    variance of twice the squared mean over their number (a compound Poisson sum).
    """
    requests = max(1, sure.requests.arrived if sure.requests else 1)
    return abs(_for_tokens_usd(other) - _for_tokens_usd(sure)) * sqrt(2.0 / requests)


def _for_tokens_usd(result: PatternResult) -> float:
    """What is paid an API by the token."""
    lines = result.bill.lines if result.bill else ()
    return sum(float(line.usd) for line in lines if line.key.rpartition(".")[2].startswith(_BY_TOKENS))


def _cost_count(sure: PatternResult, other: PatternResult) -> int | None:
    """Fewest replications whose interval of the difference leaves out zero, should mean and spread stay."""
    return fewest(lambda count: not _cost_alike(sure, other, count), len(_costs(sure)) or 1)
