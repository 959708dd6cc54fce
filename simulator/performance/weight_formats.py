"""Weight formats: their bytes, and which one a `config.json` says a checkpoint comes in.

vLLM 0.33 takes the format from `quantization_config` (`model_executor/layers/quantization`), so a checkpoint that names
one is never served as something else. What is not modelled is refused by name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from simulator.errors import ProfileError
from simulator.units import GIB

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulator.performance.architecture import ModelShape
    from simulator.scenario.patterns import Quantisation

Part = Literal["attention", "feed_forward"]

#: Bytes of a weight with its share of a scale: 16 bits for each 128 (int4), 8 for each 32 (MXFP4) or 16 (NVFP4).
WEIGHT_BYTES: Final[dict[str, float]] = {
    "bf16": 2.0, "fp8": 1.0, "int8": 1.0, "w4a16": 0.5 + 2 / 128, "mxfp4": 0.5 + 1 / 32, "nvfp4": 0.5 + 1 / 16,
}  # fmt: skip
#: In which parts of the layers a module's name lies.
_PARTS: Final[tuple[tuple[Part, re.Pattern[str]], ...]] = (
    ("attention", re.compile(r"attn|attention|mamba|mixer")),
    ("feed_forward", re.compile(r"shared_experts?(?!_gate)|mlp\W+\(?[\w|]*(gate|up|down)[\w|)]*_proj")),
)
_LAYER: Final = re.compile(r"layers\W+(\d+)")
#: Modules of other parts, or too small to matter.
_SMALL: Final = re.compile(r"vision|visual|vit\b|norm|indexer|router|conv1d|in_proj_(ba|a|b)\b|_gate$|\.bias$|\.gate$")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a configuration says of the numbers of its weights and of its KV cache.

    Attributes:
        quantisation: Format of the weights; None where nothing is said, which is 16 bits.
        kept: Parts of the layers that stay in 16 bits.
        group_size: Weights that share a scale, where it is not what `WEIGHT_BYTES` has.
        kv_cache_bits: Bits of a number of the KV cache.
        faults: What is said and is not modelled.
    """

    quantisation: Quantisation | None = None
    kept: tuple[Part, ...] = ()
    group_size: int | None = None
    kv_cache_bits: Literal[8, 16] = 16
    faults: tuple[str, ...] = ()


def weight_bytes(quantisation: str, group_size: int | None = None) -> float:
    """Bytes of a weight, its share of a scale included."""
    return 0.5 + 2 / group_size if quantisation == "w4a16" and group_size else WEIGHT_BYTES[quantisation]


def chosen_format(model: ModelShape, wish: str | None) -> str:
    """The format to take: what is wished, or what the checkpoint comes in, or 16 bits.

    Raises:
        ProfileError: The checkpoint comes in another format than is wished.
    """
    own = model.checkpoint_format
    if own is not None and wish is not None and wish.lower() != own:
        raise ProfileError(f"quantisation: {model.name} comes in {own}, as its config.json says, not in {wish}")
    return own or (wish.lower() if wish else "bf16")


def parameters_by_width(model: ModelShape, quantisation: str) -> tuple[float, float]:
    """Parameters in the format, and those in 16 bits: embedding, head, encoder, and what the format leaves."""
    sizes = {"attention": model.attention_matrices, "feed_forward": model.dense_feed_forward_parameters}
    kept = set(sizes) if quantisation == "mxfp4" and model.experts > 1 else set(model.kept)
    if quantisation == "bf16":
        kept = set()
    left = sum(sizes[part] for part in kept)
    return model.matrix_parameters - left, model.parameters - model.matrix_parameters + left


