"""What deserves doubt in a scenario, in words: prices, models that retire, profiles."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from simulator.compliance.backends import allowed_backends
from simulator.cost.checks import price_warnings
from simulator.cost.overrides import scenario_book
from simulator.decision.retirement import retirements
from simulator.decision.words import percent
from simulator.errors import InfeasibleCluster
from simulator.performance.links import LINKS, in_words, own_link
from simulator.performance.memory import FEW_REQUESTS, kv_capacity
from simulator.performance.profile import cluster_profile, profiles_of
from simulator.scenario.apis import FLEX_ASSUMED, Flex
from simulator.scenario.workloads import SyntheticWorkload
from simulator.workload.lengths import share_above

if TYPE_CHECKING:
    from collections.abc import Iterable

    from simulator.scenario.patterns import Cluster
    from simulator.scenario.schema import Scenario

#: Share of refused requests that is worth a word, and the longest context that is proposed.
_RARE: Final = 0.001
_LONGEST: Final = 1 << 23


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
    # What patterns with the same cluster have in common is said once.
    shared: dict[str, dict[str, None]] = {}
    for name, pattern in patterns.items():
        for one in pattern.hosted.values():
            for message in (*_beyond(one.cluster), *_of_memory(one.cluster), *_unsaid(one.cluster)):
                shared.setdefault(message, {})[name] = None
    found += [f"{', '.join(named)}: {message}" for message, named in shared.items()]
    return list(dict.fromkeys([*found, *too_long(scenario, patterns)]))


def too_long(scenario: Scenario, names: Iterable[str]) -> list[str]:
    """Which workloads have prompts that a cluster or an API of these patterns refuses as too long, and how many.

    Only lengths that are drawn are judged; those of a trace, and what departments and conversations add, are not.
    """
    loads = {name: load for name, load in scenario.workloads.items() if isinstance(load, SyntheticWorkload)}
    found = []
    for name in names:
        pattern = scenario.hosting_patterns[name]
        refuses = allowed_backends(scenario, pattern)
        limits = [
            (backend, "engine.max_model_len", one.cluster.engine.max_model_len, 1)
            for backend, one in pattern.hosted.items()
        ] + [
            (backend, "context_tokens", api.context_tokens, 0)
            for backend, api in pattern.metered.items()
            if api.context_tokens is not None
        ]
        for backend, key, limit, answer in limits:
            for workload, load in loads.items():
                room = limit - (answer or load.max_tokens)
                share = share_above(load.prompt_tokens, room)
                if share < _RARE or refuses[workload][backend] is not None:
                    continue
                enough = _enough(load, limit - room)
                found.append(
                    f"{name}: {percent(share)} of the requests of {workload} are longer than {key} {limit:,} allows, "
                    f"and will be refused; {enough} would do for all but one in a thousand"
                )
    return found


def _enough(load: SyntheticWorkload, beside: int) -> str:
    """The least power of two that holds nearly every prompt, and so many tokens beside it."""
    tokens = 1024
    while tokens < _LONGEST and share_above(load.prompt_tokens, tokens - beside) > _RARE:
        tokens *= 2
    return f"{tokens}"


def _of_memory(cluster: Cluster) -> list[str]:
    """Whether its KV blocks hold few requests, and how they are counted; what does not fit is said elsewhere."""
    try:
        capacity = kv_capacity(cluster_profile(cluster), cluster.engine)
    except InfeasibleCluster:
        return []
    found = []
    if capacity.requests < FEW_REQUESTS:
        found.append(f"KV blocks hold {capacity.requests:.1f} requests of max_model_len at once. {capacity.explain()}")
    if not capacity.plan.uniform:
        states = any(group.kind == "state" for group in capacity.plan.groups)
        kept = "a state for every seat" if states else "every token in layers with a window"
        found.append(
            f"the scheduler counts {kept}: {capacity.tokens:,} KV tokens, where vLLM holds {capacity.requests:.1f} "
            f"requests of {cluster.engine.max_model_len:,}; a wait for KV blocks may be shorter than is told"
        )
    return found


def _unsaid(cluster: Cluster) -> list[str]:
    """Which link several GPUs are taken to have, where nothing says so."""
    if cluster.tensor_parallel == 1 or cluster.interconnect is not None or cluster_profile(cluster).label == "measured":
        return []
    if cluster.gpu not in LINKS:
        return []
    link = own_link(cluster.gpu, cluster.variant)
    return [
        f"interconnect is not stated: {cluster.tensor_parallel} x {cluster.gpu} are taken to talk over "
        f"{in_words(link)}; a slower link makes each step longer"
    ]


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
