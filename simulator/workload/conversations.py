"""Conversations: requests that send along all that was said before them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simulator.workload.departments import length_spread
from simulator.workload.lengths import draw_lengths, mean_tokens
from simulator.workload.thinking import mean_output, said, with_thinking

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.scenario.arrivals import Turns
    from simulator.scenario.workloads import SyntheticWorkload

#: Conversations whose lengths are drawn for a mean, and the expected requests that are too few to count.
_DRAWN, _SEED, _NEGLIGIBLE = 2_048, 20_261_129, 1e-6


@dataclass(frozen=True, slots=True)
class Turn:
    """Requests, conversation after conversation; one array entry each.

    Attributes:
        arrival_s: When.
        conversation: Number of the conversation.
        first: Row of the conversation's first request.
    """

    arrival_s: NDArray[np.float64]
    conversation: NDArray[np.int64]
    first: NDArray[np.int64]


def draw_turns(turns: Turns, heads_s: NDArray[np.float64], rng: np.random.Generator) -> Turn:
    """The requests of conversations that begin at these moments."""
    sizes = rng.geometric(1.0 / turns.mean, len(heads_s))
    conversation = np.repeat(np.arange(len(heads_s)), sizes)
    first = (np.cumsum(sizes) - sizes)[conversation]
    think_s = turns.think.median * np.exp(turns.think.sigma * rng.standard_normal(len(conversation)))
    think_s[np.unique(first)] = 0.0
    since_s = np.cumsum(think_s)
    return Turn(heads_s[conversation] + since_s - since_s[first], conversation, first)


def growing_prompts(
    turns: Turns, turn: Turn, prompt: NDArray[np.int32], output: NDArray[np.int32]
) -> NDArray[np.int64]:
    """Prompt of every request: the first one's, and each answer and question since."""
    said = output.astype(np.int64) + turns.question_tokens
    before = np.cumsum(said) - said
    return np.asarray(prompt[turn.first] + before - before[turn.first])


@dataclass(frozen=True, slots=True)
class MeanConversation:
    """What is expected of a conversation.

    Attributes:
        requests: Requests, the first included.
        tokens: Their prompt and output tokens.
    """

    requests: float
    tokens: float


def mean_conversation(workload: SyntheticWorkload) -> MeanConversation:
    """What is expected of a conversation that ends at its `longest` prompt.

    A j-th request comes with probability (1 - 1/m)^(j - 1), and is sent if its prompt is not too long, which is left to
    draws of the lengths from a stream of its own. Where none is cut the sums are known: m requests, and m (m - 1) pairs
    of which the later sends along the question and answer of the earlier.

    Raises:
        ValueError: The workload has no turns.
    """
    turns = workload.turns
    if turns is None:
        raise ValueError("a workload without turns has no conversations")
    mean, spread = turns.mean, length_spread(workload)
    rng = np.random.default_rng(_SEED)
    factor = np.exp(spread * rng.standard_normal(_DRAWN) - 0.5 * spread**2)
    requests, tokens, comes, cut = 0.0, 0.0, 1.0, False
    spoken, thoughts = np.zeros(_DRAWN), np.random.default_rng(_SEED + 1)
    while comes * mean > _NEGLIGIBLE:
        prompt, output = draw_lengths(workload, _DRAWN, rng, factor)
        whole = spoken + prompt if not requests else spoken
        sent = (whole <= turns.longest) | (not requests)
        cut |= not sent.all()
        if not sent.any():
            break
        requests += comes * float(sent.mean())
        output, thinking = with_thinking(workload, output, lambda: thoughts, factor)
        tokens += comes * float((sent * (whole + output)).mean())
        spoken = whole + said(workload, output, thinking) + turns.question_tokens
        comes *= 1.0 - 1.0 / mean
    if cut:
        return MeanConversation(requests, tokens)
    first = mean_tokens(workload.prompt_tokens, spread=spread)
    answered, thought = mean_output(workload, spread=spread)
    if workload.reasoning is not None and workload.reasoning.in_next_prompt:
        thought = 0.0
    pairs = mean * (mean - 1.0)
    return MeanConversation(mean, mean * (first + answered) + pairs * (answered - thought + turns.question_tokens))
