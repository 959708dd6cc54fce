"""What a log says twice counts once, and what proves a count comes late counts from the beginning."""

from __future__ import annotations

import json

import numpy as np
import pytest

from simulator.trace.importers import read_json
from tests.trace.importers.sample import CANARY, T0, lines, stamped
from tests.trace.importers.samples import metric
from tests.trace.importers.test_sums import imported, sums

HEAD = "start_time,end_time,project_id,num_model_requests,model,batch,input_tokens,output_tokens,input_cached_tokens\n"


def row(project="a", requests=5, prompt=500):
    return f"{T0},{T0 + 3600},{project},{requests},m,False,{prompt},50,400\n"


@pytest.mark.parametrize(
    ("texts", "expected", "twice"),
    [
        ([HEAD + row() + row()], (5, 500, 50), 1),
        ([HEAD + row(), HEAD + row()], (5, 500, 50), 1),  # two exports that overlap
        ([HEAD + row() + row("b")], (10, 1000, 100), 0),  # two projects
        ([HEAD + row() + row("a", 6, 600)], (11, 1100, 100), 0),  # other counts: added up, and said
        ([HEAD.replace("project_id", "x") + row() + row("b")], (5, 500, 50), 1),  # nothing known tells them apart
    ],
)
def test_rows_of_the_usage_csv_count_once(tmp_path, capsys, texts, expected, twice):
    found, _, assumed = imported(tmp_path, capsys, "openai-usage", *texts)
    assert sums(found) == expected
    assert ("with other counts" in assumed) == (expected[0] == 11)
    assert CANARY not in assumed


def answer(first, *totals, name=None):
    """An answer of the metrics' interface, a minute a point, about a resource with a name or without."""
    kinds = ("AzureOpenAIRequests", "ProcessedPromptTokens", "GeneratedTokens")
    value = [
        metric(kind, *(total * times for total in totals)) for kind, times in zip(kinds, (1, 100, 10), strict=True)
    ]
    for one in value:
        one.pop("id", None)
        if name is not None:
            one["id"] = f"{name}/{one['name']['value']}"
        for at, point in enumerate(one["timeseries"][0]["data"]):
            point["timeStamp"] = stamped(60 * (first + at) - 1, "%Y-%m-%dT%H:%M:00Z")
    return json.dumps({"interval": "PT1M", "value": value})


@pytest.mark.parametrize(
    ("texts", "requests"),
    [
        ([answer(0, 3, 4, 5), answer(1, 4, 5, 6)], 3 + 4 + 5 + 6),  # pages that overlap
        ([answer(0, 3, 4, 5), answer(1, 2, 7, 6)], 3 + 4 + 5 + 2 + 7 + 6),  # of two resources
        ([answer(0, 3, 4, 5), answer(0, 3, 4, 5)], 12),
        ([answer(0, 3, 4, 5, name="r"), answer(1, 4, 9, name="r")], 3 + 4 + 9),  # fetched before the minute had ended
    ],
)
def test_pages_of_metrics_that_name_no_resource(tmp_path, capsys, texts, requests):
    found, *_ = imported(tmp_path, capsys, "azure-monitor", *texts)
    assert sums(found) == (requests, 100 * requests, 10 * requests)


def test_rows_of_azuremetrics_are_told_by_their_resource(tmp_path, capsys):
    def exported(resource, *minutes):
        head = "TimeGenerated [UTC],ResourceId,MetricName,Total,TimeGrain\n"
        kinds = (("AzureOpenAIRequests", 1), ("ProcessedPromptTokens", 100), ("GeneratedTokens", 10))
        return head + "".join(
            f"{stamped(60 * at - 1, '%Y-%m-%dT%H:%M:00Z')},{resource},{kind},{times * (at + 1)},PT1M\n"
            for at in minutes for kind, times in kinds
        )  # fmt: skip

    found, *_ = imported(tmp_path, capsys, "azure-monitor", exported("r", 0, 1), exported("r", 1, 2), exported("s", 1))
    assert sums(found) == (1 + 2 + 3 + 2, 800, 80)
    (tmp_path / "one").mkdir()
    one = exported("r", 0, 1) + exported("r", 1).partition("\n")[2]
    found, *_ = imported(tmp_path / "one", capsys, "azure-monitor", one)
    assert sums(found) == (3, 300, 30)


def test_diagnostics_leave_out_what_was_not_served(tmp_path, capsys):
    def one(at, code, name="resultSignature"):
        counts = {"usage": {"prompt_tokens": 100, "completion_tokens": 10}}
        return {"time": stamped(at), "operationName": CANARY, name: code, "properties": counts}

    records = [one(0, "200"), one(1, "429"), one(2, 200), one(3, "500"), one(4, "200", "ResultSignature"),
               one(5, "499", "ResultSignature"), one(6, None)]  # fmt: skip
    found, left, _ = imported(tmp_path, capsys, "azure-diagnostics", json.dumps({"records": records}))
    assert sums(found) == (4, 400, 40)
    assert left == {"failed, by its status": 3}


@pytest.mark.parametrize("order", [1, -1])
def test_a_proof_that_comes_late_holds_for_what_came_before(tmp_path, capsys, monkeypatch, order):
    monkeypatch.setattr(read_json, "CHUNK", 256)

    def one(at, prompt, read, model="claude"):
        return {"start_time": stamped(at), "response_code": 200, "request_id": f"{at}", "gen_ai.usage.output_tokens": 5,
                "gen_ai.usage.input_tokens": prompt, "gen_ai.usage.cached_input_tokens": read,
                "gen_ai.request.model": model}  # fmt: skip

    # 600 of one sender look as if the cache were within; the last proves that it is not. The other sender's is.
    records = [one(at, 1000, 900) for at in range(600)] + [one(600, 2, 900)]
    records += [one(at, 1000, 900, "gpt") for at in range(601, 1201)]
    found, _, assumed = imported(tmp_path, capsys, "envoy-ai-gateway", lines(*records[::order]))
    assert sums(found) == (1201, 601 * 900 + 600_002 + 600 * 1000, 5 * 1201)
    assert assumed.count("prove that some senders") == 1
    assert f"of the {1201 * 900:,} prompt tokens that a prompt cache gave" in assumed
    assert np.diff(found.arrival_s).min() >= 0
