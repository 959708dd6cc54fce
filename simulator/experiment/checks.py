"""What can be wrong with a scenario beyond its form: names that must exist, memory that must suffice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from simulator.compliance.check import refusals, unusable
from simulator.cost.checks import price_faults
from simulator.cost.overrides import override_faults, scenario_book
from simulator.cost.prices import price_book_ids
from simulator.errors import Fault, InfeasibleCluster, NothingFits, ProfileError, ProfileNotFound, ScenarioError
from simulator.experiment.model_length import with_model_lengths
from simulator.performance.memory import kv_capacity
from simulator.performance.profile import available_profiles, cluster_profile, read_profile
from simulator.performance.provisioned import unit_faults
from simulator.scenario.apis import Provisioned
from simulator.scenario.faults import in_file_order
from simulator.scenario.loading import read_merged, sound_parts
from simulator.scenario.patterns import api_key, cluster_key
from simulator.scenario.routing import Rules, SeedAsWritten, SeedCorrected
from simulator.scenario.rule_table import gaps, unreachable
from simulator.scenario.schema import Scenario
from simulator.scenario.workloads import RecordedWorkload
from simulator.scenario.yaml_source import dotted
from simulator.workload.profiles import unknown_profile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from simulator.compliance.check import Refusal
    from simulator.scenario.patterns import Cluster
    from simulator.scenario.schema import Scenario
    from simulator.scenario.yaml_source import Document


Misfits = dict[str, tuple[tuple[str, ...], str]]


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
    try:
        scenario = Scenario.from_document(document)
    except ScenarioError as error:
        scenario = sound_parts(document)
        faults += error.faults
    faults += _faults(scenario)
    if not faults:
        scenario = with_model_lengths(scenario)
    if must_fit:
        faults += [*_misfit_faults(scenario, _misfits(scenario)), *_compliance_faults(scenario, _refused(scenario))]
    _raise(faults)
    return scenario


def check(scenario: Scenario) -> None:
    """Check everything that can be checked without simulating.

    Raises:
        ScenarioError: Everything that is wrong, each with the file and line of its key.
    """
    faults = _faults(scenario)
    scenario = scenario if faults else with_model_lengths(scenario)
    faults += _misfit_faults(scenario, _misfits(scenario))
    _raise([*faults, *_compliance_faults(scenario, _refused(scenario))])


def check_patterns(scenario: Scenario, names: Sequence[str]) -> dict[str, Unfit]:
    """The same before simulating these patterns: one that does not fit, or may not see the prompts, is not feasible.

    Returns:
        Why each such pattern is not, with the arithmetic; a model that does not fit comes first.

    Raises:
        NothingFits: No pattern is left.
        ScenarioError: Everything else that is wrong.
    """
    _raise(_faults(scenario))
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


def _faults(scenario: Scenario) -> list[Fault]:
    return [
        *_holiday_faults(scenario),
        *_profile_faults(scenario),
        *_trace_faults(scenario),
        *_engine_faults(scenario),
        *_unit_faults(scenario),
        *_price_faults(scenario),
        *_unusable_compliance(scenario),
        *_rollout_faults(scenario),
        *_routing_faults(scenario),
    ]


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
    if not scenario.horizon or _unusable_compliance(scenario):
        return {}
    found = {name: refusals(scenario, name) for name in scenario.hosting_patterns}
    return {name: reasons for name, reasons in found.items() if reasons}


def _compliance_faults(scenario: Scenario, refused: Mapping[str, Sequence[Refusal]]) -> list[Fault]:
    """Without a `compliance` section nothing is a fault: the pattern is shown as not allowed, as it always was."""
    if scenario.compliance is None:
        return []
    return [_fault(scenario, message, *key) for found in refused.values() for key, message in found]


def _unusable_compliance(scenario: Scenario) -> list[Fault]:
    wrong, faults = unusable(scenario)
    return [*(_fault(scenario, message, *key) for key, message in wrong), *faults]


def _misfit_faults(scenario: Scenario, misfits: Misfits) -> list[Fault]:
    return [_fault(scenario, message, *key) for key, message in misfits.values()]


def _fault(scenario: Scenario, message: str, *key: str | int) -> Fault:
    file, line = scenario.origin(*key)
    return Fault(file, line, dotted(key), message)


def _holiday_faults(scenario: Scenario) -> list[Fault]:
    place = scenario.horizon.holidays if scenario.horizon else None
    if place is None:
        return []
    import holidays

    country, _, subdivision = place.partition("-")
    try:
        holidays.country_holidays(country, subdiv=subdivision or None)
    except NotImplementedError:
        message = f"unknown country or subdivision '{place}'; expected such as US, GB-ENG or DE-BY"
        return [_fault(scenario, message, "horizon", "holidays")]
    return []


def _profile_faults(scenario: Scenario) -> list[Fault]:
    faults = []
    for name, workload in scenario.workloads.items():
        key = ("workloads", name, "profile")
        if isinstance(workload, RecordedWorkload):
            continue
        if not isinstance(workload.profile, str):
            rows = workload.profile
            if len(rows) != 7 or not any(any(row) for row in rows):
                faults.append(_fault(scenario, "expected seven rows of 24 weights, not all zero", *key))
        elif message := unknown_profile(workload.profile):
            faults.append(_fault(scenario, message, *key))
    return faults


def _trace_faults(scenario: Scenario) -> list[Fault]:
    if not any(isinstance(workload, RecordedWorkload) for workload in scenario.workloads.values()):
        return []
    from simulator.workload.replay import replay_faults

    return [
        _fault(scenario, message, "workloads", name, "trace", key)
        for name, workload in scenario.workloads.items()
        if isinstance(workload, RecordedWorkload)
        for key, message in replay_faults(workload)
    ]


def _engine_faults(scenario: Scenario) -> list[Fault]:
    faults = []
    for name, pattern in scenario.hosting_patterns.items():
        for cluster, one in pattern.hosted.items():
            key = ("hosting_patterns", name, *cluster_key(pattern, cluster))
            faults += [_fault(scenario, message, *key, *where) for where, message in cluster_faults(one.cluster)]
    return faults


def cluster_faults(cluster: Cluster) -> list[tuple[tuple[str, ...], str]]:
    """What is wrong with the words of a cluster, as (key within it, message)."""
    engine = cluster.engine
    faults: list[tuple[tuple[str, ...], str]] = []
    if engine.max_num_batched_tokens < engine.max_num_seqs:
        message = f"{engine.max_num_batched_tokens} is less than max_num_seqs {engine.max_num_seqs}; vLLM refuses that"
        faults.append((("engine", "max_num_batched_tokens"), message))
    try:
        cluster_profile(cluster)
    except ProfileNotFound as error:
        faults += _unknown_names(cluster) or [((), str(error))]
    except ProfileError as error:
        key = "interconnect" if "interconnect" in str(error) else "profile"
        faults += [((key,), message) for message in str(error).splitlines()]
    return faults


def _unknown_names(cluster: Cluster) -> list[tuple[tuple[str, ...], str]]:
    faults: list[tuple[tuple[str, ...], str]] = []
    known = [read_profile(name) for name in available_profiles()]
    models, gpus = sorted({p.model.name for p in known}), sorted({p.gpu for p in known})
    if cluster.model not in models:
        faults.append((("model",), f"no profile for '{cluster.model}'; expected one of {', '.join(models)}"))
    if cluster.gpu not in gpus:
        faults.append((("gpu",), f"unknown GPU '{cluster.gpu}'; expected one of {', '.join(gpus)}"))
    return faults


def _unit_faults(scenario: Scenario) -> list[Fault]:
    return [
        _fault(scenario, message, "hosting_patterns", name, *api_key(pattern, api_name), "deployment", key)
        for name, pattern in scenario.hosting_patterns.items()
        for api_name, api in pattern.metered.items()
        if isinstance(api.deployment, Provisioned)
        for key, message in unit_faults(api.deployment, api.model)
    ]


def _rollout_faults(scenario: Scenario) -> list[Fault]:
    known = ", ".join(scenario.hosting_patterns)
    return [
        _fault(
            scenario,
            f"no hosting pattern '{phase.pattern}'; expected one of {known}",
            "rollout",
            "phases",
            at,
            "pattern",
        )
        for at, phase in enumerate(scenario.rollout.phases if scenario.rollout else ())
        if phase.pattern not in scenario.hosting_patterns
    ]


def _price_faults(scenario: Scenario) -> list[Fault]:
    if scenario.prices.book not in price_book_ids():
        message = f"no price book '{scenario.prices.book}'; expected one of {', '.join(price_book_ids())}"
        return [_fault(scenario, message, "prices", "book")]
    if wrong := override_faults(scenario.prices):
        return [_fault(scenario, message, "prices", "overrides", *key) for key, message in wrong]
    book = scenario_book(scenario.prices, None if scenario.horizon is None else scenario.horizon.start_local.date())
    return [
        _fault(scenario, message, "hosting_patterns", name, *key.split("."))
        for name, pattern in scenario.hosting_patterns.items()
        for key, message in price_faults(pattern, book)
    ]


def _routing_faults(scenario: Scenario) -> list[Fault]:
    known = ", ".join(scenario.workloads)
    faults = []
    for name, pattern in scenario.hosting_patterns.items():
        routing, key = pattern.routing, ("hosting_patterns", name, "routing")
        faults += [
            _fault(scenario, f"no workload '{workload}'; expected one of {known}", *key, *within)
            for within, workload in routing.workloads()
            if workload not in scenario.workloads
        ]
        if isinstance(routing, Rules):
            faults += _rule_faults(scenario, routing, *key, "rules")
        if isinstance(routing, (SeedAsWritten, SeedCorrected)) and (unsaid := routing.unsaid(scenario.workloads)):
            wanted = (
                "facts are"
                if routing.router == "hosting_pattern"
                else "whether experimental, production or sporadic is"
            )
            faults.append(_fault(scenario, f"{wanted} missing for {', '.join(unsaid)}", *key, "router"))
    return faults


def _rule_faults(scenario: Scenario, routing: Rules, *key: str) -> list[Fault]:
    workloads = list(scenario.workloads)
    faults = []
    if missed := gaps(routing.rules, workloads):
        message = (
            f"no rule is for {missed[0]} ({len(missed)} such kinds of request); end with a rule without conditions"
        )
        faults.append(_fault(scenario, message, *key))
    for rule in unreachable(routing.rules, workloads):
        message = f"rule '{rule.name}' never decides: earlier rules are for all of its requests"
        faults.append(_fault(scenario, message, *key, routing.rules.index(rule)))
    return faults
