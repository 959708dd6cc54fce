"""Every reader of files: a sound file of its kind, the command that reads it, and how to spoil it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.fuzz.mutations import of_bytes, of_json, of_lines, of_packed_json, of_parquet, of_text, of_yaml
from tests.fuzz.sound import LOGS, MEASURE, engine, looked_at
from tests.fuzz.variants import LAYOUTS, MODELS


@dataclass(frozen=True)
class Reader:
    """A reader.

    Attributes:
        name: In the table of outcomes.
        file: The file that is spoilt, by its place among the sound ones.
        spoil: Its content, spoilt.
        command: What reads it, with `{at}` for the folder of the sound ones and `{out}` for one for output.
        beside: What stands in for what a machine may not have.
        into: Whether the folder of the file is one that the command writes into: a copy of it in `{out}` is spoilt.
    """

    name: str
    file: str
    spoil: Callable[[bytes, Random], bytes]
    command: str
    beside: Callable[[], AbstractContextManager[None]] = nullcontext
    into: bool = False

    def words(self, at: Path, out: Path) -> list[str]:
        """The command."""
        return [word.format(at=at, out=out) for word in self.command.split()]


_RUN = "run {at}/scenario.yaml --output {out}/run --store {out}/store --pattern api --quiet --jobs 1"
_THINK = "run {at}/thinking.yaml --output {out}/run --store {out}/store --quiet --jobs 1"
_SWEEP = (
    "sweep {at}/scenario.yaml --over experiment.seed=1,2 --pattern api --store {at}/store --quiet --jobs 1"
    " --output {out}/sweep"
)
_IMPORT = "profile import {at}/bf16 --gpu rtx-pro-6000 --output {out}/p.json --model "
_MIXTURE = _IMPORT + "mixtral-8x7b"
_CONVERT = "trace convert --format litellm {at}/packed.%s {out}/t.csv"
_VALIDATE = "bench validate --quiet --profile {at}/own.json --engine num_gpu_blocks=4000"
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
    Reader("scenario, adapters", "full.yaml", of_yaml, "validate {at}/full.yaml"),
    Reader("scenario, drafted", "drafted.yaml", of_yaml, "explain {at}/drafted.yaml"),
    Reader("scenario, full, explained", "full.yaml", of_yaml, "explain {at}/drafted.yaml --all"),
    Reader("scenario, pictured", "pictured.yaml", of_yaml, "validate {at}/pictured.yaml"),
    Reader("scenario, windowed", "windowed.yaml", of_yaml, "explain {at}/windowed.yaml"),
    Reader("scenario, thinking, run", "thinking.yaml", of_yaml, _THINK),
    Reader("scenario, windowed, run", "windowed.yaml", of_yaml, _THINK.replace("thinking", "windowed")),
    Reader("scenario, in the studio", "full.yaml", of_yaml, "studio {at}/full.yaml --store {out}/store", looked_at),
    Reader("run, in the studio", "run/scenario.yaml", of_yaml, "studio {at}/run --store {out}/store", looked_at),
    Reader("register", "registry.yaml", of_yaml, "compliance {at}/full.yaml"),
    Reader("summary, checked", "run/summary.json", of_json, _CHECK),
    Reader("result, compared", "baseline.json", of_json, "compare {at}/run {at}/baseline.json"),
    Reader("manifest, shown", "run/manifest.json", of_json, "runs show {at}/run"),
    Reader("summary, as a workbook", "run/summary.json", of_json, "report {at}/run --xlsx {out}/r.xlsx"),
    Reader("manifest, as a workbook", "run/manifest.json", of_json, "report {at}/run --xlsx {out}/r.xlsx"),
    Reader("requests, reported", "run/requests.parquet", of_parquet, "report {at}/run --output {out}/r.html"),
    Reader("levels, reported", "run/levels.parquet", of_parquet, "report {at}/run --output {out}/r.html"),
    Reader("stored simulation", "store/*-0.json", of_json, _RUN, into=True),
    Reader("stored requests", "store/*-0.requests.parquet", of_parquet, f"{_RUN} --full", into=True),
    Reader("sweep under way", "sweep/parts/question.json", of_json, _SWEEP, into=True),
    Reader("part of a sweep", "sweep/parts/000000.parquet", of_parquet, _SWEEP, into=True),
    Reader("shard", "shards/1/sweep.json", of_json, "merge {at}/shards/1 {at}/shards/2 --output {out}/m"),
    Reader(
        "table of a shard", "shards/2/sweep.parquet", of_parquet, "merge {at}/shards/1 {at}/shards/2 --output {out}/m"
    ),
    Reader("profile", "profile.json", of_json, "profile show {at}/profile.json"),
    Reader("profile, drawn", "profile.json", of_json, "profile plot {at}/profile.json --output {out}/p.html"),
    Reader("profile of a scenario", "profile.json", of_json, "validate {at}/drafted.yaml"),
    Reader("price book", "book.json", of_json, "prices list --book {at}/book.json"),
    Reader("price book, compared", "book.json", of_json, "prices diff {at}/book.json 2026-11"),
    Reader("model", "model/config.json", of_json, _IMPORT + "{at}/model"),
    *(
        Reader(f"model, {name}", f"models/{number}/config.json", of_json, f"{_IMPORT}{{at}}/models/{number}")
        for number, name in enumerate(MODELS)
    ),
    Reader("weights of a model", "model/hf_quant_config.json", of_json, _IMPORT + "{at}/model"),
    Reader("about operators", "bf16/meta.yaml", of_yaml, _MIXTURE),
    *(
        Reader(f"operators, {name}", f"bf16/tp1/{name}.csv", of_text, _MIXTURE)
        for name in ("dense", "per_sequence", "attention", "moe", "skew")
    ),
    Reader("replay of a server", "half.json.gz", of_packed_json, f"{_VALIDATE} --replay {{at}}/half.json.gz"),
    Reader(
        "light replay",
        "light.json.gz",
        of_packed_json,
        "bench fit-overhead {at}/light.json.gz --profile {at}/own.json --output {out}/p.json --anyway",
    ),
    Reader("log of a server", "served.jsonl", of_lines, f"{_VALIDATE} --requests {{at}}/served.jsonl"),
    Reader("result of a load test", "seen.json", of_json, f"{_VALIDATE} --requests {{at}}/seen.json"),
    Reader(
        "published measurements",
        "measured.csv",
        of_text,
        "bench validate --measurements {at}/measured.csv --replications 1 --quiet",
    ),
    Reader("start-ups", "start_ups.csv", of_text, "bench memory {at}/start_ups.csv"),
    Reader("measurement under way", "journal/steps.json.unfinished", of_lines, MEASURE, engine, into=True),
    Reader(
        "trace of a scenario",
        "t.csv",
        of_text,
        "run {at}/replays.yaml --output {out}/run --store {out}/store --pattern api --quiet --jobs 1",
    ),
    Reader("trace, cut", "t.csv", of_text, "trace cut {at}/t.csv {out}/t.csv --to 100s"),
    Reader("trace, fitted", "t.csv", of_text, "trace fit {at}/t.csv --output {out}/w.yaml"),
    Reader(
        "mapping of a log",
        "mapping.yaml",
        of_yaml,
        "trace convert --format json {at}/own.log {out}/t.csv --mapping {at}/mapping.yaml",
    ),
    *(Reader(f"packed log, {kind}", f"packed.{kind}", of_bytes, _CONVERT % kind) for kind in ("gz", "zst", "zip")),
    *(
        Reader(
            f"log, {name}",
            f"log-{name}",
            of_text,
            f"trace convert --format {name} {{at}}/log-{name} {{out}}/t.csv {' '.join(sample.options)}",
        )
        for name, sample in LOGS.items()
    ),
    *(
        Reader(
            f"log, {name}",
            f"layouts/{number}",
            of_text,
            f"trace convert --format {format_} {{at}}/layouts/{number} {{out}}/t.csv",
        )
        for number, (name, (format_, _)) in enumerate(LAYOUTS.items())
    ),
]
