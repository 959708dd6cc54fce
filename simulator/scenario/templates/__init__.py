"""Scenario files to start from."""

from __future__ import annotations

from importlib import resources

from simulator.errors import Fault, ScenarioError


def template_names() -> list[str]:
    """Names of the templates."""
    folder = resources.files(__name__)
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def read_template(name: str) -> str:
    """Text of a template.

    Raises:
        ScenarioError: There is none of that name.
    """
    if name not in template_names():
        raise ScenarioError([Fault("--template", 0, name, f"expected one of {', '.join(template_names())}")])
    return (resources.files(__name__) / f"{name}.yaml").read_text("utf-8")


def template_summary(name: str) -> str:
    """The first sentence of a template's own comment.

    Raises:
        ScenarioError: There is none of that name.
    """
    comment = []
    for line in read_template(name).splitlines()[2:]:
        if not line.startswith("# "):
            break
        comment.append(line.removeprefix("# "))
    return " ".join(comment).split(". ")[0].rstrip(".") + "."
