"""Names in a scenario that nothing has, and what else is wrong beyond its form, each at the line of its key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from simulator.compliance.check import unusable
from simulator.cost.checks import price_faults
from simulator.cost.overrides import override_faults, scenario_book
from simulator.cost.prices import price_book_ids
from simulator.errors import Fault, ProfileError, ProfileNotFound, meant
from simulator.experiment.image_backends import image_faults
from simulator.extensions import fault
from simulator.performance.clusters import cluster_profile
from simulator.performance.lora import unsupported
from simulator.performance.profile import available_profiles, read_profile
from simulator.performance.provisioned import unit_faults
from simulator.scenario.apis import Provisioned
from simulator.scenario.customs import customs
from simulator.scenario.patterns import api_key, cluster_key
from simulator.scenario.routing import Rules, SeedAsWritten, SeedCorrected
from simulator.scenario.rule_table import gaps, unreachable
from simulator.scenario.workloads import RecordedWorkload
from simulator.scenario.yaml_source import dotted
from simulator.workload.profiles import unknown_profile
from simulator.workload.public_holidays import public_holidays

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simulator.scenario.loading import SoundParts
    from simulator.scenario.patterns import Cluster
    from simulator.scenario.schema import Scenario

_NAMED: Final = {"model", "gpu", "tensor_parallel", "quantisation", "variant", "profile", "interconnect", "engine"}


def faults_of_names(scenario: Scenario, parts: SoundParts | None = None) -> list[Fault]:
    """All of them, of a whole scenario or of the parts of one that are sound."""
    mended = parts.patterns if parts else {}
    return [
        *_holiday_faults(scenario),
        *_profile_faults(scenario),
        *_trace_faults(scenario),
        *_engine_faults(scenario, mended),
        *_unit_faults(scenario),
        *_price_faults(scenario, mended),
        *unusable_compliance(scenario),
        *_rollout_faults(scenario),
        *_replica_faults(scenario),
        *_routing_faults(scenario),
        *_extension_faults(scenario),
        *_adapter_faults(scenario),
        *(fault_at(scenario, message, *key) for key, message in image_faults(scenario)),
    ]


def unusable_compliance(scenario: Scenario) -> list[Fault]:
    """What makes the `compliance` section itself unusable."""
    wrong, faults = unusable(scenario)
    return [*(fault_at(scenario, message, *key) for key, message in wrong), *faults]


def fault_at(scenario: Scenario, message: str, *key: str | int) -> Fault:
    """A fault at the file and line of a key."""
    file, line = scenario.origin(*key)
    return Fault(file, line, dotted(key), message)


def _holiday_faults(scenario: Scenario) -> list[Fault]:
    place = scenario.horizon.holidays if scenario.horizon else None
    if place is None:
        return []
    year = scenario.horizon.start_local.year
    try:
        public_holidays(place, year, year)
    except NotImplementedError:
        message = f"unknown country or subdivision '{place}'; expected such as US, GB-ENG or DE-BY"
        return [fault_at(scenario, message, "horizon", "holidays")]
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
                faults.append(fault_at(scenario, "expected seven rows of 24 weights, not all zero", *key))
        elif message := unknown_profile(workload.profile):
            faults.append(fault_at(scenario, message, *key))
    return faults


def _trace_faults(scenario: Scenario) -> list[Fault]:
    if not any(isinstance(workload, RecordedWorkload) for workload in scenario.workloads.values()):
        return []
    from simulator.workload.replay import replay_faults

    return [
        fault_at(scenario, message, "workloads", name, "trace", key)
        for name, workload in scenario.workloads.items()
        if isinstance(workload, RecordedWorkload)
        for key, message in replay_faults(workload)
    ]


def _engine_faults(scenario: Scenario, mended: Mapping[str, set[str]]) -> list[Fault]:
    """Of a cluster that was mended only its names are judged, and only those that are as they were written."""
    faults = []
    for name, pattern in scenario.hosting_patterns.items():
        for cluster, one in pattern.hosted.items():
            key = ("hosting_patterns", name, *cluster_key(pattern, cluster))
            touched = mended.get(name, set()) & _NAMED
            found = _unknown_names(one.cluster) if touched else cluster_faults(one.cluster)
            faults += [fault_at(scenario, text, *key, *where) for where, text in found if not touched & {*where}]
    return faults


def cluster_faults(cluster: Cluster) -> list[tuple[tuple[str, ...], str]]:
    """What is wrong with the words of a cluster, as (key within it, message)."""
    engine = cluster.engine
    faults: list[tuple[tuple[str, ...], str]] = []
    if engine.max_num_batched_tokens < engine.max_num_seqs:
        message = f"{engine.max_num_batched_tokens} is less than max_num_seqs {engine.max_num_seqs}; vLLM refuses that"
        faults.append((("engine", "max_num_batched_tokens"), message))
    try:
        profile = cluster_profile(
            cluster if _has_own_step_time(cluster) else cluster.model_copy(update={"step_time": None})
        )
        if engine.lora is not None and (why := unsupported(profile.model)):
            faults.append((("engine", "lora"), why))
    except ProfileNotFound as error:
        faults += _unknown_names(cluster) or [((), str(error))]
    except ProfileError as error:
        key = next((one for one in ("interconnect", "step-time") if one in str(error)), "profile").replace("-", "_")
        faults += [((key,), message) for message in str(error).splitlines()]
    return faults


def _has_own_step_time(cluster: Cluster) -> bool:
    """Whether its step-time model is there and takes its options; what is wrong with it is said where it stands."""
    one = cluster.step_time
    return one is not None and fault("step_times", one.name, one.options, _GIVEN["step_times"]) is None


def _unknown_names(cluster: Cluster) -> list[tuple[tuple[str, ...], str]]:
    faults: list[tuple[tuple[str, ...], str]] = []
    known = [read_profile(name) for name in available_profiles()]
    models, gpus = sorted({p.model.name for p in known}), sorted({p.gpu for p in known})
    if cluster.model not in models:
        faults.append((("model",), f"no profile for '{cluster.model}'; {_near(cluster.model, models)}"))
    if cluster.gpu not in gpus:
        faults.append((("gpu",), f"unknown GPU '{cluster.gpu}'; {_near(cluster.gpu, gpus)}"))
    return faults


def _near(name: str, known: Sequence[str]) -> str:
    """The name that was probably meant, and all of them."""
    hint = meant(name, known)
    return f"{hint}{' E' if hint else 'e'}xpected one of {', '.join(known)}"


def _unit_faults(scenario: Scenario) -> list[Fault]:
    return [
        fault_at(scenario, message, "hosting_patterns", name, *api_key(pattern, api_name), "deployment", key)
        for name, pattern in scenario.hosting_patterns.items()
        for api_name, api in pattern.metered.items()
        if isinstance(api.deployment, Provisioned)
        for key, message in unit_faults(api.deployment, api.model)
    ]


def _rollout_faults(scenario: Scenario) -> list[Fault]:
    known = ", ".join(scenario.hosting_patterns)
    return [
        fault_at(
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


def _replica_faults(scenario: Scenario) -> list[Fault]:
    """Phases that say how many replicas a pattern has that has not one cluster."""
    faults = []
    for at, phase in enumerate(scenario.rollout.phases if scenario.rollout else ()):
        pattern = scenario.hosting_patterns.get(phase.pattern)
        if phase.replicas is not None and pattern is not None and len(pattern.hosted) != 1:
            message = f"{phase.pattern} has {len(pattern.hosted) or 'no'} clusters; expected a pattern with one"
            faults.append(fault_at(scenario, message, "rollout", "phases", at, "replicas"))
    return faults


def _price_faults(scenario: Scenario, mended: Mapping[str, set[str]]) -> list[Fault]:
    if scenario.prices.book not in price_book_ids():
        message = f"no price book '{scenario.prices.book}'; expected one of {', '.join(price_book_ids())}"
        return [fault_at(scenario, message, "prices", "book")]
    if wrong := override_faults(scenario.prices):
        return [fault_at(scenario, message, "prices", "overrides", *key) for key, message in wrong]
    book = scenario_book(scenario.prices, None if scenario.horizon is None else scenario.horizon.start_local.date())
    return [
        fault_at(scenario, message, "hosting_patterns", name, *key.split("."))
        for name, pattern in scenario.hosting_patterns.items()
        for key, message in price_faults(pattern, book)
        if not {"model", "offer", "price", "deployment"} & mended.get(name, set())
    ]


def _extension_faults(scenario: Scenario) -> list[Fault]:
    """Names of what is one's own that nothing goes by, and options that it does not take."""
    return [
        fault_at(scenario, message, *key, "name")
        for key, group, one in customs(scenario)
        if (message := fault(group, one.name, one.options, _GIVEN[group]))
    ]


