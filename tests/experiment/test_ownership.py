"""Nothing goes that is not provably ours, whatever is put where the simulator keeps its own."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import threading
import time

import pytest

from simulator.errors import RunStoreError
from simulator.experiment import checkpoint, replications, runs
from simulator.experiment.eviction import StoreInUse
from simulator.experiment.replications import replicate
from simulator.experiment.store import open_place
from simulator.files import LEFT_S
from tests.experiment.small import _DATA, small
from tests.experiment.test_store import kept
from tests.fuzz.command import run

ONE = {"experiment.replications": 1}
OLD = time.time() - 2 * LEFT_S


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run, and the store it left."""
    folder = tmp_path_factory.mktemp("made")
    kept(folder / "run", small(ONE), ["hybrid"], folder / "store")
    return folder


@pytest.fixture
def there(made, tmp_path):
    shutil.copytree(made, tmp_path / "there", symlinks=True)
    return tmp_path / "there"


def tree(folder):
    """Content of all below a folder, links as links."""
    return {
        str(path.relative_to(folder)): str(path.readlink())
        if path.is_symlink()
        else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


FOREIGN = [
    "archive.tar",
    "notes.txt",
    "index.js",
    "result.json",
    "levels.parquet",
    "0123456789abcdef01234567-0.json.bak",
    "0123456789ABCDEF01234567-0.json",
    "0123456789abcdef01234567.json",
    "0123456789abcdef01234567-0.csv",
    ".hidden.draft",
]


def test_a_store_keeps_whatever_is_not_its_own(there):
    store = there / "store"
    for name in FOREIGN:
        (store / name).write_text(name)
        os.utime(store / name, (0, 0))
    (store / "folder.d").mkdir()
    (store / "folder.d" / "thesis.txt").write_text("years of work")
    before = tree(store)
    ours = {name for name in before if checkpoint.NAME.fullmatch(name)}
    assert len(ours) >= 3
    sizes = sum((store / name).stat().st_size for name in ours)
    assert StoreInUse(store).bound(0) == sizes
    assert tree(store) == {name: content for name, content in before.items() if name not in ours}


def test_foreign_files_do_not_count_towards_the_bound(there):
    (there / "store" / "archive.tar").write_bytes(b"x" * 1_000_000)
    before = tree(there / "store")
    assert StoreInUse(there / "store").bound(900_000) == 0
    assert tree(there / "store") == before


def test_pruning_keeps_whatever_is_not_its_own(there, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / f"{1:024x}-0.json").write_text("years of work")
    (there / "store" / "index.js").write_text("web")
    (there / "store" / f"{2:024x}-0.json").symlink_to(outside / f"{1:024x}-0.json")
    (there / "store" / f"{3:024x}-0.json").symlink_to("nowhere")
    (there / ".thesis.unfinished").mkdir()
    (there / ".thesis.unfinished" / "chapter").write_text("years of work")
    mixed = there / ".run.0123456789abcdef.unfinished" / "whole"
    mixed.mkdir(parents=True)
    (mixed / "thesis.txt").write_text("years of work")
    (there / ".link.0123456789abcdef.unfinished").symlink_to(outside)
    before = tree(tmp_path)
    runs.prune(there, older_than_days=0, everything=True)
    gone = before.keys() - tree(tmp_path).keys()
    assert len(gone) >= 3
    assert all((there.parent / name).parent == there / "store" for name in gone)
    assert all(checkpoint.NAME.fullmatch(name.rsplit("/", 1)[1]) for name in gone)


def test_a_store_behind_a_link_is_not_pruned(there, tmp_path):
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "store").symlink_to(there / "store")
    before = tree(there)
    with pytest.raises(RunStoreError, match="is a link to"):
        runs.prune(tmp_path / "project", older_than_days=0, everything=True)
    assert tree(there) == before


MANIFESTS = {
    "extension": {"manifest_version": 3, "name": "a", "version": "1"},
    "web app": {"name": "app", "start_url": "/", "scenario": {"name": "x"}},
    "list": [],
    "half": {"schema_version": 1, "scenario": {"name": "x", "sha256": "0" * 64}},
    "number": 7,
}


