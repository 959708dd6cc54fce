from __future__ import annotations

import csv

import pytest

from simulator.bench.measurements import COLUMNS, FURTHER, METRICS, read_measurements
from simulator.errors import TraceError
from tests.cli.command import run

ROW = {
    "id": "a-s0", "gpu": "A100-80GB-SXM", "tp": "1", "model": "meta-llama/Llama-3.1-8B-Instruct", "quant": "BF16",
    "vllm_version": "0.15.1", "max_num_seqs": "128.0", "max_num_batched_tokens": "2048", "kv_blocks": "", "stage": "0",
    "rate_rps": "2.5", "concurrency": "", "duration_s": "60", "n_requests": "150", "prompt_len_mean": "",
    "prompt_len_spec": "shared system 100 + question 447 = 547 (before retokenisation)", "output_len_mean": "",
    "output_len_spec": "20", "quality": "A", "notes": "all prompts repeat from 100", "prefix_caching": "on (warm)",
    "itl_server_ms": "12.0", "ttft_mean_ms": "40", "e2e_mean_ms": "270", "e2e_p99_ms": "300",
}  # fmt: skip


def write(path, *changes, without=()):
    rows = [ROW | change for change in changes]
    names = [
        name
        for name in dict.fromkeys([*COLUMNS, *FURTHER, *(column for column, _ in METRICS.values()), *ROW])
        if name not in without
    ]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_stages_of_one_server_are_one_experiment(tmp_path):
    path = write(tmp_path / "m.csv", {"id": "a-s1", "stage": "1", "rate_rps": "6"}, {}, {"id": "b-s0"})
    first, second = read_measurements(path, ["A"]).experiments
    assert [stage.row for stage in first.stages] == ["a-s0", "a-s1"]
    assert [stage.starts_up for stage in first.stages] == [True, False]
    assert (first.kind, first.gpu, first.quantisation, first.repeating) == ("open", "a100-80gb", "bf16", 100)
    assert (first.prompt_tokens, first.output_tokens, first.max_num_seqs) == (574, 20, 128)
    assert first.stages[0].measured == pytest.approx(
        {"itl_mean_s": 0.012, "ttft_mean_s": 0.04, "e2e_mean_s": 0.27, "e2e_p99_s": 0.3}
    )
    assert second.name == "b"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"quality": "C"}, "quality C was not asked for"),
        ({"stage": "summary"}, "sums up stages"),
        ({"stage": "offline batch"}, "'offline batch' are not replayed"),
        ({"gpu": "A100-40GB-PCIe"}, "no kernel timings for the board"),
        ({"quant": "FP8 KV"}, "does not cover"),
        ({"quant": "GGUF Q4_K_M"}, "does not cover"),
        ({"gpu": "A100-80GB (PCIe suspected)"}, "no kernel timings for the board"),
        ({"prompt_len_spec": ""}, "no prompt or output length"),
        ({"rate_rps": ""}, "no arrival rate"),
        ({"stage": "closed"}, "no concurrency"),
        ({"stage": "burst", "n_requests": ""}, "no number of requests"),
        ({"itl_server_ms": "", "ttft_mean_ms": "", "e2e_mean_ms": "", "e2e_p99_ms": ""}, "no metric"),
    ],
)
def test_rows_that_cannot_be_replayed_are_kept_with_the_reason(change, reason, tmp_path):
    collection = read_measurements(write(tmp_path / "m.csv", change), ["A"])
    assert not collection.experiments
    ((found, rows),) = collection.skipped.items()
    assert reason in found
    assert rows == ["a-s0"]


def test_a_grade_that_no_row_has_is_said_with_those_there_are(tmp_path, capsys):
    """Several in one word, as another option might take them, were no grade and no fault."""
    path = write(tmp_path / "m.csv", {}, {"id": "b-s0", "quality": "B"})
    for asked in (["A,A-,B"], ["A", "a"]):
        with pytest.raises(TraceError, match=rf"m\.csv: quality: no row is of grade '{asked[-1]}'; the file has A, B$"):
            read_measurements(path, asked)
    assert len(read_measurements(path, ["A", "A-"]).experiments) == 1
    arguments = ["bench", "validate", "--measurements", str(path), "--quality", "A,B", "--json"]
    code, out, err = run(arguments, capsys)
    assert (code, out) == (2, "")
    assert "no row is of grade 'A,B'" in err


@pytest.mark.parametrize(
    ("text", "format_"),
    [
        ("W4A16 GPTQ compressed-tensors", "w4a16"),
        ("AWQ int4", "w4a16"),
        ("FP8", "fp8"),
        ("FP16/BF16", "bf16"),
        ("W8A8", "int8"),
        ("MXFP4", "mxfp4"),
        ("NVFP4", "nvfp4"),
    ],
)
def test_weight_formats_are_understood(text, format_, tmp_path):
    collection = read_measurements(write(tmp_path / "m.csv", {"quant": text}), ["A"])
    assert collection.experiments[0].quantisation == format_
    assert collection.experiments[0].kv_dtype == "auto"


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("BF16 weights, FP8 KV", "bf16"),
        ("FP8 weights + FP8 KV cache", "fp8"),
        ("AWQ int4 with fp8-kv", "w4a16"),
        ("MXFP4 and FP8 KV", "mxfp4"),
    ],
)
def test_the_cache_may_have_a_format_of_its_own(text, weights, tmp_path):
    """It doubles the room and is no word about the weights; a column says it, too, and wins."""
    collection = read_measurements(write(tmp_path / "m.csv", {"quant": text}), ["A"])
    assert (collection.experiments[0].quantisation, collection.experiments[0].kv_dtype) == (weights, "fp8")
    said = read_measurements(write(tmp_path / "m.csv", {"quant": text, "kv_dtype": "bfloat16"}), ["A"])
    assert said.experiments[0].kv_dtype == "bfloat16"


