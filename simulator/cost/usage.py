"""What a bill needs to know about a finished run, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

from simulator.workload.work import Work


@dataclass(frozen=True, slots=True)
class ClusterUse:
    """What a cluster did.

    Attributes:
        busy_fraction: Share of the measured time in which a GPU executes an engine step, mean over replicas.
        tokens: Prompt and output tokens of the requests it completed.
        paid_share: Share of the measured time for which its GPUs are paid when rented, mean over replicas; less than 1
            where replicas come and go.
    """

    busy_fraction: float
    tokens: int = 0
    paid_share: float = 1.0

    def __post_init__(self) -> None:
        """Refuse quantities that no run can produce."""
        # Busy time is a sum of many floats and may exceed its total by a rounding error.
        if not 0 <= self.busy_fraction <= 1 + 1e-9:
            raise ValueError(f"busy_fraction lies between 0 and 1, not {self.busy_fraction}")
        if not 0 <= self.paid_share <= 1 + 1e-9:
            raise ValueError(f"paid_share lies between 0 and 1, not {self.paid_share}")
        if self.tokens < 0:
            raise ValueError("token counts are not negative")


@dataclass(frozen=True, slots=True)
class ApiUse:
    """What an API charges for.

    Attributes:
        prompt_tokens: Prompt tokens, cached ones included, of all attempts.
        cached_prompt_tokens: Of those, tokens charged at the cached price.
        output_tokens: Output tokens, of all attempts.
        cache_write_tokens: Of the prompt tokens, those written to its cache.
        long: Of all these, what belongs to requests of more prompt tokens than so many, by that number; nothing where
            there are none.
    """

    prompt_tokens: int
    cached_prompt_tokens: int
    output_tokens: int
    cache_write_tokens: int = 0
    long: Mapping[int, ApiUse] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse quantities that no run can produce."""
        if not 0 <= self.cached_prompt_tokens <= self.prompt_tokens - self.cache_write_tokens:
            raise ValueError("cached and written prompt tokens are part of the prompt tokens")
        if min(self.output_tokens, self.cache_write_tokens) < 0:
            raise ValueError("token counts are not negative")

    def __add__(self, other: ApiUse) -> ApiUse:
        nothing = ApiUse(0, 0, 0)
        return ApiUse(
            self.prompt_tokens + other.prompt_tokens,
            self.cached_prompt_tokens + other.cached_prompt_tokens,
            self.output_tokens + other.output_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            {
                above: self.long.get(above, nothing) + other.long.get(above, nothing)
                for above in sorted({*self.long, *other.long})
            },
        )

    def times(self, prompt: float, output: float) -> ApiUse:
        """So many times the prompt tokens, and so many times the output tokens, each rounded."""
        cached, written = (round(count * prompt) for count in (self.cached_prompt_tokens, self.cache_write_tokens))
        return ApiUse(
            # Rounded parts may be a token more than the rounded whole.
            max(round(self.prompt_tokens * prompt), cached + written),
            cached,
            round(self.output_tokens * output),
            written,
            {above: use.times(prompt, output) for above, use in self.long.items()},
        )

    def missing(self, times: float) -> ApiUse:
        """The same where a cache lacks this many times as much of what it could have: what it has is not written."""
        most = self.cached_prompt_tokens + self.cache_write_tokens
        written = min(most, round(self.cache_write_tokens * times))
        long = {above: use.missing(times) for above, use in self.long.items()}
        return replace(self, cached_prompt_tokens=most - written, cache_write_tokens=written, long=long)

    def without(self, part: ApiUse) -> ApiUse:
        """The rest of it."""
        cached = self.cached_prompt_tokens - part.cached_prompt_tokens
        written = self.cache_write_tokens - part.cache_write_tokens
        prompt = max(self.prompt_tokens - part.prompt_tokens, cached + written)
        return ApiUse(prompt, cached, self.output_tokens - part.output_tokens, written)


@dataclass(frozen=True, slots=True)
class Usage:
    """Metered quantities of one replication of one hosting pattern.

    Attributes:
        hours: Length of the measured part of the horizon.
        clusters: By name of the cluster.
        apis: By name of the API.
        served_prompt_tokens: Prompt tokens of completed requests, over all backends.
        served_output_tokens: Output tokens of completed requests, over all backends.
        work: What was completed, by backend and workload.
    """

    hours: float
    clusters: Mapping[str, ClusterUse]
    apis: Mapping[str, ApiUse]
    served_prompt_tokens: int
    served_output_tokens: int
    work: Mapping[str, Mapping[str, Work]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse quantities that no run can produce."""
        if not 0 < self.hours < math.inf:
            raise ValueError(f"the measured time must be positive, not {self.hours} h")
        if min(self.served_prompt_tokens, self.served_output_tokens) < 0:
            raise ValueError("token counts are not negative")


def pooled(usages: list[Usage]) -> Usage:
    """Replications of one pattern as one long run."""
    first = usages[0]
    return Usage(
        hours=sum(usage.hours for usage in usages),
        clusters={
            name: ClusterUse(
                sum(usage.clusters[name].busy_fraction for usage in usages) / len(usages),
                sum(usage.clusters[name].tokens for usage in usages),
                sum(usage.clusters[name].paid_share for usage in usages) / len(usages),
            )
            for name in first.clusters
        },
        apis={name: sum((usage.apis[name] for usage in usages), ApiUse(0, 0, 0)) for name in first.apis},
        served_prompt_tokens=sum(usage.served_prompt_tokens for usage in usages),
        served_output_tokens=sum(usage.served_output_tokens for usage in usages),
        work={
            backend: {name: _sum([usage.work[backend][name] for usage in usages]) for name in works}
            for backend, works in first.work.items()
        },
    )


def _sum(works: list[Work]) -> Work:
    return Work(*(sum(getattr(work, part.name) for work in works) for part in fields(Work)))
