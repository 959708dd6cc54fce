"""What fuzzing has found, one of each kind: every one of them ended in 70, or did not end."""

from __future__ import annotations

import csv
import gzip
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from simulator.bench.start_ups import COLUMNS
from simulator.cost.prices import read_shipped
from simulator.performance.architecture import known_model
from simulator.reading import parse_json, read_unpacked
from tests.bench.test_measurements import write as write_measurements
from tests.bench.test_start_ups import START
from tests.fuzz.command import run
from tests.fuzz.sound import MEASURE, engine
from tests.fuzz.variants import MODELS
from tests.parts import ROOT, SCENARIOS
from tests.performance.test_config_gemma import E2B, wrapped
from tests.performance.test_operator_tables import operator_tables

RECORDED = ROOT / "tests" / "conformance" / "recorded" / "single_tokens_async.json.gz"
STEPS = ROOT / "tests" / "bench" / "recorded" / "cpu" / "steps.json.gz"
PROFILES = ROOT / "simulator" / "performance" / "data" / "profiles"
BASELINE = ROOT / "scenarios" / "baselines" / "ci_small.json"


def refused(*words, saying):
    ended = run(*words)
    assert ended.code == 2, ended.said
    assert saying in " ".join(ended.said.split())


def test_a_scenario_under_a_tag_is_refused(tmp_path):
    (tmp_path / "s.yaml").write_text("!!python/x {name: a}\n")
    refused("validate", tmp_path / "s.yaml", saying="s.yaml:1: tags such as '!name' are not read")


@pytest.mark.parametrize("more", [-1, 1])
def test_a_result_has_one_value_a_replication(tmp_path, more):
    document = json.loads(BASELINE.read_text())
    figures = document["patterns"][0]["by_replication"]["all"]
    wanted = document["replications"]
    figures["monthly_cost_usd"] = [1.0] * (wanted + more)
    (tmp_path / "new.json").write_text(json.dumps(document))
    saying = f"has {wanted + more} values by_replication, expected {wanted}, one a replication"
    refused("check", tmp_path / "new.json", "--baseline", BASELINE, saying=saying)


@pytest.mark.parametrize("value", [{}, [], {"a": 1}, 7])
def test_a_register_that_is_no_name_is_refused(tmp_path, value):
    scenario = {"extends": str(SCENARIOS / "ci_small.yaml"), "compliance": {"registry": value or {"x.yaml": {}}}}
    (tmp_path / "s.yaml").write_text(json.dumps(scenario))
    refused("validate", tmp_path / "s.yaml", saying="s.yaml:1: compliance.registry:")


@pytest.mark.parametrize("packed", [False, True])
def test_a_result_may_come_through_a_pipe(packed):
    reading, writing = os.pipe()
    content = gzip.compress(STEPS.read_bytes()) if packed else BASELINE.read_bytes()
    with os.fdopen(reading, "rb"), ThreadPoolExecutor() as pool:

        def write():
            with os.fdopen(writing, "wb") as file:
                file.write(content)

        pool.submit(write)
        found = read_unpacked(Path(f"/dev/fd/{reading}"))
    assert found == (STEPS.read_bytes() if packed else content)


