"""As many replications as it takes until cost and p99 are known well enough, and the verdict is told."""

from __future__ import annotations

from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Final

from simulator.results import Results, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from simulator.experiment.workers import Jobs
    from simulator.scenario.schema import Scenario

#: Fewer say too little about their own spread.
LEAST: Final = 4
MOST: Final = 200


def run_until(
    scenario: Scenario,
    share: float,
    *,
    patterns: Sequence[str] | None = None,
    jobs: Jobs = 1,
    folder: Path,
    progress: Callable[[float], None] | None = None,
) -> Results:
    """`run` with more replications until every interval is narrow and the verdict is told, or there are `MOST`.

    An interval shrinks with the root of their number, so each round asks for as many as the last one's width says, at
    most twice as many. Stopping where an interval happens to be narrow makes it a little too narrow.

    Args:
        scenario: The scenario.
        share: Half-width of the 95 % interval over the mean, of monthly cost and end-to-end p99 of every pattern.
        patterns: See `run`.
        jobs: See `run`.
        folder: Where finished simulations are kept: no round repeats those before it.
        progress: See `run`; starts anew with each round.

    Raises:
        ScenarioError: See `run`.
        ValueError: The share is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise ValueError(f"the share must be between 0 and 1, not {share}")
    count = LEAST
    again = partial(run, scenario, patterns=patterns, jobs=jobs, folder=folder, progress=progress)
    while True:
        results = again(replications=count)
        widest, doubt = half_width(results), results.decision.undecided
        if (widest <= share and doubt is None) or count >= MOST:
            return results
        wanted = ceil(count * (widest / share) ** 2)
        if doubt is not None:
            wanted = max(wanted, doubt.replications_to_tell or MOST)
        count = min(MOST, 2 * count, max(count + 1, wanted))


def half_width(results: Results) -> float:
    """The widest interval of monthly cost and end-to-end p99, over its mean; 0 where there is none."""
    return max(_half_widths(results), default=0.0)


def _half_widths(results: Results) -> Iterator[float]:
    """Of every interval that counts, over its mean."""
    for result in results.patterns:
        latency, cost = result.latency.get("e2e_s"), result.monthly_cost_usd
        known = [(cost.mean, cost.ci95)] if cost else []
        known += [(latency.p99, latency.ci95)] if latency else []
        for mean, ci95 in known:
            if ci95 is not None and mean:
                yield (ci95[1] - ci95[0]) / 2.0 / mean
