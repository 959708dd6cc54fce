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
)


def published_gpu(text: str) -> str | None:
    """The GPU type of the catalogue that a publication means, remarks in brackets aside; None for one it lacks."""
    name = re.sub(r"\s*\(.*\)", "", text).lower().strip().removesuffix("-sxm")
    for pattern, gpu in _NAMES:
        if pattern.match(name):
            return gpu
    name = name.replace(" ", "-")
    return name if name in GPUS else None
