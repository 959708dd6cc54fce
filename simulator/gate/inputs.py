"""What was asked differently: every key of two scenarios and price lists that differs, and the kind of change it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from simulator.scenario.yaml_source import dotted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from simulator.gate.result_file import ResultFile

Cause = Literal["price", "volume", "capacity", "policy", "simulation", "words"]
Key = tuple[str, ...]

#: The first line that a key begins with says what kind of change it is; `*` stands for any one name.
_CAUSES: Final[tuple[tuple[str, Cause], ...]] = (
    ("name", "words"),
    ("description", "words"),
    ("schema_version", "words"),
    ("hosting_patterns.*.description", "words"),
    ("hosting_patterns.*.costs", "price"),
    ("hosting_patterns.*.clusters.*.costs", "price"),
    ("hosting_patterns.*.api.costs", "price"),
    ("hosting_patterns.*.apis.*.costs", "price"),
    ("hosting_patterns.*.api.prices", "price"),
    ("hosting_patterns.*.apis.*.prices", "price"),
    ("hosting_patterns.*.api.terms", "price"),
    ("hosting_patterns.*.apis.*.terms", "price"),
    ("hosting_patterns.*.api.deployment.unit_hour", "price"),
    ("hosting_patterns.*.apis.*.deployment.unit_hour", "price"),
    ("hosting_patterns.*.apis.*.deployment.input_price", "price"),
    ("hosting_patterns.*.apis.*.deployment.output_price", "price"),
    ("hosting_patterns.*.api.model", "price"),
    ("hosting_patterns.*.apis.*.model", "price"),
    ("hosting_patterns.*.cluster.request_timeout", "policy"),
    ("hosting_patterns.*.clusters.*.cluster.request_timeout", "policy"),
    ("hosting_patterns.*.api.retries", "policy"),
    ("hosting_patterns.*.apis.*.retries", "policy"),
    ("hosting_patterns.*.cluster", "capacity"),
    ("hosting_patterns.*.clusters", "capacity"),
    ("hosting_patterns.*.api", "capacity"),
    ("hosting_patterns.*.apis", "capacity"),
    ("hosting_patterns.*.faults", "capacity"),
    ("workloads.*.objectives", "policy"),
    ("workloads.*.phi", "policy"),
    ("workloads.*.priority", "policy"),
    ("workloads", "volume"),
    ("horizon", "volume"),
    ("prices", "price"),
    ("price_book", "price"),
    ("experiment", "simulation"),
    ("replications", "simulation"),
    ("simulator_version", "simulation"),
)
#: Routing, faults, constraints and whatever else decides who gets what.
_OTHERWISE: Final[Cause] = "policy"


@dataclass(frozen=True, slots=True)
class InputChange:
    """A key that differs.

    Attributes:
        key: Where it stands.
        base: Its value before; None where it was absent.
        new: Its value now; None where it is absent.
        cause: What kind of change that is.
    """

    key: Key
    base: Any
    new: Any
    cause: Cause

    def concerns(self, pattern: str) -> bool:
        """Whether it can have changed what this hosting pattern does."""
        return self.key[0] != "hosting_patterns" or self.key[1:2] == (pattern,)

    def __str__(self) -> str:
        return f"{dotted(self.key)} {_value(self.base)} → {_value(self.new)}"


def input_changes(base: ResultFile, new: ResultFile) -> list[InputChange]:
    """Every difference in what was asked, in the order of the scenario; a default that is merely spelt out is none."""
    pairs: list[tuple[Key, Any, Any]] = [
        ((name,), getattr(base.result, name), getattr(new.result, name))
        for name in ("simulator_version", "replications")
    ]
    if base.result.inputs and new.result.inputs:
        asked = _differences(base.result.inputs.scenario, new.result.inputs.scenario)
        # The number that was simulated is there already.
        pairs += _resolved([pair for pair in asked if pair[0] != ("experiment", "replications")], base, new)
        pairs += [
            (("price_book", *key), before, after)
            for key, before, after in _differences(base.result.inputs.prices, new.result.inputs.prices, both=True)
        ]
    return [
        InputChange(key, before, after, _cause(key, before, after)) for key, before, after in pairs if before != after
    ]


def _cause(key: Key, before: Any, after: Any) -> Cause:  # noqa: ANN401 - a scenario value is anything
    """Of a price entry, what is neither an amount nor a number only says where the price comes from."""
    told = [value for value in (before, after) if value is not None]
    only_words = all(isinstance(value, str) and "USD" not in value for value in told)
    return "words" if key[0] == "price_book" and only_words else cause_of(key)


def cause_of(key: Key) -> Cause:
    """What kind of change a difference in this key is."""
    return next((cause for pattern, cause in _CAUSES if _begins(key, pattern.split("."))), _OTHERWISE)


def _begins(key: Key, pattern: list[str]) -> bool:
    return len(key) >= len(pattern) and all(wanted in ("*", part) for part, wanted in zip(key, pattern, strict=False))


def _differences(
    base: Mapping[str, Any], new: Mapping[str, Any], key: Key = (), *, both: bool = False
) -> Iterator[tuple[Key, Any, Any]]:
    """Leaves that differ; with `both`, entries that only one side has are passed over down to the second level."""
    for name in dict.fromkeys((*base, *new)):
        before, after = base.get(name), new.get(name)
        path = (*key, name)
        if both and len(path) <= 2 and (name not in base or name not in new):
            continue
        if isinstance(before, list) and isinstance(after, list) and _alike(before, after):
            before, after = ({str(at): one for at, one in enumerate(side)} for side in (before, after))
        if isinstance(before, dict) and isinstance(after, dict):
            yield from _differences(before, after, path, both=both)
        elif before != after:
            yield path, before, after


def _alike(before: list[Any], after: list[Any]) -> bool:
    """Whether both have as many sections, such as roles or rules: their keys are compared one by one."""
    return len(before) == len(after) and all(isinstance(one, dict) for one in (*before, *after))


def _resolved(pairs: list[tuple[Key, Any, Any]], base: ResultFile, new: ResultFile) -> Iterator[tuple[Key, Any, Any]]:
    """The differences that are left once defaults are filled in and units are resolved, with the defaults."""
    if base.scenario is None or new.scenario is None:
        yield from pairs
        return
    whole = [side.model_dump(mode="json") for side in (base.scenario, new.scenario)]
    for key, before, after in pairs:
        meant = [_at(side, key) for side in whole]
        if isinstance(meant[0], dict) and isinstance(meant[1], dict):
            # A section that one side leaves to its defaults: what differs in it.
            yield from _differences(meant[0], meant[1], key)
        elif meant[0] != meant[1] or meant[0] is None:
            yield key, meant[0] if before is None else before, meant[1] if after is None else after


def _at(data: Any, key: Key) -> Any:  # noqa: ANN401 - a scenario value is anything
    for part in key:
        if isinstance(data, list):
            data = dict(enumerate(data)).get(int(part)) if part.isdigit() else None
        else:
            data = data.get(part) if isinstance(data, dict) else None
    return data


def _value(value: Any) -> str:  # noqa: ANN401 - a scenario value is anything
    if value is None:
        return "(absent)"
    if isinstance(value, dict):
        return "(present)"
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