#: Arguments that come before the options.
_GIVEN: Final = {"routers": 1, "arrivals": 4, "lengths": 1, "step_times": 1, "api_providers": 0, "cost_lines": 1}


def _routing_faults(scenario: Scenario) -> list[Fault]:
    known = ", ".join(scenario.workloads)
    faults = []
    for name, pattern in scenario.hosting_patterns.items():
        routing, key = pattern.routing, ("hosting_patterns", name, "routing")
        faults += [
            fault_at(scenario, f"no workload '{workload}'; expected one of {known}", *key, *within)
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
            faults.append(fault_at(scenario, f"{wanted} missing for {', '.join(unsaid)}", *key, "router"))
    return faults


def _adapter_faults(scenario: Scenario) -> list[Fault]:
    """Adapters sent to a cluster that has none, or not this one."""
    faults = []
    named = {name: load.adapter for name, load in scenario.workloads.items() if load.adapter is not None}
    for name, pattern in scenario.hosting_patterns.items():
        for workload, adapter in named.items():
            routing = pattern.routing
            sent = {*routing.order(workload, tuple(pattern.hosted), tuple(pattern.metered)), routing.degrade_to}
            for cluster, one in pattern.hosted.items():
                if cluster not in sent:
                    continue
                key = ("hosting_patterns", name, *cluster_key(pattern, cluster), "engine")
                lora = one.cluster.engine.lora
                if lora is None:
                    message = f"{workload} needs adapter '{adapter}'; give this cluster `lora`"
                    faults.append(fault_at(scenario, message, *key, "lora"))
                elif lora.adapters is not None and adapter not in lora.adapters:
                    message = f"no adapter '{adapter}', which {workload} needs; there are {', '.join(lora.adapters)}"
                    faults.append(fault_at(scenario, message, *key, "lora", "adapters"))
    return faults


def _rule_faults(scenario: Scenario, routing: Rules, *key: str) -> list[Fault]:
    workloads = list(scenario.workloads)
    faults = []
    if missed := gaps(routing.rules, workloads):
        message = (
            f"no rule is for {missed[0]} ({len(missed)} such kinds of request); end with a rule without conditions"
        )
        faults.append(fault_at(scenario, message, *key))
    for rule in unreachable(routing.rules, workloads):
        message = f"rule '{rule.name}' never decides: earlier rules are for all of its requests"
        faults.append(fault_at(scenario, message, *key, routing.rules.index(rule)))
    return faults
