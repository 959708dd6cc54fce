"""How long requests are, prompt and output together, before a run draws any."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from simulator.scenario.workloads import RecordedWorkload, SyntheticWorkload
from simulator.workload.conversations import draw_turns, growing_prompts
from simulator.workload.departments import length_spread
from simulator.workload.lengths import draw_lengths, share_above
from simulator.workload.recorded import content
from simulator.workload.thinking import said, with_thinking

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.scenario.workloads import AnyWorkload

    Tokens = NDArray[np.integer[Any]]

#: Share of a workload's requests that is not worth a longer context, nor a word.
RARE: Final = 0.001
#: Requests drawn where their lengths follow from no formula, from a stream of their own: a share of `RARE` is then
#: known to an eighth of itself.
_DRAWN, _SEED = 65_536, 20_261_130


def holds(load: AnyWorkload, tokens: int) -> bool:
    """Whether so many tokens hold prompt and output of all but `RARE` of a workload's requests; of a trace, of all.

    Raises:
        TraceError: A recorded trace cannot be read.
    """
    if isinstance(load, RecordedWorkload):
        return content(load).answered.share_above(tokens) == 0.0
    if _is_plain(load):
        # Drawn only where neither the longest answer says yes nor the shortest says no.
        if share_above(load.prompt_tokens, tokens - load.max_tokens) <= RARE:
            return True
        if share_above(load.prompt_tokens, tokens - 1) > RARE:
            return False
    prompt, output = _drawn(load)
    return float(np.mean(prompt + output > tokens)) <= RARE


def share_refused(load: AnyWorkload, tokens: int, *, reserves: bool) -> float:
    """Share of a workload's requests that are refused where so many tokens are the most.

    Args:
        load: The workload.
        tokens: The most tokens of a request.
        reserves: Whether its output limit is counted beside the prompt, as APIs do, or one token, as a cluster does.

    Raises:
        TraceError: A recorded trace cannot be read.
    """
    if isinstance(load, RecordedWorkload):
        known = content(load)
        return known.reserved.share_above(tokens) if reserves else known.prompt.share_above(tokens - 1)
    room = tokens - (load.max_tokens if reserves else 1)
    return share_above(load.prompt_tokens, room) if _is_plain(load) else float(np.mean(_drawn(load)[0] > room))


def _is_plain(load: SyntheticWorkload) -> bool:
    """Whether its prompts are as long as `prompt_tokens` says, and no department or turn makes them longer."""
    return load.turns is None and length_spread(load) == 0.0


def _drawn(load: SyntheticWorkload) -> tuple[Tokens, Tokens]:
    """Prompt and output tokens of requests like these."""
    about = {"prompt_tokens", "output_tokens", "correlation", "max_tokens", "departments", "turns", "reasoning"}
    return _sample(_Lengths(load.model_dump_json(include=about), load))


@dataclass(frozen=True, slots=True)
class _Lengths:
    """A workload, known by all that its lengths depend on."""

    key: str
    load: SyntheticWorkload = field(compare=False)


@lru_cache(maxsize=64)
def _sample(lengths: _Lengths) -> tuple[Tokens, Tokens]:
    load, rng = lengths.load, np.random.default_rng(_SEED)
    spread = length_spread(load)
    heads = _DRAWN if load.turns is None else int(_DRAWN / load.turns.mean) + 1
    factor = np.exp(spread * rng.standard_normal(heads) - 0.5 * spread**2) if spread else None
    if load.turns is None:
        prompt, answer = draw_lengths(load, heads, rng, factor)
        return prompt.astype(np.int64), with_thinking(load, answer, lambda: rng, factor)[0]
    turn = draw_turns(load.turns, np.zeros(heads), rng)
    longer = None if factor is None else factor[turn.conversation]
    prompt, answer = draw_lengths(load, len(turn.first), rng, longer)
    output, thinking = with_thinking(load, answer, lambda: rng, longer)
    whole = growing_prompts(load.turns, turn, prompt, said(load, output, thinking))
    kept = (whole <= load.turns.longest) | (turn.first == np.arange(len(whole)))
    return whole[kept], output[kept]
