"""Work that another machine may do: what it needs travels with it, and what it makes comes back.

Nothing is expected of a worker but this package, the same to the byte, and the libraries that figures depend on. It is
asked before it does anything, and answers with who it is where it is another one.

What is sent and what comes back is bytes, so that neither a scheduler nor a worker without the package fails over
objects that it does not know.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import pickle
import platform
import shutil
import sys
import tempfile
import traceback
import zlib
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import BaseModel

from simulator.errors import Fault, RunStoreError, ScenarioError, SimulatorError
from simulator.experiment.checkpoint import note_use
from simulator.extensions import GROUPS, mark
from simulator.files import make_folder, write_whole
from simulator.scenario.customs import customs
from simulator.scenario.workloads import RecordedWorkload
from simulator.trace.header import header_file
from simulator.version import package_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from simulator.scenario.schema import Scenario

    Value = TypeVar("Value")

#: Libraries that figures depend on.
_LIBRARIES: Final = ("numpy", "numba", "scipy", "holidays")
#: Names who keeps a store at the moment: a worker that reads the same there sees the same folder.
_OWNER: Final = ".owner"


@dataclass(frozen=True, slots=True)
class Sealed:
    """A scenario as bytes, of which many lie on disk and travel without being looked into.

    Attributes:
        content: The scenario, pickled and compressed.
        files: Files outside the package that it names.
        own: Groups and names of the code of one's own that it names.
        places: Where files lie that do not lie here as they are named.
    """

    content: bytes
    files: tuple[str, ...] = ()
    own: tuple[tuple[str, str], ...] = ()
    places: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, scenario: Scenario) -> Sealed:
        """Seal a scenario."""
        own = tuple((group, one.name) for _, group, one in customs(scenario))
        return cls(zlib.compress(pickle.dumps(scenario), 1), tuple(named_files(scenario)), own)

    @property
    def scenario(self) -> Scenario:
        """The scenario."""
        found: Scenario = pickle.loads(zlib.decompress(self.content))  # nosec B301 - our own
        return moved(found, self.places) if self.places else found


@dataclass(frozen=True, slots=True)
class Call:
    """Something to work out: `function(scenario, folder, *arguments)`.

    Attributes:
        function: Of a module of this package. It looks for simulations in the folder, and leaves there what it makes.
        scenario: What it is about, or several of them.
        arguments: What else it is told.
        reads: Files of the store that it needs.
        makes: The file of a simulation that it makes.
    """

    function: Callable[..., Any]
    scenario: Scenario | list[Sealed]
    arguments: tuple[Any, ...] = ()
    reads: tuple[str, ...] = ()
    makes: str | None = None


@dataclass(frozen=True, slots=True)
class Parcel:
    """A file outside the package that a scenario names, and the header beside it.

    Attributes:
        path: As the scenario names it.
        sha256: Of the path and all of the content.
        content: Names and contents, pickled.
    """

    path: str
    sha256: str
    content: bytes


class WorkerFault(Exception):
    """A fault of this package, on a worker."""


@cache
def identity() -> dict[str, str]:
    """What must be equal wherever figures of one result are made: package, room by room, and libraries."""
    package = Path(__file__).parents[1]
    found = {"llm-hosting-simulator": package_version(), "python": f"{sys.version_info[0]}.{sys.version_info[1]}"}
    for entry in sorted(package.iterdir()):
        files = [entry] if entry.is_file() else sorted(file for file in entry.rglob("*") if file.is_file())
        digest = hashlib.sha256()
        for file in files:
            if "__pycache__" not in file.parts:
                digest.update(str(file.relative_to(package)).encode() + b"\0" + file.read_bytes())
        if entry.name != "__pycache__":
            found[f"simulator/{entry.name}"] = digest.hexdigest()[:12]
    return found | {name: version(name) for name in _LIBRARIES}


def differences(here: Mapping[str, str], there: Mapping[str, str]) -> str:
    """What two identities differ in, in words."""
    unlike = [name for name in [*here, *there.keys() - here.keys()] if here.get(name) != there.get(name)]
    return "; ".join(f"{name}: {here.get(name, 'none')} here, {there.get(name, 'none')} there" for name in unlike)


def own_code(scenario: Scenario | list[Sealed]) -> dict[str, str]:
    """What must be equal of code of one's own that a scenario or several name, beside `identity`."""
    if isinstance(scenario, list):
        named = {one for sealed in scenario for one in sealed.own}
    else:
        named = {(group, one.name) for _, group, one in customs(scenario)}
    return {f"{GROUPS[group]} '{name}'": mark(group, name)[:12] for group, name in sorted(named)}


def named_files(scenario: Scenario | list[Sealed]) -> Iterator[str]:
    """Files outside the package that a scenario names: traces, step-time profiles, a register of models."""
    if isinstance(scenario, list):
        yield from (file for sealed in scenario for file in sealed.files)
        return
    for load in scenario.workloads.values():
        if isinstance(load, RecordedWorkload):
            yield load.trace.file
    for pattern in scenario.hosting_patterns.values():
        for one in pattern.hosted.values():
            if one.cluster.profile is not None:
                yield one.cluster.profile
    if scenario.compliance is not None and Path(scenario.compliance.registry).suffix:
        yield scenario.compliance.registry


def parcel(path: str) -> Parcel:
    """A file and its header.

    Raises:
        SimulatorError: It cannot be read.
    """
    file = Path(path)
    try:
        beside = header_file(file)
        content = pickle.dumps([(one.name, one.read_bytes()) for one in (beside, file) if one is not None])
    except OSError as error:
        raise SimulatorError(f"{path}: cannot be read: {error.strerror}") from None
    return Parcel(path, hashlib.sha256(path.encode() + b"\0" + content).hexdigest(), content)


