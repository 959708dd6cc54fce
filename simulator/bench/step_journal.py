"""Points of a measurement under way, kept as they come, so that a killed one goes on where it was."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import ValidationError

from simulator.bench.step_record import MeasuredStep, StepRecord, StepShape
from simulator.errors import ProfileError
from simulator.files import cannot_write, write_whole

if TYPE_CHECKING:
    from types import TracebackType


class Journal:
    """A file beside the output: a line that says what is measured, then a line for each point.

    Args:
        output: Where the measurement will go.
        record: The measurement, without points.
        repeats: Repetitions of each point.

    Attributes:
        done: Points by shape.

    Raises:
        ProfileError: The file is there and is of another measurement, or cannot be written.
    """

    def __init__(self, output: Path, record: StepRecord, repeats: int) -> None:
        self.path = output.parent / f"{output.name}.unfinished"
        self.done: dict[StepShape, MeasuredStep] = {}
        # Neither the day nor how the command was put makes another measurement.
        about = record.model_dump(mode="json", exclude={"points", "recorded_on", "command"}) | {"repeats": repeats}
        self._first = json.dumps(about, sort_keys=True)
        lines = self._read()
        try:
            # Whole before anything is added: a kill here loses no point.
            write_whole(self.path, "".join(line + "\n" for line in [self._first, *lines]), fault=ProfileError)
            self._file = self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise ProfileError(f"{self.path}: cannot be written: {error.strerror}") from None

    def _read(self) -> list[str]:
        """Lines of whole points; a kill may have cut the last."""
        if not self.path.exists():
            return []
        # What is no character spoils the line it stands in.
        first, *lines = self.path.read_text("utf-8", errors="replace").splitlines() or [""]
        if first != self._first:
            raise ProfileError(
                f"{self.path} is what another measurement left (another model, machine, version or setting); "
                "finish that one, or remove the file"
            )
        whole = []
        for line in lines:
            try:
                point = MeasuredStep.model_validate_json(line)
            except ValidationError:
                break
            self.done[point.shape] = point
            whole.append(line)
        return whole

    def keep(self, point: MeasuredStep) -> None:
        """Write a point down. Raises ProfileError where that cannot be done."""
        self.done[point.shape] = point
        with cannot_write(self.path, ProfileError):
            self._file.write(point.model_dump_json() + "\n")
            self._file.flush()

    def finish(self) -> None:
        """The output is written: nothing is left to go on with."""
        self._file.close()
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        """Nothing more."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file; it stays unless `finish` removed it."""
        with suppress(OSError):  # what could not be written cannot be written now either
            self._file.close()
