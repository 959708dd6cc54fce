"""Write the traces that ship in `traces/`: `python tools/make_traces.py`."""

from __future__ import annotations

from pathlib import Path

import simulator
from simulator.workload.synthesis import synthesise
from simulator.workload.trace import write_trace

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """One week of one clinic, the demand of `scenarios/ci_small.yaml` in its first replication."""
    scenario = simulator.load_scenario(ROOT / "scenarios" / "ci_small.yaml")
    target = ROOT / "traces" / "clinic_week.csv"
    header = write_trace(
        synthesise(scenario, 0),
        target,
        source=f"synthetic: scenarios/ci_small.yaml, seed {scenario.experiment.seed}, replication 0",
        licence="Apache-2.0",
        span_s=scenario.horizon.duration_s,
    )
    print(f"{target.relative_to(ROOT)}: {header}")


if __name__ == "__main__":
    main()
