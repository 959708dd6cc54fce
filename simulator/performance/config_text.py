"""The text part of a `config.json`, read with every fault noted."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Sizes that no model has; layers are gone through one by one.
MOST: Final = 1_000_000_000
_MOST_LAYERS: Final = 10_000
_LAYERS: Final = ("num_hidden_layers", "n_layer", "depth")


class TextConfig:
    """Values of a text model's configuration, checked as they are asked for.

    Args:
        own: The text part.
        whole: The file it stands in.
        defaults: What `transformers` fills in where a file says nothing.
        faults: Where what is wrong is noted; a value that is wrong reads as 1.
        words: What this architecture calls what most call otherwise.
    """

    def __init__(
        self,
        own: Mapping[str, Any],
        whole: Mapping[str, Any],
        defaults: Mapping[str, Any],
        faults: list[str],
        words: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._own, self._whole, self._defaults, self.faults = own, whole, defaults, faults
        self._words = words

    def called(self, **words: str) -> TextConfig:
        """The same, in which what is asked for goes by other words."""
        return TextConfig(self._own, self._whole, self._defaults, self.faults, words)

    def get(self, key: str) -> Any:  # noqa: ANN401 - whatever the file has
        """A value as it is; None where neither the file nor a default has one."""
        key = self._words.get(key, key)
        for found in (self._own, self._whole, self._defaults):
            if found.get(key) is not None:
                return found[key]
        return None

    def part(self, key: str) -> TextConfig:
        """What it has under a key, itself a mapping; noted as a fault where it is none."""
        found = self.get(key)
        if not isinstance(found, dict):
            self.faults.append(f"{key}: expected a mapping")
            found = {}
        return TextConfig(found, {}, {}, self.faults)

    def without(self, *keys: str) -> TextConfig:
        """The same as if it did not say these."""
        own, whole = ({k: v for k, v in part.items() if k not in keys} for part in (self._own, self._whole))
        return TextConfig(own, whole, self._defaults, self.faults, self._words)

    def alike(self, *keys: str) -> TextConfig:
        """The same, where a list with one value for each layer is that value, if it is one."""
        own = dict(self._own)
        for key in (self._words.get(key, key) for key in keys):
            found = own.get(key)
            if not isinstance(found, list):
                continue
            if len(set(map(repr, found))) != 1:
                self.faults.append(f"{key}: layers that differ in it are not supported")
            own[key] = found[0] if found else None
        return TextConfig(own, self._whole, self._defaults, self.faults, self._words)

    def count(self, *keys: str) -> int:
        """A whole number above 0 under the first of these names that is given."""
        key = next((name for name in keys if self.get(name) is not None), keys[0])
        value = self.get(key)
        said = self._words.get(key, key)
        wrong = "is missing" if value is None else amiss(said, value)
        if wrong is None:
            return int(value)
        self.faults.append(f"{said}: {wrong}")
        return 1

    def optional(self, key: str, default: int) -> int:
        """A whole number above 0, or what holds when it is absent."""
        return default if self.get(key) is None else self.count(key)

    def at_least_0(self, key: str) -> int:
        """A whole number, 0 when absent."""
        return 0 if self.get(key) in (None, 0) else self.count(key)

    def layer_types(self, layers: int) -> list[str] | None:
        """What each layer is, where the file says so for every one."""
        found = self.get("layer_types")
        if found is None:
            return None
        if not isinstance(found, list) or len(found) != layers or not all(isinstance(one, str) for one in found):
            self.faults.append(f"layer_types: expected a name for each of {layers} layers")
            return None
        return found

    def layer_numbers(self, key: str) -> list[int]:
        """Which layers, counted from 0; none where the file does not say."""
        found = self.get(key) or []
        if not isinstance(found, list) or not all(isinstance(one, int) for one in found):
            self.faults.append(f"{key}: {found!r:.60} is no list of layers")
            return []
        return found

    @property
    def tied(self) -> bool:
        """Whether the output head is the embedding."""
        return bool(self.get("tie_word_embeddings"))

    def context(self) -> int | None:
        """Longest request, where the file says so."""
        key = "max_position_embeddings" if self.get("max_position_embeddings") else "n_positions"
        found = self.get(key)
        if not isinstance(found, int) or isinstance(found, bool) or found < 1:
            return None
        if (wrong := amiss(key, found)) is not None:
            self.faults.append(f"{key}: {wrong}")
        return found


def amiss(key: str, value: object) -> str | None:
    """What is wrong with a size; None where it is one."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        return f"{value!r:.60} is not a whole number above 0"
    most = _MOST_LAYERS if key in _LAYERS else MOST
    if value > most:
        # A number of hundreds of digits is no news in full, and Python writes out no longer ones.
        return f"{'a number of many digits' if value > 10**30 else f'{value:,}'} is more than {most:,}, as no model has"
    return None
