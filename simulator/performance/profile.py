"""A performance profile: measured curves of one model on one tensor-parallel group, and where they come from."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from simulator.errors import ProfileNotFound

Label = Literal["measured", "derived", "estimated"]
Count = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(ge=0)]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Curve(_Frozen):
    """Knots of a piecewise linear function of a count, in seconds."""

    x: Annotated[tuple[Count, ...], Field(min_length=2)]
    y: Annotated[tuple[Seconds, ...], Field(min_length=2)]

    @model_validator(mode="after")
    def _is_a_function(self) -> Self:
        if len(self.x) != len(self.y):
            raise ValueError(f"{len(self.x)} knots but {len(self.y)} values")
        if any(left >= right for left, right in pairwise(self.x)):
            raise ValueError("knots must increase")
        return self


class ModelShape(_Frozen):
    """The numbers of a model that time and memory depend on.

    Attributes:
        name: As scenarios name it.
        hf_names: Models of exactly this shape, as Hugging Face names them.
    """

    name: str
    hf_names: tuple[str, ...]
    layers: Count
    hidden: Count
    heads: Count
    kv_heads: Count
    head_dim: Count
    intermediate: Count
    vocab: Count

    @property
    def parameters(self) -> int:
        """Parameters of the dense layers, embeddings and head included."""
        attention = self.hidden * self.head_dim * (2 * self.heads + 2 * self.kv_heads)
        return self.layers * (attention + 3 * self.hidden * self.intermediate) + 2 * self.vocab * self.hidden

    def kv_bytes_per_token(self, tensor_parallel: int) -> int:
        """Bytes of one token's keys and values on each GPU, at 16 bits."""
        return 2 * 2 * self.layers * self.head_dim * max(1, self.kv_heads // tensor_parallel)


class Basis(_Frozen):
    """Where fitted parameters come from, and how well they explain what they were fitted on.

    Attributes:
        rows: Serving measurements used.
        median_percent: Median error over them.
        max_percent: Largest error over them.
    """

    label: Label
    source: str
    rows: Count
    median_percent: float
    max_percent: float


class Overhead(_Frozen):
    """What kernel tables leave out, as parameters that can be overridden.

    Attributes:
        per_step_s: Scheduling and bookkeeping of a step.
        per_sequence_s: The part of it, and of sampling, that grows with the sequences of the step.
        frontend_base_s: Delay before the engine sees a request (HTTP, tokenising).
        frontend_per_prompt_token_s: The part of it that grows with the prompt.
        output_s: Delay from the end of a step to the client.
        step: Basis of the first two.
        front_end: Basis of the other three.
    """

    per_step_s: Seconds
    per_sequence_s: Seconds
    frontend_base_s: Seconds
    frontend_per_prompt_token_s: Seconds
    output_s: Seconds
    step: Basis
    front_end: Basis


class MeasuredRange(_Frozen):
    """How far the measurements reach; beyond, the curves go on in straight lines.

    Attributes:
        tokens: Tokens of a step.
        sequences: Sequences of a step.
        context_tokens: Context of one sequence.
    """

    tokens: Count
    sequences: Count
    context_tokens: Count


class FitError(_Frozen):
    """Error of the curves against the tables they were derived from, in per cent of a step."""

    steps: int
    mean_percent: float
    p95_percent: float
    max_percent: float


class PerformanceProfile(_Frozen):
    """Step-time curves in seconds, and where they come from.

    Attributes:
        weights_gib_per_gpu: Memory of the weights on each GPU.
        label: Derived from kernels timed on this GPU, or estimated where some had to be inferred; `notes` say which.
        provenance: Package, wheel, licence, tables, date and command.
        fit_error: Of the curves against the tables.
        dense: Dense layers and all-reduce, by tokens of the step.
        lm_head: Output head and sampling, by sequences.
        decode_attention: Attention of decodes at no context, by sequences.
        decode_attention_per_kv_token: Its growth per token of context, by sequences.
        prefill_attention: `(a, b, c)`: a chunk of q tokens after p adds a + b q + c q (p + q/2).
    """

    schema_version: Literal[1]
    id: str
    model: ModelShape
    gpu: str
    tensor_parallel: Count
    quantisation: Literal["bf16", "fp8", "int8", "w4a16"]
    variant: str | None = None
    weights_gib_per_gpu: Annotated[float, Field(gt=0)]
    label: Label
    provenance: dict[str, str]
    notes: tuple[str, ...]
    fit_error: FitError
    measured: MeasuredRange
    dense: Curve
    lm_head: Curve
    decode_attention: Curve
    decode_attention_per_kv_token: Curve
    prefill_attention: tuple[Seconds, Seconds, Seconds]
    overhead: Overhead


@cache
def available_profiles() -> tuple[str, ...]:
    """Ids of the profiles that ship with the package, sorted."""
    folder = resources.files("simulator.performance") / "data" / "profiles"
    return tuple(sorted(entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json")))


def profile_id(model: str, gpu: str, tensor_parallel: int, quantisation: str, variant: str | None = None) -> str:
    """Name of a profile, such as llama-3.3-70b-w4a16-a100-80gb-x2."""
    return f"{model}-{quantisation}-{gpu}-x{tensor_parallel}" + (f"-{variant}" if variant else "")


@cache
def read_profile(name: str) -> PerformanceProfile:
    """A shipped profile by its id.

    Raises:
        ProfileNotFound: There is none; the message lists the nearest.
    """
    if name not in available_profiles():
        nearest = get_close_matches(name, available_profiles(), n=4, cutoff=0.3)
        known = ", ".join(nearest or available_profiles())
        raise ProfileNotFound(f"no performance profile '{name}'; there are: {known}")
    text = (resources.files("simulator.performance") / "data" / "profiles" / f"{name}.json").read_text("utf-8")
    return PerformanceProfile.model_validate_json(text)


def load_profile(
    *, model: str, gpu: str, tensor_parallel: int, quantisation: str, variant: str | None = None
) -> PerformanceProfile:
    """The shipped profile of a model on a GPU group.

    Raises:
        ProfileNotFound: There is none; the message lists the nearest.
    """
    return read_profile(profile_id(model, gpu, tensor_parallel, quantisation, variant))