def test_a_folder_of_logs_that_cannot_be_looked_into_is_said(tmp_path, monkeypatch):
    """What is in it would be missing without a word."""
    (tmp_path / "in" / "side").mkdir(parents=True)
    (tmp_path / "in" / "a.jsonl").write_text("{}\n")
    real = os.scandir

    def scandir(path):
        if str(path).endswith("side"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    saying = "side: cannot be read: Permission denied"
    refused("trace", "convert", "--format", "litellm", tmp_path / "in", tmp_path / "t.csv", saying=saying)


def test_half_a_character_is_no_json():
    for text in (rb'"\ud800"', rb'{"\udfff": 1}', rb'[["a", "\uD83D"]]'):
        with pytest.raises(ValueError, match="half of a surrogate pair"):
            parse_json(text)
    assert parse_json(rb'"\ud83d\ude00"') == "😀"


def test_a_price_book_with_half_a_character_is_refused(tmp_path):
    (tmp_path / "book.json").write_text(json.dumps(json.loads(read_shipped("2026-11")) | {"id": "\ud800"}))
    refused("prices", "list", "--book", tmp_path / "book.json", saying="half of a surrogate pair")


def test_a_header_that_could_not_be_written_again_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text("arrival_s,workload,prompt_tokens,output_tokens\n0,a,1,1\n")
    for name, text, saying in (
        ("source", r'"\ud800"', "half of a surrogate pair"),
        ("span_s", "1" + "0" * 400, "span_s: expected a positive number of seconds, at most 1,000,000,000"),
        ("span_s", "1e300", "at most 1,000,000,000"),
    ):
        header = {"source": '"a"', "licence": '"b"', "span_s": "5", "rows": "1", "columns": "[]", "sha256": '"c"'}
        lines = "".join(f"{key}: {value}\n" for key, value in {**header, name: text}.items())
        (tmp_path / "t.yaml").write_text(f"{lines}schema_version: 1\n")
        refused("trace", "scale", tmp_path / "t.csv", tmp_path / "u.csv", "--factor", "2", saying=saying)


@pytest.mark.parametrize(
    ("column", "values", "saying"),
    [
        ("arrival_s", [0.0, 1e300], "row 2, column arrival_s: expected seconds, 0 or more and less than 1,000,000,000"),
        ("arrival_s", [0.0, 2.0**62], "row 2, column arrival_s"),
        ("arrival_s", [0.0, float("nan")], "row 2, column arrival_s"),
        ("workload", [{"a": 1}, {"a": 2}], "row 1, column workload"),
        ("workload", [["a"], ["b"]], "row 1, column workload"),
    ],
)
def test_a_table_of_other_things_is_no_trace(tmp_path, column, values, saying):
    table = {"arrival_s": [0.0, 1.0], "workload": ["a", "a"], "prompt_tokens": [1, 1], "output_tokens": [1, 1]}
    pq.write_table(pa.table(table | {column: values}), tmp_path / "t.parquet")
    refused("trace", "scale", tmp_path / "t.parquet", tmp_path / "u.csv", "--factor", "2", saying=saying)
    assert not (tmp_path / "u.csv").exists()


def recorded(tmp_path, change):
    document = json.loads(gzip.decompress(RECORDED.read_bytes()))
    change(document)
    (tmp_path / "r.json").write_text(json.dumps(document))
    return tmp_path / "r.json"


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("inputs", "prompt_len", 10**180), ("inputs", "output_len", 2**31), ("inputs", "prefix_id", -5),
        ("inputs", "arrival", float("inf")), ("config", "num_gpu_blocks", 10**12), ("config", "block_size", 10**9),
        ("step_time", "base_s", -1.0), ("step_time", "base_s", float("nan")),
    ],
)  # fmt: skip
def test_a_recorded_run_is_of_an_engine_that_there_is(tmp_path, part, key, value):
    def change(document):
        (document[part][0] if part == "inputs" else document[part])[key] = value

    refused("bench", "conform", recorded(tmp_path, change), saying=key)


@pytest.mark.parametrize("change", [{"max_model_len": 1}, {"num_gpu_blocks": 2, "block_size": 1}])
def test_a_request_that_its_engine_could_not_have_taken_is_refused(tmp_path, change):
    place = recorded(tmp_path, lambda document: document["config"].update(change))
    refused("bench", "conform", place, saying="no engine of")


@pytest.mark.slow
def test_a_replay_of_something_else_ends(tmp_path):
    """A prompt of ten million tokens, one a step; the recorded run had twelve steps."""

    def change(document):
        document["config"] |= {"max_num_batched_tokens": 1, "max_model_len": 10**8, "num_gpu_blocks": 10**7}
        document["inputs"][0] |= {"prompt_len": 10**7}

    ended = run("bench", "conform", recorded(tmp_path, change))
    assert ended.code == 1, ended.said
    assert "differ" in ended.out


@pytest.mark.parametrize("change", [{"chunks": []}, {"context_tokens": 10**400}, {"decodes": 10**30}])
def test_a_step_that_no_engine_takes_is_refused(tmp_path, change):
    document = json.loads(gzip.decompress(STEPS.read_bytes()))
    prefill = next(point["shape"] for point in document["points"] if not point["shape"]["decodes"])
    prefill |= change
    (tmp_path / "steps.json").write_text(json.dumps(document))
    refused("bench", "fit", tmp_path / "steps.json", "--output", tmp_path / "p.json", saying="shape")
    assert not (tmp_path / "p.json").exists()


