"""Provisioned throughput: what one unit of a model serves, and how many units a load needs."""

from __future__ import annotations

import json
from difflib import get_close_matches
from fractions import Fraction
from functools import cache
from importlib import resources
from math import ceil
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from simulator.errors import ProvisionedModelNotFound
from simulator.scenario.base import Config, PositiveInt

if TYPE_CHECKING:
    from simulator.scenario.apis import Provisioned

Scope = Literal["global", "data_zone", "regional"]


class Steps(Config):
    """Sizes in which units are sold."""

    minimum: PositiveInt
    """Fewest units of one deployment."""
    increment: PositiveInt
    """Units by which a deployment grows."""

    def at_least(self, units: Fraction) -> int:
        """The smallest deployment of so many units or more."""
        return self.minimum + max(0, ceil((units - self.minimum) / self.increment)) * self.increment


class ProvisionedModel(Config):
    """What the provider states about one unit of a model."""

    tokens_per_unit: PositiveInt
    """Prompt tokens a minute that one unit serves."""
    output_ratio: Annotated[float, Field(gt=0)]
    """Prompt tokens that an output token counts as."""
    tokens_per_s: Annotated[float, Field(gt=0)]
    """Output speed the provider aims at for an accepted request."""
    tokens_per_s_statistic: str
    """Of what that is the 99 % floor."""
    steps: dict[Scope, Steps]
    """Sizes by where a request may be processed; a scope that is not offered is absent."""


@cache
def provisioned_models() -> dict[str, ProvisionedModel]:
    """Every model with known units, by name; the data file has source and date."""
    text = (resources.files("simulator.performance") / "data" / "provisioned.json").read_text("utf-8")
    return {name: ProvisionedModel.model_validate(entry) for name, entry in json.loads(text)["models"].items()}


def provisioned_source() -> str:
    """Where the figures come from, with their date."""
    text = (resources.files("simulator.performance") / "data" / "provisioned.json").read_text("utf-8")
    return str(json.loads(text)["source"])


def provisioned_model(key: str) -> ProvisionedModel:
    """The units of a model by its name or its key in the price book: gpt-5.2, azure/gpt-5.2-data-zone.

    Raises:
        ProvisionedModelNotFound: Its units are not known.
    """
    name = key.rpartition("/")[2].removesuffix("-data-zone").removesuffix("-eu").removesuffix("-regional")
    known = provisioned_models()
    if name not in known:
        close = get_close_matches(name, known, n=3, cutoff=0.5) or list(known)
        raise ProvisionedModelNotFound(f"no provisioned units are known for '{key}'; there are: {', '.join(close)}")
    return known[name]


def units_needed(
    model: ProvisionedModel,
    *,
    prompt_tokens_per_minute: int | Fraction,
    output_tokens_per_minute: int | Fraction,
    cached_share: Fraction = Fraction(0),
) -> Fraction:
    """Units that serve a load, before rounding to what is sold.

    Cached prompt tokens take nothing; an output token counts as `output_ratio` prompt tokens (Microsoft Learn,
    "Determine PTU requirements for a workload", 2026-05-21).
    """
    output = Fraction(model.output_ratio) * output_tokens_per_minute
    return (prompt_tokens_per_minute * (1 - cached_share) + output) / model.tokens_per_unit


def throughput(deployment: Provisioned, key: str) -> tuple[float, float]:
    """Prompt tokens a minute that a deployment serves, and how many an output token counts as.

    Raises:
        ProvisionedModelNotFound: The deployment states only one of them, or neither, and the model is not known.
    """
    per_unit, ratio = deployment.tokens_per_unit, deployment.output_ratio
    if per_unit is None or ratio is None:
        model = provisioned_model(key)
        per_unit, ratio = per_unit or model.tokens_per_unit, ratio or model.output_ratio
    return float(deployment.units * per_unit), ratio


def unit_faults(deployment: Provisioned, key: str) -> list[tuple[str, str]]:
    """What is wrong with the units of a deployment of a model, as (key within the deployment, message)."""
    try:
        model = provisioned_model(key)
    except ProvisionedModelNotFound as error:
        given = deployment.tokens_per_unit is not None and deployment.output_ratio is not None
        return [] if given else [("kind", f"{error}; or give tokens_per_unit and output_ratio")]
    steps = model.steps.get(deployment.scope)
    if steps is None:
        return [("scope", f"{key} is not sold as {deployment.scope}; expected one of: {', '.join(model.steps)}")]
    sold = steps.at_least(Fraction(deployment.units))
    if sold != deployment.units:
        below = f"{sold - steps.increment} or " if sold > steps.minimum else ""
        return [("units", f"{deployment.units} is not sold ({_steps(steps)}); expected such as {below}{sold}")]
    return []


def _steps(steps: Steps) -> str:
    return f"at least {steps.minimum}, in steps of {steps.increment}"
