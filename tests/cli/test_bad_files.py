"""Broken files, full disks and readers that go away: exit code 2 or the command's own, never 70."""

from __future__ import annotations

import csv
import gzip
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext, suppress
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from simulator.engine.record import ReplicaLevels
from simulator.experiment.runs import changed_files
from simulator.experiment.tables import Tables, _write_levels
from simulator.export.tables import as_text
from simulator.files import Draft
from simulator.reading import read_unpacked
from simulator.trace.importers.values import instants_ns
from tests.export.kept import run_directory
from tests.fuzz.command import run, tree
from tests.parts import ROOT

DEEP = "[" * 200_000
SMALL = ROOT / "scenarios" / "ci_small.yaml"


@pytest.fixture
def kept(tmp_path):
    shutil.copytree(run_directory(), tmp_path / "run")
    return tmp_path / "run"


def refused(*words, saying=""):
    ended = run(*words)
    assert ended.code == 2, ended
    assert saying in ended.said
    assert "fault of the simulator" not in ended.said


def edit(file, change):
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))


EDITS = {
    "no decision": lambda document: document.pop("decision"),
    "no patterns": lambda document: document.pop("patterns"),
    "a list where a figure was": lambda document: document["patterns"][0].update(monthly_cost_usd=[1]),
    "nothing where a name was": lambda document: document["patterns"][1].update(name=None),
    "no latency": lambda document: document["patterns"][0].pop("latency"),
    "text for a number": lambda document: document["patterns"][0]["latency"]["e2e_s"].update(p99="soon"),
    "too few costs": lambda document: document["patterns"][0].update(monthly_cost_usd={}),
}


