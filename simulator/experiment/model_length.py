"""The longest request a cluster takes (`max_model_len`) where the scenario does not say: one that holds its demand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from simulator.compliance.backends import allowed_backends, reachable
from simulator.cost.overrides import scenario_book
from simulator.errors import InfeasibleCluster, ProfileError, ProfileNotFound
from simulator.performance.architecture import context_tokens
from simulator.performance.clusters import cluster_profile
from simulator.performance.image_loads import api_load, cluster_load, images_of
from simulator.performance.memory import kv_capacity
from simulator.scenario.patterns import LEAST_MODEL_LEN, Cluster
from simulator.scenario.workloads import RecordedWorkload

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from simulator.cost.prices import PriceBook
    from simulator.scenario.apis import MeteredApi
    from simulator.scenario.patterns import HostingPattern
    from simulator.scenario.schema import Scenario
    from simulator.scenario.workloads import AnyWorkload

#: Longest context that is proposed.
LONGEST: Final = 1 << 23


@dataclass(frozen=True, slots=True)
class ModelLength:
    """How long a request may be, prompt and output together.

    Attributes:
        tokens: So long.
        why: In words.
    """

    tokens: int
    why: str


def sent_to(scenario: Scenario, pattern: HostingPattern) -> dict[str, dict[str, AnyWorkload]]:
    """By backend of a pattern, the workloads that its routing may send there, and that may be sent there.

    A recorded one whose trace cannot be read, as that of an old run, is left out; what simulates says so before.

    Raises:
        ScenarioError: See `allowed_backends`.
    """
    refused = allowed_backends(scenario, pattern)
    known = {name: load for name, load in scenario.workloads.items() if _is_readable(load)}
    routed = {name: reachable(pattern, name) for name in known}
    return {
        backend: {
            name: load for name, load in known.items() if backend in routed[name] and refused[name][backend] is None
        }
        for backend in pattern.backend_names
    }


def _is_readable(load: AnyWorkload) -> bool:
    if not isinstance(load, RecordedWorkload):
        return True
    from simulator.workload.replay import replay_faults

    return not replay_faults(load)


def model_length(cluster: Cluster, loads: Mapping[str, AnyWorkload]) -> ModelLength:
    """What a cluster takes for these workloads, unless it is stated: see `EngineSettings.max_model_len`.

    vLLM takes the model's whole context, and does not start where one such request exceeds its KV memory
    (`v1/core/kv_cache_utils.py`, `_check_enough_kv_cache_memory`); with `--max-model-len -1` it takes what fits.
    """
    if "max_model_len" in cluster.engine.model_fields_set:
        return ModelLength(cluster.engine.max_model_len, "as stated")
    asked = _asked(cluster, loads)
    found = asked
    for most, what in _limits(cluster):
        if most < found.tokens:
            found = ModelLength(most, f"is {what}, where {asked.tokens:,} would be taken")
    if found.tokens <= LEAST_MODEL_LEN or _fits(cluster, found.tokens):
        return found
    if not _fits(cluster, LEAST_MODEL_LEN):
        return ModelLength(LEAST_MODEL_LEN, "is the least, and more than the KV memory holds")
    least, most = LEAST_MODEL_LEN, found.tokens
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (middle, most) if _fits(cluster, middle) else (least, middle)
    return ModelLength(least, f"is all that the KV memory holds, where {found.tokens:,} would be taken")


def _asked(cluster: Cluster, loads: Mapping[str, AnyWorkload]) -> ModelLength:
    """What would hold the demand."""
    from simulator.workload.request_tokens import holds

    tokens, need = LEAST_MODEL_LEN, list[str]()
    seen = {name: image_tokens(cluster, load) for name, load in loads.items()}
    while tokens < LONGEST and (
        longer := [name for name, load in loads.items() if not holds(load, tokens - seen[name])]
    ):
        tokens, need = 2 * tokens, longer
    if not loads:
        return ModelLength(tokens, "is the least; no workload is sent there")
    held = "holds all but 1 in 1,000 requests of each workload sent there"
    return ModelLength(tokens, f"{held}; half of it would not, of {', '.join(need)}" if need else held)


def image_tokens(backend: Cluster | MeteredApi, load: AnyWorkload) -> int:
    """Tokens of the images of a request at a backend; 0 where it takes none, which is said elsewhere."""
    try:
        images = images_of(load)
        one = cluster_load(backend, images) if isinstance(backend, Cluster) else api_load(backend, images)
    except (ProfileNotFound, ProfileError):
        return 0
    return one.tokens


def _limits(cluster: Cluster) -> Iterator[tuple[int, str]]:
    """What a request may not exceed, whatever the memory."""
    engine = cluster.engine
    if not engine.chunked_prefill and "max_num_batched_tokens" in engine.model_fields_set:
        yield engine.max_num_batched_tokens, "max_num_batched_tokens, without chunked_prefill"
    try:
        context = context_tokens(cluster_profile(cluster).model)
    except (ProfileNotFound, ProfileError):
        return
    if context is not None:
        yield context, "the model's own context"


def _fits(cluster: Cluster, tokens: int) -> bool:
    """Whether the KV memory of a replica holds one request of so many tokens, whatever is stated."""
    engine = cluster.engine
    unsaid = engine.model_construct(_fields_set=engine.model_fields_set - {"max_model_len"}, **engine.__dict__)
    try:
        kv_capacity(cluster_profile(cluster), unsaid.on(cluster.gpu, tokens))
    except InfeasibleCluster:
        return False
    return True


def no_longer_than(cluster: Cluster, tokens: int) -> str | None:
    """Why a cluster could not take requests of so many tokens, whatever `max_model_len` is; None where it could.

    Raises:
        ProfileNotFound: See `cluster_profile`.
    """
    context = context_tokens(cluster_profile(cluster).model)
    if context is not None and tokens > context:
        return f"{cluster.model} itself takes no more than {context:,}"
    return None if _fits(cluster, tokens) else f"the KV memory of a replica holds no request of {tokens:,}"


def longer_requests(pattern: HostingPattern) -> str:
    """What would make a pattern take longer requests than it does."""
    helps = "a model that takes longer prompts"
    for one in pattern.hosted.values():
        engine, context = one.cluster.engine, context_tokens(cluster_profile(one.cluster).model)
        if context is not None and engine.max_model_len >= context:
            continue
        # A block more is enough to tell.
        if _fits(one.cluster, engine.max_model_len + engine.block_size):
            return "a longer engine.max_model_len"
        helps = "more KV memory (larger or more GPUs)"
    return helps


def model_lengths(scenario: Scenario, pattern: HostingPattern) -> dict[str, ModelLength]:
    """By cluster of a pattern whose `max_model_len` is not stated, what it takes.

    Raises:
        ScenarioError: See `allowed_backends`.
    """
    unsaid = {
        name: one.cluster
        for name, one in pattern.hosted.items()
        if "max_model_len" not in one.cluster.engine.model_fields_set
    }
    loads = sent_to(scenario, pattern) if unsaid else {}
    return {name: model_length(cluster, loads[name]) for name, cluster in unsaid.items()}


def with_length(cluster: Cluster, loads: Mapping[str, AnyWorkload]) -> Cluster:
    """The same cluster, taking what `model_length` says."""
    engine = cluster.engine.on(cluster.gpu, model_length(cluster, loads).tokens)
    return cluster if engine == cluster.engine else cluster.model_copy(update={"engine": engine})


def with_model_lengths(scenario: Scenario) -> Scenario:
    """The same scenario, each of its clusters taking what `model_length` says, and each API what its model takes.

    Whoever asks twice gets the same.

    Raises:
        ScenarioError: See `allowed_backends`.
        PriceNotFound: See `scenario_book`.
    """
    book = scenario_book(scenario.prices)
    patterns = {name: _sized(scenario, pattern, book) for name, pattern in scenario.hosting_patterns.items()}
    return scenario.model_copy(update={"hosting_patterns": patterns})


def _sized(scenario: Scenario, pattern: HostingPattern, book: PriceBook) -> HostingPattern:
    loads = sent_to(scenario, pattern) if pattern.hosted else {}
    clusters = {name: with_length(one.cluster, loads[name]) for name, one in pattern.hosted.items()}
    apis = {name: _of_book(api, book) for name, api in pattern.metered.items()}
    changes: dict[str, object] = {}
    if getattr(pattern, "clusters", None) is not None:
        changes["clusters"] = {
            name: one.model_copy(update={"cluster": clusters[name]}) for name, one in pattern.hosted.items()
        }
    elif clusters:
        changes |= clusters
    if getattr(pattern, "apis", None) is not None:
        changes["apis"] = apis
    elif apis:
        (changes["api"],) = apis.values()
    return pattern.model_copy(update=changes)


def _of_book(api: MeteredApi, book: PriceBook) -> MeteredApi:
    """An API that takes what the book says of its model, unless its scenario says."""
    entry = None if says_how_long(api) else book.api_prices.get(api.model)
    return api if entry is None else api.of_length(entry.context_tokens, entry.longest_prompt_tokens)


def says_how_long(api: MeteredApi) -> bool:
    """Whether the scenario says how long a request an API takes."""
    return not api.model_fields_set.isdisjoint({"context_tokens", "longest_prompt_tokens"})
