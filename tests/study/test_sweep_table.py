"""A sweep's table grows, is resumed, is cut into shards and merged: the same bytes however it comes about."""

from __future__ import annotations

import io
import json
import shutil
from itertools import pairwise
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from simulator.cli.main import main
from simulator.study import sweep_table
from simulator.study.sweep_table import Layout, Parts, best_of, read_frames, write_table
from tests.experiment.test_errand import RECORDED, TRACE, offer

OVER = ["--over", "hosting_patterns.l40s.costs.compute.gpu_hour=1 USD/h,2 USD/h", "--over", "experiment.seed=1:4:4"]


def rows(number):
    """A few rows of a configuration, some without a value."""
    head = {"configuration": number, "a.b": number % 3 / 2, "pattern": "api", "note": None}
    return [
        head | {"workload": name, "metric": "cost", "value": number / 7 if number % 5 else None, "ci95_low": None}
        for name in ("all", "notes")
    ]


def table(path, frames, count=12):
    with path.open("w+b") as file:
        write_table(file, frames, count)
    return path.read_bytes()


LAYOUT = Layout.of([{"a.b": number % 3 / 2} for number in range(3)])


@settings(max_examples=12)
@given(st.integers(1, 12), st.lists(st.integers(0, 12), max_size=3), st.randoms())
def test_bytes_do_not_depend_on_shards_or_on_the_order_of_answers(tmp_path_factory, count, cuts, random):
    with patch.object(sweep_table, "GROUP", 5):
        check_shards(tmp_path_factory.mktemp("table"), count, cuts, random)


