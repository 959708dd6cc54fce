"""What a scenario says about the load balancer before the replicas of a cluster."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from simulator.scenario.base import Config, Faults, FieldError, Seconds, check

Kind = Literal[
    "shortest_queue",
    "least_requests",
    "two_choices",
    "round_robin",
    "random",
    "vllm",
    "cache_aware",
    "sticky",
    "prefix_hash",
]

#: What each kind is, in a few words for people who have one.
TITLES: Final[dict[Kind, str]] = {
    "shortest_queue": "an ideal balancer: exact counts, ties to the first replica",
    "least_requests": "fewest requests in flight, ties at random (nginx `least_conn`, HAProxy `leastconn`)",
    "two_choices": "the less loaded of two at random (Envoy, Istio, Ray Serve)",
    "round_robin": "in turn (nginx, vLLM production stack)",
    "random": "at random (a Kubernetes service, LiteLLM)",
    "vllm": "vLLM's own data-parallel balancer",
    "cache_aware": "the best score of queue, KV blocks and expected prefix, as last published (llm-d)",
    "sticky": "a conversation or shared prompt always to the same replica (session affinity)",
    "prefix_hash": "by the beginning of the prompt, unless that replica has too much (KubeAI)",
}
#: Those that do not heed how much a replica has to do.
LOAD_BLIND: Final[frozenset[Kind]] = frozenset({"round_robin", "random", "sticky"})
#: Those that go by counts that the replicas publish (vLLM 0.33, `v1/engine/coordinator.py`: every 100 ms at most;
#: the endpoint picker of the Gateway API Inference Extension reads metrics every 50 ms).
_PUBLISHED_S: Final[dict[Kind, float]] = {"vllm": 0.1, "cache_aware": 0.05}


class Balancing(Config):
    """Which of its replicas a cluster gives a request; only those that serve are ever asked."""

    kind: Kind = "random"
    """`shortest_queue`: the replica with the fewest requests, known exactly and at once, of several the first; nobody
    has that. `least_requests`: likewise, of several one at random (nginx `least_conn`, as in vLLM's documentation, or
    HAProxy `leastconn`, with all requests through one proxy). `two_choices`: of two at random the one with fewer
    requests (Envoy and Istio, Ray Serve). `round_robin`: one after the other (nginx, the router of vLLM's production
    stack). `random`: a Kubernetes service, with a connection for each request, or LiteLLM's `simple-shuffle`. `vllm`:
    what `vllm serve --data-parallel-size` does (0.33, one API server): the lowest of requests in flight, or waiting and
    running as last published where that is more, plus six times those waiting for each share of KV blocks in use
    beyond a half; where equal, in turn. `sticky`: the same replica for the same conversation, or for the same shared
    prefix where there are no turns, by consistent hashing (session affinity of nginx or of the router of vLLM's
    production stack). `prefix_hash`: likewise by the first of nested prefixes, but the next replica on the ring where
    one would exceed `load_factor` (KubeAI's `PrefixHash`, HAProxy's `hash-balance-factor`). Requests without a shared
    prefix go anywhere, at random. `cache_aware`: the highest sum of 2 for the shortest queue and 2 for free KV blocks,
    both as last published, and 3 for the share of the prompt that was sent there before, as long as its KV blocks
    should hold it (the scorers of the endpoint picker of llm-d and the Gateway API Inference Extension; weights
    assumed)."""
    published_every: Seconds | None = None
    """How old what replicas tell of themselves can be, for the kinds that read it; 100 ms for `vllm` and 50 ms for
    `cache_aware` when absent."""

    load_factor: Annotated[float, Field(ge=1, le=100)] = 1.25
    """For `prefix_hash`: most requests of a replica, relative to the mean with the new one, rounded up (Mirrokni,
    Thorup and Zadimoghaddam, SODA 2018; 125 % is KubeAI's default)."""

    @property
    def published_every_s(self) -> float:
        """Seconds between two publications of what replicas count; 0 where nothing is published."""
        if self.published_every is not None:
            return self.published_every
        return _PUBLISHED_S.get(self.kind, 0.0)

    @check
    def _says_what_is_heeded(self) -> Faults:
        if self.published_every is not None and self.kind not in _PUBLISHED_S:
            yield FieldError(("published_every",), f"{self.kind} reads nothing that is published")
        if "load_factor" in self.model_fields_set and self.kind != "prefix_hash":
            yield FieldError(("load_factor",), f"{self.kind} heeds no such limit")
