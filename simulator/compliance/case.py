"""One workload at one backend: what speaks against it, check by check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from simulator.compliance.registry import in_force, unknown_model
from simulator.scenario.compliance import DataProtection
from simulator.wording import article, counted, is_or_are

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import date

    from simulator.compliance.registry import RegisteredModel, Registry
    from simulator.scenario.compliance import Compliance, Placement
    from simulator.scenario.workloads import Workload

#: Where in the backend the fault lies, and what it is.
Finding = tuple[tuple[str, ...], str]

_MODEL: Final = ("model",)


@dataclass(frozen=True, slots=True)
class Case:
    """A workload that would be served by a backend.

    Attributes:
        load: The workload.
        hosted: Whether the backend is a cluster of our own.
        placement: Where it stands.
        key: Its key in the registry.
        section: What the scenario says about compliance.
        registry: The registry it names.
        phi_may_leave: Whether the scenario as a whole lets health information leave.
        first: First simulated day.
        last: Last simulated day.
        scope: Kind of deployment that provisioned units are bought for; None for everything else.
    """

    load: Workload
    hosted: bool
    placement: Placement
    key: str
    section: Compliance
    registry: Registry
    phi_may_leave: bool
    first: date
    last: date
    scope: str | None = None

    @property
    def phi(self) -> bool:
        """Whether the backend would see protected health information."""
        return self.load.phi is True

    @property
    def protection(self) -> DataProtection:
        """What may happen to the content."""
        return self.load.data_protection or DataProtection()

    @property
    def modality(self) -> str:
        """What prompts are made of; images where each brings some."""
        brings = getattr(self.load, "images", None) is not None
        return "image" if brings and self.protection.modality == "text" else self.protection.modality

    @property
    def model(self) -> RegisteredModel | None:
        """Its entry of the registry."""
        return self.registry.models.get(self.key)

    @property
    def on_site(self) -> bool:
        """Whether it stands in the organisation's own rooms."""
        return self.hosted and self.placement.premises == "on_site"

    @property
    def provider(self) -> str | None:
        """Whose machines see the requests; None where that is not said."""
        if self.hosted:
            return self.placement.provider
        return self.model.provider if self.model else None


def findings(case: Case) -> list[Finding]:
    """Everything that speaks against a workload at a backend; empty when nothing does."""
    checks = [*_ALL, *(_PHI if case.phi else ())]
    return [finding for check in checks for finding in check(case)]


def _leaving(case: Case) -> Iterator[Finding]:
    held_back = case.phi and not (case.phi_may_leave and case.protection.may_leave)
    if case.hosted and case.placement.premises is None:
        if case.phi or case.protection.air_gap:
            yield ("placement",), "it is not said where it stands; expected placement.premises: on_site or cloud"
    elif case.on_site:
        return
    elif case.protection.air_gap:
        yield (), "nothing may leave the site (data_protection.air_gap)"
    elif held_back:
        switch = "data_protection.may_leave" if case.phi_may_leave else "constraints.phi_may_leave"
        yield (), f"protected health information may not leave the site ({switch})"


def _modality(case: Case) -> Iterator[Finding]:
    model, modality = case.model, case.modality
    if model is None or modality in model.modalities:
        return
    if modality in model.not_covered:
        if case.phi:
            yield _MODEL, f"the agreement does not cover {_words(modality)} ({model.asserted_by}, {model.asserted_on})"
    else:
        yield _MODEL, f"it takes no {_words(modality)}; the registry says {', '.join(map(_words, model.modalities))}"


def _residency(case: Case) -> Iterator[Finding]:
    wanted = case.protection.residency
    if wanted is None or case.on_site:
        return
    where, why = _processed_in(case)
    if where not in wanted:
        yield ("placement",), f"its requests must stay in {' or '.join(wanted)}, and {why}"


def _processed_in(case: Case) -> tuple[str | None, str]:
    """The geography in which a backend processes requests, None for no particular one, and the same in words."""
    kind = case.model.processed_in if case.model else "region"
    if kind == "anywhere":
        return None, "a global deployment may process them anywhere"
    if kind not in ("region", "site"):
        return kind, f"it processes them in {kind}"
    if case.placement.region is None:
        return None, "it is not said where it processes them (placement.region)"
    found = geography(case.registry, case.placement.region)
    return found, f"{case.placement.region} lies in {found}" if found else f"{case.placement.region} is not known"


def geography(registry: Registry, place: str) -> str | None:
    """Where a region lies; a geography lies in itself. None when the registry does not know it."""
    if place in registry.regions:
        return registry.regions[place].geography
    return place if place in {region.geography for region in registry.regions.values()} else None


