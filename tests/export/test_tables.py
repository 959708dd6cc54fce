"""A run as plain tables."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from simulator.export.tables import TABLES
from tests.cli.command import run
from tests.export.kept import run_directory


@pytest.fixture(params=["csv", "parquet"])
def tables(request, tmp_path, capsys):
    code, out, err = run(["export", request.param, str(run_directory()), "--output", str(tmp_path)], capsys)
    assert (code, out) == (0, "")
    assert err.count("wrote ") == len(TABLES)
    read = pd.read_csv if request.param == "csv" else pd.read_parquet
    return {name: read(tmp_path / f"{name}.{request.param}") for name in TABLES}


def test_figures_are_those_of_the_document(tables):
    summary = json.loads((run_directory() / "summary.json").read_text())
    figures = tables["figures"].set_index(["pattern", "workload", "figure"])
    assert figures.index.is_unique
    for pattern in summary["patterns"]:
        name = pattern["name"]
        assert figures.loc[name, "all", "monthly_cost_usd"]["value"] == pattern["monthly_cost_usd"]["mean"]
        p99 = figures.loc[name, "all", "e2e_p99_s"]
        assert [p99["value"], p99["ci95_low"], p99["ci95_high"]] == pytest.approx(
            [pattern["latency"]["e2e_s"]["p99"], *pattern["latency"]["e2e_s"]["ci95"]]
        )
        for workload, part in pattern["workloads"].items():
            assert figures.loc[name, workload, "arrived"]["value"] == part["requests"]["arrived"]
            assert figures.loc[name, workload, "prompt_tokens"]["value"] == part["tokens"]["prompt"]


def test_law_bill_lines_sum_to_the_cost(tables):
    summary = json.loads((run_directory() / "summary.json").read_text())
    sums = tables["costs"].groupby("pattern")["usd_a_month"].sum()
    for pattern in summary["patterns"]:
        assert sums[pattern["name"]] == pytest.approx(pattern["monthly_cost_usd"]["mean"], abs=0.05)
    assert tables["costs"]["basis"].notna().all()


def test_every_request_is_there(tables):
    summary = json.loads((run_directory() / "summary.json").read_text())
    requests = tables["requests"]
    # Patterns that share a simulation share its requests.
    for name in requests["pattern"].unique():
        pattern = next(one for one in summary["patterns"] if one["name"] == name)
        assert (requests["pattern"] == name).sum() == pattern["by_replication"]["all"]["requests_arrived"][0]


def test_what_is_no_run_is_refused(tmp_path, capsys):
    code, _, err = run(["export", "csv", str(tmp_path / "none")], capsys)
    assert code == 2
    assert "is not a run directory" in err
