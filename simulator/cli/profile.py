"""`simulator profile …`: step-time profiles, shipped and one's own."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from simulator.cli.options import AsJson
from simulator.errors import ProfileError
from simulator.files import write_whole

profile = typer.Typer(
    help="Step-time profiles: list and look at them, derive one for another model.", no_args_is_help=True
)

Names = Annotated[list[str], typer.Argument(help="Ids of shipped profiles, or profile files.", show_default=False)]

#: What people call the boards for which there are kernel timings.
_GPUS = {"a100": "a100-80gb", "h100": "h100-80gb", "a100-80gb-sxm": "a100-80gb", "h100-80gb-sxm": "h100-80gb"}


@profile.command("list")
def list_profiles(
    model: Annotated[str | None, typer.Option(help="Only models whose name holds this.")] = None,
    gpu: Annotated[str | None, typer.Option(help="Only GPUs whose name holds this.")] = None,
    quantisation: Annotated[str | None, typer.Option("--quant", help="Only this weight format.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the profiles that ship with the package, and what is behind each.

    Example: simulator profile list --gpu l40s --model gpt-oss
    """
    from simulator.study.catalogue import profiles

    found = profiles(model=model, gpu=gpu, quantisation=quantisation).found
    keys = ("id", "gpu", "tensor_parallel", "quantisation", "variant", "label")
    if as_json:
        rows = [{"model": p.model.name, **{key: getattr(p, key) for key in keys}, "basis": p.basis} for p in found]
        typer.echo(json.dumps({"schema_version": 1, "profiles": rows}, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    grid = Table("profile", "label", "what is behind it", "GiB a GPU", "step times within", "models of this shape")
    for p in found:
        band = f"{p.step_time_band.low:.2f} to {p.step_time_band.high:.2f}"
        grid.add_row(p.id, p.label, p.basis, f"{p.weights_gib_per_gpu:.1f}", band, ", ".join(p.model.hf_names))
    Console(width=None if sys.stdout.isatty() else 160).print(grid)


@profile.command()
def show(
    name: Annotated[str, typer.Argument(help="Id of a shipped profile, or a file.")], as_json: AsJson = False
) -> None:
    """Show step times, throughput, memory, sources and doubts of one profile.

    Example: simulator profile show llama-3.3-70b-w4a16-a100-80gb-x2
    """
    from simulator.performance.profile import profile_of
    from simulator.report.profiles import facts, summary

    found = profile_of(name)
    if as_json:
        document = {"schema_version": 1, "facts": facts(found), "profile": json.loads(found.model_dump_json())}
        typer.echo(json.dumps(document, indent=2))
        return
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 120).print(summary(found))


@profile.command()
def plot(
    names: Names,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")] = Path("profile.html"),
) -> None:
    """Draw profiles beside each other, as a page that opens offline.

    Example: simulator profile plot llama-3.1-8b-bf16-a100-80gb-x1 llama-3.1-8b-bf16-l40s-x1 -o 8b.html
    """
    from simulator.performance.profile import profile_of
    from simulator.report.profiles import COLOURS, figure

    if len(names) > len(COLOURS):
        raise ProfileError(f"{len(names)} profiles are too many for one page; at most {len(COLOURS)}")
    drawn = figure([profile_of(name) for name in names])
    write_whole(output, drawn.to_html(include_plotlyjs=True, div_id="profiles"))
    typer.echo(f"wrote {output}", err=True)


@profile.command("import")
def import_tables(
    folder: Annotated[Path, typer.Argument(help="Tables of one model and format, with meta.yaml.", show_default=False)],
    model: Annotated[str, typer.Option(help="A config.json from Hugging Face, its folder, or a known name.")],
    gpu: Annotated[str, typer.Option(help="What scenarios call this GPU, such as rtx-pro-6000.")],
    tables: Annotated[str, typer.Option("--format", help="Who wrote them: llmservingsim.")] = "llmservingsim",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write.", show_default="<id>.json")
    ] = None,
) -> None:
    """Make a profile of operators that another simulator's profiler has timed.

    Example: simulator profile import RTXPRO6000/meta-llama/Llama-3.1-8B/bf16 --model llama-3.1-8b --gpu rtx-pro-6000
    """
    from simulator.performance.build import write_text
    from simulator.performance.config_json import read_model
    from simulator.performance.operator_tables import FORMATS, import_profile

    if tables not in FORMATS:
        raise ProfileError(f"--format {tables}: there is {', '.join(FORMATS)}")
    shape = read_model(model)
    command = f"simulator profile import {folder.name} --model {shape.name} --gpu {gpu} --format {tables}"
    found = import_profile(folder, shape, gpu, command=command)
    target = output or Path(f"{found.id}.json")
    write_whole(target, write_text(found))
    typer.echo(f"wrote {target}: {found.label}, curves within {found.fit_error.mean_percent} % of the tables", err=True)
    for note in found.notes:
        typer.echo(f"note: {note}", err=True)


@profile.command()
def build(
    model: Annotated[str, typer.Option(help="A config.json from Hugging Face, its folder, or a known name.")],
    gpu: Annotated[str, typer.Option(help="a100-80gb, l40s, h100-80gb or h200.")],
    tensor_parallel: Annotated[
        int, typer.Option("--tp", min=1, max=8, help="GPUs among which the model is split.")
    ] = 1,
    quantisation: Annotated[
        str | None,
        typer.Option(
            "--quant", help="bf16, fp8, int8, w4a16, mxfp4 or nvfp4.", show_default="as config.json says, or bf16"
        ),
    ] = None,
    variant: Annotated[str | None, typer.Option(help="Another inference where kernels were not timed.")] = None,
    name: Annotated[str | None, typer.Option(help="What to call the model.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write.", show_default="<id>.json")
    ] = None,
) -> None:
    """Derive a profile from published kernel timings (needs the extra 'profiles').

    Example: simulator profile build --model ./Qwen3-14B/config.json --gpu l40s --tp 2 --quant fp8
    """
    from simulator.performance.config_json import read_model
    from simulator.performance.kernel_wishes import check_possible
    from simulator.performance.weight_formats import chosen_format

    gpu = _GPUS.get(gpu.lower(), gpu.lower())
    shape = read_model(model, name)
    quantisation = chosen_format(shape, quantisation)
    check_possible(shape, gpu, tensor_parallel, quantisation, variant)
    from simulator.performance.build import build_profile, write_text

    command = f"simulator profile build --model {shape.name} --gpu {gpu} --tp {tensor_parallel} --quant {quantisation}"
    found = build_profile(
        shape, gpu, tensor_parallel, quantisation, variant=variant, today=datetime.now(UTC).date().isoformat(),
        command=command + (f" --variant {variant}" if variant else ""),
    )  # fmt: skip
    target = output or Path(f"{found.id}.json")
    write_whole(target, write_text(found))
    typer.echo(f"wrote {target}: {found.label}, curves within {found.fit_error.mean_percent} % of the tables", err=True)
    for note in found.notes:
        typer.echo(f"note: {note}", err=True)
