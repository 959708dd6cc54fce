"""Engine steps of a real vLLM and how long they took: what `bench measure` writes and `bench fit` reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from simulator.bench.json_file import read_record
from simulator.errors import ProfileError
from simulator.performance.architecture import ModelShape
from simulator.scenario.patterns import EngineSettings, Quantisation

if TYPE_CHECKING:
    from pathlib import Path

#: More than any engine computes at once.
_MOST: Final = 10**9
Count = Annotated[int, Field(ge=0, le=_MOST)]
Positive = Annotated[int, Field(gt=0, le=_MOST)]
Seconds = Annotated[float, Field(ge=0)]
#: A prompt chunk: tokens it computes, and tokens computed before it.
Chunk = tuple[Positive, Count]
#: Fewer points say too little about the parameters of a profile.
LEAST_POINTS: Final = 12


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class StepShape(_Part):
    """What a step computes.

    Attributes:
        decodes: Sequences that compute one token.
        context_tokens: What each of them had before; a little more when it is measured repeatedly.
        chunks: Prompt chunks beside them.
    """

    decodes: Count
    context_tokens: Count
    chunks: tuple[Chunk, ...] = ()

    @model_validator(mode="after")
    def _computes(self) -> Self:
        if not self.tokens:
            raise ValueError("a step computes something: decodes, or chunks")
        return self

    @property
    def tokens(self) -> int:
        """Tokens computed."""
        return self.decodes + sum(new for new, _ in self.chunks)

    @property
    def sequences(self) -> int:
        """Sequences it has."""
        return self.decodes + len(self.chunks)


class MeasuredStep(_Part):
    """A shape and its repetitions.

    Attributes:
        shape: What was staged.
        held_back: Whether the fit leaves it out, to be judged by it.
        kv_tokens: Context of all decodes after the step, by repetition.
        seconds: From its start on the device to its tokens, by repetition.
        host_s: Scheduling it and taking in its tokens, by repetition.
    """

    shape: StepShape
    held_back: bool
    kv_tokens: tuple[Count, ...]
    seconds: tuple[Seconds, ...]
    host_s: tuple[Seconds, ...]

    @model_validator(mode="after")
    def _is_a_table(self) -> Self:
        if not len(self.kv_tokens) == len(self.seconds) == len(self.host_s) > 0:
            raise ValueError("kv_tokens, seconds and host_s must have one entry for each repetition, and one at least")
        return self


class Machine(_Part):
    """Where it was measured, as the machine and its software say."""

    device: str
    driver: str | None
    vllm: str
    torch: str
    async_scheduling: bool


class StepRecord(_Part):
    """Measured steps of one model on one machine, by which command and when."""

    schema_version: Literal[1]
    simulator_version: str
    recorded_on: str
    command: str
    model: ModelShape
    gpu: str
    tensor_parallel: Positive
    quantisation: Quantisation
    engine: EngineSettings
    machine: Machine
    points: tuple[MeasuredStep, ...]


def read_steps(path: Path) -> StepRecord:
    """Read measured steps, plain or gzipped.

    Raises:
        ProfileError: The file cannot be read, or holds no measured steps; every fault, by its place in the file.
    """
    return read_record(StepRecord, path, ProfileError, "a file of measured steps")
