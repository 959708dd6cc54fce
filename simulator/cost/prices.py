"""A dated, sourced list of what tokens and GPU-hours cost.

The package ships its own book instead of asking a price service, so that the same scenario costs the same
tomorrow; every result names the book's id, date and hash.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError

from simulator.errors import PriceNotFound, close_names
from simulator.reading import parse_json, read_unpacked
from simulator.scenario.base import Config, Faults, Money, PositiveInt, TokenRate, UsdPerHour, check
from simulator.units import TokenPrice

Basis = Literal["list", "quote", "marketplace", "memory"]
Day = Annotated[datetime.date, Field(strict=False)]

STALE_AFTER_DAYS: Final = 90
#: Providers keep what is written to their caches for five to ten minutes unless they are asked, and paid, for an hour.
_SHORT_TERM_S: Final = 600.0
#: As many keys as an error message may list.
_FEW: Final = 12
#: What the entries that bills are made of are kept under.
PRICED_SECTIONS: Final = ("api_prices", "gpu_offers", "provisioned_units", "services")


class _Sourced(Config):
    basis: Basis
    """List price of the seller, a quote, a marketplace's going rate, or recalled without a document."""
    captured_on: Day
    """Day on which the source was published, or read where it carries no date."""
    source: str
    """Where the price comes from."""
    note: str = ""
    """What else to know: other sources that disagree, limits of the price."""

    def stale(self, on: datetime.date, after_days: int = STALE_AFTER_DAYS) -> bool:
        """Whether the price is more than `after_days` old on that day."""
        return on - self.captured_on > datetime.timedelta(days=after_days)


@dataclass(frozen=True, slots=True)
class Rates:
    """What one kind of deployment charges for each kind of token."""

    prompt: TokenPrice
    cached_prompt: TokenPrice
    cache_write: TokenPrice
    output: TokenPrice


class _TokenPrices(Config):
    """Prices of each kind of token in each kind of deployment, where they are known.

    Where a kind of deployment has no price of its own for reading from or writing to the provider's cache, such tokens
    cost its prompt price.
    """

    prompt: TokenRate
    """Price of prompt tokens that are neither read from the provider's cache nor written to it."""
    cached_prompt: TokenRate | None = None
    """Price of prompt tokens read from the provider's cache."""
    cache_write: TokenRate | None = None
    """Whole price of prompt tokens that are written to the provider's cache, the prompt price included; absent where
    writing costs nothing more."""
    cache_write_hour: TokenRate | None = None
    """The same where they are asked to be kept for an hour."""
    output: TokenRate
    """Price of output tokens."""
    batch_prompt: TokenRate | None = None
    """Price of prompt tokens in an asynchronous batch."""
    batch_cached_prompt: TokenRate | None = None
    """Price of prompt tokens read from the cache in an asynchronous batch."""
    batch_cache_write: TokenRate | None = None
    """Price of prompt tokens written to the cache in an asynchronous batch."""
    batch_output: TokenRate | None = None
    """Price of output tokens in an asynchronous batch."""
    priority_prompt: TokenRate | None = None
    """Price of prompt tokens under priority processing."""
    priority_cached_prompt: TokenRate | None = None
    """Price of prompt tokens read from the cache under priority processing."""
    priority_cache_write: TokenRate | None = None
    """Price of prompt tokens written to the cache under priority processing."""
    priority_output: TokenRate | None = None
    """Price of output tokens under priority processing."""
    flex_prompt: TokenRate | None = None
    """Price of prompt tokens under flex processing."""
    flex_cached_prompt: TokenRate | None = None
    """Price of prompt tokens read from the cache under flex processing."""
    flex_cache_write: TokenRate | None = None
    """Price of prompt tokens written to the cache under flex processing."""
    flex_output: TokenRate | None = None
    """Price of output tokens under flex processing."""

    def rates(self, deployment: str, *, kept_s: float = 0.0) -> Rates | None:
        """Prices in a kind of deployment; None where none are known.

        Args:
            deployment: Its kind.
            kept_s: How long the provider is asked to keep what is written to its cache.
        """
        if deployment not in ("standard", "batch", "priority", "flex"):
            return None
        before = "" if deployment == "standard" else f"{deployment}_"
        prompt, cached, write, output = (
            getattr(self, before + name) for name in ("prompt", "cached_prompt", "cache_write", "output")
        )
        if not before and kept_s > _SHORT_TERM_S:
            write = self.cache_write_hour or write
        return Rates(prompt, cached or prompt, write or prompt, output) if prompt and output else None


class LongPrompts(_TokenPrices):
    """What whole requests cost whose prompts are long."""

    above_tokens: Literal[100_000, 128_000, 200_000, 256_000, 272_000, 512_000]
    """A request of more prompt tokens than these, cached ones included, is charged so from its first token."""


