"""What images are taken to be at each backend, for `simulator explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.experiment.image_backends import seen_by
from simulator.performance.api_image_tokens import api_rule
from simulator.performance.image_loads import api_load, cluster_load, images_of
from simulator.scenario.patterns import api_key, cluster_key
from simulator.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.scenario.schema import Scenario

_RULE = "vLLM 0.33 and transformers 5, their own counts"
_TRACE = "vllm-project/vllm issue 41267, 2026-04-29: one trace"
_ROOFLINE = "a roofline of the encoder's shape, not measured; with one public trace in tests/performance"


def image_notes(scenario: Scenario) -> Iterator[tuple[str, str, str, str]]:
    """Of each workload with images at each backend: place, what they are, how sure it is, and where it comes from.

    Raises:
        ScenarioError: See `seen_by`.
        ProfileNotFound: See `cluster_load`.
        ProfileError: Likewise.
    """
    for name, pattern in scenario.hosting_patterns.items():
        for backend, loads in seen_by(scenario, pattern).items():
            for load in sorted(loads):
                images = images_of(scenario.workloads[load])
                assert images is not None
                what = f"{load}: {counted(images.per_request, 'image')} of {images.width_px} x {images.height_px} px"
                if backend in pattern.hosted:
                    cluster = pattern.hosted[backend].cluster
                    one = cluster_load(cluster, images)
                    place = ".".join(("hosting_patterns", name, *cluster_key(pattern, backend)))
                    said, rule = ("stated", "image_tokens") if cluster.image_tokens else ("published", _RULE)
                    yield place, f"{what}: {one.tokens:,} prompt tokens", said, rule
                    yield place, f"{what}: encoder {1000 * one.encoder_s:,.0f} ms of a step", "derived", _ROOFLINE
                    said, trace = ("estimated", _TRACE) if images.preprocessing is None else ("stated", "preprocessing")
                    yield place, f"{what}: decoding and resizing {1000 * one.front_s:,.0f} ms", said, trace
                    continue
                api = pattern.metered[backend]
                place = ".".join(("hosting_patterns", name, *api_key(pattern, backend)))
                tokens = f"{what}: {api_load(api, images).tokens:,} prompt tokens"
                known = None if api.image_tokens else api_rule(api.model)
                yield place, tokens, known.label if known else "stated", known.source if known else "image_tokens"
