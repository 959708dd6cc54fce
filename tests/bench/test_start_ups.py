from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from simulator.bench.start_ups import COLUMNS, document, hold, read_start_ups
from simulator.cli.main import app
from simulator.errors import TraceError
from simulator.units import GIB

START = {
    "id": "a", "model": "Llama-3.1-8B-Instruct", "quant": "bf16", "kv_dtype": "bf16", "gpu": "H100-80", "n": "1",
    "tp": "1", "util": "0.9", "max_len": "16000", "version": "0.11", "reported_kv_tokens": "", "reported_verdict":
    "started", "note": "",
}  # fmt: skip


@pytest.fixture
def file(tmp_path):
    def write(*rows):
        path = tmp_path / "start_ups.csv"
        lines = [",".join(COLUMNS), *(",".join({**START, **row}[name] for name in COLUMNS) for row in rows)]
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


def test_a_start_up_by_hand(file):
    """79.18 x 0.9 - 8.03 billion weights of 2 bytes - 0.13 - sampling; 128 KiB a token."""
    (one,), skipped = read_start_ups(file({"reported_kv_tokens": "400000"}))
    (held,) = hold([one])
    parameters = 32 * (4096 * 128 * 80 + 3 * 4096 * 14_336) + 2 * 128_256 * 4096
    peak = 1024 * 128_256 * 38 + 2 * 4096 * (8192 + 2 * 1024) + 32 * 1024**2
    left = (79.18 * 0.9 - 0.13) * GIB - 2 * parameters - peak
    blocks = int(left / (16 * 128 * 1024))
    assert held.capacity.num_gpu_blocks == blocks
    assert held.ratio == pytest.approx((blocks - 1) * 16 / 400_000)
    assert held.starts
    assert not skipped


def test_verdicts_and_what_cannot_be_represented(file):
    rows = [
        {"id": "right", "reported_verdict": "refused", "max_len": "900000"},
        {"id": "wrong", "reported_verdict": "refused"},
        {"id": "model", "model": "unheard-of-20b"},
        {"id": "kv", "kv_dtype": "fp8_ds_mla"},
        {"id": "card", "gpu": "MI250"},
        {"id": "pipeline", "n": "2"},
        {"id": "neither", "util": "", "max_len": ""},
        {"id": "date", "version": "2019-08"},
        {"id": "format", "quant": "nf4"},
        {"id": "impossible", "reported_kv_tokens": "900000"},
    ]
    found, skipped = read_start_ups(file(*rows))
    said = document(hold(found), skipped)
    assert said["wrong_verdicts"] == ["wrong"]
    assert (said["rows"], said["representable"], said["with_tokens"]) == (10, 2, 0)
    assert sorted(name for ids in said["not_represented"].values() for name in ids) == sorted(
        row["id"] for row in rows[2:]
    )
    assert len(said["not_represented"]) == 8


def test_what_a_row_leaves_open_is_what_vllm_takes(file):
    """Its longest request is the model's own, its share 0.9 up to 0.20 and 0.92 since; no share, no tokens compared."""
    rows = [
        {"max_len": ""},
        {"util": "", "reported_kv_tokens": "420000"},
        {"util": "", "version": "2026-08"},
        {"kv_dtype": "fp8"},
        {"model": "gpt-oss-20b", "quant": "mxfp4"},
    ]
    (length, share, month, kv, mixture), _ = read_start_ups(file(*rows))
    assert length.engine.max_model_len == 131_072
    assert (share.engine.gpu_memory_utilisation, share.tokens) == (0.9, None)
    assert (month.engine.gpu_memory_utilisation, month.engine.version) == (0.92, (0, 27))
    sixteen, eight = (hold([one])[0].capacity.tokens for one in (share, kv))
    assert eight == pytest.approx(2 * sixteen, rel=1e-4)
    # 20.9 billion parameters, experts in 4.25 bits and padded: its card says 13.47 GiB on an H100.
    assert mixture.weights_gib_per_gpu == pytest.approx(13.47, rel=0.005)


