"""What is learned from an imported log knows its clock, its length and where it comes from."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.trace.importers.rows import as_table, make_rows
from simulator.workload.fit import fit_workload, time_grid_s
from tests.cli.command import run
from tests.trace.importers.sample import T0, lines


@pytest.mark.parametrize("grid_s", [0.1, 0.25, 1.0, 3.0, 60.0])
def test_a_grid_is_seen_and_what_clumps_on_it_is_not_learned(grid_s):
    arrival_s = np.sort(np.random.default_rng(1).uniform(0, 6000, 3000))
    coarse_s = np.floor(arrival_s / grid_s) * grid_s + 0.5
    assert time_grid_s(coarse_s) == pytest.approx(grid_s)
    assert time_grid_s(arrival_s) is None
    assert time_grid_s(coarse_s[:5]) is None


def test_what_clumps_on_a_grid_is_not_learned_and_said(tmp_path, capsys):
    draw = np.random.default_rng(2)
    at_s = np.sort(draw.integers(0, 1000, 4000)) * 3
    text = lines(*(
        {"t": T0 + int(at), "p": 100 + int(p), "o": 10} for at, p in zip(at_s, draw.integers(0, 90, 4000), strict=True)
    ))  # fmt: skip
    (tmp_path / "log").write_text(text)
    named = ["--column", "time=t", "--column", "prompt_tokens=p", "--column", "output_tokens=o"]
    target = str(tmp_path / "t.parquet")
    assert run(["trace", "convert", "--format", "json", str(tmp_path / "log"), target, *named], capsys)[0] == 0
    code, out, _ = run(["trace", "fit", target], capsys)
    assert code == 0
    said = " ".join(out.replace("#", " ").split())
    assert "they lie on a grid of 3 s" in said
    assert "trace shift --jitter 3s" in said
    assert "burst_mean" not in out
    assert run(["trace", "shift", target, str(tmp_path / "s.parquet"), "--jitter", "3s"], capsys)[0] == 0
    _, out, _ = run(["trace", "fit", str(tmp_path / "s.parquet")], capsys)
    assert "grid" not in out
    assert "burst_mean" not in out  # Poisson once more


def test_a_time_constant_longer_than_what_was_seen_is_not_learned():
    # An hour whose rate doubles: nobody knows from it how long such a swing lasts.
    draw = np.random.default_rng(3)
    at_s = np.sort(3600 * np.sqrt(draw.uniform(0.1, 1, 12_000)))
    table = as_table(make_rows(np.round(at_s * 1e9), np.full(12_000, 9), np.full(12_000, 5)), ("requests",))
    learned = fit_workload(table, 3600.0, None)
    assert "rate_variation" not in learned.workload
    assert any("too short a time to know it" in note for note in learned.notes)


def test_a_fragment_says_what_its_trace_was_made_of(tmp_path, capsys):
    import json

    result = {"input_lens": [100] * 60, "output_lens": [10] * 60, "request_rate": "inf", "max_concurrency": 4,
              "start_times": list(np.cumsum(np.random.default_rng(4).exponential(3, 60)))}  # fmt: skip
    (tmp_path / "log").write_text(json.dumps(result))
    target = str(tmp_path / "t.csv")
    assert run(["trace", "convert", "--format", "vllm-bench", str(tmp_path / "log"), target], capsys)[0] == 0
    code, out, _ = run(["trace", "fit", target], capsys)
    assert code == 0
    said = " ".join(out.replace("#", " ").split())
    assert "Trace SHA-256" in said
    assert "arrivals follow the speed of the server" in said
