"""What APIs charge for requests whose prompts are long, which some price apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simulator.workload.work import LONG_PROMPTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.engine.record import Charge, RequestLog
    from simulator.trace.request_table import RequestTable


class LongPrompts:
    """Billed prompt, cached, written and output tokens of requests of more prompt tokens than `LONG_PROMPTS`."""

    def __init__(self, backends: int, workloads: int) -> None:
        self._billed = np.zeros((len(LONG_PROMPTS), backends, workloads, 4), np.int64)

    def add(self, table: RequestTable, log: RequestLog) -> None:
        """Count the next requests."""
        for number, above in enumerate(LONG_PROMPTS):
            rows = np.flatnonzero((table.prompt_tokens > above) & (log.billed_prompt_tokens > 0))
            if not len(rows):
                return
            counts = (log.billed_prompt_tokens, log.cached_tokens, log.written_tokens, log.billed_output_tokens)
            tokens = np.stack([count[rows] for count in counts], axis=1)
            np.add.at(self._billed[number], (log.backend[rows], table.workload[rows]), tokens)

    def billed(self, backend: int, workload: int, burnt: Sequence[Charge]) -> dict[int, tuple[int, int, int, int]]:
        """What one backend charges one workload for them, by tokens above which they lie.

        Calls that answered nobody are among them.
        """
        found = {}
        for number, above in enumerate(LONG_PROMPTS):
            long = [one for one in burnt if one.prompt_tokens > above and one.workload == workload]
            lost = [(one.prompt_tokens, one.cached_tokens, one.written_tokens, one.output_tokens) for one in long]
            known = self._billed[number, backend, workload]
            prompt, cached, written, output = known + np.sum([(0, 0, 0, 0), *lost], axis=0)
            if prompt:
                found[above] = (int(prompt), int(cached), int(written), int(output))
        return found