class ApiPrice(_Sourced, _TokenPrices):
    """Token prices of one model in one kind of deployment."""

    model: str
    """Model as its maker names it."""
    deployment: Literal["global", "data_zone", "regional", "government", "direct"]
    """Where the provider may process a request; `direct` is the maker's own API."""
    region: Literal["us", "eu"] | None = None
    """Geography that processing stays in; None for anywhere, for a region to be chosen, and where no source says."""
    litellm_row: str = ""
    """Row of litellm's table that the token prices are generated from; empty where they are kept by hand."""
    long_prompts: LongPrompts | None = None
    """Prices of requests with long prompts; those of all others where absent."""
    context_tokens: PositiveInt | None = None
    """Longest prompt and `max_tokens` together that the seller's model takes; None where no source says."""
    longest_prompt_tokens: PositiveInt | None = None
    """Longest prompt, where the seller limits it apart."""
    retires_on: Day | None = None
    """First day on which the model no longer answers."""
    retirement_source: str = ""
    """Who says so."""
    successor: str = ""
    """What its provider names in its place: a key of the book, or the model's name; empty where it names none."""

    def blended(self, prompt_parts: int, output_parts: int) -> TokenPrice:
        """Mean price of a token in this mix of uncached prompt and output.

        At least one part must be positive.
        """
        usd = self.prompt.usd_per_million * prompt_parts + self.output.usd_per_million * output_parts
        return TokenPrice(usd / (prompt_parts + output_parts))

    def retired(self, on: datetime.date) -> bool:
        """Whether the model no longer answers on that day."""
        return self.retires_on is not None and on >= self.retires_on


