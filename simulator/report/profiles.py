"""A performance profile as a person wants to see it: what a step lasts, what a replica serves, how sure that is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from simulator.errors import InfeasibleCluster
from simulator.performance.capacity import saturated_requests_per_s
from simulator.performance.memory import kv_capacity
from simulator.performance.step_time import ProfiledStepTime
from simulator.scenario.gpus import GPUS
from simulator.scenario.patterns import EngineSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import plotly.graph_objects as go
    from rich.console import RenderableType

    from simulator.performance.profile import PerformanceProfile

BATCHES: Final = (1, 8, 16, 32, 64, 128, 256)
#: Context of each sequence in the table of steps: a note's prompt and half its answer.
CONTEXT_TOKENS: Final = 700
PROMPT_TOKENS, OUTPUT_TOKENS = 600, 200
CHUNKS: Final = (128, 512, 1024, 2048)
COLOURS: Final = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf")


def facts(profile: PerformanceProfile) -> dict[str, Any]:
    """What `simulator profile show` says, as numbers: memory, step times, decode rate and sustained rate."""
    engine = EngineSettings().on(profile.gpu)
    model = ProfiledStepTime(profile, max(BATCHES), engine.max_num_batched_tokens)
    tokens, memory = _memory(profile, engine)
    steps = [
        {
            "sequences": batch,
            "decode_step_s": _decode_s(model, batch),
            "decode_tokens_per_s": batch / _decode_s(model, batch),
            "fits_kv": batch * (PROMPT_TOKENS + OUTPUT_TOKENS) <= tokens,
            "sustained_output_tokens_per_s": {
                f"{100 * share:.0f}%": _sustained(model, engine, tokens, batch, share) for share in (0.0, 0.5, 0.9)
            },
        }
        for batch in BATCHES
    ]
    return {
        "id": profile.id,
        "label": profile.label,
        "kv_tokens": tokens,
        "memory": memory,
        "steps": steps,
        "prefill_s": {str(chunk): model.step_s(0, 0, [(chunk, 0)]) for chunk in CHUNKS},
        "step_time_band": [profile.step_time_band.low, profile.step_time_band.high],
    }


def _memory(profile: PerformanceProfile, engine: EngineSettings) -> tuple[int, str]:
    if profile.gpu not in GPUS:
        return 0, f"memory of {profile.gpu} is unknown: a scenario must state num_gpu_blocks"
    try:
        capacity = kv_capacity(profile, engine)
    except InfeasibleCluster as error:
        return 0, str(error)
    return capacity.tokens, capacity.explain()


def _decode_s(model: ProfiledStepTime, batch: int) -> float:
    return model.step_s(batch, batch * CONTEXT_TOKENS, [])


def _sustained(model: ProfiledStepTime, engine: EngineSettings, kv_tokens: int, batch: int, cached: float) -> float:
    """Output tokens per second of a replica that is never short of work and may run `batch` sequences."""
    if not kv_tokens:
        return 0.0
    return OUTPUT_TOKENS * saturated_requests_per_s(
        model,
        kv_tokens=kv_tokens,
        max_num_seqs=batch,
        max_num_batched_tokens=engine.max_num_batched_tokens,
        prompt_tokens=PROMPT_TOKENS,
        cached_tokens=cached * PROMPT_TOKENS,
        output_tokens=OUTPUT_TOKENS,
    )


def summary(profile: PerformanceProfile) -> RenderableType:
    """Shape, memory, step times, throughput, basis and doubts, for a terminal."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    found, model = facts(profile), profile.model
    grid = Table(title=f"{profile.id} ({profile.label})", title_justify="left")
    for name in ("sequences", "decode step, ms", "decode only", "no prefix cached", "half cached", "90 % cached"):
        grid.add_column(name, justify="right")
    for step in found["steps"]:
        sustained = step["sustained_output_tokens_per_s"].values()
        beyond = "" if step["fits_kv"] else " *"
        grid.add_row(
            f"{step['sequences']}{beyond}", f"{step['decode_step_s'] * 1e3:.1f}", f"{step['decode_tokens_per_s']:,.0f}",
            *(f"{rate:,.0f}" for rate in sustained),
        )  # fmt: skip
    prefill = ", ".join(f"{chunk} tokens {seconds * 1e3:.0f} ms" for chunk, seconds in found["prefill_s"].items())
    band, overhead, measured = profile.step_time_band, profile.overhead, profile.measured
    experts = f", {model.experts} experts of which {model.experts_per_token} are used" if model.experts > 1 else ""
    lines = [
        f"Steps at {CONTEXT_TOKENS} tokens of context; rates in output tokens per second.",
        "'Decode only' is the rate while no prompt is computed. The columns after it hold for prompts of "
        f"{PROMPT_TOKENS} tokens and answers of {OUTPUT_TOKENS}: every answer costs a prompt as well, so the rate that "
        "lasts is a fraction of it unless prompts are cached.",
        *(["* more sequences than the KV blocks hold."] if not all(s["fits_kv"] for s in found["steps"]) else []),
        f"Prompt alone: {prefill}.",
        f"Model: {model.parameters / 1e9:.1f} billion parameters, {model.layers} layers{experts}.",
        f"Memory: {found['memory']}",
        f"Step times may be off by a factor of {band.low:.2f} to {band.high:.2f}: {band.source}.",
        f"Curves fit their source to {profile.fit_error.mean_percent:.1f} % (p95 {profile.fit_error.p95_percent:.1f}).",
        f"Overhead: {overhead.per_step_s * 1e3:.2f} ms a step, {overhead.per_sequence_s * 1e6:.1f} us a sequence, "
        f"{(overhead.frontend_base_s + overhead.output_s) * 1e3:.1f} ms before and after; {overhead.step.label}, "
        f"{overhead.step.source}, {overhead.step.rows} rows, median {overhead.step.median_percent} % off.",
        f"Measured up to {measured.tokens:,} tokens and {measured.sequences:,} sequences a step, "
        f"{measured.context_tokens:,} tokens of context; straight lines beyond.",
        "Source: " + ", ".join(f"{key} {value}" for key, value in profile.provenance.items() if value),
        *(f"Note: {note}." for note in profile.notes),
    ]
    return Group(grid, *(Text(line) for line in lines))