@pytest.mark.slow
@pytest.mark.parametrize("change", EDITS.values(), ids=EDITS)
def test_a_summary_that_was_edited_is_named(kept, tmp_path, change):
    edit(kept / "summary.json", change)
    before = tree(kept)
    for words in (["runs", "show", kept], ["report", kept, "--output", tmp_path / "r.html"]):
        ended = run(*words)
        assert ended.code in (0, 2), ended
        assert ended.code == 0 or "run is not as it was written (summary.json)" in ended.said
    assert run("report", kept, "--output", tmp_path / "r.html").code == 2
    assert tree(kept) == before
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize(
    "name", ["summary.json", "manifest.json", "scenario.yaml", "requests.parquet", "levels.parquet"]
)
def test_a_manifest_knows_what_was_changed(kept, name):
    assert changed_files(kept) == []
    content = (kept / name).read_bytes()
    spoilt = content.replace(b'"replications"', b'"repetitions"') if name == "manifest.json" else content[:-1] + b"x"
    (kept / name).write_bytes(spoilt)
    assert changed_files(kept) == [name]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["requests.parquet", "levels.parquet"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_a_table_that_was_cut_is_named(kept, tmp_path, name, share):
    content = (kept / name).read_bytes()
    (kept / name).write_bytes(content[: int(share * len(content))])
    for words in (
        ["report", kept, "--output", tmp_path / "r.html"],
        ["export", "csv", kept, "--output", tmp_path / "csv"],
        ["export", "prometheus", kept, "--output", tmp_path / "m.om"],
    ):
        refused(*words, saying=f"{name}: is not a table that a run has")
    assert [path for path in tmp_path.rglob(".*") if path.is_file()] == []


@pytest.mark.slow
def test_deep_json_is_refused_by_all_that_read_it(kept, tmp_path):
    deep = tmp_path / "deep.json"
    deep.write_text(DEEP)
    (tmp_path / "deep.json.gz").write_bytes(gzip.compress(DEEP.encode()))
    refused("compare", deep, kept, saying="nested too deeply")
    refused("check", kept, "--baseline", deep, saying="nested too deeply")
    refused("prices", "diff", deep, deep)
    refused("bench", "conform", deep, saying="nested too deeply")
    refused("bench", "conform", tmp_path / "deep.json.gz", saying="nested too deeply")
    refused("bench", "fit", deep, "--output", tmp_path / "p.json")
    refused("report", kept, "--rollout", deep, saying="nested too deeply")
    refused("validate", deep, saying="nested more than 40 levels")
    refused("trace", "validate", deep)


def test_one_strange_run_hides_no_other(kept):
    for name, content in (("deep", DEEP), ("endless", '{"replications": 1e400}'), ("list", "[]"), ("zero", "\0")):
        shutil.copytree(kept, kept.parent / name)
        (kept.parent / name / "manifest.json").write_text(content)
    shutil.copytree(kept, kept.parent / "infinite")
    edit(kept.parent / "infinite" / "manifest.json", lambda made_by: made_by.update(replications=float("inf")))
    ended = run("runs", "list", "--in", kept.parent, "--json")
    assert ended.code == 0
    assert [one["path"] for one in json.loads(ended.out)["runs"]] == [str(kept)]


ROLLOUTS = [
    "{}",
    "[]",
    "7",
    "{",
    "",
    '{"projection": null, "scenario": {}}',
    '{"projection": {}, "scenario": {}, "actual": null}',
    '{"projection": {"course": {"strategies": 1, "steps": [], "reviews": []}, "months": []}, "scenario": {"name": 1}}',
]


@pytest.mark.parametrize("text", ROLLOUTS)
def test_what_is_no_rollout_is_refused(kept, tmp_path, text):
    (tmp_path / "rollout.json").write_text(text)
    refused(
        "report", kept, "--rollout", tmp_path / "rollout.json", saying="is not what 'simulator rollout --json' prints"
    )
    assert not (kept / "report.html").exists()


def test_every_flipped_bit_of_a_packed_recording_is_refused_or_read(tmp_path):
    content = (ROOT / "tests" / "conformance" / "recorded" / "single_tokens_async.json.gz").read_bytes()
    place, whole, read = tmp_path / "recorded.json.gz", gzip.decompress(content), 0
    for at in range(16, len(content) * 8, 61):
        spoilt = bytearray(content)
        spoilt[at // 8] ^= 1 << at % 8
        place.write_bytes(spoilt)
        # What gzip does not check in its head changes nothing.
        with suppress(ValueError):
            assert read_unpacked(place) == whole
            read += 1
    assert read < 10
    place.write_bytes(content[:100])
    refused("bench", "conform", place, saying="is not a recorded run: broken gzip")


def test_gzip_is_unpacked_within_bounds(tmp_path):
    place = tmp_path / "bomb.json.gz"
    with gzip.open(place, "wb", 1) as file:
        for _ in range(101):
            file.write(b" " * 1_000_000)
    assert place.stat().st_size < 1_000_000
    refused("bench", "fit", place, "--output", tmp_path / "p.json", saying="more than 100 MB when unpacked")
    for most, whole in ((999, False), (1000, True)):
        place.write_bytes(gzip.compress(b" " * 1000))
        with nullcontext() if whole else pytest.raises(ValueError, match="when unpacked"):
            assert read_unpacked(place, most) == b" " * 1000


@pytest.mark.parametrize("replicas", [128, 129, 1024])
def test_as_many_replicas_as_a_scenario_may_have_are_kept(tmp_path, replicas):
    hour = np.ones(1)
    levels = [ReplicaLevels(3600.0, hour, hour, hour, hour, 1, 0, 100, 4, f"c{at % 3}") for at in range(replicas)]
    with Draft(tmp_path / "one.levels.parquet") as draft:
        _write_levels(draft, levels)
        draft.commit()
    found = Tables({"a": tmp_path / "one.json"}).levels()
    assert list(found["replica"]) == list(range(replicas))
    assert list(found["cluster"].astype(str)) == [level.cluster for level in levels]


def test_a_workload_that_a_router_was_not_told_of_is_a_fault_with_its_line(tmp_path):
    text = (ROOT / "scenarios" / "routing" / "document_routers.yaml").read_text()
    text = text.replace("extends: ..", f"extends: {ROOT / 'scenarios'}")
    lines = [line for line in text.split("\n") if "prior_auth_appeals: {tokens" not in line]
    (tmp_path / "s.yaml").write_text("\n".join(lines))
    refused("validate", tmp_path / "s.yaml", saying="routing.router: facts are missing for prior_auth_appeals")


BERLIN = ZoneInfo("Europe/Berlin")
MOMENTS = [
    ("2026-11-16T08:15:46,123+01:00", None, "2026-11-16T07:15:46.123"),
    ("2026-11-16 08:15:46,5 +0100", None, "2026-11-16T07:15:46.5"),
    ("2026-11-16T08:15:46,123", None, "2026-11-16T07:15:46.123"),
    ("0001-01-01T00:00:00Z", None, None),
    ("9999-12-31T23:59:59.999-05:00", None, None),
    ("9999-12-31 23:59:59", None, None),
    ("1677-01-01", None, None),
    ("Mon, 16 Nov 2026 08:15:46 GMT", "%a, %d %b %Y %H:%M:%S %Z", "2026-11-16T08:15:46"),
    ("16 Nov 2026 08:15:46 %Z", "%d %b %Y %H:%M:%S %%Z", "2026-11-16T07:15:46"),
    ("Mon, 01 Jan 0001 00:00:00 UTC", "%a, %d %b %Y %H:%M:%S %Z", None),
    ("2026 2026", "%Y %Y", None),
]


@pytest.mark.parametrize(("text", "form", "utc"), MOMENTS)
def test_moments_are_read_or_marked(text, form, utc):
    ns, bad = instants_ns([text, "2026-11-16T00:00:00Z"], BERLIN, form)
    assert list(bad) == [utc is None, False]
    assert utc is None or pd.Timestamp(ns[0]) == pd.Timestamp(utc)


@pytest.mark.parametrize("value", ["=1+1", "+1", "-1+2", "@SUM(A1)", "\t=1", "\r=1", "=HYPERLINK(A1)"])
def test_no_text_of_an_export_begins_as_a_formula(value):
    cells = pd.Series([value, "plain", "1 = 1", None])
    for given in (cells, cells.astype("category")):
        assert list(as_text(given))[:3] == [f"'{value}", "plain", "1 = 1"]


def test_no_cell_of_an_exported_table_begins_as_a_formula(kept, tmp_path):
    edit(kept / "summary.json", lambda document: document["patterns"][0]["cost_basis"].update(dict.fromkeys(
        document["patterns"][0]["cost_lines_usd"], "=1+1")))  # fmt: skip
    assert run("export", "csv", kept, "--output", tmp_path / "csv").code == 0
    with (tmp_path / "csv" / "costs.csv").open() as file:
        assert "'=1+1" in [row["basis"] for row in csv.DictReader(file)]
    for table in (tmp_path / "csv").iterdir():
        with table.open() as file:
            for row in csv.reader(file):
                assert not [cell for cell in row if cell[:1] in tuple("=+@")]


def process(*words, **options):
    return subprocess.Popen([sys.executable, "-m", "simulator", *map(str, words)], cwd=ROOT, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)  # fmt: skip


@pytest.mark.slow
@pytest.mark.needs("signals")
def test_a_reader_that_goes_away_changes_nothing(kept, tmp_path):
    """`| head`: the command ends as it would have, and says nothing of it."""
    shutil.copytree(kept, tmp_path / "dear")
    edit(tmp_path / "dear" / "summary.json", lambda document: [
        one["monthly_cost_usd"].update(mean=1e9) for one in document["patterns"]])  # fmt: skip
    for words in (["schema"], ["check", tmp_path / "dear", "--baseline", kept]):
        running = process(*words)
        running.stdout.close()
        said = running.stderr.read()
        running.stderr.close()
        assert running.wait() == run(*words).code
        assert "roken" not in said
        assert "Traceback" not in said


def limited():
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))


