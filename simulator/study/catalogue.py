"""What the package knows: step-time profiles and prices, as tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from simulator.cost.prices import (
    ApiPrice,
    GpuOffer,
    LongPrompts,
    ServicePrice,
    UnitPrice,
    load_price_book,
    price_book_ids,
    read_price_book,
)
from simulator.errors import Fault, ScenarioError
from simulator.experiment.summary import Tabular
from simulator.performance.profile import available_profiles, read_profile
from simulator.units import TokenPrice

if TYPE_CHECKING:
    import pandas as pd

    from simulator.cost.prices import Entry, PriceBook
    from simulator.performance.profile import PerformanceProfile

#: Kinds of prices, and where a book has them.
KINDS: Final = {
    "api": "api_prices",
    "gpu": "gpu_offers",
    "unit": "provisioned_units",
    "service": "services",
    "reference": "references",
}


@dataclass(frozen=True, slots=True, repr=False)
class Profiles(Tabular):
    """Step-time profiles that ship with the package.

    Attributes:
        found: The profiles.
    """

    found: tuple[PerformanceProfile, ...]

    def summary(self) -> pd.DataFrame:
        """One row per profile: model, GPU, split, format, what is behind it, memory, and the band of its step times."""
        import pandas as pd

        return pd.DataFrame(
            {"profile": one.id, "model": one.model.name, "gpu": one.gpu, "tensor_parallel": one.tensor_parallel}
            | {"quantisation": one.quantisation, "label": one.label, "basis": one.basis}
            | {"weights_gib_per_gpu": one.weights_gib_per_gpu}
            | {"step_time_low": one.step_time_band.low, "step_time_high": one.step_time_band.high}
            for one in self.found
        )

    def __repr__(self) -> str:
        return f"<Profiles: {len(self.found)} of {len({one.model.name for one in self.found})} models>"


def profiles(*, model: str | None = None, gpu: str | None = None, quantisation: str | None = None) -> Profiles:
    """The shipped step-time profiles.

    Args:
        model: Only models whose name holds this.
        gpu: Only GPUs whose name holds this.
        quantisation: Only this weight format.
    """
    wanted = (model or "").lower()
    return Profiles(
        tuple(
            one
            for one in map(read_profile, available_profiles())
            if any(wanted in name.lower() for name in (one.model.name, *one.model.hf_names))
            and (gpu or "") in one.gpu
            and quantisation in {None, one.quantisation}
        )
    )


@dataclass(frozen=True, slots=True, repr=False)
class PriceList(Tabular):
    """Entries of a price book.

    Attributes:
        book: The book.
        on: Day on which their age counts.
        found: The entries by key.
    """

    book: PriceBook
    on: date
    found: dict[str, Entry]

    def summary(self) -> pd.DataFrame:
        """One row per price: key, what it costs, what that rests on, when it was captured, when its model retires."""
        import pandas as pd

        return pd.DataFrame(
            {
                "key": key,
                "kind": next(kind for kind, name in KINDS.items() if key in getattr(self.book, name)),
                "price": in_short(entry),
                "basis": entry.basis,
                "captured_on": entry.captured_on,
                "stale": entry.stale(self.on),
                "retires_on": getattr(entry, "retires_on", None),
            }
            for key, entry in self.found.items()
        )

    def __repr__(self) -> str:
        return f"<PriceList of book {self.book.id}: {len(self.found)} prices>"


def prices(
    containing: str = "",
    *,
    kind: str | None = None,
    stale: bool = False,
    retired: bool = False,
    on: date | None = None,
    book: str | PathLike[str] | None = None,
) -> PriceList:
    """Prices of a book, with their basis and age.

    Args:
        containing: Only keys, models and GPUs that hold this.
        kind: Only `api`, `gpu`, `unit`, `service` or `reference`.
        stale: Only prices more than 90 days old.
        retired: Also models that had retired when the book was closed.
        on: Day on which age counts; today when absent.
        book: Id of a shipped book, or a file; the latest when absent.

    Raises:
        ScenarioError: There is no such kind.
        PriceNotFound: There is no such book, or it is none.
    """
    if kind is not None and kind not in KINDS:
        raise ScenarioError([Fault("kind", 0, kind, f"expected one of {', '.join(KINDS)}")])
    found, day = price_book(book), on or datetime.now(tz=UTC).date()
    wanted: dict[str, Any] = getattr(found, KINDS[kind]) if kind else found.entries()
    gone = found.api_prices.keys() - found.on_sale().keys()
    shown = {
        key: entry
        for key, entry in wanted.items()
        if containing.lower() in f"{key} {getattr(entry, 'model', '')} {getattr(entry, 'gpu', '')}".lower()
        and (not stale or entry.stale(day))
        and (retired or key not in gone)
    }
    return PriceList(found, day, shown)


def price_book(name: str | PathLike[str] | None) -> PriceBook:
    """A book by its id or its file; the latest that is shipped when absent.

    Raises:
        PriceNotFound: There is no such book, or it is none.
    """
    if name is None:
        return load_price_book(price_book_ids()[-1])
    path = Path(name)
    # A pipe's name, as of `<(…)`, has no ending.
    of_file = path.suffix == ".json" or len(path.parts) > 1
    return read_price_book(path) if of_file else load_price_book(str(name))


def plain(entry: Entry | LongPrompts) -> dict[str, Any]:
    """What is set of an entry, prices as text with their unit."""
    found: dict[str, Any] = {}
    for name in type(entry).model_fields:
        value = getattr(entry, name)
        if value is None or value == "":
            continue
        if isinstance(value, TokenPrice):
            found[name] = str(value)
        elif isinstance(value, LongPrompts):
            found[name] = plain(value)
        elif name in {"instance_hour", "unit_hour", "audio_hour"}:
            found[name] = f"{value} USD/h"
        else:
            found[name] = value if isinstance(value, (int, str)) else str(value)
    return found


def in_short(entry: Entry) -> str:
    """What it costs, in a few words."""
    if isinstance(entry, ApiPrice):
        cached = f", {entry.cached_prompt.usd_per_million:f} cached" if entry.cached_prompt else ""
        return f"{entry.prompt.usd_per_million:f} in{cached}, {entry.output.usd_per_million:f} out USD/1M tokens"
    if isinstance(entry, GpuOffer):
        return f"{entry.instance_hour} USD/h for {entry.gpus_per_instance} {entry.gpu}, {entry.kind}"
    if isinstance(entry, UnitPrice):
        return f"{entry.unit_hour} USD/h a unit"
    if isinstance(entry, ServicePrice):
        return str(entry.tokens) if entry.tokens else f"{entry.audio_hour} USD/h of audio"
    return entry.low if entry.low == entry.high else f"{entry.low} to {entry.high}"
