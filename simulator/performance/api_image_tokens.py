"""How many tokens a metered API counts for an image, by the rule that its provider publishes.

Where no rule is known, none is guessed: the scenario says `image_tokens`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from math import ceil, floor, sqrt
from typing import TYPE_CHECKING, Final

from simulator.errors import ProfileError
from simulator.performance.architecture import known_model
from simulator.performance.image_tokens import picture_of

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class ImageRule:
    """How an API counts images.

    Attributes:
        tokens: Tokens of an image of so many pixels, width and height.
        label: Whether the provider publishes the rule, or users measured it.
        source: Where, and when it was read.
    """

    tokens: Callable[[int, int], int]
    label: str
    source: str


def tiles_of_512(base: int, tile: int, width: int, height: int) -> int:
    """OpenAI, `detail: high`: fitted into 2,048 px, the short side then reduced to 768 px; a base, and tiles of 512 px.

    >>> tiles_of_512(85, 170, 1024, 1024), tiles_of_512(85, 170, 2048, 4096)
    (765, 1105)
    """
    scale = min(1.0, 2048 / max(width, height))
    scale = min(scale, 768 / min(width, height))
    return base + tile * ceil(round(width * scale, 6) / 512) * ceil(round(height * scale, 6) / 512)


def patches_of_32(most: int, factor: float, width: int, height: int) -> int:
    """OpenAI: patches of 32 px, so reduced that no more than `most` are needed, times a factor of the model.

    >>> patches_of_32(1536, 1.0, 1024, 1024), patches_of_32(1536, 1.0, 1800, 2400)
    (1024, 1452)
    """
    if ceil(width / 32) * ceil(height / 32) > most:
        scale = sqrt(32 * 32 * most / (width * height))
        scale *= min(floor(px * scale / 32) / (px * scale / 32) if px * scale >= 32 else 1.0 for px in (width, height))
        width, height = (max(1, round(px * scale)) for px in (width, height))
    return ceil(factor * min(most, ceil(width / 32) * ceil(height / 32)))


def patches_of_28(longest: int, most: int, width: int, height: int) -> int:
    """Anthropic: patches of 28 px, reduced to its longest side and to `most`; about width x height / 750 as once said.

    >>> patches_of_28(1568, 1568, 1000, 1000), patches_of_28(1568, 1568, 4000, 4000)
    (1296, 1521)
    """
    long, short = max(width, height), min(width, height)
    side = min(long, longest)
    while side > 1 and ceil(side / 28) * ceil(max(1.0, side * short / long) / 28) > most:
        side -= 1
    return ceil(side / 28) * ceil(max(1.0, side * short / long) / 28)


def tiles_of_258(width: int, height: int) -> int:
    """Gemini 2: 258 tokens up to 384 px, beyond for each tile of a side two thirds of the short one, 256 to 768 px.

    >>> tiles_of_258(384, 384), tiles_of_258(960, 540)
    (258, 1548)
    """
    if max(width, height) <= 384:
        return 258
    side = min(768, max(256, floor(min(width, height) / 1.5)))
    return 258 * ceil(width / side) * ceil(height / side)


_OPENAI: Final = "OpenAI, Images and vision, calculating costs, detail high, 2026-11"
_USERS: Final = "differences of usage with and without an image, community.openai.com/t/1377015, 2026-03-18"
_ANTHROPIC: Final = "Anthropic, Vision, evaluate image size, 2026-11"
_GOOGLE: Final = "Google, Gemini API, Understand and count tokens, 2026-11"
_PUBLISHED, _MEASURED = "published", "measured"
_GEMINI_3: Final = "Google, Gemini API, Media resolution, default high, 2026-11"


def _tiles(base: int, tile: int) -> ImageRule:
    return ImageRule(partial(tiles_of_512, base, tile), _PUBLISHED, _OPENAI)


def _patches(most: int, factor: float, label: str = _MEASURED, source: str = _USERS) -> ImageRule:
    return ImageRule(partial(patches_of_32, most, factor), label, source)


#: By what a model's name matches in whole, after its provider and without a date, dots as hyphens.
_RULES: Final[dict[str, ImageRule]] = {
    r"gpt-4o|gpt-4-1|gpt-4-turbo|gpt-4-vision": _tiles(85, 170),
    r"gpt-4o-mini": _tiles(2833, 5667),
    r"o1|o1-pro|o3": _tiles(75, 150),
    r"gpt-5|gpt-5-1|gpt-5-chat": _tiles(70, 140),
    r"gpt-4-1-mini": _patches(1536, 1.62, _PUBLISHED, _OPENAI),
    r"gpt-4-1-nano": _patches(1536, 2.46, _PUBLISHED, _OPENAI),
    r"o4-mini": _patches(1536, 1.72, _PUBLISHED, _OPENAI),
    r"gpt-5-mini": _patches(1536, 1.2),
    r"gpt-5-nano": _patches(1536, 1.5),
    r"gpt-5-4|gpt-5-4-mini|gpt-5-4-nano": _patches(2500, 1.2),
    r".*claude-(3|[a-z]+-4-[156]).*|.*claude-(opus|sonnet)-4": ImageRule(
        partial(patches_of_28, 1568, 1568), _PUBLISHED, _ANTHROPIC
    ),
    r".*claude-opus-4-7.*": ImageRule(partial(patches_of_28, 2576, 4784), _PUBLISHED, _ANTHROPIC),
    r"gemini-2.*": ImageRule(tiles_of_258, _PUBLISHED, _GOOGLE),
    r"gemini-3.*": ImageRule(lambda *_: 1120, _PUBLISHED, _GEMINI_3),
}


def api_rule(model: str) -> ImageRule:
    """How an API counts images, or the rule of the open model that it serves.

    Args:
        model: Key of the price book, such as azure/gpt-4.1.

    Raises:
        ProfileError: No rule is known, or the model takes no images.
    """
    name = model.partition("/")[2] or model
    plain = re.sub(r"(-20\d\d-?\d\d-?\d\d)$", "", name.lower()).replace(".", "-")
    for pattern, rule in _RULES.items():
        if re.fullmatch(pattern, plain):
            return rule
    shape = known_model(name)
    if shape is None:
        raise ProfileError(f"how many tokens {model} counts for an image is not known; give image_tokens")
    if shape.encoder is None:
        raise ProfileError(f"{model} takes no images")

    def tokens(width: int, height: int) -> int:
        return picture_of(shape, width, height).tokens

    return ImageRule(tokens, "derived", f"the rule of {shape.name} in vLLM 0.33, not of {model.partition('/')[0]}")