def check_shards(folder, count, cuts, random):
    edges = sorted({0, count, *(cut for cut in cuts if cut < count)})
    whole = table(folder / "whole", [LAYOUT.frame([row for number in range(count) for row in rows(number)])])
    files = []
    for start, stop in pairwise(edges):
        parts = Parts(folder / str(start), LAYOUT, range(start, stop))
        parts.open({"of": "this"})
        numbers = [*range(start, stop)]
        random.shuffle(numbers)
        for number in numbers:
            parts.add(number, rows(number))
        table(folder / f"{start}.parquet", parts.frames())
        files.append(folder / f"{start}.parquet")
    merged = table(folder / "merged", (frame for file in files for frame in read_frames(file, ["a.b"])))
    assert merged == whole
    with parquet.ParquetFile(io.BytesIO(whole)) as file:
        assert file.num_row_groups == -(-count // 5)
    back = pd.read_parquet(io.BytesIO(whole))
    assert back["configuration"].is_monotonic_increasing
    assert back["configuration"].nunique() == count
    assert back["value"].isna().sum() == 2 * len(range(0, count, 5))


@pytest.mark.parametrize("columns", [1, 2, 3, 5, 7, 8])
def test_a_picture_shows_a_part_of_many_configurations_and_every_value_of_each_axis(columns):
    """Of a grid of 500 that is cut in portions; the last axis has so many values."""
    frames = [
        pd.DataFrame({"configuration": range(start, start + 100), "workload": "all"}) for start in range(0, 500, 100)
    ]
    with patch.object(sweep_table, "DRAWN", 60):
        shown = write_table(io.BytesIO(), frames, 500)["configuration"]
        assert write_table(io.BytesIO(), frames[:1], 60)["configuration"].tolist() == [*range(100)]
    assert abs(len(shown) - 60) <= 2
    assert shown.diff().max() <= 3 * 500 / 60
    assert {*shown % columns} == {*range(columns)}


@settings(max_examples=12)
@given(st.integers(1, 20), st.integers(1, 7), st.integers(0, 2**32 - 1))
def test_the_best_patterns_are_the_same_however_a_table_is_cut(count, size, seed):
    """And as sorted by hand."""
    rng = np.random.default_rng(seed)
    met, cost = rng.choice([1.0, 0.0, np.nan], count), rng.integers(1, 4, count) * 10.0
    rows = [
        {"configuration": number, "pattern": "api", "workload": load, "metric": metric, "value": value, "note": note}
        for number in range(count)
        for load, metric, value, note in (
            ("all", "objectives_met", met[number], f"take care {number % 2}" if number % 3 else None),
            ("all", "monthly_cost_usd", cost[number], None),
            ("notes", "goodput", 1.0, None),
        )
    ]
    frame = pd.DataFrame(rows)
    parts = [part for _, part in frame.groupby(frame["configuration"] // size)]
    best = best_of(parts, ["configuration", "pattern"], 4)
    rank = {1.0: 0, 0.0: 2}
    expected = sorted(range(count), key=lambda number: (rank.get(met[number], 1), cost[number], number))[:4]
    assert best.rows["configuration"].tolist() == expected
    assert best.rows["monthly_cost_usd"].tolist() == [cost[number] for number in expected]
    assert best.count == count
    assert best.all_available
    assert best.notes == [*dict.fromkeys(f"take care {number % 2}" for number in range(count) if number % 3)]


def test_parts_are_whole_readable_and_kept_for_the_same_question_alone(tmp_path):
    parts = Parts(tmp_path, LAYOUT, range(50, 250))
    parts.open({"seed": 1})
    assert parts.done == set()
    for number in range(50, 170):
        parts.add(number, rows(number))
    assert [file.name for file in sorted(parts.place.glob("*.parquet"))] == ["000050.parquet"]
    assert set(pd.read_parquet(parts.place / "000050.parquet")["configuration"]) == {*range(50, 100)}
    again = Parts(tmp_path, LAYOUT, range(50, 250))
    again.open({"seed": 1})
    assert again.done == {*range(50, 100)}
    other = Parts(tmp_path, LAYOUT, range(50, 250))
    other.open({"seed": 2})
    assert other.done == set()
    assert not list(other.place.glob("*.parquet"))


@pytest.mark.parametrize(
    "spoil", [lambda content: content[:-9], lambda content: content.replace(b"PAR1", b"PAR2"), None]
)
def test_a_part_that_is_not_as_it_was_written_is_made_again(tmp_path, spoil):
    """A number that was changed is as good a table as before: only its checksum tells."""
    parts = Parts(tmp_path, LAYOUT, range(100))
    parts.open({"seed": 1})
    for number in range(100):
        parts.add(number, rows(number))
    (part,) = parts.place.glob("*.parquet")
    if spoil is None:
        changed = pd.read_parquet(part)
        changed.loc[0, "value"] += 1
        changed.to_parquet(part)
    else:
        part.write_bytes(spoil(part.read_bytes()))
    again = Parts(tmp_path, LAYOUT, range(100))
    again.open({"seed": 1})
    assert again.done == set()
    for number in range(100):
        again.add(number, rows(number))
    assert pd.concat(again.frames()).equals(LAYOUT.frame([row for number in range(100) for row in rows(number)]))


@pytest.mark.parametrize(
    ("values", "kept"),
    [([1, 2], "int64"), ([1, 2.5], "float64"), ([True, 2], "str"), (["a", 1], "str"), ([[1]], "str")],
)
def test_a_setting_has_one_type_in_all_parts(values, kept):
    layout = Layout.of([{"x": value} for value in values])
    assert layout.settings == {"x": kept}
    row = rows(0)[0] | {"x": sweep_table.plain(values[0])}
    assert str(layout.frame([row])["x"].dtype) == kept


def command(*words):
    with pytest.raises(SystemExit) as ended:
        main([*map(str, words)])
    return ended.value.code


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweeps")
    (folder / "s.yaml").write_text(RECORDED.replace("replications: 2", "replications: 1"))
    (folder / "t.csv").write_text(TRACE)
    common = ["sweep", folder / "s.yaml", *OVER, "--store", folder / "store", "--jobs", 1, "--output"]
    assert command(*common, folder / "whole") == 0
    for number in (1, 2, 3):
        assert command(*common, folder / f"s{number}", "--shard", f"{number}/3") == 0
    return folder, common


@pytest.mark.slow
def test_shards_are_merged_to_the_same_bytes(place, capsys):
    folder, _ = place
    shards = [folder / f"s{number}" for number in (3, 1, 2)]
    assert command("merge", *shards, "--output", folder / "merged") == 0
    for name in ("sweep.parquet", "sweep.html"):
        assert (folder / "merged" / name).read_bytes() == (folder / "whole" / name).read_bytes()
    one, other = (json.loads((folder / name / "sweep.json").read_text()) for name in ("merged", "whole"))
    assert one | {"command": ""} == other | {"command": ""}
    assert sorted(path.name for path in (folder / "merged").iterdir()) == ["sweep.html", "sweep.json", "sweep.parquet"]


#: What a scenario may have that is not alike from one configuration, or one machine, to the next.
MANIFOLD = """
name: manifold
horizon: {start: 2026-03-02, duration: 12h, time_zone: America/Chicago}
experiment: {replications: 2, seed: 5}
workloads:
  notes: {trace: {file: t.csv, repeat: false, align: start}}
  speech:
    volume: {requests_per_month: 3000}
    prompt_tokens: &prompt {kind: custom, name: pages}
    output_tokens: &output {kind: constant, tokens: 80}
  draft:
    follows: {workload: speech, delay: 1s}
    prompt_tokens: *prompt
    output_tokens: *output
    objectives: {chain: 60s}
  closed:
    volume: {requests_per_month: 3000}
    clients: {count: 2, think: 30s}
    prompt_tokens: *prompt
    output_tokens: *output
hosting_patterns:
  mixed:
    kind: hybrid
    clusters:
      small: {cluster: {model: llama-3.1-8b, gpu: l40s}, costs: {compute: {kind: rental, gpu_hour: 1.86 USD/h}}}
      large: {cluster: {model: llama-3.1-8b, gpu: h100-80gb}, costs: {compute: {kind: rental, gpu_hour: 2.5 USD/h}}}
    api: &api
      model: bedrock/llama-3.3-70b
      ttft: {median: 700ms, sigma: 0.4}
      output_tokens_per_s: {median: 50, sigma: 0.15}
    routing: {kind: overflow, max_in_flight: 2}
  api: {kind: metered_api, api: {<<: *api, provider: {kind: custom, name: steady}}}
"""
CODE = """
def pages(share):
    return 100 + 400 * share

class steady:
    def answer_s(self, now_s, prompt_tokens, output_tokens, share):
        return 0.5, 0.5 + output_tokens / 50
"""


@pytest.mark.slow
def test_chains_clients_recordings_and_code_of_ones_own_are_cut_and_merged_alike(tmp_path, monkeypatch, capsys):
    (tmp_path / "s.yaml").write_text(MANIFOLD)
    (tmp_path / "t.csv").write_text(TRACE)
    (tmp_path / "shard_code.py").write_text(CODE)
    offer(tmp_path, "shard_code", lengths="pages", api_providers="steady")
    monkeypatch.syspath_prepend(str(tmp_path))
    varied = ["hosting_patterns.mixed.routing.max_in_flight=1,3", "workloads.closed.clients.count=1,4"]
    words = ["sweep", tmp_path / "s.yaml", *(word for one in varied for word in ("--over", one)), "--jobs", 1]
    assert command(*words, "--output", tmp_path / "whole", "--store", tmp_path / "store") == 0
    for number in (2, 1):
        mine = ["--output", tmp_path / f"s{number}", "--store", tmp_path / f"store{number}"]
        assert command(*words, *mine, "--shard", f"{number}/2") == 0
    assert command("merge", tmp_path / "s1", tmp_path / "s2", "--output", tmp_path / "merged") == 0
    whole = tmp_path / "whole" / "sweep.parquet"
    assert (tmp_path / "merged" / "sweep.parquet").read_bytes() == whole.read_bytes()
    found = pd.read_parquet(whole)
    assert set(found["workload"]) == {"all", "notes", "speech", "draft", "closed"}
    # It matters what varies: there are several answers to compare.
    costs = found[(found["metric"] == "e2e_s_p99") & (found["workload"] == "all")]
    assert costs["value"].nunique() > 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["s1", "s3"], "shards are missing, of configurations 2 to 4"),
        (["s1", "s2"], "shards are missing, of configurations 5 to 7"),
        (["s1", "s2", "s2", "s3"], "configuration 2 is in two"),
        (["s1", "whole"], "not all of these are shards"),
        (["s1", "nowhere"], "is no finished sweep"),
    ],
)
def test_what_is_no_whole_sweep_is_not_merged(place, names, said, capsys):
    folder, _ = place
    assert command("merge", *(folder / name for name in names), "--output", folder / "never") == 2
    assert said in capsys.readouterr().err
    assert not (folder / "never").exists()