def test_a_step_beyond_what_is_fitted_is_refused(tmp_path):
    document = json.loads(gzip.decompress(STEPS.read_bytes()))
    judged = next(point["shape"] for point in document["points"] if point["held_back"] and point["shape"]["decodes"])
    judged["decodes"] = 1000
    (tmp_path / "steps.json").write_text(json.dumps(document))
    refused("bench", "fit", tmp_path / "steps.json", "--output", tmp_path / "p.json", saying="a step has 1,000 decodes")


@pytest.mark.parametrize(
    ("name", "line"),
    [("bedrock", json.dumps({"events": [{"message": "[" * 100_000}]})), ("openai-usage", "[" * 900 + "]" * 900)],
)
def test_deep_json_within_a_log_is_one_wrong_record(tmp_path, name, line):
    (tmp_path / "log.json").write_text(line)
    refused("trace", "convert", "--format", name, tmp_path / "log.json", tmp_path / "t.csv", saying="log.json")


@pytest.mark.parametrize("value", [{}, [], {"a": 1}])
def test_a_checkpoint_whose_format_is_no_word_is_refused(tmp_path, value):
    (tmp_path / "config.json").write_text(json.dumps(known_model("llama-3.1-8b").hf_config()))
    said = {"quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": value}}
    (tmp_path / "hf_quant_config.json").write_text(json.dumps(said))
    refused("profile", "build", "--model", tmp_path, "--gpu", "l40s", saying="kv_cache_quant_algo")


def test_a_line_that_is_no_text_ends_what_a_measurement_goes_on_with(tmp_path):
    """Half of it is there, and a byte of that is spoilt: it is measured again from there on, to the same end."""
    command = MEASURE.format(out=tmp_path).split()
    (tmp_path / "journal").mkdir()
    whole, journal = tmp_path / "journal" / "steps.json", tmp_path / "journal" / "steps.json.unfinished"
    with engine(), patch("simulator.bench.step_journal.Journal.finish", lambda journal: journal._file.close()):
        assert run(*command).code == 0
    wanted, lines = json.loads(whole.read_text()), journal.read_bytes().splitlines(keepends=True)
    whole.unlink()
    journal.write_bytes(b"".join(lines[:3]) + lines[3].replace(b"seconds", b"second\xb0") + b"".join(lines[4:6]))
    with engine():
        assert run(*command).code == 0
    found = json.loads(whole.read_text())
    assert [point["shape"] for point in found["points"]] == [point["shape"] for point in wanted["points"]]
    assert found["points"][:2] == wanted["points"][:2]


@pytest.mark.parametrize(
    ("part", "change", "saying"),
    [
        ("audio_config", {"num_hidden_layers": -12}, "audio_config: num_hidden_layers: -12"),
        ("audio_config", {"hidden_size": ["a"]}, "audio_config: hidden_size"),
        ("audio_config", {"output_proj_dims": float("inf")}, "audio_config: output_proj_dims"),
        ("audio_config", {"hidden_size": 10**8, "num_hidden_layers": 900}, "more parameters than any model"),
        ("vision_config", {"num_hidden_layers": -16}, "vision_config: num_hidden_layers: -16"),
    ],
)
def test_an_encoder_is_of_sizes_that_there_are(tmp_path, part, change, saying):
    config = wrapped(E2B)
    config[part] |= change
    (tmp_path / "config.json").write_text(json.dumps(config))
    refused("profile", "build", "--model", tmp_path, "--gpu", "l40s", saying=saying)


def test_a_token_passes_through_no_more_experts_than_there_are(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(MODELS["windows, experts"] | {"num_experts_per_tok": 4001}))
    refused("profile", "build", "--model", tmp_path, "--gpu", "l40s", saying="4001 are more than its 32 experts")


@pytest.mark.parametrize("row", ["256,1024,1700000000000000000,0,64.3", "1,5,1024,0,0,523.8", "256,1024,0.1,0,64.3"])
def test_a_table_of_steps_that_no_engine_takes_makes_no_profile(tmp_path, row):
    with (operator_tables(tmp_path) / "tp1" / "attention.csv").open("a") as file:
        file.write(f"{row}\n")
    words = ("--gpu", "rtx-pro-6000", "--output", tmp_path / "p.json", "--model", "mixtral-8x7b")
    ended = run("profile", "import", tmp_path / "bf16", *words)
    assert ended.code in (0, 2), ended.said
    assert "Warning" not in ended.said


