"""What a scenario says about a metered API: how it is deployed, what it admits, how fast it answers, who calls it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from simulator.scenario.api_presets import with_preset
from simulator.scenario.api_terms import Terms
from simulator.scenario.base import (
    Config,
    Custom,
    Faults,
    FieldError,
    Name,
    PositiveFloat,
    PositiveInt,
    PositiveTokens,
    Seconds,
    Share,
    TimeZone,
    UsdPerHour,
    UsdPerMonth,
    check,
)
from simulator.scenario.compliance import Placement
from simulator.scenario.costs import ApiCosts, TokenPrices
from simulator.wording import article


class LognormalSpeed(Config):
    """A positive quantity given by its median and spread."""

    median: PositiveFloat
    """Median."""
    sigma: Annotated[float, Field(ge=0, le=3)] = 0.0
    """Log standard deviation."""


class LognormalDelay(Config):
    """A delay given by its median and spread."""

    median: Seconds
    """Median."""
    sigma: Annotated[float, Field(ge=0, le=3)] = 0.0
    """Log standard deviation."""


class RateLimits(Config):
    """Admission control of a metered API; absent limits do not bind."""

    kind: Literal["windows", "continuous"] = "windows"
    """`windows`: counters that start again with each window of time, as at Azure OpenAI. `continuous`: as much as the
    limit at a time, and refilled all the time at its rate, as at OpenAI and Anthropic."""
    tokens_per_minute: PositiveInt | None = None
    """Prompt tokens plus `max_tokens` admitted per minute."""
    requests_per_minute: PositiveInt | None = None
    """Requests per minute; of kind windows they are enforced in windows of `request_window`."""
    tokens_per_day: PositiveInt | None = None
    """The same as tokens_per_minute, per day."""
    requests_per_day: PositiveInt | None = None
    """Requests per day."""
    day_time_zone: TimeZone | None = None
    """IANA name of the time zone in which a day of these two begins at midnight, such as America/Los_Angeles at Google;
    that of the horizon when absent. On the day a clock changes it has 23 or 25 hours. Of kind windows only."""
    request_window: Literal["1s", "10s", "60s"] = "10s"
    """Stretch of time over which the requests per minute are judged: 10s admits a sixth of them in each ten seconds,
    in whole requests, the fractions later; where that is less than one, windows are as long as one takes."""
    output_burndown: Annotated[float, Field(ge=1, le=100)] = 1.0
    """Quota tokens that an output token takes once it is known; needs `settles`."""
    settles: bool = False
    """When an answer ends, what it really took replaces what `max_tokens` reserved."""
    refusals_count: bool = False
    """A refused request takes its share of the quota all the same; of kind windows only."""

    @check
    def _what_applies(self) -> Faults:
        if self.output_burndown != 1.0 and not self.settles:
            yield FieldError(("output_burndown",), "needs settles: true, as output counts only once it is known")
        if self.kind == "continuous":
            for name, usual in (("request_window", "10s"), ("refusals_count", False), ("day_time_zone", None)):
                if getattr(self, name) != usual:
                    leave = "" if usual is None else f"; {str(usual).lower()} where a preset says otherwise"
                    yield FieldError((name,), f"applies to limits of kind windows only{leave}")
        elif self.day_time_zone and not (self.tokens_per_day or self.requests_per_day):
            yield FieldError(("day_time_zone",), "needs tokens_per_day or requests_per_day")

    @property
    def request_window_s(self) -> int:
        """`request_window` in seconds."""
        return int(self.request_window.removesuffix("s"))


class UsageTier(Config):
    """Monthly volume up to which a provider promises steady latency (Microsoft Learn, "quotas and limits", 2026-02)."""

    tokens_per_month: PositiveFloat
    """Prompt and output tokens of a month. A horizon is as many equal months as come nearest to 730 h, at least one,
    and each of them has the part of these tokens that it asks of the month's."""
    slowdown: Annotated[float, Field(ge=1, le=100)] = 2.0
    """How many times as long answers take beyond; the provider warns of more than twice."""


class PromptCache(Config):
    """What the provider keeps of prompts; the defaults are those of OpenAI and Azure OpenAI."""

    minimum: PositiveTokens = 1024
    """Shortest beginning of a prompt that is kept."""
    step: PositiveTokens = 128
    """Steps in which more of it is found."""
    kept: Seconds = 300.0
    """How long after its last use; 5 to 10 minutes are documented."""


class Billing(Config):
    """What the provider charges for calls that did not succeed."""

    errors: Literal["nothing", "prompt"] = "nothing"
    """Server errors: nothing, or the prompt."""
    cut_off: Literal["nothing", "prompt", "all"] = "all"
    """Answers that an outage cuts off: nothing, the prompt, or also what had come until then."""
    timeouts: Literal["nothing", "prompt", "all"] = "all"
    """Answers nobody waited for: nothing, the prompt, or also the whole output, which is produced all the same."""


