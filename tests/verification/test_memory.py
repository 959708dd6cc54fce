"""Neither a long horizon nor a great volume needs more memory: what is settled is written and forgotten."""

import subprocess
import sys

import pytest

from tests.parts import ROOT

#: Simulates the health system's hybrid pattern over so many days, so many times as busy with as many replicas, tables
#: included; prints requests and peak memory.
PROGRAM = """
import sys, tempfile
from pathlib import Path
from simulator import load_scenario
from simulator.engine.simulation import prepare
from simulator.experiment.replications import replicate

horizon = {"horizon.month": None, "horizon.start": "2026-04-01", "horizon.duration": f"{sys.argv[2]}d"}
busy = int(sys.argv[3])
volume = "workloads.clinical_documentation.volume.requests_per_month"
replicas = "hosting_patterns.hybrid.cluster.replicas"
scenario = load_scenario(sys.argv[1]).with_overrides(horizon | {volume: 540_000 * busy, replicas: busy})
with tempfile.TemporaryDirectory() as folder:
    (summary,) = replicate(scenario, ["hybrid"], replications=1, folder=Path(folder))["hybrid"]
    (table,) = Path(folder).glob("*.requests.parquet")
    import pyarrow.parquet as pq
    assert pq.read_metadata(table).num_rows == summary.total.arrived
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(summary.total.arrived, peak.split()[1])
"""


def requests_and_peak_kib(days, busy=1):
    command = [sys.executable, "-c", PROGRAM, str(ROOT / "scenarios" / "health_system.yaml"), str(days), str(busy)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    arrived, peak_kib = done.stdout.split()
    return int(arrived), int(peak_kib)


@pytest.fixture(scope="module")
def month():
    # Twice, because the first one may have to compile the engine, which takes memory of its own.
    return [requests_and_peak_kib(30) for _ in range(2)][-1]


@pytest.mark.slow
@pytest.mark.needs("/proc")
@pytest.mark.parametrize(("days", "busy"), [(180, 1), (30, 4)])
def test_a_longer_and_a_busier_run_fit_where_a_month_does(month, days, busy):
    """Four times as busy is more than is drawn at once; what is drawn at once is then no more than a month's."""
    arrived, peak_kib = requests_and_peak_kib(days, busy)
    assert arrived > 3.5 * month[0]
    assert peak_kib <= 1.1 * month[1]
