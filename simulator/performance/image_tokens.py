"""How many tokens an image is to a model, and how many patches its encoder computes, as vLLM 0.33 counts them.

The rules are those of vLLM (`model_executor/models`, `get_num_image_tokens`) and of the image processors of
`transformers` 5 that it calls; `tests/performance/test_image_tokens.py` has what those themselves gave.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, inf, sqrt
from typing import TYPE_CHECKING, Final

from simulator.errors import ProfileError
from simulator.performance.architecture import known_model
from simulator.scenario.images import MmProcessorKwargs

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.performance.architecture import Encoder, ModelShape


@dataclass(frozen=True, slots=True)
class Picture:
    """An image as a model sees it.

    Attributes:
        tokens: Of the prompt, those that mark where it begins and ends included.
        patches: That the encoder computes.
        together: Of those, how many see each other: all, or those of a tile.
    """

    tokens: int
    patches: int
    together: int


#: Fewest and most pixels of Qwen-VL's `preprocessor_config.json`, by the side of its patches.
_PIXELS: Final = {14: (3136, 12_845_056), 16: (65_536, 16_777_216)}
#: What a model's rule takes of `MmProcessorKwargs`.
_TAKES: Final = {
    "qwen_vl": ("min_pixels", "max_pixels"),
    "gemma3": ("do_pan_and_scan",),
    "gemma4": ("max_soft_tokens",),
}
#: Grids of LLaVA 1.6, height and width in tiles.
LLAVA_GRIDS: Final = ((1, 2), (2, 1), (2, 2), (3, 1), (1, 3))


def _qwen_vl(encoder: Encoder, width: int, height: int, said: MmProcessorKwargs) -> Picture:
    """`smart_resize`: sides are multiples of a token's, the area is within limits; what is too long is refused."""
    side = encoder.patch_px * round(sqrt(encoder.patches_per_token))
    least, most = _PIXELS.get(encoder.patch_px, _PIXELS[16])
    least, most = said.min_pixels or least, said.max_pixels or most
    if max(width, height) / min(width, height) > 200:
        raise ProfileError(f"an image of {width} x {height} px is refused: one side is more than 200 times the other")
    high, wide = round(height / side) * side, round(width / side) * side
    if high * wide > most:
        beta = sqrt(height * width / most)
        high, wide = (max(side, floor(px / beta / side) * side) for px in (height, width))
    elif high * wide < least:
        beta = sqrt(least / (height * width))
        high, wide = (ceil(px * beta / side) * side for px in (height, width))
    tokens = high * wide // side**2
    patches = tokens * encoder.patches_per_token
    return Picture(2 + tokens, patches, patches)


