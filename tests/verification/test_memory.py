"""Neither a long horizon nor a great volume needs more memory: what is settled is written and forgotten."""

import subprocess
import sys

import numpy as np
import pytest

from simulator.trace.canonical import all_columns, write_chunks
from simulator.trace.header import TraceHeader
from simulator.trace.request_table import RequestTable
from simulator.units import WEEK_S
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


#: Simulates a recorded week of so many requests on so many replicas; prints requests and peak memory.
REPLAY = """
import sys
from pathlib import Path
from simulator import load_scenario
from simulator.experiment.replications import replicate

scenario = load_scenario(sys.argv[1])
(summary,) = replicate(scenario, ["own"], replications=1)["own"]
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(summary.total.arrived, peak.split()[1])
"""

RECORDED = """
name: recorded
horizon: {{start: 2026-04-06, duration: 7d, time_zone: UTC}}
workloads:
  notes: {{trace: {{file: {file}, workloads: [notes]}}}}
  scans: {{trace: {{file: {file}, workloads: [scans]}}}}
hosting_patterns:
  own:
    kind: self_hosted
    cluster: {{model: llama-3.1-8b, gpu: l40s, replicas: 60, engine: {{max_model_len: 8192}}}}
    costs: {{compute: {{kind: rental, gpu_hour: 1.86 USD/h}}}}
"""


def recorded_week(path, millions):
    """A steady week, a million requests at a time; prompts and outputs are short."""

    def chunks():
        size = 2**20
        for number in range(millions):
            rng = np.random.default_rng(number)
            same = {name: rng.integers(1, most, size).astype(np.int32) for name, most in LENGTHS.items()}
            arrival_s = (np.arange(size) + number * size) * (WEEK_S / (millions * size))
            workload = rng.integers(0, 2, size).astype(np.int16)
            limit, none = np.full(size, 60, np.int32), np.zeros(size, np.int32)
            yield RequestTable(
                ("notes", "scans"),
                arrival_s,
                workload,
                *same.values(),
                limit,
                none - 1,
                none,
                np.full(size, 3, np.int8),
            )

    write_chunks(chunks(), path, TraceHeader("made", "none", WEEK_S, 0, all_columns(nested=False), ""))


LENGTHS = {"prompt_tokens": 300, "output_tokens": 60}


@pytest.mark.slow
@pytest.mark.needs("/proc")
@pytest.mark.usefixtures("month")
def test_a_longer_trace_fits_where_a_shorter_one_does(tmp_path):
    """Of two million rows, which are not held, and of four."""
    peaks_kib = {}
    for millions in (2, 4):
        file = tmp_path / f"{millions}.parquet"
        recorded_week(file, millions)
        place = tmp_path / "scenario.yaml"
        place.write_text(RECORDED.format(file=file.name))
        done = subprocess.run(
            [sys.executable, "-c", REPLAY, str(place)], check=True, capture_output=True, text=True, cwd=ROOT
        )
        arrived, peaks_kib[millions] = map(int, done.stdout.split())
        assert arrived == millions * 2**20
    assert peaks_kib[4] <= 1.1 * peaks_kib[2]


#: Sweeps so many configurations, whose answers are all the first one's; prints the peak memory of who asks. The picture
#: has all there is to it long before.
SWEEP = """
import sys
from pathlib import Path
from simulator.cli.main import main
from simulator.study import questions, sweep, sweep_table

def answers(asked, function, *, jobs, store):
    known = None
    for one in asked:
        scenario = one.sealed().scenario
        names = tuple(scenario.hosting_patterns)
        known = known or function(scenario, store, 0, names, 1, 1)
        yield one.number, [dict(row) for row in known]

sweep.answers, sweep_table.DRAWN = answers, 200
scenario, count, place = sys.argv[1:]
along = "workloads.clinical_documentation.output_tokens.mean=100:400"
sys.argv = ["simulator", "sweep", scenario, "--over", along, "--sample", "latin", "--points", count, "--quiet"]
sys.argv += ["--set", "horizon.duration=6h", "--set", "experiment.replications=1", "--jobs", "1"]
sys.argv += ["--store", f"{place}/store", "--output", f"{place}/out"]
try:
    main()
finally:
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(peak.split()[1])
"""


@pytest.mark.slow
@pytest.mark.needs("/proc")
@pytest.mark.usefixtures("month")
def test_a_sweep_of_more_configurations_fits_where_one_of_fewer_does(tmp_path):
    """Ten thousand more would take no tenth of what a sweep takes anyway."""
    peaks_kib = {}
    for count in (1_000, 4_000):
        words = [sys.executable, "-c", SWEEP, str(ROOT / "scenarios" / "ci_small.yaml"), str(count), str(tmp_path)]
        done = subprocess.run(words, check=True, capture_output=True, text=True, cwd=ROOT)
        peaks_kib[count] = int(done.stdout.split()[-1])
    grown_kib = (peaks_kib[4_000] - peaks_kib[1_000]) / 3_000
    assert 10_000 * grown_kib <= 0.1 * peaks_kib[1_000]
