"""What deserves doubt in a scenario, in words: prices, models that retire, profiles."""

from __future__ import annotations

from datetime import UTC, datetime
from operator import itemgetter
from typing import TYPE_CHECKING

from simulator.cost.checks import price_warnings
from simulator.cost.overrides import scenario_book
from simulator.decision.retirement import retirements, retiring
from simulator.decision.words import percent
from simulator.errors import InfeasibleCluster
from simulator.experiment.model_length import LONGEST, image_tokens, no_longer_than, sent_to, with_model_lengths
from simulator.performance.architecture import context_tokens
from simulator.performance.clusters import cluster_profile, profiles_of
from simulator.performance.links import LINKS, in_words, own_link
from simulator.performance.memory import FEW_REQUESTS, kv_capacity
from simulator.scenario.apis import FLEX_ASSUMED, Flex
from simulator.scenario.balancing import LOAD_BLIND, TITLES
from simulator.workload.request_tokens import RARE, share_refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from simulator.scenario.apis import MeteredApi
    from simulator.scenario.patterns import Cluster
    from simulator.scenario.schema import Scenario
    from simulator.scenario.workloads import AnyWorkload


def warnings_about(scenario: Scenario, names: Iterable[str] | None = None) -> list[str]:
    """What deserves doubt: prices, models that retire, assumed speeds, profiles that are estimates or left behind.

    Args:
        scenario: The scenario.
        names: Hosting patterns it is about; all when absent.
    """
    scenario = with_model_lengths(scenario)
    book = scenario_book(scenario.prices, scenario.horizon.start_local.date())
    today = datetime.now(tz=UTC).date()
    patterns = {name: scenario.hosting_patterns[name] for name in names or scenario.hosting_patterns}
    found = retiring(retirements(scenario, patterns, book))
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
            of_memory = [*_longer_than_the_model(one.cluster), *_of_memory(one.cluster)]
            for message in (*_beyond(one.cluster), *of_memory, *_unsaid(one.cluster), *_balanced(one.cluster)):
                shared.setdefault(message, {})[name] = None
    found += [f"{', '.join(named)}: {message}" for message, named in shared.items()]
    return list(dict.fromkeys([*found, *too_long(scenario, patterns)]))


def too_long(scenario: Scenario, names: Iterable[str]) -> list[str]:
    """Which workloads have prompts that a cluster or an API of these patterns refuses as too long, and how many.

    Args:
        scenario: The scenario, with model lengths.
        names: Hosting patterns it is about.
    """
    found = []
    for name in names:
        pattern = scenario.hosting_patterns[name]
        for backend, loads in sent_to(scenario, pattern).items():
            cluster = pattern.hosted[backend].cluster if backend in pattern.hosted else None
            limits = _cluster_limits(cluster) if cluster else _api_limits(pattern.metered[backend])
            for workload, load in loads.items():
                seen = image_tokens(cluster or pattern.metered[backend], load)
                shares = [
                    (share_refused(load, limit - seen, reserves=reserves), key, limit)
                    for key, limit, reserves in limits
                ]
                share, key, limit = max(shares, default=(0.0, "", 0), key=itemgetter(0))
                if share > RARE:
                    found.append(
                        f"{name}: {percent(share)} of the requests of {workload} are longer than {key} {limit:,} "
                        f"allows, and will be refused; {_remedy(load, cluster, seen)}"
                    )
    return found


def _cluster_limits(cluster: Cluster) -> list[tuple[str, int, bool]]:
    """Key, tokens, and whether the output limit counts."""
    return [("engine.max_model_len", cluster.engine.max_model_len, False)]


def _api_limits(api: MeteredApi) -> list[tuple[str, int, bool]]:
    found = [("context_tokens", api.context_tokens, True)]
    if api.longest_prompt_tokens is not None:
        # A token of an answer is counted beside the prompt.
        found.append(("longest_prompt_tokens", api.longest_prompt_tokens + 1, False))
    return [(key, tokens, reserves) for key, tokens, reserves in found if tokens is not None]


def _remedy(load: AnyWorkload, cluster: Cluster | None, seen: int) -> str:
    """The least power of two that holds nearly every request, and what stands in its way."""
    tokens = 1024
    while tokens < LONGEST and share_refused(load, tokens - seen, reserves=cluster is None) > RARE:
        tokens *= 2
    limited = no_longer_than(cluster, tokens) if cluster else None
    return f"{tokens} would do for all but one in a thousand" + (f", but {limited}" if limited else "")


def _longer_than_the_model(cluster: Cluster) -> list[str]:
    """Whether longer requests are stated than the model's configuration allows."""
    stated, context = cluster.engine.max_model_len, context_tokens(cluster_profile(cluster).model)
    if context is None or stated <= context:
        return []
    return [
        f"max_model_len {stated:,} is more than {cluster.model} takes, {context:,}: vLLM starts so only with "
        "VLLM_ALLOW_LONG_MAX_MODEL_LEN"
    ]


def _of_memory(cluster: Cluster) -> list[str]:
    """Whether its KV blocks hold few requests, and how they are counted; what does not fit is said elsewhere."""
    try:
        capacity = kv_capacity(cluster_profile(cluster), cluster.engine)
    except InfeasibleCluster:
        return []
    found = []
    if capacity.requests < FEW_REQUESTS:
        found.append(f"KV blocks hold {capacity.requests:.1f} requests of max_model_len at once. {capacity.explain()}")
    if not capacity.plan.uniform and not capacity.by_group:
        states = any(group.kind == "state" for group in capacity.plan.groups)
        kept = "a state for every seat" if states else "every token in layers with a window"
        found.append(
            f"the scheduler counts {kept}: {capacity.tokens:,} KV tokens, where vLLM holds {capacity.requests:.1f} "
            f"requests of {cluster.engine.max_model_len:,}; a wait for KV blocks may be shorter than is told. With "
            "prefix_caching: false it counts what each group of layers keeps"
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


def _balanced(cluster: Cluster) -> list[str]:
    """How requests are spread over replicas, which decides how long a tail is at high load."""
    if cluster.replicas == 1:
        return []
    kind = cluster.balancing.kind
    stated = "balancing" in cluster.model_fields_set
    found = f"{cluster.replicas} replicas share requests by balancing {kind}, {TITLES[kind]}"
    if not stated:
        found = f"balancing is not stated: {found.replace('share', 'are taken to share', 1)}"
    if kind in LOAD_BLIND:
        return [f"{found}; one may queue while another idles, unless a proxy counts requests (least_requests)"]
    return [f"{found}; at random, as a Kubernetes service does, waits at high load would be several times as long"]


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
