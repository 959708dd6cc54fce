"""Controls for what a scenario says, from the schema of its own parts; every value is written as in its file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from simulator.cost.overrides import scenario_book
from simulator.performance.profile import available_profiles
from simulator.scenario.base import Config
from simulator.scenario.gpus import GPUS
from simulator.scenario.patterns import Quantisation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from simulator.cost.prices import ApiPrice, GpuOffer, PriceBook
    from simulator.scenario.schema import Scenario

Key = tuple[str, ...]
Kind = Literal["number", "text", "choice"]


@dataclass(frozen=True, slots=True)
class Control:
    """One value of a scenario that can be changed.

    Attributes:
        key: Its place in the scenario.
        section: What it is about; see `SECTIONS`.
        group: The workload or hosting pattern it belongs to; empty for the whole scenario.
        label: What it is called beside its group.
        help: What the schema says about it.
        value: As the file would have it; empty where it says nothing.
        kind: What is asked for: a number, one of `choices`, or text.
        choices: What may be chosen.
        whole: Whether a number is a whole one.
        low: The least number, where the schema has one.
        high: The greatest number, where the schema has one.
    """

    key: Key
    section: str
    group: str
    label: str
    help: str
    value: str
    kind: Kind
    choices: tuple[str, ...] = ()
    whole: bool = False
    low: float | None = None
    high: float | None = None

    @property
    def path(self) -> str:
        """The key, dotted."""
        return ".".join(self.key)


#: What is offered, by section: patterns of keys, in which `*` stands for one part and `**` for any number of them. What
#: follows a `?` is offered although the file says nothing about it.
SECTIONS: Final[dict[str, tuple[str, ...]]] = {
    "Volume": ("workloads.*.volume.*", "workloads.*.trace.speed"),
    "Growth": ("workloads.*.trend.*", "rollout.adoption.**"),
    "Length": (
        *(
            f"workloads.*.{which}.{one}"
            for which in ("prompt_tokens", "output_tokens")
            for one in ("tokens", "mean", "median")
        ),
        "workloads.*.shared_prefix.tokens",
        *(f"workloads.*.reasoning.thinking_tokens.{one}" for one in ("tokens", "mean", "median")),
    ),
    "Limits": (
        "workloads.*.objectives.ttft?",
        "workloads.*.objectives.ttfat",
        "workloads.*.objectives.end_to_end?",
        "workloads.*.objectives.share",
        "workloads.*.objectives.availability",
        "constraints.monthly_cost_at_most?",
        "constraints.phi_may_leave?",
    ),
    "Hosting": (
        "hosting_patterns.*.**.cluster.model",
        "hosting_patterns.*.**.cluster.gpu",
        "hosting_patterns.*.**.cluster.tensor_parallel",
        "hosting_patterns.*.**.cluster.quantisation",
        "hosting_patterns.*.**.cluster.replicas?",
        "hosting_patterns.*.api.model",
        "hosting_patterns.*.apis.*.model",
        "hosting_patterns.*.**.deployment.units",
    ),
    "Routing": ("hosting_patterns.*.routing.*",),
    "Prices": ("hosting_patterns.*.**.costs.**", "prices.discount_rate", "prices.vat"),
}
#: Keys that choose how everything beside them is to be read: changing one alone would leave the rest without meaning.
_FIXED: Final = {"kind", "source", "role", "price_key", "offer"}
#: Among them, what may be changed: its kinds have the same keys.
_ROUTINGS: Final = ("overflow", "least_loaded", "priority_aware", "slo_aware")


@dataclass(slots=True)
class _Leaf:
    """A value of the schema that is neither a mapping nor a list.

    Attributes:
        key: Its place.
        schema: Its JSON schema.
        value: The value as the scenario has it.
        written: As its file has it; None where it does not.
    """

    key: Key
    schema: Mapping[str, Any]
    value: object
    written: object = field(default=None)


def controls_of(scenario: Scenario) -> list[Control]:
    """Every control of a scenario, in the order of its sections and of its file."""
    leaves = list(_leaves(scenario, (), scenario.resolved))
    book = scenario_book(scenario.prices, scenario.horizon.start_local.date())
    found: list[Control] = []
    for section, patterns in SECTIONS.items():
        for leaf in leaves:
            for pattern in patterns:
                offered, plain = pattern.endswith("?"), pattern.removesuffix("?")
                if _matches(leaf.key, tuple(plain.split("."))) and (offered or leaf.written is not None):
                    found += _control(leaf, section, book)
                    break
        if section == "Prices":
            found += _book_prices(scenario, book)
    return found


def _leaves(model: Config, key: Key, written: object) -> Iterator[_Leaf]:
    for name, schema in _schemas(type(model)).items():
        value = getattr(model, name)
        yield from _below(value, schema, (*key, name), written.get(name) if isinstance(written, dict) else None)


def _below(value: object, schema: Mapping[str, Any], key: Key, written: object) -> Iterator[_Leaf]:
    if isinstance(value, Config):
        # A short form stands for its parts; only what is spelt out has them.
        yield from _leaves(value, key, written)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            inside = written.get(name) if isinstance(written, dict) else None
            yield from _below(item, _extra(schema), (*key, str(name)), inside)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            inside = written[number] if isinstance(written, list) and number < len(written) else None
            if isinstance(item, Config):
                yield from _leaves(item, (*key, str(number)), inside)
    elif value is None and key[-1] == "objectives":
        yield from (_Leaf((*key, name), {"type": "string"}, None) for name in ("ttft", "end_to_end"))
    else:
        yield _Leaf(key, schema, value, written)


def _extra(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    extra = schema.get("additionalProperties")
    return extra if isinstance(extra, Mapping) else {}


@cache
def _schemas(model: type[Config]) -> dict[str, Mapping[str, Any]]:
    """JSON schemas of a model's fields, by name; of alternatives, the first that is not null."""
    found = {}
    for name, schema in model.model_json_schema()["properties"].items():
        kinds = [kind for kind in schema.get("anyOf", []) if kind.get("type") != "null"]
        found[name] = schema | kinds[0] if kinds else schema
    return found


