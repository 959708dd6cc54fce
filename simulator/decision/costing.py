"""What a hosting pattern costs at a volume other than the simulated one.

The bill is the pattern's own, of the tokens, busy time and replicas the other volume needs. A cluster gets another
replica where the busiest hour of the demand asks for more than a full batch can serve; a hybrid keeps its cluster, and
its API takes what an hour has too much of; provisioned units grow in proportion. Queueing makes all of them need a
little more than that. What an API's cache finds of prefixes that requests share, and how long a replica is up that is
given back when idle, hang on how often requests come, see `Renewal`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property
from math import ceil
from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.cost.api_terms import used_up
from simulator.cost.bill import Bill, monthly_bill
from simulator.cost.usage import ApiUse, ClusterUse, Usage
from simulator.decision.renewal import Renewal
from simulator.scenario.api_terms import Terms
from simulator.scenario.apis import Provisioned, Reserved
from simulator.scenario.autoscaling import QueueScaling
from simulator.scenario.costs import Purchase
from simulator.scenario.workloads import RecordedWorkload, SyntheticWorkload
from simulator.units import HOUR_S
from simulator.workload.calendar import ClinicalCalendar
from simulator.workload.demand import demands
from simulator.workload.recorded import played
from simulator.workload.volume import expected_requests, mean_tokens_of, month_hours

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from simulator.cost.prices import PriceBook
    from simulator.experiment.pattern_result import PatternResult
    from simulator.scenario.apis import MeteredApi
    from simulator.scenario.patterns import HostedCluster, HostingPattern
    from simulator.scenario.schema import Scenario

#: Steps known; a cluster that needs more of them is far beyond its place.
_MOST_STEPS: Final = 64
#: A volume beyond all others, in tokens a month.
_FAR_TOKENS: Final = 10**13


@dataclass(frozen=True, eq=False)
class Costing:
    """What is needed to price one hosting pattern at a volume other than the simulated one.

    Attributes:
        pattern: The hosting pattern.
        usage: What was measured.
        book: Price book.
        month_hours: Length of the billed month.
        hourly: Expected tokens of each hour of the horizon over the mean of the billed month.
        capacity_tokens_per_month: What its clusters could serve of this mix; 0 for an API.
        shared: Whether all that an API's cache can find are beginnings that requests of all kinds share, none a
            conversation's own, whose turns come no faster where there are more conversations.
    """

    pattern: HostingPattern
    usage: Usage
    book: PriceBook
    month_hours: Decimal
    hourly: NDArray[np.float64] = field(repr=False)
    capacity_tokens_per_month: int = 0
    shared: bool = False

    @cached_property
    def tokens_per_month(self) -> float:
        """Served tokens at the simulated volume."""
        served = self.usage.served_prompt_tokens + self.usage.served_output_tokens
        return served * float(self.month_hours) / self.usage.hours

    @cached_property
    def replicas(self) -> int:
        """Replicas as configured."""
        return sum(one.cluster.replicas for one in self.pattern.hosted.values())

    @cached_property
    def grows(self) -> bool:
        """Whether more volume means more replicas: nothing else can take what does not fit."""
        return bool(self.pattern.hosted) and not self.pattern.metered

    @cached_property
    def proportional(self) -> bool:
        """Whether all that depends on the volume does so in proportion: tokens alone."""
        return not self.pattern.hosted and all(
            api.paid_by_the_token and api.terms == Terms() and not api.costs.lines and api.provider is None
            for api in self.pattern.metered.values()
        )

    @cached_property
    def renewal(self) -> dict[str, Renewal]:
        """By API, how its cache is renewed; without those of which that is not known."""
        if not self.shared:
            return {}
        found = {}
        for name, use in self.usage.apis.items():
            most = use.cached_prompt_tokens + use.cache_write_tokens
            found[name] = Renewal.of(use.cache_write_tokens / most if most else 0.0, self.hourly, self.hourly)
        return {name: one for name, one in found.items() if one is not None}

    @cached_property
    def _at_zero(self) -> dict[str, Renewal]:
        """By cluster of one replica that is given back when idle, how it comes and goes."""
        found = {}
        for name, one in self.pattern.hosted.items():
            scaling = one.cluster.autoscaling
            if isinstance(scaling, QueueScaling) and scaling.at_least == 0 and one.cluster.replicas == 1:
                gone = 1.0 - self.usage.clusters[name].paid_share
                found[name] = Renewal.of(gone, self.hourly, np.ones(len(self.hourly)))
        return {name: one for name, one in found.items() if one is not None}

    def _paid_share(self, name: str, use: ClusterUse, busy: float, replicas: int) -> float:
        """Share of the month for which replicas are paid, so many times as busy."""
        if name in self._at_zero and replicas == self.replicas:
            return 1.0 - (1.0 - use.paid_share) * self._at_zero[name].missed(busy)
        # Where several come and go, more of them are up until all are; how few would do nobody knows.
        return min(1.0, use.paid_share * max(1.0, busy))

    def replicas_at(self, tokens_per_month: float) -> int:
        """Replicas that the busiest hour of this volume needs; never fewer than configured."""
        if not self.grows or self.capacity_tokens_per_month <= 0:
            return self.replicas
        unit = self.unit
        each = self.capacity_tokens_per_month * unit / self.replicas
        need = ceil(tokens_per_month * float(self.hourly.max()) / each - 1e-12) * unit
        return max(self.replicas, need)

    def unit_steps(self, most: float) -> list[float]:
        """Volumes from which another provisioned unit is needed."""
        found: set[float] = set()
        for api in self.pattern.metered.values():
            if isinstance(api.deployment, Provisioned):
                units, each = api.deployment.units, self.tokens_per_month / api.deployment.units
                found |= {number * each for number in range(units, units + _MOST_STEPS) if number * each < most}
        return sorted(found)

    def steps(self, most: float) -> list[float]:
        """Volumes from which another replica is needed."""
        if not self.grows or self.capacity_tokens_per_month <= 0:
            return []
        # Each replica adds what it can serve in the busiest hour, as tokens of the whole month.
        each = self.capacity_tokens_per_month * self.unit / self.replicas / float(self.hourly.max())
        first = self.replicas // self.unit
        numbers = range(first, min(ceil(most / each), first + _MOST_STEPS))
        return [number * each for number in numbers if number * each < most]

    def bends(self, most: float) -> list[float]:
        """Volumes at which the bill bends: see `kinks`, and where another hour has too much and the API takes the rest.

        Of very many different hours some, from the busiest to the quietest; and the simulated volume, below which no
        more than the measured share is taken to go to the API.
        """
        if not (self.pattern.hosted and self.pattern.metered) or self.capacity_tokens_per_month <= 0:
            return self.kinks(most)
        hours = np.unique(self.hourly[self.hourly > 0.0])[::-1]
        chosen = np.unique(np.linspace(0, len(hours) - 1, min(len(hours), _MOST_STEPS)).astype(int))
        found = [*self.kinks(most), self.tokens_per_month, *(self.capacity_tokens_per_month / hours[chosen]).tolist()]
        return [place for place in found if place < most]

    def kinks(self, most: float) -> list[float]:
        """Volumes from which no more tokens are free, or a minimum is reached, by the terms of its APIs."""
        return [volume for volume in self._kinks if volume < most]

    @cached_property
    def _kinks(self) -> list[float]:
        def reached(volume: float) -> dict[str, bool]:
            told = {line.key: used_up(line) for line in self.bill_at(volume).lines}
            return {key: one for key, one in told.items() if one is not None}

        if not self.tokens_per_month or all(api.terms == Terms() for api in self.pattern.metered.values()):
            return []
        start, end, found = reached(0), reached(_FAR_TOKENS), []
        for key in (key for key, one in end.items() if one and not start[key]):
            low, high = 0, _FAR_TOKENS
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (low, middle) if reached(middle)[key] else (middle, high)
            found.append(float(high))
        return sorted(found)

    @cached_property
    def unit(self) -> int:
        """Replicas added at once: one of a single cluster, one more of everything where there are several."""
        return 1 if len(self.pattern.hosted) == 1 else self.replicas

    def bill_at(self, tokens_per_month: float, replicas: int | None = None) -> Bill:
        """The bill of a month at this volume, with as many replicas as it needs unless told."""
        count = self.replicas_at(tokens_per_month) if replicas is None else replicas
        pattern = self.pattern if count == self.replicas else with_replicas(self.pattern, count / self.replicas)
        factor = tokens_per_month / self.tokens_per_month if self.tokens_per_month else 0.0
        pattern = with_units(pattern, max(1.0, factor))
        return monthly_bill(pattern, self._usage_at(factor, count), self.book, self.month_hours)

    def _usage_at(self, factor: float, replicas: int) -> Usage:
        measured = self._measured_share
        sent = self._sent_at(factor)
        kept = (1.0 - sent) / (1.0 - measured) if measured < 1.0 else 0.0
        busy = factor * kept * (self.replicas / replicas if replicas else 1.0)
        return replace(
            self.usage,
            clusters={
                name: replace(
                    use,
                    busy_fraction=min(1.0, use.busy_fraction * busy),
                    tokens=round(use.tokens * factor * kept),
                    paid_share=self._paid_share(name, use, busy, replicas),
                )
                for name, use in self.usage.clusters.items()
            },
            apis=self._api_use(factor, sent),
            served_prompt_tokens=round(self.usage.served_prompt_tokens * factor),
            served_output_tokens=round(self.usage.served_output_tokens * factor),
        )

    @cached_property
    def _measured_share(self) -> float:
        """Share of the served tokens that the APIs served; a pattern without clusters sends everything."""
        if not self.pattern.hosted:
            return 1.0
        answered = sum(
            work.prompt_tokens + work.output_tokens
            for api in self.pattern.metered
            for work in self.usage.work.get(api, {}).values()
        )
        served = self.usage.served_prompt_tokens + self.usage.served_output_tokens
        return min(1.0, answered / served) if served else 0.0

    def _sent_at(self, factor: float) -> float:
        """Share that goes to the API: as measured, and what the busy hours have too much of beyond that."""
        if not self.pattern.metered or not self.pattern.hosted:
            return self._measured_share
        now, then = self._excess(1.0), self._excess(factor)
        beyond = max(0.0, then - now) / (1.0 - now) if now < 1.0 else 0.0
        return self._measured_share + (1.0 - self._measured_share) * beyond

    def _excess(self, factor: float) -> float:
        """Share of the expected demand above what the clusters serve in its hour."""
        asked = self.hourly * self.tokens_per_month * factor
        total = float(asked.sum())
        return float(np.maximum(asked - self.capacity_tokens_per_month, 0.0).sum()) / total if total else 0.0

    def _api_use(self, factor: float, sent: float) -> dict[str, ApiUse]:
        if self._measured_share > 0.0:
            more = factor * sent / self._measured_share
            return {
                name: use.times(more, more).missing(self.renewal[name].missed(more) if name in self.renewal else 1.0)
                for name, use in self.usage.apis.items()
            }
        # None answered yet: whatever it will has the mix of the whole, and goes to the first. Lost hedges are charged.
        served = ApiUse(self.usage.served_prompt_tokens, 0, self.usage.served_output_tokens)
        beyond = served.times(factor * sent, factor * sent)
        return {
            name: use.times(factor, factor) + (beyond if number == 0 else ApiUse(0, 0, 0))
            for number, (name, use) in enumerate(self.usage.apis.items())
        }


def costings_of(
    scenario: Scenario,
    results: Sequence[PatternResult],
    book: PriceBook,
    month_hours: Decimal,
    capacity_tokens_per_month: Mapping[str, int],
    hourly: NDArray[np.float64] | None = None,
) -> dict[str, Costing]:
    """What prices each of these patterns at other volumes, by name; those that served nothing have none.

    Args:
        scenario: The scenario.
        results: Its patterns, simulated.
        book: Price book.
        month_hours: Length of the month that is billed.
        capacity_tokens_per_month: What each cluster could serve, by pattern.
        hourly: From `hourly_shape`, where that is known.
    """
    hourly = hourly_shape(scenario) if hourly is None else hourly
    shared = all(isinstance(load, SyntheticWorkload) and load.turns is None for load in scenario.workloads.values())
    return {
        result.name: Costing(
            scenario.hosting_patterns[result.name],
            result.usage,
            book,
            month_hours,
            hourly,
            capacity_tokens_per_month.get(result.name, 0),
            shared,
        )
        for result in results
        if result.usage is not None
    }


def hourly_shape(scenario: Scenario) -> NDArray[np.float64]:
    """Expected tokens of each cell of the calendar, as a rate over the mean rate of the billed month."""
    calendar = ClinicalCalendar(scenario.horizon)
    length_s = calendar.cells.length_s
    tokens = np.zeros(len(length_s))
    for load in scenario.workloads.values():
        tokens += _cell_tokens(load, scenario, calendar)
    mean = sum(one.tokens for one in demands(scenario).values()) / (month_hours(scenario) * HOUR_S)
    return tokens / length_s / mean if mean else np.ones(len(length_s))


def _cell_tokens(
    load: SyntheticWorkload | RecordedWorkload, scenario: Scenario, calendar: ClinicalCalendar
) -> NDArray[np.float64]:
    """Tokens of one workload in each cell: expected, or those of its recording."""
    if isinstance(load, RecordedWorkload):
        return played(load, scenario).cell_tokens
    return mean_tokens_of(load) * expected_requests(load, scenario, calendar)


def with_replicas(pattern: HostingPattern, factor: float) -> HostingPattern:
    """The pattern with this many times the replicas; bought hardware costs as many times as much."""
    larger = {name: grown(one, factor) for name, one in pattern.hosted.items()}
    if pattern.clusters is not None:  # type: ignore[union-attr]
        return pattern.model_copy(update={"clusters": larger})
    (one,) = larger.values()
    return pattern.model_copy(update={"cluster": one.cluster, "costs": one.costs})


def with_units(pattern: HostingPattern, factor: float) -> HostingPattern:
    """The pattern with this many times the provisioned units of its APIs, rounded up."""
    grown = {name: _more_units(api, factor) for name, api in pattern.metered.items()}
    if factor == 1.0 or grown == pattern.metered:
        return pattern
    if pattern.apis is not None:  # type: ignore[union-attr]
        return pattern.model_copy(update={"apis": grown})
    (api,) = grown.values()
    return pattern.model_copy(update={"api": api})


def _more_units(api: MeteredApi, factor: float) -> MeteredApi:
    bought = {Provisioned: ("units",), Reserved: ("input_tokens_per_minute", "output_tokens_per_minute")}
    names = bought.get(type(api.deployment), ())
    more = {name: ceil(getattr(api.deployment, name) * factor - 1e-9) for name in names}
    return api.model_copy(update={"deployment": api.deployment.model_copy(update=more)}) if more else api


def grown(one: HostedCluster, factor: float) -> HostedCluster:
    """A cluster with this many times the replicas; bought hardware costs what it does for so many."""
    cluster = one.cluster.model_copy(update={"replicas": round(one.cluster.replicas * factor)})
    costs, compute = one.costs, one.costs.compute
    if isinstance(compute, Purchase):
        gpus = compute.for_gpus or one.cluster.replicas * one.cluster.tensor_parallel
        costs = costs.model_copy(update={"compute": compute.model_copy(update={"for_gpus": gpus})})
    return one.model_copy(update={"cluster": cluster, "costs": costs})
