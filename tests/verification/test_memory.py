"""A long horizon needs no more memory than a month: what is settled is written and forgotten."""

import subprocess
import sys

import pytest

from tests.parts import ROOT

#: Simulates the health system's hybrid pattern over so many days, tables included; prints requests and peak memory.
PROGRAM = """
import sys, tempfile
from pathlib import Path
from simulator import load_scenario
from simulator.engine.simulation import prepare
from simulator.experiment.replications import replicate

horizon = {"horizon.month": None, "horizon.start": "2026-04-01", "horizon.duration": f"{sys.argv[2]}d"}
scenario = load_scenario(sys.argv[1]).with_overrides(horizon)
with tempfile.TemporaryDirectory() as folder:
    (summary,) = replicate(scenario, ["hybrid"], replications=1, folder=Path(folder))["hybrid"]
    (table,) = Path(folder).glob("*.requests.parquet")
    import pyarrow.parquet as pq
    assert pq.read_metadata(table).num_rows == summary.total.arrived
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(summary.total.arrived, peak.split()[1])
"""


def requests_and_peak_kib(days):
    command = [sys.executable, "-c", PROGRAM, str(ROOT / "scenarios" / "health_system.yaml"), str(days)]
    # Twice, because the first one may have to compile the engine, which takes memory of its own.
    done = [subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT) for _ in range(2)]
    arrived, peak_kib = done[-1].stdout.split()
    return int(arrived), int(peak_kib)


@pytest.mark.slow
@pytest.mark.needs("/proc")
def test_half_a_year_fits_where_a_month_does():
    month, month_kib = requests_and_peak_kib(30)
    longer, longer_kib = requests_and_peak_kib(180)
    assert longer > 5 * month
    assert longer_kib <= 1.1 * month_kib
