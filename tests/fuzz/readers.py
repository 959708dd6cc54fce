"""Every reader of files: a sound file of its kind, the command that reads it, and how to spoil it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.experiment.small import _DATA
from tests.fuzz.command import run
from tests.fuzz.mutations import of_bytes, of_json, of_packed_json, of_parquet, of_text, of_yaml
from tests.parts import ROOT
from tests.trace.importers.samples import SAMPLES

COPIED = {
    "recorded.json.gz": ROOT / "tests" / "conformance" / "recorded" / "single_tokens_async.json.gz",
    "steps.json.gz": ROOT / "tests" / "bench" / "recorded" / "cpu" / "steps.json.gz",
    "policy.yaml": ROOT / "simulator" / "gate" / "data" / "default_policy.yaml",
}


@dataclass(frozen=True)
class Reader:
    """A reader.

    Attributes:
        name: In the table of outcomes.
        file: The file that is spoilt, by its place among the sound ones.
        spoil: Its content, spoilt.
        command: What reads it, with `{at}` for the folder of the sound ones and `{out}` for one for output.
    """

    name: str
    file: str
    spoil: Callable[[bytes, Random], bytes]
    command: str

    def words(self, at: Path, out: Path) -> list[str]:
        """The command."""
        return [word.format(at=at, out=out) for word in self.command.split()]


ROLLOUT = {
    "scenario": {"name": "small"},
    "projection": {
        "months": [{"date": "2026-05", "tokens_per_month": 1e6}, {"date": "2026-06", "tokens_per_month": 2e6}],
        "course": {
            "strategies": [{"name": "plan", "text": "the plan", "cumulative_usd": [1.0, 2.0], "missed_months": []}],
            "steps": [{"month": 1, "text": "starts"}],
            "reviews": [{"date": "2026-06", "planned": "look", "text": "go on"}],
        },
    },
    "actual": None,
}
TRACE = "arrival_s,workload,prompt_tokens,output_tokens\n" + "".join(f"{at},notes,{at + 9},5\n" for at in range(300))
LOGS = {sample.name: sample for sample in SAMPLES}


def prepare(folder: Path) -> None:
    """One sound file of each kind, and a run of a small scenario."""
    data = json.loads(json.dumps(_DATA))
    del data["hosting_patterns"]["bought"], data["hosting_patterns"]["rented"]
    data["horizon"]["duration"], data["experiment"]["replications"] = "2h", 3
    (folder / "scenario.yaml").write_text(json.dumps(data, indent=1))
    (folder / "extending.yaml").write_text("extends: scenario.yaml\noverrides: {long: {horizon: {duration: 3h}}}\n")
    (folder / "rollout.json").write_text(json.dumps(ROLLOUT))
    (folder / "t.csv").write_text(TRACE)
    for name, source in COPIED.items():
        shutil.copy(source, folder / name)
    for name, sample in LOGS.items():
        (folder / f"log-{name}").write_text(sample.text)
    for command in (
        "run {at}/scenario.yaml --output {at}/run --store {at}/store --quiet --jobs 1",
        "trace scale {at}/t.csv {at}/p.parquet --factor 1",
    ):
        ended = run(*Reader("", "", of_bytes, command).words(folder, folder))
        assert ended.code == 0, ended.said
    shutil.copy(folder / "run" / "summary.json", folder / "baseline.json")
    shutil.copy(folder / "p.parquet", folder / "alone.parquet")


_CHECK = "check {at}/run --baseline {at}/baseline.json --policy {at}/policy.yaml"
READERS = [
    Reader("scenario", "scenario.yaml", of_yaml, "validate {at}/scenario.yaml"),
    Reader("scenario that extends", "extending.yaml", of_yaml, "explain {at}/extending.yaml --override long"),
    Reader("scenario extended", "scenario.yaml", of_yaml, "validate {at}/extending.yaml"),
    Reader("compliance", "scenario.yaml", of_yaml, "compliance {at}/scenario.yaml"),
    Reader("baseline", "baseline.json", of_json, _CHECK),
    Reader("policy", "policy.yaml", of_yaml, _CHECK),
    Reader("summary, shown", "run/summary.json", of_json, "runs show {at}/run"),
    Reader("summary, exported", "run/summary.json", of_json, "export csv {at}/run --output {out}"),
    Reader("summary, reported", "run/summary.json", of_json, "report {at}/run --output {out}/r.html"),
    Reader("runs, listed", "run/manifest.json", of_json, "runs list --in {at}"),
    Reader("manifest, reported", "run/manifest.json", of_json, "report {at}/run --output {out}/r.html"),
    Reader("manifest, exported", "run/manifest.json", of_json, "export prometheus {at}/run --output {out}/m.om"),
    Reader("scenario of a run", "run/scenario.yaml", of_yaml, "export prometheus {at}/run --output {out}/m.om"),
    Reader("requests of a run", "run/requests.parquet", of_parquet, "export csv {at}/run --output {out}"),
    Reader("levels of a run", "run/levels.parquet", of_parquet, "export prometheus {at}/run --output {out}/m.om"),
    Reader("rollout", "rollout.json", of_json, "report {at}/run --rollout {at}/rollout.json --output {out}/r.html"),
    Reader("recorded scheduler", "recorded.json.gz", of_packed_json, "bench conform {at}/recorded.json.gz"),
    Reader("measured steps", "steps.json.gz", of_packed_json, "bench fit {at}/steps.json.gz --output {out}/p.json"),
    Reader("trace, CSV", "t.csv", of_text, "trace validate {at}/t.csv"),
    Reader("trace, Parquet", "p.parquet", of_parquet, "trace scale {at}/p.parquet {out}/t.csv --factor 2"),
    Reader("trace, no header", "alone.parquet", of_parquet, "trace scale {at}/alone.parquet {out}/t.csv --factor 2"),
    Reader("header of a trace", "p.yaml", of_yaml, "trace head {at}/p.parquet"),
    *(
        Reader(
            f"log, {name}",
            f"log-{name}",
            of_text,
            f"trace convert --format {name} {{at}}/log-{name} {{out}}/t.csv {' '.join(sample.options)}",
        )
        for name, sample in LOGS.items()
    ),
]
