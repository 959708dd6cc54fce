"""Sound files of every kind that is read, and what stands in for an engine or a browser where a command needs one."""

from __future__ import annotations

import csv
import gzip
import json
import shutil
import zipfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pyarrow as pa

from simulator.bench.start_ups import COLUMNS
from simulator.cost.prices import read_shipped
from simulator.performance.architecture import known_model
from simulator.performance.profile import read_profile
from simulator.performance.step_time import ProfiledStepTime
from tests.bench.fake_vllm import started
from tests.bench.test_measurements import write as write_measurements
from tests.bench.test_start_ups import START
from tests.experiment.small import _DATA
from tests.fuzz.command import run
from tests.fuzz.variants import LAYOUTS, MODELS
from tests.parts import ROOT
from tests.performance.test_operator_tables import operator_tables
from tests.trace.importers.samples import SAMPLES

CPU = ROOT / "tests" / "bench" / "recorded" / "cpu"
COPIED = {
    "recorded.json.gz": ROOT / "tests" / "conformance" / "recorded" / "single_tokens_async.json.gz",
    "steps.json.gz": CPU / "steps.json.gz",
    "policy.yaml": ROOT / "simulator" / "gate" / "data" / "default_policy.yaml",
}
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
SHIPPED = "llama-3.1-8b-bf16-l40s-x1"
#: What a scenario can say beyond the small one.
FULL = """name: full
horizon: {start: 2027-04-05, duration: 2h, time_zone: America/Chicago, holidays: US}
workloads:
  notes:
    adapter: radiology
    volume: {clinicians: 60, notes_per_day: 15}
    profile: clinical_documentation
    day_variation: 0.1
    departments: {count: 3}
    phi: de_identified
    shared_prefix: [500, {tokens: 100, variants: 3, per: department}]
    turns: {mean: 2, think: {median: 30s, sigma: 0.5}}
    prompt_tokens: {kind: lognormal, mean: 900, sigma: 0.4, at_most: 4000}
    output_tokens: {kind: empirical, values: [50, 100, 300], weights: [1, 2, 1]}
    max_tokens: 400
    priority: 2
    objectives: {ttft: 5s, end_to_end: 60s, share: 95 %}
  letters:
    adapter: billing
    volume: {requests_per_month: 60000}
    phi: false
    trend: {yearly_growth: 0.4}
    prompt_tokens: 500
    output_tokens: 100
    reasoning: {thinking_tokens: {kind: lognormal, median: 300, sigma: 0.8}, share: 60 %}
    clients: {count: 20, think: 5s, think_kind: exponential}
    objectives: {ttfat: 30s, share: 90 %}
  codes:
    follows: {workload: letters, delay: 500ms, delay_sigma: 0.3, correlation: 0.5, share: 50 %}
    phi: false
    prompt_tokens: {kind: lognormal, mean: 400, sigma: 0.3, at_most: 2000}
    output_tokens: 40
    objectives: {chain: 90s}
compliance: {registry: registry.yaml, agreements: {aws: 2026-01-01}}
constraints: {monthly_cost_at_most: 9000 USD/month}
hosting_patterns:
  api: {kind: metered_api, api: {
      model: bedrock/llama-3.3-70b, ttft: {median: 700ms, sigma: 0.4}, output_tokens_per_s: {median: 50, sigma: 0.1},
      network_delay: 20ms,
      limits: {tokens_per_minute: 400_000, tokens_per_day: 90_000_000, day_time_zone: Asia/Tokyo}}}
  adapters:
    kind: self_hosted
    cluster:
      model: llama-3.1-8b
      gpu: l40s
      replicas: 2
      balancing: {kind: prefix_hash, load_factor: 1.25}
      network_delay: 5ms
      placement: {premises: on_site}
      autoscaling: {kind: queue, at_least: 1, idle_for: 10min}
      engine: {max_model_len: 8192, max_num_seqs: 32, policy: priority, lora: {max_loras: 2, max_cpu_loras: 4}}
    costs: {compute: {kind: rental, gpu_hour: 1.91 USD/h}}
prices: {book: 2026-11, overrides: {}}
rollout:
  months: 3
  resale: 40 %
  adoption: {kind: logistic, midpoint: 2, rate: 0.5}
  phases: [{pattern: api}, {pattern: adapters, from_tokens_per_month: 12_000_000, one_off: 15600 USD}]
experiment: {replications: 2, seed: 7}
"""
#: Without adapters, which no engine has beside a drafter; with faults, a router and a profile of one's own.
DRAFTED = """extends: full.yaml
workloads: {notes: {adapter: null}, letters: {adapter: null}}
rollout: null
hosting_patterns:
  adapters: null
  drafted:
    kind: hybrid
    cluster:
      model: llama-3.1-8b
      gpu: l40s
      profile: profile.json
      placement: {premises: on_site}
      balancing: {kind: cache_aware, published_every: 50ms}
      engine:
        speculative: {method: eagle3, num_speculative_tokens: 2, acceptance_rates: [0.7, 0.5],
          acceptance_source: assumed, draft_step_share: 0.1, draft_memory: 1 GiB}
    costs: {compute: {kind: rental, gpu_hour: 1.91 USD/h}}
    api:
      model: bedrock/llama-3.3-70b
      ttft: {median: 700ms, sigma: 0.4}
      output_tokens_per_s: {median: 50, sigma: 0.1}
    routing: {backends: {letters: [bedrock/llama-3.3-70b, cluster], notes: [cluster]}, timeout: 60s}
    faults:
      - {kind: outage, api: bedrock/llama-3.3-70b, at: [mon 00:30], duration: 10min}
      - {kind: failure, cluster: cluster, scope: node, at: [mon 01:00], repair: 20min}
"""
#: With images, which a model for text refuses.
PICTURED = """extends: full.yaml
compliance: null
rollout: null
workloads:
  notes: null
  letters: {adapter: null, clients: null, images: {per_request: 2, width_px: 512, height_px: 640, preprocessing: 20ms}}
hosting_patterns:
  adapters: null
  api: {api: {model: azure/gpt-4o, image_tokens: 256}}
  pictured:
    kind: self_hosted
    cluster: {model: medgemma-4b, gpu: l4, engine: {max_model_len: 4096, mm_processor_kwargs: {do_pan_and_scan: true}}}
    costs: {compute: {kind: rental, gpu_hour: 0.80 USD/h}}
"""
#: Attention over windows, thoughts, pictures and links at once, short enough to be simulated.
WINDOWED = """name: windowed
horizon: {start: 2027-04-05, duration: 20min, time_zone: UTC}
workloads:
  letters:
    volume: {requests_per_month: 90000}
    phi: false
    prompt_tokens: 500
    output_tokens: 100
    max_tokens: 900
    images: {per_request: 1, width_px: 512, height_px: 640}
    objectives: {ttft: 5s}
  codes:
    follows: {workload: letters, delay: 500ms, delay_sigma: 0.3, share: 50 %}
    phi: false
    prompt_tokens: {kind: lognormal, mean: 400, sigma: 0.3, at_most: 2000}
    output_tokens: 40
    reasoning: {thinking_tokens: {kind: lognormal, median: 100, sigma: 0.8}, share: 60 %}
    objectives: {chain: 90s}
hosting_patterns:
  windows:
    kind: self_hosted
    cluster: {model: medgemma-4b, gpu: l4, replicas: 2, engine: {max_model_len: 4096, max_num_seqs: 16}}
    costs: {compute: {kind: rental, gpu_hour: 0.80 USD/h}}
experiment: {replications: 1, seed: 7}
"""
THINKING = """name: thinking
horizon: {start: 2027-04-05, duration: 20min, time_zone: UTC}
workloads:
  letters:
    volume: {requests_per_month: 90000}
    phi: false
    prompt_tokens: 500
    output_tokens: {kind: lognormal, mean: 100, sigma: 0.5, at_most: 400}
    max_tokens: 900
    reasoning: {thinking_tokens: {kind: lognormal, median: 300, sigma: 0.8}, share: 60 %}
    turns: {mean: 2, think: {median: 30s, sigma: 0.5}}
    objectives: {ttfat: 30s, share: 90 %}
  codes:
    follows: {workload: letters, delay: 500ms, delay_sigma: 0.3, share: 50 %}
    phi: false
    prompt_tokens: {kind: lognormal, mean: 400, sigma: 0.3, at_most: 2000}
    output_tokens: 40
    reasoning: {thinking_tokens: 100}
    objectives: {chain: 90s}
hosting_patterns:
  api: {kind: metered_api, api: {model: bedrock/llama-3.3-70b, ttft: {median: 700ms, sigma: 0.4},
        output_tokens_per_s: {median: 50, sigma: 0.1}, network_delay: 20ms}}
  cluster:
    kind: self_hosted
    cluster: {model: llama-3.1-8b, gpu: l40s, replicas: 2, engine: {max_model_len: 8192, max_num_seqs: 32}}
    costs: {compute: {kind: rental, gpu_hour: 1.91 USD/h}}
experiment: {replications: 1, seed: 7}
"""
MAPPING = """columns: {time: at.ms, prompt_tokens: [usage.in], output_tokens: usage.out, status: code, label: dept}
units: {time: ms}
where: {kind: [chat, "!audio*"]}
labels: {icu: icu_notes}
workload: ward
zone: Europe/Berlin
records: "runs[].calls[]"
"""


