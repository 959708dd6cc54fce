"""How much faster a sweep is on two workers, by what its processes need; wall time too, where nothing else runs.

`pytest -m benchmark -s tests/benchmarks/test_sweep_scaling.py`
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.parts import ROOT, SCENARIOS

#: Sweeps so many one-day configurations on so many processes; prints when what was reached, and who needed how long.
PROGRAM = """
import json, resource, sys, time
from pathlib import Path
from simulator.cli.main import main

scenario, count, jobs, folder = sys.argv[1:]
begun_s = time.perf_counter()
along = [f"--over=workloads.{name}.output_tokens.mean={low}:{high}" for name, low, high in (
    ("clinical_documentation", 100, 400), ("radiology_anomaly", 100, 500))]
words = ["--sample", "latin", "--points", count, "--set", "horizon.duration=1d", "--set", "experiment.replications=1"]
place = ["--store", f"{folder}/store", "--output", f"{folder}/out", "--quiet", "--jobs", jobs]
sys.argv = ["simulator", "sweep", scenario, *along, *words, *place]
try:
    main()
finally:
    from joblib.externals.loky import get_reusable_executor
    if int(jobs) > 1:
        get_reusable_executor().shutdown(wait=True)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    spent_s = [one.ru_utime + one.ru_stime for one in used]
    facts = {"wall_s": time.perf_counter() - begun_s, "client_s": spent_s[0], "workers_s": spent_s[1]}
    Path(folder, "facts.json").write_text(json.dumps(facts | {"client_mib": used[0].ru_maxrss / 1024}))
"""


def swept(folder, count, jobs):
    folder.mkdir()
    words = [str(SCENARIOS / "ci_small.yaml"), str(count), str(jobs), str(folder)]
    subprocess.run([sys.executable, "-c", PROGRAM, *words], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return json.loads((folder / "facts.json").read_text())


@pytest.mark.benchmark
def test_two_workers(tmp_path, sized):
    """What start-up takes is that of four configurations; the rest of the client's time is its own part of the work."""
    count = sized(2000)
    start = swept(tmp_path / "start", 4, 2)
    start = swept(tmp_path / "start again", 4, 2)
    one, two = (swept(tmp_path / str(jobs), count, jobs) for jobs in (1, 2))
    table = [(tmp_path / str(jobs) / "out" / "sweep.parquet").read_bytes() for jobs in (1, 2)]
    assert table[0] == table[1]
    client_s, workers_s = (two[name] - start[name] for name in ("client_s", "workers_s"))
    alone_s = two["client_s"] + two["workers_s"] / 2.0
    share = client_s / (client_s + workers_s)
    print(f"\n{count} one-day configurations: one worker {one['wall_s']:.1f} s, two {two['wall_s']:.1f} s")
    print(f"  by the clock: {one['wall_s'] / two['wall_s']:.2f} times as fast")
    print(f"  by processor time, as if workers waited while the client works: {one['client_s'] / alone_s:.2f} times")
    print(f"  client {client_s:.1f} s and workers {workers_s:.1f} s beside start-up: {share:.1%} is the client's")
    print(f"  start-up {start['client_s']:.1f} s; the client's peak {two['client_mib']:.0f} MiB")
