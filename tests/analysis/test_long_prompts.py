"""Tokens of long prompts against a plain loop: by backend, by workload, by length, lost calls among them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from simulator.analysis.long_prompts import LongPrompts
from simulator.engine.record import Charge, RequestLog
from simulator.workload.work import LONG_PROMPTS
from tests.engine.demand import table

#: Below the first length, on it, above it; above the last.
lengths = st.sampled_from([1, 100_000, 100_001, 128_000, 250_000, 256_001, 272_000, 600_000])
rows = st.lists(
    st.tuples(lengths, st.integers(0, 2), st.integers(0, 1), st.booleans(), st.integers(0, 999), st.integers(0, 99)),
    max_size=20,
)


@given(rows, rows, st.integers(0, 20))
def test_law_what_is_billed_of_long_prompts_is_what_a_loop_adds_up(answered, lost, cut):
    """Three APIs, two workloads; of some requests nothing is billed, for a cluster answered them."""
    tally = LongPrompts(3, 2)
    for part in (answered[:cut], answered[cut:]):
        if not part:
            continue
        prompt, backend, workload, billed, cached, output = zip(*part, strict=True)
        log = RequestLog.empty(len(part))
        log.backend[:] = backend
        log.billed_prompt_tokens[:] = np.where(billed, prompt, 0)
        log.cached_tokens[:], log.written_tokens[:] = np.where(billed, cached, 0), np.where(billed, 7, 0)
        log.billed_output_tokens[:] = np.where(billed, output, 0)
        tally.add(table(np.arange(len(part)), prompt, workload=workload, workloads=("a", "b")), log)
    burnt = [
        (backend, Charge(0.0, 0, backend, prompt, cached, output, workload, 3))
        for prompt, backend, workload, _, cached, output in lost
    ]
    for backend in range(3):
        for workload in range(2):
            mine = [one for at, one in burnt if at == backend]
            found = tally.billed(backend, workload, mine)
            for above in LONG_PROMPTS:
                calls = [
                    (prompt, cached, 7, output)
                    for prompt, at, load, billed, cached, output in answered
                    if billed and prompt > above and (at, load) == (backend, workload)
                ] + [
                    (one.prompt_tokens, one.cached_tokens, 3, one.output_tokens)
                    for one in mine
                    if one.prompt_tokens > above and one.workload == workload
                ]
                wanted = tuple(map(sum, zip(*calls, strict=True))) if calls else None
                assert found.get(above) == wanted