def claim(store: Path) -> str:
    """Mark a store as that of this process for now."""
    mark = hashlib.sha256(os.urandom(16)).hexdigest()
    write_whole(store / _OWNER, mark, fault=RunStoreError, durable=False)
    return mark


def packed(call: Call, files: Sequence[Parcel], store: Path | None, mark: str) -> bytes:
    """A call as `pickle.loads` on a worker wants it: a function of this package and what to hand it."""
    reads = {}
    for name in call.reads:
        if store is not None and (store / name).is_file():
            reads[name] = (store / name).read_bytes()
            note_use(store / name)
    named = [(one.path, one.sha256) for one in files]
    inner = (call.function, call.scenario, call.arguments, call.makes, reads, named, store, mark)
    return pickle.dumps((carry_out, identity(), pickle.dumps((own_code(call.scenario), inner))))


def carry_out(asked: Mapping[str, str], content: bytes, contents: Sequence[bytes]) -> bytes:
    """Do what was packed; runs on a worker.

    Args:
        asked: Identity of who asks.
        content: What to do.
        contents: Of the files that it names.

    Returns:
        What `unpacked` reads.
    """
    here = f"{platform.node()}, process {os.getpid()}"
    mine = identity()
    if mine != asked:
        return pickle.dumps(("other", here, mine, {}))
    own, inner = pickle.loads(content)  # nosec B301 - from the one who asks
    function, scenario, arguments, makes, reads, named, store, owner = inner
    laid = {path: _laid(key, packed) for (path, key), packed in zip(named, contents, strict=True)}
    shared = store is not None and _is_shared(store, owner)
    try:
        if own != (code := own_code(scenario)):
            return pickle.dumps(("other", here, mine | code, own))
        with nullcontext(store) if shared else tempfile.TemporaryDirectory(prefix="simulator-") as place:
            folder = Path(place)
            for name, body in reads.items():
                if not shared:
                    write_whole(folder / name, body, durable=False)
            result = function(moved(scenario, laid) if laid else scenario, folder, *arguments)
            made = [folder / makes] if shared and makes else [] if shared else sorted(folder.iterdir())
            files = {file.name: file.read_bytes() for file in made if file.name not in reads and file.is_file()}
    except SimulatorError as error:
        back = {place: path for path, place in laid.items()}
        faults = error.faults if isinstance(error, ScenarioError) else [Fault("", 0, "", str(error))]
        plain = [(_as_named(one.file, back), one.line, one.key, _as_named(one.message, back)) for one in faults]
        return pickle.dumps(("wrong", here, plain))
    except MemoryError:
        return pickle.dumps(("wrong", here, [("", 0, "", "not enough memory")]))
    except Exception:
        return pickle.dumps(("failed", here, traceback.format_exc()))
    return pickle.dumps(("done", here, result, files))


def unpacked(answer: bytes, store: Path | None) -> Any:  # noqa: ANN401 - what the function returned
    """What a call returned; what it made is then in the store.

    Raises:
        ScenarioError: The scenario is wrong, as nobody knew before.
        SimulatorError: The worker is another one, or has not what this takes.
        WorkerFault: A fault of this package.
    """
    kind, where, *rest = pickle.loads(answer)  # nosec B301 - from a worker that is ours
    if kind == "other":
        raise SimulatorError(
            f"the worker on {where} would give other figures: {differences(identity() | rest[1], rest[0])}. "
            "All workers need this version of the package and of these libraries, and the same code of one's own"
        )
    if kind == "wrong":
        faults = [Fault(*one) for one in rest[0]]
        if all(fault.file for fault in faults):
            raise ScenarioError(faults)
        raise SimulatorError(f"the worker on {where}: " + "\n".join(fault.message for fault in faults))
    if kind == "failed":
        raise WorkerFault(f"on {where}: {rest[0]}")
    result, files = rest
    # A summary says what belongs to it, so it comes last.
    for name, body in sorted(files.items(), key=lambda file: file[0].endswith(".json")):
        if store is not None:
            write_whole(store / name, body, fault=RunStoreError, durable=False)
    return result


def moved(value: Value, places: Mapping[str, str]) -> Value:
    """A model, or what holds some, in which these files lie elsewhere."""
    found: Any = value
    if isinstance(value, Sealed):
        found = replace(value, places=places)
    elif isinstance(value, BaseModel):
        parts = {name: getattr(value, name) for name in type(value).model_fields}
        new = {name: there for name, part in parts.items() if (there := moved(part, places)) is not part}
        found = value.model_copy(update=new) if new else value
    elif isinstance(value, dict):
        inside = {key: moved(part, places) for key, part in value.items()}
        found = inside if any(inside[key] is not value[key] for key in value) else value
    elif isinstance(value, list):
        each = [moved(part, places) for part in value]
        found = each if any(new is not old for new, old in zip(each, value, strict=True)) else value
    elif isinstance(value, str):
        found = places.get(value, value)
    return found  # type: ignore[no-any-return]


def _is_shared(store: Path, mark: str) -> bool:
    try:
        return (store / _OWNER).read_text() == mark
    except (OSError, ValueError):
        return False


def _laid(key: str, content: bytes) -> str:
    """Where the content of a parcel lies on this machine, under its own name."""
    folder, name = make_folder(_scratch() / key[:24]), ""
    for name, body in pickle.loads(content):  # nosec B301 - the file itself comes last
        if not (folder / name).is_file():
            write_whole(folder / name, body, durable=False)
    return str(folder / name)


@cache
def _scratch() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="simulator-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _as_named(text: str, back: Mapping[str, str]) -> str:
    """A message with files named as the scenario names them."""
    for place, path in back.items():
        text = text.replace(place, path)
    return text