@pytest.mark.parametrize(
    ("tokens", "saying"), [(2**31, "input_toks"), (10**30, "input_toks"), (900_000, "longer than")]
)
def test_a_log_of_a_server_has_requests_that_an_engine_takes(tmp_path, tokens, saying):
    served = {
        "input_toks": tokens,
        "output_toks": 20,
        "queued_ts": 4e5,
        "first_token_ts": 4e5 + 1,
        "last_token_ts": 4e5 + 2,
    }
    (tmp_path / "log.jsonl").write_text(json.dumps(served) + "\n")
    profile = "llama-3.1-8b-bf16-l40s-x1"
    refused("bench", "validate", "--profile", profile, "--requests", tmp_path / "log.jsonl", saying=saying)


@pytest.mark.parametrize(
    ("change", "saying"),
    [
        ({"output_len_sigma": "90"}, "which no engine takes"),
        ({"output_len_sigma": "900"}, "which no engine takes"),
        ({"prompt_len_spec": f"shared system {'9' * 400} + question 447 = 547"}, ""),
        ({"ttft_p50_ms": "0", "itl_mean_ms": "0", "e2e_mean_ms": "0"}, ""),
    ],
)
def test_published_measurements_are_of_what_can_be_measured(tmp_path, change, saying):
    write_measurements(tmp_path / "m.csv", {"duration_s": "10"} | change)
    ended = run("bench", "validate", "--measurements", tmp_path / "m.csv", "--replications", "1", "--quiet")
    assert ended.code in (0, 2), ended.said
    assert saying in " ".join((ended.out + ended.said).split())


def test_a_start_up_has_tokens_that_there_are(tmp_path):
    with (tmp_path / "s.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerow(START | {"reported_kv_tokens": "9" * 400})
    refused("bench", "memory", tmp_path / "s.csv", saying="reported_kv_tokens: expected a whole number")


def test_times_of_400_digits_make_a_load_test_one_wrong_record(tmp_path):
    seen = {"input_lens": [9], "output_lens": [5], "start_times": [0.5], "ttfts": [10**400], "itls": [[0.1]]}
    (tmp_path / "seen.json").write_text(json.dumps(seen))
    words = ("trace", "convert", "--format", "vllm-bench", tmp_path / "seen.json", tmp_path / "t.csv")
    refused(*words, saying="seen.json")


def test_half_a_character_within_a_router_is_refused(tmp_path):
    routed = {"hosting_patterns": {"hybrid": {"routing": {"backends": {"letters": ["\ud800"]}}, "faults": [7]}}}
    (tmp_path / "s.yaml").write_text(json.dumps({"extends": str(SCENARIOS / "ci_small.yaml")} | routed))
    refused("validate", tmp_path / "s.yaml", saying="half of a surrogate pair is not a character")


@pytest.mark.parametrize("part", ["layers", "kv_heads", "vocab"])
def test_a_profile_of_a_model_that_nobody_has_is_refused(tmp_path, part):
    document = json.loads((PROFILES / "llama-3.1-8b-bf16-l40s-x1.json").read_text())
    assert part in document["model"]
    document["model"][part] = 10**400
    (tmp_path / "p.json").write_text(json.dumps(document))
    refused("profile", "plot", tmp_path / "p.json", "--output", tmp_path / "p.html", saying=f"model.{part}")


ENDLESS = [
    ("prices", "list", "--book"),
    ("profile", "show"),
    ("bench", "memory"),
    ("bench", "validate", "--measurements"),
    ("bench", "validate", "--profile", "llama-3.1-8b-bf16-l40s-x1", "--requests"),
]


@pytest.mark.parametrize("command", ENDLESS, ids=" ".join)
def test_a_file_without_an_end_is_refused(tmp_path, command, monkeypatch):
    """As `/dev/zero` is: what is read at once is read up to a limit."""
    monkeypatch.setattr("simulator.reading.read_unpacked.__defaults__", (10_000,))
    (tmp_path / "long.json").write_bytes(b" " * 20_000)
    refused(*command, tmp_path / "long.json", saying="long.json")
    ended = run(*command, tmp_path / "long.json")
    assert "is more than 0 MB" in " ".join(ended.said.split())
