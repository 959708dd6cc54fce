"""Write the traces that ship in `traces/`: `python tools/make_traces.py`.

Each is what a command makes; its header names file and seed. `vllm_cpu_monday_five_minutes.json.gz` is what clients of a
real vLLM server saw when they sent `monday_five_minutes.csv`: `python tools/prove_replay.py cpu FOLDER --trace
traces/monday_five_minutes.csv`. That trace was cut out of a Monday as it was drawn on 25 November 2026, and is kept as it
was sent: random streams have had other keys since.
"""

from __future__ import annotations

from pathlib import Path

from simulator.cli.main import app

ROOT = Path(__file__).resolve().parents[1]
TERMS = ("--licence", "Apache-2.0")

CLINICAL = (
    "chart_review", "clinical_documentation", "discharge_summary", "patient_messages", "prior_auth_appeals",
    "radiology_anomaly",
)  # fmt: skip
#: By trace, its scenario and what else `simulator trace synthesise` is told.
SHIPPED: dict[str, tuple[str, ...]] = {
    "clinic_week.csv": ("ci_small.yaml",),
    **{f"{name}_week.parquet": ("clinical_workloads.yaml", "--coarse", "--workload", name) for name in CLINICAL},
    # The week from Monday, 6 April 2026, of the month it asks about.
    "health_system_week.parquet": ("health_system.yaml", "--coarse", "--start", "2026-04-06", "--duration", "7d"),
    "stressed_monday.parquet": ("stressed_monday.yaml", "--coarse"),
}


def main(folder: Path = ROOT / "traces", *, only: str | None = None) -> None:
    """Write all of them, or one."""
    for name, (scenario, *options) in SHIPPED.items():
        if only in (None, name):
            arguments = [str(ROOT / "scenarios" / scenario), str(folder / name), *options, *TERMS]
            app(["trace", "synthesise", *arguments], standalone_mode=False)


if __name__ == "__main__":
    main()