def prepare(folder: Path) -> None:
    """One sound file of each kind that costs little to make, and a run of a small scenario."""
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
    succeed(
        folder,
        "run {at}/scenario.yaml --output {at}/run --store {at}/store --quiet --jobs 1",
        "trace scale {at}/t.csv {at}/p.parquet --factor 1",
    )
    shutil.copy(folder / "run" / "summary.json", folder / "baseline.json")
    shutil.copy(folder / "p.parquet", folder / "alone.parquet")


def prepare_rest(folder: Path) -> None:
    """Those of all other kinds, beside them."""
    for name in ("half.json.gz", "light.json.gz"):
        shutil.copy(CPU / name, folder / name)
    (folder / "profile.json").write_bytes(
        (ROOT / "simulator" / "performance" / "data" / "profiles" / f"{SHIPPED}.json").read_bytes()
    )
    book = json.loads(read_shipped("2026-11"))
    (folder / "book.json").write_text(json.dumps(book))
    (folder / "registry.yaml").write_text(
        "id: own\ndate: 2026-11-01\nextends: reference\nmodels:\n"
        "  self_hosted/llama-3.1-8b: {approved_on: 2026-10-01, approved_by: a board}\n  azure/gpt-5: null\n"
    )
    (folder / "full.yaml").write_text(FULL)
    (folder / "drafted.yaml").write_text(DRAFTED)
    (folder / "pictured.yaml").write_text(PICTURED)
    (folder / "windowed.yaml").write_text(WINDOWED)
    (folder / "thinking.yaml").write_text(THINKING)
    for number, config in enumerate(MODELS.values()):
        (folder / "models" / str(number)).mkdir(parents=True)
        (folder / "models" / str(number) / "config.json").write_text(json.dumps(config))
    (folder / "layouts").mkdir()
    for number, (_, text) in enumerate(LAYOUTS.values()):
        (folder / "layouts" / str(number)).write_text(text)
    (folder / "replays.yaml").write_text(
        "extends: scenario.yaml\nworkloads: {letters: null, notes: null, "
        "recorded: {trace: {file: t.csv, repeat: false}, objectives: {ttft: 5s}}}\n"
        "hosting_patterns: {hybrid: null}\n"
    )
    _logs(folder)
    _bench(folder)
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text(json.dumps(known_model("llama-3.1-8b").hf_config()))
    (folder / "model" / "hf_quant_config.json").write_text(
        json.dumps(
            {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}}
        )
    )
    _tables(folder)
    over = "sweep {at}/scenario.yaml --over experiment.seed=1,2 --pattern api --store {at}/store --quiet --jobs 1"
    succeed(
        folder,
        f"{over} --shard 1/2 --output {{at}}/shards/1",
        f"{over} --shard 2/2 --output {{at}}/shards/2",
        "bench fit {at}/steps.json.gz --output {at}/own.json",
    )
    parts = patch("simulator.study.sweep_table.Parts.close", lambda _: None)
    with parts:
        succeed(folder, f"{over} --output {{at}}/sweep")