def test_shards_of_different_questions_are_not_merged(place, capsys):
    folder, _ = place
    made_by = json.loads((folder / "s2" / "sweep.json").read_text())
    (folder / "odd").mkdir(exist_ok=True)
    (folder / "odd" / "sweep.json").write_text(json.dumps(made_by | {"package": "another"}))
    (folder / "odd" / "sweep.parquet").write_bytes((folder / "s2" / "sweep.parquet").read_bytes())
    assert command("merge", folder / "s1", folder / "odd", folder / "s3", "--output", folder / "never") == 2
    assert "of another sweep, or of another version" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"shard": [[2], 5]}, "shard.0: Input should be a valid integer"),
        ({"shard": [2]}, "shard: List should have at least 2 items"),
        ({"points": "8"}, "points: Input should be a valid integer"),
        ({"over": ["nothing=1"]}, "of another sweep"),
        ({"scenario": None}, "scenario: "),
    ],
)
def test_what_no_shard_says_is_refused(place, change, said, capsys):
    folder, _ = place
    shutil.copytree(folder / "s2", folder / "odd", dirs_exist_ok=True)
    made_by = json.loads((folder / "s2" / "sweep.json").read_text())
    (folder / "odd" / "sweep.json").write_text(json.dumps(made_by | change))
    assert command("merge", folder / "s1", folder / "odd", folder / "s3", "--output", folder / "never") == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (folder / "never").exists()


