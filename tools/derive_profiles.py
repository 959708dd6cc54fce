"""Derive the profiles that ship with the package.

    pip install -e '.[profiles]'
    python tools/derive_profiles.py [--only ID]

Each is what `simulator profile build` makes; its command stands in its provenance.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from simulator.performance.build import build_profile, write_text
from simulator.performance.config_json import read_model
from simulator.performance.profile import profile_id

TARGET = Path(__file__).resolve().parents[1] / "simulator" / "performance" / "data" / "profiles"

A100, L40S, H100, H200 = "a100-80gb", "l40s", "h100-80gb", "h200"
A100_PCIE, A100_40, H100_PCIE, H100_NVL = "a100-80gb-pcie", "a100-40gb", "h100-pcie", "h100-nvl"
PRO_6000, L4 = "rtx-pro-6000", "l4"
#: Model, weight format, variant, GPU type: numbers of GPUs among which it is split.
SHIPPED: dict[tuple[str, str, str | None], dict[str, tuple[int, ...]]] = {
    ("llama-3.3-70b", "bf16", None): {A100: (2, 4, 8), L40S: (4,), H100: (2, 4), H200: (2, 4)},
    ("llama-3.3-70b", "fp8", None): {
        A100: (2, 4), L40S: (2, 4), H100: (1, 2, 4), H100_PCIE: (2, 4), H100_NVL: (1, 2), H200: (1, 2, 4),
    },
    ("llama-3.3-70b", "fp8", "cross-socket"): {L40S: (4,)},
    ("llama-3.3-70b", "int8", None): {A100: (2, 4)},
    ("llama-3.3-70b", "w4a16", None): {
        A100: (1, 2, 4), A100_PCIE: (1, 2, 4), A100_40: (2,), L40S: (2, 4), H100: (1, 2), H100_PCIE: (1,),
        H100_NVL: (1,), H200: (1,),
    },
    ("llama-3.3-70b", "w4a16", "trt-llm"): {A100: (1, 2, 4)},
    ("llama-3.3-70b", "w4a16", "cross-socket"): {L40S: (4,)},
    ("llama-3.1-8b", "bf16", None): {
        A100: (1, 2), A100_PCIE: (1,), A100_40: (1,), L40S: (1, 2), H100: (1, 2), H100_PCIE: (1,), H100_NVL: (1,),
        H200: (1,),
    },
    ("llama-3.1-8b", "fp8", None): {L40S: (1,), H100: (1,), H200: (1,)},
    ("mistral-7b", "bf16", None): {A100: (1,), L40S: (1, 2), H100: (1,), H200: (1,)},
    ("mistral-7b", "fp8", None): {L40S: (1,)},
    ("qwen3-14b", "bf16", None): {A100: (1, 2), L40S: (1, 2), H100: (1, 2), H200: (1,)},
    ("qwen3-14b", "fp8", None): {L40S: (1,), H100: (1,)},
    ("qwen3-32b", "bf16", None): {A100: (1, 2, 4), A100_PCIE: (1,), L40S: (2, 4), H100: (1, 2, 4), H200: (1, 2)},
    ("qwen3-32b", "fp8", None): {L40S: (1, 2), H100: (1, 2), H200: (1,)},
    ("qwen3-32b", "w4a16", None): {A100: (1,), A100_PCIE: (1,), L40S: (1,)},
    # Models of published serving measurements, to be compared with.
    ("qwen2.5-7b", "bf16", None): {A100: (1, 2), H100: (1,)},
    ("mistral-nemo-12b", "bf16", None): {H100: (1,)},
    ("codellama-34b", "bf16", None): {H100: (2,)},
    ("llama-2-7b", "bf16", None): {H100: (1,)},
    ("llama-2-70b", "bf16", None): {H100: (4,)},
    ("mixtral-8x7b", "bf16", None): {H100: (2, 4)},
    # What hospitals ask for in 2026.
    ("gpt-oss-120b", "mxfp4", None): {H100: (1, 2), H200: (1,), PRO_6000: (1,)},
    ("gpt-oss-20b", "mxfp4", None): {L40S: (1,), H100: (1,), PRO_6000: (1,)},
    ("medgemma-27b", "bf16", None): {L40S: (2,), H100: (1,)},
    ("medgemma-27b", "fp8", None): {L40S: (1,), H100: (1,)},
    ("medgemma-4b", "bf16", None): {L40S: (1,), L4: (1,)},
    ("qwen3-30b-a3b", "bf16", None): {L40S: (2,), H100: (1,), PRO_6000: (1,)},
    ("qwen3-30b-a3b", "fp8", None): {L40S: (1,), H100: (1,)},
    ("mistral-small-3.2-24b", "fp8", None): {L40S: (1,), H100: (1,)},
}  # fmt: skip


def main() -> None:
    """Derive, write, and print a line per profile."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="id of one profile")
    only = parser.parse_args().only
    today = datetime.now(UTC).date().isoformat()
    TARGET.mkdir(parents=True, exist_ok=True)
    for (model, quantisation, variant), groups in SHIPPED.items():
        for gpu, sizes in groups.items():
            for size in sizes:
                name = profile_id(model, gpu, size, quantisation, variant)
                if only not in {None, name}:
                    continue
                command = f"simulator profile build --model {model} --gpu {gpu} --tp {size} --quant {quantisation}"
                profile = build_profile(
                    read_model(model), gpu, size, quantisation, variant=variant, today=today,
                    command=command + (f" --variant {variant}" if variant else ""),
                )  # fmt: skip
                (TARGET / f"{name}.json").write_text(write_text(profile), encoding="utf-8")
                print(f"{name:45s} {profile.label:9s} {profile.fit_error.mean_percent:5.2f} % {profile.step_time_band}")


if __name__ == "__main__":
    main()
