"""Text planted in every field of every format appears in no output, log, error or temporary file."""

from __future__ import annotations

import json
import logging
import re

import pytest

from simulator.trace.importers import spill
from tests.cli.command import run
from tests.trace.importers.samples import CANARY, COUNTED, SAMPLES, attempt

#: A cell of a table, a value or a name in JSON, a word of a line.
_SPOT = re.compile(r"(?<![\w.])[\w][\w.:+\- ]*(?![\w])")


@pytest.fixture
def everything_is_written(monkeypatch):
    """Rows go to temporary files at once, which are left for inspection."""
    monkeypatch.setattr(spill, "RUN_ROWS", 1)
    monkeypatch.setattr(spill, "PIECE_ROWS", 1)
    monkeypatch.setattr(spill.Spill, "close", lambda self: None)


def traces_of(folder, source):
    """The bytes and names of all that a command left behind, in text that is packed and unpacked."""
    import pyarrow.parquet as pq

    for path in folder.rglob("*"):
        if path != source and path.is_file():
            yield path.name.encode() + path.read_bytes()
            if path.suffix == ".parquet":
                yield str(pq.read_table(path).to_pydict()).encode()
                yield str(pq.read_metadata(path).metadata).encode()


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_what_must_not_pass_does_not(tmp_path, capsys, caplog, sample, everything_is_written):
    source = tmp_path / "log"
    source.write_text(sample.text)
    asked = ["trace", "convert", "--format", sample.name, str(source), str(tmp_path / "t.csv"), *sample.options]
    with caplog.at_level(logging.DEBUG):
        code, out, err = run([*asked, "--sessions", "--keep-dates", "--json"], capsys)
    assert code == 0, err
    assert CANARY not in out + err + caplog.text
    assert json.loads(out)["rows"]["imported"] == len(sample.rows) or sample in COUNTED
    assert [one for one in traces_of(tmp_path, source) if CANARY.encode() in one] == []


@pytest.mark.parametrize("tolerate", [pytest.param(0.0, marks=pytest.mark.slow), 1.0])
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_a_field_that_may_pass_holds_text(tmp_path, caplog, sample, tolerate, everything_is_written):
    spots = list(_SPOT.finditer(sample.text))
    assert len(spots) > 10
    # Each name and each value of the log in turn; a few of them where all would take long.
    for number, match in enumerate(spots[:: max(1, len(spots) // 3)] if tolerate else spots):
        folder = tmp_path / str(number)
        folder.mkdir()
        planted = f"{sample.text[: match.start()]}{CANARY}{sample.text[match.end() :]}"
        said, _ = attempt(sample, planted.encode(), folder, tolerate=tolerate)
        assert CANARY not in said + caplog.text
        assert [one for one in traces_of(folder, folder / "log") if CANARY.encode() in one] == []


def as_lines(text):
    """The JSON values of a sample, one a line; nothing where it is no JSON."""
    try:
        return [json.dumps(json.loads(text))]
    except ValueError:
        pass
    try:
        return [json.dumps(json.loads(line)) for line in text.splitlines()]
    except ValueError:
        return []


@pytest.mark.parametrize(
    "sample", [one for one in SAMPLES if one not in COUNTED and as_lines(one.text)], ids=lambda sample: sample.name
)
def test_what_a_collector_adds_does_not_pass_and_changes_nothing(tmp_path, caplog, sample, everything_is_written):
    wrapped = "".join(
        json.dumps({"log": f"{line}\n", "stream": CANARY, "time": "2024-05-15T00:00:00Z", CANARY: CANARY}) + "\n"
        for line in [f"INFO {CANARY}", *as_lines(sample.text)]
    )
    folders = tmp_path / "bare", tmp_path / "wrapped"
    tables = []
    for folder, text in zip(folders, (sample.text, wrapped), strict=True):
        folder.mkdir()
        said, table = attempt(sample, text.encode(), folder)
        assert table is not None, said
        tables.append(table)
        assert CANARY not in said + caplog.text
        assert [one for one in traces_of(folder, folder / "log") if CANARY.encode() in one] == []
    bare, inside = tables
    for name in ("arrival_s", "prompt_tokens", "output_tokens", "prefix_tokens"):
        assert getattr(inside, name).tolist() == getattr(bare, name).tolist(), name


@pytest.mark.parametrize(
    "broken",
    [
        "labels: {CANARY: [a, b]}", "labels: {CANARY: notes, CANARY: other}", "labels: {CANARY: CANARY 1}",
        "labels: {CANARY: null}", "where: {kind: {CANARY: 1}}", "where: {kind: [[CANARY]]}", "labels: [CANARY]",
        "labels: {CANARY: notes\n",
    ],
)  # fmt: skip
def test_no_value_of_a_row_passes_out_of_a_mapping_file(tmp_path, capsys, broken):
    (tmp_path / "log").write_text(json.dumps({"at": 1_795_417_425, "p": 9, "o": 3, "ward": CANARY}))
    columns = "columns: {time: at, prompt_tokens: p, output_tokens: o, label: ward}\n"
    (tmp_path / "m.yaml").write_text(columns + broken.replace("CANARY", CANARY))
    asked = ["trace", "convert", "--format", "json", str(tmp_path / "log"), str(tmp_path / "t.csv")]
    code, out, err = run([*asked, "--mapping", str(tmp_path / "m.yaml")], capsys)
    assert code == 2
    assert CANARY not in out + err


SCENARIO = """
name: every_log
horizon: {start: 2026-04-06, duration: 2h, time_zone: UTC}
experiment: {replications: 1}
hosting_patterns:
  api:
    kind: metered_api
    api:
      model: openai/gpt-4o
      ttft: {median: 200ms, sigma: 0.1}
      output_tokens_per_s: {median: 100, sigma: 0.1}
      prices: {prompt: 2.50 USD/1M tokens, output: 10 USD/1M tokens}
"""


@pytest.mark.slow
def test_nothing_of_it_is_in_what_is_made_of_traces(tmp_path, capsys, caplog, monkeypatch):
    """Of every format at once: learned from, simulated, kept in a run and a store, reported, exported."""
    logs, made = tmp_path / "logs", tmp_path / "made"
    logs.mkdir()
    made.mkdir()
    workloads = {}
    for sample in SAMPLES:
        (logs / sample.name).write_text(sample.text)
        asked = ["trace", "convert", "--format", sample.name, str(logs / sample.name), str(made / f"{sample.name}.csv")]
        assert run([*asked, *sample.options, "--sessions"], capsys)[0] == 0
        workloads[sample.name.replace("-", "_")] = {
            "trace": {"file": f"{sample.name}.csv", "align": "start", "repeat": False}
        }
    (made / "all.yaml").write_text(f"{SCENARIO}workloads: {json.dumps(workloads)}\n")
    monkeypatch.chdir(made)
    kept = ["--output", "run", "--store", "store", "--report"]
    for asked in (["run", "all.yaml", *kept], ["explain", "all.yaml", "--all"],
                  ["report", "run", "--xlsx", "r.xlsx"], ["export", "prometheus", "run"], ["runs", "show", "run"],
                  ["trace", "inspect", "litellm.csv"], ["trace", "fit", "litellm.csv"]):  # fmt: skip
        code, out, err = run(asked, capsys)
        assert code == 0, (asked, err)
        assert CANARY not in out + err + caplog.text
    assert len(list(traces_of(made, None))) > 2 * len(SAMPLES)
    assert [one for one in traces_of(made, None) if CANARY.encode() in one] == []