def figure(profiles: Sequence[PerformanceProfile]) -> go.Figure:
    """Decode step by sequences, prompt step by tokens, and output rate by sequences, with the band shaded."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    titles = (
        f"Decode step at {CONTEXT_TOKENS} tokens of context", "Prompt chunk alone", "Decode only",
        f"{PROMPT_TOKENS} in, {OUTPUT_TOKENS} out, nothing cached",
    )  # fmt: skip
    panels = make_subplots(rows=2, cols=2, subplot_titles=titles, vertical_spacing=0.13)
    batches = [n for n in range(1, max(BATCHES) + 1) if n <= 32 or n % 8 == 0]
    chunks = sorted({*range(16, 2049, 16), *(edge + 1 for edge in (64, 128, 256, 512, 1024))})
    for colour, profile in zip(COLOURS, profiles, strict=False):
        engine = EngineSettings().on(profile.gpu)
        model = ProfiledStepTime(profile, max(BATCHES), engine.max_num_batched_tokens)
        tokens, _ = _memory(profile, engine)
        decode_ms = [_decode_s(model, batch) * 1e3 for batch in batches]
        curves = (
            (batches, decode_ms),
            (chunks, [model.step_s(0, 0, [(chunk, 0)]) * 1e3 for chunk in chunks]),
            (batches, [1e3 * batch / step for batch, step in zip(batches, decode_ms, strict=True)]),
            (batches, [_sustained(model, engine, tokens, batch, 0.0) for batch in batches]),
        )
        for number, (x, y) in enumerate(curves):
            place = {"row": number // 2 + 1, "col": number % 2 + 1}
            panels.add_trace(
                go.Scatter(
                    x=x, y=y, name=profile.id, legendgroup=profile.id, showlegend=number == 0, line={"color": colour}
                ),
                **place,
            )
            if number < 2:
                band = profile.step_time_band
                edge = [value * band.high for value in y] + [value * band.low for value in reversed(y)]
                panels.add_trace(
                    go.Scatter(
                        x=[*x, *reversed(x)], y=edge, fill="toself", fillcolor=colour, opacity=0.12, line={"width": 0},
                        legendgroup=profile.id, showlegend=False, hoverinfo="skip",
                    ),
                    **place,
                )  # fmt: skip
    for number, (x_title, y_title) in enumerate(
        (("sequences", "ms"), ("tokens", "ms"), ("sequences", "tokens/s"), ("sequences", "tokens/s"))
    ):
        place = {"row": number // 2 + 1, "col": number % 2 + 1}
        panels.update_xaxes(title=x_title, **place)
        panels.update_yaxes(title=y_title, rangemode="tozero", **place)
    return panels.update_layout(
        title="Performance profiles; shaded: how far step times may be off",
        height=820,
        template="plotly_white",
        legend={"orientation": "h", "y": -0.08},
    )
