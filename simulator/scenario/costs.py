"""What a scenario says about money; every amount carries its unit."""

from __future__ import annotations

import datetime
import math
import re
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, Field

from simulator.scenario.base import (
    Config,
    Custom,
    Faults,
    FieldError,
    Name,
    PositiveFloat,
    PositiveInt,
    Seconds,
    Share,
    TokenRate,
    Usd,
    UsdPerGb,
    UsdPerHour,
    UsdPerKwh,
    UsdPerKwMonth,
    UsdPerMonth,
    UsdPerYear,
    check,
)

Watts = Annotated[float, Field(ge=0, le=100_000)]


class TokenPrices(Config):
    """Contract prices that replace the price book's for one API."""

    prompt: TokenRate
    """Price of prompt tokens."""
    cached_prompt: TokenRate | None = None
    """Price of prompt tokens read from the provider's cache; the prompt price when absent."""
    cache_write: TokenRate | None = None
    """Whole price of prompt tokens that are written to that cache; the prompt price when absent."""
    output: TokenRate
    """Price of output tokens."""
    holds_from: Annotated[datetime.date, Field(strict=False)] | None = None
    """First day on which they hold; until then the price book's do. Always when absent."""
    source: str = "scenario"
    """Where the prices come from."""

    def holds(self, on: datetime.date | None) -> bool:
        """Whether they hold on a day; any day when None."""
        return self.holds_from is None or on is None or on >= self.holds_from


class Commitment(Config):
    """A lower price for paying every hour of a term."""

    discount: Share
    """Share taken off the hourly price."""
    months: Annotated[PositiveInt, Field(le=120)]
    """Length of the term; what is left of it is owed even if the cluster is not used any more."""


class Spot(Config):
    """Capacity that may be withdrawn at any time, at a lower price."""

    share: Share = 1.0
    """Share of the replica-hours on spot capacity; the others are paid in full, or as committed."""
    discount: Share
    """Share taken off the hourly price."""


class Rental(Config):
    """GPUs by the hour; paid for every hour of the month whether busy or not."""

    kind: Literal["rental"]
    gpu_hour: UsdPerHour | None = None
    """USD per GPU-hour; give this, `replica_hour` or `offer`."""
    replica_hour: UsdPerHour | None = None
    """USD per hour of all GPUs of one replica together."""
    offer: str | None = None
    """Key of a GPU offer in the price book."""
    commitment: Commitment | None = None
    """Reserved for a term."""
    spot: Spot | None = None
    """Spot capacity, all of it or beside the rest."""

    @check
    def _exactly_one_price(self) -> Faults:
        if sum(price is not None for price in (self.gpu_hour, self.replica_hour, self.offer)) != 1:
            yield ValueError("give exactly one of gpu_hour, replica_hour and offer")


