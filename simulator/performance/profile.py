"""A performance profile: measured curves of one model on one tensor-parallel group, and where they come from."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from simulator.errors import ProfileError, ProfileNotFound
from simulator.performance.architecture import ModelShape, known_model
from simulator.performance.boards import BOARDS
from simulator.performance.links import (
    LINKS,
    Interconnect,
    all_reduce_s,
    allowed,
    in_words,
    messages,
    own_link,
    table_name,
)
from simulator.reading import read_json, read_unpacked
from simulator.scenario.patterns import Quantisation

#: What a cluster says of its profile, even where it brings its own.
NAMED: Final = ("model", "gpu", "tensor_parallel", "quantisation")

Label = Literal["measured", "derived", "estimated"]
Count = Annotated[int, Field(gt=0, le=10**15)]
Seconds = Annotated[float, Field(ge=0)]


#: Llama-3.1-8B on one A100, one sequence: 10.8 ms and 13.2 ms a token on two hosts with two vLLM versions.
HOSTS_BAND: Final = (0.9, 1.1)
HOSTS_SOURCE: Final = "spread between hosts and vLLM versions on the same GPU (AccelMark, 8B on A100, 2026)"


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Curve(_Frozen):
    """Knots of a piecewise linear function of a count, in seconds."""

    x: Annotated[tuple[Count, ...], Field(min_length=2)]
    y: Annotated[tuple[Seconds, ...], Field(min_length=2)]

    def scaled(self, factor: float) -> Curve:
        """The curve times a factor."""
        return self.model_copy(update={"y": tuple(factor * value for value in self.y)})

    @model_validator(mode="after")
    def _is_a_function(self) -> Self:
        if len(self.x) != len(self.y):
            raise ValueError(f"{len(self.x)} knots but {len(self.y)} values")
        if any(left >= right for left, right in pairwise(self.x)):
            raise ValueError("knots must increase")
        return self


class Basis(_Frozen):
    """Where fitted parameters come from, and how well they explain what they were fitted on.

    Attributes:
        rows: Serving measurements used; 0 where it is a mere assumption.
        median_percent: Median error over them.
        max_percent: Largest error over them.
    """

    label: Label
    source: str
    rows: Annotated[int, Field(ge=0)]
    median_percent: float
    max_percent: float


class Overhead(_Frozen):
    """What kernel tables leave out, as parameters that can be overridden.

    Attributes:
        per_step_s: Scheduling and bookkeeping of a step.
        per_sequence_s: The part of it, and of sampling, that grows with the sequences of the step.
        eager_per_layer_s: Host time to launch one layer without CUDA graphs; such a step takes no less than all of
            them, whatever the GPU.
        v0_per_step_s: What a step of the V0 engine, vLLM before 0.8, takes more.
        frontend_base_s: Delay before the engine sees a request (HTTP, tokenising).
        frontend_per_prompt_token_s: The part of it that grows with the prompt.
        output_s: Delay from the end of a step to the client.
        step: Basis of what belongs to a step.
        front_end: Basis of the other three.
    """

    per_step_s: Seconds
    per_sequence_s: Seconds
    eager_per_layer_s: Seconds = 0.0
    v0_per_step_s: Seconds = 0.0
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


class StepTimeBand(_Frozen):
    """By what factor step times may be off, and why.

    Attributes:
        low: Factor of an optimistic case, at most 1.
        high: Factor of a pessimistic case, at least 1.
    """

    low: Annotated[float, Field(gt=0, le=1)] = HOSTS_BAND[0]
    high: Annotated[float, Field(ge=1)] = HOSTS_BAND[1]
    source: str = HOSTS_SOURCE


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
        label: Measured on engine steps, derived from kernels timed on this GPU, or estimated where some had to be
            inferred; `notes` say which.
        provenance: Package, wheel, licence, tables, date and command.
        fit_error: Of the curves against what they were derived from.
        step_time_band: How far the times may be off on another host, or where kernels were inferred.
        dense: Dense layers and all-reduce, by tokens of the step.
        lm_head: Output head and sampling, by sequences.
        decode_attention: Attention of decodes at no context, by sequences.
        decode_attention_per_kv_token: Its growth per token of context, by sequences.
        mixed_decode_attention: The first of both where decodes share their step with a prompt, which loses them the
            kernel that is made for them; absent where it was not timed, and taken to be the same.
        mixed_decode_attention_per_kv_token: The second, likewise.
        window_attention_per_kv_token: What of that growth, alone or beside a prompt, is of layers with a window, and
            ends where it is full; absent where all layers read everything.
        window_tokens: The window.
        prefill_attention: `(a, b, c)`: chunks add a to their step, and each of q tokens after p b q + c q (p + q/2).
    """

    schema_version: Literal[1]
    id: str
    model: ModelShape
    gpu: str
    tensor_parallel: Count
    quantisation: Quantisation
    variant: str | None = None
    weights_gib_per_gpu: Annotated[float, Field(gt=0)]
    label: Label
    provenance: dict[str, str]
    notes: tuple[str, ...]
    fit_error: FitError
    step_time_band: StepTimeBand = StepTimeBand()
    measured: MeasuredRange
    dense: Curve
    lm_head: Curve
    decode_attention: Curve
    decode_attention_per_kv_token: Curve
    mixed_decode_attention: Curve | None = None
    mixed_decode_attention_per_kv_token: Curve | None = None
    window_attention_per_kv_token: Curve | None = None
    window_tokens: Count | None = None
    prefill_attention: tuple[Seconds, Seconds, Seconds]
    overhead: Overhead

    @property
    def basis(self) -> str:
        """What is behind it, in a few words."""
        first = self.notes[0] if self.notes else ""
        if self.label == "measured":
            return "engine steps"
        if first.startswith("a roofline"):
            return "a roofline from the data sheet"
        if self.gpu in BOARDS:
            return "kernels of another board, by data sheets"
        if first.startswith("put together"):
            return "kernels put together"
        return "kernels of this GPU" if self.label == "derived" else "kernels of this GPU, some inferred"

    def scaled(self, factor: float) -> PerformanceProfile:
        """The same profile with every step `factor` times as long; delays outside the engine stay."""
        curves = {name: curve for name in type(self).model_fields if isinstance(curve := getattr(self, name), Curve)}
        step = ("per_step_s", "per_sequence_s", "eager_per_layer_s", "v0_per_step_s")
        return self.model_copy(
            update={name: curve.scaled(factor) for name, curve in curves.items()}
            | {"prefill_attention": tuple(factor * value for value in self.prefill_attention)}
            | {"overhead": self.overhead.model_copy(update={k: factor * getattr(self.overhead, k) for k in step})}
        )


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
    try:
        return read_profile(profile_id(model, gpu, tensor_parallel, quantisation, variant))
    except ProfileNotFound as error:
        shape = known_model(model)
        if shape is None:
            raise
        named = profile_id(shape.name, gpu, tensor_parallel, quantisation, variant)
        if named in available_profiles():
            return read_profile(named)
        command = f"simulator profile build --model {shape.name} --gpu {gpu} --tp {tensor_parallel}"
        derived = f"The model is known: '{command} --quant {quantisation}' derives one, for cluster.profile"
        if others := _other_formats(named, quantisation):
            said = (
                f"no performance profile '{named}'; on these GPUs there is one with quantisation: {' or '.join(others)}"
            )
            raise ProfileNotFound(f"{said}. {derived}") from None
        raise ProfileNotFound(f"{error}. {derived}") from None


