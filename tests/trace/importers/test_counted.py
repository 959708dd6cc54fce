"""Logs that only count: the counts are kept to the last request and token, and the rest is drawn by the seed."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.trace.canonical import read_trace
from simulator.trace.header import read_header
from simulator.trace.importers.histogram import draw_lengths
from tests.cli.command import run
from tests.parts import TRACES
from tests.trace.importers.samples import COUNTED, T0, metric, prometheus, series, usage

SERVEGEN = TRACES / "servegen_m-large_chunk-48-trace.csv"
EXACT = [sample for sample in COUNTED if sample.name != "servegen"]


def convert(name, text, folder, capsys, *options):
    source, target = folder / "log", folder / "t.parquet"
    if text is not None:
        source.write_text(text)
    return run(["trace", "convert", "--format", name, str(source), str(target), "--json", *options], capsys)


@pytest.mark.parametrize("sample", COUNTED, ids=lambda sample: sample.name)
def test_counts_are_kept_and_chance_is_the_seeds(tmp_path, capsys, sample):
    digests = []
    for seed in ("1", "1", "2"):
        code, out, err = convert(sample.name, sample.text, tmp_path, capsys, "--seed", seed)
        assert code == 0, err
        rows = json.loads(out)["rows"]
        assert rows["rows"] == rows["intervals"] + sum(rows["left_out"].values())
        assert rows["imported"] == rows["drawn"]
        assert sum(rows["left_out"].values()) == sample.left_out
        table = read_trace(tmp_path / "t.parquet")
        if sample in EXACT:
            assert (len(table), table.prompt_tokens.sum(), table.output_tokens.sum()) == sample.sums
        assert read_header(tmp_path / "t.parquet").assumed
        digests.append(json.loads(out)["header"]["sha256"])
    assert digests[0] == digests[1] != digests[2]


def test_requests_lie_in_their_interval(tmp_path, capsys):
    text = json.dumps({"data": [usage(0, 40, 400, 400), usage(2, 50, 5000, 50)]})
    assert convert("openai-usage", text, tmp_path, capsys)[0] == 0
    table = read_trace(tmp_path / "t.parquet")
    after_s = table.arrival_s + read_header(tmp_path / "t.parquet").week_offset_s - (86_400 + 1)
    assert ((after_s[:40] >= 0) & (after_s[:40] < 86_400)).all()
    assert ((after_s[40:] >= 2 * 86_400) & (after_s[40:] < 3 * 86_400)).all()
    assert set(table.prompt_tokens[:40].tolist()) == {10}


def test_the_older_export_and_the_csv(tmp_path, capsys):
    activity = {"data": [{"aggregation_timestamp": T0, "n_requests": 2, "n_context_tokens_total": 31,
                          "n_generated_tokens_total": 8, "snapshot_id": "gpt-4o", "organization_id": "x"}]}  # fmt: skip
    assert convert("openai-usage", json.dumps(activity), tmp_path, capsys)[0] == 0
    table = read_trace(tmp_path / "t.parquet")
    assert sorted(table.prompt_tokens.tolist()) == [15, 16]
    assert np.ptp(table.arrival_s) < 300
    rows = "usage_date,model,n_requests,n_context_tokens_total,n_generated_tokens_total\n2024-05-14,gpt-4o,3,30,9\n"
    options = ["--zone", "Europe/Berlin", "--label-by", "model", "--label", "gpt-4o=letters", "--smallest", "1"]
    assert convert("openai-usage", rows, tmp_path, capsys, *options)[0] == 0
    assert read_trace(tmp_path / "t.parquet").workloads == ("letters",)
    assert read_header(tmp_path / "t.parquet").week_offset_s < 2 * 86_400


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("openai-usage", json.dumps({"data": [usage(0, 5, 4, 9)]}), "fewer tokens than requests"),
        ("openai-usage", json.dumps({"data": [usage(0, 0, 4, 9)]}), "tokens without a request"),
        ("openai-usage", json.dumps({"data": [usage(0, 1.5, 4, 9)]}), "requests: not a whole number"),
        ("openai-usage", json.dumps({"data": [usage(0, 1, 4e9, 9)]}), "more than 10,000,000 tokens a request"),
        ("openai-usage", json.dumps({"data": [usage(0, 10**9, 1e10, 1e10)]}), "requests: not a whole number"),
        ("openai-usage", json.dumps({"data": [{"results": [3], "start_time": T0}]}), "not an object"),
        ("azure-monitor", json.dumps({"value": [metric("AzureOpenAIRequests", -2.0)]}), "total: not a number"),
        ("azure-monitor", json.dumps({"value": [{"name": 3, "timeseries": [3]}]}), "not an object"),
        ("vllm-prometheus", prometheus(series("request_prompt_tokens_bucket", (1, 2), "5")), "no buckets of prompt"),
        ("vllm-prometheus", prometheus(series("request_prompt_tokens_bucket", (1, -2), "+Inf")), "counts of 0 or more"),
        ("vllm-prometheus", prometheus(
            series("request_prompt_tokens_bucket", (1, 5), "9"), series("request_prompt_tokens_bucket", (1, 3), "+Inf"),
            series("request_generation_tokens_bucket", (1, 3), "+Inf")), "holds fewer requests than one below"),
        ("vllm-prometheus", prometheus(
            series("request_prompt_tokens_bucket", (1, 5), "+Inf"),
            series("request_generation_tokens_bucket", (1, 3), "+Inf")), "differ in number"),
        ("servegen", "0,1,1,Gamma,0.5\n", "expected 6 values"),
        ("servegen", "0,1,1,Poisson,0.5,1\n", "expected Gamma or Weibull"),
        ("servegen", "0,x,1,Gamma,0.5,1\n", "not a number"),
        ("servegen", "600,1,1,Gamma,1,1\n0,1,1,Gamma,1,1\n", "later than those of the row before"),
        ("servegen", "0,1e8,1,Gamma,1,1\n", "requests in a window"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(tmp_path, capsys, name, text, message):
    code, out, err = convert(name, text, tmp_path, capsys)
    assert (code, out) == (2, "")
    assert message in err
    assert not (tmp_path / "t.parquet").exists()


def test_metrics_may_have_other_names(tmp_path, capsys):
    text = json.dumps(
        {"value": [metric("Calls", 2.0), metric("ProcessedPromptTokens", 30.0), metric("GeneratedTokens", 4.0)]}
    )
    assert convert("azure-monitor", text, tmp_path, capsys)[0] == 2
    assert convert("azure-monitor", text, tmp_path, capsys, "--column", "requests=Calls")[0] == 0
    code, _, err = convert("azure-monitor", text, tmp_path, capsys, "--column", "time=x")
    assert code == 2
    assert "--column time: expected one of requests, prompt_tokens, output_tokens" in err
    code, _, err = convert("litellm", "", tmp_path, capsys, "--column", "time=x")
    assert "expected one of nothing: this format has its own" in err


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 400), st.integers(0, 30)), min_size=1, max_size=6),
    st.integers(0, 30), st.floats(0, 1),
)  # fmt: skip
def test_lengths_fill_their_buckets_and_have_their_sum(steps, beyond, where):
    bounds = [*np.cumsum([step for step, _ in steps]).tolist(), math.inf]
    counts = np.array([count for _, count in steps] + [beyond], np.float64)
    if not counts.sum():
        return
    edges = [0, *bounds[:-1], 2 * bounds[-2]]
    least = sum(count * (low + 1) for count, low in zip(counts, edges, strict=False))
    most = sum(count * high for count, high in zip(counts, edges[1:], strict=True))
    total = round(least + where * (most - least))
    found = draw_lengths(bounds, counts, total, np.random.default_rng(1))
    assert found.sum() == total
    np.testing.assert_array_equal(np.histogram(found, [edge + 0.5 for edge in edges])[0], counts)
    free = draw_lengths(bounds, counts, -1.0, np.random.default_rng(1))
    np.testing.assert_array_equal(np.histogram(free, [edge + 0.5 for edge in edges])[0], counts)


def test_lengths_of_a_client_come_from_the_file_beside_it(tmp_path, capsys):
    (tmp_path / "chunk-1-trace.csv").write_text("0,2,1,Gamma,1,0.5\n600,2,1,Gamma,1,0.5\n")
    shares = {"0": {"input_tokens": "{10: 0.5, 20: 0.5}", "output_tokens": {"7": 1.0}},
              "600": {"input_tokens": {"30": 1}, "output_tokens": {"8": 2.0, "9": 0}}}  # fmt: skip
    (tmp_path / "chunk-1-dataset.json").write_text(json.dumps(shares))
    asked = ["trace", "convert", "--format", "servegen", str(tmp_path), str(tmp_path / "t.csv")]
    assert run(asked, capsys)[0] == 0
    table = read_trace(tmp_path / "t.csv")
    early = table.arrival_s < 600
    assert set(table.prompt_tokens[early].tolist()) == {10, 20}
    assert set(table.prompt_tokens[~early].tolist()) == {30}
    assert set(table.output_tokens.tolist()) == {7, 8}
    (tmp_path / "chunk-1-dataset.json").write_text('{"0": {"input_tokens": "Jane Doe"}}')
    code, _, err = run(asked, capsys)
    assert code == 2
    assert "dataset.json: expected, by start of a window" in err
    assert "Jane" not in err


@pytest.mark.slow
@pytest.mark.needs("public traces")
def test_a_real_client_of_servegen_has_its_rate_and_its_spread(tmp_path, capsys):
    target = tmp_path / "t.parquet"
    code, out, _ = run(["trace", "convert", "--format", "servegen", str(SERVEGEN), str(target), "--json"], capsys)
    assert code == 0
    rows = [line.split(",") for line in SERVEGEN.read_text().splitlines()]
    expected = sum(600 * float(row[1]) for row in rows)
    counts = json.loads(out)["rows"]
    assert counts["rows"] == len(rows) == 2016
    # Windows have a CV near 1.2: within five standard deviations of a renewal count.
    assert counts["imported"] == pytest.approx(expected, abs=5 * 1.3 * math.sqrt(expected))
    table = read_trace(target)
    busiest = max(rows, key=lambda row: float(row[1]))
    inside = table.arrival_s[(table.arrival_s >= float(busiest[0])) & (table.arrival_s < float(busiest[0]) + 600)]
    count = 600 * float(busiest[1])
    assert len(inside) == pytest.approx(count, abs=5 * float(busiest[2]) * math.sqrt(count))


@pytest.mark.parametrize("name", ["vllm-metrics", "vllm-prometheus"])
@pytest.mark.parametrize(
    "stems",
    [
        ("sglang:prompt_tokens_histogram", "sglang:generation_tokens_histogram"),
        ("tgi_request_input_length", "tgi_request_generated_tokens"),
    ],
)
def test_other_servers_have_the_same_histograms_by_other_names(tmp_path, capsys, name, stems):
    sample = next(one for one in COUNTED if one.name == name)
    text = sample.text
    for old, new in zip(("vllm:request_prompt_tokens", "vllm:request_generation_tokens"), stems, strict=True):
        text = text.replace(old, new)
    assert "vllm:request_prompt" not in text
    code, _, err = convert(name, text, tmp_path, capsys)
    assert code == 0, err
    table = read_trace(tmp_path / "t.parquet")
    assert (len(table), table.prompt_tokens.sum(), table.output_tokens.sum()) == sample.sums
