"""What can be wrong with a scenario beyond its form: names that must exist, memory that must suffice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.cost.checks import price_faults
from simulator.cost.prices import load_price_book, price_book_ids
from simulator.errors import Fault, InfeasibleCluster, ProfileNotFound, ScenarioError
from simulator.performance.memory import kv_capacity
from simulator.performance.profile import available_profiles, load_profile, read_profile
from simulator.scenario.merging import dotted
from simulator.scenario.patterns import ApiPattern
from simulator.workload.profiles import unknown_profile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.performance.profile import PerformanceProfile
    from simulator.scenario.patterns import Cluster
    from simulator.scenario.schema import Scenario


def check(scenario: Scenario) -> None:
    """Check everything that can be checked without simulating.

    Raises:
        ScenarioError: Everything that is wrong, each with the file and line of its key.
    """
    faults = [*_profile_faults(scenario), *_engine_faults(scenario), *_price_faults(scenario)]
    faults += [_misfit(scenario, name, message) for name, message in _misfits(scenario).items()]
    _raise(faults)


def check_patterns(scenario: Scenario, names: Sequence[str]) -> dict[str, list[str]]:
    """The same before simulating these patterns: one whose model does not fit its GPUs is merely not feasible.

    Returns:
        Why each such pattern is not, with the arithmetic.

    Raises:
        ScenarioError: Everything else that is wrong, or no pattern is left.
    """
    faults = [*_profile_faults(scenario), *_engine_faults(scenario), *_price_faults(scenario)]
    misfits = {name: message for name, message in _misfits(scenario).items() if name in names}
    if len(misfits) == len(names):
        faults += [_misfit(scenario, name, message) for name, message in misfits.items()]
    _raise(faults)
    return {name: [message] for name, message in misfits.items()}


def _raise(faults: list[Fault]) -> None:
    if faults:
        raise ScenarioError(sorted(faults, key=lambda fault: (fault.file, fault.line, fault.key)))


def _misfits(scenario: Scenario) -> dict[str, str]:
    """By pattern, why its model does not fit its GPUs."""
    found = {}
    for name, pattern in scenario.hosting_patterns.items():
        if not isinstance(pattern, ApiPattern) and not cluster_faults(pattern.cluster):
            try:
                kv_capacity(cluster_profile(pattern.cluster), pattern.cluster.engine)
            except InfeasibleCluster as error:
                found[name] = str(error)
    return found


def _misfit(scenario: Scenario, name: str, message: str) -> Fault:
    return _fault(scenario, message, "hosting_patterns", name, "cluster")


def _fault(scenario: Scenario, message: str, *key: str | int) -> Fault:
    file, line = scenario.origin(*key)
    return Fault(file, line, dotted(key), message)


def _profile_faults(scenario: Scenario) -> list[Fault]:
    faults = []
    for name, workload in scenario.workloads.items():
        key = ("workloads", name, "profile")
        if not isinstance(workload.profile, str):
            rows = workload.profile
            if len(rows) != 7 or not any(any(row) for row in rows):
                faults.append(_fault(scenario, "expected seven rows of 24 weights, not all zero", *key))
        elif message := unknown_profile(workload.profile):
            faults.append(_fault(scenario, message, *key))
    return faults


def _engine_faults(scenario: Scenario) -> list[Fault]:
    faults = []
    for name, pattern in scenario.hosting_patterns.items():
        if isinstance(pattern, ApiPattern):
            continue
        key = ("hosting_patterns", name, "cluster")
        faults += [_fault(scenario, message, *key, *where) for where, message in cluster_faults(pattern.cluster)]
    return faults


def cluster_faults(cluster: Cluster) -> list[tuple[tuple[str, ...], str]]:
    """What is wrong with the words of a cluster, as (key within it, message)."""
    engine = cluster.engine
    faults: list[tuple[tuple[str, ...], str]] = []
    if engine.max_num_batched_tokens < engine.max_num_seqs:
        message = f"{engine.max_num_batched_tokens} is less than max_num_seqs {engine.max_num_seqs}; vLLM refuses that"
        faults.append((("engine", "max_num_batched_tokens"), message))
    known = [read_profile(name) for name in available_profiles()]
    models, gpus = sorted({p.model.name for p in known}), sorted({p.gpu for p in known})
    if cluster.model not in models:
        faults.append((("model",), f"no profile for '{cluster.model}'; expected one of {', '.join(models)}"))
    if cluster.gpu not in gpus:
        faults.append((("gpu",), f"unknown GPU '{cluster.gpu}'; expected one of {', '.join(gpus)}"))
    if faults:
        return faults
    try:
        cluster_profile(cluster)
    except ProfileNotFound as error:
        faults.append(((), str(error)))
    return faults


def cluster_profile(cluster: Cluster) -> PerformanceProfile:
    """The measured curves a cluster is simulated with. Raises ProfileNotFound."""
    return load_profile(
        model=cluster.model,
        gpu=cluster.gpu,
        tensor_parallel=cluster.tensor_parallel,
        quantisation=cluster.quantisation,
        variant=cluster.variant,
    )


def _price_faults(scenario: Scenario) -> list[Fault]:
    if scenario.prices.book not in price_book_ids():
        message = f"no price book '{scenario.prices.book}'; expected one of {', '.join(price_book_ids())}"
        return [_fault(scenario, message, "prices", "book")]
    book = load_price_book(scenario.prices.book)
    return [
        _fault(scenario, message, "hosting_patterns", name, *key.split("."))
        for name, pattern in scenario.hosting_patterns.items()
        for key, message in price_faults(pattern, book)
    ]
