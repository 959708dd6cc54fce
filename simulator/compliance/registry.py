"""The register of models: what each provider's agreement covers, who says so, and which ones the site has approved.

The shipped register `reference` collects what is documented and approves nothing, since only a site can. A site keeps a
file of its own, usually a few lines on top of it:

    id: st_elsewhere
    date: 2026-11-01
    extends: reference
    models:
      azure/gpt-4.1-data-zone: {approved_on: 2026-10-01, approved_by: information security board}
"""

from __future__ import annotations

import hashlib
import json
from datetime import date
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, ValidationError

from simulator.errors import Fault, ScenarioError, nearest
from simulator.scenario.base import Config, Name
from simulator.scenario.compliance import Day, Days, Geography, Modality
from simulator.scenario.faults import faults_of
from simulator.scenario.merging import merge
from simulator.scenario.yaml_source import read_document

if TYPE_CHECKING:
    from os import PathLike

    from simulator.scenario.yaml_source import Document

Basis = Literal["contract", "documentation", "statement", "memory"]


class RegisteredModel(Config):
    """One model in one kind of deployment."""

    provider: Name
    """Whose agreement must cover it; `self_hosted` for weights that run on hardware of one's own choice."""
    model: str
    """Version that is meant, as its maker names it; never an alias that moves."""
    deployment: Literal["global", "data_zone", "regional", "government", "direct", "self_hosted"]
    """Kind of deployment."""
    processed_in: Geography | Literal["anywhere", "region", "site"]
    """Where requests are processed: a geography, anywhere, the region asked for, or where the cluster stands."""
    api_versions: list[str] = Field(default_factory=list)
    """API versions that are approved; any that is no preview when empty."""
    baa_coverage: Literal["covered", "not_covered", "unconfirmed", "not_needed"]
    """Whether the provider's business associate agreement covers it; not needed for one's own hardware."""
    modalities: Annotated[list[Modality], Field(min_length=1)]
    """What it takes, and the agreement covers."""
    not_covered: list[Modality] = Field(default_factory=list)
    """What it takes and the agreement does not cover, or is not known to."""
    preview: bool = False
    """Whether it is a preview, which agreements leave out."""
    regions: list[str] = Field(default_factory=list)
    """Regions it is approved in; any of the register when empty."""
    keeps_prompts_days: Days | None = None
    """Longest time the provider keeps prompts, in days, as far as is known."""
    retires_on: Day | None = None
    """First day on which it no longer answers."""
    retirement_source: str = ""
    """Who says so."""
    licence: str = ""
    """Licence of the weights, where they are published."""
    approved_on: Day | None = None
    """Day on which the site approved it for protected health information."""
    approved_by: str = ""
    """Who approved it."""
    asserted_by: str
    """Who says what is said here."""
    asserted_on: Day
    """When they did."""
    basis: Basis
    """A contract, documentation, somebody's statement, or recalled without a document."""
    note: str = ""
    """What else to know."""


class Region(Config):
    """A place a provider offers."""

    geography: Geography
    """Where it lies."""
    hipaa_eligible: bool | None = None
    """Whether it is named as eligible for protected health information."""
    asserted_by: str
    """Who says so."""


class Registry(Config):
    """Models and regions as of one date."""

    id: Name
    """Name of the register."""
    date: Day
    """Day on which it was closed."""
    note: str = ""
    """What to know about it."""
    models: Annotated[dict[str, RegisteredModel], Field(min_length=1)]
    """Models, by the key scenarios use."""
    regions: dict[str, Region] = Field(default_factory=dict)
    """Regions, by the provider's name for them."""

    @property
    def sha256(self) -> str:
        """Hash of all it says, so that two results can be known to share it."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def registry_ids() -> list[str]:
    """Ids of the shipped registers."""
    names = (entry.name for entry in resources.files("simulator.compliance").joinpath("data").iterdir())
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


def load_registry(name: str | PathLike[str]) -> Registry:
    """A shipped register, or a file, alone or on top of a shipped one that it extends.

    Args:
        name: Id of a shipped one, or path of a YAML file.

    Raises:
        ScenarioError: Everything that is wrong with it, each with file, line and key.
    """
    if str(name) in registry_ids():
        with resources.as_file(resources.files("simulator.compliance").joinpath("data", f"{name}.yaml")) as path:
            return _load(path, 0)
    path = Path(name)
    return _load(path, path.stat().st_mtime_ns if path.exists() else 0)


@lru_cache(maxsize=16)
def _load(path: Path, _changed: int) -> Registry:
    document = read_document(path)
    if "extends" in document.data:
        document = _extended(document)
    try:
        registry = Registry.model_validate(document.data)
    except ValidationError as error:
        raise ScenarioError([*document.faults, *faults_of(error, document, Registry)]) from None
    if document.faults:
        raise ScenarioError(document.faults)
    return registry


def _extended(document: Document) -> Document:
    """A register on top of the shipped one it extends: what it says replaces, null removes."""
    base = document.data.pop("extends")
    if base not in registry_ids():
        file, line = document.origin(("extends",))
        message = f"there is no shipped register {base!r}; expected one of: {', '.join(registry_ids())}"
        raise ScenarioError([*document.faults, Fault(file, line, "extends", message)])
    with resources.as_file(resources.files("simulator.compliance").joinpath("data", f"{base}.yaml")) as path:
        merged = read_document(path)
    # Whose register it is, and of which day, the file itself must say.
    for key in ("id", "date", "note"):
        del merged.data[key], merged.origins[(key,)]
    merge(merged, document)
    merged.origins[()] = document.origins[()]
    merged.faults += document.faults
    return merged


def unknown_model(registry: Registry, key: str) -> str:
    """Why a key is not in the register, with the one that was probably meant."""
    return f"'{key}' is not in the registry {registry.id}; {nearest(key, registry.models)}"


def in_force(day: date | None, on: date) -> bool:
    """Whether something that holds from a day on holds on another."""
    return day is not None and day <= on