class GpuOffer(_Sourced):
    """An instance with GPUs by the hour; its seller is the first part of its key in the book."""

    gpu: str
    """GPU type as scenarios name it, such as a100-80gb."""
    kind: Literal["on_demand", "reserved", "spot", "serverless"]
    """Terms of the lease."""
    term_months: PositiveInt | None = None
    """Length of a reservation; None for other leases, and where the source names none."""
    gpus_per_instance: PositiveInt
    """GPUs of one instance; less than an instance cannot be rented."""
    vcpus: PositiveInt | None = None
    """Virtual processors of one instance, where the source says."""
    instance_hour: UsdPerHour
    """USD per hour of one instance."""
    region: str | None = None
    """The seller's region the price is for, such as us-east-1, or a geography; None where the source says none."""
    hosted_by: Literal["seller", "third_parties"] = "seller"
    """Whose machines they are: the seller's own, or those of hosts it brokers."""
    baa_coverage: Literal["covered", "not_covered", "unconfirmed"] = "unconfirmed"
    """Whether the seller signs a business associate agreement that covers such an instance."""
    baa_source: str = ""
    """Who says so; needed unless unconfirmed."""

    @property
    def gpu_hour_usd(self) -> Decimal:
        """USD per GPU-hour."""
        return self.instance_hour / self.gpus_per_instance

    def instances(self, gpus: int) -> int:
        """Whole instances needed for so many GPUs."""
        return -(-gpus // self.gpus_per_instance)


class UnitPrice(_Sourced):
    """Provisioned throughput by the hour."""

    unit_hour: UsdPerHour
    """USD per hour of one unit, whether used or not."""


class ServicePrice(_Sourced):
    """Speech to text by the hour of audio, or embeddings by the token."""

    model: str
    """Model as its maker names it."""
    audio_hour: UsdPerHour | None = None
    """USD per hour of audio."""
    tokens: TokenRate | None = None
    """Price of tokens."""
    litellm_row: str = ""
    """Row of litellm's table that the price is generated from; empty where it is kept by hand."""
    retires_on: Day | None = None
    """First day on which the model no longer answers."""
    retirement_source: str = ""
    """Who says so."""
    successor: str = ""
    """What its provider names in its place; empty where it names none."""

    @check
    def _one_price(self) -> Faults:
        if (self.audio_hour is None) is (self.tokens is None):
            yield ValueError("a service is priced by one of audio_hour and tokens")


class Reference(_Sourced):
    """What something costs elsewhere, to compare one's own figure with: hardware, power, floor space, salaries."""

    low: Money
    """Lower end, with its unit."""
    high: Money
    """Upper end, in the same unit."""


class Table(Config):
    """The table that token prices are generated from (`tools/price_book.py`)."""

    package: str
    """Package it comes with."""
    version: str
    """Version of the package."""
    captured_on: Day
    """Day on which that version was published."""
    licence: str
    """Its licence."""


Entry = ApiPrice | GpuOffer | UnitPrice | ServicePrice | Reference


class PriceBook(Config):
    """Every price the package knows, as of one date."""

    id: str
    """Name under which scenarios ask for it."""
    date: Day
    """Day on which the book was closed."""
    sha256: str
    """Hash of the file, so that two results can be known to share their prices."""
    generated_from: Table | None = None
    """Where entries with a `litellm_row` have their prices from."""
    on: Day | None = None
    """Day whose prices a scenario asks for; what holds from a later day is left out."""
    vat: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Value added tax a scenario adds."""
    api_prices: dict[str, ApiPrice]
    """Metered APIs, by key."""
    gpu_offers: dict[str, GpuOffer]
    """GPU leases, by key."""
    provisioned_units: Annotated[dict[str, UnitPrice], Field(default_factory=dict)]
    """Provisioned throughput, by provider and scope, such as azure/data_zone."""
    services: Annotated[dict[str, ServicePrice], Field(default_factory=dict)]
    """Speech to text and embeddings, by key."""
    references: Annotated[dict[str, Reference], Field(default_factory=dict)]
    """What other things cost, by kind and name; no bill takes anything from here."""

    def on_sale(self) -> dict[str, ApiPrice]:
        """The metered APIs that may be chosen: not those that had retired when the book was closed."""
        return {key: entry for key, entry in self.api_prices.items() if not entry.retired(self.date)}

    def api(self, key: str) -> ApiPrice:
        """Look up a metered API, retired or not. Raises PriceNotFound, naming the nearest keys on sale."""
        if key not in self.api_prices:
            raise PriceNotFound(f"price book {self.id} has no API '{key}'; {_nearest(key, self.on_sale())}")
        return self.api_prices[key]

    def gpu_offer(self, key: str) -> GpuOffer:
        """Look up a GPU lease. Raises PriceNotFound, naming the nearest keys."""
        if key not in self.gpu_offers:
            raise PriceNotFound(f"price book {self.id} has no GPU offer '{key}'; {_nearest(key, self.gpu_offers)}")
        return self.gpu_offers[key]

    def unit(self, key: str) -> UnitPrice:
        """Look up provisioned throughput. Raises PriceNotFound, naming the nearest keys."""
        if key not in self.provisioned_units:
            known = _nearest(key, self.provisioned_units)
            raise PriceNotFound(f"price book {self.id} has no provisioned units '{key}'; {known}")
        return self.provisioned_units[key]

    def service(self, key: str) -> ServicePrice:
        """Look up speech to text or embeddings. Raises PriceNotFound, naming the nearest keys."""
        if key not in self.services:
            raise PriceNotFound(f"price book {self.id} has no service '{key}'; {_nearest(key, self.services)}")
        return self.services[key]

    def entries(self) -> dict[str, Entry]:
        """Every entry by its key, APIs first."""
        return {**self.api_prices, **self.gpu_offers, **self.provisioned_units, **self.services, **self.references}

    def keys(self) -> list[str]:
        """Keys of all entries, APIs first."""
        return list(self.entries())

    def entry(self, key: str) -> Entry:
        """Look up anything. Raises PriceNotFound, naming the nearest keys."""
        found = self.entries()
        if key not in found:
            raise PriceNotFound(f"price book {self.id} has no '{key}'; {_nearest(key, found)}")
        return found[key]

    def stale(self, on: datetime.date, after_days: int = STALE_AFTER_DAYS) -> list[str]:
        """Keys of the entries more than `after_days` old on that day."""
        return [key for key, entry in self.entries().items() if entry.stale(on, after_days)]


def _nearest(key: str, known: Collection[str]) -> str:
    close = close_names(key, known, most=3, cutoff=0.5)
    if close:
        return f"did you mean {', '.join(close)}?"
    few = len(known) <= _FEW
    return f"it has {', '.join(known)}" if few else f"it has {len(known)}; 'simulator prices list' shows them"


@cache
def price_book_ids() -> tuple[str, ...]:
    """Ids of the shipped price books, oldest first."""
    names = (entry.name for entry in resources.files("simulator.cost").joinpath("data").iterdir())
    return tuple(sorted(name[len("prices-") : -len(".json")] for name in names if name.startswith("prices-")))


@cache
def load_price_book(book_id: str) -> PriceBook:
    """Load a shipped price book, once. Raises PriceNotFound for an id that is not shipped."""
    raw = read_shipped(book_id)
    return PriceBook.model_validate({**json.loads(raw), "sha256": hashlib.sha256(raw).hexdigest()})


def read_price_book(path: Path) -> PriceBook:
    """Read a price book from a file of the same form. Raises PriceNotFound, which says what is wrong with it."""
    try:
        raw = read_unpacked(path)
        return PriceBook.model_validate({**parse_json(raw), "sha256": hashlib.sha256(raw).hexdigest()})
    except OSError as error:
        raise PriceNotFound(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise PriceNotFound("\n".join(f"{path}: {fault}" for fault in faults)) from error
    except (ValueError, TypeError, RecursionError) as error:
        raise PriceNotFound(f"{path} is no price book: it must be a JSON object ({error})") from error


def read_shipped(book_id: str) -> bytes:
    """The file of a shipped price book. Raises PriceNotFound for an id that is not shipped."""
    shipped = price_book_ids()
    if book_id not in shipped:
        raise PriceNotFound(f"there is no price book '{book_id}'; {_nearest(book_id, shipped)}")
    return resources.files("simulator.cost").joinpath("data", f"prices-{book_id}.json").read_bytes()
