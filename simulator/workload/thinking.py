"""What reasoning models think before they answer: tokens like others, in front of those of the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.scenario.workloads import RecordedWorkload
from simulator.workload.lengths import from_normal, mean_tokens
from simulator.workload.recorded import content

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from simulator.scenario.workloads import AnyWorkload, SyntheticWorkload

#: Shares of all answers at which their length is looked at, for how much room each leaves for thoughts.
_GRID: Final = 128


def thinks(load: AnyWorkload) -> bool:
    """Whether any of its requests does.

    Raises:
        TraceError: A recorded trace cannot be read.
    """
    if isinstance(load, RecordedWorkload):
        return content(load).thinks
    return load.reasoning is not None


def with_thinking(
    load: SyntheticWorkload,
    answer: NDArray[np.int32],
    rng: Callable[[], np.random.Generator],
    factor: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Output tokens of requests with these answers, and those of them that are thoughts.

    The output limit holds for both together, as it does with vLLM and with APIs: thoughts that reach it leave no
    answer. The answers are those that would be drawn without.

    Args:
        load: Their workload.
        answer: Tokens of the answers, at most its output limit.
        rng: Makes what the thoughts are drawn from.
        factor: On the length of each request's thoughts.
    """
    reasoning = load.reasoning
    if reasoning is None:
        return answer, np.zeros(len(answer), np.int32)
    draws = rng()
    normal, lot = draws.standard_normal(len(answer)), draws.random(len(answer))
    thinking = from_normal(reasoning.thinking_tokens, normal, factor, load.max_tokens)
    thinking[lot >= reasoning.share] = 0
    output = np.minimum(answer.astype(np.int64) + thinking, load.max_tokens).astype(np.int32)
    return output, thinking


def said(load: SyntheticWorkload, output: NDArray[np.int32], thinking: NDArray[np.int32]) -> NDArray[np.int32]:
    """Of the output, what the next prompt of a conversation has in it."""
    return output if load.reasoning is None or load.reasoning.in_next_prompt else output - thinking


def goes_on_with(load: SyntheticWorkload, output: NDArray[np.int32], thinking: NDArray[np.int32]) -> NDArray[np.int32]:
    """Of the output, the first tokens that follow on the prompt in the next one too: none behind thoughts left out."""
    left_out = load.reasoning is not None and not load.reasoning.in_next_prompt
    return np.where(thinking > 0, 0, output).astype(np.int32) if left_out else output


def mean_output(load: SyntheticWorkload, *, spread: float = 0.0) -> tuple[float, float]:
    """Expected output tokens of a request, and those of them that are thoughts.

    With thoughts T, an answer A and the limit M there are min(T + A, M) = A + min(T, M - A) tokens: the mean of the
    last term has a closed form for each A, whose own distribution is looked at in steps.

    Args:
        load: Its workload.
        spread: See `mean_tokens`.
    """
    answer = mean_tokens(load.output_tokens, load.max_tokens, spread=spread)
    if load.reasoning is None:
        return answer, 0.0
    from scipy.special import ndtri

    thoughts, share = load.reasoning.thinking_tokens, load.reasoning.share
    normal = ndtri((np.arange(_GRID) + 0.5) / _GRID)
    answers, times = np.unique(from_normal(load.output_tokens, normal, None, load.max_tokens), return_counts=True)
    room = load.max_tokens - answers
    beside = [mean_tokens(thoughts, tokens, spread=spread) if tokens else 0.0 for tokens in room.tolist()]
    thinking = mean_tokens(thoughts, load.max_tokens, spread=spread)
    return answer + share * float(np.average(beside, weights=times)), share * thinking
