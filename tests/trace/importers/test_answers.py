"""Answers logged whole, counted by hand: parts of a stream, other kinds of calls, reasoning beside the output, pages.

OpenAI API reference, 2026: `stream_options` (a usage in each chunk is vLLM's `continuous_usage_stats`), images
(`input_tokens_details.image_tokens`), audio (`input_token_details`, as realtime has it), usage of an organisation.
Anthropic, "Streaming messages": the counts of `message_delta` are cumulative. Gemini: each chunk has `usageMetadata`.
"""

from __future__ import annotations

import json

import pytest

from simulator.trace.canonical import read_trace
from tests.cli.command import run
from tests.trace.importers.samples import T0


def chat(number, prompt, output, **more):
    usage = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}
    return {"timestamp": T0 + number, "id": f"c{number}", "object": "chat.completion", "usage": usage | more}


def chunk(output):
    usage = None if output is None else {"prompt_tokens": 50, "completion_tokens": output, "total_tokens": 50 + output}
    return {"id": "s", "object": "chat.completion.chunk", "created": T0, "choices": [], "usage": usage}


def gemini(name, prompt, output):
    usage = {"promptTokenCount": prompt, "candidatesTokenCount": output, "totalTokenCount": prompt + output}
    return {"timestamp": "2026-09-01T00:00:00Z", "responseId": name, "usageMetadata": usage}


def thoughts(output, total):
    usage = {"promptTokenCount": 100, "candidatesTokenCount": output, "totalTokenCount": total}
    return usage | {"thoughtsTokenCount": 50}


def page(*days):
    result = {"object": "organization.usage.completions.result", "input_tokens": 1000, "output_tokens": 100}
    buckets = [
        {"object": "bucket", "start_time": T0 + 86_400 * day, "end_time": T0 + 86_400 * (day + 1)}
        | {"results": [result | {"num_model_requests": 10 + day, "model": "m"}] if day else []}
        for day in days
    ]
    return {"object": "page", "data": buckets, "has_more": False, "next_page": None}


IMAGE = {"input_tokens": 50, "output_tokens": 4160, "total_tokens": 4210}
OTHERS = {
    "an image": {"created": T0, "quality": "high", "usage": IMAGE | {"input_tokens_details": {"image_tokens": 0}}},
    "an image within": {
        "timestamp": T0,
        "response": {"data": [], "usage": IMAGE | {"input_tokens_details": {"image_tokens": 0, "text_tokens": 50}}},
    },
    "a transcription": {
        "timestamp": T0, "text": "x",
        "usage": {"input_tokens": 14, "output_tokens": 45, "input_token_details": {"audio_tokens": 14}},
    },
    "a turn of a realtime session": {
        "timestamp": T0, "type": "response.done",
        "response": {"object": "realtime.response", "usage": {"input_tokens": 150, "output_tokens": 45}},
    },
}  # fmt: skip
#: By what it is: format, records, and requests, prompt and output tokens as they are counted by hand.
CASES = {
    **{name: ("openai", [chat(1, 100, 10), other], (1, 100, 10)) for name, other in OTHERS.items()},
    "a stream that counts up": ("openai", [*map(chunk, range(1, 6)), chat(5, 100, 10)], (2, 150, 15)),
    "a stream whose parts are noted as they come": (
        "openai",
        [chunk(count) | {"timestamp": T0 + count} for count in range(1, 6)] + [chat(5, 100, 10)],
        (2, 150, 15),
    ),
    "a stream that ends on its count": ("openai", [chunk(None), chunk(None), chunk(5), chat(5, 100, 10)], (2, 150, 15)),
    "gemini's stream": ("vertex", [gemini("a", 10, 3), gemini("a", 10, 20), gemini("b", 5, 7)], (2, 15, 27)),
    "anthropic's stream": (
        "anthropic",
        [
            {"timestamp": T0, "type": "message_start", "message": {"usage": {"input_tokens": 25, "output_tokens": 1}}},
            {"timestamp": T0 + 1, "type": "message_delta", "usage": {"input_tokens": 25, "output_tokens": 15}},
            {"timestamp": T0 + 9, "type": "message", "id": "n", "usage": {"input_tokens": 5, "output_tokens": 6}},
        ],
        (2, 30, 21),
    ),
    "reasoning beside the output, by the total": (
        "openai",
        [
            chat(1, 100, 10, total_tokens=118, completion_tokens_details={"reasoning_tokens": 8}),
            chat(2, 100, 10, completion_tokens_details={"reasoning_tokens": 8}),
            chat(3, 100, 10, total_tokens=610, completion_tokens_details={"reasoning_tokens": 500}),
        ],
        (3, 300, 18 + 10 + 510),
    ),
    "deepseek's cache within, anthropic's apart": (
        "openai",
        [
            chat(1, 100, 10, prompt_cache_hit_tokens=64, prompt_cache_miss_tokens=36),
            {
                "timestamp": T0,
                "type": "message",
                "usage": {
                    "input_tokens": 10,
                    "cache_read_input_tokens": 4,
                    "cache_creation_input_tokens": 3,
                    "output_tokens": 5,
                },
            },
        ],
        (2, 100 + 17, 15),
    ),
    "thoughts within the candidates, by the total": (
        "vertex",
        [
            gemini("a", 100, 60) | {"usageMetadata": thoughts(60, 160)},
            gemini("b", 100, 60) | {"usageMetadata": thoughts(60, 210)},
        ],
        (2, 200, 60 + 110),
    ),
    "pages": ("openai-usage", [page(0, 1), page(2)], (11 + 12, 2000, 200)),
    "a page fetched twice": ("openai-usage", [page(0, 1), page(0, 2), page(0, 2)], (11 + 12, 2000, 200)),
    "pages that overlap": ("openai-usage", [page(1, 2), page(2, 3)], (11 + 12 + 13, 3000, 300)),
}