class Retries(Config):
    """What the client does with a refusal or an error; the defaults are those of the `openai` package."""

    at_most: Annotated[int, Field(ge=0, le=20)] = 2
    """Retries after the first attempt."""
    first_delay: Seconds = 0.5
    """Delay before the first retry; it doubles with each."""
    longest_delay: Seconds = 8.0
    """Upper limit of the doubling."""
    jitter: Share = 0.25
    """Each delay is shortened by up to this share at random."""
    honour_retry_after: bool = True
    """Come back when the provider says."""
    longest_retry_after: Seconds = 120.0
    """Give up where the provider says to come back later than this."""
    timeout: Seconds = 600.0
    """Longest wait for the first token; for the last one where the answer is not streamed."""
    streamed: bool = True
    """Whether answers arrive token by token."""


class Standard(Config):
    """Paid by the token, admitted within `limits`."""

    kind: Literal["standard"] = "standard"


class Priority(Config):
    """Paid by the token at the price of priority processing, out of the same quota as standard."""

    kind: Literal["priority"]


#: Said wherever a figure rests on it.
FLEX_ASSUMED: Final = "no provider says how long flex waits, how slow it is and how often it refuses: assumed"


class Flex(Config):
    """Paid by the token at the price of flex processing, out of the same quota, answered when there is room to spare.

    How slow it is and how often there is none no provider says: the defaults are assumed, on the side of slow.
    """

    kind: Literal["flex"]
    wait: LognormalDelay = LognormalDelay.model_construct(median=30.0, sigma=1.0)
    """Added to the time to first token, until there is capacity; assumed: one call in a hundred waits five minutes."""
    slowdown: Annotated[float, Field(ge=1, le=100)] = 2.0
    """How many times as long as `ttft` and `output_tokens_per_s` say the answer itself takes; assumed."""
    unavailable: Share = 0.05
    """Share of the calls that are refused at once and without charge as resources are short (429), each by itself;
    assumed. Whole hours without capacity are `faults`."""


class Reserved(Config):
    """Input and output tokens a minute, reserved at a fixed monthly price; `limits` do not apply to it.

    What exceeds them is served by the standard tier without the client's noticing, as at Amazon Bedrock.
    """

    kind: Literal["reserved"]
    input_tokens_per_minute: Annotated[int, Field(ge=100_000)]
    """Prompt tokens a minute, those read from a cache not counted; sold from 100,000 on."""
    output_tokens_per_minute: Annotated[int, Field(ge=10_000)]
    """Output tokens a minute; sold from 10,000 on."""
    input_price: UsdPerMonth
    """Price of 1,000 input tokens a minute, as quoted to you: none is published."""
    output_price: UsdPerMonth
    """Price of 1,000 output tokens a minute, as quoted to you."""
    spillover: Name
    """Another API of the pattern, the standard tier of the model: it takes at once what exceeds the reservation."""


class Provisioned(Config):
    """Units of throughput paid by the hour whether used or not; `limits` do not apply to it."""

    kind: Literal["provisioned"]
    units: PositiveInt
    """Units deployed; `simulator apis size` says how many a load needs."""
    scope: Literal["global", "data_zone", "regional"] = "global"
    """Where the provider may process a request; it decides the sizes that are sold and their price."""
    spillover: Name | None = None
    """Another API of the pattern that takes at once what the units refuse or fail."""
    burst: Seconds = 60.0
    """How far traffic may run ahead of the units, as the time they need for it; assumed, no provider states it."""
    tokens_per_unit: PositiveInt | None = None
    """Prompt tokens a minute that a unit serves; the provider's figure for the model when absent."""
    output_ratio: Annotated[float, Field(gt=0, le=100)] | None = None
    """Prompt tokens that an output token counts as; the provider's figure for the model when absent."""
    unit_hour: UsdPerHour | None = None
    """Price of a unit-hour, such as under a reservation; the price book's when absent."""

    def price_key(self, model: str) -> str:
        """Key of the units of this model in the price book, such as azure/data_zone."""
        return f"{model.partition('/')[0]}/{self.scope}"


class Batch(Config):
    """Files of requests, answered within hours at a lower price; neither `limits` nor latencies apply to it."""

    kind: Literal["batch"]
    turnaround: LognormalDelay = LognormalDelay.model_construct(median=4 * 3600.0, sigma=0.7)
    """From handing in a file to its answers. Providers aim at 24 h and state no more; the spread is assumed, so that
    one file in a hundred takes over 20 h."""
    submit_every: Annotated[Seconds, Field(gt=0)] = 3600.0
    """How often what has been collected is handed in."""
    queued_tokens: PositiveInt | None = None
    """Prompt tokens that may be queued at the provider at a time; what exceeds them waits for a later file."""


Deployment = Annotated[Standard | Priority | Flex | Provisioned | Reserved | Batch, Field(discriminator="kind")]


class CustomProvider(Custom):
    """An API provider of one's own, out of the group `simulator.api_providers`."""