def _matches(key: Key, pattern: Key) -> bool:
    if not pattern:
        return not key
    if pattern[0] == "**":
        return any(_matches(key[skipped:], pattern[1:]) for skipped in range(len(key) + 1))
    return bool(key) and pattern[0] in ("*", key[0]) and _matches(key[1:], pattern[1:])


def _control(leaf: _Leaf, section: str, book: PriceBook) -> Iterator[Control]:
    last, schema = leaf.key[-1], leaf.schema
    routing = section == "Routing" and last == "kind" and leaf.value in _ROUTINGS
    if (last in _FIXED and not routing) or isinstance(leaf.written, (dict, list)):
        return
    choices = _ROUTINGS if routing else _choices(leaf, book)
    value = written_as(leaf.written) if leaf.written is not None else _default(leaf)
    # Amounts with a unit are text, whatever they become.
    said = leaf.value if leaf.written is None else leaf.written
    numeric = isinstance(said, (int, float)) and not schema.get("examples")
    yield Control(
        key=leaf.key,
        section=section,
        group=leaf.key[1] if leaf.key[0] in ("workloads", "hosting_patterns") else "",
        label=_label(leaf.key),
        help=" ".join(str(schema.get("description", "")).split()),
        value=value,
        kind="choice" if choices else "number" if numeric else "text",
        choices=choices,
        whole=schema.get("type") == "integer",
        low=schema.get("minimum", schema.get("exclusiveMinimum")),
        high=schema.get("maximum", schema.get("exclusiveMaximum")),
    )


