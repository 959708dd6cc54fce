"""LoRA adapters of the step-by-step replica: the rules of `adapters`, with the adapters themselves in lists.

And what the images of a sequence add to the step that starts it (`images`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping

    from simulator.engine.vllm.sequence import Sequence
    from simulator.performance.lora import LoraCost
    from simulator.scenario.lora import LoraSettings


class StepwiseAdapters:
    """Where adapters are, and what they add to steps.

    Args:
        settings: How many there is room for; no bound when absent, and they cost nothing.
        cost: What they cost.
    """

    def __init__(self, settings: LoraSettings | None, cost: LoraCost) -> None:
        self._settings = settings
        self._cost = cost
        # The one of which a request was started last goes last.
        self._slots: list[Hashable] = []
        self._host: list[Hashable] = []
        self._added_s = 0.0

    def may_start(self, sequence: Sequence, running: Iterable[Sequence]) -> bool:
        """Whether the adapter of a waiting sequence has or can get a slot beside those that run."""
        if sequence.adapter is None or self._settings is None:
            return True
        taken = {one.adapter for one in running} - {None}
        return sequence.adapter in taken or len(taken) < self._settings.max_loras

    def start(self, sequence: Sequence, running: Iterable[Sequence]) -> None:
        """A sequence joins those that run; its images are encoded, its adapter is brought."""
        self._added_s += sequence.encoder_s
        adapter, settings = sequence.adapter, self._settings
        if adapter is None or settings is None:
            return
        taken = {one.adapter for one in running}
        for place, room, seconds in (
            (self._host, settings.host_loras, self._cost.read_s),
            (self._slots, settings.max_loras, self._cost.copy_s),
        ):
            if adapter in place:
                place.remove(adapter)
            else:
                self._added_s += seconds
                if len(place) == room:
                    place.remove(next(one for one in place if one not in taken))
            place.append(adapter)
        self._slots = [one for one in self._slots if one in self._host]

    def step_s(self, tokens: Mapping[Sequence, int]) -> float:
        """Seconds added to a step of so many tokens of each sequence, with what was moved and encoded for it."""
        own = {one: count for one, count in tokens.items() if one.adapter is not None}
        added_s = self._cost.added_s(sum(own.values()), len({one.adapter for one in own})) + self._added_s
        self._added_s = 0.0
        return added_s
