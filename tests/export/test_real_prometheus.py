"""A real Prometheus loads a simulated week and finds our p99, and answers every panel of the dashboard.

Needs `prometheus` and `promtool` on the path (`tools/install_prometheus.sh` gets Debian's); skipped without.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import urllib.parse
import urllib.request
from importlib import resources

import pytest

from simulator.cli.main import main
from tests.parts import ROOT
from tests.waiting import PATIENCE_S, until

PATTERN = "hybrid"

pytestmark = [pytest.mark.slow, pytest.mark.needs("Prometheus")]


def simulator(*arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    assert stop.value.code == 0


@pytest.fixture(scope="module")
def week(tmp_path_factory):
    """A kept week of two hosting patterns that both answer requests."""
    folder = tmp_path_factory.mktemp("week")
    busy = ["--set", "hosting_patterns.hybrid.routing.max_in_flight=1", "--pattern", PATTERN, "--replications", 2]
    scenario = ROOT / "scenarios" / "ci_small.yaml"
    simulator("run", scenario, "--quiet", "--output", folder / "run", "--store", folder / "store", *busy)
    return folder / "run"


@pytest.fixture(scope="module")
def ask(week, tmp_path_factory):
    """A query at the end of the week; the answer is a list of labels and values."""
    folder = tmp_path_factory.mktemp("prometheus")
    simulator("export", "prometheus", week, "--output", folder / "metrics.om", "--interval", "15min")
    data = folder / "data"
    load = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(folder / "metrics.om"), str(data)]
    subprocess.run(load, check=True, capture_output=True)
    (folder / "prometheus.yml").write_text("global: {}\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={data}",
            "--storage.tsdb.retention.time=100y",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    manifest = json.loads((week / "manifest.json").read_text())
    end = manifest["horizon"]["end"]

    def query(expression):
        asked = urllib.parse.urlencode({"query": expression, "time": end})
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?{asked}", timeout=PATIENCE_S) as answer:
            return [(row["metric"], float(row["value"][1])) for row in json.load(answer)["data"]["result"]]

    def answers():
        try:
            return query("vector(1)")
        except OSError:
            return False

    try:
        until(answers, server)
        yield query
    finally:
        server.terminate()
        server.wait(PATIENCE_S)


@pytest.mark.parametrize(
    ("metric", "name"), [("e2e_p99_s", "e2e_request_latency_seconds"), ("ttft_p99_s", "time_to_first_token_seconds")]
)
def test_its_quantile_is_our_p99(ask, week, metric, name):
    (pattern,) = json.loads((week / "summary.json").read_text())["patterns"]
    ours = pattern["by_replication"]["all"][metric][0]
    ((_, theirs),) = ask(f"histogram_quantile(0.99, sum by (le) (vllm:{name}_bucket))")
    print(f"{name}: Prometheus {theirs:.4f} s, simulator {ours:.4f} s, {theirs / ours - 1:+.2%}")
    assert theirs == pytest.approx(ours, rel=0.05)


def test_its_counts_are_ours(ask, week):
    (pattern,) = json.loads((week / "summary.json").read_text())["patterns"]
    found = ask("sum(vllm:request_success_total)")
    arrived = pattern["by_replication"]["all"]["requests_arrived"][0]
    assert found[0][1] == pytest.approx(arrived, rel=0.001)


def test_every_panel_of_the_dashboard_is_answered(ask):
    dashboard = json.loads((resources.files("simulator.export") / "data" / "grafana.json").read_text("utf-8"))
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            expression = target["expr"].replace("$window", "1d")
            expression = re.sub(r"\$(model_name|hosting_pattern)", ".*", expression)
            assert ask(expression), f"{panel['title']}: {expression}"
