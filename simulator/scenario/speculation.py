"""What a scenario says about speculative decoding: who drafts, how many tokens, and how many of them are kept."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Final, Literal

from pydantic import Field

from simulator.scenario.base import Config, Faults, FieldError, MemoryBytes, Share, check

#: Methods whose drafter reads the model's own hidden states.
_HIDDEN_STATES: Final = ("eagle3", "mtp")


class SpeculativeDecoding(Config):
    """Speculative decoding (`--speculative-config`), as vLLM 0.33 does it.

    Each step verifies tokens that a drafter proposed, and keeps those that the model would have said itself. It saves
    steps while the GPU waits for its memory, and costs where it computes. Every request is drafted for, always with so
    many tokens.
    """

    method: Literal["ngram", "eagle3", "mtp", "draft_model"]
    """Who drafts: earlier text of the request, a head trained for the model (EAGLE-3), the model's own prediction head
    (MTP, one module used again), or a small model."""
    num_speculative_tokens: Annotated[int, Field(gt=0, le=64)]
    """Tokens drafted for each sequence and step."""
    acceptance_rates: Annotated[list[Share], Field(min_length=1, max_length=64)]
    """By position, the chance that this drafted token and all before it are accepted, so that none is above the one
    before: "per-position acceptance rate" in vLLM's log. It depends on the text, so measure it on your own: take it
    from that log, or from `vllm:spec_decode_num_accepted_tokens_per_pos`, divided by the number of drafts."""
    acceptance_source: Annotated[str, Field(min_length=1)]
    """Where these rates come from: who measured them, on which text, when."""
    draft_step_share: Annotated[float, Field(ge=0, le=10)] | None = None
    """What one pass of the drafter takes, as a share of what the model takes for the same batch. It passes once over
    what the step computed and once for each further token. None for n-gram when absent; to be stated for the others."""
    draft_memory: MemoryBytes | None = None
    """Memory of each GPU that the drafter takes from the KV blocks: its weights, and its own cache."""

    @check
    def _rates_are_those_of_its_tokens(self) -> Faults:
        rates = self.acceptance_rates
        if len(rates) != self.num_speculative_tokens:
            message = f"{len(rates)} rates for {self.num_speculative_tokens} num_speculative_tokens; give one for each"
            yield FieldError(("acceptance_rates",), message)
        for position, (before, after) in enumerate(pairwise(rates), 1):
            if after > before:
                message = f"{after:g} is above {before:g} before it: a token is kept only when all before it are"
                yield FieldError(("acceptance_rates", position), message)

    @check
    def _says_what_drafting_costs(self) -> Faults:
        if self.draft_step_share is None and self.method != "ngram":
            yield FieldError(("draft_step_share",), f"missing: what does one pass of {self.method} take?")

    @property
    def step_share(self) -> float:
        """What one pass of the drafter takes, relative to the model's."""
        return self.draft_step_share or 0.0

    @property
    def tokens_per_step(self) -> float:
        """Tokens that a step brings each sequence in the mean, away from its end."""
        return 1.0 + sum(self.acceptance_rates)

    @property
    def lookahead_tokens(self) -> int:
        """Tokens beyond those computed for which a sequence has KV blocks (`num_lookahead_tokens`)."""
        return 0 if self.method == "ngram" else self.num_speculative_tokens

    @property
    def slots(self) -> int:
        """Tokens of the budget that each sequence takes beside its own (`max_num_new_slots_for_drafting`)."""
        return 1 if self.method == "draft_model" else 0

    @property
    def hash_lookahead_tokens(self) -> int:
        """Tokens after a block that its hash covers, where prefixes are cached (`num_hash_lookahead_tokens`)."""
        return 1 if self.method in _HIDDEN_STATES else 0

    def fault(self, max_num_batched_tokens: int, max_model_len: int, threshold: int) -> str | None:
        """What of vLLM's other settings does not go with it."""
        width = self.num_speculative_tokens + 1
        if max_num_batched_tokens < width + self.slots:
            return f"a step of {max_num_batched_tokens} max_num_batched_tokens cannot verify {width} tokens"
        if max_model_len <= width:
            return f"no request of {max_model_len} max_model_len has room for {width} tokens in a step"
        if 0 < threshold < width:
            return f"long_prefill_token_threshold {threshold} would cut a step's {width} tokens; at least {width}, or 0"
        return None
