"""A performance profile: measured curves of one model on one tensor-parallel group, and where they come from."""

from __future__ import annotations

import json
from difflib import get_close_matches
from functools import cache
from importlib import resources
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from simulator.errors import ProfileNotFound

Label = Literal["measured", "derived", "estimated"]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Curve(_Frozen):
    """Knots of a piecewise linear function."""

    x: Annotated[list[int], Field(min_length=2)]
    y: Annotated[list[float], Field(min_length=2)]


class ModelShape(_Frozen):
    """The numbers of a model that memory depends on."""

    name: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int

    @property
    def parameters(self) -> int:
        """Parameters of the dense layers, embeddings and head included."""
        attention = self.hidden * self.head_dim * (2 * self.heads + 2 * self.kv_heads)
        return self.layers * (attention + 3 * self.hidden * self.intermediate) + 2 * self.vocab * self.hidden

    def kv_bytes_per_token(self, tensor_parallel: int) -> int:
        """Bytes of one token's keys and values on each GPU, at 16 bits."""
        return 2 * 2 * self.layers * self.head_dim * max(1, self.kv_heads // tensor_parallel)


class Overhead(_Frozen):
    """What kernel tables leave out, as parameters that can be overridden."""

    per_step_s: float
    per_sequence_s: float
    frontend_base_s: float
    frontend_per_prompt_token_s: float
    output_s: float
    label: Label
    source: str


class FitError(_Frozen):
    """Error of the curves against the tables they were derived from, in per cent of a step."""

    steps: int
    mean_percent: float
    p95_percent: float
    max_percent: float


class PerformanceProfile(_Frozen):
    """Step-time curves in seconds.

    Attributes:
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
    tensor_parallel: int
    quantisation: Literal["bf16", "fp8", "int8", "w4a16"]
    variant: str | None = None
    weights_gib_per_gpu: float
    label: Label
    provenance: dict[str, str]
    notes: list[str]
    fit_error: FitError
    dense: Curve
    lm_head: Curve
    decode_attention: Curve
    decode_attention_per_kv_token: Curve
    prefill_attention: tuple[float, float, float]
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
    return PerformanceProfile.model_validate(json.loads(text))


def load_profile(
    *, model: str, gpu: str, tensor_parallel: int, quantisation: str, variant: str | None = None
) -> PerformanceProfile:
    """The shipped profile of a model on a GPU group.

    Raises:
        ProfileNotFound: There is none; the message lists the nearest.
    """
    return read_profile(profile_id(model, gpu, tensor_parallel, quantisation, variant))
