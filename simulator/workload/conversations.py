"""Conversations: requests that send along all that was said before them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.scenario.arrivals import Turns


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