class MeteredApi(Config):
    """A model behind a metered API."""

    model: str
    """Key of the price book, such as azure/gpt-4-turbo."""
    preset: str | None = None
    """What is known of a provider or model to start from, such as azure/gpt-4.1 (`simulator apis presets`); what
    stands here besides replaces it."""
    deployment: Deployment = Standard()
    """How the provider runs and charges it."""
    provider: CustomProvider | None = None
    """Code of one's own that says what it admits, how long it takes or what it charges, in place of the keys here."""
    ttft: LognormalDelay | None = None
    """Time to first token of an admitted request, network included; needed but for a batch."""
    output_tokens_per_s: LognormalSpeed | None = None
    """Output speed once the first token is there; needed but for a batch."""
    speed_basis: Literal["assumed", "measured"] = "assumed"
    """Whether these two (of a batch its turnaround) were measured at this very API; what was not is varied to say how
    sure the verdict is."""
    limits: RateLimits = RateLimits()
    """Rate limits."""
    context_tokens: Annotated[int, Field(gt=0, le=10_000_000)] | None = None
    """Longest prompt and `max_tokens` together that the model takes; what is longer is refused at once, not tried again
    and not charged. What the price book says of `model` when absent, and any length where it says nothing."""
    longest_prompt_tokens: Annotated[int, Field(gt=0, le=10_000_000)] | None = None
    """Longest prompt, where the provider limits it apart; what the price book says where neither is given."""
    image_tokens: PositiveInt | None = None
    """Prompt tokens that it counts for an image of a workload's `images`, in place of its provider's rule; needed where
    none is known. How long it takes for images is part of `ttft`."""
    retries: Retries = Retries()
    """Client behaviour."""
    error_share: Share = 0.0
    """Share of attempts that fail with a server error."""
    network_delay: Seconds = 0.0
    """Added to the time to first token, such as for a distant region."""
    prompt_cache: PromptCache | None = None
    """Reuse of shared beginnings of prompts; none when absent."""
    usage_tier: UsageTier | None = None
    """Monthly volume beyond which the provider slows down; none when absent."""
    billing: Billing = Billing()
    """Charges for failed calls."""
    prices: TokenPrices | None = None
    """Contract prices; the price book's when absent."""
    terms: Terms = Terms()
    """What the contract says beside prices: free tokens, a discount, a minimum charge, a fee; for what is paid by the
    token."""
    costs: ApiCosts = ApiCosts()
    """What it costs beside its tokens."""
    placement: Placement = Placement()
    """Where it stands, for the `compliance` section."""

    @property
    def paid_by_the_token(self) -> bool:
        """Whether a request more costs more."""
        return not isinstance(self.deployment, Provisioned | Reserved)

    @property
    def spills_to(self) -> str | None:
        """Another API of the pattern that takes at once what this one refuses or fails."""
        return self.deployment.spillover if isinstance(self.deployment, Provisioned | Reserved) else None

    def of_length(self, context_tokens: int | None, longest_prompt_tokens: int | None) -> MeteredApi:
        """The same API of a model that takes so long requests, as if nobody had stated a length."""
        found = self.model_copy(
            update={"context_tokens": context_tokens, "longest_prompt_tokens": longest_prompt_tokens}
        )
        found.model_fields_set.difference_update({"context_tokens", "longest_prompt_tokens"})
        return found

    @model_validator(mode="before")
    @classmethod
    def _over_its_preset(cls, given: Any) -> Any:  # noqa: ANN401 - not validated yet
        if not isinstance(given, dict):
            return given
        try:
            return with_preset(given)
        except ValueError as error:
            raise FieldError(("preset",), str(error)) from None

    @check
    def _what_applies_is_there(self) -> Faults:
        kind = self.deployment.kind
        if self.provider is not None and kind != "standard":
            yield FieldError(("provider",), f"goes with standard deployment only, not with {article(kind)} one")
        if kind in ("provisioned", "reserved", "batch") and self.limits != RateLimits():
            yield FieldError(("limits",), f"do not apply to {article(kind)} deployment; leave them out")
        if not self.paid_by_the_token and self.terms != Terms():
            yield FieldError(("terms",), f"do not apply to {article(kind)} deployment; leave them out")
        for name in ("ttft", "output_tokens_per_s"):
            if kind != "batch" and getattr(self, name) is None:
                yield FieldError((name,), "is missing")
            if kind == "batch" and getattr(self, name) is not None:
                yield FieldError((name,), "does not apply to a batch deployment, which has a turnaround; leave it out")


def spillover_fault(apis: Mapping[str, MeteredApi]) -> tuple[str, str] | None:
    """An API of a pattern that spills over to none that could take it, and what is expected."""
    payable = [name for name, api in apis.items() if api.deployment.kind in ("standard", "priority")]
    for name, api in apis.items():
        target = api.spills_to
        if target is not None and target not in payable:
            expected = f"expected one of: {', '.join(payable)}" if payable else "the pattern has none"
            return name, f"'{target}' is no other API of the pattern that is paid by the token; {expected}"
        if target is not None and isinstance(api.deployment, Reserved) and apis[target].model != api.model:
            return name, f"'{target}' is {apis[target].model}; expected the standard tier of {api.model} itself"
    return None
