"""Start-ups of real vLLM servers beside what the memory model says of them: KV tokens, and whether they started.

One row per start-up, in the columns of `COLUMNS`; more are ignored. A row that names a model, GPU or format the model
does not know, or leaves its version open, is left out with the reason. Of its share of the memory and its longest
request one may be left open, and is then what vLLM takes by itself; one that leaves the share open is held by its
verdict alone. A row that states neither, or a GPU that the catalogue lacks, is held by its tokens alone, where its note
begins with the memory that was left for KV and they do not depend on the longest request; else it is left out. Nothing
is fitted here.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from simulator.bench.gpu_names import published_gpu
from simulator.errors import TraceError
from simulator.performance.architecture import known_model
from simulator.performance.memory import measure_capacity
from simulator.performance.weight_formats import weights_gib
from simulator.reading import read_unpacked
from simulator.scenario.gpus import GPUS
from simulator.scenario.patterns import EngineSettings
from simulator.units import GIB

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.table import Table

    from simulator.performance.architecture import ModelShape
    from simulator.performance.memory import KvCapacity

COLUMNS: Final = (
    "id", "model", "quant", "kv_dtype", "gpu", "n", "tp", "util", "max_len", "version", "reported_kv_tokens",
    "reported_verdict", "note",
)  # fmt: skip
_FORMATS: Final = {
    "bf16": "bf16", "fp16": "bf16", "fp8": "fp8", "int8": "int8", "w8a8": "int8", "awq": "w4a16", "gptq-int4": "w4a16",
    "w4a16": "w4a16", "int4": "w4a16", "mxfp4": "mxfp4", "nvfp4": "nvfp4",
}  # fmt: skip
#: Formats of the KV cache that are modelled, by what precedes a remark.
_KV_DTYPES: Final = {"bf16": "bfloat16", "fp16": "bfloat16", "fp8": "fp8"}
#: Where a row names a month in place of a version: the newest in its middle, by the dates of vLLM's releases on PyPI;
#: of a year alone the last, since such rows were collected at its end.
_MONTH: Final = re.compile(r"20\d\d-\d\d$")
_YEAR: Final = re.compile(r"20\d\d$")
_RELEASES: Final = (
    ("2025-07-08", "0.9.2"), ("2025-07-25", "0.10.0"), ("2025-10-04", "0.11.0"), ("2025-12-03", "0.12.0"),
    ("2025-12-19", "0.13.0"), ("2026-01-20", "0.14.0"), ("2026-01-29", "0.15.0"), ("2026-02-26", "0.16.0"),
    ("2026-03-07", "0.17.0"), ("2026-03-20", "0.18.0"), ("2026-04-03", "0.19.0"), ("2026-04-27", "0.20.0"),
    ("2026-05-15", "0.21.0"), ("2026-05-29", "0.22.0"), ("2026-06-15", "0.23.0"), ("2026-06-30", "0.24.0"),
    ("2026-07-11", "0.25.0"), ("2026-07-25", "0.26.0"), ("2026-08-10", "0.27.0"), ("2026-08-26", "0.28.0"),
    ("2026-09-09", "0.29.0"), ("2026-09-22", "0.30.0"), ("2026-10-05", "0.31.0"), ("2026-10-18", "0.32.0"),
    ("2026-11-02", "0.33.0"),
)  # fmt: skip
#: A note that begins with the memory of each GPU that was left for KV.
_KV_GIB: Final = re.compile(r"(\d+(?:\.\d+)?) GiB\b")
_VERSION: Final = re.compile(r"\d+\.\d+(\.\d+)?")
#: Tokens, requests or GPUs of a server: more of them are a slip.
_MOST: Final = 10**12
#: Longest request up to which V0 computed prompts whole.
_V0_WHOLE: Final = 32_768


@dataclass(frozen=True, slots=True)
class StartUp:
    """A start-up that can be represented.

    Attributes:
        id: Of its row.
        model: Shape of its model.
        gpu: GPU type.
        tensor_parallel: GPUs among which it is split.
        weights_gib_per_gpu: As its shape and format come to.
        engine: Its settings; what the source does not state is vLLM's default for GPU and version.
        v0: Whether the V0 engine ran.
        flashinfer: Whether its note says that FlashInfer is installed.
        tokens: KV tokens it reported; None where it did not, or does not state its share of the memory.
        started: Whether it started; None where what it depends on is not stated.
    """

    id: str
    model: ModelShape
    gpu: str
    tensor_parallel: int
    weights_gib_per_gpu: float
    engine: EngineSettings
    v0: bool
    flashinfer: bool
    tokens: int | None
    started: bool | None


@dataclass(frozen=True, slots=True)
class Held:
    """A start-up beside the memory model.

    Attributes:
        start_up: What was reported.
        capacity: What the model says.
    """

    start_up: StartUp
    capacity: KvCapacity

    @property
    def starts(self) -> bool:
        """Whether one request of the longest length fits."""
        return self.capacity.requests >= 1

    @property
    def wrong(self) -> bool:
        """Whether it started, and should not have, or did not."""
        return self.start_up.started is not None and self.starts != self.start_up.started

    @property
    def ratio(self) -> float | None:
        """Modelled over reported tokens."""
        return self.capacity.logged_tokens / self.start_up.tokens if self.start_up.tokens else None


def read_start_ups(path: Path) -> tuple[list[StartUp], dict[str, list[str]]]:
    """The start-ups that can be represented, and ids of the others by the reason.

    Raises:
        TraceError: The file cannot be read, lacks columns, or a number is none.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(read_unpacked(path).decode("utf-8"), newline="")))
    except (OSError, ValueError, csv.Error) as error:
        raise TraceError(f"{path}: cannot be read: {error}") from None
    if missing := [name for name in COLUMNS if not rows or name not in rows[0]]:
        raise TraceError(f"{path}: {'no rows' if not rows else 'no column ' + ', '.join(missing)}")
    found: list[StartUp] = []
    skipped: dict[str, list[str]] = {}
    faults = []
    for line, row in enumerate(rows, 2):
        try:
            one = _start_up({key: (value or "").strip() for key, value in row.items() if key})
        except ValueError as error:
            faults.append(f"{path}:{line}: {error}")
            continue
        if isinstance(one, StartUp):
            found.append(one)
        else:
            skipped.setdefault(one, []).append(row["id"])
    if faults:
        raise TraceError("\n".join(faults))
    return found, skipped


