"""A request as it reaches a router."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from simulator.trace.request_table import RequestTable


@dataclass(slots=True)
class Arrival:
    """What a real router could know of a request; how long the answer will be is not part of it.

    Attributes:
        index: Row of the request in the table and in the log.
        workload: Index of its workload.
        prompt_tokens: Tokens of the prompt.
        max_tokens: Output limit the client sent.
        prefix_id: Identity of its shared prefix, -1 for none.
        prefix_tokens: Length of that prefix.
        priority: 1 critical to 3 normal.
    """

    index: int
    workload: int
    prompt_tokens: int
    max_tokens: int
    prefix_id: int
    prefix_tokens: int
    priority: int

    def counted(self, prompts: NDArray[np.int32]) -> Arrival:
        """The request as a backend sees it that counts so many tokens of each prompt, by row."""
        tokens = prompts.item(self.index)
        return self if tokens == self.prompt_tokens else replace(self, prompt_tokens=tokens)

    @classmethod
    def of(cls, table: RequestTable, index: int) -> Arrival:
        """The request in this row."""
        return cls(
            index=index,
            workload=table.workload.item(index),
            prompt_tokens=table.prompt_tokens.item(index),
            max_tokens=table.max_tokens.item(index),
            prefix_id=table.prefix_id.item(index),
            prefix_tokens=table.prefix_tokens.item(index),
            priority=table.priority.item(index),
        )
