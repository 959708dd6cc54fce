"""How long an encoder takes for an image: a roofline of its shape; derived, not measured.

The engine computes the images of a request in the step that first schedules it, before the text model (vLLM 0.33,
`v1/worker/gpu_model_runner.py`, `_execute_mm_encoder`), so that step is so much longer for everybody in it. Kernels
reach what `roofline` assumes; without CUDA graphs the host launches every layer. Each of several GPUs has its part of
every layer (`mm_encoder_tp_mode: weights`, the default). The projector is counted for every patch, up to a twelfth too
much. `tests/performance/test_encoder_time.py` holds it beside public measurements.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from simulator.errors import ProfileError
from simulator.performance.boards import SHEETS
from simulator.performance.image_tokens import encoder_of
from simulator.performance.links import LINKS, all_reduce_s, messages, own_link, table_name
from simulator.performance.roofline import ARITHMETIC, KERNELS, LAUNCH_S, READS

if TYPE_CHECKING:
    from simulator.performance.image_tokens import Picture
    from simulator.performance.profile import PerformanceProfile

#: What an API server takes to decode and resize a million pixels: 167 ms of a request with one image of 1920 x 1080 px
#: were spent outside the engine (vLLM 0.19.1, Qwen2.5-VL-7B on H100, vllm-project/vllm issue 41267, 2026-04-29).
PREPROCESSING_S_PER_MEGAPIXEL: Final = 0.08


def encoder_s(profile: PerformanceProfile, picture: Picture) -> float:
    """Seconds of a replica's GPUs for one image.

    Args:
        profile: Of the replica: its model, GPU and how many.
        picture: The image as the model sees it.

    Raises:
        ProfileError: The profile's encoder does not say how many layers it has, or no data sheet is known of the GPU.
    """
    encoder, gpus = encoder_of(profile.model), profile.tensor_parallel
    if encoder is None or not encoder.layers:
        raise ProfileError(f"{profile.id} does not say what its encoder computes; build it again from the config.json")
    if profile.gpu not in SHEETS:
        raise ProfileError(f"no data sheet is known for {profile.gpu}; there are {', '.join(SHEETS)}")
    sheet = SHEETS[profile.gpu]
    seen = (encoder.layers - encoder.window_layers) * picture.together
    seen += encoder.window_layers * min(picture.together, encoder.window_patches)
    # Not those of an encoder for sound, which stand beside it in Gemma 4 E2B and E4B.
    gated = encoder.layers * (4 * encoder.hidden**2 + 3 * encoder.hidden * encoder.intermediate)
    parameters = min(encoder.parameters, gated) if encoder.rule == "gemma4" else encoder.parameters
    operations = picture.patches * (2.0 * parameters + 4.0 * encoder.hidden * seen)
    reading_s = 2.0 * parameters / (1e9 * sheet.bandwidth_gb_s * READS)
    computing_s = max(reading_s, operations / (1e12 * sheet.tflops * ARITHMETIC)) / gpus
    launching_s = encoder.layers * max(KERNELS * LAUNCH_S, profile.overhead.eager_per_layer_s)
    if gpus == 1:
        return max(computing_s, launching_s)
    table = table_name(profile.gpu, own_link(profile.gpu)) if profile.gpu in LINKS else None
    each_s = all_reduce_s(table or "h200_sxm", gpus, picture.patches * encoder.hidden)
    return max(computing_s + messages(encoder.layers) * each_s, launching_s)


def preprocessing_s(width: int, height: int) -> float:
    """Seconds of an API server for one image of so many pixels."""
    return PREPROCESSING_S_PER_MEGAPIXEL * width * height / 1e6