def _start_up(row: Mapping[str, str]) -> StartUp | str:
    """A row, or why it cannot be represented."""
    shape = known_model(row["model"].split()[0]) if row["model"] else None
    gpu, quantisation = published_gpu(row["gpu"]), _FORMATS.get(row["quant"])
    version = _version(row["version"])
    # A remark after it, such as "MLA + indexer", changes nothing.
    kv_dtype = _KV_DTYPES.get(row["kv_dtype"].split()[0] if row["kv_dtype"] else "")
    stated = gpu is not None and (row["util"] or row["max_len"])
    kv_memory = None if stated else _KV_GIB.match(row["note"])
    reasons = (
        ("the model is not known", shape is None),
        ("weights in a format that is not modelled", quantisation is None),
        ("a KV cache in a format that is not modelled", kv_dtype is None),
        ("the GPU is not known", gpu is None and not kv_memory),
        ("not split by tensor parallelism alone", row["n"] != row["tp"]),
        ("neither the share of the memory nor the longest request is stated", not (stated or kv_memory)),
        (
            "no longest request is stated, nor known of the model",
            not row["max_len"] and not (shape and shape.context_tokens),
        ),
        ("no version is stated", version is None),
    )
    for reason, applies in reasons:
        if applies:
            return reason
    assert shape is not None
    gpu = gpu or ""
    assert quantisation is not None
    assert version is not None
    tensor_parallel = _count(row, "tp")
    before_0_8 = tuple(map(int, version.split(".")[:2])) < (0, 8)
    v0 = before_0_8 and "V1" not in row["version"]
    settings: dict[str, Any] = {
        "max_model_len": _count(row, "max_len") if row["max_len"] else shape.context_tokens or 0,
        "vllm_version": version,
        "gpu_memory_utilisation": float(row["util"] or _share(version)), "kv_cache_dtype": kv_dtype,
    }  # fmt: skip
    if v0 and settings["max_model_len"] <= _V0_WHOLE:
        settings |= {"chunked_prefill": False, "max_num_batched_tokens": max(2048, settings["max_model_len"])}
    elif before_0_8 and not v0 and gpu.startswith("h"):
        # V1 as it was an experiment (0.7.2, `_override_v1_engine_args`).
        settings["max_num_batched_tokens"] = 8192
    if kv_memory:
        settings["kv_cache_memory"] = round(float(kv_memory[1]) * GIB)
    settings |= {key: _count(row, key) for key in ("max_num_seqs", "max_num_batched_tokens") if row.get(key)}
    one = StartUp(
        id=row["id"],
        model=shape,
        gpu=gpu,
        tensor_parallel=tensor_parallel,
        weights_gib_per_gpu=weights_gib(shape, tensor_parallel, quantisation, gpu),
        engine=EngineSettings(**settings).on(gpu),
        v0=v0,
        flashinfer="flashinfer" in row["note"].lower(),
        tokens=_count(row, "reported_kv_tokens") if row["reported_kv_tokens"] and (row["util"] or kv_memory) else None,
        started=row["reported_verdict"] == "started" if stated else None,
    )
    if kv_memory and not measure_capacity(one, one.engine).plan.uniform:
        return "its tokens depend on the longest request, which is not stated"
    if gpu and one.tokens is not None and _kv_gib(one) > GPUS[gpu].memory_gib - one.weights_gib_per_gpu:
        return "more KV is reported than the GPU could hold beside the weights"
    return one