class Purchase(Config):
    """Hardware bought and written off in equal months.

    Prices of one GPU and one server follow the cluster; those of the whole are for `for_gpus` GPUs.
    """

    kind: Literal["purchase"]
    gpus: Usd | None = None
    """Price of all GPUs; give this or `gpu_each`."""
    gpu_each: Usd | None = None
    """Price of one GPU."""
    chassis: Usd | None = None
    """Price of all servers without GPUs; this or `chassis_each`, or neither where they cost nothing more."""
    chassis_each: Usd | None = None
    """Price of one server without GPUs."""
    gpus_per_server: PositiveInt | None = None
    """GPUs that a server holds; those of one replica when absent."""
    infrastructure: Usd = Decimal(0)
    """Price of network, rack and cooling."""
    spares: Usd = Decimal(0)
    """Price of spare parts kept on site."""
    for_gpus: PositiveInt | None = None
    """GPUs that `gpus`, `chassis`, `infrastructure`, `spares` and `residual` are for; with more or fewer of them they
    grow or shrink in proportion. Those of the cluster as the file has it when absent."""
    amortisation: Annotated[PositiveInt, Field(le=240)] = 36
    """Months over which the purchase is written off."""
    residual: Usd = Decimal(0)
    """What the hardware still fetches when it has been written off."""
    interest: Share = 0.0
    """Yearly rate at which the money is borrowed, or would otherwise be invested."""
    support: Share = 0.0
    """The seller's support contract, a year, as a share of the price."""

    def whole(self, replicas: int, gpus_per_replica: int) -> Bought:
        """What all of it costs for a cluster of this size."""
        gpus = replicas * gpus_per_replica
        servers = -(-gpus // (self.gpus_per_server or gpus_per_replica))
        grown = Fraction(gpus, self.for_gpus or gpus)
        price = Fraction((self.gpu_each or 0) * gpus + (self.chassis_each or 0) * servers)
        price += grown * Fraction((self.gpus or 0) + (self.chassis or 0) + self.infrastructure + self.spares)
        return Bought(_to_the_cent(price), _to_the_cent(grown * Fraction(self.residual)))

    @check
    def _each_price_once(self) -> Faults:
        if (self.gpus is None) == (self.gpu_each is None):
            yield ValueError("give either gpus or gpu_each")
        if self.chassis is not None and self.chassis_each is not None:
            yield FieldError(("chassis_each",), "give chassis or chassis_each, not both")
        if self.gpus_per_server is not None and self.chassis_each is None:
            yield FieldError(("gpus_per_server",), "needs chassis_each, the price of such a server")

    @check
    def _fetches_no_more_than_it_cost(self) -> Faults:
        if self.gpu_each is None and self.chassis_each is None:
            found = self.whole(1, self.for_gpus or 1)
            if found.residual_usd > found.price_usd:
                yield FieldError(("residual",), f"may not exceed the price of {found.price_usd:,} USD")


def _to_the_cent(usd: Fraction) -> Decimal:
    cents = round(usd * 100)
    return Decimal(cents // 100) if cents % 100 == 0 else Decimal(f"{cents}e-2")


class Bought(NamedTuple):
    """What a purchase comes to for a cluster.

    Attributes:
        price_usd: All that is paid before the first month.
        residual_usd: What it still fetches in the end.
    """

    price_usd: Decimal
    residual_usd: Decimal


class Power(Config):
    """Electricity as a function of how busy the GPUs are: idle + (busy - idle) x busy fraction."""

    gpu_idle_w: Watts
    """Watts of one GPU with the model loaded and nothing to do."""
    gpu_busy_w: Watts
    """Watts of one GPU in an engine step."""
    host_w: Watts = 0.0
    """Watts of the servers without GPUs, per replica."""
    pue: Annotated[float, Field(ge=1, le=4)] = 1.55
    """Power usage effectiveness of the room."""
    price: UsdPerKwh
    """Price of electricity."""

    @check
    def _busy_draws_more(self) -> Faults:
        if self.gpu_busy_w < self.gpu_idle_w:
            yield ValueError("gpu_busy_w may not be less than gpu_idle_w")


class Staff(Config):
    """A share of somebody's salary."""

    role: str
    """Who."""
    salary: UsdPerYear
    """Yearly salary."""
    share: Share
    """Share of the working time."""
    loading: Annotated[float, Field(ge=1, le=3)] = 1.0
    """Multiplier for employer's costs; 1 means base pay only."""


class ModelUpdates(Config):
    """Engineers' time to move to a new version of a model: evaluate, tune, roll out."""

    every_months: PositiveFloat
    """Months from one update to the next."""
    engineer_weeks: PositiveFloat
    """Weeks of work each takes, of the 52 of a year."""
    salary: UsdPerYear
    """Yearly salary of whoever does it."""
    loading: Annotated[float, Field(ge=1, le=3)] = 1.0
    """Multiplier for employer's costs."""


class Egress(Config):
    """Traffic that a provider charges for."""

    price: UsdPerGb
    """Price of a gigabyte."""
    bytes_per_token: Annotated[float, Field(gt=0, le=1_000_000)] = 4.0
    """Bytes on the wire per token; about four for English text, far more where images travel."""


class Delay(Config):
    """Waiting for a signature, such as on a business associate agreement: paid once, before the first month."""

    lasts: Annotated[Seconds, Field(gt=0)]
    """How long."""
    costs: UsdPerMonth
    """What a month of waiting costs: the benefit foregone, or what runs meanwhile."""


class Service(Config):
    """A service that is paid by what goes through it: speech to text, embeddings."""

    price: str
    """Key of the price book, section `services`."""
    audio_hours_per_month: Annotated[float, Field(gt=0)] | None = None
    """Hours of audio a month, for what is priced by them."""
    tokens_per_month: Annotated[float, Field(gt=0)] | None = None
    """Tokens a month, for what is priced by them."""

    @check
    def _one_quantity(self) -> Faults:
        if (self.audio_hours_per_month is None) is (self.tokens_per_month is None):
            yield ValueError("give one of audio_hours_per_month and tokens_per_month")


class CustomLine(Custom):
    """A line of the bill of one's own, out of the group `simulator.cost_lines`."""


class RunningCosts(Config):
    """What any backend costs beside its GPUs or tokens."""

    storage: UsdPerMonth = Decimal(0)
    """Storage."""
    network: UsdPerMonth = Decimal(0)
    """Network."""
    monitoring: UsdPerMonth = Decimal(0)
    """Monitoring."""
    egress: Egress | None = None
    """Traffic by the gigabyte, of prompts and answers."""
    services: dict[Name, Service] = Field(default_factory=dict)
    """Speech to text, embeddings and the like, by name."""
    staff: list[Staff] = Field(default_factory=list)
    """Who looks after it."""
    lines: dict[Name, CustomLine] = Field(default_factory=dict)
    """Lines of code of one's own, by name: a graduated price, a rebate."""
    on_call: UsdPerMonth = Decimal(0)
    """Allowances for being on call."""
    compliance: Share = 0.0
    """What compliance adds, as a share of the backend's other lines."""
    one_off: dict[Name, Usd] = Field(default_factory=dict)
    """What is paid once, before the first month, by name."""
    delay: Delay | None = None
    """What waiting for an agreement costs."""


class ClusterCosts(RunningCosts):
    """Everything a self-hosted cluster costs in a month."""

    compute: Annotated[Rental | Purchase, Field(discriminator="kind")]
    """Renting or buying the GPUs."""
    power: Power | None = None
    """Electricity, where it is not part of the rent."""
    colocation: UsdPerKwMonth | None = None
    """Floor space and cooling per kilowatt of rated power (busy GPUs and hosts) and month."""
    model_updates: ModelUpdates | None = None
    """Work that new versions of the model make."""

    @check
    def _colocation_knows_the_power(self) -> Faults:
        if self.colocation is not None and self.power is None:
            yield ValueError("colocation is charged per rated kilowatt, so power must be given too")


class ApiCosts(RunningCosts):
    """What a metered API costs beside its tokens."""

    prompt_iteration: Annotated[float, Field(ge=1, le=100)] = 1.0
    """Tokens charged for each token of the workloads, where prompts are still being worked on: 1 when none are."""


def _iso_code(code: str) -> str:
    if not re.fullmatch(r"[A-Z]{3}", code):
        raise ValueError("expected an ISO code of three capitals, such as EUR")
    return code


Currency = Annotated[str, AfterValidator(_iso_code)]


class ExchangeRate(Config):
    """What one unit of a currency is worth."""

    usd: Annotated[float, Field(gt=0, le=1e6)]
    """US dollars of one unit."""
    on: Annotated[datetime.date, Field(strict=False)]
    """Day of the rate."""
    source: Annotated[str, Field(min_length=3)]
    """Whose rate it is."""


class Prices(Config):
    """Which price book, when a month is what, and who it is shared by."""

    book: str = "2026-11"
    """Id of a shipped price book."""
    month: Annotated[Seconds, Field(gt=0)] | Literal["calendar"] | None = None
    """Length of the month that is billed: a duration such as '720h', or 'calendar' for the horizon's own
    calendar month; 730 h when absent."""
    discount_rate: Share = 0.07
    """Yearly rate at which later savings of a purchase count less (assumed)."""
    patients: PositiveInt | None = None
    """Patients of the organisation, to show what each costs."""
    currency: Currency = "USD"
    """ISO code of the currency that people are shown; its rate is among `rates`. Files for machines keep to the US
    dollar, as their keys say."""
    rates: dict[Currency, ExchangeRate] = Field(default_factory=dict)
    """Rates of the currencies that amounts of this scenario are in, one each, by ISO code."""
    vat: Share = 0.0
    """Value added tax on whatever is bought, where it is not reclaimed: on every line but people's and interest."""
    overrides: dict[str, dict[str, str | int | dict[str, str | int]]] = Field(default_factory=dict)
    """Entries of the price book that are other for you: by key, the fields that change, your source, and `holds_from` a
    day where they hold later only."""

    @check
    def _rates_are_known(self) -> Faults:
        if "USD" in self.rates:
            yield FieldError(("rates", "USD"), "rates are in US dollars, so the dollar needs none")
        if self.currency != "USD" and self.currency not in self.rates:
            yield FieldError(
                ("currency",), f"needs its rate: rates: {{{self.currency}: {{usd: 1.08, on: 2026-11-01, source: …}}}}"
            )

    @property
    def usd_of(self) -> dict[str, Decimal]:
        """US dollars of one unit of each currency that has a rate."""
        return {code: Decimal(str(rate.usd)) for code, rate in self.rates.items()}


def rates_of(data: object) -> dict[str, Decimal]:
    """US dollars of one unit of each currency that a scenario's merged data has a sound rate of.

    A rate that is not sound counts as one: it is complained of by itself.
    """
    prices = data.get("prices") if isinstance(data, dict) else None
    rates = prices.get("rates") if isinstance(prices, dict) else None
    found = {}
    for code, rate in rates.items() if isinstance(rates, dict) else ():
        usd = rate.get("usd") if isinstance(rate, dict) else None
        sound = isinstance(usd, (int, float)) and not isinstance(usd, bool) and 0 < usd < math.inf
        found[str(code)] = Decimal(str(usd)) if sound else Decimal(1)
    return found
