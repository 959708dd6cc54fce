"""What stands in front of a text model for images and sound: its weights, and what it computes for images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from simulator.performance.architecture import MOST_PARAMETERS, Encoder
from simulator.performance.config_text import TextConfig
from simulator.performance.image_tokens import LLAVA_GRIDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulator.performance.architecture import ImageRule

#: What `transformers` fills in where a file says nothing, by kind of encoder.
_DEFAULTS: Final[dict[str, dict[str, int]]] = {
    "siglip_vision_model": {
        "hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "patch_size": 14, "image_size": 896,
    },
    "pixtral": {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "patch_size": 14},
    "llama4_vision_model": {
        "hidden_size": 1408, "intermediate_size": 5632, "num_hidden_layers": 34, "patch_size": 14, "image_size": 336,
    },
    "gemma4_vision": {
        "hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "patch_size": 16,
        "pooling_kernel_size": 3,
    },
    "qwen2_5_vl": {"hidden_size": 1280, "intermediate_size": 3420, "depth": 32, "patch_size": 14},
    "clip_vision_model": {
        "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "patch_size": 14, "image_size": 336,
    },
}  # fmt: skip
#: How a wrapper counts an image (`image_tokens`).
_RULES: Final[dict[str, ImageRule]] = {
    "Gemma3ForConditionalGeneration": "gemma3", "Gemma4ForConditionalGeneration": "gemma4",
    "Mistral3ForConditionalGeneration": "pixtral", "Llama4ForConditionalGeneration": "llama4",
    "Qwen2VLForConditionalGeneration": "qwen_vl", "Qwen2_5_VLForConditionalGeneration": "qwen_vl",
    "Qwen3VLForConditionalGeneration": "qwen_vl", "Qwen3VLMoeForConditionalGeneration": "qwen_vl",
    "Qwen3_5ForConditionalGeneration": "qwen_vl", "Qwen3_5MoeForConditionalGeneration": "qwen_vl",
    "LlavaForConditionalGeneration": "llava", "LlavaNextForConditionalGeneration": "llava_next",
    "InternVLChatModel": "internvl",
}  # fmt: skip
#: Encoders whose feed-forward networks have a gate.
_GATED: Final = ("pixtral", "qwen2_5_vl", "gemma4_vision")


def read_encoder(config: Mapping[str, Any], text: Mapping[str, Any], faults: list[str]) -> Encoder | None:
    """The encoder of a wrapper; None where it has none.

    Attention, feed-forward, patches and projector are counted, which is all but a thousandth of the weights. Of
    encoders for sound Gemma 4's is known; its weights are counted, its run is not.

    Args:
        config: The wrapper's `config.json`.
        text: Its text model, as read.
        faults: Where what is wrong is noted.
    """
    sound = _sound(config, int(text.get("hidden") or 1), faults)
    vision = config.get("vision_config")
    if vision is None and str(config.get("model_type", "")).startswith("llama4"):
        vision = {"model_type": "llama4_vision_model"}
    if not isinstance(vision, dict):
        return None
    kind = str(vision.get("model_type", ""))
    kind = "qwen2_5_vl" if kind == "" and "fullatt_block_indexes" in vision else kind
    known = {**_DEFAULTS.get(kind, {}), **{key: value for key, value in vision.items() if value is not None}}
    wrong: list[str] = []
    own_sizes, sizes = TextConfig(known, {}, {}, wrong), TextConfig(known, config, {}, wrong)
    layers = own_sizes.count("num_hidden_layers", "depth")
    hidden, intermediate = own_sizes.count("hidden_size", "embed_dim"), own_sizes.count("intermediate_size")
    matrices = 3 if kind in _GATED else 2
    merged = _patches_per_token(sizes, kind)
    patch_px = own_sizes.optional("patch_size", 14)
    # Some give a pair.
    image_px = own_sizes.optional("image_size", 1024) if isinstance(known.get("image_size"), int) else 1024
    patch = patch_px**2 * 3 * own_sizes.optional("temporal_patch_size", 1)
    mergers = 1 + len(own_sizes.layer_numbers("deepstack_visual_indexes"))
    width = int(text.get("hidden") or 1)
    if sizes.get("spatial_merge_size") is not None:
        inner = hidden * merged
        projector = mergers * (inner * inner + inner * width)
    else:
        projector = hidden * width
    windowed = _windowed(own_sizes, layers, merged) if kind == "qwen2_5_vl" else {}
    faults += [f"vision_config: {one}" for one in wrong]
    own = layers * (4 * hidden**2 + matrices * hidden * intermediate) + patch * hidden
    parameters = own + projector + sound
    if parameters > MOST_PARAMETERS:
        faults.append("vision_config, audio_config: together they have more parameters than any model")
    if faults:
        return None
    return Encoder(
        parameters=parameters, hidden=hidden, intermediate=intermediate, patches_per_token=merged, layers=layers,
        patch_px=patch_px, image_px=image_px, rule=_rule(config, kind), **windowed,
    )  # fmt: skip


def _windowed(sizes: TextConfig, layers: int, merged: int) -> dict[str, int]:
    """Layers of Qwen2.5-VL in which a patch sees a window (`window_size`, 112 px), and its patches."""
    full = sizes.layer_numbers("fullatt_block_indexes") or (7, 15, 23, 31)
    side = sizes.optional("window_size", 112) // sizes.optional("patch_size", 14)
    return {"window_layers": max(0, layers - len(full)), "window_patches": max(merged, side**2)}


def _rule(config: Mapping[str, Any], kind: str) -> ImageRule | None:
    """How it counts an image; None where it does so in a way of its own."""
    named = config.get("architectures")
    rule = _RULES.get(named[0]) if isinstance(named, list) and named else None
    if kind == "pixtral":
        return "pixtral"
    if rule == "llava_next":
        grids = [[336 * high, 336 * wide] for high, wide in LLAVA_GRIDS]
        said = config.get("image_grid_pinpoints")
        return rule if isinstance(said, list) and all(grid in grids for grid in said) and len(said) == 5 else None
    return rule


def _sound(config: Mapping[str, Any], width: int, faults: list[str]) -> int:
    """Parameters of an encoder for sound.

    Of a layer two networks of four times its width, attention with a matrix for distances, and a gated convolution with
    one after it (`Gemma4AudioLayer` of `transformers` 5.19).
    """
    sound = config.get("audio_config")
    if not sound:
        return 0
    if not isinstance(sound, dict) or sound.get("model_type") != "gemma4_audio":
        faults.append("audio_config: an encoder for sound is not supported but Gemma 4's")
        return 0
    wrong: list[str] = []
    sizes = TextConfig(sound, {}, {}, wrong)
    hidden, layers, out = (
        sizes.optional(key, default)
        for key, default in (("hidden_size", 1024), ("num_hidden_layers", 12), ("output_proj_dims", 1536))
    )
    faults += [f"audio_config: {one}" for one in wrong]
    return layers * (2 * 8 + 5 + 3) * hidden**2 + hidden * (hidden + out) + out * width


def _patches_per_token(sizes: TextConfig, kind: str) -> int:
    """How many patches make a token of the text model."""
    if sizes.get("spatial_merge_size") is not None:
        return sizes.count("spatial_merge_size") ** 2
    if kind == "siglip_vision_model" and sizes.get("image_size") and sizes.get("patch_size"):
        image, patch = sizes.count("image_size"), sizes.count("patch_size")
        return max(1, (image // patch) ** 2 // sizes.optional("mm_tokens_per_image", 256))
    if sizes.get("pooling_kernel_size") is not None:
        return sizes.count("pooling_kernel_size") ** 2
    shuffled = sizes.get("downsample_ratio")
    if isinstance(shuffled, float) and 0.0 < shuffled < 1.0:
        return round(1.0 / shuffled**2)
    return 4 if kind == "llama4_vision_model" else 1