def _count(row: Mapping[str, str], column: str) -> int:
    """A whole number of a row.

    Raises:
        ValueError: It is none, or larger than anything that a server has.
    """
    count = int(row[column])
    if not 0 <= count <= _MOST:
        raise ValueError(f"{column}: expected a whole number of at most {_MOST:,}, got {row[column][:30]}")
    return count


def _kv_gib(one: StartUp) -> float:
    """Memory of one GPU that the reported KV tokens take."""
    capacity = measure_capacity(one, one.engine, v0=one.v0, flashinfer=one.flashinfer)
    per_token = capacity.plan.bytes_per_block / max(1, capacity.logged_tokens) * max(1, capacity.pool_blocks)
    return (one.tokens or 0) * per_token / GIB


def _version(text: str) -> str | None:
    """The version that a row names, or that was the newest in the month or year it names."""
    middle = f"{text}-15" if _MONTH.match(text) else f"{text}-12-31" if _YEAR.match(text) else ""
    if middle:
        return next((version for date, version in reversed(_RELEASES) if date < middle), None)
    found = _VERSION.search(text)
    return found[0] if found else None


def _share(version: str) -> float:
    """vLLM's own share of the memory: 0.92 in 0.33, 0.9 in the wheels up to 0.20."""
    return 0.92 if tuple(map(int, version.split(".")[:2])) > (0, 20) else 0.9


def hold(start_ups: Sequence[StartUp]) -> list[Held]:
    """Each start-up beside the memory model."""
    return [Held(one, measure_capacity(one, one.engine, v0=one.v0, flashinfer=one.flashinfer)) for one in start_ups]


def document(held: Sequence[Held], skipped: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """What came out, for machines."""
    ratios = [one.ratio for one in held if one.ratio is not None]
    return {
        "rows": len(held) + sum(map(len, skipped.values())),
        "representable": len(held),
        "with_tokens": len(ratios),
        "median_ratio": median(ratios) if ratios else None,
        "median_absolute_error": median(abs(ratio - 1) for ratio in ratios) if ratios else None,
        "worst_absolute_error": max((abs(ratio - 1) for ratio in ratios), default=None),
        "wrong_verdicts": [one.start_up.id for one in held if one.wrong],
        "cases": [
            {
                "id": one.start_up.id,
                "reported_tokens": one.start_up.tokens,
                "modelled_tokens": one.capacity.logged_tokens,
                "modelled_requests": one.capacity.requests,
                "ratio": one.ratio,
                "reported_started": one.start_up.started,
                "modelled_starts": one.starts,
                "reserve_gib": one.capacity.reserve.gib,
            }
            for one in held
        ],
        "not_represented": {reason: list(ids) for reason, ids in skipped.items()},
    }


def table(held: Sequence[Held], skipped: Mapping[str, Sequence[str]]) -> Table:
    """The same for people."""
    from rich.table import Table

    found = document(held, skipped)
    grid = Table(title="KV tokens of real start-ups, reported and modelled", title_justify="left")
    for name, side in (
        ("row", "left"), ("model", "left"), ("GPUs", "left"), ("reported", "right"), ("modelled", "right"),
        ("ratio", "right"), ("neither weights nor KV, GiB", "right"), ("verdict", "left"),
    ):  # fmt: skip
        grid.add_column(name, justify="right" if side == "right" else "left")
    for one in held:
        said, ratio = one.start_up, one.ratio
        right = {True: "started", False: "refused", None: "–"}[said.started]
        grid.add_row(
            said.id,
            said.model.name,
            f"{said.tensor_parallel} x {said.gpu or 'not named'}",
            "–" if said.tokens is None else f"{said.tokens:,}",
            f"{one.capacity.logged_tokens:,}",
            "–" if ratio is None else f"{ratio:.3f}",
            f"{one.capacity.reserve.gib:.2f}",
            f"{right}, WRONG" if one.wrong else right,
        )
    errors = found["median_absolute_error"], found["worst_absolute_error"]
    lines = [
        f"{found['representable']} of {found['rows']} rows represented, {len(found['wrong_verdicts'])} verdicts wrong.",
        *(
            [
                f"Of {found['with_tokens']} with tokens: median ratio {found['median_ratio']:.3f}, median error "
                f"{100 * errors[0]:.1f} %, worst {100 * errors[1]:.1f} %."
            ]
            if found["with_tokens"]
            else []
        ),
        *(f"Not represented, {reason}: {', '.join(ids)}." for reason, ids in skipped.items()),
    ]
    grid.caption = "\n".join(lines)
    grid.caption_justify = "left"
    return grid