def _retention(case: Case) -> Iterator[Finding]:
    limit = case.protection.kept_at_most_days
    if limit is None or case.on_site:
        return
    kept = case.model.keeps_prompts_days if case.model else None
    if kept is None:
        yield (
            _MODEL,
            f"it is not known how long it keeps prompts; at most {counted(limit, 'day')} {is_or_are(limit)} allowed",
        )
    elif kept > limit:
        yield _MODEL, f"it may keep prompts {counted(kept, 'day')}; at most {limit} {is_or_are(limit)} allowed"


def _registered(case: Case) -> Iterator[Finding]:
    model, key = case.model, _MODEL if case.placement.registry_model is None else ("placement", "registry_model")
    if model is None:
        yield key, unknown_model(case.registry, case.key)
    elif case.hosted != (model.deployment == "self_hosted"):
        here = "a cluster" if case.hosted else "an API"
        yield (
            key,
            f"the registry has it as {article(model.deployment)} deployment of {model.provider}, here it is {here}",
        )
    elif case.scope not in (None, model.deployment):
        yield ("deployment", "scope"), f"its units are {case.scope}, and the registry has it as {model.deployment}"


def _approved(case: Case) -> Iterator[Finding]:
    model = case.model
    if model is None or in_force(model.approved_on, case.first):
        return
    if model.approved_on is None:
        yield _MODEL, f"it is not approved in the registry {case.registry.id}{_how_to_approve(case)}"
    else:
        yield _MODEL, f"it is approved only from {model.approved_on} on, and the simulation starts on {case.first}"


def _how_to_approve(case: Case) -> str:
    """What to write, for whoever has no registry of their own yet."""
    if case.registry.id != "reference":
        return ""
    entry = f"'models: {{{case.key}: {{approved_on: {case.first}, approved_by: …}}}}'"
    return (
        f", which approves nothing; in a file of your own (extends: reference), named as compliance.registry: {entry}"
    )


def _preview(case: Case) -> Iterator[Finding]:
    model, version = case.model, case.placement.api_version
    if model and model.preview:
        yield _MODEL, "it is a preview model, which agreements leave out"
    key = ("placement", "api_version")
    if version is not None and version.endswith("-preview"):
        yield key, f"API version {version} is a preview, which agreements leave out"
    elif model and model.api_versions and version not in model.api_versions:
        said = "not said" if version is None else f"{version}, which is not approved"
        yield key, f"its API version is {said}; expected one of: {', '.join(model.api_versions)}"


def _retired(case: Case) -> Iterator[Finding]:
    model = case.model
    if model and model.retires_on is not None and model.retires_on <= case.last:
        source = f" ({model.retirement_source})" if model.retirement_source else ""
        yield _MODEL, f"it is retired from {model.retires_on} on{source}, and the simulation lasts to {case.last}"


def _covered(case: Case) -> Iterator[Finding]:
    model = case.model
    if model and model.baa_coverage in ("not_covered", "unconfirmed"):
        said = "does not cover it" if model.baa_coverage == "not_covered" else "is not known to cover it"
        text = f"the business associate agreement of {model.provider} {said} ({model.asserted_by}, {model.asserted_on})"
        yield _MODEL, text
    if case.on_site or (case.hosted and case.placement.premises is None) or (not case.hosted and model is None):
        return
    if case.provider is None:
        yield ("placement",), "it is not said whose hardware it runs on (placement.provider)"
    elif missing := agreement_missing(case.section, case.provider, case.first):
        yield ("placement",) if case.hosted else _MODEL, missing


def agreement_missing(section: Compliance, provider: str, first: date) -> str | None:
    """Why no business associate agreement with a provider is in force on the first simulated day; None when one is."""
    signed = section.agreements.get(provider)
    if signed is None:
        return f"there is no business associate agreement with {provider} (compliance.agreements)"
    if signed > first:
        return f"the agreement with {provider} is signed on {signed}, and the simulation starts on {first}"
    return None


def _region(case: Case) -> Iterator[Finding]:
    model, region = case.model, case.placement.region
    if model is None or case.on_site:
        return
    key = ("placement", "region") if region else ("placement",)
    if model.regions and region not in model.regions:
        said = f"{region} is not approved" if region else "its region is not said"
        yield key, f"{said}; expected one of: {', '.join(model.regions)}"
    lies = geography(case.registry, region) if region else None
    if lies and model.processed_in not in ("anywhere", "region", "site", lies):
        yield key, f"{region} lies in {lies}, and the registry has it processed in {model.processed_in}"


def _words(modality: str) -> str:
    return {"image": "images"}.get(modality, modality.replace("_", " "))


_ALL: Final[tuple[Callable[[Case], Iterator[Finding]], ...]] = (_leaving, _modality, _residency, _retention)
_PHI: Final[tuple[Callable[[Case], Iterator[Finding]], ...]] = (
    _registered, _approved, _preview, _retired, _covered, _region
)  # fmt: skip
