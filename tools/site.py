"""Hooks of the documentation site (`mkdocs.yml`): the README as its first page, the API, and a gallery of figures.

What pages link to outside `docs/` is laid beside them, so that the site is whole without a code host.
"""

from __future__ import annotations

import json
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File
from plotly.offline import get_plotlyjs

import simulator
from simulator.plots import cost, decision
from simulator.plots.style import colours_of

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
BASELINES = ROOT / "scenarios" / "baselines"
_LINK = re.compile(r"(?<=\]\()(?!https?:|#|mailto:)([^)\s#]+)")
_PICTURES = {
    "report.png": "The report that `simulator run --report` writes, one page that opens offline.",
    "board.png": "The first of two printed pages for a board, from `simulator report RUN --pdf`.",
    "studio.png": "A scenario as controls on a page, `simulator studio`.",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is generated, and the files outside `docs/` that pages link to."""
    made = {"index.md": readme(), "api.md": api(), "gallery.md": gallery(), "plotly.min.js": get_plotlyjs()}
    for name, content in made.items():
        files.append(File.generated(config, name, content=content))
    pages = [(page.src_uri, page.content_string) for page in files.documentation_pages()]
    for name in sorted({target for page, text in pages for target in outside(page, text)}):
        path = ROOT / name
        if path.is_file():
            files.append(File.generated(config, _beside(name), content=path.read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Lead links that leave `docs/` to the copies that lie beside the pages."""
    here = posixpath.dirname(page.file.src_uri)

    def moved(found: re.Match[str]) -> str:
        name = _left(page.file.src_uri, found[1])
        return found[1] if name is None else posixpath.relpath(_beside(name), here or ".")

    return _LINK.sub(moved, markdown)


def outside(page: str, text: str) -> set[str]:
    """Files outside `docs/` that a page links to, from the root of the repository."""
    return {name for target in _LINK.findall(text) if (name := _left(page, target)) is not None}


def _beside(name: str) -> str:
    """Place of a copy in the site, which leaves out what begins with a dot."""
    return f"files/{name.lstrip('.')}"


def _left(page: str, target: str) -> str | None:
    name = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), target))
    return None if name.startswith("docs/") or not (ROOT / name).is_file() else name


def readme() -> str:
    """The README, seen from `docs/`."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return _LINK.sub(lambda found: posixpath.relpath(found[1], "docs"), text)


def api() -> str:
    """A heading for each public name; its docstring comes from mkdocstrings."""
    simple = {"__version__", "examples"}
    names = [name for name in simulator.__all__ if name not in simple]
    functions, classes = ([name for name in names if name[0].isupper() is upper] for upper in (False, True))
    where = {name: f"{(one := getattr(simulator, name)).__module__}.{one.__qualname__}" for name in names}
    parts = ["# Python API", "Generated from the docstrings; [In Python](python.md) says how it is used."]
    for title, some in (("Functions", functions), ("Classes and exceptions", classes)):
        parts += [f"## {title}", *(f"::: {where[name]}\n    options:\n      heading_level: 3" for name in some)]
    modules = {
        "Examples": "simulator.examples",
        "What an API provider sees": "simulator.cost.own_lines.Month",
        "What a router sees": "simulator.engine.routing.custom.Backends",
        "What a step-time model sees": "simulator.performance.own_step_time.Step",
        "Figures of a result": "simulator.plots.Plots",
    }
    for title, name in modules.items():
        parts += [f"## {title}", f"::: {name}\n    options:\n      heading_level: 3"]
    return "\n\n".join(parts) + "\n"


def gallery() -> str:
    """Figures drawn from the recorded baselines, and pictures of the report and the studio."""
    parts = ["# Gallery", '<script src="plotly.min.js"></script>']
    for path in sorted(BASELINES.glob("*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        colours = colours_of([row["name"] for row in document["patterns"]])
        parts.append(f"## `scenarios/{path.stem}.yaml`, as recorded for the gate")
        for title, drawn in (
            ("What a month costs, by line of the bill", cost.breakdown(document)),
            ("What it costs at other volumes, with the break-evens", cost.by_volume(document, colours)),
            ("What would change the verdict", decision.tornado(document)),
        ):
            if drawn is not None:
                parts += [f"### {title}", drawn.to_html(full_html=False, include_plotlyjs=False)]
    parts.append("## Pages")
    parts += [f"{said}\n\n![{said}]({name})" for name, said in _PICTURES.items()]
    return "\n\n".join(parts) + "\n"
