"""Published serving measurements: what was sent to which server, and what it measured.

One row per experiment and load stage, in the columns of `COLUMNS`, of which those of `FURTHER` may be absent. A row
says how requests arrived: at a Poisson rate (`open`; numbered stages follow one another on one server) or evenly spaced
(`even`), either of them with a `concurrency` that caps how many are under way; at a fixed concurrency (`closed`), one
after the other (`single`), or all at once (`burst`).
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from simulator.bench.gpu_names import published_gpu
from simulator.errors import TraceError
from simulator.reading import read_unpacked

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Kind = Literal["open", "even", "closed", "single", "burst"]

COLUMNS: Final = (
    "id", "gpu", "tp", "model", "quant", "vllm_version", "max_num_seqs", "max_num_batched_tokens", "kv_blocks", "stage",
    "rate_rps", "concurrency", "duration_s", "n_requests", "prompt_len_mean", "prompt_len_spec", "output_len_mean",
    "output_len_spec", "quality", "notes",
)  # fmt: skip
#: Columns that say what else would be guessed from the notes, or taken as vLLM's default: how much of the memory the
#: server had, what it did with prefixes and long prompts, which prompts come again (`repeating`: how many there are, in
#: how many `prefix_groups` that share their first `prefix_group_tokens`), how far lengths spread (a lognormal's sigma).
FURTHER: Final = (
    "eager", "gpu_memory_utilization", "prefix_caching", "long_prefill_token_threshold", "kv_dtype", "repeating",
    "prefix_groups", "prefix_group_tokens", "prompt_len_sigma", "output_len_sigma",
)  # fmt: skip
_NUMBERS: Final = (
    "gpu_memory_utilization", "long_prefill_token_threshold", "prefix_groups", "prefix_group_tokens",
    "prompt_len_sigma", "output_len_sigma", "tp", "max_num_seqs", "max_num_batched_tokens", "kv_blocks", "rate_rps",
    "concurrency", "duration_s", "n_requests", "prompt_len_mean", "output_len_mean",
)  # fmt: skip
#: Metric to the column that holds it and the factor to SI units.
METRICS: Final = {
    "ttft_mean_s": ("ttft_mean_ms", 1e-3),
    "ttft_p90_s": ("ttft_p90_ms", 1e-3),
    "ttft_p99_s": ("ttft_p99_ms", 1e-3),
    "itl_mean_s": ("itl_server_ms", 1e-3),
    "tpot_p99_s": ("tpot_p99_ms", 1e-3),
    "e2e_mean_s": ("e2e_mean_ms", 1e-3),
    "e2e_p90_s": ("e2e_p90_ms", 1e-3),
    "e2e_p99_s": ("e2e_p99_ms", 1e-3),
    "requests_per_s": ("req_s", 1.0),
    "output_tokens_per_s": ("out_tok_s", 1.0),
}
#: Grades that are replayed where none is asked for.
GRADES: Final = ("A", "A-")
#: The harness's prompts come out longer than configured, for want of a common tokeniser (575 for 547, 1,082 for 1,034).
RETOKENISED: Final = 1.05
#: Prompts that come again and again: ten groups of ten.
REPEATING: Final = 100
_KV_FP8: Final = re.compile(r"(?:[,+&]|and|with|\b)\s*fp8[ -]kv(?:[ -]cache)?\b", re.I)
_QUANTISATION: Final = (
    (re.compile(r"mxfp4", re.I), "mxfp4"),
    (re.compile(r"nvfp4", re.I), "nvfp4"),
    (re.compile(r"awq|gptq|w4a16|int4", re.I), "w4a16"),
    (re.compile(r"fp8", re.I), "fp8"),
    (re.compile(r"w8a8|int8", re.I), "int8"),
    (re.compile(r"bf16|fp16", re.I), "bf16"),
)
_EAGER: Final = re.compile(r"eager", re.I)
_SHARED: Final = re.compile(r"shared (?:system )?(\d+)")
_GROUPS: Final = re.compile(r"(\d+) groups")
_MEMORY: Final = re.compile(r"gpu[_ ]mem(?:ory)?(?:_utili[sz]ation)? (0\.\d+)")
_YES_OR_NO: Final = ("true", "false")
_KV_DTYPES: Final = ("auto", "bfloat16", "fp8", "fp8_e4m3", "fp8_e5m2")
#: vLLM before 0.30 took 90 % of the memory by default; all published rows are older.
MEMORY_SHARE: Final = 0.90
#: More is no length, limit, count or time of a measurement.
_MOST: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class Stage:
    """One row: a stretch of load and what was measured in it.

    Attributes:
        row: Its id.
        rate_per_s: Poisson rate of an open stage.
        duration_s: Length of an open stage.
        requests: Requests of a closed stage or a burst.
        concurrency: Clients of a closed stage; how many requests of an open one may be under way, 0 for any number.
        measured: Metric to value, in seconds and per second.
        starts_up: Whether the engine's start-up is part of it, so that its tail says nothing.
        continues: Whether there was another stage before it.
    """

    row: str
    rate_per_s: float
    duration_s: float
    requests: int
    concurrency: int
    measured: dict[str, float]
    starts_up: bool
    continues: bool


@dataclass(frozen=True, slots=True)
class Experiment:
    """One server under one or more stages of load.

    Attributes:
        name: The rows' common id.
        model: As the source names it.
        gpu: GPU type, as profiles name it.
        tensor_parallel: GPUs.
        quantisation: Weight format.
        vllm_version: As the source names it.
        kind: How requests arrive.
        prompt_tokens: Mean prompt, as the server saw it.
        repeating: How many prompts come again and again, so that the prefix cache holds them; 0 for none.
        groups: Of so many groups each shares the beginning of its prompts; 0 for none.
        group_tokens: How long that is.
        prompt_sigma: Sigma of the logarithm of the prompt's length.
        output_sigma: Sigma of the logarithm of the output's length.
        output_tokens: Output of every request.
        max_num_seqs: As served; 0 when not stated.
        max_num_batched_tokens: As served; 0 when not stated.
        kv_blocks: As served; 0 when not stated.
        eager: Whether it ran without CUDA graphs.
        memory_share: Of the GPU, what vLLM may use.
        prefix_caching: Whether it reused what prompts begin with.
        long_prefill_threshold: Tokens from which a prompt is long; 0 for none.
        kv_dtype: Of the KV cache, as vLLM names it.
        quality: The collection's grade.
        stages: In order.
    """

    name: str
    model: str
    gpu: str
    tensor_parallel: int
    quantisation: str
    vllm_version: str
    kind: Kind
    prompt_tokens: int
    repeating: int
    groups: int
    group_tokens: int
    prompt_sigma: float
    output_tokens: int
    output_sigma: float
    max_num_seqs: int
    max_num_batched_tokens: int
    kv_blocks: int
    eager: bool
    memory_share: float
    prefix_caching: bool
    long_prefill_threshold: int
    kv_dtype: str
    quality: str
    stages: tuple[Stage, ...]


@dataclass(slots=True)
class Collection:
    """What a file holds, and which rows cannot be replayed.

    Attributes:
        experiments: In the order of the file.
        skipped: Row ids by the reason they cannot be replayed.
    """

    experiments: list[Experiment] = field(default_factory=list)
    skipped: dict[str, list[str]] = field(default_factory=dict)

    def skip(self, row: str, reason: str) -> None:
        """Note a row that cannot be replayed."""
        self.skipped.setdefault(reason, []).append(row)


def read_measurements(path: Path, qualities: Iterable[str]) -> Collection:
    """Read a file of measurements and put its rows together to experiments.

    Args:
        path: CSV with at least `COLUMNS`.
        qualities: Grades to take; the others are skipped.

    Raises:
        TraceError: The file cannot be read, lacks columns, has numbers that are none, or holds no row of a grade that
            was asked for beside `GRADES`; all faults at once.
    """
    wanted = set(qualities)
    held: set[str] = set()
    collection = Collection()
    faults: list[str] = []
    grouped: dict[str, list[dict[str, str]]] = {}
    for line, row in _rows(path):
        found = [f"{path}:{line}: {fault}" for fault in _faults(row)]
        faults += found
        if found:
            continue
        held.add(row["quality"])
        if row["quality"] not in wanted:
            collection.skip(row["id"], f"quality {row['quality'] or 'unknown'} was not asked for")
        elif reason := _reason_against(row):
            collection.skip(row["id"], reason)
        else:
            grouped.setdefault(re.sub(r"-s\d+$", "", row["id"]), []).append(row)
    if not faults and (unheard := sorted(wanted - held - set(GRADES))):
        named = ", ".join(sorted(held - {""})) or "none"
        faults = [f"{path}: quality: no row is of grade '{grade}'; the file has {named}" for grade in unheard]
    if faults:
        raise TraceError("\n".join(faults))
    collection.experiments = [_experiment(name, rows) for name, rows in grouped.items()]
    return collection


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        reader = csv.DictReader(io.StringIO(read_unpacked(path).decode("utf-8"), newline=""))
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise TraceError(f"{path}: lacks the columns {', '.join(missing)}")
        return [(reader.line_num, {key: value or "" for key, value in row.items() if key}) for row in reader]
    except (OSError, ValueError, csv.Error) as error:
        raise TraceError(f"{path}: cannot be read as CSV: {error}") from None


def _faults(row: dict[str, str]) -> list[str]:
    names = (*_NUMBERS, *(column for column, _ in METRICS.values()))
    found = [f"{name}: '{row[name]}' is not a number" for name in names if _bad_number(row.get(name, ""))]
    for name, known in (("eager", _YES_OR_NO), ("kv_dtype", _KV_DTYPES), ("repeating", (*_YES_OR_NO, "a number"))):
        said = row.get(name, "").lower()
        if said and said not in known and not (name == "repeating" and said.isdigit()):
            found.append(f"{name}: '{row[name]}', expected one of {', '.join(known)}, or nothing")
    return found


def _bad_number(text: str) -> bool:
    try:
        return bool(text) and not 0 <= float(text) <= _MOST
    except ValueError:
        return True


def _number(row: dict[str, str], name: str) -> float:
    return float(row.get(name) or 0.0)


def _gpu(row: dict[str, str]) -> str | None:
    """The board, where it is sure: a remark in brackets says that it is not, or that something stands between two."""
    gpu = published_gpu(row["gpu"])
    sure = "(" not in row["gpu"] and ("pcie" in row["gpu"].lower()) == ("pcie" in (gpu or ""))
    return gpu if sure else None


def _quantisation(row: dict[str, str]) -> str | None:
    text = f"{row['quant']} {row['model']}" if row["quant"].lower().startswith("fp8 dynamic") else row["quant"]
    text = _KV_FP8.sub("", text)
    return next((name for pattern, name in _QUANTISATION if pattern.search(text)), None)


def _kv_dtype(row: dict[str, str]) -> str:
    return row.get("kv_dtype", "").lower() or ("fp8" if _KV_FP8.search(row["quant"]) else "auto")


def _kind(row: dict[str, str]) -> Kind | None:
    stage = row["stage"]
    if stage.isdigit() or stage == "open":
        return "open"
    return stage if stage in ("even", "closed", "single", "burst") else None  # type: ignore[return-value]


def _reason_against(row: dict[str, str]) -> str | None:
    """Why a row cannot be replayed, if so."""
    kind = _kind(row)
    checks = (
        (row["stage"] == "summary", "it sums up stages that are replayed one by one"),
        (kind is None, f"arrivals of the kind '{row['stage']}' are not replayed"),
        (_gpu(row) is None, f"no kernel timings for the board {row['gpu']}"),
        (_quantisation(row) is None, f"{row['quant']}: a format the step-time model does not cover"),
        (not _output_tokens(row) or not _prompt_tokens(row), "it states no prompt or output length"),
        (max(_output_tokens(row), _prompt_tokens(row)) > _MOST, "no request is as long as it states"),
        (kind in ("open", "even") and not _number(row, "rate_rps"), "it states no arrival rate"),
        (kind == "closed" and not _number(row, "concurrency"), "it states no concurrency"),
        (kind == "burst" and not _number(row, "n_requests"), "it states no number of requests"),
        (not _measured(row), "it holds no metric to compare"),
    )
    return next((reason for applies, reason in checks if applies), None)


def _measured(row: dict[str, str]) -> dict[str, float]:
    """Metrics by name; a 0 stands for what was not measured."""
    found = {name: value * unit for name, (column, unit) in METRICS.items() if (value := _number(row, column))}
    if "itl_mean_s" not in found and row.get("itl_mean_ms") and _kind(row) not in ("open", "even"):
        found["itl_mean_s"] = float(row["itl_mean_ms"]) * 1e-3
    return found


def _output_tokens(row: dict[str, str]) -> int:
    """The stated length: a mean may count a client's own tokens."""
    spec = row["output_len_spec"]
    return (
        _whole(spec.removesuffix(".0")) if re.fullmatch(r"\d+(\.0)?", spec) else round(_number(row, "output_len_mean"))
    )


