"""What a replay against a live server measured: one file, a column for each quantity, a row for each request."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from simulator.bench.json_file import read_record
from simulator.errors import TraceError

if TYPE_CHECKING:
    from pathlib import Path

Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]
#: `completed` has every token; `refused` an HTTP status other than 200; `broken` a connection or answer that ended
#: early, said that it failed, or has another form; `timed_out` took longer than allowed; `unsent` still waited for
#: others to end when time was up, or when nothing but refusals had come; `interrupted` was not over, or not sent, when
#: the replay was stopped.
Outcome = Literal["completed", "refused", "broken", "timed_out", "unsent", "interrupted"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ReplayedTrace(_Part):
    """Which requests were sent: the first `sent` of a trace of `rows`."""

    name: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    rows: Count
    sent: Count


class ServerFacts(_Part):
    """What the server says of itself; None where it does not."""

    version: str | None = None
    block_size: int | None = None
    num_gpu_blocks: int | None = None
    prefix_caching: bool | None = None
    #: Its GPU or processor, where it runs on the machine that sent the replay.
    device: str | None = None


class ReplayedRequests(_Part):
    """Columns of equal length, in order of planned sending.

    Attributes:
        planned_s: When the trace wanted it sent, seconds since the start.
        sent_s: When it was; None when it never was.
        prompt_tokens: As the server counts them, else as planned.
        output_tokens: As the server counts them, else the tokens received.
        cached_tokens: Of the prompt, found in the prefix cache, where the server says so.
        prefix_id: Identity of its shared prefix, -1 for none.
        prefix_tokens: Length of that prefix.
        ttft_s: From sending to the first token.
        gap_ms: Between one token and the next, in milliseconds, rounded to 0.1 ms in sum; 0 within one message.
        outcome: What became of it.
        status: HTTP status; None without an answer.
        asked_tokens: Output tokens that were asked for; absent in earlier records.
    """

    planned_s: list[Seconds]
    sent_s: list[Seconds | None]
    prompt_tokens: list[Count]
    output_tokens: list[Count]
    cached_tokens: list[Count | None]
    prefix_id: list[int]
    prefix_tokens: list[Count]
    ttft_s: list[Seconds | None]
    gap_ms: list[list[Seconds]]
    outcome: list[Outcome]
    status: list[int | None]
    asked_tokens: list[Count] | None = None

    @model_validator(mode="after")
    def _is_a_table(self) -> Self:
        columns = {name: getattr(self, name) for name in type(self).model_fields}
        lengths = {name: len(column) for name, column in columns.items() if column is not None}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"columns of different lengths: {lengths}")
        for row, outcome in enumerate(self.outcome):
            if outcome != "completed":
                continue
            if self.sent_s[row] is None or self.ttft_s[row] is None or self.output_tokens[row] < 1:
                raise ValueError(f"row {row} is completed, but lacks when it was sent, its first token or its length")
            if len(self.gap_ms[row]) != self.output_tokens[row] - 1:
                raise ValueError(f"row {row} has {self.output_tokens[row]} tokens and {len(self.gap_ms[row])} gaps")
        return self

    def missing_tokens(self) -> int:
        """Tokens that were asked for and never came, in answers that are whole; 0 where nobody knows."""
        rows = zip(self.asked_tokens or (), self.output_tokens, self.outcome, strict=False)
        return sum(max(0, asked - came) for asked, came, outcome in rows if outcome == "completed")

    def until(self, row: int) -> ReplayedRequests:
        """The rows before one."""
        columns = {name: getattr(self, name) for name in type(self).model_fields}
        return self.model_copy(update={name: column[:row] for name, column in columns.items() if column is not None})

    def then(self, others: ReplayedRequests) -> ReplayedRequests:
        """These rows and others after them; what one of both does not know, neither does."""
        columns = {name: (getattr(self, name), getattr(others, name)) for name in type(self).model_fields}
        return ReplayedRequests.model_validate(
            {name: None if one is None or two is None else one + two for name, (one, two) in columns.items()}
        )

    def e2e_s(self, row: int) -> float | None:
        """From sending to the last token; None without a first."""
        first_s = self.ttft_s[row]
        return None if first_s is None else first_s + sum(self.gap_ms[row]) / 1000.0


class ReplayRecord(_Part):
    """A replay: what was sent to what, by which command, and what came of it."""

    schema_version: Literal[1]
    simulator_version: str
    recorded_on: str
    command: str
    model: str
    trace: ReplayedTrace
    max_concurrency: Count
    seed: Count | None = None
    server: ServerFacts
    requests: ReplayedRequests

    def goes_on_at(self, sha256: str, model: str, count: int) -> int:
        """Row of a trace from which a replay that goes on with this one sends again.

        Args:
            sha256: Of the trace's file.
            model: Name of the model.
            count: Rows that are to be sent.

        Raises:
            TraceError: This is the record of another trace or model.
        """
        if (self.trace.sha256, self.model) != (sha256, model):
            raise TraceError(
                f"the record is of {self.trace.name} and {self.model}, not of what is given: nothing to resume"
            )
        lacking = (row for row, outcome in enumerate(self.requests.outcome) if outcome != "completed")
        return min(next(lacking, len(self.requests.outcome)), count)


def gaps_ms(token_s: list[float]) -> list[float]:
    """Gaps between token times, of which every partial sum is right to 0.05 ms."""
    ticks = [round(10_000 * (at_s - token_s[0])) for at_s in token_s]
    return [(after - before) / 10 for before, after in pairwise(ticks)]


def read_replay(path: Path) -> ReplayRecord:
    """Read a replay, plain or gzipped.

    Raises:
        TraceError: The file cannot be read, or is no replay; every fault, by its place in the file.
    """
    return read_record(ReplayRecord, path, TraceError, "a replay")
