"""Images of requests in a replica: more tokens of a prompt, and the time of an encoder.

The images of a request are computed in the step that first schedules it (vLLM 0.33, `v1/core/sched/scheduler.py`,
`_try_schedule_encoder_inputs`), which is so much longer for everybody in it. Where a prompt is cut into chunks, or the
images of a step are more than the encoder's budget, vLLM computes the later ones in later steps; here all are in the
first, in the same time altogether.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from simulator.engine.ledger import Ledger
    from simulator.engine.vllm.state import State
    from simulator.performance.image_table import ImageLoads


def set_images(s: State, ledger: Ledger, images: ImageLoads | None) -> None:
    """What the images of each workload are to a cluster; nothing where there are none."""
    backend = int(s.settings[0].backend)
    s.settings[0].encodes = images is not None and bool(images.tokens[backend].any())
    if images is not None:
        s.replace("prompt_tokens", ledger.prompts(images.tokens[backend]))
    none = np.zeros(0)
    s.replace("encoder_s", none if images is None else images.encoder_s[backend])
    s.replace("image_front_s", none if images is None else images.front_s[backend])
