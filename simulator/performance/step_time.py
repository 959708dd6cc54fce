"""How long an engine step lasts, given what it computes.

A step's time splits into a part that depends on its tokens (dense layers), one on its sequences (sampling) and one on
attention, linear in the context of its decodes and in tokens x context of its prompt chunks; against the kernel tables
this split is exact to 0.1 % (aiconfigurator-core 0.12.0). Where some layers attend to a window alone, their part of the
growth ends where the mean context of the decodes fills it. All chunks of a step go through one attention kernel per
layer, so what it takes to start it counts once: of two to eight chunks of 16 to 1,024 tokens that were timed together
this tells the time to 17 to 22 % in the mean, by GPU, where a start for each makes it 2.7 to 3.4 times as long. While
the same sequences decode, only their context grows, by one token each per step, so the time of a run of steps has a
closed form.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Protocol

import numpy as np

from simulator.performance.cuda_graphs import capture_sizes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from simulator.performance.profile import Curve, PerformanceProfile
    from simulator.scenario.speculation import SpeculativeDecoding


@dataclass(frozen=True, slots=True)
class StepTimeTable:
    """A step-time model as numbers, for the compiled engine; it must make the same sums as the model itself.

    Attributes:
        decode: By sequences, from 0: `(base_s, per_kv_token_s)` of a step of decodes alone.
        attention: By sequences: the same for the attention of decodes in a mixed step.
        per_step_s: By sequences: what a mixed step adds for them.
        dense_s: By tokens, from 0: the dense layers of a mixed step.
        alone_s: By sequences: what their attention adds to a step of decodes alone, its context apart.
        logits_s: By rows: the logits.
        window_per_kv_token_s: By sequences: what of both growths ends beyond the window.
        window_tokens: Context of a sequence that fills it.
        least_s: A step of decodes alone is no shorter.
        prefill_attention: `(a, b, c)`: chunks add a to their step, and each of q tokens after p b q + c q (p + q/2).
        per_prefill_token_s: For a model linear in everything (`LinearStepTime`); None for one of the form above.
    """

    decode: NDArray[np.float64]
    attention: NDArray[np.float64]
    per_step_s: NDArray[np.float64]
    dense_s: NDArray[np.float64]
    alone_s: NDArray[np.float64]
    logits_s: NDArray[np.float64]
    window_per_kv_token_s: NDArray[np.float64]
    window_tokens: float = inf
    least_s: float = 0.0
    prefill_attention: tuple[float, float, float] = (0.0, 0.0, 0.0)
    per_prefill_token_s: float | None = None


class StepTimeModel(Protocol):
    """Seconds of an engine step."""

    def step_s(
        self, decode_sequences: int, decode_kv_tokens: float, chunks: Sequence[tuple[int, int]], drafts: int = 0
    ) -> float:
        """Seconds of a step with these decodes and these prompt chunks.

        A drafted token goes through the dense layers and to the logits as any other; attention reads the context of
        its sequence once for all of them.

        Args:
            decode_sequences: Sequences that compute one token.
            decode_kv_tokens: Their context after the step.
            chunks: Prompt chunks, as (new tokens, tokens computed before).
            drafts: Drafted tokens that they compute besides.
        """

    def table(self, max_num_seqs: int, max_num_batched_tokens: int) -> StepTimeTable:
        """The model as numbers, for steps of at most so many sequences and tokens."""


@dataclass(frozen=True, slots=True)
class LinearStepTime:
    """A step time linear in everything; the form in which recorded scheduler runs state theirs.

    Attributes:
        base_s: Seconds of an empty step.
        per_prefill_token_s: Seconds per prompt token.
        per_decode_request_s: Seconds per decoding sequence.
        per_kv_token_s: Seconds per token of context after the step, prompt chunks included.
    """

    base_s: float
    per_prefill_token_s: float
    per_decode_request_s: float
    per_kv_token_s: float

    def step_s(
        self, decode_sequences: int, decode_kv_tokens: float, chunks: Sequence[tuple[int, int]], drafts: int = 0
    ) -> float:
        """See `StepTimeModel.step_s`."""
        base_s = self.base_s + self.per_decode_request_s * decode_sequences
        tokens = sum(new for new, _ in chunks)
        context = decode_kv_tokens + (tokens + sum(before for _, before in chunks))
        return base_s + self.per_prefill_token_s * (tokens + drafts) + self.per_kv_token_s * context

    def table(self, max_num_seqs: int, max_num_batched_tokens: int) -> StepTimeTable:  # noqa: ARG002
        """See `StepTimeModel.table`."""
        base_s = self.base_s + self.per_decode_request_s * np.arange(max_num_seqs + 1, dtype=np.float64)
        return _linear_table(base_s, self.per_kv_token_s, self.per_prefill_token_s)


@dataclass(frozen=True, slots=True)
class ConstantStepTime:
    """Every step takes the same time: turns a replica into a textbook queue."""

    seconds: float

    def step_s(
        self,
        decode_sequences: int,  # noqa: ARG002
        decode_kv_tokens: float,  # noqa: ARG002
        chunks: Sequence[tuple[int, int]],  # noqa: ARG002
        drafts: int = 0,  # noqa: ARG002
    ) -> float:
        """See `StepTimeModel.step_s`."""
        return self.seconds

    def table(self, max_num_seqs: int, max_num_batched_tokens: int) -> StepTimeTable:  # noqa: ARG002
        """See `StepTimeModel.table`."""
        return _linear_table(np.full(max_num_seqs + 1, self.seconds), 0.0, 0.0)


def _linear_table(base_s: NDArray[np.float64], per_kv_token_s: float, per_prefill_token_s: float) -> StepTimeTable:
    decode = np.column_stack([base_s, np.full(len(base_s), per_kv_token_s)])
    nothing = np.zeros(len(decode))
    return StepTimeTable(
        decode,
        np.zeros_like(decode),
        nothing,
        np.zeros(1),
        nothing,
        np.zeros(1),
        nothing,
        per_prefill_token_s=per_prefill_token_s,
    )


def interpolate(curve: Curve, at: float) -> float:
    """Piecewise linear through a curve's knots; beyond the last, the last two set the slope."""
    x, y = curve.x, curve.y
    right = min(max(bisect_left(x, at), 1), len(x) - 1)
    left = right - 1
    return y[left] + (y[right] - y[left]) * (at - x[left]) / (x[right] - x[left])