def _whole(digits: str) -> int:
    """A count; of absurd ones so much as tells that."""
    return int(digits.lstrip("0")[:12] or 0)


def _prompt_tokens(row: dict[str, str]) -> int:
    mean, spec = _number(row, "prompt_len_mean"), row["prompt_len_spec"]
    if mean:
        return round(mean)
    total = re.search(r"=\s*(\d+)", spec) or re.search(r"(\d+)", spec)
    if not total:
        return 0
    return round(_whole(total.group(1)) * (RETOKENISED if "before retokenisation" in spec else 1.0))


def _experiment(name: str, rows: list[dict[str, str]]) -> Experiment:
    first = rows[0]
    groups, group_tokens = _groups(first)
    return Experiment(
        name=name,
        model=first["model"],
        gpu=_gpu(first) or "",
        tensor_parallel=int(_number(first, "tp")),
        quantisation=_quantisation(first) or "",
        vllm_version=first["vllm_version"],
        kind=_kind(first) or "open",
        prompt_tokens=_prompt_tokens(first),
        repeating=_repeating(first),
        groups=groups,
        group_tokens=group_tokens,
        prompt_sigma=_number(first, "prompt_len_sigma"),
        output_tokens=_output_tokens(first),
        output_sigma=_number(first, "output_len_sigma"),
        max_num_seqs=int(_number(first, "max_num_seqs")),
        max_num_batched_tokens=int(_number(first, "max_num_batched_tokens")),
        kv_blocks=int(_number(first, "kv_blocks")),
        eager=first.get("eager", "").lower() == "true" or (not first.get("eager") and _noted(_EAGER, first) != ""),
        memory_share=_number(first, "gpu_memory_utilization") or float(_noted(_MEMORY, first) or MEMORY_SHARE),
        prefix_caching=not first.get("prefix_caching", "").lower().startswith(("off", "false")),
        long_prefill_threshold=int(_number(first, "long_prefill_token_threshold")),
        kv_dtype=_kv_dtype(first),
        quality=first["quality"],
        stages=tuple(_stage(row) for row in sorted(rows, key=lambda row: row["stage"])),
    )