@pytest.mark.parametrize("knows", [True, False])
@pytest.mark.parametrize(
    "spoil",
    [lambda frame: frame.assign(value=1.0), lambda frame: frame.assign(note=1), lambda frame: frame[["note"]], None],
)
def test_the_table_of_a_shard_is_as_it_was_written(place, spoil, knows, capsys):
    """Shards of an earlier version have no checksum: what is a table of the sweep is taken."""
    folder, _ = place
    shutil.copytree(folder / "s2", folder / "odd", dirs_exist_ok=True)
    table = folder / "odd" / "sweep.parquet"
    if spoil is None:
        table.write_bytes(table.read_bytes()[:-1])
    else:
        spoil(pd.read_parquet(table)).to_parquet(table)
    if not knows:
        for name in ("s1", "odd", "s3"):
            about = folder / name / "sweep.json"
            made_by = json.loads((folder / name.replace("odd", "s2") / "sweep.json").read_text())
            made_by.pop("table_sha256", None)
            (folder / f"old-{name}").mkdir(exist_ok=True)
            shutil.copy(about.with_name("sweep.parquet"), folder / f"old-{name}")
            (folder / f"old-{name}" / "sweep.json").write_text(json.dumps(made_by))
    before = "" if knows else "old-"
    merged = folder / f"merged-{knows}"
    code = command("merge", *(folder / f"{before}{name}" for name in ("s1", "odd", "s3")), "--output", merged)
    said = " ".join(capsys.readouterr().err.split())
    if code == 0:
        assert not knows
        assert (pd.read_parquet(merged / "sweep.parquet").query("2 <= configuration < 5")["value"] == 1.0).all()
    else:
        assert code == 2
        assert ("not as it was written" if knows else "is not a table of this sweep") in said
        assert not merged.exists()
    shutil.rmtree(merged, ignore_errors=True)


@pytest.mark.parametrize("shard", ["0/3", "4/3", "1/9", "1", "a/b", "1/0"])
def test_a_shard_that_is_none_is_refused(place, shard, capsys):
    _, common = place
    assert command(*common, "never", "--shard", shard) == 2
    assert "1 of 8" not in capsys.readouterr().err


def test_an_interrupted_sweep_says_what_is_kept_and_goes_on(place, monkeypatch, capsys):
    folder, common = place
    monkeypatch.setattr(sweep_table, "GROUP", 2)
    with monkeypatch.context() as broken:
        broken.setattr("simulator.study.sweep.answers", _stopping(5))
        assert command(*common, folder / "again") == 130
    said = capsys.readouterr().err
    assert "5 of 8 configurations are done" in said
    assert len(list((folder / "again" / "parts").glob("*.parquet"))) == 2
    taken = []
    monkeypatch.setattr("simulator.study.sweep.answers", _noting(taken))
    assert command(*common, folder / "again") == 0
    assert sorted(taken) == [4, 5, 6, 7]
    assert pd.read_parquet(folder / "again" / "sweep.parquet").equals(
        pd.read_parquet(folder / "whole" / "sweep.parquet")
    )


def _stopping(count):
    from simulator.study.questions import answers

    def some(questions, function, **options):
        for done, found in enumerate(answers(questions, function, **options)):
            if done == count:
                raise KeyboardInterrupt
            yield found

    return some


def _noting(taken):
    from simulator.study.questions import answers

    def all_of_them(questions, function, **options):
        for number, found in answers(questions, function, **options):
            taken.append(number)
            yield number, found

    return all_of_them