@pytest.mark.parametrize("manifest", [*MANIFESTS.values(), None], ids=[*MANIFESTS, "broken"])
def test_a_folder_with_a_manifest_is_not_yet_a_run(tmp_path, manifest):
    app = tmp_path / "app"
    app.mkdir()
    (app / "manifest.json").write_text("{" if manifest is None else json.dumps(manifest))
    (app / "index.html").write_text("page")
    before = tree(tmp_path)
    with pytest.raises(RunStoreError, match="is not a run directory"):
        open_place(app)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", ["thesis.txt", "export/mine.xlsx", "report/index.html", "requests.csv", ".notes"])
def test_a_run_with_something_put_into_it_is_not_replaced(there, name):
    place = there / "run" / name
    place.parent.mkdir(exist_ok=True)
    place.write_text("years of work")
    before = tree(there)
    with pytest.raises(RunStoreError, match=f"other files in it .{name.split('/', maxsplit=1)[0]}"):
        kept(there / "run", small(ONE), ["hybrid"], there / "store")
    assert tree(there) == before


def test_a_link_in_a_run_is_not_ours(there, tmp_path):
    (tmp_path / "outside").mkdir()
    (there / "run" / "export").symlink_to(tmp_path / "outside")
    with pytest.raises(RunStoreError, match="other files in it .export"):
        open_place(there / "run")


def test_what_was_put_into_a_run_while_it_was_simulated_stays(there, monkeypatch):
    class Late(dict):
        def __init__(self):
            (there / "run" / "thesis.txt").write_text("years of work")

    monkeypatch.setattr("simulator.experiment.keeping.manifest", lambda *_: Late())
    with pytest.raises(RunStoreError, match="thesis.txt"):
        kept(there / "run", small(ONE), ["hybrid"], there / "store")
    assert (there / "run" / "thesis.txt").read_text() == "years of work"
    assert sorted(path.name for path in there.iterdir()) == ["run", "store"]


def test_a_run_with_its_report_and_exports_is_replaced(there):
    for name in ("report.html", "metrics.om", "export/figures.csv", "export/costs.parquet"):
        (there / "run" / "export").mkdir(exist_ok=True)
        (there / "run" / name).write_text("of the older run")
    kept(there / "run", small(ONE), ["hybrid"], there / "store")
    assert not (there / "run" / "report.html").exists()


def test_a_run_behind_a_link_is_replaced_where_it_lies(there):
    (there / "latest").symlink_to("run")
    kept(there / "latest", small({**ONE, "experiment.seed": 8}), ["api"], there / "store")
    assert (there / "latest").is_symlink()
    assert json.loads((there / "run" / "summary.json").read_text())["seed"] == 8


@pytest.mark.parametrize("named", [True, False], ids=["as now", "as earlier"])
def test_a_run_that_a_kill_left_aside_is_put_back(there, made, named):
    """Between the two renames of a replacement; named as an earlier version did, too."""
    left = there / (".run.0123456789abcdef.unfinished" if named else ".run-0123456789ab.unfinished")
    aside = left / "replaced" / "0" if named else left
    aside.mkdir(parents=True)
    (there / "run").rename(aside / ("run" if named else "replaced"))
    (left / "whole").mkdir()
    assert open_place(there / "run") == there / "run"
    assert tree(there / "run") == tree(made / "run")
    os.utime(left, (OLD, OLD))
    open_place(there / "run")
    assert not left.exists()


@pytest.mark.parametrize("name", [".run.0123456789abcdef.unfinished", ".run-0123456789ab.unfinished"])
def test_what_an_interrupted_replacement_left_blocks_nothing(there, made, name):
    """Killed after the new run was in place and before the old one was removed."""
    (there / name / "whole").mkdir(parents=True)
    shutil.copytree(made / "run", there / name / "replaced")
    for _ in range(2):
        kept(there / "run", small(ONE), ["hybrid"], there / "store")
    assert (there / "run" / "summary.json").read_bytes() == (made / "run" / "summary.json").read_bytes()
    runs.prune(there, older_than_days=0, everything=True)
    assert not (there / name).exists()


def test_two_runs_at_once_both_succeed_and_one_stays(there):
    """Threads of one process, which have one number of a process between them."""
    scenarios = [small({**ONE, "experiment.seed": seed}) for seed in (1, 2, 3)]
    want = {
        scenario.sha256: kept(there / "alone", scenario, ["api"], there / "store").to_json() for scenario in scenarios
    }
    failed = []

    def run(scenario):
        try:
            for _ in range(2):
                kept(there / "run", scenario, ["api"], there / "store")
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(scenario,)) for scenario in scenarios]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    left = (there / "run" / "summary.json").read_bytes()
    assert left == want[json.loads(left)["scenario"]["sha256"]]
    assert json.loads((there / "run" / "manifest.json").read_text())["scenario"] == json.loads(left)["scenario"]
    assert sorted(path.name for path in there.iterdir()) == ["alone", "run", "store"]


