"""What a scenario says about demand: who asks, when, how long the prompts are, and what they may wait."""

from __future__ import annotations

from math import prod
from typing import Annotated, ClassVar, Literal

from pydantic import Discriminator, Field, Tag

from simulator.scenario.arrivals import (
    Arrivals,
    Clients,
    Departments,
    Follows,
    PoissonArrivals,
    RateVariation,
    Trend,
    Turns,
)
from simulator.scenario.base import (
    Config,
    Custom,
    Factor,
    Faults,
    FieldError,
    Name,
    PositiveFloat,
    PositiveTokens,
    Seconds,
    Share,
    check,
)
from simulator.scenario.compliance import DataProtection
from simulator.scenario.images import Images

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

BEGINS = r"^(mon|tue|wed|thu|fri|sat|sun)( ([01]\d|2[0-3]):[0-5]\d)?$"
Priority = Annotated[int, Field(ge=1, le=3)]
HourWeights = Annotated[list[Factor], Field(min_length=24, max_length=24)]


class Volume(Config):
    """How much a workload asks, in exactly one of the ways below; the real calendar decides on which days."""

    requests_per_month: PositiveFloat | None = None
    """Requests in a month, spread over the days the workload is active on."""
    tokens_per_month: PositiveFloat | None = None
    """Prompt plus output tokens in a month; divided by the mean tokens of a request."""
    denials_per_month: PositiveFloat | None = None
    """Denied claims in a month, one appeal letter each."""
    messages_per_month: PositiveFloat | None = None
    """Patient messages in a month, one draft each."""
    charts_per_month: PositiveFloat | None = None
    """Charts reviewed in a month, one request each."""
    scans_per_month: PositiveFloat | None = None
    """Imaging reports in a month, one check each."""
    clinicians: PositiveFloat | None = None
    """Clinicians using the tool; together with `notes_per_day`."""
    notes_per_day: PositiveFloat | None = None
    """Notes per clinician on each working day of the calendar; together with `clinicians`."""

    @check
    def _exactly_one_way(self) -> Faults:
        ways = {name for name in self.model_fields_set if getattr(self, name) is not None}
        if ways == {"clinicians", "notes_per_day"} or (len(ways) == 1 and not ways & {"clinicians", "notes_per_day"}):
            return
        yield ValueError(
            "give the volume in exactly one way: requests_per_month, tokens_per_month, denials_per_month, "
            "messages_per_month, charts_per_month, scans_per_month, or clinicians together with notes_per_day"
        )


class Constant(Config):
    """Every request the same."""

    kind: Literal["constant"]
    tokens: PositiveTokens
    """Tokens of each request."""


class Lognormal(Config):
    """Lognormal token counts, rounded to at least 1 and cut at `at_most`."""

    kind: Literal["lognormal"]
    mean: PositiveFloat | None = None
    """Mean tokens before the cut; give this or `median`."""
    median: PositiveFloat | None = None
    """Median tokens; give this or `mean`."""
    sigma: Annotated[float, Field(ge=0, le=4)]
    """Standard deviation of the logarithm."""
    at_most: PositiveTokens = 131_072
    """Longest possible count; longer draws are cut to it."""

    @check
    def _mean_or_median(self) -> Faults:
        if (self.mean is None) == (self.median is None):
            yield ValueError("give either mean or median")


class Empirical(Config):
    """Draws from observed token counts."""

    kind: Literal["empirical"]
    values: Annotated[list[PositiveTokens], Field(min_length=1, max_length=100_000)]
    """Observed counts."""
    weights: list[Factor] | None = None
    """Relative weight of each value; equal when absent."""

    @check
    def _weights_match(self) -> Faults:
        if self.weights is not None and (len(self.weights) != len(self.values) or sum(self.weights) <= 0):
            yield ValueError("weights need one entry per value and a positive sum")


class CustomLengths(Custom):
    """A length distribution of one's own, out of the group `simulator.lengths`."""


