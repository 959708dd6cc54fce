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

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that was probably meant, or all of them."""
    names = list(known)
    return meant(name, names) or f"expected one of: {', '.join(names) or 'none'}"


def meant(name: str, known: Iterable[str]) -> str:
    """A question after the known name that was probably meant; empty where none is near.

    >>> meant("H100", ["a100-80gb", "h100-80gb"]), meant("tpu", ["a100-80gb"])
    ("did you mean 'h100-80gb'?", '')
    """
    close = [f"'{one}'" for one in close_names(name, known)]
    *others, last = close or [""]
    return f"did you mean {', '.join(others)}{' or ' if others else ''}{last}?" if close else ""


def close_names(name: str, known: Iterable[str], *, most: int = 1, cutoff: float = 0.6) -> list[str]:
    """Known names that were probably meant, nearest first; case and signs count for nothing.

    A name with its tail left off stands for up to three.

    Beside those that look alike: those that contain the name, or are in it, or share a part with a digit, as
    `nvidia-h100` does with `h100-80gb`.
    """
    names = list(dict.fromkeys(known))
    plain = {one: _plain(one) for one in names}
    wanted = _plain(name)
    if not wanted:
        return []
    # A whole name with its tail left off, `h200`, is nearer than one that differs in a letter, `b200`.
    found = [one for one in names if len(wanted) > 2 and plain[one].startswith(wanted)]
    if found:
        exact = [one for one in found if plain[one] == wanted]
        return (exact or found)[: max(most, 3)]
    alike = get_close_matches(wanted, list(dict.fromkeys(plain.values())), n=most, cutoff=cutoff)
    found = [one for match in alike for one in names if plain[one] == match]
    if not found and len(wanted) > 2:
        found = [one for one in names if wanted in plain[one] or (len(plain[one]) > 2 and plain[one] in wanted)]
    if not found:
        parts = {part for part in _parts(name) if len(part) > 2 and any(sign.isdigit() for sign in part)}
        shared = {one: len(parts & _parts(one)) for one in names}
        found = sorted((one for one in names if shared[one]), key=lambda one: -shared[one])
    return found[:most]


def _plain(name: str) -> str:
    return "".join(sign for sign in name.lower() if sign.isalnum())


def _parts(name: str) -> set[str]:
    return set(re.split(r"[^a-z0-9.]+", name.lower()))


class SimulatorError(Exception):
    """Base of every deliberate error; its text is fit to show to a user as it stands."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with one place in a file.

    Attributes:
        file: Path as the user gave it, or the argument that gave it, such as `settings`.
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
