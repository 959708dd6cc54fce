"""Every error this package raises on purpose.

    SimulatorError
    ├── ScenarioError        a scenario file or override is wrong (carries every fault)
    │   └── NothingFits      none of its hosting patterns can be simulated, which may be an answer
    ├── InfeasibleCluster    the model does not fit the GPUs (carries the arithmetic)
    ├── ProfileNotFound      no measured curve for this model, GPU, parallelism, quantisation
    ├── ProfileError         a model, a profile file or what is asked of kernel tables is wrong
    ├── PriceNotFound        the price book has no such entry
    ├── ProvisionedModelNotFound  no provisioned units are known for this model
    ├── TraceError           a recorded trace is wrong
    ├── UnknownName          a result has nothing of this name (a KeyError as well)
    └── RunStoreError        a run directory is missing, incomplete or of another version
        └── SimulationGone   what was simulated was removed from its store meanwhile

The library raises; only `simulator.cli.main` exits. All of them mean "bad input" and become exit code 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that was probably meant, or all of them."""
    names = list(known)
    close = get_close_matches(name, names, n=1)
    return f"did you mean '{close[0]}'?" if close else f"expected one of: {', '.join(names) or 'none'}"


class SimulatorError(Exception):
    """Base of every deliberate error; its text is fit to show to a user as it stands."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with one place in a file.

    Attributes:
        file: Path as the user gave it, or `--set` for an override.
        line: 1-based line, 0 when the file as a whole is at fault.
        key: Dotted key path, empty for the file as a whole.
        message: What is wrong, the offending value and what is allowed.
    """

    file: str
    line: int
    key: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.key}: {self.message}" if self.key else f"{place}: {self.message}"


class ScenarioError(SimulatorError):
    """A scenario is wrong; `faults` holds everything found, in file order."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class NothingFits(ScenarioError):
    """No hosting pattern that was asked for fits its GPUs or may see the prompts; nothing else is wrong."""


class InfeasibleCluster(SimulatorError):
    """The model does not fit the GPUs; the message shows the arithmetic."""


class ProfileNotFound(SimulatorError):
    """No step-time profile for what was asked; the message names the nearest ones."""


class ProfileError(SimulatorError):
    """A model's configuration, a profile file or a wish for a profile is wrong; the message says what is allowed."""


class PriceNotFound(SimulatorError):
    """The price book has no such entry; the message names the nearest ones."""


class ProvisionedModelNotFound(SimulatorError):
    """No provisioned units are known for this model; the message names the nearest ones."""


class TraceError(SimulatorError):
    """A recorded trace cannot be read; the message names file and row, never content."""


class UnknownName(SimulatorError, KeyError):
    """Something was asked for by a name that nothing has; the message says which names there are."""

    def __init__(self, what: str, name: object, known: Iterable[object]) -> None:
        self.what, self.name, self.known = what, name, tuple(known)
        super().__init__(what, name, self.known)

    def __str__(self) -> str:
        return f"no {self.what} '{self.name}'; {nearest(str(self.name), map(str, self.known))}"


class RunStoreError(SimulatorError):
    """A run directory is missing, incomplete or written by another version."""


class SimulationGone(RunStoreError):
    """What was simulated was removed from its store before it was in a run directory."""
