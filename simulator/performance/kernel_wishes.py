"""Which models, GPUs and formats the kernel tables tell of, and what is refused."""

from __future__ import annotations

import importlib.metadata
import logging
from typing import TYPE_CHECKING, Final

from simulator.errors import ProfileError
from simulator.performance.boards import SHEETS
from simulator.performance.kernel_rows import PACKAGE
from simulator.performance.weight_formats import WEIGHT_BYTES

if TYPE_CHECKING:
    from simulator.performance.architecture import ModelShape

VERSION: Final = "0.12.0"
#: Of aiconfigurator_core-0.12.0-cp311-abi3-manylinux_2_28_x86_64.whl.
WHEEL_SHA256: Final = "aadc4aad0a00bf8a61c477c62bef43de479849c3aa0b1c3078068e08309eccc4"

#: GPU to the package's name for it, and the vLLM version of its tables.
SYSTEMS: Final = {
    "a100-80gb": ("a100_sxm", "0.14.0"),
    "l40s": ("l40s", "0.24.0"),
    "h100-80gb": ("h100_sxm", "0.24.0"),
    "h200": ("h200_sxm", "0.24.0"),
    "a100-80gb-pcie": ("a100_sxm", "0.14.0"),
    "a100-40gb": ("a100_sxm", "0.14.0"),
    "h100-pcie": ("h100_sxm", "0.24.0"),
    "h100-nvl": ("h100_sxm", "0.24.0"),
    "rtx-pro-6000": ("rtx_pro_6000_server", "0.24.0"),
    "b200": ("b200_sxm", "0.24.0"),
    "b300": ("b300_sxm", "0.24.0"),
    "l4": ("l40s", "0.24.0"),
    "l40": ("l40s", "0.24.0"),
    "rtx-4090": ("l40s", "0.24.0"),
    "rtx-6000-ada": ("l40s", "0.24.0"),
    "h20": ("h100_sxm", "0.24.0"),
    "rtx-5090": ("rtx_pro_6000_server", "0.24.0"),
    "a10g": ("a100_sxm", "0.14.0"),
    "rtx-3090": ("a100_sxm", "0.14.0"),
}


#: The largest token budget vLLM uses by itself on large GPUs, and on others; knots beyond serve nobody.
_LARGE_TOKENS: Final = 16_384
_USEFUL_TOKENS: Final = 8192
_LARGE: Final = frozenset(("h100_sxm", "h200_sxm", "b200_sxm", "b300_sxm", "rtx_pro_6000_server"))
_Variants = dict[str, tuple[str | None, ...]]
_ADA: Final[_Variants] = {"bf16": (None,), "fp8": (None,), "w4a16": (None,)}
_AMPERE: Final[_Variants] = {"bf16": (None,), "fp8": (None,), "int8": (None,), "w4a16": (None,)}
#: Weight formats of a GPU for which there are tables, by variant.
FORMATS: Final[dict[str, _Variants]] = {
    **dict.fromkeys(SYSTEMS, _ADA),
    **dict.fromkeys(("a100-80gb-pcie", "a100-40gb", "a10g", "rtx-3090"), _AMPERE),
    "b200": {"bf16": (None,), "fp8": (None,)},
    "b300": {"bf16": (None,), "fp8": (None,)},
    "a100-80gb": {**_AMPERE, "w4a16": (None, "trt-llm")},
}
#: Of four L40S without a fast link the tables' all-reduce comes from a host of two sockets.
CROSS_SOCKET: Final = "cross-socket"
_MISSING: Final = {
    (gpu, "int8"): f"there are no int8 timings for {name}; choose fp8, which is as large and at least as fast"
    for gpu, name in (
        ("l40s", "L40S"), ("h100-80gb", "H100"), ("h100-pcie", "H100"), ("h100-nvl", "H100"), ("h200", "H200")
    )
}  # fmt: skip


def useful_tokens(system: str) -> int:
    """Tokens of a step beyond which knots serve nobody."""
    return _LARGE_TOKENS if system in _LARGE else _USEFUL_TOKENS


