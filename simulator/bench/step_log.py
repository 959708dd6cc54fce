"""What the scheduler that `bench measure` puts into vLLM notes, apart from it so that reading it needs no vLLM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(slots=True)
class LoggedStep:
    """A step, with moments of `time.perf_counter`; 0 for what has not happened."""

    decodes: int
    kv_tokens: int
    chunks: tuple[tuple[int, int], ...]
    began_s: float
    scheduled_s: float
    done_s: float = 0.0
    taken_in_s: float = 0.0

    @property
    def host_s(self) -> float:
        """Scheduling it, and taking in its tokens."""
        return (self.scheduled_s - self.began_s) + (self.taken_in_s - self.done_s)


def durations(log: Iterable[LoggedStep]) -> Iterator[tuple[LoggedStep, float]]:
    """Each finished step with its time on the device: from its scheduling, or from the end of the one before it."""
    before_s = 0.0
    for step in log:
        if step.done_s:
            yield step, step.done_s - max(step.scheduled_s, before_s)
            before_s = step.done_s


#: Steps in order of scheduling; whoever reads them empties it.
LOG: list[LoggedStep] = []
#: KV blocks of the engine that was started last.
NUM_GPU_BLOCKS: list[int] = []