@pytest.mark.slow
@pytest.mark.needs("signals")
def test_a_full_disk_is_no_fault_of_the_simulator(tmp_path):
    words = ["run", SMALL, "--pattern", "api", "--replications", 1, "--set", "horizon.duration=1d", "--quiet",
             "--jobs", 1, "--output", tmp_path / "run", "--store", tmp_path / "store"]  # fmt: skip
    running = process(*words, preexec_fn=limited, env={**os.environ, "TMPDIR": str(tmp_path)})
    _, said = running.communicate()
    assert running.returncode == 2, said
    assert "File too large" in said
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.slow
@pytest.mark.needs("signals")
def test_a_terminated_command_cleans_up(tmp_path):
    source = tmp_path / "t.csv"
    rows = "".join(f"{at},notes,100,50\n" for at in range(300_000))
    source.write_text("arrival_s,workload,prompt_tokens,output_tokens\n" + rows)
    before = tree(tmp_path).keys()
    running = process("trace", "scale", source, tmp_path / "u.csv", "--factor", 3)
    for _ in range(6000):
        if any(path.name.startswith(".") for path in tmp_path.iterdir()) or running.poll() is not None:
            break
        time.sleep(0.01)
    running.send_signal(signal.SIGTERM)
    running.communicate()
    assert running.returncode == 130
    assert tree(tmp_path).keys() == before
