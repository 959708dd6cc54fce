"""What GPUs of a replica take to talk to each other over another link than the one their profile assumes."""

from __future__ import annotations

import json
from bisect import bisect_right
from functools import cache
from importlib import resources
from typing import Final, Literal

Interconnect = Literal["nvlink", "pcie", "no_p2p"]

#: By GPU type: the link its profiles assume, and the tables of NVLink and PCIe that stand for its own.
LINKS: Final[dict[str, tuple[Interconnect, str | None, str]]] = {
    "a100-80gb": ("nvlink", "a100_sxm", "pcie_4"),
    "a100-80gb-pcie": ("pcie", "a100_sxm", "pcie_4"),
    "a100-40gb": ("nvlink", "a100_sxm", "pcie_4"),
    "h100-80gb": ("nvlink", "h100_sxm", "pcie_5"),
    "h100-pcie": ("pcie", "h100_sxm", "pcie_5"),
    "h100-nvl": ("pcie", "h100_sxm", "pcie_5"),
    "h200": ("nvlink", "h200_sxm", "pcie_5"),
    "l40s": ("pcie", None, "pcie_4"),
    "l4": ("pcie", None, "pcie_4"),
    "l40": ("pcie", None, "pcie_4"),
    "a10g": ("pcie", None, "pcie_4"),
    "rtx-6000-ada": ("pcie", None, "pcie_4"),
    "rtx-3090": ("no_p2p", None, "pcie_4"),
    "rtx-4090": ("no_p2p", None, "pcie_4"),
    "rtx-5090": ("no_p2p", None, "pcie_5"),
    "rtx-pro-6000": ("pcie", None, "pcie_5"),
    "h20": ("nvlink", "h100_sxm", "pcie_5"),
}
#: Variant whose all-reduce was timed without peer-to-peer access.
_CROSS_SOCKET: Final = "cross-socket"
_IN_WORDS: Final = {
    "nvlink": "NVLink", "pcie": "PCIe with peer-to-peer access", "no_p2p": "host memory, without peer-to-peer access",
}  # fmt: skip


def table_name(gpu: str, link: Interconnect) -> str | None:
    """The table that stands for a link of a GPU type; None where it has no such link."""
    _, nvlink, pcie = LINKS[gpu]
    return {"nvlink": nvlink, "pcie": pcie, "no_p2p": "no_p2p"}[link]


def own_link(gpu: str, variant: str | None = None) -> Interconnect:
    """The link that the profiles of a GPU type assume."""
    return "no_p2p" if variant == _CROSS_SOCKET else LINKS[gpu][0]


def in_words(link: Interconnect) -> str:
    """A link as a sentence names it."""
    return _IN_WORDS[link]


def messages(layers: int) -> int:
    """All-reduces of a step: after attention and feed-forward of each layer, and after the embedding."""
    return 2 * layers + 1


@cache
def _tables() -> tuple[tuple[int, ...], dict[str, dict[str, tuple[float, ...]]]]:
    text = (resources.files("simulator.performance") / "data" / "all_reduce.json").read_text("utf-8")
    content = json.loads(text)
    return tuple(content["sizes"]), content["seconds"]


def all_reduce_s(table: str, gpus: int, size: float) -> float:
    """Seconds of one all-reduce of so many elements of 16 bits; straight lines between the timed sizes and beyond."""
    sizes, seconds = _tables()
    y = seconds[table][str(gpus)]
    left = min(max(0, bisect_right(sizes, size) - 1), len(sizes) - 2)
    if size < sizes[0]:
        return y[0]
    return y[left] + (y[left + 1] - y[left]) * (size - sizes[left]) / (sizes[left + 1] - sizes[left])


def allowed(gpu: str) -> str:
    """What may be said of a GPU type's link."""
    if gpu not in LINKS:
        return "leave it out"
    known = [link for link in _IN_WORDS if table_name(gpu, link) is not None]  # type: ignore[arg-type]
    return f"expected one of {', '.join(known)}"
