"""What the images of a request are to a backend: tokens, time of an encoder and of an API server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator.performance.api_image_tokens import api_rule
from simulator.performance.clusters import cluster_profile
from simulator.performance.encoder_time import encoder_s, preprocessing_s
from simulator.performance.image_tokens import picture_of

if TYPE_CHECKING:
    from simulator.scenario.apis import MeteredApi
    from simulator.scenario.images import Images
    from simulator.scenario.patterns import Cluster
    from simulator.scenario.workloads import Workload


@dataclass(frozen=True, slots=True)
class ImageLoad:
    """What the images of one request are to one backend.

    Attributes:
        tokens: Prompt tokens beside those of the text.
        encoder_s: Seconds that they add to a step of the engine.
        front_s: Seconds before the engine sees the request.
    """

    tokens: int = 0
    encoder_s: float = 0.0
    front_s: float = 0.0


NO_IMAGES = ImageLoad()


def images_of(load: Workload) -> Images | None:
    """The images of a workload's requests; None where they have none, or were recorded as tokens."""
    return getattr(load, "images", None)


def cluster_load(cluster: Cluster, images: Images | None) -> ImageLoad:
    """What the images of a request are to a cluster.

    Raises:
        ProfileNotFound: See `cluster_profile`.
        ProfileError: See `picture_of` and `encoder_s`.
    """
    if images is None:
        return NO_IMAGES
    profile, sides, count = cluster_profile(cluster), (images.width_px, images.height_px), images.per_request
    picture = picture_of(profile.model, *sides, cluster.engine.mm_processor_kwargs, cluster.image_tokens)
    each_s = preprocessing_s(*sides) if images.preprocessing is None else images.preprocessing
    step_s = cluster.step_time_factor * encoder_s(profile, picture)
    return ImageLoad(count * picture.tokens, count * step_s, count * each_s)


def api_load(api: MeteredApi, images: Images | None) -> ImageLoad:
    """What the images of a request are to an API; how long it takes for them is part of its own times.

    Raises:
        ProfileError: See `api_rule`.
    """
    if images is None:
        return NO_IMAGES
    each = api.image_tokens or api_rule(api.model).tokens(images.width_px, images.height_px)
    return ImageLoad(images.per_request * each)