@pytest.mark.parametrize("case", CASES)
def test_a_request_counts_once_and_whole(tmp_path, capsys, case):
    name, records, expected = CASES[case]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    target = tmp_path / "t.parquet"
    code, _, err = run(["trace", "convert", "--format", name, str(tmp_path / "log.jsonl"), str(target)], capsys)
    assert code == 0, err
    table = read_trace(target)
    assert (len(table), table.prompt_tokens.sum(), table.output_tokens.sum()) == expected


def test_pages_in_several_files_overlap_too(tmp_path, capsys):
    folder = tmp_path / "pages"
    folder.mkdir()
    for number, days in enumerate(((1, 2), (2, 3))):
        (folder / f"{number}.json").write_text(json.dumps(page(*days)))
    target = tmp_path / "t.parquet"
    code, out, err = run(["trace", "convert", "--format", "openai-usage", str(folder), str(target), "--json"], capsys)
    assert code == 0, err
    assert json.loads(out)["rows"]["duplicates"] == 1
    assert len(read_trace(target)) == 11 + 12 + 13


def metrics(start, *requests):
    """What Azure's interface answers for some minutes: 100 tokens in and 10 out a request."""

    def metric(name, each):
        data = [
            {"timeStamp": f"2026-09-01T00:{start + at:02d}:00Z", "total": each * count}
            for at, count in enumerate(requests)
        ]
        series = [{"metadatavalues": [], "data": data}]
        return {"id": f"/r/providers/Microsoft.Insights/metrics/{name}", "name": {"value": name}, "timeseries": series}

    names = (("AzureOpenAIRequests", 1), ("ProcessedPromptTokens", 100), ("GeneratedTokens", 10))
    return json.dumps({"interval": "PT1M", "value": [metric(*one) for one in names]})


def chart(resource, *minutes):
    titles = ("Azure OpenAI Requests", "Processed Prompt Tokens", "Generated Completion Tokens")
    head = ",".join(f'"{title} (Sum), {resource}"' for title in titles)
    return f"Time,{head}\n" + "".join(f"2026-09-01T00:{at:02d}:00Z,2,200,20\n" for at in minutes)


