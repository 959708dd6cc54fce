"""What can be wrong with a scenario beyond its form: names that must exist, memory that must suffice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from simulator.compliance.check import refusals
from simulator.errors import Fault, InfeasibleCluster, NothingFits, ProfileError, ProfileNotFound, ScenarioError
from simulator.experiment.model_length import with_model_lengths
from simulator.experiment.names import fault_at, faults_of_names, unusable_compliance
from simulator.performance.clusters import cluster_profile
from simulator.performance.memory import kv_capacity
from simulator.scenario.faults import in_file_order
from simulator.scenario.loading import read_merged, sound_parts
from simulator.scenario.mending import with_kinds
from simulator.scenario.patterns import PATTERN_KINDS, cluster_key
from simulator.scenario.schema import Scenario

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from simulator.compliance.check import Refusal
    from simulator.scenario.loading import SoundParts
    from simulator.scenario.schema import Scenario
    from simulator.scenario.yaml_source import Document


Misfits = dict[str, tuple[tuple[str, ...], str]]

#: Parts of a pattern that decide neither whether a model fits nor who may see what: others are judged without them.
_HARMLESS: Final = {
    "costs", "compute", "api", "apis", "limits", "ttft", "output_tokens_per_s", "retries", "description", "median",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Unfit:
    """Why a hosting pattern is not simulated.

    Attributes:
        rule: Whether its model does not fit its GPUs, or it may not see what it would get.
        reasons: In words.
    """

    rule: Literal["feasibility", "compliance"]
    reasons: list[str]


def load_checked(
    path: str | PathLike[str],
    *,
    overrides: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    must_fit: bool = True,
) -> Scenario:
    """`load_scenario` and `check` in one, so that the faults of both are reported together.

    Args:
        path: YAML file.
        overrides: See `load_scenario`.
        settings: See `load_scenario`.
        must_fit: Whether a model that does not fit its GPUs, and a backend that may not see what it would get, are
            faults; `check_patterns` decides when they are not.

    Raises:
        ScenarioError: Everything that is wrong, each with file, line and key.
    """
    return checked(read_merged(path, overrides=overrides, settings=settings), must_fit=must_fit)


def as_scenario(given: Scenario | str | PathLike[str]) -> Scenario:
    """A scenario as it is; the one of a file, checked, though its models need not fit their GPUs: that is an answer.

    Raises:
        ScenarioError: Everything that is wrong with the file.
    """
    return given if isinstance(given, Scenario) else load_checked(given, must_fit=False)


def checked(document: Document, *, must_fit: bool = True) -> Scenario:
    """The same for what has been read and merged.

    Raises:
        ScenarioError: Everything that is wrong, each with file, line and key.
    """
    faults: list[Fault] = []
    parts = None
    try:
        scenario = Scenario.from_document(document)
    except ScenarioError as error:
        faults += error.faults
        if (meant := with_kinds(document, PATTERN_KINDS)) is not None:
            document = meant
            try:
                Scenario.from_document(document)
            except ScenarioError as below:
                faults += below.faults
        parts = sound_parts(document)
        scenario = parts.scenario
    known = {(fault.file, fault.key) for fault in faults}
    faults += [fault for fault in faults_of_names(scenario, parts) if (fault.file, fault.key) not in known]
    if not faults:
        scenario = with_model_lengths(scenario)
    if must_fit:
        faults += _refusal_faults(scenario, parts, whole=not faults)
    _raise(faults)
    return scenario


def check(scenario: Scenario) -> None:
    """Check everything that can be checked without simulating.

    Raises:
        ScenarioError: Everything that is wrong, each with the file and line of its key.
    """
    faults = faults_of_names(scenario)
    scenario = scenario if faults else with_model_lengths(scenario)
    _raise([*faults, *_refusal_faults(scenario, None, whole=not faults)])


def expected_refusals(scenario: Scenario) -> dict[str, list[str]]:
    """Why each pattern that is refused on purpose is refused; without a `compliance` section too."""
    marked = [name for name, pattern in scenario.hosting_patterns.items() if pattern.refused_on_purpose]
    return {name: found.reasons for name, found in unfit(scenario, marked).items()} if marked else {}


def _refusal_faults(scenario: Scenario, parts: SoundParts | None, *, whole: bool) -> list[Fault]:
    """Patterns that do not fit or may not see the prompts and should, and, where all else is sound, the reverse."""
    mended = parts.patterns if parts else {}
    loads = {key for keys in parts.workloads.values() for key in keys} if parts else set()
    judged = [
        name
        for name in scenario.hosting_patterns
        if mended.get(name, set()) <= _HARMLESS and not loads & {"phi", "data_protection"}
    ]
    misfits, refused = _barred(scenario, judged)
    wanted = {name for name, pattern in scenario.hosting_patterns.items() if pattern.refused_on_purpose}
    faults = _misfit_faults(scenario, {name: found for name, found in misfits.items() if name not in wanted})
    faults += _compliance_faults(scenario, {name: found for name, found in refused.items() if name not in wanted})
    message = "it fits its GPUs and may see the prompts, so nothing refuses it any more; take the key out"
    return faults + [
        fault_at(scenario, message, "hosting_patterns", name, "refused_on_purpose")
        for name in sorted(wanted - {*misfits, *refused} if whole else ())
    ]


def check_patterns(scenario: Scenario, names: Sequence[str]) -> dict[str, Unfit]:
    """The same before simulating these patterns: one that does not fit, or may not see the prompts, is not feasible.

    Returns:
        Why each such pattern is not, with the arithmetic; a model that does not fit comes first.

    Raises:
        NothingFits: No pattern is left.
        ScenarioError: Everything else that is wrong.
    """
    _raise(faults_of_names(scenario))
    scenario = with_model_lengths(scenario)
    misfits, refused = _barred(scenario, names)
    if len(misfits) == len(names):
        _raise(_misfit_faults(scenario, misfits), NothingFits)
    if {*misfits, *refused} == {*names}:
        _raise([*_misfit_faults(scenario, misfits), *_compliance_faults(scenario, refused)], NothingFits)
    return _unfit(misfits, refused)


def unfit(scenario: Scenario, names: Sequence[str]) -> dict[str, Unfit]:
    """The same of a scenario in which nothing else is wrong, though no pattern may be left."""
    return _unfit(*_barred(scenario, names))


def _barred(scenario: Scenario, names: Sequence[str]) -> tuple[Misfits, dict[str, list[Refusal]]]:
    misfits = {name: found for name, found in _misfits(scenario).items() if name in names}
    return misfits, {name: found for name, found in _refused(scenario).items() if name in names}


def _unfit(misfits: Misfits, refused: Mapping[str, Sequence[Refusal]]) -> dict[str, Unfit]:
    barred = {name: Unfit("compliance", [text for _, text in found]) for name, found in refused.items()}
    return barred | {name: Unfit("feasibility", [message]) for name, (_, message) in misfits.items()}


def _raise(faults: list[Fault], kind: type[ScenarioError] = ScenarioError) -> None:
    if faults:
        raise kind(in_file_order(faults))


def _misfits(scenario: Scenario) -> Misfits:
    """By pattern, the key of a cluster whose model does not fit its GPUs, and why."""
    found: Misfits = {}
    for name, pattern in scenario.hosting_patterns.items():
        for cluster, one in pattern.hosted.items():
            try:
                kv_capacity(cluster_profile(one.cluster), one.cluster.engine)
            except InfeasibleCluster as error:
                found.setdefault(name, (("hosting_patterns", name, *cluster_key(pattern, cluster)), str(error)))
            except (ProfileNotFound, ProfileError):
                continue
    return found


def _refused(scenario: Scenario) -> dict[str, list[Refusal]]:
    """By pattern, why it may not see what it would get; nothing where that cannot be said."""
    if not scenario.horizon or unusable_compliance(scenario):
        return {}
    found = {name: refusals(scenario, name) for name in scenario.hosting_patterns}
    return {name: reasons for name, reasons in found.items() if reasons}


def _compliance_faults(scenario: Scenario, refused: Mapping[str, Sequence[Refusal]]) -> list[Fault]:
    """Without a `compliance` section nothing is a fault: the pattern is shown as not allowed, as it always was."""
    if scenario.compliance is None:
        return []
    return [fault_at(scenario, message, *key) for found in refused.values() for key, message in found]


def _misfit_faults(scenario: Scenario, misfits: Misfits) -> list[Fault]:
    return [fault_at(scenario, message, *key) for key, message in misfits.values()]