Lengths = Annotated[Constant | Lognormal | Empirical | CustomLengths, Field(discriminator="kind")]


class Reasoning(Config):
    """A reasoning model: it thinks before it answers, in tokens like all others, which are no part of the answer.

    They take steps and KV blocks, are billed as output, and count towards `max_tokens`: thoughts that reach it leave
    no answer.
    """

    thinking_tokens: Lengths
    """Thinking tokens of a request, in front of its `output_tokens`."""
    share: Annotated[Share, Field(gt=0)] = 1.0
    """Share of the requests it thinks about at all, where the model or its caller decides each time."""
    in_next_prompt: bool = False
    """With `turns`, whether the next prompt has the thoughts in it. Chat templates leave them out."""


class SharedPrefix(Config):
    """Leading prompt tokens that many requests have in common (system prompt, template, payer policy).

    In a list each follows the one before it, as a department's template follows the hospital's prompt.
    """

    tokens: PositiveTokens
    """Length of the common prefix, in a list without those before it; it is part of the prompt tokens."""
    variants: Annotated[int, Field(gt=0, le=65_536)] = 1
    """How many different prefixes there are (departments, templates), in a list after each of those before it."""
    per: Literal["department", "patient"] | None = None
    """Who decides which of the variants a request has: its department, or whom it is about, which each request draws,
    with `turns` each conversation. By default departments where the workload has any."""
    share: Share = 1.0
    """Share of the requests that have one at all, in a list of those that have the one before it."""


#: What says when requests come that come by themselves.
_COMING = (
    "volume", "profile", "days", "holiday_factor", "after_holiday_factor", "day_variation", "rate_variation",
    "arrivals", "clients", "trend", "departments", "turns",
)  # fmt: skip
#: Prefixes that a workload may have in all.
_MOST_PREFIXES = 1 << 22


def _how_many(prefix: object) -> str:
    return "several" if isinstance(prefix, list) else "one"


SharedPrefixes = Annotated[
    Annotated[SharedPrefix, Tag("one")]
    | Annotated[list[SharedPrefix], Field(min_length=1, max_length=8), Tag("several")],
    Discriminator(_how_many),
]


class Objectives(Config):
    """What the users of a workload will accept; a request that is given up misses both limits.

    One that is open at the end of the horizon misses those that have run out for it, and is left out of the others.
    """

    ttft: Seconds | None = None
    """Longest time to first token."""
    ttfat: Seconds | None = None
    """Longest time to first answer token: the first behind what a reasoning model thinks. A request whose thoughts use
    up its `max_tokens` misses it. Without `reasoning` it is that to the first token."""
    end_to_end: Seconds | None = None
    """Longest time from arrival to last token."""
    chain: Seconds | None = None
    """Longest time from the arrival of the first request of its chain to its own last token; needs `follows`. A chain
    that ended before it came to this workload, for a request of it was refused or given up, misses it."""
    share: Share = 0.99
    """Share of requests that must meet each limit; 99 % makes it a limit on the p99."""
    availability: Share | None = None
    """Share of its requests that must be answered, late or not, over a year in which machines, sites and APIs fail as
    often as `constraints.failures` says: what is answered while nothing fails, less the share of the time in which each
    part is down times what a simulation of its loss in the busiest hour leaves unanswered."""

    @check
    def _some_limit(self) -> Faults:
        if not self.limits and self.availability is None:
            yield ValueError("give a limit on ttft, ttfat, end_to_end, chain or several of them, or an availability")

    @property
    def limits(self) -> dict[str, float]:
        """By metric of latency, the limits there are."""
        every = {"ttft_s": self.ttft, "ttfat_s": self.ttfat, "e2e_s": self.end_to_end, "chain_s": self.chain}
        return {metric: limit_s for metric, limit_s in every.items() if limit_s is not None}


