"""Which backend a request is sent to, by what a router can see of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from simulator.engine.record import Reason
from simulator.scenario.rule_table import Case

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from simulator.engine.arrival import Arrival
    from simulator.engine.backend import Backend, Hosted
    from simulator.engine.site import Site


class Decision(NamedTuple):
    """Where a request is sent.

    Attributes:
        backend: Index of the backend; None when it is refused.
        why: What decided, for the record of decisions.
        reason: Why not to a backend it would rather use; NONE when it is.
    """

    backend: int | None
    why: str
    reason: Reason = Reason.NONE


class Policy(Protocol):
    """Sends requests to backends, numbered: clusters, then APIs."""

    def choose(self, arrival: Arrival, allowed: Sequence[int]) -> Decision:
        """Where to send a request that may use these backends, the preferred first; there is at least one."""


class Overflow:
    """The first with room, in order; when none has any, the first API, or what the scenario says.

    Args:
        site: What is simulated.
        backends: All backends: clusters, then APIs.
        clusters: The clusters.
    """

    def __init__(self, site: Site, backends: Sequence[Backend], clusters: Sequence[Hosted]) -> None:
        self._site = site
        self._routing = site.pattern.routing
        self._backends = backends
        self._clusters = clusters
        self._hosted = len(clusters)
        self._shares = {priority: self._routing.share(priority) for priority in (1, 2, 3)}

    def choose(self, arrival: Arrival, allowed: Sequence[int]) -> Decision:
        """See `Policy`."""
        for number in allowed:
            if self._room(number, arrival):
                preferred = number == allowed[0]
                return Decision(number, "preferred") if preferred else self._instead(number, "next with room", allowed)
        return self._crowded(arrival, allowed)

    def _room(self, number: int, arrival: Arrival) -> bool:
        if number < self._hosted:
            return self._clusters[number].room(arrival, self._shares[arrival.priority])
        return self._backends[number].room(arrival)

    def _is_cluster(self, number: int) -> bool:
        return number < self._hosted

    def _instead(self, number: int | None, why: str, preferred: Sequence[int]) -> Decision:
        """Another than the first; that has no room, or nothing of it is up."""
        down = self._is_cluster(preferred[0]) and not self._clusters[preferred[0]].serves
        return Decision(number, why, Reason.FAULT if down else Reason.CAPACITY)

    def _crowded(self, arrival: Arrival, allowed: Sequence[int]) -> Decision:
        """No room anywhere. An API has its client try again; a cluster lets requests wait, so it comes second."""
        api = next((number for number in allowed if not self._is_cluster(number)), None)
        if api is not None:
            return Decision(api, "preferred") if api == allowed[0] else self._instead(api, "no room anywhere", allowed)
        routing, fallback = self._routing, self._site.fallback[arrival.workload]
        if routing.when_full == "shed" and arrival.priority >= routing.shed_from_priority:
            return Decision(None, "shed")
        if fallback is not None and fallback != allowed[0]:
            return self._instead(fallback, "degraded", allowed)
        return Decision(allowed[0], "waits")


class LeastLoaded(Overflow):
    """The emptiest cluster with room; the first API with room, or else the emptiest cluster, when none has any."""

    def choose(self, arrival: Arrival, allowed: Sequence[int]) -> Decision:
        """See `Policy`."""
        clusters = sorted(filter(self._is_cluster, allowed), key=lambda number: self._clusters[number].fullness)
        apis = [number for number in allowed if not self._is_cluster(number)]
        for number in clusters:
            if self._room(number, arrival):
                return Decision(number, "emptiest")
        for number in apis:
            if self._room(number, arrival):
                return self._instead(number, "next with room", clusters) if clusters else Decision(number, "preferred")
        return self._crowded(arrival, (*clusters, *apis))


class SloAware(Overflow):
    """The first that is expected to meet the workload's limit on the TTFT; else the fastest."""

    def choose(self, arrival: Arrival, allowed: Sequence[int]) -> Decision:
        """See `Policy`."""
        limit_s = self._site.ttft_limit_s[arrival.workload]
        expected_s = {number: self._backends[number].expected_ttft_s(arrival) for number in allowed}
        for number in self._by_preference(arrival, allowed):
            if expected_s[number] <= limit_s:
                return Decision(number, "in time", self._reason(number, allowed))
        fastest = min(allowed, key=expected_s.__getitem__)
        return Decision(fastest, "fastest", self._reason(fastest, allowed))

    def _by_preference(self, _arrival: Arrival, allowed: Sequence[int]) -> Sequence[int]:
        return allowed

    def _reason(self, number: int, allowed: Sequence[int]) -> Reason:
        """An API instead of a cluster is an overflow."""
        overflows = self._is_cluster(allowed[0]) and not self._is_cluster(number)
        return self._instead(number, "", allowed).reason if overflows else Reason.NONE


def prices_usd(site: Site) -> list[tuple[float, float]]:
    """By backend, what a router thinks a million prompt and output tokens cost; nothing where nobody says."""
    prices = getattr(site.pattern.routing, "prices", {})
    return [
        (float(prices[name].prompt.usd_per_million), float(prices[name].output.usd_per_million))
        if name in prices
        else (0.0, 0.0)
        for name in site.pattern.backend_names
    ]


class CostAware(SloAware):
    """Of those that are expected to meet the limit on the TTFT the cheapest; else the fastest."""

    def __init__(self, site: Site, backends: Sequence[Backend], clusters: Sequence[Hosted]) -> None:
        super().__init__(site, backends, clusters)
        self._usd = prices_usd(site)

    def _by_preference(self, arrival: Arrival, allowed: Sequence[int]) -> Sequence[int]:
        def price(number: int) -> float:
            """Of the prompt and the longest answer; a router cannot know the true one."""
            prompt, output = self._usd[number]
            return arrival.prompt_tokens * prompt + arrival.max_tokens * output

        return sorted(allowed, key=price)


class Rules(Overflow):
    """The first rule that is for the request and has a backend that it may use; then as `Overflow`."""

    def __init__(self, site: Site, backends: Sequence[Backend], clusters: Sequence[Hosted]) -> None:
        super().__init__(site, backends, clusters)
        number = {name: index for index, name in enumerate(site.pattern.backend_names)}
        self._rules = [
            (rule, tuple(number[name] for name in rule.send_to)) for rule in getattr(site.pattern.routing, "rules", ())
        ]

    def choose(self, arrival: Arrival, allowed: Sequence[int]) -> Decision:
        """See `Policy`."""
        workload = self._site.table.workloads[arrival.workload]
        case = Case(workload, arrival.priority, arrival.prompt_tokens, arrival.max_tokens)
        for rule, targets in self._rules:
            usable = [number for number in targets if number in allowed]
            if not usable or not rule.when.holds(case):
                continue
            if rule.when.while_room and not any(self._room(number, arrival) for number in usable):
                continue
            return super().choose(arrival, usable)._replace(why=f"rule {rule.name}")
        return Decision(None, "no rule")


POLICIES: dict[str, Callable[[Site, Sequence[Backend], Sequence[Hosted]], Policy]] = {
    "overflow": Overflow,
    "priority_aware": Overflow,
    "seed_as_written": Overflow,
    "seed_corrected": Overflow,
    "least_loaded": LeastLoaded,
    "slo_aware": SloAware,
    "cost_aware": CostAware,
    "rules": Rules,
}

#: Those that ask when a cluster would answer.
FORECASTING: Final = frozenset({"slo_aware", "cost_aware"})
