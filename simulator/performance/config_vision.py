"""What stands in front of a text model for images and sound: its weights, and what it computes for images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from simulator.performance.architecture import Encoder

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What `transformers` fills in where a file says nothing, by kind of encoder.
_DEFAULTS: Final[dict[str, dict[str, int]]] = {
    "siglip_vision_model": {
        "hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "patch_size": 14, "image_size": 896,
    },
    "pixtral": {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "patch_size": 14},
    "llama4_vision_model": {"hidden_size": 1408, "intermediate_size": 5632, "num_hidden_layers": 34, "patch_size": 14},
    "gemma4_vision": {
        "hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "patch_size": 16,
        "pooling_kernel_size": 3,
    },
    "qwen2_5_vl": {"hidden_size": 1280, "intermediate_size": 3420, "depth": 32, "patch_size": 14},
    "clip_vision_model": {
        "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "patch_size": 14, "image_size": 336,
    },
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
    layers = known.get("num_hidden_layers", known.get("depth"))
    hidden, intermediate = known.get("hidden_size", known.get("embed_dim")), known.get("intermediate_size")
    numbers = {"num_hidden_layers": layers, "hidden_size": hidden, "intermediate_size": intermediate}
    for name, value in numbers.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            faults.append(f"vision_config: {name}: {'is missing' if value is None else repr(value)}")
    if not (isinstance(layers, int) and isinstance(hidden, int) and isinstance(intermediate, int)):
        return None
    matrices = 3 if kind in _GATED else 2
    merged = _patches_per_token(config, known, kind)
    patch = int(known.get("patch_size", 14)) ** 2 * 3 * int(known.get("temporal_patch_size", 1))
    width = int(text.get("hidden") or 1)
    if "spatial_merge_size" in known or "spatial_merge_size" in config:
        inner = hidden * merged
        mergers = 1 + len(known.get("deepstack_visual_indexes") or ())
        projector = mergers * (inner * inner + inner * width)
    else:
        projector = hidden * width
    own = layers * (4 * hidden**2 + matrices * hidden * intermediate) + patch * hidden
    parameters = own + projector + sound
    return Encoder(parameters=parameters, hidden=hidden, intermediate=intermediate, patches_per_token=merged)


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
    hidden, layers, out = (
        int(sound.get(key) or default)
        for key, default in (("hidden_size", 1024), ("num_hidden_layers", 12), ("output_proj_dims", 1536))
    )
    return layers * (2 * 8 + 5 + 3) * hidden**2 + hidden * (hidden + out) + out * width


def _patches_per_token(config: Mapping[str, Any], vision: Mapping[str, Any], kind: str) -> int:
    """How many patches make a token of the text model."""
    merge = vision.get("spatial_merge_size", config.get("spatial_merge_size"))
    if isinstance(merge, int):
        return merge**2
    tokens, image, patch = config.get("mm_tokens_per_image"), vision.get("image_size"), vision.get("patch_size")
    if kind == "siglip_vision_model" and isinstance(image, int) and isinstance(patch, int):
        return max(1, (image // patch) ** 2 // int(tokens or 256))
    pooled = vision.get("pooling_kernel_size")
    if isinstance(pooled, int):
        return pooled**2
    return 4 if kind == "llama4_vision_model" else 1