class Workload(Config):
    """One clinical source of requests: what holds for it whether its requests are made up or recorded."""

    phi: Literal[True, False, "de_identified"] = True
    """Whether prompts carry protected health information; `de_identified` where it is taken out before the model."""
    data_protection: DataProtection | None = None
    """What may happen to the content of its requests."""
    objectives: Objectives | None = None
    """What its users accept."""
    adapter: Name | None = None
    """LoRA adapter that answers its requests where a cluster does; clusters must have `engine.lora`. A metered API has
    no adapters: it answers with the model and the price that it names, which must be those of its fine-tuned model."""


class SyntheticWorkload(Workload):
    """Requests drawn from distributions."""

    tag: ClassVar = "synthetic"

    volume: Volume | None = None
    """How much it asks; given, unless it `follows` another workload."""
    follows: Follows | None = None
    """The workload whose answers its requests follow; they then come when those are answered, and only lengths,
    shared prefixes, limits and priority are stated here."""
    profile: str | list[HourWeights] = "flat"
    """Hour-of-week shape: a shipped profile's name or seven rows (Monday first) of 24 relative weights."""
    days: Annotated[list[Weekday], Field(min_length=1, default_factory=lambda: list(WEEKDAYS))]
    """Weekdays it is active on."""
    holiday_factor: Factor = 1.0
    """Rate on a public holiday, relative to the same weekday otherwise."""
    after_holiday_factor: Factor = 1.0
    """Rate on the first active day after a holiday."""
    day_variation: Annotated[float, Field(ge=0, le=2)] = 0.0
    """Log standard deviation of a random day multiplier with mean 1."""
    rate_variation: RateVariation | None = None
    """Random swings of the rate within the day."""
    arrivals: Arrivals = PoissonArrivals()
    """How requests arrive around the profile."""
    clients: Clients | None = None
    """Who sends its requests, one at a time each; without, every request is sent when it is due."""
    trend: Trend | None = None
    """Seasons, growth and adoption."""
    departments: Departments | None = None
    """Departments it is the sum of."""
    turns: Turns | None = None
    """Conversations of several requests; `requests_per_month` counts requests, every other volume conversations."""
    prompt_tokens: Lengths
    """Prompt length, including any shared prefix; with `turns` that of the first request."""
    images: Images | None = None
    """Images in each of its prompts, beside their text; `tokens_per_month` does not count them."""
    output_tokens: Lengths
    """Output length; with `reasoning` that of the answer alone."""
    reasoning: Reasoning | None = None
    """What a reasoning model thinks before it answers; without, or where it is switched off, nothing."""
    correlation: Annotated[float, Field(ge=-1, le=1)] = 0.0
    """Correlation of the logarithms of prompt and output length."""
    shared_prefix: SharedPrefixes | None = None
    """Common leading tokens that prefix caching can reuse: one prefix, or a list in which each follows the one before
    it. With `turns` every conversation goes on from there and is a prefix of its own."""
    max_tokens: PositiveTokens = 4096
    """Output limit the client sends; longer outputs are cut to it, thoughts included, and API quotas reserve it."""
    priority: Priority = 3
    """1 critical, 2 high, 3 normal."""

    @check
    def _comes_by_itself_or_follows(self) -> Faults:
        if self.follows is None:
            if self.volume is None:
                yield FieldError(("volume",), "is missing; give it, or the workload that it `follows`")
            if self.objectives is not None and self.objectives.chain is not None:
                yield FieldError(("objectives", "chain"), "needs `follows`: a request by itself has `end_to_end`")
            return
        for name in _COMING:
            if name in self.model_fields_set:
                message = "does not apply to a workload that `follows` another: leave one of them out"
                yield FieldError((name,), message)

    @check
    def _conversations_are_counted(self) -> Faults:
        if self.turns is not None and self.images is not None:
            yield FieldError(("images",), "images in conversations are not modelled; leave out images or turns")
        if self.turns is not None and self.clients is not None:
            yield FieldError(("clients",), "a conversation has a client of its own; leave out clients or turns")
        if self.turns is not None and self.volume is not None and self.volume.tokens_per_month is not None:
            yield FieldError(("volume", "tokens_per_month"), "cannot be told with turns; count conversations instead")

    @check
    def _some_answer(self) -> Faults:
        thoughts = None if self.reasoning is None else self.reasoning.thinking_tokens
        least = getattr(thoughts, "tokens", None) or min(getattr(thoughts, "values", [0]))
        if thoughts is not None and self.reasoning and self.reasoning.share == 1.0 and least >= self.max_tokens:
            message = f"{self.max_tokens:,} leaves no answer behind {least:,} thinking tokens and more; give more"
            yield FieldError(("max_tokens",), message)

    @check
    def _prefixes_can_be_told_apart(self) -> Faults:
        levels = self.shared_prefix if isinstance(self.shared_prefix, list) else []
        if prod(level.variants for level in levels) > _MOST_PREFIXES:
            yield FieldError(("shared_prefix",), f"more than {_MOST_PREFIXES:,} prefixes in all")
        stated = [self.shared_prefix] if isinstance(self.shared_prefix, SharedPrefix) else levels
        if self.departments is None and any(level.per == "department" for level in stated):
            yield FieldError(("shared_prefix",), "`per: department` needs departments")


