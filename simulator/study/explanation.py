"""A scenario before it runs: every value with its origin, whose numbers it rests on, and how large the run will be."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator

from simulator.decision.band import with_band_ends
from simulator.experiment.model_length import model_lengths, says_how_long
from simulator.experiment.replications import representatives
from simulator.performance.clusters import cluster_profile
from simulator.scenario.apis import FLEX_ASSUMED, Flex, Provisioned
from simulator.scenario.loading import read_merged
from simulator.scenario.patterns import api_key, cluster_key
from simulator.scenario.workloads import SyntheticWorkload
from simulator.study.adapter_sources import adapter_notes
from simulator.study.image_sources import image_notes
from simulator.units import (
    parse_duration_s,
    parse_usd,
    parse_usd_per_hour,
    parse_usd_per_kw_month,
    parse_usd_per_kwh,
    parse_usd_per_month,
    parse_usd_per_year,
)
from simulator.workload.following import waits_for_answers
from simulator.workload.profiles import profile_source
from simulator.workload.synthesis import synthesise_parts

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from simulator.cost.prices import Entry, PriceBook
    from simulator.scenario.schema import Scenario
    from simulator.scenario.yaml_source import Key

Origin = Literal["file", "override", "set", "default"]

#: Units of values that the reader has already turned into numbers, by what turned them.
_UNITS: Final[dict[object, str]] = {
    parse_duration_s: "s",
    parse_usd: "USD",
    parse_usd_per_hour: "USD/h",
    parse_usd_per_month: "USD/month",
    parse_usd_per_year: "USD/year",
    parse_usd_per_kwh: "USD/kWh",
    parse_usd_per_kw_month: "USD/kW-month",
}
_ABSENT: Final = object()
#: Processor time of one request on one hosting pattern, demand and analysis included. Measured with
#: `simulator run scenarios/health_system.yaml --replications 1 --jobs 1`: 1.4 to 2.3 s for 599,241 requests
#: (25 November 2026, compiled engine).
S_PER_REQUEST: Final = 4e-6
#: The same where requests wait for each other's answers: `scenarios/scribe_chain.yaml` over five days, on the same
#: (30 November 2026).
S_PER_REQUEST_THAT_WAITS: Final = 7e-5


@dataclass(frozen=True, slots=True)
class Value:
    """One resolved value.

    Attributes:
        key: Where it stands.
        value: As written, or the default with its unit.
        origin: The scenario's files, a named override, `--set`, or the default of the schema.
        place: File and line, name of the override, or the setting; empty for a default.
        meaning: What the schema says about the key.
    """

    key: Key
    value: Any
    origin: Origin
    place: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Source:
    """Whose numbers something rests on.

    Attributes:
        place: Key of what rests on it.
        what: Name of the profile or price.
        label: How sure it is: measured, derived, list price, assumed and so on.
        source: Where it comes from, with its date.
        notes: What else to know.
    """

    place: str
    what: str
    label: str
    source: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Size:
    """How large the run is.

    Attributes:
        patterns: Hosting patterns.
        simulated: How many of them differ in more than money.
        replications: Replications.
        requests: Requests of the first replication.
        simulations: All simulations, those at the ends of the profiles' bands included; those at more volume, which
            depend on the result, are not.
        processor_s: About how long they take on one core.
    """

    patterns: int
    simulated: int
    replications: int
    requests: int
    simulations: int
    processor_s: float


def values_of(path: Path, scenario: Scenario, overrides: Sequence[str]) -> Iterator[Value]:
    """Every value of a scenario in the order of the schema; optional ones that nobody gave are left out.

    Args:
        path: Its file.
        scenario: As loaded with these overrides.
        overrides: Names of the overrides that were applied, in order.
    """
    stages = [read_merged(path, overrides=overrides[:count]) for count in range(len(overrides) + 1)]
    data = scenario.resolved
    for key, value, meaning in _walk(scenario, data, ()):
        raw = _at(data, key)
        if raw is _ABSENT:
            yield Value(key, value, "default", "", meaning)
            continue
        file, line = scenario.origin(*key)
        if file.startswith("settings "):
            yield Value(key, raw, "set", file.replace("settings", "--set", 1), meaning)
            continue
        places = [stage.origin(key) if _at(stage.data, key) is not _ABSENT else None for stage in stages]
        changed = [name for name, before, after in zip(overrides, places, places[1:], strict=False) if before != after]
        origin: Origin = "override" if changed else "file"
        yield Value(key, raw, origin, f"{changed[-1]} ({file}:{line})" if changed else f"{file}:{line}", meaning)


def _walk(value: Any, raw: Any, key: Key) -> Iterator[tuple[Key, Any, str]]:  # noqa: ANN401 - a scenario value is anything
    """Leaves: key, value with its unit, meaning."""
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            child, below = getattr(value, name), _at(raw, (name,))
            if isinstance(child, (BaseModel, dict)) or _holds_models(child):
                yield from _walk(child, below, (*key, name))
            elif child is not None or below is not _ABSENT:
                readers = (one.func for one in field.metadata if isinstance(one, BeforeValidator))
                unit = next((_UNITS.get(getattr(reader, "parse", reader)) for reader in readers), None)
                yield (*key, name), _with_unit(child, unit), (field.description or "").replace("\n", " ")
    elif isinstance(value, dict):
        for name, child in value.items():
            yield from _walk(child, _at(raw, (name,)), (*key, name))
    elif _holds_models(value):
        for number, child in enumerate(value):
            yield from _walk(child, _at(raw, (number,)), (*key, number))
    elif value is not None:
        yield key, value, ""


def _holds_models(value: object) -> bool:
    return isinstance(value, (list, tuple)) and any(isinstance(item, BaseModel) for item in value)


def _with_unit(value: Any, unit: str | None) -> Any:  # noqa: ANN401 - a scenario value is anything
    if unit is None or not isinstance(value, (int, float, Decimal)):
        return value
    return f"{value:g} {unit}" if isinstance(value, float) else f"{value} {unit}"


def _at(data: Any, key: Key) -> Any:  # noqa: ANN401 - a scenario value is anything
    for part in key:
        known = (isinstance(data, dict) and part in data) or (
            isinstance(data, list) and isinstance(part, int) and part < len(data)
        )
        if not known:
            return _ABSENT
        data = data[part]
    return data


def sources_of(scenario: Scenario, book: PriceBook) -> Iterator[Source]:
    """Profiles of demand, step-time profiles and prices, with where each comes from."""
    for name, load in scenario.workloads.items():
        if isinstance(load, SyntheticWorkload) and load.follows is None and isinstance(load.profile, str):
            source, confidence = profile_source(load.profile)
            yield Source(f"workloads.{name}.profile", load.profile, confidence, source)
    for name, pattern in scenario.hosting_patterns.items():
        yield from _lengths(scenario, name, book)
        for cluster, one in pattern.hosted.items():
            profile = cluster_profile(one.cluster)
            band = profile.step_time_band
            made = ", ".join(f"{key} {value}" for key, value in profile.provenance.items() if key != "wheel_sha256")
            notes = (*profile.notes, f"step times within {band.low:g} to {band.high:g}: {band.source}")
            yield Source(f"hosting_patterns.{name}.{cluster}", profile.id, profile.label, made, notes)
            if (drafts := one.cluster.engine.speculative) is not None:
                what = f"{drafts.method}, {drafts.tokens_per_step:.2f} tokens a step"
                yield Source(f"hosting_patterns.{name}.{cluster}", what, "stated", drafts.acceptance_source)
        named = list(_priced(pattern.model_dump(mode="json"), _entries(book)))
        for api, metered in pattern.metered.items():
            if isinstance(metered.deployment, Provisioned) and metered.deployment.unit_hour is None:
                named.append(((*api_key(pattern, api), "deployment"), metered.deployment.price_key(metered.model)))
            if isinstance(metered.deployment, Flex):
                place = ".".join(("hosting_patterns", name, *api_key(pattern, api), "deployment"))
                yield Source(place, "flex", "assumed", FLEX_ASSUMED)
        for key, used in named:
            entry = _entries(book)[used]
            notes = (entry.note,) if entry.note else ()
            place = ".".join(("hosting_patterns", name, *key))
            yield Source(place, used, f"{entry.basis} price", f"{entry.source} ({entry.captured_on})", notes)
    yield from (Source(*note) for note in adapter_notes(scenario))
    yield from (Source(*note) for note in image_notes(scenario))
    for name, chain in scenario.chains.items():
        how = "each request begins when the one before it is answered, so the simulation decides when"
        yield Source(f"workloads.{name}.follows", " → ".join(chain), "simulated", how)


def _lengths(scenario: Scenario, name: str, book: PriceBook) -> Iterator[Source]:
    """How long a request each backend of a pattern takes, where the scenario does not say."""
    pattern = scenario.hosting_patterns[name]
    for cluster, length in model_lengths(scenario, pattern).items():
        place = ".".join(("hosting_patterns", name, *cluster_key(pattern, cluster), "engine.max_model_len"))
        yield Source(place, f"max_model_len {length.tokens:,}", "derived", length.why)
    for api, metered in pattern.metered.items():
        entry = None if says_how_long(metered) else book.api_prices.get(metered.model)
        if entry is None or entry.context_tokens is None:
            continue
        table, label = book.generated_from, str(entry.basis)
        source = f"{entry.source} ({entry.captured_on})"
        if table and metered.model not in scenario.prices.overrides:
            listed = f"{table.package} {table.version}, max_input_tokens and max_output_tokens of its table"
            label, source = "documented", f"{listed} ({table.captured_on})"
        place = ".".join(("hosting_patterns", name, *api_key(pattern, api), "context_tokens"))
        yield Source(place, f"context_tokens {entry.context_tokens:,}", label, source)


def _entries(book: PriceBook) -> dict[str, Entry]:
    return {**book.api_prices, **book.gpu_offers, **book.provisioned_units, **book.services}


def _priced(data: Any, book: Collection[str], key: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:  # noqa: ANN401
    """Texts that name an entry of the price book, unless the same backend has contract prices."""
    if isinstance(data, str) and data in book:
        yield key, data
    elif isinstance(data, dict):
        for name, value in data.items():
            if name != "model" or data.get("prices") is None:
                yield from _priced(value, book, (*key, name))


def size_of(scenario: Scenario) -> Size:
    """How large the run will be.

    Raises:
        TraceError: A recorded trace cannot be read.
    """
    names = list(scenario.hosting_patterns)
    simulated = set(representatives(scenario, names).values())
    _, ends = with_band_ends(scenario, sorted(simulated))
    requests = sum(len(part) for part, _ in synthesise_parts(scenario, 0))
    each_s = S_PER_REQUEST_THAT_WAITS if waits_for_answers(scenario) else S_PER_REQUEST
    simulations = len(simulated) * scenario.experiment.replications + len(ends)
    return Size(
        patterns=len(names),
        simulated=len(simulated),
        replications=scenario.experiment.replications,
        requests=requests,
        simulations=simulations,
        processor_s=simulations * requests * each_s,
    )