def chip(gpu: str) -> str:
    """The GPU type whose tables stand for a board's."""
    return next(name for name, system in SYSTEMS.items() if system == SYSTEMS[gpu])


def check_wish(gpu: str, quantisation: str, variant: str | None, tensor_parallel: int, model: ModelShape) -> None:
    """Refuse what the tables cannot answer.

    Raises:
        ProfileError: Unknown GPU, a format it lacks, an unknown variant, or GPUs among which the heads do not divide.
    """
    if gpu not in SYSTEMS:
        raise ProfileError(f"gpu: no kernel timings for '{gpu}'; there are: {', '.join(SYSTEMS)}")
    formats = FORMATS[gpu]
    if quantisation not in formats:
        why = _MISSING.get((gpu, quantisation), f"there are no timings; choose {', '.join(formats)}")
        raise ProfileError(f"quantisation: {quantisation} on {gpu}: {why}")
    variants = [*formats[quantisation], *([CROSS_SOCKET] if gpu == "l40s" and tensor_parallel >= 4 else [])]
    if variant not in variants:
        known = ", ".join(name for name in variants if name) or "none"
        raise ProfileError(
            f"variant: '{variant}' is unknown for {quantisation} on {gpu} x{tensor_parallel}; there are: {known}"
        )
    check_split(model, tensor_parallel)
    if model.experts > 1 and quantisation != "bf16":
        raise ProfileError(f"quantisation: mixtures of experts are derived in bf16 only, not {quantisation}")


def check_split(model: ModelShape, tensor_parallel: int) -> None:
    """Refuse a split that vLLM refuses.

    Raises:
        ProfileError: Heads that do not divide among the GPUs.
    """
    if model.heads % tensor_parallel or (model.kv_heads % tensor_parallel and tensor_parallel % model.kv_heads):
        raise ProfileError(
            f"tensor-parallel: {model.heads} heads with {model.kv_heads} key-value heads do not divide among "
            f"{tensor_parallel} GPUs"
        )


def told_whole(model: ModelShape, quantisation: str) -> bool:
    """Whether the package takes such a model apart by itself: plain attention, one kind of feed-forward network."""
    if model.kv or model.encoder or not model.gated or model.attention_parameters or model.shared_intermediate:
        return False
    if model.feed_forward_parameters or model.dense_layers:
        return False
    return quantisation == "bf16" or (model.experts == 1 and quantisation not in {"mxfp4", "nvfp4"})


def check_possible(model: ModelShape, gpu: str, tensor_parallel: int, quantisation: str, variant: str | None) -> None:
    """Refuse what nothing tells of, before anything is looked up.

    Raises:
        ProfileError: See `check_wish`; or neither kernels nor a data sheet are known of the GPU.
    """
    if gpu not in SYSTEMS and gpu not in SHEETS:
        raise ProfileError(f"gpu: no kernel timings for '{gpu}', nor a data sheet; there are: {', '.join(SHEETS)}")
    if quantisation not in WEIGHT_BYTES:
        raise ProfileError(f"quantisation: {quantisation} is unknown; there are: {', '.join(WEIGHT_BYTES)}")
    check_split(model, tensor_parallel)
    if variant is not None or (gpu in SYSTEMS and told_whole(model, quantisation)):
        check_wish(gpu, quantisation, variant, tensor_parallel, model)
    check_package()


def check_package() -> None:
    """Refuse to work without the very package that was audited.

    Raises:
        ProfileError: It is missing or of another version.
    """
    try:
        found = importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        raise ProfileError(
            f"deriving a profile needs {PACKAGE} {VERSION}: pip install '{PACKAGE}=={VERSION}' (Linux x86-64, 616 MB)"
        ) from None
    if found != VERSION:
        raise ProfileError(f"deriving a profile needs {PACKAGE} {VERSION}, but {found} is installed")
    # It speaks of tables of other frameworks, which are not used here.
    logging.getLogger("aiconfigurator_core").setLevel(logging.ERROR)
