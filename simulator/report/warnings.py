"""What deserves doubt in a scenario, in words: prices, models that retire, profiles."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from simulator.cost.checks import price_warnings
from simulator.cost.overrides import scenario_book
from simulator.decision.retirement import retirements
from simulator.performance.profile import cluster_profile, profiles_of
from simulator.scenario.apis import FLEX_ASSUMED, Flex

if TYPE_CHECKING:
    from collections.abc import Iterable

    from simulator.scenario.patterns import Cluster
    from simulator.scenario.schema import Scenario


def warnings_about(scenario: Scenario, names: Iterable[str] | None = None) -> list[str]:
    """What deserves doubt: prices, models that retire, assumed speeds, profiles that are estimates or left behind.

    Args:
        scenario: The scenario.
        names: Hosting patterns it is about; all when absent.
    """
    book = scenario_book(scenario.prices, scenario.horizon.start_local.date())
    today = datetime.now(tz=UTC).date()
    patterns = {name: scenario.hosting_patterns[name] for name in names or scenario.hosting_patterns}
    found = [str(one) for one in retirements(scenario, patterns, book)]
    for name, pattern in patterns.items():
        # Prices age with the calendar on the wall.
        found += [f"{name}: {message}" for _, message in price_warnings(pattern, book, today)]
        if any(isinstance(api.deployment, Flex) for api in pattern.metered.values()):
            found.append(f"{name}: {FLEX_ASSUMED}")
    for profile in profiles_of(patterns.values()):
        if profile.label != "measured":
            noted = f": {profile.notes[0]}" if profile.notes else ""
            found.append(f"profile {profile.id} is {profile.label}{noted}")
    for name, pattern in patterns.items():
        for one in pattern.hosted.values():
            found += [f"{name}: {message}" for message in _beyond(one.cluster)]
    return list(dict.fromkeys(found))


def _beyond(cluster: Cluster) -> list[str]:
    """Where a cluster's settings allow steps outside the measured range of its profile."""
    profile, engine = cluster_profile(cluster), cluster.engine
    measured = profile.measured
    reaches = (
        ("max_num_seqs", engine.max_num_seqs, measured.sequences, "sequences a step"),
        ("max_num_batched_tokens", engine.max_num_batched_tokens, measured.tokens, "tokens a step"),
        ("max_model_len", engine.max_model_len, measured.context_tokens, "tokens of context"),
    )
    return [
        f"{key} {value:,} reaches beyond what {profile.id} was measured for, {limit:,} {unit}: times go on in straight "
        "lines there"
        for key, value, limit, unit in reaches
        if value > limit
    ]
