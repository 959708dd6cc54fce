"""The whole prompt and the whole output of each request, whatever a log counts apart.

What a prompt cache gave and what it took belong to the prompt, reasoning belongs to the output. Some logs count them
in, some apart, and some that should count them in do not: the conventions of OpenTelemetry want `input_tokens` to
include the cached ones, and many instrumentations of Anthropic's interface, which counts them apart, pass its numbers
on (open-telemetry/semantic-conventions, attributes `gen_ai.usage.cache_read.input_tokens` and
`gen_ai.usage.cache_creation.input_tokens`; Anthropic's documentation of prompt caching, "Tracking cache performance").
More cached than there was prove it: they are apart in that record, and in all others that the same sender wrote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.trace.importers.screen import MOST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.trace.importers.screen import Screen

#: What tells the senders of a log apart, as far as it has these fields.
_SENDER: Final = ("service", "provider", "model")
_MOST_SENDERS: Final = 100_000
_IN: Final = {
    "cache": "tokens read from and written to the prompt cache were added to those of the prompt, which this log "
    "counts apart",
    "reasoning": "reasoning tokens were added to those of the output, which this log counts apart",
}
_PROVED: Final = {
    "cache": "more tokens read from or written to the prompt cache than the prompt had prove that some senders count "
    "them apart: theirs were added to the prompt",
    "reasoning": "more reasoning tokens than the output had prove that some senders count them apart: theirs were "
    "added to the output",
}


def token_sums(screen: Screen, apart: frozenset[str]) -> tuple[NDArray[np.int64], ...]:
    """Tokens of the prompts and outputs; of prompts what a cache gave and then held, of outputs what was reasoning.

    Args:
        screen: Records with `prompt_tokens` and `output_tokens`, and `cache_read`, `cache_write`, `reasoning` as far as
            they have them, `thought` where that is known to be among the output; what is no count is wrong.
        apart: `cache`, `reasoning`: what these leave out by the log's own rules.
    """
    prompt, output = screen.count("prompt_tokens"), screen.count("output_tokens")
    nothing = np.zeros_like(prompt)
    read, written, reasoning, thought = (
        screen.count(name) if name in screen.records.columns else nothing
        for name in ("cache_read", "cache_write", "reasoning", "thought")
    )
    prompt = prompt + _apart("cache", apart, screen, read + written, prompt)
    output = output + _apart("reasoning", apart, screen, reasoning, output)
    screen.reject(prompt > MOST, f"prompt_tokens: more than {MOST:,}")
    screen.reject(output > MOST, f"output_tokens: more than {MOST:,}")
    cached, stored = np.minimum(read, prompt), np.minimum(read + written, prompt)
    return prompt, output, cached, stored, np.minimum(np.maximum(reasoning, thought), output)


def _apart(
    what: str, apart: frozenset[str], screen: Screen, part: NDArray[np.int64], rest: NDArray[np.int64]
) -> NDArray[np.int64]:
    """How much of a part is not in the rest."""
    if not part.any():
        return part
    if what in apart:
        screen.context.assume(_IN[what])
        return part
    proof = screen.good & (part > rest)
    proved, believed = screen.context.proved(what), screen.context.proved(f"{what} within")
    senders = _senders(screen)
    proved.update(senders[at] for at in np.flatnonzero(proof).tolist())
    if len(believed) < _MOST_SENDERS:
        believed.update(senders[at] for at in np.flatnonzero(part > 0).tolist() if senders[at] not in proved)
    if not proved:
        return np.zeros_like(part)
    screen.context.late = screen.context.late or not proved.isdisjoint(believed)
    theirs = np.array([sender in proved for sender in senders], np.bool_)
    screen.context.assume(_PROVED[what])
    return np.where(theirs, part, 0)


def _senders(screen: Screen) -> list[str]:
    """Who sent each record."""
    columns = [screen.records.columns[name] for name in _SENDER if name in screen.records.columns]
    told = list(zip(*columns, strict=True)) if columns else [()] * len(screen.records.lines)
    try:
        names = {one: repr(one) for one in set(told)}
    except TypeError:  # a name that is a list or an object
        return [repr(one) for one in told]
    return [names[one] for one in told]