def padding(model: ModelShape, gpu: str, tensor_parallel: int, quantisation: str) -> float:
    """By what padding makes a mixture's MXFP4 experts larger.

    Kernels want multiples (`mxfp4_round_up_hidden_size_and_intermediate_size`): Marlin before Hopper, and TensorRT's
    after it, of 128 across and 256 along; on Hopper of 256 across, as the weights of public start-ups show (gpt-oss-20b
    13.47 GiB, 120b 64.38).
    """
    if quantisation != "mxfp4" or model.experts == 1:
        return 1.0
    across, along = (256, 1) if gpu.startswith(("h100", "h200", "h20")) else (128, 256)
    width, hidden = model.intermediate / tensor_parallel, model.hidden
    return -(-width // across) * across / width * (-(-hidden // along) * along / hidden)


def weights_gib(model: ModelShape, tensor_parallel: int, quantisation: str, gpu: str = "") -> float:
    """Weights on one GPU: in their format, and 16 bits for embeddings, head, encoder and what the format leaves."""
    in_format, in_16_bits = parameters_by_width(model, quantisation)
    each = weight_bytes(quantisation, model.group_size)
    more = (padding(model, gpu, tensor_parallel, quantisation) - 1.0) * model.expert_parameters * each
    split = (in_format * each + in_16_bits * 2.0 + more) / tensor_parallel
    # What every GPU holds whole is among them once.
    copied = model.replicated_parameters * (1.0 - 1.0 / tensor_parallel) * (2.0 if "attention" in model.kept else each)
    return (split + copied) / GIB


def read_checkpoint(config: Mapping[str, Any], layers: int) -> Checkpoint:
    """What a configuration, and what lies beside it, says of formats.

    Args:
        config: The `config.json`; of a wrapper the whole, since its text part may say it.
        layers: Of the text model, to tell an exception from a rule.
    """
    part = config.get("text_config")
    said = config.get("quantization_config") or (part.get("quantization_config") if isinstance(part, dict) else None)
    if said is None:
        said = config.get("compression_config")
    if said is None:
        return Checkpoint()
    if not isinstance(said, dict):
        return Checkpoint(faults=(f"quantization_config: {said!r} is not a mapping",))
    method = str(said.get("quant_method", "")).lower().replace("_", "-")
    if not method and ("quant_algo" in said or "quantization" in said):
        method = "modelopt"
    reader = _READERS.get(method)
    if reader is None:
        known = ", ".join(sorted(name for name in _READERS if name))
        return Checkpoint(faults=(f"quantization_config: quant_method '{method}' is not modelled; {known} are",))
    found = reader(said)
    kept = _kept(said, layers)
    bits, faults = _kv_bits(said)
    if isinstance(found, str):
        return Checkpoint(faults=(f"quantization_config: {found}", *faults))
    return Checkpoint(*found[:1], kept, found[1], bits, tuple(faults))


_Found = tuple["Quantisation", int | None] | str


def _four_bits(said: Mapping[str, Any]) -> _Found:
    bits = said.get("bits", said.get("w_bit", 4))
    if said.get("dynamic"):
        return "dynamic, rules of its own for some modules, is not modelled"
    if bits != 4:
        return f"weights of {bits!r} bits with activations of 16 are not modelled; 4 bits are"
    group = said.get("group_size", said.get("q_group_size", 128))
    return "w4a16", _group(group)


def _group(size: object) -> int | None:
    return size if isinstance(size, int) and size > 0 and size != 128 else None


def _compressed(said: Mapping[str, Any]) -> _Found:
    groups = said.get("config_groups")
    if not isinstance(groups, dict) or not groups:
        return "compressed-tensors without config_groups"
    sparse = said.get("sparsity_config")
    if isinstance(sparse, dict) and sparse.get("format") not in (None, "dense"):
        return f"sparsity_config: {sparse['format']} is not modelled"
    targets = [group.get("targets") for group in groups.values() if isinstance(group, dict)]
    if all(isinstance(some, list) and "Linear" not in some for some in targets):
        return f"config_groups: targets {targets[0]} are not modelled; Linear is"
    found = {_scheme(group) for group in groups.values()}
    if len(found) > 1:
        return f"layers in several formats ({', '.join(sorted(map(str, found)))}) are not modelled"
    return found.pop()


def _scheme(group: object) -> _Found:
    weights = group.get("weights") if isinstance(group, dict) else None
    if not isinstance(weights, dict):
        return "a group without weights"
    inputs = group.get("input_activations") if isinstance(group, dict) else None
    bits, kind = weights.get("num_bits"), weights.get("type", "int")
    if (bits, kind) == (4, "int") and not inputs:
        return "w4a16", _group(weights.get("group_size"))
    if (bits, kind) == (8, "float"):
        return "fp8", None
    if (bits, kind) == (8, "int") and inputs:
        return "int8", None
    if (bits, kind) == (4, "float"):
        return ("mxfp4" if weights.get("group_size") == 32 else "nvfp4"), None
    beside = f"activations of {inputs.get('num_bits')} bits" if isinstance(inputs, dict) else "activations of 16 bits"
    return f"weights of {bits} bits ({kind}) with {beside} are not modelled"


def _modelopt(said: Mapping[str, Any]) -> _Found:
    inner = said.get("quantization") if isinstance(said.get("quantization"), dict) else said
    assert isinstance(inner, dict)
    algorithm = str(inner.get("quant_algo", "")).upper()
    known: dict[str, _Found] = {
        "FP8": ("fp8", None), "FP8_PER_CHANNEL_PER_TOKEN": ("fp8", None), "FP8_PB_WO": ("fp8", None),
        "NVFP4": ("nvfp4", None), "MXFP4": ("mxfp4", None), "W4A16_AWQ": ("w4a16", None),
    }  # fmt: skip
    return known.get(algorithm, f"quant_algo '{algorithm}' is not modelled; {', '.join(known)} are")


def _fp8(said: Mapping[str, Any]) -> _Found:  # noqa: ARG001
    return "fp8", None


def _mxfp4(said: Mapping[str, Any]) -> _Found:  # noqa: ARG001
    return "mxfp4", None


_READERS: Final = {
    "awq": _four_bits, "awq-marlin": _four_bits, "gptq": _four_bits, "gptq-marlin": _four_bits,
    "compressed-tensors": _compressed, "fp8": _fp8, "fbgemm-fp8": _fp8, "mxfp4": _mxfp4, "modelopt": _modelopt,
    "modelopt-fp4": _modelopt,
}  # fmt: skip


def _kept(said: Mapping[str, Any], layers: int) -> tuple[Part, ...]:
    """Parts that stay in 16 bits in every layer, or in most."""
    inner = said.get("quantization") if isinstance(said.get("quantization"), dict) else said
    assert isinstance(inner, dict)
    names: list[str] = []
    for key in ("ignore", "modules_to_not_convert", "ignored_layers", "exclude_modules"):
        found = inner.get(key)
        names += [str(name) for name in found] if isinstance(found, list) else []
    kept: list[Part] = []
    for part, pattern in _PARTS:
        of_text = [name for name in names if pattern.search(name) and not _SMALL.search(name)]
        numbered = {match[1] for name in of_text if (match := _LAYER.search(name))}
        if any(not _LAYER.search(name) for name in of_text) or 2 * len(numbered) > layers:
            kept.append(part)
    return tuple(kept)


def _kv_bits(said: Mapping[str, Any]) -> tuple[Literal[8, 16], list[str]]:
    """Bits of the KV cache that the checkpoint was made for."""
    scheme = said.get("kv_cache_scheme")
    inner = said.get("quantization") if isinstance(said.get("quantization"), dict) else said
    assert isinstance(inner, dict)
    algorithm = inner.get("kv_cache_quant_algo")
    if isinstance(scheme, dict):
        bits, kind = scheme.get("num_bits"), scheme.get("type", "float")
        if (bits, kind) == (8, "float"):
            return 8, []
        return 16, [f"kv_cache_scheme: a KV cache of {bits} bits ({kind}) is not modelled; 8 bits (float) is"]
    if algorithm not in (None, "", "FP8"):
        return 16, [f"kv_cache_quant_algo: {algorithm!r} is not modelled; FP8 is"]
    return (8 if algorithm == "FP8" else 16), []
