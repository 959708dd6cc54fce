"""What is exported for Prometheus says what the run says."""

from __future__ import annotations

import json
import re
from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.errors import RunStoreError
from simulator.export.kept_run import read_run
from simulator.export.openmetrics import Family, Series, lines
from simulator.export.prometheus import openmetrics
from simulator.export.vllm_metrics import HISTOGRAMS, Backend, finer, histogram
from tests.cli.command import run as command
from tests.export.kept import run_directory

SAMPLE = re.compile(r"^([a-z0-9_:]+)\{(.*)\} (\S+) (\S+)$")
E2E = next(kind for kind in HISTOGRAMS if kind.name == "e2e_request_latency_seconds")


@pytest.fixture(scope="module")
def run():
    return read_run(run_directory())


@pytest.fixture(scope="module")
def text(run):
    return "".join(openmetrics(run, interval_s=3600.0))


@pytest.fixture(scope="module")
def last(text):
    """The last value of each series, by name and labels."""
    found = {}
    for line in text.splitlines():
        if sample := SAMPLE.match(line):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', sample[2]))
            found[sample[1], tuple(sorted(labels.items()))] = float(sample[3])
    return found


def total(last, name, **labels):
    return sum(value for (one, have), value in last.items() if one == name and labels.items() <= dict(have).items())


def quantile(share, buckets):
    """`histogram_quantile` of Prometheus: linear within the bucket that holds the rank."""
    bounds = sorted(buckets)
    rank = share * buckets[bounds[-1]]
    number = next(number for number, bound in enumerate(bounds) if buckets[bound] >= rank)
    if bounds[number] == np.inf:
        return bounds[-2]
    low, before = (bounds[number - 1], buckets[bounds[number - 1]]) if number else (0.0, 0.0)
    return low + (bounds[number] - low) * (rank - before) / (buckets[bounds[number]] - before)


def buckets(last, name, **labels):
    found = defaultdict(float)
    for (one, have), value in last.items():
        if one == f"vllm:{name}_bucket" and labels.items() <= dict(have).items():
            found[float(dict(have)["le"].replace("+Inf", "inf"))] += value
    return dict(found)


def test_the_text_is_openmetrics(text):
    assert text.endswith("# EOF\n")
    families = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)
    assert len(families) == len({name for name, _ in families})
    kinds = dict(families)
    current = None
    for line in text.splitlines()[:-1]:
        if line.startswith("# TYPE"):
            current = line.split()[2]
        elif not line.startswith("#"):
            name = SAMPLE.match(line)[1]
            suffixes = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
            assert name in {current + suffix for suffix in suffixes[kinds[current]]}


def test_times_are_those_of_the_simulated_calendar(text, run):
    stamps = sorted({float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if not line.startswith("#")})
    assert stamps[0] == pd.Timestamp("2026-04-06", tz="UTC").timestamp()
    assert len(stamps) == 25
    assert stamps[-1] - stamps[0] == run.horizon_s == 86_400.0


@pytest.mark.parametrize("pattern", ["api", "rented", "bought", "hybrid"])
def test_law_counts_are_those_of_the_requests(last, run, pattern):
    rows = run.tables.requests(pattern)
    done = rows[rows["outcome"] == "completed"]
    labels = {"hosting_pattern": pattern}
    assert total(last, "vllm:request_success_total", **labels) == len(done)
    assert total(last, "vllm:e2e_request_latency_seconds_count", **labels) == len(done)
    assert total(last, "vllm:generation_tokens_total", **labels) == done["output_tokens"].sum()
    assert total(last, "vllm:prompt_tokens_total", **labels) == rows[rows.first_token_s.notna()]["prompt_tokens"].sum()
    waited_s = (done["last_token_s"] - done["arrival_s"]).sum()
    assert total(last, "vllm:e2e_request_latency_seconds_sum", **labels) == pytest.approx(waited_s)
    assert total(last, "vllm:inter_token_latency_seconds_count", **labels) == (done["output_tokens"] - 1).sum()


@pytest.mark.parametrize("pattern", ["api", "rented", "hybrid"])
@pytest.mark.parametrize(
    ("metric", "name"), [("e2e_p99_s", "e2e_request_latency_seconds"), ("ttft_p99_s", "time_to_first_token_seconds")]
)
def test_the_p99_of_the_buckets_is_ours(last, run, pattern, metric, name):
    found = next(one for one in run.published["patterns"] if one["name"] == pattern)
    ours = found["by_replication"]["all"][metric][0]
    assert quantile(0.99, buckets(last, name, hosting_pattern=pattern)) == pytest.approx(ours, rel=0.05)