def _noted(pattern: re.Pattern[str], row: dict[str, str]) -> str:
    found = pattern.search(row["notes"])
    return found.group(found.re.groups) if found else ""


def _repeating(row: dict[str, str]) -> int:
    """How many prompts come again: what the column says, else whether a note does."""
    stated = row.get("repeating", "").lower()
    if stated.isdigit():
        return int(stated)
    noted = "repeat" in row["notes"] or "warm" in row.get("prefix_caching", "")
    return REPEATING if stated == "true" or (not stated and noted) else 0


def _groups(row: dict[str, str]) -> tuple[int, int]:
    """Groups of prompts that share a beginning, and its tokens as the server saw them."""
    shared = _SHARED.search(row["prompt_len_spec"])
    scale = RETOKENISED if "before retokenisation" in row["prompt_len_spec"] else 1.0
    tokens = int(_number(row, "prefix_group_tokens")) or (round(_whole(shared.group(1)) * scale) if shared else 0)
    groups = int(_number(row, "prefix_groups")) or _whole(_noted(_GROUPS, row))
    return (groups, tokens) if groups and tokens else (0, 0)


def _stage(row: dict[str, str]) -> Stage:
    rate_per_s, requests = _number(row, "rate_rps"), int(_number(row, "n_requests"))
    return Stage(
        row=row["id"],
        rate_per_s=rate_per_s,
        duration_s=_number(row, "duration_s") or (requests / rate_per_s if rate_per_s else 0.0),
        requests=requests,
        concurrency=int(_number(row, "concurrency")) or (row["stage"] == "single"),
        measured=_measured(row),
        starts_up=row["stage"] == "0",
        continues=row["stage"].isdigit() and int(row["stage"]) > 0,
    )
