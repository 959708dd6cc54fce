"""Images in prompts, and what a server does with them before a model sees them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from simulator.scenario.base import Config, PositiveInt, Seconds

Side = Annotated[int, Field(gt=0, le=20_000)]


class Images(Config):
    """Images that every request of a workload brings, such as the two views of a chest X-ray.

    Each backend counts them by the rule of its own model, beside `prompt_tokens`, which are those of the text. All are
    different: nothing of them is found in the prefix cache or in the encoder's cache.
    """

    per_request: Annotated[int, Field(gt=0, le=600)] = 1
    """How many."""
    width_px: Side
    """Width of each, as it is sent."""
    height_px: Side
    """Height of each, as it is sent."""
    preprocessing: Seconds | None = None
    """What vLLM's API server takes to decode and resize one, before the engine sees the request; 80 ms for a million
    pixels when absent, estimated from one public trace (vLLM 0.19, Qwen2.5-VL-7B, 1920 x 1080 px)."""


class MmProcessorKwargs(Config):
    """How images are resized (`--mm-processor-kwargs`), under vLLM's names; what the model comes with when absent."""

    min_pixels: PositiveInt | None = None
    """Qwen-VL: smaller images are enlarged to so many pixels."""
    max_pixels: PositiveInt | None = None
    """Qwen-VL: larger images are reduced to so many pixels."""
    do_pan_and_scan: bool | None = None
    """Gemma 3 and MedGemma: whether a long image is seen in two to four crops too."""
    max_soft_tokens: Literal[70, 140, 280, 560, 1120] | None = None
    """Gemma 4: most tokens of an image."""