def damage(path, how):
    content = path.read_bytes()
    if how == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif how == "emptied":
        path.write_bytes(b"")
    elif how == "one bit":
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    elif how == "longer":
        path.write_bytes(content + b" ")
    else:
        path.unlink()


DAMAGE = [
    (".json", "cut"),
    (".json", "longer"),
    (".requests.parquet", "one bit"),
    (".requests.parquet", "gone"),
    (".levels.parquet", "emptied"),
]


@pytest.mark.parametrize(("kind", "how"), DAMAGE)
def test_a_stored_file_that_is_not_as_it_was_written_is_made_again(there, made, caplog, kind, how):
    (table,) = (there / "store").glob("*.requests.parquet")
    file = table.with_name(table.name.replace(".requests.parquet", kind))
    damage(file, how)
    kept(there / "again", small(ONE), ["hybrid"], there / "store")
    assert tree(there / "store") == tree(made / "store")
    again, first = tree(there / "again"), tree(made / "run")
    assert {name for name in first if first[name] != again[name]} <= {"manifest.json"}
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(said) == (how != "gone")
    assert all("is not as it was written; it is simulated again" in text for text in said)


def test_edited_counts_change_no_bill(there, made, caplog):
    for file in (there / "store").glob("*.json"):
        content = file.read_text()
        edited = content.replace('"prompt_tokens":', '"prompt_tokens":9')
        assert edited != content
        json.loads(edited)
        file.write_text(edited)
    kept(there / "again", small(ONE), ["hybrid"], there / "store")
    assert (there / "again" / "summary.json").read_bytes() == (made / "run" / "summary.json").read_bytes()
    assert "is not as it was written" in caplog.text


def test_a_simulation_under_the_name_of_another_is_not_taken_for_it(tmp_path):
    scenario = small()
    found = replicate(scenario, ["api"], replications=2, folder=tmp_path)["api"]
    first, second = (tmp_path / checkpoint.file_name(scenario, "api", number) for number in (0, 1))
    shutil.copy(first, second)
    assert replicate(scenario, ["api"], replications=2, folder=tmp_path)["api"] == found
    assert found[0] != found[1]


def test_a_summary_without_tables_is_completed_when_they_are_wanted(tmp_path, monkeypatch):
    scenario = small(ONE)
    found = replicate(scenario, ["api"], replications=1, folder=tmp_path, tables=False)
    assert replicate(scenario, ["api"], replications=1, folder=tmp_path) == found
    monkeypatch.setattr(replications, "simulate", None)
    for tables in (True, False):
        assert replicate(scenario, ["api"], replications=1, folder=tmp_path, tables=tables) == found


def test_a_table_that_went_meanwhile_is_missed(there):
    scenario = small(ONE)
    from simulator.experiment.store import write_run

    with pytest.raises(RunStoreError, match="api was removed meanwhile"):
        write_run(there / "run", scenario, b"{}", {}, {"api": there / "store" / "none-0.json"})


@pytest.mark.parametrize("when", [0, 1, 2])
def test_what_others_prune_while_a_run_is_put_together_is_simulated_again(tmp_path, monkeypatch, when):
    """Before the tables are joined, between the two, and after."""
    from simulator.experiment import store as runs_kept

    (tmp_path / "s.yaml").write_text(json.dumps(_DATA))
    words = ("run", tmp_path / "s.yaml", "--store", tmp_path / "runs" / "store", "--quiet", "--jobs", 1)
    words += ("--pattern", "hybrid", "--replications", 1, "--output")
    assert run(*words, tmp_path / "alone").code == 0
    real, looks = runs_kept.join_tables, []

    def pruned():
        looks.append(None)
        if len(looks) == when + 1:
            runs.prune(tmp_path / "runs", older_than_days=0, everything=True)

    def join(*given):
        if not looks:
            pruned()
        real(*given)
        pruned()

    monkeypatch.setattr(runs_kept, "join_tables", join)
    ended = run(*words, tmp_path / "run")
    assert ended.code == 0, ended.said
    assert len(looks) > 3
    for name in ("summary.json", "requests.parquet", "levels.parquet"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
