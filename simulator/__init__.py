"""Where should a hospital's language models run? A discrete-event simulator of LLM serving, with the bill.

    >>> import simulator
    >>> scenario = simulator.load_scenario("scenarios/ci_small.yaml")  # doctest: +SKIP
    >>> results = simulator.run(scenario, jobs=2)  # doctest: +SKIP
    >>> results.decision.recommended, results.summary()  # doctest: +SKIP

Reading guide: `simulator.scenario` says what may be asked, `simulator.workload` makes the demand,
`simulator.engine` simulates it on `simulator.performance`'s curves, `simulator.analysis` and `simulator.cost` read
what it leaves, `simulator.experiment` repeats it, `simulator.decision` judges, `simulator.report` shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.errors import (
    InfeasibleCluster,
    PriceNotFound,
    ProfileNotFound,
    ScenarioError,
    SimulatorError,
    TraceError,
    UnknownName,
)

if TYPE_CHECKING:
    from simulator import examples
    from simulator.experiment.clusters import on_cluster
    from simulator.export.kept_run import open_run
    from simulator.extensions import using
    from simulator.gate.check import check
    from simulator.gate.comparison import compare
    from simulator.report.page import write_report
    from simulator.results import Results, run
    from simulator.scenario.loading import load_scenario
    from simulator.scenario.schema import Scenario
    from simulator.study.candidates import Space
    from simulator.study.capacity import capacity
    from simulator.study.catalogue import prices, profiles
    from simulator.study.headroom import break_even
    from simulator.study.imported import convert_trace
    from simulator.study.laws import assert_laws
    from simulator.study.plan import plan
    from simulator.study.rollout import rollout
    from simulator.study.sweep import sweep
    from simulator.study.traces import fit_trace, read_trace, synthesise

__all__ = [
    "InfeasibleCluster",
    "PriceNotFound",
    "ProfileNotFound",
    "Results",
    "Scenario",
    "ScenarioError",
    "SimulatorError",
    "Space",
    "TraceError",
    "UnknownName",
    "__version__",
    "assert_laws",
    "break_even",
    "capacity",
    "check",
    "compare",
    "convert_trace",
    "examples",
    "fit_trace",
    "load_scenario",
    "on_cluster",
    "open_run",
    "plan",
    "prices",
    "profiles",
    "read_trace",
    "rollout",
    "run",
    "sweep",
    "synthesise",
    "using",
    "write_report",
]

# Imported when first used, so that `import simulator` costs nothing.
_WHERE = {
    "examples": "simulator.examples",
    "Results": "simulator.results",
    "Scenario": "simulator.scenario.schema",
    "Space": "simulator.study.candidates",
    "assert_laws": "simulator.study.laws",
    "break_even": "simulator.study.headroom",
    "capacity": "simulator.study.capacity",
    "check": "simulator.gate.check",
    "compare": "simulator.gate.comparison",
    "convert_trace": "simulator.study.imported",
    "fit_trace": "simulator.study.traces",
    "load_scenario": "simulator.scenario.loading",
    "on_cluster": "simulator.experiment.clusters",
    "open_run": "simulator.export.kept_run",
    "plan": "simulator.study.plan",
    "prices": "simulator.study.catalogue",
    "profiles": "simulator.study.catalogue",
    "read_trace": "simulator.study.traces",
    "rollout": "simulator.study.rollout",
    "run": "simulator.results",
    "sweep": "simulator.study.sweep",
    "synthesise": "simulator.study.traces",
    "using": "simulator.extensions",
    "write_report": "simulator.report.page",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    if name == "__version__":
        from simulator.version import package_version

        return package_version()
    if name not in _WHERE:
        raise AttributeError(f"module 'simulator' has no attribute '{name}'")
    from importlib import import_module

    if name == "examples":
        return import_module("simulator.examples")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return __all__
