"""A recorded run of a scheduler: its settings, its step time, what arrived, and what it did in each step."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from simulator.errors import TraceError
from simulator.files import write_whole
from simulator.reading import parse_json, read_unpacked

if TYPE_CHECKING:
    from pathlib import Path

#: More than any engine has of anything, and few enough to be kept as 32 bits.
_MOST = 10**8
Count = Annotated[int, Field(ge=0, le=_MOST)]
Some = Annotated[int, Field(gt=0, le=_MOST)]
Seconds = Annotated[float, Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class Group(_Part):
    """Layers that share a block table: what they keep, in blocks of how many tokens, over which window or chunk."""

    kind: Literal["full", "window", "chunk", "state"]
    block_size: Annotated[int, Field(gt=0, le=10**6)]
    span: Annotated[int, Field(gt=1, le=_MOST)] | None = None

    @model_validator(mode="after")
    def _has_its_span(self) -> Self:
        if (self.kind in {"window", "chunk"}) != (self.span is not None):
            raise ValueError("a window or a chunk has a span, and nothing else")
        return self


class Drafts(_Part):
    """Speculative decoding: what was drafted, and the rates from which what was accepted is drawn."""

    method: Literal["ngram", "eagle3", "mtp", "draft_model"]
    num_speculative_tokens: Annotated[int, Field(gt=0, le=64)]
    acceptance_rates: list[Annotated[float, Field(ge=0, le=1)]]


class Config(_Part):
    """Settings of the recorded scheduler, under vLLM's names."""

    max_model_len: Some
    max_num_seqs: Annotated[int, Field(gt=0, le=10**6)]
    max_num_batched_tokens: Some
    num_gpu_blocks: Annotated[int, Field(gt=1, le=10**7)]
    block_size: Annotated[int, Field(gt=0, le=10**6)]
    prefix_caching: bool = True
    chunked_prefill: bool = True
    policy: Literal["fcfs", "priority"] = "fcfs"
    long_prefill_token_threshold: Count = 0
    reserve_full_isl: bool = True
    watermark: float = 0.0
    async_scheduling: bool = False
    overhead: Seconds = 0.0
    """Host seconds between scheduling a step and its start; no longer than a step."""
    max_loras: Annotated[int, Field(gt=0, le=10**4)] | None = None
    """Most LoRA adapters whose requests run at once; none are served when absent."""
    groups: list[Group] = []
    """Of KV cache; one that keeps everything when there are none."""
    speculative: Drafts | None = None
    """Speculative decoding; without when absent."""


class StepTime(_Part):
    """A linear step time; `kv_tokens` counts all context of the step's requests after it."""

    base_s: Seconds
    per_prefill_token_s: Seconds
    per_decode_request_s: Seconds
    per_kv_token_s: Seconds


class Input(_Part):
    """One request."""

    arrival: float
    prompt_len: Some
    output_len: Some
    priority: Annotated[int, Field(ge=-_MOST, le=_MOST)] = 0
    prefix_id: Count | None = None
    prefix_len: Count = 0
    outer: list[tuple[int, Count]] = []
    """Prefixes that its prefix begins with, the shortest first: identity, and how many of its tokens."""
    adapter: Annotated[int, Field(ge=0, le=10**4)] | None = None
    """Its LoRA adapter."""
    abort: float | None = None
    """When its client gives up, if it has not been answered by then."""


class Step(_Part):
    """One step: `items` are (request, tokens, tokens computed before)."""

    t_sched: float
    start: float
    end: float
    items: list[tuple[int, int, int]]
    preempted: list[int] = []
    running: Count
    waiting: Count
    used_blocks: Count


class Outcome(_Part):
    """What became of a request; times are seconds after its arrival, but `finish` and `token_times` are absolute."""

    idx: int
    queue: float | None
    ttft: float | None
    finish: float | None
    cached_tokens: Count = 0
    preemptions: Count = 0
    token_times: list[float] = []


class Recording(_Part):
    """A whole recorded run."""

    vllm_version: str
    config: Config
    step_time: StepTime
    inputs: list[Input]
    steps: list[Step]
    requests: list[Outcome]

    @model_validator(mode="after")
    def _is_of_its_inputs(self) -> Self:
        if [row.idx for row in self.requests] != list(range(len(self.requests))):
            raise ValueError("requests are not numbered from 0, one after the other")
        named = {row.idx for row in self.requests}
        named |= {request for step in self.steps for request in (*(item[0] for item in step.items), *step.preempted)}
        if unknown := named - set(range(len(self.inputs))):
            raise ValueError(f"request {min(unknown)} is none of the {len(self.inputs)} inputs")
        most = self.config.max_model_len
        if not self.config.groups:
            most = min(most, (self.config.num_gpu_blocks - 1) * self.config.block_size)
        for number, entry in enumerate(self.inputs):
            if entry.prompt_len + entry.output_len > most:
                needed = entry.prompt_len + entry.output_len
                raise ValueError(f"request {number} needs {needed:,} tokens; no engine of {most:,} has taken it")
        return self


def write_recording(recording: Recording, path: Path) -> None:
    """Write a recorded run as JSON, gzipped when the name ends in `.gz`; the same run always gives the same bytes."""
    content = recording.model_dump_json().encode()
    write_whole(path, gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def read_recording(path: Path) -> Recording:
    """Read a recorded run, plain or gzipped JSON.

    Raises:
        TraceError: The file cannot be read, is not JSON, or lacks what a recorded run has.
    """
    try:
        return Recording.model_validate(parse_json(read_unpacked(path)))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise TraceError(f"{path}: {where}: {first['msg']}, and {error.error_count() - 1} more") from None
    except (OSError, ValueError) as error:
        raise TraceError(f"{path}: is not a recorded run: {error}") from None
