"""The reference balancer: the rules of `balancing`, over stepwise replicas, in the words of those who have one.

It counts what it sent by itself, as a proxy does; what replicas publish, a process of the simulation writes down.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil, inf
from typing import TYPE_CHECKING

import numpy as np

from simulator.engine.vllm.hash_ring import places_of, ring

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    import simpy

    from simulator.engine.vllm.stepwise import StepwiseReplica
    from simulator.scenario.balancing import Balancing


class StepwiseBalancer:
    """Chooses among replicas.

    Args:
        env: Simulation environment.
        balancing: How.
        replicas: Among which.
        seeds: Two numbers that its random numbers start from.
        holds_tokens: What the KV blocks of a replica hold.

    Attributes:
        is_open: By replica, whether it takes requests.
        in_flight: By replica, requests sent there that nobody has an answer to yet, nor waits no longer for.
    """

    def __init__(
        self,
        env: simpy.Environment,
        balancing: Balancing,
        replicas: Sequence[StepwiseReplica],
        seeds: tuple[int, int],
        holds_tokens: int = 0,
    ) -> None:
        self.is_open = [True] * len(replicas)
        self.in_flight = [0] * len(replicas)
        self._env = env
        self._kind = balancing.kind
        self._replicas = replicas
        self._first, self._second = seeds
        self._turn = 0
        self._holds = holds_tokens
        self._sent = [0] * len(replicas)
        self._last_sent: dict[tuple[int, int | None], int] = {}
        self._load_factor = balancing.load_factor
        points = zip(*ring(len(replicas)), strict=True) if self._kind in ("sticky", "prefix_hash") else ()
        self._ring = [(int(at), int(one)) for at, one in points]
        self._waiting, self._running = [0] * len(replicas), [0] * len(replicas)
        self._usage = [0.0] * len(replicas)
        if balancing.published_every_s:
            env.process(self._listen(balancing.published_every_s))

    def choose(self, key: int | None = None, prompt_tokens: int = 1, prefix_tokens: int = 0) -> int | None:
        """The replica of the next request, which is sent there; None without an open one.

        Args:
            key: The prefix that it goes by, None for none.
            prompt_tokens: Length of its prompt.
            prefix_tokens: How much of that is the prefix.
        """
        count = len(self._replicas)
        ready = [number for number in range(count) if self.is_open[number]]
        if not ready:
            return None
        if self._kind == "cache_aware":
            share = prefix_tokens / prompt_tokens
            chosen = self._best(ready, {one: share if self._has(one, key) else 0.0 for one in ready})
            self._sent[chosen] += prompt_tokens
            self._last_sent[chosen, key] = self._sent[chosen]
        elif key is None or not self._ring:
            chosen = self._choose(ready)
        else:
            chosen = self._follow(key)
        self.in_flight[chosen] += 1
        self._waiting[chosen] += self._kind == "vllm"
        return chosen

    def _choose(self, ready: list[int]) -> int:
        count = len(self._replicas)
        fewest = [one for one in ready if self.in_flight[one] == min(self.in_flight[one] for one in ready)]
        if self._kind == "shortest_queue":
            return fewest[0]
        if self._kind == "least_requests":
            return fewest[self._below(len(fewest))]
        if self._kind in ("random", "sticky", "prefix_hash"):
            return ready[self._below(len(ready))]
        if self._kind == "two_choices":
            place = self._below(len(ready))
            one = ready.pop(place)
            other = ready[self._below(max(1, len(ready)))] if ready else one
            return other if self.in_flight[other] < self.in_flight[one] else one
        in_turn = sorted(ready, key=lambda one: (one - self._turn) % count)
        if self._kind == "round_robin":
            self._turn = in_turn[0] + 1
            return in_turn[0]
        self._turn = (self._turn + 1) % count
        return min(in_turn, key=self._score)

    def _has(self, one: int, key: int | None) -> bool:
        """Whether a prefix should still be in the cache of a replica."""
        return key is not None and self._sent[one] - self._last_sent.get((one, key), -inf) <= self._holds

    def _best(self, ready: list[int], known: dict[int, float]) -> int:
        most, least = (of(self._waiting[one] for one in ready) for of in (max, min))
        scores = {
            one: 2.0 * ((most - self._waiting[one]) / (most - least) if most > least else 1.0)
            + 2.0 * (1.0 - self._usage[one])
            + 3.0 * known[one]
            for one in ready
        }
        best = [one for one in ready if scores[one] == max(scores.values())]
        return best[self._below(len(best))]

    def _follow(self, key: int) -> int:
        """From the place of the prefix on, round the ring."""
        place = int(places_of(np.array([key], np.int32))[0])
        ready = [number for number, is_open in enumerate(self.is_open) if is_open]
        mean = Fraction(sum(self.in_flight[one] for one in ready) + 1, len(ready))
        most = ceil(Fraction(self._load_factor) * mean) if self._kind == "prefix_hash" else inf
        onwards = sorted(self._ring, key=lambda point: (point[0] < place, point[0]))
        self._below(1)
        return next(one for _, one in onwards if self.is_open[one] and self.in_flight[one] + 1 <= most)

    def _score(self, one: int) -> float:
        known = max(self.in_flight[one], self._waiting[one] + self._running[one])
        return known + self._waiting[one] * 6.0 * max(0.0, self._usage[one] - 0.5)

    def _below(self, count: int) -> int:
        """A random number below this one."""
        found = int(Fraction((self._first - self._second) % 2147483562, 2147483562) * count)
        self._first = self._first * 40014 % 2147483563
        self._second = self._second * 40692 % 2147483399
        return found

    def _listen(self, every_s: float) -> Generator[simpy.Event, object, None]:
        number = 0
        while True:
            for one, replica in enumerate(self._replicas):
                self._waiting[one], self._running[one] = replica.queued, replica.running
                self._usage[one] = (replica.pool.blocks - len(replica.pool.free)) / replica.pool.blocks
            number += 1
            yield self._env.timeout(number * every_s - self._env.now)
