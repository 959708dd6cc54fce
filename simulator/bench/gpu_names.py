"""What published measurements call a GPU."""

import re
from typing import Final

from simulator.scenario.gpus import GPUS

#: GPUs whose names in public need more than hyphens.
_NAMES: Final = (
    (re.compile(r"a100[ -]80.*pcie"), "a100-80gb-pcie"),
    (re.compile(r"a100[ -]80"), "a100-80gb"),
    (re.compile(r"a100[ -]40"), "a100-40gb"),
    (re.compile(r"h100[ -]nvl"), "h100-nvl"),
    (re.compile(r"h20[ -]96"), "h20"),
    (re.compile(r"h100.*pcie"), "h100-pcie"),
    (re.compile(r"h100([ -]80|$)"), "h100-80gb"),
    (re.compile(r"(tesla[ -])?v100.*32"), "v100-32gb"),
    (re.compile(r"(quadro[ -])?(rtx[ -])?a6000$"), "rtx-a6000"),
    (re.compile(r"(rtx[ -])?a5000$"), "rtx-a5000"),
)


def published_gpu(text: str) -> str | None:
    """The GPU type of the catalogue that a publication means, remarks in brackets aside; None for one it lacks."""
    name = re.sub(r"\s*\(.*\)", "", text).lower().strip().removesuffix("-sxm")
    name = re.sub(r"^(nvidia|amd|geforce|instinct)[ -](geforce[ -]|instinct[ -])?", "", name)
    for pattern, gpu in _NAMES:
        if pattern.match(name):
            return gpu
    name = re.sub(r"(?<=\d)(ti|super)\b", r"-\1", name.replace(" ", "-")).replace("--", "-")
    return name if name in GPUS else None