def _choices(leaf: _Leaf, book: PriceBook) -> tuple[str, ...]:
    match leaf.key:
        case (*_, "cluster", "model"):
            return _with(_models(), leaf.value)
        case ("hosting_patterns", _, "api", "model") | ("hosting_patterns", _, "apis", _, "model"):
            return _with(book.api_prices, leaf.value)
        case (*_, "gpu"):
            return _with(GPUS, leaf.value)
    if leaf.schema.get("type") == "boolean":
        return ("true", "false")
    return tuple(written_as(one) for one in leaf.schema.get("enum", ()))


def _with(known: Sequence[str] | Mapping[str, object], value: object) -> tuple[str, ...]:
    """Names in their order, with the one that is there: it may come with a profile of its own."""
    return tuple(dict.fromkeys([*([] if str(value) in known else [str(value)]), *known]))


@cache
def _models() -> tuple[str, ...]:
    """Models that there are profiles of."""
    of_format = re.compile(rf"-(?:{'|'.join(get_args(Quantisation))})-")
    return tuple(sorted({of_format.split(name)[0] for name in available_profiles()}))


def _default(leaf: _Leaf) -> str:
    """A value that the file leaves to the schema, in the unit the schema would write it in."""
    examples = leaf.schema.get("examples")
    if leaf.value is None:
        return ""
    if isinstance(leaf.value, (Decimal, float)) and examples and isinstance(examples[0], str):
        if leaf.schema.get("type") == "string" and not re.search(r"[A-Z]{3}", examples[0]):
            return f"{leaf.value:g}s"
        if leaf.schema.get("type") == "string":
            return re.sub(r"^[\d.]+", f"{leaf.value}", examples[0])
    return written_as(leaf.value)


def written_as(value: object) -> str:
    """A scalar as a file has it.

    >>> written_as(True), written_as(540_000), written_as("2.38 USD/h"), written_as(None)
    ('true', '540000', '2.38 USD/h', '')
    """
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _label(key: Key) -> str:
    """What a value is called: the parts of its key below workload or pattern, without those that say nothing."""
    parts = key[2:] if key[0] in ("workloads", "hosting_patterns") else key[1:]
    quiet = {"volume", "objectives", "cluster", "clusters", "costs", "compute", "routing", "adoption", "trend"}
    shown = [part for part in parts[:-1] if part not in quiet and not part.isdigit()]
    numbered = [f"{int(part) + 1}" for part in parts if part.isdigit()]
    if parts[-1] == "kind":
        return "policy"
    text = " ".join([*shown, *numbered, parts[-1]]).replace("_", " ")
    return {"ttft": "first token within", "end to end": "whole within"}.get(text, text)


def _book_prices(scenario: Scenario, book: PriceBook) -> Iterator[Control]:
    """Prices of the book for what a scenario names of it, to be put in their place by the scenario."""
    patterns = scenario.hosting_patterns.values()
    models = {api.model for pattern in patterns for api in pattern.metered.values() if api.prices is None}
    rented: set[str] = {
        getattr(one.costs.compute, "offer", None) or "" for pattern in patterns for one in pattern.hosted.values()
    }
    for model in sorted(models & book.api_prices.keys()):
        tokens = book.api_prices[model]
        for name in ("prompt", "cached_prompt", "output"):
            if (price := getattr(tokens, name)) is not None:
                yield _book_price(scenario, model, name, str(price), tokens)
    for offer in sorted(rented & book.gpu_offers.keys()):
        entry = book.gpu_offers[offer]
        yield _book_price(scenario, offer, "instance_hour", f"{entry.instance_hour} USD/h", entry)


def _book_price(scenario: Scenario, key: str, name: str, price: str, entry: GpuOffer | ApiPrice) -> Control:
    written = scenario.prices.overrides.get(key, {}).get(name)
    return Control(
        key=("prices", "overrides", key, name),
        section="Prices",
        group=key,
        label=name.replace("_", " "),
        help=f"{entry.source}, {entry.captured_on}",
        value=price if written is None else written_as(written),
        kind="text",
    )
