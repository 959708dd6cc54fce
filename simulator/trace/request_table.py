"""A month of requests as columns: what every source of demand produces and the engine consumes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from simulator.trace.nesting import FLAT, Nesting, together

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from simulator.trace.links import Links


@dataclass(frozen=True, slots=True)
class RequestTable:
    """Requests sorted by arrival; one array entry each.

    Attributes:
        workloads: Names that `workload` indexes.
        arrival_s: float64, seconds since the start of the horizon, ascending.
        workload: int16 index into `workloads`.
        prompt_tokens: int32, at least 1, shared prefix included.
        output_tokens: int32, at least 1; what the model would produce, never more than `max_tokens`.
        max_tokens: int32 output limit sent by the client.
        prefix_id: int32 identity of the longest prefix it shares, -1 for none; equal ids share leading tokens.
        prefix_tokens: int32 length of that prefix; more than `prompt_tokens` where it goes on in the answer, since the
            next turn of a conversation begins with both.
        priority: int8, 1 critical to 3 normal.
        thinking_tokens: int32; of `output_tokens`, those that a reasoning model thinks before its answer: all of them
            where it gets to no answer. None where no request thinks.
        nesting: Which of those prefixes begin with another one.
        links: Which requests begin when another one is answered; their arrival is then no more than the soonest moment.
            None where none does, and for a part of such a table, whose requests are then like all others.
    """

    workloads: tuple[str, ...]
    arrival_s: NDArray[np.float64]
    workload: NDArray[np.int16]
    prompt_tokens: NDArray[np.int32]
    output_tokens: NDArray[np.int32]
    max_tokens: NDArray[np.int32]
    prefix_id: NDArray[np.int32]
    prefix_tokens: NDArray[np.int32]
    priority: NDArray[np.int8]
    thinking_tokens: NDArray[np.int32] = None  # type: ignore[assignment]
    nesting: Nesting = field(default=FLAT, kw_only=True)
    links: Links | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.thinking_tokens is None:
            object.__setattr__(self, "thinking_tokens", np.zeros(len(self.arrival_s), np.int32))

    def __len__(self) -> int:
        return len(self.arrival_s)

    def rows(self, some: slice | NDArray[np.bool_] | NDArray[np.intp]) -> RequestTable:
        """Some of the requests; those of a slice in the same memory."""
        return RequestTable(self.workloads, *(getattr(self, name)[some] for name in COLUMNS), nesting=self.nesting)

    def nested(self, nesting: Nesting) -> RequestTable:
        """The same requests, with what of this their prefixes need."""
        return replace(self, nesting=nesting.needed_by(self.prefix_id)) if len(nesting) else self


#: The columns, in the order in which `RequestTable` takes them.
COLUMNS = tuple(name for name in RequestTable.__slots__ if name not in ("workloads", "nesting", "links"))


def joined(parts: Sequence[RequestTable]) -> RequestTable:
    """Requests one part after the other, each one's `workloads` beginning with those of the one before."""
    if len(parts) == 1:
        return parts[0]
    columns = (np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS)
    return RequestTable(parts[-1].workloads, *columns, nesting=together([part.nesting for part in parts]))