def _other_formats(name: str, quantisation: str) -> list[str]:
    """Weight formats in which there is a profile that is called the same otherwise."""
    before, _, after = name.rpartition(f"-{quantisation}-")
    names = [one for one in available_profiles() if one.startswith(f"{before}-") and one.endswith(f"-{after}")]
    formats = [one[len(before) + 1 : -len(after) - 1] for one in names]
    return [one for one in formats if one and "-" not in one]


def linked(profile: PerformanceProfile, link: Interconnect | None) -> PerformanceProfile:
    """The same profile over another link: each step longer or shorter by what its all-reduces take there.

    Raises:
        ProfileError: The GPU has no such link, or the profile was measured, over a link of its own.
    """
    if link is None or profile.tensor_parallel == 1:
        return profile
    if profile.label == "measured":
        raise ProfileError(f"{profile.id} was measured, over a link of its own; leave out interconnect")
    own = own_link(profile.gpu, profile.variant) if profile.gpu in LINKS else None
    there = table_name(profile.gpu, link) if own else None
    if own is None or there is None:
        raise ProfileError(f"no interconnect {link} is known for {profile.gpu}; {allowed(profile.gpu)}")
    if own == link:
        return profile
    here, gpus, model = table_name(profile.gpu, own), profile.tensor_parallel, profile.model
    assert here is not None
    count = messages(model.layers)
    longer = [
        count * (all_reduce_s(there, gpus, tokens * model.hidden) - all_reduce_s(here, gpus, tokens * model.hidden))
        for tokens in profile.dense.x
    ]
    # What is taken away was timed elsewhere: no step falls below nothing, nor below a shorter one's.
    dense = [max(0.0, seconds + more) for seconds, more in zip(profile.dense.y, longer, strict=True)]
    for number, (before, _) in enumerate(pairwise(dense.copy()), 1):
        dense[number] = max(dense[number], min(before, profile.dense.y[number]))
    return profile.model_copy(
        update={
            "id": f"{profile.id}-{link.replace('_', '-')}",
            "label": "estimated",
            "notes": (
                f"all-reduce over {in_words(link)} in place of {in_words(own)} ({there}, {here})",
                *profile.notes,
            ),
            "dense": profile.dense.model_copy(update={"y": tuple(dense)}),
        }
    )


def profile_of(name: str) -> PerformanceProfile:
    """A profile by its file, or a shipped one by its id.

    Raises:
        ProfileError: The file cannot be read or is no profile, or no profile of that id ships.
    """
    path = Path(name)
    return read_profile_file(path) if path.suffix == ".json" or path.exists() else read_profile(name)


def is_profile(path: Path) -> bool:
    """Whether a JSON file says that it is a profile; others may lie beside it."""
    try:
        found = read_json(path)
    except (OSError, ValueError):
        return True
    return isinstance(found, dict) and not found.keys().isdisjoint(NAMED)


def read_profile_file(path: Path) -> PerformanceProfile:
    """A profile of one's own, from a file that `simulator profile build` or `simulator bench fit` wrote.

    Raises:
        ProfileError: It cannot be read or is no profile; the message names up to five faults.
    """
    try:
        return PerformanceProfile.model_validate_json(read_unpacked(path))
    except OSError as error:
        raise ProfileError(f"{path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        faults = [f"{path}: {'.'.join(map(str, e['loc'])) or 'profile'}: {e['msg']}" for e in error.errors()[:5]]
        raise ProfileError("\n".join(faults)) from None
    except ValueError as error:
        raise ProfileError(f"{path}: is no profile: {error}") from None
