"""Deployments of a metered API that a plan may choose from, provisioned units in several sizes among them."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from simulator.cost.checks import price_faults
from simulator.errors import ProvisionedModelNotFound
from simulator.performance.provisioned import provisioned_model, units_needed
from simulator.scenario.apis import Batch, MeteredApi, Priority, Provisioned, RateLimits, Standard
from simulator.study.candidates import Candidate, Series, Space, idle_usd, moved_outages
from simulator.workload.synthesis import synthesise_parts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

    from numpy.typing import NDArray

    from simulator.cost.prices import PriceBook
    from simulator.performance.provisioned import ProvisionedModel, Scope
    from simulator.scenario.patterns import ApiPattern
    from simulator.scenario.schema import Scenario

#: Sizes of provisioned units that are tried, as shares of what the busiest minute needs.
_SHARES = tuple(map(Fraction, ("0", "1/8", "1/4", "1/2", "3/4", "1")))


def api_series(
    name: str, base: ApiPattern, space: Space, scenario: Scenario, book: PriceBook, month: Decimal
) -> tuple[list[Series], dict[str, str]]:
    """What may stand for a pattern of one API, and what may not with the reason.

    Provisioned units are tried in sizes up to what the busiest minute of the first replication needs, each with what
    they refuse spilling over to the same model by the token.
    """
    (own,) = base.metered.values()
    made, refused = [], {}
    for model in space.api_models or (own.model,):
        for kind in space.deployments or (None,):
            label = f"{model}, {kind}" if kind else model
            api = own.model_copy(update={"model": model})
            try:
                found = [(label, api)] if kind is None else list(_deployed(api, kind, scenario))
            except ProvisionedModelNotFound as error:
                refused[label] = str(error).partition("; there are")[0]
                continue
            candidates = []
            for size, one in found:
                pattern = _pattern(base, one, own.limits)
                if faults := [message for _, message in price_faults(pattern, book)]:
                    refused[size] = "; ".join(faults)
                elif one.deployment.kind != "batch" and one.ttft is None:
                    refused[size] = f"the pattern '{name}' gives no latencies (ttft, output_tokens_per_s)"
                else:
                    candidates.append(Candidate(size, pattern, idle_usd(pattern, book, month)))
            if candidates:
                made.append(Series(name, label, candidates))
    return made, refused


def _deployed(api: MeteredApi, kind: str, scenario: Scenario) -> Iterator[tuple[str, MeteredApi]]:
    """An API in a kind of deployment, by what it is called; provisioned units in several sizes."""
    label = f"{api.model}, {kind}"
    if kind == "provisioned":
        scope = _scope(api)
        model = provisioned_model(api.model)
        for units in sizes(model, load_by_minute(model, scenario), scope):
            deployment = Provisioned(kind="provisioned", units=units, scope=scope, spillover="tokens")
            yield f"{api.model}, {units} units, else by the token", _with(api, deployment, RateLimits())
    elif kind == "batch":
        own = api.deployment if isinstance(api.deployment, Batch) else Batch(kind="batch")
        yield label, _with(api, own, RateLimits()).model_copy(update={"ttft": None, "output_tokens_per_s": None})
    else:
        yield label, _with(api, Standard() if kind == "standard" else Priority(kind="priority"), api.limits)


def _with(api: MeteredApi, deployment: object, limits: RateLimits) -> MeteredApi:
    return api.model_copy(update={"deployment": deployment, "limits": limits})


def _scope(api: MeteredApi) -> Scope:
    if isinstance(api.deployment, Provisioned):
        return api.deployment.scope
    ends: dict[str, Scope] = {"-data-zone": "data_zone", "-regional": "regional"}
    return next((scope for end, scope in ends.items() if api.model.endswith(end)), "global")


def load_by_minute(model: ProvisionedModel, scenario: Scenario) -> NDArray[np.float64]:
    """Prompt tokens and outputs at their weight that arrive in each minute of the first replication."""
    minutes = ceil(scenario.horizon.duration_s / 60.0)
    load = np.zeros(minutes)
    for table, _ in synthesise_parts(scenario, 0):
        minute = (table.arrival_s // 60.0).astype(np.int64)
        weight = table.prompt_tokens + model.output_ratio * table.output_tokens
        load += np.bincount(minute, weight, minlength=minutes)
    return load


def sizes(model: ProvisionedModel, load: NDArray[np.float64], scope: Scope) -> list[int]:
    """Deployments that are sold, from the smallest to what the busiest minute of a load needs.

    Raises:
        ProvisionedModelNotFound: The model is not sold in this scope.
    """
    peak = Fraction(float(load.max(initial=0.0)))
    needed = units_needed(model, prompt_tokens_per_minute=peak, output_tokens_per_minute=0)
    steps = model.steps.get(scope)
    if steps is None:
        raise ProvisionedModelNotFound(f"not sold as {scope}; there are: {', '.join(model.steps)}")
    return sorted({steps.at_least(share * needed) for share in _SHARES})


def _pattern(base: ApiPattern, api: MeteredApi, limits: RateLimits) -> ApiPattern:
    if not isinstance(api.deployment, Provisioned) or api.deployment.spillover is None:
        faults = moved_outages(base, [api.model])
        return base.model_copy(update={"api": api, "apis": None, "faults": faults})
    tokens = _with(api, Standard(), limits)
    apis = {"units": api, "tokens": tokens}
    return base.model_copy(update={"api": None, "apis": apis, "faults": moved_outages(base, list(apis))})