def test_memory_left_for_kv_stands_in_for_what_is_not_stated(file):
    """40 GiB at 128 KiB a token are 327,680 of Llama 8B; whether it should start depends on a length not told."""
    open_row = {"util": "", "max_len": "", "reported_kv_tokens": "327680", "note": "40.00 GiB"}
    rows = [
        open_row | {"id": "held"},
        open_row | {"id": "refused", "reported_verdict": "refused"},
        open_row | {"id": "window", "model": "gpt-oss-20b", "quant": "mxfp4"},
        open_row | {"id": "elsewhere", "note": "about 40.00 GiB"},
    ]
    found, skipped = read_start_ups(file(*rows))
    said = document(hold(found), skipped)
    assert [case["id"] for case in said["cases"]] == ["held", "refused"]
    # One block is the null block.
    assert said["cases"][0]["modelled_tokens"] == 327_680 - 16
    assert said["wrong_verdicts"] == []
    assert sorted(name for ids in said["not_represented"].values() for name in ids) == ["elsewhere", "window"]


def test_a_card_that_is_not_named_tells_by_the_memory_left_and_a_year_by_its_last_release(file):
    rows = [
        {"id": "unnamed", "gpu": "4 x 96-180 GB", "reported_kv_tokens": "327680", "note": "40.00 GiB"},
        {"id": "unnamed and open", "gpu": "24 GB cards", "reported_kv_tokens": "327680"},
        {"id": "year", "version": "2026"},
    ]
    (unnamed, year), skipped = read_start_ups(file(*rows))
    (held,) = hold([unnamed])
    assert held.ratio == pytest.approx(1, abs=1e-4)
    assert unnamed.started is None
    assert year.engine.version == (0, 33)
    assert skipped == {"the GPU is not known": ["unnamed and open"]}


@pytest.mark.parametrize(
    ("name", "gpu"),
    [
        ("H100-80 (assumed)", "h100-80gb"),
        ("A100-80", "a100-80gb"),
        ("A100-40", "a100-40gb"),
        ("A100-80GB PCIe", "a100-80gb-pcie"),
        ("H100 NVL 94", "h100-nvl"),
        ("RTX PRO 6000", "rtx-pro-6000"),
        ("H200", "h200"),
        ("NVIDIA GeForce RTX 5070Ti", "rtx-5070-ti"),
        ("RTX 5060 Ti", "rtx-5060-ti"),
        ("NVIDIA A10", "a10"),
        ("A10G", "a10g"),
        ("RTX A6000", "rtx-a6000"),
        ("V100-SXM2-32GB", "v100-32gb"),
        ("AMD Instinct MI300X", "mi300x"),
    ],
)
def test_names_of_gpus(name, gpu, file):
    (one,), _ = read_start_ups(file({"gpu": name}))
    assert one.gpu == gpu


def test_engines_before_0_8(file):
    rows = [
        {"version": "0.6 V0", "max_len": "20000"},
        {"version": "0.7 V1"},
        {"version": "0.6 V0", "max_len": "131072"},
    ]
    (whole, first, chunked), _ = read_start_ups(file(*rows))
    assert (whole.v0, whole.engine.max_num_batched_tokens) == (True, 20_000)
    assert (first.v0, first.engine.max_num_batched_tokens, first.engine.max_num_seqs) == (False, 8192, 256)
    assert (chunked.v0, chunked.engine.max_num_batched_tokens) == (True, 2048)


def test_bad_rows_are_named_all_at_once(file):
    with pytest.raises(TraceError, match=r"(?s)csv:2: .*csv:4: "):
        read_start_ups(file({"util": "much"}, {}, {"tp": "x", "n": "x"}))


def test_the_command(file, tmp_path):
    path = file({"reported_kv_tokens": "420000"})
    shown = CliRunner().invoke(app, ["bench", "memory", str(path)])
    assert shown.exit_code == 0
    assert "1 of 1 rows represented, 0 verdicts wrong" in shown.output
    said = json.loads(CliRunner().invoke(app, ["bench", "memory", str(path), "--json"]).output)
    assert said["median_absolute_error"] < 0.01
    assert CliRunner().invoke(app, ["bench", "memory", str(tmp_path / "none.csv")]).exit_code != 0
