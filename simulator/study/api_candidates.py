"""Deployments of a metered API that a plan may choose from, provisioned units in several sizes among them."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from simulator.cost.checks import price_faults
from simulator.errors import ProvisionedModelNotFound
from simulator.experiment.image_backends import refusal
from simulator.performance.provisioned import ProvisionedModel, Steps, provisioned_model, units_needed
from simulator.scenario.api_terms import Terms
from simulator.scenario.apis import Batch, Flex, MeteredApi, Priority, Provisioned, RateLimits, Reserved, Standard
from simulator.scenario.fault_sources import Outage
from simulator.study.candidates import Candidate, Series, Space, idle_usd, moved_outages
from simulator.workload.synthesis import synthesise_parts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

    from numpy.typing import NDArray

    from simulator.cost.prices import PriceBook
    from simulator.performance.provisioned import Scope
    from simulator.scenario.patterns import ApiPattern, HostingPattern
    from simulator.scenario.schema import Scenario

#: Sizes of provisioned units that are tried, as shares of what the busiest minute needs.
_SHARES = tuple(map(Fraction, ("0", "1/8", "1/4", "1/2", "3/4", "1")))
_BY_THE_TOKEN = {"standard": Standard(), "priority": Priority(kind="priority"), "flex": Flex(kind="flex")}
#: Fewest input and output tokens a minute that are sold as a reservation.
_RESERVED_AT_LEAST = 100_000, 10_000


def api_series(
    name: str, base: ApiPattern, space: Space, scenario: Scenario, book: PriceBook, month: Decimal
) -> tuple[list[Series], dict[str, str]]:
    """What may stand for a pattern of one API, with bought throughput before it or none, and what may not and why.

    Provisioned units, and tokens a minute reserved at the prices of the pattern's own reservation, are tried in sizes
    up to what the busiest minute of the first replication needs, each with what they refuse spilling over to the same
    model by the token; units that the pattern has already keep their terms, and spill over where theirs do.
    """
    own, bought = _by_the_token(base)
    made, refused = [], {}
    for model in space.api_models or (own.model,):
        for named in space.deployments or ("own",):
            if bought is None and named == own.deployment.kind and "own" in space.deployments:
                continue
            kind = None if named == "own" else named
            mine = bought if bought and bought.deployment.kind == kind and model == own.model else None
            if own.prices is not None and mine is None and kind not in (None, own.deployment.kind):
                refused[f"{model}, {kind}"] = (
                    f"the contract (api.prices) says what {own.deployment.kind} costs, not {kind}"
                )
                continue
            label = f"{model}, {kind}" if kind else model
            api = own.model_copy(update={"model": model})
            if model != own.model:
                # How long a request it takes, how it counts images and what else a contract says is of another model.
                api = api.of_length(None, None).model_copy(update={"image_tokens": None, "terms": Terms()})
            try:
                found = [(label, api)] if kind is None else list(_deployed(api, kind, scenario, mine))
            except ProvisionedModelNotFound as error:
                refused[label] = str(error).partition("; there are")[0]
                continue
            if not found:
                refused[label] = f"no price is published: give '{name}' a reservation of this model at your own"
            candidates = []
            for size, one in found:
                as_it_is = kind is None and model == own.model
                pattern = base if as_it_is else _pattern(base, one, own, mine)
                faults = [*(message for _, message in price_faults(pattern, book)), refusal(one, scenario.workloads)]
                if any(faults):
                    refused[size] = "; ".join(filter(None, faults))
                elif one.deployment.kind != "batch" and one.ttft is None:
                    refused[size] = f"the pattern '{name}' gives no latencies (ttft, output_tokens_per_s)"
                else:
                    candidates.append(Candidate(size, pattern, idle_usd(pattern, book, month)))
            if candidates:
                made.append(Series(name, label, candidates))
    return made, refused


def can_vary(base: HostingPattern) -> bool:
    """Whether a plan can vary a pattern: at most a cluster and an API, or an API with bought throughput before it."""
    if not base.hosted and len(base.metered) == 2:
        return sum(api.spills_to is not None for api in base.metered.values()) == 1
    return max(len(base.hosted), len(base.metered)) == 1


def _by_the_token(base: ApiPattern) -> tuple[MeteredApi, MeteredApi | None]:
    """What a pattern pays by the token, or its only API, and what spills over to it, if anything."""
    bought = next((api for api in base.metered.values() if api.spills_to in base.metered), None)
    return next(api for api in base.metered.values() if api is not bought), bought


def _deployed(
    api: MeteredApi, kind: str, scenario: Scenario, bought: MeteredApi | None
) -> Iterator[tuple[str, MeteredApi]]:
    """An API in a kind of deployment, by what it is called; what is bought a minute at a time in several sizes."""
    label, before = f"{api.model}, {kind}", bought or api
    if kind == "provisioned":
        fresh = Provisioned(kind="provisioned", units=1, scope=_scope(api), spillover="tokens")
        given = before.deployment if isinstance(before.deployment, Provisioned) else fresh
        model, scope = _units_of(before.model, given), given.scope
        for units in sizes(model, load_by_minute(model, scenario), scope):
            deployment = given.model_copy(update={"units": units, "spillover": given.spillover or "tokens"})
            yield f"{before.model}, {units} units, else by the token", _with(before, deployment, RateLimits())
    elif kind == "reserved":
        own = before.deployment
        for one in _reservations(own, scenario) if isinstance(own, Reserved) else ():
            rates = f"{one.input_tokens_per_minute:,} and {one.output_tokens_per_minute:,} tokens a minute"
            yield f"{api.model}, {rates} reserved, else by the token", _with(before, one, RateLimits())
    elif kind == "batch":
        batch = api.deployment if isinstance(api.deployment, Batch) else Batch(kind="batch")
        yield label, _with(api, batch, RateLimits()).model_copy(update={"ttft": None, "output_tokens_per_s": None})
    else:
        yield label, _with(api, api.deployment if api.deployment.kind == kind else _BY_THE_TOKEN[kind], api.limits)


def _units_of(name: str, given: Provisioned) -> ProvisionedModel:
    """What a unit of a model serves; as the deployment says, in any number, of a model that is not known.

    Raises:
        ProvisionedModelNotFound: Neither does.
    """
    own = {key: value for key in ("tokens_per_unit", "output_ratio") if (value := getattr(given, key)) is not None}
    try:
        return provisioned_model(name).model_copy(update=own)
    except ProvisionedModelNotFound:
        if len(own) < 2:
            raise
    return ProvisionedModel.model_construct(None, steps={given.scope: Steps(minimum=1, increment=1)}, **own)


def _with(api: MeteredApi, deployment: object, limits: RateLimits) -> MeteredApi:
    made = api.model_copy(update={"deployment": deployment, "limits": limits})
    return made if made.paid_by_the_token else made.model_copy(update={"terms": Terms()})


def _scope(api: MeteredApi) -> Scope:
    if isinstance(api.deployment, Provisioned):
        return api.deployment.scope
    ends: dict[str, Scope] = {"-data-zone": "data_zone", "-regional": "regional"}
    return next((scope for end, scope in ends.items() if api.model.endswith(end)), "global")


def _reservations(own: Reserved, scenario: Scenario) -> Iterator[Reserved]:
    """Reservations of shares of what the busiest minute needs, in thousands of tokens, at the prices of one's own."""
    peaks = [Fraction(float(load.max(initial=0.0))) for load in tokens_by_minute(scenario)]
    found = {
        tuple(
            max(least, ceil(share * peak / 1_000) * 1_000)
            for least, peak in zip(_RESERVED_AT_LEAST, peaks, strict=True)
        )
        for share in _SHARES
    }
    for prompt, output in sorted(found):
        sizes_ = {"input_tokens_per_minute": prompt, "output_tokens_per_minute": output}
        yield own.model_copy(update=sizes_)


