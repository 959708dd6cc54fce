"""Metered APIs of a pattern as backends: each of its own kind, and who takes what another refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.engine.batch_api import BatchBackend
from simulator.engine.metered_api import ApiBackend
from simulator.scenario.apis import Batch, Provisioned

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from simpy import Environment

    from simulator.engine.conditions import Episode
    from simulator.engine.ledger import Ledger
    from simulator.engine.record import Charge, Loss
    from simulator.scenario.apis import MeteredApi


def api_backend(
    env: Environment,
    api: MeteredApi,
    backend: int,
    ledger: Ledger,
    rng: np.random.Generator,
    on_lost: Callable[[Loss], None] | None = None,
    *,
    episodes: Sequence[Episode] = (),
    burnt: list[Charge] | None = None,
    retries_at_most: int | None = None,
) -> ApiBackend | BatchBackend:
    """An API by itself; `ApiBackend` says what the arguments are."""
    if isinstance(api.deployment, Batch):
        return BatchBackend(env, api, backend, ledger, rng, on_lost, episodes=episodes)
    made_of = env, api, backend, ledger, rng, on_lost
    return ApiBackend(*made_of, episodes=episodes, burnt=burnt, retries_at_most=retries_at_most)


def link_spillovers(
    apis: Mapping[str, MeteredApi],
    backends: Sequence[ApiBackend | BatchBackend],
    permits: Callable[[int], Sequence[bool]],
) -> None:
    """Have each API spill over to the one it names.

    Args:
        apis: The APIs of a pattern.
        backends: Their backends, in the same order.
        permits: By place of an API among them, whether each workload may be sent there at all.
    """
    places = {name: place for place, name in enumerate(apis)}
    for one, api in zip(backends, apis.values(), strict=True):
        if isinstance(api.deployment, Provisioned) and api.deployment.spillover is not None:
            place = places[api.deployment.spillover]
            target = backends[place]
            assert isinstance(one, ApiBackend)
            assert isinstance(target, ApiBackend)
            one.spill_to(target, permits(place))
