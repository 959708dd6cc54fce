"""What a scenario says about money; every amount carries its unit."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from simulator.scenario.base import (
    Config,
    PositiveInt,
    Seconds,
    Share,
    TokenRate,
    Usd,
    UsdPerHour,
    UsdPerKwh,
    UsdPerKwMonth,
    UsdPerMonth,
    UsdPerYear,
)

Watts = Annotated[float, Field(ge=0, le=100_000)]


class TokenPrices(Config):
    """Contract prices that replace the price book's for one API."""

    prompt: TokenRate
    """Price of prompt tokens."""
    output: TokenRate
    """Price of output tokens."""
    source: str = "scenario"
    """Where the prices come from."""


class Rental(Config):
    """GPUs by the hour; paid for every hour of the month whether busy or not."""

    kind: Literal["rental"]
    gpu_hour: UsdPerHour | None = None
    """USD per GPU-hour; give this, `replica_hour` or `offer`."""
    replica_hour: UsdPerHour | None = None
    """USD per hour of all GPUs of one replica together."""
    offer: str | None = None
    """Key of a GPU offer in the price book."""

    @model_validator(mode="after")
    def _exactly_one_price(self) -> Self:
        if sum(price is not None for price in (self.gpu_hour, self.replica_hour, self.offer)) != 1:
            raise ValueError("give exactly one of gpu_hour, replica_hour and offer")
        return self


class Purchase(Config):
    """Hardware bought and written off in equal months, for all replicas together."""

    kind: Literal["purchase"]
    gpus: Usd
    """Price of all GPUs."""
    chassis: Usd = Decimal(0)
    """Price of servers without GPUs."""
    infrastructure: Usd = Decimal(0)
    """Price of network, rack and cooling."""
    amortisation: Annotated[PositiveInt, Field(le=240)] = 36
    """Months over which the purchase is written off."""


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

    @model_validator(mode="after")
    def _busy_draws_more(self) -> Self:
        if self.gpu_busy_w < self.gpu_idle_w:
            raise ValueError("gpu_busy_w may not be less than gpu_idle_w")
        return self


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


class ClusterCosts(Config):
    """Everything a self-hosted cluster costs in a month."""

    compute: Annotated[Rental | Purchase, Field(discriminator="kind")]
    """Renting or buying the GPUs."""
    power: Power | None = None
    """Electricity, where it is not part of the rent."""
    colocation: UsdPerKwMonth | None = None
    """Floor space and cooling per kilowatt of rated power (busy GPUs and hosts) and month."""
    storage: UsdPerMonth = Decimal(0)
    """Storage."""
    network: UsdPerMonth = Decimal(0)
    """Network."""
    monitoring: UsdPerMonth = Decimal(0)
    """Monitoring."""
    staff: list[Staff] = Field(default_factory=list)
    """Who looks after it."""

    @model_validator(mode="after")
    def _colocation_knows_the_power(self) -> Self:
        if self.colocation is not None and self.power is None:
            raise ValueError("colocation is charged per rated kilowatt, so power must be given too")
        return self


class Prices(Config):
    """Which price book, and when a month is what."""

    book: str = "2026-11"
    """Id of a shipped price book."""
    month: Annotated[Seconds, Field(gt=0)] | Literal["calendar"] | None = None
    """Length of the month that is billed: a duration such as '720h', or 'calendar' for the horizon's own
    calendar month; 730 h when absent."""
    discount_rate: Share = 0.07
    """Yearly rate at which later savings of a purchase count less (assumed)."""