@given(st.lists(st.floats(0.31, 7000.0), min_size=20, max_size=200))
def test_law_a_quantile_from_the_slowest_tenth_is_within_5_per_cent(values):
    rows = pd.DataFrame({"arrival_s": 0.0, "last_token_s": values})
    family = histogram(E2E, [[Backend({}, rows, hosted=False)]], np.array([0.0, 8000.0]), fine=True)
    found = {float(one.labels["le"]): one.values[-1] for one in family.series if one.suffix == "_bucket"}
    ours = np.quantile(values, 0.99, method="inverted_cdf")
    assert quantile(0.99, found) == pytest.approx(ours, rel=0.0501)
    assert list(found.values()) == sorted(found.values())


def test_buckets_grow_with_time_and_bound(text):
    before = defaultdict(float)
    for line in text.splitlines():
        sample = SAMPLE.match(line)
        if sample and sample[1].endswith(("_bucket", "_total", "_count")):
            key = sample[1], sample[2]
            assert float(sample[3]) >= before[key]
            before[key] = float(sample[3])


def test_vllms_own_buckets_stay_when_there_are_finer_ones():
    for kind in HISTOGRAMS:
        assert set(kind.bounds) <= set(finer(kind.bounds, 0.0))
        assert finer(kind.bounds, np.inf) == kind.bounds


def test_gauges_are_levels(last, run):
    levels = run.tables.levels("rented")
    end = levels[levels["start_s"] == levels["start_s"].max()].iloc[0]
    labels = {"hosting_pattern": "rented"}
    assert total(last, "vllm:num_requests_running", **labels) == pytest.approx(end["sequence_s"] / 3600)
    assert total(last, "simulator:gpu_busy_fraction", **labels) == pytest.approx(end["busy_s"] / 3600)
    assert 0.0 <= total(last, "vllm:kv_cache_usage_perc", **labels) <= 1.0
    assert total(last, "simulator:monthly_cost_usd", **labels) == 730.0


def test_labels_are_escaped():
    series = Series("", {"a": 'x"\\\n'}, np.array([1.5]))
    assert list(lines([Family("m", "gauge", "a\nb", [series])], np.array([1.0]))) == [
        "# HELP m a\\nb\n# TYPE m gauge\n",
        'm{a="x\\"\\\\\\n"} 1.5 1.000\n',
        "# EOF\n",
    ]


@given(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('"\\\n\r{},= ')))
def test_law_a_label_is_read_as_it_was(value):
    """By the rules of OpenMetrics: a backslash stands before a backslash, a quote or the n of a new line."""
    (_, sample, _) = lines([Family("m", "gauge", value, [Series("", {"a": value}, np.array([1.5]))])], np.array([1.0]))
    quoted = re.fullmatch(r'm\{a="((?:[^"\\\n]|\\["\\n])*)"\} 1\.5 1\.000\n', sample)
    assert quoted is not None
    assert re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], quoted[1]) == value


def test_what_cannot_be_exported_is_refused(run, tmp_path, capsys):
    with pytest.raises(RunStoreError, match="no hosting pattern none; it has api, rented"):
        openmetrics(run, interval_s=60.0, patterns=["none"])
    with pytest.raises(RunStoreError, match="too many"):
        openmetrics(run, interval_s=0.01)
    target = tmp_path / "m.om"
    wrong = ["--interval", "soon", "--start", "monday"]
    code, _, err = command(["export", "prometheus", str(run.path), "--output", str(target), *wrong], capsys)
    assert code == 2
    assert "--interval" in err
    assert "--start" in err
    assert command(["export", "prometheus", str(tmp_path)], capsys)[0] == 2
    assert list(tmp_path.iterdir()) == []


def test_a_run_can_be_moved_in_time(run, tmp_path, capsys):
    target = tmp_path / "m.om"
    options = ["--output", str(target), "--start", "2026-11-01", "--interval", "6h", "--pattern", "api"]
    assert command(["export", "prometheus", str(run.path), *options], capsys)[0] == 0
    first = next(line for line in target.read_text().splitlines() if not line.startswith("#"))
    assert float(first.rsplit(" ", 1)[1]) == pd.Timestamp("2026-11-01", tz="UTC").timestamp()
    assert "rented" not in target.read_text()


def test_the_dashboard_asks_for_what_is_exported(text, capsys):
    code, out, _ = command(["export", "grafana"], capsys)
    dashboard = json.loads(out)
    assert code == 0
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked = {name for expr in expressions for name in re.findall(r"(?:vllm|simulator):\w+", expr)}
    assert asked <= {SAMPLE.match(line)[1] for line in text.splitlines() if not line.startswith("#")}
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
