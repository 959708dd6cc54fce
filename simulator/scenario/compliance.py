"""What a scenario says about protected health information: what workloads need, where backends stand, who is bound."""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

from pydantic import Field

from simulator.scenario.base import Config, Faults, Name, check

Modality = Literal["text", "image", "audio", "realtime_audio"]
Geography = Literal["us", "eu", "uk", "ca", "au"]
HopKind = Literal["cdn", "gateway", "de_identification", "transcription", "storage", "logs", "monitoring", "other"]
Day = Annotated[datetime.date, Field(strict=False)]
Days = Annotated[int, Field(ge=0, le=36_500)]


class DataProtection(Config):
    """What may happen to the content of a workload's requests; assessed where there is a `compliance` section."""

    modality: Modality = "text"
    """What prompts are made of."""
    residency: Annotated[list[Geography], Field(min_length=1)] | None = None
    """Geographies in which requests may be processed and kept; anywhere when absent."""
    may_leave: bool = True
    """Whether its protected health information may leave the site, under a business associate agreement."""
    air_gap: bool = False
    """Whether nothing of it may leave the site, de-identified or not."""
    kept_at_most_days: Days | None = None
    """Longest time a provider may keep prompts, in days; 0 asks for zero retention, absent for nothing."""


class Placement(Config):
    """Where a backend stands and which entry of the model registry it is."""

    registry_model: str | None = None
    """Key of the registry; an API's `model`, or `self_hosted/` and a cluster's, when absent."""
    premises: Literal["on_site", "cloud"] | None = None
    """Where a cluster stands: on hardware in the organisation's own rooms, or on somebody else's."""
    provider: Name | None = None
    """Whose hardware a cluster in the cloud runs on, as `compliance.agreements` names it."""
    region: str | None = None
    """The provider's region, such as eastus, or a geography, such as us."""
    api_version: str | None = None
    """Version of the API that the client asks for, such as 2024-10-21."""

    @check
    def _own_rooms_have_no_provider(self) -> Faults:
        if self.premises == "on_site" and self.provider is not None:
            yield ValueError("a cluster on site has no provider; say premises: cloud, or leave provider out")


class Hop(Config):
    """One thing on the way of a request, besides the model itself."""

    kind: HopKind
    """What it does."""
    provider: Name | None = None
    """Who runs it, as `compliance.agreements` names it; give this, or `on_site`."""
    on_site: bool = False
    """Whether it runs in the organisation's own rooms, where no agreement is needed."""
    content: bool = True
    """Whether prompts or answers pass through it or stay in it; false for logs and metrics without content."""
    region: str | None = None
    """Where it runs: a region of the registry or a geography."""
    keeps_days: Days | None = None
    """How long it keeps content, in days; 0 when it only passes it on."""
    workloads: Annotated[list[Name], Field(min_length=1)] | None = None
    """Workloads whose requests come by; all when absent."""
    patterns: Annotated[list[Name], Field(min_length=1)] | None = None
    """Hosting patterns it belongs to; all when absent."""

    @check
    def _someone_runs_it(self) -> Faults:
        if self.on_site == (self.provider is not None):
            yield ValueError("give either the provider that runs it, or on_site: true")


class Controls(Config):
    """The technical checklist: true where it is in place, false where it is not, absent where nobody has said."""

    private_link: bool | None = None
    """Traffic to the provider stays off the public internet (Private Link)."""
    virtual_network: bool | None = None
    """Clusters and gateways run inside a virtual network (VNet)."""
    managed_identity: bool | None = None
    """Services authenticate by managed identity, without stored keys."""
    logs_without_content: bool | None = None
    """Logs hold no prompts and no answers."""
    version_pinned: bool | None = None
    """Deployments name a model version and never update by themselves."""
    audit_log: bool | None = None
    """Every request leaves an audit record of who, when and which model."""
    encryption_at_rest: bool | None = None
    """What is kept is encrypted."""
    soc2: bool | None = None
    """Every provider has a current SOC 2 report."""
    hitrust: bool | None = None
    """Every provider has a current HITRUST certification."""


class Compliance(Config):
    """Who may see what: with this section, what is not allowed is refused; without it, nothing is assessed."""

    registry: str = "reference"
    """Registry of models: the shipped `reference`, in which nothing is approved, or a file relative to this one."""
    agreements: dict[Name, Day] = Field(default_factory=dict)
    """Business associate agreements, by provider, with the day they were signed."""
    forbidden_failover: Literal["refuse", "stay"] = "refuse"
    """A pattern some of whose backends a workload may not use is refused; or such requests stay with the others."""
    data_flow: dict[Name, Hop] = Field(default_factory=dict)
    """What requests come by besides the model, in the order in which they do."""
    audit_retention_years: Annotated[int, Field(ge=0, le=100)] | None = None
    """How long audit records must be kept; information only, since it does not depend on where models run."""
    controls: Controls = Controls()
    """Technical checklist."""