class Replay(Config):
    """A recorded trace, and how its time lies on the horizon."""

    file: Annotated[str, Field(min_length=1)]
    """Canonical trace, `.csv` or `.parquet` with its header beside it; in a scenario file relative to that file."""
    workloads: Annotated[list[Name], Field(min_length=1)] | None = None
    """Workloads of the trace to take; all when absent."""
    align: Literal["week", "start"] = "week"
    """Whether requests keep their hour of the week, or the trace starts with the horizon."""
    begins: Annotated[str, Field(pattern=BEGINS)] | None = None
    """With `align: week`, where in the week the trace starts, local time, such as `wed 13:30`; by default what its
    header says, or Monday 00:00."""
    repeat: bool = True
    """Whether the trace starts over until the horizon ends; with `align: week`, its whole weeks do."""
    speed: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """With `align: start`, seconds of the trace in a simulated second; 2 sends twice as many requests an hour."""

    @check
    def _a_week_has_its_length(self) -> Faults:
        if self.align == "week" and self.speed != 1.0:
            yield FieldError(("speed",), "a trace at another speed keeps no hour of the week; give align: start")
        if self.align == "start" and "begins" in self.model_fields_set:
            yield FieldError(("begins",), "says where in the week the trace starts, so it needs align: week")


class RecordedWorkload(Workload):
    """Requests of a recorded trace, replayed."""

    tag: ClassVar = "recorded"

    trace: Replay
    """The trace and how it is replayed."""
    clients: Clients | None = None
    """Who sends its requests, one at a time each; without, every request is sent when it was."""
    max_tokens: PositiveTokens | None = None
    """Replaces the output limits of the trace; longer outputs are cut to it."""
    priority: Priority | None = None
    """Replaces the priorities of the trace."""

    @check
    def _follows_nothing(self) -> Faults:
        if self.objectives is not None and self.objectives.chain is not None:
            yield FieldError(("objectives", "chain"), "needs `follows`, which a recorded workload has not")


def follows_of(workload: Workload) -> Follows | None:
    """Which other workload it follows; None where its requests come by themselves."""
    return workload.follows if isinstance(workload, SyntheticWorkload) else None


def _source(workload: object) -> str:
    if isinstance(workload, Workload):
        return str(getattr(workload, "tag", SyntheticWorkload.tag))
    recorded = isinstance(workload, dict) and "trace" in workload
    return RecordedWorkload.tag if recorded else SyntheticWorkload.tag


AnyWorkload = Annotated[
    Annotated[SyntheticWorkload, Tag(SyntheticWorkload.tag)] | Annotated[RecordedWorkload, Tag(RecordedWorkload.tag)],
    Discriminator(_source),
]