def tokens_by_minute(scenario: Scenario) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Prompt and output tokens that arrive in each minute of the first replication."""
    minutes = ceil(scenario.horizon.duration_s / 60.0)
    prompts, outputs = np.zeros(minutes), np.zeros(minutes)
    for table, _ in synthesise_parts(scenario, 0):
        minute = (table.arrival_s // 60.0).astype(np.int64)
        prompts += np.bincount(minute, table.prompt_tokens, minlength=minutes)
        outputs += np.bincount(minute, table.output_tokens, minlength=minutes)
    return prompts, outputs


def load_by_minute(model: ProvisionedModel, scenario: Scenario) -> NDArray[np.float64]:
    """Prompt tokens and outputs at their weight that arrive in each minute of the first replication."""
    prompts, outputs = tokens_by_minute(scenario)
    return prompts + model.output_ratio * outputs


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


def _pattern(base: ApiPattern, api: MeteredApi, own: MeteredApi, bought: MeteredApi | None) -> ApiPattern:
    """A pattern with an API in place of its own, or of what is bought before it."""
    if bought is not None:
        apis = {name: api if one is bought else one for name, one in base.metered.items()}
        return base.model_copy(update={"apis": apis})
    # What is bought before the API goes, and its outages with it.
    lost = [name for name, one in base.metered.items() if one is not own]
    faults = [source for source in base.faults if not (isinstance(source, Outage) and source.api in lost)]
    base = base.model_copy(update={"faults": faults})
    if api.spills_to is None:
        return base.model_copy(update={"api": api, "apis": None, "faults": moved_outages(base, [api.model])})
    terms = own.terms if api.model == own.model else Terms()
    apis = {"units": api, "tokens": _with(api, Standard(), own.limits).model_copy(update={"terms": terms})}
    return base.model_copy(update={"api": None, "apis": apis, "faults": moved_outages(base, list(apis))})