@pytest.mark.parametrize(
    ("files", "requests"),
    [
        ((metrics(1, 2, 0, 3), metrics(1, 2, 0, 3)), 5),
        # The first was fetched before its last minute had ended.
        ((metrics(1, 2, 0, 3), metrics(3, 4, 1)), 2 + 4 + 1),
        ((chart("one", 1, 2), chart("one", 2, 3)), 3 * 2),
        ((chart("one", 1, 2), chart("two", 1, 2)), 4 * 2),
    ],
)
def test_exports_of_metrics_that_overlap_count_once(tmp_path, capsys, files, requests):
    folder = tmp_path / "exports"
    folder.mkdir()
    for number, text in enumerate(files):
        (folder / f"{number}.{'json' if text[0] == '{' else 'csv'}").write_text(text)
    target = tmp_path / "t.parquet"
    code, _, err = run(["trace", "convert", "--format", "azure-monitor", str(folder), str(target)], capsys)
    assert code == 0, err
    table = read_trace(target)
    sums = len(table), table.prompt_tokens.sum(), table.output_tokens.sum()
    assert sums == (requests, 100 * requests, 10 * requests)


def test_an_interval_fetched_again_with_other_counts_is_said(tmp_path, capsys):
    early, late = page(1), page(1)
    late["data"][0]["results"][0]["num_model_requests"] = 99
    (tmp_path / "log.jsonl").write_text(json.dumps(early) + "\n" + json.dumps(late) + "\n")
    code, out, err = run(
        ["trace", "convert", "--format", "openai-usage", str(tmp_path / "log.jsonl"), str(tmp_path / "t.csv")], capsys
    )
    assert code == 0
    assert "several pages have the same interval with other counts" in out + err


def test_blank_lines_stand_anywhere_and_count_as_lines(tmp_path, capsys):
    records = [chat(1, 100, 10), chat(2, 200, 20)]
    log, target = tmp_path / "log.jsonl", tmp_path / "t.parquet"
    text = "\n \n" + "\n\n".join(map(json.dumps, records)) + "\n\n"
    log.write_text(text)
    command = ["trace", "convert", "--format", "openai", str(log), str(target)]
    assert run(command, capsys)[0] == 0
    assert read_trace(target).prompt_tokens.tolist() == [100, 200]
    log.write_text(text + json.dumps(records[0] | {"timestamp": "soon"}))
    code, _, err = run(command, capsys)
    assert code == 2
    assert "log.jsonl:7: time" in err


def test_blank_lines_above_a_table_count_as_lines(tmp_path, capsys):
    log, columns = tmp_path / "log.csv", [f"--column={name}={name[0]}" for name in ("time", "prompt_tokens")]
    log.write_text(f"\n \nt,p,output_tokens\n{T0},100,10\n{T0 + 1},x,20\n")
    code, _, err = run(["trace", "convert", "--format", "csv", str(log), str(tmp_path / "t.csv"), *columns], capsys)
    assert code == 2
    assert "log.csv:5: prompt_tokens" in err


def test_what_was_reasoning_is_known_of_each_output(tmp_path, capsys):
    said = {"completion_tokens_details": {"reasoning_tokens": 8}}
    # Beside the output by the total, within it, more than it had, and none.
    records = [
        chat(1, 100, 10, total_tokens=118, **said), chat(2, 100, 10, **said),
        chat(3, 100, 10, total_tokens=610, completion_tokens_details={"reasoning_tokens": 500}), chat(4, 100, 10),
    ]  # fmt: skip
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    target = tmp_path / "t.csv"
    code, _, err = run(["trace", "convert", "--format", "openai", str(tmp_path / "log.jsonl"), str(target)], capsys)
    assert code == 0, err
    table = read_trace(target)
    assert table.output_tokens.tolist() == [18, 10, 510, 10]
    assert table.thinking_tokens.tolist() == [8, 8, 500, 0]