def interpolated(curve: Curve, at: NDArray[np.float64]) -> NDArray[np.float64]:
    """`interpolate` at many places, the same to the last bit."""
    x, y = np.array(curve.x, np.float64), np.array(curve.y, np.float64)
    right = np.clip(np.searchsorted(x, at), 1, len(x) - 1)
    left = right - 1
    return np.asarray(y[left] + (y[right] - y[left]) * (at - x[left]) / (x[right] - x[left]))


def verification_s(
    model: StepTimeModel, drafts: SpeculativeDecoding | None, sequences: int, kv_tokens: int
) -> tuple[float, float]:
    """A step of decodes alone, the drafter's passes after it included, and the tokens it brings each in the mean.

    Args:
        model: Step time.
        drafts: Speculative decoding; none for a step of one token each.
        sequences: How many decode.
        kv_tokens: Their context after the step.
    """
    plain_s = model.step_s(sequences, kv_tokens, [])
    if drafts is None:
        return plain_s, 1.0
    drafted = drafts.num_speculative_tokens
    seconds = model.step_s(sequences, kv_tokens, [], sequences * drafted)
    return seconds + drafts.step_share * (seconds + (drafted - 1) * plain_s), drafts.tokens_per_step


class ProfiledStepTime:
    """Step time from a measured profile, padded to CUDA-graph sizes as vLLM does.

    Args:
        profile: The curves.
        max_num_seqs: Most sequences in a step.
        max_num_batched_tokens: Token budget of a step.
        enforce_eager: Whether the server does without CUDA graphs, and so without padding.
        v0_engine: Whether it is vLLM before 0.8.
        query_len: Tokens that a decoding sequence computes in a step, its drafts included.
    """

    def __init__(
        self,
        profile: PerformanceProfile,
        max_num_seqs: int,
        max_num_batched_tokens: int,
        *,
        enforce_eager: bool = False,
        v0_engine: bool = False,
        query_len: int = 1,
    ) -> None:
        self._profile = profile
        self._query_len = query_len
        self._sizes = [0] if enforce_eager else capture_sizes(max_num_seqs, max_num_batched_tokens, query_len)
        # By sequences, from 0: what a mixed step adds for its sequences, and for the attention of its decodes.
        batches = np.arange(max_num_seqs + 1, dtype=np.float64)
        overhead = profile.overhead
        # Without CUDA graphs the host launches every layer, and a GPU that is faster waits for it. Steps with prompts
        # are longer than that.
        self._least_s = overhead.eager_per_layer_s * profile.model.layers if enforce_eager else 0.0
        per_step_s = overhead.per_step_s + (overhead.v0_per_step_s if v0_engine else 0.0)
        per_step = interpolated(profile.lm_head, batches) + per_step_s + overhead.per_sequence_s * batches
        self._per_step: list[float] = per_step.tolist()
        alone = profile.decode_attention, profile.decode_attention_per_kv_token
        beside = (
            profile.mixed_decode_attention or alone[0],
            profile.mixed_decode_attention_per_kv_token or alone[1],
        )
        (alone_s, alone_per_kv_token_s), attention = (
            [interpolated(curve, batches) for curve in curves] for curves in (alone, beside)
        )
        self._alone_s: list[float] = alone_s.tolist()
        self._attention: list[tuple[float, float]] = [*zip(*(column.tolist() for column in attention), strict=True)]
        # Padding runs through the dense layers alone: it has no context, and logits are for real sequences.
        base_s = np.maximum(self._all_dense_s(batches) + alone_s + per_step, self._least_s)
        self._decode: list[tuple[float, float]] = [*zip(base_s.tolist(), alone_per_kv_token_s.tolist(), strict=True)]
        window = profile.window_attention_per_kv_token
        self._window_tokens = inf if window is None else float(profile.window_tokens or inf)
        self._window: list[float] = [0.0] * len(batches) if window is None else interpolated(window, batches).tolist()
        #: Dense layers by token count, padded; filled when first asked for.
        self._dense: dict[int, float] = {}

    def step_s(
        self, decode_sequences: int, decode_kv_tokens: float, chunks: Sequence[tuple[int, int]], drafts: int = 0
    ) -> float:
        """See `StepTimeModel.step_s`."""
        if not chunks:
            base_s, per_kv_token_s = self._decode[decode_sequences]
            if drafts:
                base_s = self._verification_base_s(decode_sequences, drafts)
            return base_s + per_kv_token_s * decode_kv_tokens - self._beyond_s(decode_sequences, decode_kv_tokens)
        seconds, per_token_s, per_pair_s = self._profile.prefill_attention
        if drafts:
            seconds += self._drafts_logits_s(decode_sequences + len(chunks), drafts)
        tokens = decode_sequences + drafts
        for new, before in chunks:
            tokens += new
            seconds += new * (per_token_s + per_pair_s * (before + 0.5 * new))
        if decode_sequences:
            base_s, per_kv_token_s = self._attention[decode_sequences]
            seconds += base_s + per_kv_token_s * decode_kv_tokens
            seconds -= self._beyond_s(decode_sequences, decode_kv_tokens)
        dense_s = self._dense.get(tokens)
        if dense_s is None:
            dense_s = self._dense[tokens] = self._dense_s(tokens)
        return dense_s + self._per_step[decode_sequences + len(chunks)] + seconds

    def table(self, max_num_seqs: int, max_num_batched_tokens: int) -> StepTimeTable:
        """See `StepTimeModel.table`."""
        batches = slice(max_num_seqs + 1)
        return StepTimeTable(
            decode=np.array(self._decode[batches]),
            attention=np.array(self._attention[batches]),
            per_step_s=np.array(self._per_step[batches]),
            dense_s=self._all_dense_s(np.arange(max_num_batched_tokens + 1, dtype=np.float64)),
            alone_s=np.array(self._alone_s[batches]),
            logits_s=interpolated(
                self._profile.lm_head, np.arange(self._rows(max_num_batched_tokens) + 1, dtype=np.float64)
            ),
            window_per_kv_token_s=np.array(self._window[batches]),
            window_tokens=self._window_tokens,
            least_s=self._least_s,
            prefill_attention=self._profile.prefill_attention,
        )

    def _beyond_s(self, sequences: int, kv_tokens: float) -> float:
        """What layers with a window do not read of a context that is longer."""
        return self._window[sequences] * max(0.0, kv_tokens - sequences * self._window_tokens)

    def _rows(self, max_num_batched_tokens: int) -> int:
        """Rows of logits that a step has at most."""
        return max_num_batched_tokens if self._query_len > 1 else 0

    def _logits_s(self, rows: int) -> float:
        return interpolate(self._profile.lm_head, rows)

    def _drafts_logits_s(self, rows: int, drafts: int) -> float:
        return self._logits_s(rows + drafts) - self._logits_s(rows)

    def _verification_base_s(self, sequences: int, drafts: int) -> float:
        """A step of decodes alone, each with some drafts."""
        base_s = self._dense_s(sequences + drafts) + self._alone_s[sequences] + self._per_step[sequences]
        return max(base_s + self._drafts_logits_s(sequences, drafts), self._least_s)

    def _dense_s(self, tokens: int) -> float:
        return interpolate(self._profile.dense, self._padded(tokens))

    def _all_dense_s(self, tokens: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same at many token counts."""
        sizes = np.array(self._sizes, np.float64)
        padded = np.where(
            tokens <= sizes[-1], sizes[np.minimum(np.searchsorted(sizes, tokens), len(sizes) - 1)], tokens
        )
        return interpolated(self._profile.dense, padded)

    def _padded(self, tokens: int) -> int:
        sizes = self._sizes
        return sizes[bisect_left(sizes, tokens)] if tokens <= sizes[-1] else tokens