def _gemma3(encoder: Encoder, width: int, height: int, said: MmProcessorKwargs) -> Picture:
    """256 tokens of one picture and of each crop, between a blank line and a mark on either side."""
    pictures = 1 + (_crops(width, height) if said.do_pan_and_scan else 0)
    patches = (encoder.image_px // encoder.patch_px) ** 2
    return Picture(pictures * (patches // encoder.patches_per_token + 4), pictures * patches, patches)


def _crops(width: int, height: int) -> int:
    """Pan and scan: crops of at least 256 px, two to four, where one side is 1.2 times the other."""
    long, short = max(width, height), min(width, height)
    if long / short < 1.2:
        return 0
    crops = min(4, max(2, min(long // 256, floor(long / short + 0.5))))
    return 0 if min(ceil(long / crops), short) < 256 else crops


def _gemma4(encoder: Encoder, width: int, height: int, said: MmProcessorKwargs) -> Picture:
    """As large as its tokens allow, both sides multiples of a token's."""
    most = said.max_soft_tokens or 280
    side = encoder.patch_px * round(sqrt(encoder.patches_per_token))
    factor = sqrt(most * side**2 / (width * height))
    wide, high = floor(factor * width / side), floor(factor * height / side)
    if not high:
        wide, high = min(width // height, most), 1
    elif not wide:
        wide, high = 1, min(height // width, most)
    patches = wide * high * encoder.patches_per_token
    return Picture(2 + wide * high, patches, patches)


def _pixtral(encoder: Encoder, width: int, height: int, _: MmProcessorKwargs) -> Picture:
    """Reduced to the longest edge; each row ends with a token."""
    side = encoder.patch_px * round(sqrt(encoder.patches_per_token))
    ratio = max(1.0, max(width, height) / encoder.image_px)
    wide, high = ((px if ratio == 1.0 else floor(px / ratio)) for px in (width, height))
    wide, high = (max(1, (px - 1) // side + 1) for px in (wide, high))
    patches = wide * high * encoder.patches_per_token
    return Picture((wide + 1) * high, patches, patches)


def _llama4(encoder: Encoder, width: int, height: int, _: MmProcessorKwargs) -> Picture:
    """Up to 16 tiles, and the whole in one more where there are several; marks between tiles, rows and at the ends.

    The tiles are the smallest canvas in which the image keeps its size, or else the one that reduces it least.
    """
    sides = [(high, wide) for high in range(1, 17) for wide in range(1, 17) if high * wide <= 16]
    scales = {
        (high, wide): min(encoder.image_px * wide / width, encoder.image_px * high / height) for high, wide in sides
    }
    larger = [scale for scale in scales.values() if scale >= 1.0]
    chosen = min(larger) if larger else max(scales.values())
    high, wide = min((one for one in sides if scales[one] == chosen), key=lambda one: one[0] * one[1])
    tiles = high * wide + 1 if high * wide > 1 else 1
    of_tile = (encoder.image_px // encoder.patch_px) ** 2
    marks = 3 + (high * wide if high * wide > 1 else 0)
    return Picture(tiles * (of_tile // encoder.patches_per_token) + marks, tiles * (of_tile + 1), of_tile + 1)


def _llava(encoder: Encoder, _width: int, _height: int, _: MmProcessorKwargs) -> Picture:
    """A token for each patch of a square."""
    patches = (encoder.image_px // encoder.patch_px) ** 2
    return Picture(patches, patches + 1, patches + 1)


def _llava_next(encoder: Encoder, width: int, height: int, _: MmProcessorKwargs) -> Picture:
    """A square of the whole, and the tiles of the grid that shows most of it, less what only fills them up."""
    tile, side = encoder.image_px, encoder.image_px // encoder.patch_px
    best, shown, wasted = LLAVA_GRIDS[0], 0, inf
    for high, wide in LLAVA_GRIDS:
        scale = min(tile * wide / width, tile * high / height)
        useful = min(int(width * scale) * int(height * scale), width * height)
        if useful > shown or (useful == shown and tile * tile * high * wide - useful < wasted):
            best, shown, wasted = (high, wide), useful, tile * tile * high * wide - useful
    high, wide = (side * tiles for tiles in best)
    if width / height > wide / high:
        high -= (high - int(round(height * (wide / width), 7))) // 2 * 2
    else:
        wide -= (wide - int(round(width * (high / height), 7))) // 2 * 2
    tiles = best[0] * best[1] + 1
    return Picture(high * wide + high + side**2, tiles * (side**2 + 1), side**2 + 1)


def _internvl(encoder: Encoder, width: int, height: int, _: MmProcessorKwargs) -> Picture:
    """1 to 12 tiles of the nearest shape, and the whole in one more where there are several; two marks."""
    tile, found, off = encoder.image_px, (1, 1), inf
    shapes = sorted(
        {(wide, high) for wide in range(1, 13) for high in range(1, 13) if wide * high <= 12},
        key=lambda one: one[0] * one[1],
    )
    for wide, high in shapes:
        differs = abs(width / height - wide / high)
        if differs < off or (differs == off and width * height > 0.5 * tile * tile * wide * high):
            found, off = (wide, high), differs
    tiles = found[0] * found[1] + 1 if found != (1, 1) else 1
    of_tile = (tile // encoder.patch_px) ** 2
    return Picture(2 + tiles * (of_tile // encoder.patches_per_token), tiles * (of_tile + 1), of_tile + 1)


_RULES: Final[dict[str, Callable[[Encoder, int, int, MmProcessorKwargs], Picture]]] = {
    "qwen_vl": _qwen_vl, "gemma3": _gemma3, "gemma4": _gemma4, "pixtral": _pixtral, "llama4": _llama4,
    "llava": _llava, "llava_next": _llava_next, "internvl": _internvl,
}  # fmt: skip


def encoder_of(model: ModelShape) -> Encoder | None:
    """A model's encoder; of one whose profile does not say how it counts, that of the known model of its name."""
    if model.encoder is None or model.encoder.rule is not None:
        return model.encoder
    known = known_model(model.name)
    return known.encoder if known is not None and known.encoder is not None else model.encoder


def picture_of(
    model: ModelShape, width: int, height: int, said: MmProcessorKwargs | None = None, tokens: int | None = None
) -> Picture:
    """An image as a model sees it.

    Args:
        model: Its shape.
        width: Of the image as it is sent, in pixels.
        height: Likewise.
        said: How it is resized; as the model comes when absent.
        tokens: What it is stated to be, in place of the rule.

    Raises:
        ProfileError: The model takes no images, refuses this one, or counts them in a way that is not known; or there
            is no such way to resize its images.
    """
    encoder, said = encoder_of(model), said or MmProcessorKwargs()
    if encoder is None:
        raise ProfileError(f"{model.name} takes no images")
    strange = [name for name in said.model_fields_set if name not in _TAKES.get(encoder.rule or "", ())]
    if strange:
        raise ProfileError(f"mm_processor_kwargs: {', '.join(sorted(strange))} do not apply to {model.name}")
    if tokens is not None:
        patches = tokens * encoder.patches_per_token
        return Picture(tokens, patches, patches)
    if encoder.rule is None:
        raise ProfileError(f"how many tokens {model.name} makes of an image is not known; give image_tokens")
    return _RULES[encoder.rule](encoder, width, height, said)
