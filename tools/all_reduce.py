"""Write what an all-reduce takes by link, GPUs and size: the table that ships with the package.

pip install -e '.[profiles]'
python tools/all_reduce.py
"""

from __future__ import annotations

import json
from pathlib import Path

from simulator.performance.kernel_rows import link_all_reduce
from simulator.performance.kernel_wishes import VERSION, check_package

TARGET = Path(__file__).parents[1] / "simulator" / "performance" / "data" / "all_reduce.json"
LINKS = ("a100_sxm", "h100_sxm", "h200_sxm", "pcie_4", "pcie_5", "no_p2p")


def content() -> str:
    """The file's text."""
    check_package()
    sizes = [int(size) for size in link_all_reduce("no_p2p", 2)[0]]
    seconds: dict[str, dict[str, list[float]]] = {}
    for link in LINKS:
        for gpus in (2, 4, 8):
            found, times = link_all_reduce(link, gpus)
            assert [int(size) for size in found] == sizes, (link, gpus)
            seconds.setdefault(link, {})[str(gpus)] = [float(f"{time:.4g}") for time in times]
    head = {
        "command": "python tools/all_reduce.py",
        "source": f"aiconfigurator-core {VERSION} (Apache-2.0, NVIDIA Corporation & Affiliates): vLLM's all-reduce in CUDA "
        "graphs; kernel_rows.link_all_reduce says what each link stands on",
        "label": "measured over NVLink, PCIe 5, between two on PCIe 4 and among four and eight without peer-to-peer; "
        "derived else",
    }
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    lines.append(f'  "sizes": {json.dumps(sizes)}')
    tables = [
        f"    {json.dumps(link)}: {{\n"
        + ",\n".join(f"      {json.dumps(gpus)}: {json.dumps(times)}" for gpus, times in by.items())
        + "\n    }"
        for link, by in seconds.items()
    ]
    return "{\n" + ",\n".join(lines) + ',\n  "seconds": {\n' + ",\n".join(tables) + "\n  }\n}\n"


if __name__ == "__main__":
    TARGET.write_text(content(), encoding="utf-8")
