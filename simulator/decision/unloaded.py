"""What a request takes on a cluster that has nothing else to do: no number of replicas makes it faster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from simulator.decision.words import duration, percent
from simulator.performance.clusters import cluster_profile
from simulator.performance.image_loads import NO_IMAGES, cluster_load
from simulator.performance.lora import FREE, lora_cost
from simulator.performance.step_time import ProfiledStepTime, verification_s
from simulator.scenario.workloads import SyntheticWorkload
from simulator.wording import elapsed
from simulator.workload.lengths import share_above

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from simulator.experiment.pattern_result import PatternResult
    from simulator.performance.image_loads import ImageLoad
    from simulator.performance.lora import LoraCost
    from simulator.scenario.patterns import Cluster, HostingPattern
    from simulator.scenario.workloads import Objectives, Workload
    from simulator.workload.lengths import Lengths

_MOST_TOKENS: Final = 1 << 17


def unloaded_s(
    cluster: Cluster, prompt_tokens: int, output_tokens: int, *, adapter: bool = False, images: ImageLoad = NO_IMAGES
) -> float:
    """End-to-end seconds of one request alone: its prompt in chunks of the token budget, then a step for each token.

    With drafts a step for as many tokens as it brings in the mean. The first token alone, where there is one output
    token. Nothing is found in the prefix cache; an adapter is in its slot. The tokens of images are among those of the
    prompt.

    Raises:
        ProfileNotFound: See `cluster_profile`.
    """
    profile, engine = cluster_profile(cluster), cluster.engine
    drafts = engine.speculative
    step_time = ProfiledStepTime(
        profile,
        1,
        engine.max_num_batched_tokens,
        enforce_eager=engine.enforce_eager,
        query_len=1 if drafts is None else 1 + drafts.num_speculative_tokens,
    )
    lora = _lora(cluster) if adapter else FREE
    whole_s = cluster.network_delay + profile.overhead.frontend_base_s + profile.overhead.output_s
    whole_s += profile.overhead.frontend_per_prompt_token_s * prompt_tokens + images.front_s + images.encoder_s
    for past in range(0, prompt_tokens, engine.max_num_batched_tokens):
        chunk = min(engine.max_num_batched_tokens, prompt_tokens - past)
        whole_s += step_time.step_s(0, 0, [(chunk, past)]) + lora.added_s(chunk, 1)
    decodes = output_tokens - 1
    if drafts is not None and decodes:
        step_s, tokens_a_step = verification_s(step_time, drafts, 1, round(prompt_tokens + 0.5 * (decodes + 1)))
        step_s += lora.added_s(1 + drafts.num_speculative_tokens, 1)
        return whole_s + decodes / tokens_a_step * step_s
    # The context grows by one token from step to step.
    step_s = step_time.step_s(1, prompt_tokens + 0.5 * (decodes + 1), []) + lora.added_s(1, 1)
    return whole_s + decodes * step_s


def _lora(cluster: Cluster) -> LoraCost:
    """What an adapter adds to the steps of a replica."""
    engine = cluster.engine
    if engine.lora is None:
        return FREE
    profile = cluster_profile(cluster)
    eager_s = profile.overhead.eager_per_layer_s if engine.enforce_eager else 0.0
    cost = lora_cost(profile.model, profile.gpu, profile.tensor_parallel, engine.lora, eager_per_layer_s=eager_s)
    return cost.scaled(cluster.step_time_factor)


@dataclass(frozen=True, slots=True)
class _Limit:
    """A limit of the objectives, and how it hangs on a length.

    Attributes:
        what: What it limits.
        limit_s: The limit.
        lengths: The length it hangs on most.
        mean_tokens: Mean of that.
        remedy: What could be shorter.
        takes_s: Time of a request alone, by that length.
    """

    what: str
    limit_s: float
    lengths: Lengths
    mean_tokens: int
    remedy: str
    takes_s: Callable[[int], float]

    def share_in_time(self) -> float:
        """Share of the requests that would be in time if each were alone."""
        low, high = 0, _MOST_TOKENS
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.takes_s(middle) <= self.limit_s else (low, middle)
        return 1.0 - share_above(self.lengths, low)


def too_slow_alone(pattern: HostingPattern, result: PatternResult, workloads: Mapping[str, Workload]) -> str | None:
    """The first limit that a pattern misses and that too few requests would be within, were each alone on its cluster.

    How many could be is read off the lengths that the scenario states, the other length at its mean; nothing is said of
    traces.
    """
    for name, load in result.workloads.items():
        wanted, objectives = workloads[name], workloads[name].objectives
        missed = load.objective_met is False and objectives is not None and load.requests.completed
        if not missed or objectives is None or not isinstance(wanted, SyntheticWorkload):
            continue
        prompt, output = (max(1, round(n / load.requests.completed)) for n in (load.tokens.prompt, load.tokens.output))
        thought = 0 if load.thinking is None else round(load.thinking.tokens / load.requests.completed)
        for one in pattern.hosted.values():
            for limit in _limits(one.cluster, wanted, objectives, prompt, output, thought):
                in_time = limit.share_in_time()
                if in_time < objectives.share:
                    alone = f"{prompt:,} + {output:,} tokens takes {elapsed(limit.takes_s(limit.mean_tokens))} alone"
                    reached = f"{percent(in_time)} of them could be within {duration(limit.limit_s)}"
                    return (
                        f"{result.name} is too slow for {name} even with nothing else to do: the {limit.what} of a "
                        f"request of {alone}, and {reached} where {percent(objectives.share)} are wanted; no replica "
                        f"helps, but a faster GPU, tensor parallelism, a smaller model or shorter {limit.remedy} would"
                    )
    return None


def _limits(
    cluster: Cluster, wanted: SyntheticWorkload, objectives: Objectives, prompt: int, output: int, thought: int
) -> Iterator[_Limit]:
    adapter, images = wanted.adapter is not None, cluster_load(cluster, wanted.images)
    if objectives.ttft is not None:
        yield _Limit(
            "first token",
            objectives.ttft,
            wanted.prompt_tokens,
            max(1, prompt - images.tokens),
            "prompts",
            lambda tokens: unloaded_s(cluster, images.tokens + tokens, 1, adapter=adapter, images=images),
        )
    if objectives.ttfat is not None and wanted.reasoning is not None and wanted.reasoning.share == 1.0:
        yield _Limit(
            "first answer token",
            objectives.ttfat,
            wanted.reasoning.thinking_tokens,
            thought,
            "thoughts",
            lambda tokens: unloaded_s(cluster, prompt, tokens + 1, adapter=adapter, images=images),
        )
    if objectives.end_to_end is not None:
        yield _Limit(
            "answer",
            objectives.end_to_end,
            wanted.output_tokens,
            max(1, output - thought),
            "answers",
            lambda tokens: unloaded_s(cluster, prompt, thought + tokens, adapter=adapter, images=images),
        )