def succeed(at: Path, *commands: str) -> None:
    """Give commands, `{at}` being the folder."""
    for command in commands:
        ended = run(*(word.format(at=at) for word in command.split()))
        assert ended.code == 0, f"{command}: {ended.said}"


def _logs(folder):
    log = LOGS["litellm"].text.encode()
    (folder / "packed.gz").write_bytes(gzip.compress(log, mtime=0))
    with pa.CompressedOutputStream(str(folder / "packed.zst"), "zstd") as out:
        out.write(log)
    with zipfile.ZipFile(folder / "packed.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("log.jsonl", log)
    (folder / "mapping.yaml").write_text(MAPPING)
    calls = [
        {"at": {"ms": 1_715_644_801_000 + 9000 * n}, "usage": {"in": 90, "out": 5}, "code": 200, "dept": "icu",
         "kind": "chat"}
        for n in range(20)
    ]  # fmt: skip
    (folder / "own.log").write_text(json.dumps({"runs": [{"calls": calls}]}))


def _bench(folder):
    write_measurements(folder / "measured.csv", {"duration_s": "10"}, {"id": "b", "rate_rps": "1", "duration_s": "10"})
    rows = [START, START | {"id": "b", "reported_kv_tokens": "400000"}, START | {"id": "c", "gpu": "MI250"}]
    with (folder / "start_ups.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(rows)
    served = [
        {"request_id": f"r{n}", "input_toks": 100 + n, "output_toks": 20, "queued_ts": 4e5 + n,
         "arrival_time": 1.7e9 + n, "scheduled_ts": 4e5 + n, "first_token_ts": 4e5 + n + 0.1,
         "last_token_ts": 4e5 + n + 0.5}
        for n in range(30)
    ]  # fmt: skip
    (folder / "served.jsonl").write_text("".join(json.dumps(row) + "\n" for row in served))
    seen = {
        "date": "20261101-120000", "request_rate": "inf", "max_concurrency": 8, "input_lens": [100] * 9,
        "output_lens": [5] * 9, "start_times": [1.0 * n for n in range(9)], "ttfts": [0.1] * 9,
        "itls": [[0.01] * 4] * 9, "errors": [""] * 9,
    }  # fmt: skip
    (folder / "seen.json").write_text(json.dumps(seen))
    # What a killed measurement leaves: half of its points.
    with engine(), patch("simulator.bench.step_journal.Journal.finish", lambda journal: journal._file.close()):
        (folder / "journal").mkdir()
        succeed(folder, MEASURE.replace("{out}", "{at}"))
    (folder / "journal" / "steps.json").unlink()
    left = folder / "journal" / "steps.json.unfinished"
    lines = left.read_text().splitlines(keepends=True)
    left.write_text("".join(lines[: len(lines) // 2]))


MEASURE = (
    "bench measure llama-3.1-8b --gpu a100-80gb --output {out}/journal/steps.json --quiet --repeats 3"
    " --engine max_num_seqs=4 --engine max_model_len=1024"
)


def _tables(folder):
    inside = operator_tables(folder) / "tp1"
    wide = [(2**n, chunk, 0, 8 * 1024, 100.0, 200.0, 100.0 + 10 * n) for n in range(1, 6) for chunk in (0, 16)]
    for name, columns, rows in (
        ("skew.csv", ("n", "pc", "kp", "kv_big", "t_mean_us", "t_max_us", "t_skew_us"), wide),
        (
            "moe.csv",
            ("tokens", "activated_experts", "time_us"),
            [(t, e, 100.0 * e + t) for t in (1, 16, 256, 2048) for e in (2, 4, 8)],
        ),
    ):
        with (inside / name).open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(columns)
            table.writerows(rows)


@contextmanager
def engine():
    """A stand-in for vLLM, whose steps take a known time."""
    step_time = ProfiledStepTime(read_profile("llama-3.1-8b-bf16-a100-80gb-x1"), 32, 2048)
    with patch("simulator.bench.measure.start", lambda *_, **__: started(step_time)):
        yield


@contextmanager
def looked_at():
    """The studio opens its page, shows it once, and ends; nothing is simulated."""

    def serve(app, held):
        held.close()
        path = app.config.url_base_pathname
        client = app.server.test_client()
        assert client.get(f"{path}_dash-layout").status_code == 200
        return SimpleNamespace(port=0, serve_forever=lambda: None, server_close=lambda: None)

    idle = SimpleNamespace(ask=lambda scenario: None, state=(0, None, False, ""))
    with ExitStack() as patches:
        patches.enter_context(patch("simulator.studio.server.serve", serve))
        patches.enter_context(patch("simulator.studio.desk.Desk", lambda *_, **__: idle))
        yield
