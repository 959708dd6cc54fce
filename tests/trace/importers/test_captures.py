"""What platforms keep of a model's calls: SageMaker's data capture, Databricks' inference tables, TGI's `/metrics`.

Layouts: SageMaker developer guide, "Capture data from real-time endpoint", and API reference, `DataCaptureConfig`
(Base64 unless the content type is named); Databricks, "Inference tables" (`timestamp_ms`) and "AI Gateway-enabled
inference tables" (`request_time`); text-generation-inference reference, "Metrics". All 2026.
"""

from __future__ import annotations

import base64
import csv
import json
from os import utime

import pytest

from simulator.trace.canonical import read_trace
from tests.cli.command import run
from tests.trace.importers.samples import CANARY, T0

# Prompt, cached of it, output: 600 tokens in, 60 out over the three that were served.
CALLS = ((100, 0, 10), (200, 64, 20), (300, 0, 30))


def answer(number, prompt, cached, output):
    return {
        "id": f"chatcmpl-{number}", "object": "chat.completion", "created": T0 + number, "model": "llama",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": CANARY}, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output,
            "prompt_tokens_details": {"cached_tokens": cached},
        },
    }  # fmt: skip


def captured(number, body, encoding):
    def side(mode, text):
        text = base64.b64encode(text.encode()).decode() if encoding == "BASE64" else text
        return {"observedContentType": "application/json", "mode": mode, "data": text, "encoding": encoding}

    return {
        "captureData": {
            "endpointInput": side("INPUT", json.dumps({"messages": [{"role": "user", "content": CANARY}]})),
            "endpointOutput": side("OUTPUT", json.dumps(body)),
        },
        "eventMetadata": {"eventId": f"e-{number}", "inferenceTime": f"2026-09-01T00:00:0{number}Z"},
        "eventVersion": "0",
    }


def payload(number, body, status, *, gateway):
    common = {
        "databricks_request_id": f"r-{number}", "client_request_id": None, "status_code": status,
        "request": json.dumps({"messages": [CANARY]}), "response": json.dumps(body), "sampling_fraction": 1.0,
    }  # fmt: skip
    if gateway:
        return common | {
            "request_date": "2026-09-01", "request_time": f"2026-09-01T00:00:0{number}.000Z",
            "execution_duration_ms": 900, "served_entity_id": "s", "requester": CANARY, "logging_error_codes": [],
        }  # fmt: skip
    return common | {
        "date": "2026-09-01", "timestamp_ms": (T0 + number) * 1000, "execution_time_ms": 900,
        "request_metadata": {"endpoint_name": "e", "model_name": "m", "model_version": "1"},
    }  # fmt: skip


def converted(tmp_path, capsys, source, name="openai"):
    code, out, err = run(["trace", "convert", "--format", name, str(source), str(tmp_path / "t.parquet")], capsys)
    assert CANARY not in out + err
    assert code == 0, err
    table = read_trace(tmp_path / "t.parquet")
    return table.arrival_s.tolist(), table.prompt_tokens.tolist(), table.output_tokens.tolist()


def counted():
    return [0.0, 1.0, 2.0], [prompt for prompt, _, _ in CALLS], [output for _, _, output in CALLS]


@pytest.mark.parametrize("encoding", ["JSON", "BASE64"])
def test_sagemakers_capture_is_read_as_text_and_as_base64(tmp_path, capsys, encoding):
    source = tmp_path / "capture.jsonl"
    records = [captured(number, answer(number, *call), encoding) for number, call in enumerate(CALLS, 1)]
    source.write_text("".join(json.dumps(one) + "\n" for one in records))
    assert converted(tmp_path, capsys, source) == counted()


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
@pytest.mark.parametrize("gateway", [False, True])
def test_databricks_inference_tables_leave_out_what_was_refused(tmp_path, capsys, gateway, suffix):
    rows = [payload(number, answer(number, *call), 200, gateway=gateway) for number, call in enumerate(CALLS, 1)]
    rows.append(payload(4, {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": CANARY}, 429, gateway=gateway))
    source = tmp_path / f"payload.{suffix}"
    with source.open("w") as file:
        if suffix == "jsonl":
            file.writelines(json.dumps(row) + "\n" for row in rows)
        else:
            table = csv.DictWriter(file, rows[0])
            table.writeheader()
            table.writerows(
                {key: json.dumps(cell) if isinstance(cell, (dict, list)) else cell for key, cell in row.items()}
                for row in rows
            )
    assert converted(tmp_path, capsys, source) == counted()


def tgi(prompts, outputs):
    """A scrape: bounds of prompts are hundredths of the longest one, so that they are no whole numbers."""

    def histogram(name, counts, width):
        above = [sum(counts[: at + 1]) for at in range(len(counts))]
        yield f"# TYPE {name} histogram"
        yield from (f'{name}_bucket{{le="{width * (at + 1)}"}} {count}' for at, count in enumerate(above))
        yield f'{name}_bucket{{le="+Inf"}} {above[-1]}'
        yield f"{name}_sum {sum(count * round(width * (at + 0.5)) for at, count in enumerate(counts))}"
        yield f"{name}_count {above[-1]}"

    both = (("tgi_request_input_length", prompts, 40.95), ("tgi_request_generated_tokens", outputs, 50.0))
    return "\n".join(line for one in both for line in histogram(*one)) + "\n"


def test_two_scrapes_of_tgi_are_what_came_between_them(tmp_path, capsys):
    folder = tmp_path / "scrapes"
    folder.mkdir()
    for at, counts in enumerate((([4, 1, 0], [5, 0]), ([6, 1, 1], [5, 3]))):
        (folder / f"{at}.txt").write_text(tgi(*counts))
        utime(folder / f"{at}.txt", (T0 + 60 * at, T0 + 60 * at))
    _, prompts, outputs = converted(tmp_path, capsys, folder, "vllm-metrics")
    # Two prompts of about 20 tokens and one of about 102; three outputs of about 75.
    assert (sum(prompts), sum(outputs)) == (2 * 20 + 102, 3 * 75)
    assert sorted(length > 81 for length in prompts) == [False, False, True]


def test_one_scrape_that_says_no_beginning_asks_for_another(tmp_path, capsys):
    (tmp_path / "m.txt").write_text(tgi([4, 1], [5, 0]))
    code, _, err = run(
        ["trace", "convert", "--format", "vllm-metrics", str(tmp_path / "m.txt"), str(tmp_path / "t.csv")], capsys
    )
    assert code == 2
    assert "m.txt: counts of one moment alone, which do not say since when: scrape again later" in err
