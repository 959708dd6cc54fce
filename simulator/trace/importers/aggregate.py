"""Requests out of counts: logs that know how many there were and how many tokens they had, but no single one.

The number of requests and the sums of their tokens are kept exactly; when in its interval each came is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.trace.checks import BOUNDS
from simulator.trace.importers.rows import Rows, make_rows
from simulator.trace.importers.values import whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from simulator.trace.importers.context import Context

#: Of one interval: 23 a second all day. They are drawn in memory; a log of shorter intervals may have more.
MOST_REQUESTS: Final = 2_000_000
MOST_TOKENS: Final = 10**15
ASSUMED: Final = (
    "the log counts requests and tokens by interval; requests were spread evenly at random within each, and the tokens "
    "of an interval were dealt out evenly among its requests"
)
_PIECE: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class Bucket:
    """An interval and what was counted in it.

    Attributes:
        line: Where it stands in the file.
        start_ns: Its beginning.
        length_ns: How long it is.
        label: Value of the field that names workloads, None where there is none.
        requests: How many began in it, as they stood there.
        prompt_tokens: Of all of them.
        output_tokens: Of all of them.
        cached_tokens: Of those of the prompts, those that a prompt cache gave.
    """

    line: int | str
    start_ns: int
    length_ns: int
    label: object
    requests: float
    prompt_tokens: float
    output_tokens: float
    cached_tokens: float = 0.0


def rows_of(buckets: list[Bucket], path: Path, context: Context, draw: np.random.Generator) -> Iterator[Rows]:
    """Requests of intervals; counts the intervals that cannot be as wrong, those without requests as left out."""
    context.assume(ASSUMED)
    for bucket in buckets:
        reason = _fault(bucket)
        if reason is not None:
            context.tally.reject(path, [bucket.line], reason)
        elif bucket.requests == 0:
            context.tally.leave_out("an interval without requests", 1)
        else:
            count = int(bucket.requests)
            context.tally.draw(count)
            yield from _spread(bucket, count, context, draw)


def _fault(bucket: Bucket) -> str | None:
    counts = np.array([bucket.requests, bucket.prompt_tokens, bucket.output_tokens])
    if not whole(counts[:1], 0, MOST_REQUESTS).all():
        return f"requests: not a whole number from 0 to {MOST_REQUESTS:,}"
    if not whole(counts[1:], 0, MOST_TOKENS).all():
        return "tokens: not a whole number of 0 or more"
    if bucket.requests == 0:
        return "tokens without a request" if counts[1:].any() else None
    if (counts[1:] < bucket.requests).any():
        return "fewer tokens than requests"
    if (counts[1:] / bucket.requests > BOUNDS["prompt_tokens"][1] - 1).any():
        return f"more than {BOUNDS['prompt_tokens'][1]:,} tokens a request"
    return None


def _spread(bucket: Bucket, count: int, context: Context, draw: np.random.Generator) -> Iterator[Rows]:
    prompt, output = (_dealt(int(total), count, draw) for total in (bucket.prompt_tokens, bucket.output_tokens))
    at_ns = np.sort(draw.integers(0, max(bucket.length_ns, 1), count)) + bucket.start_ns
    cached = np.minimum(_dealt(int(bucket.cached_tokens), count, draw), prompt) if bucket.cached_tokens else prompt * 0
    workload = int(context.labels.indices([bucket.label])[0])
    for start in range(0, count, _PIECE):
        part = slice(start, start + _PIECE)
        named = np.full(len(at_ns[part]), workload, np.int16)
        yield make_rows(at_ns[part], prompt[part], output[part], workload=named, cached=cached[part])


def _dealt(total: int, count: int, draw: np.random.Generator) -> NDArray[np.int64]:
    """A total among so many, each its share of it or one more."""
    share, rest = divmod(total, count)
    dealt = np.full(count, share, np.int64)
    dealt[draw.permutation(count)[:rest]] += 1
    return dealt