@pytest.mark.parametrize(
    ("text", "gpu"),
    [("H100 NVL", "h100-nvl"), ("h200", "h200"), ("A100-80GB-PCIe", "a100-80gb-pcie"), ("RTX 4090", "rtx-4090")],
)
def test_boards_are_known_by_their_public_names(text, gpu, tmp_path):
    assert read_measurements(write(tmp_path / "m.csv", {"gpu": text}), ["A"]).experiments[0].gpu == gpu


def test_bad_files_are_refused_with_all_faults(tmp_path, capsys):
    path = write(tmp_path / "m.csv", {"rate_rps": "fast"}, {"tp": "-1", "itl_server_ms": "nan"})
    with pytest.raises(TraceError) as caught:
        read_measurements(path, ["A"])
    assert [line.split(": ", 1)[1] for line in str(caught.value).splitlines()] == [
        "rate_rps: 'fast' is not a number", "tp: '-1' is not a number", "itl_server_ms: 'nan' is not a number"
    ]  # fmt: skip
    with pytest.raises(TraceError, match="lacks the columns rate_rps, notes"):
        read_measurements(write(path, {}, without=("rate_rps", "notes")), ["A"])
    for bad in (tmp_path / "missing.csv", tmp_path):
        code, out, err = run(["bench", "validate", "--measurements", str(bad)], capsys)
        assert (code, out) == (2, "")
        assert "cannot be read" in err


def test_what_a_column_says_need_not_be_guessed(tmp_path):
    stated = {
        "eager": "true", "gpu_memory_utilization": "0.8", "prefix_caching": "off", "kv_dtype": "fp8",
        "long_prefill_token_threshold": "512", "repeating": "40", "prefix_groups": "4", "prefix_group_tokens": "64",
        "prompt_len_sigma": "0.3", "output_len_sigma": "0.5",
    }  # fmt: skip
    told = read_measurements(write(tmp_path / "m.csv", stated), ["A"]).experiments[0]
    assert (told.eager, told.memory_share, told.prefix_caching, told.kv_dtype) == (True, 0.8, False, "fp8")
    assert (told.long_prefill_threshold, told.prompt_sigma, told.output_sigma) == (512, 0.3, 0.5)
    assert (told.repeating, told.groups, told.group_tokens) == (40, 4, 64)
    # A column wins over the note, which says that prompts repeat, and over one that mentions eager mode.
    noted = {"notes": "prompts repeat from 100 (10 groups x 10); ENFORCE EAGER; gpu_mem 0.75"}
    guessed = read_measurements(write(tmp_path / "m.csv", noted), ["A"]).experiments[0]
    assert (guessed.repeating, guessed.groups, guessed.group_tokens) == (100, 10, 105)
    assert (guessed.eager, guessed.memory_share, guessed.prefix_caching, guessed.kv_dtype) == (True, 0.75, True, "auto")
    plain = read_measurements(write(tmp_path / "m.csv", noted | {"eager": "false", "repeating": "false"}), ["A"])
    assert (plain.experiments[0].eager, plain.experiments[0].repeating) == (False, 0)


def test_wrong_words_in_columns_are_refused(tmp_path):
    path = write(tmp_path / "m.csv", {"eager": "maybe", "kv_dtype": "int3", "repeating": "some"})
    with pytest.raises(TraceError) as caught:
        read_measurements(path, ["A"])
    assert [line.split(": ", 1)[1] for line in str(caught.value).splitlines()] == [
        "eager: 'maybe', expected one of true, false, or nothing",
        "kv_dtype: 'int3', expected one of auto, bfloat16, fp8, fp8_e4m3, fp8_e5m2, or nothing",
        "repeating: 'some', expected one of true, false, a number, or nothing",
    ]


@pytest.mark.parametrize(
    ("change", "kind", "at_once"),
    [
        ({"stage": "single", "rate_rps": ""}, "single", 1),
        ({"stage": "closed", "rate_rps": "", "concurrency": "8"}, "closed", 8),
        ({"stage": "even"}, "even", 0),
        ({"stage": "open", "concurrency": "32"}, "open", 32),
    ],
)
def test_kinds_of_load(change, kind, at_once, tmp_path):
    found = read_measurements(write(tmp_path / "m.csv", change), ["A"]).experiments[0]
    assert (found.kind, found.stages[0].concurrency) == (kind, at_once)


@pytest.mark.parametrize("spec", ["9" * 400, "9" * 5000, "99999999999.0"])
@pytest.mark.parametrize("name", ["output_len_spec", "prompt_len_spec"])
def test_a_length_that_no_request_has_is_not_replayed(tmp_path, name, spec):
    found = read_measurements(write(tmp_path / "m.csv", {name: spec, "id": "b"}), ["A"])
    assert found.experiments == []
    assert found.skipped == {"no request is as long as it states": ["b"]}


def test_a_number_that_no_measurement_has_is_refused(tmp_path):
    with pytest.raises(TraceError, match="max_num_seqs: '1e300' is not a number"):
        read_measurements(write(tmp_path / "m.csv", {"max_num_seqs": "1e300"}), ["A"])
