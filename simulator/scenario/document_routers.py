"""The source document's routers, as it wrote them and corrected.

The document ("The Model Hosting Decision") lists three: one that gives each workload a hosting pattern by its volume,
one that sends requests to the API on capacity, timeout or error, and one by the type of the workload. Their numbers are
its own; what is wrong with them was found by executing them. `DEFECTS` lists it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from simulator.scenario.base import Config, Factor, PositiveFloat, Seconds

Target = Literal["api", "self_hosted", "hybrid"]
Router = Literal["hosting_pattern", "failover", "workload_type"]


class WorkloadFacts(Config):
    """What the document's function asks of a workload."""

    tokens_per_month: PositiveFloat
    """Prompt plus output tokens in a month."""
    variation: Factor
    """Coefficient of variation of its volume."""
    latency: Seconds
    """What its users accept."""
    fine_tuned: bool = False
    """It needs a model with weights of its own, which no API serves."""
    experimental: bool = False
    """It is a trial, of unknown volume."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a table in which the first that applies decides.

    Attributes:
        name: Of the rule.
        applies: Whether it does.
        target: Where it sends a workload.
    """

    name: str
    applies: Callable[[WorkloadFacts], bool]
    target: Target


def _always(_: WorkloadFacts) -> bool:
    return True


AS_WRITTEN = (
    Rule("experimental", lambda w: w.experimental, "api"),
    Rule("fine-tuned", lambda w: w.fine_tuned, "self_hosted"),
    Rule("above 500M, variation below 0.3", lambda w: w.tokens_per_month > 5e8 and w.variation < 0.3, "self_hosted"),
    Rule("below 100M", lambda w: w.tokens_per_month < 1e8, "api"),
    Rule(
        "100M to 500M, variation above 0.4", lambda w: 1e8 <= w.tokens_per_month <= 5e8 and w.variation > 0.4, "hybrid"
    ),
    Rule("below 500 ms", lambda w: w.latency < 0.5, "self_hosted"),
    Rule("otherwise", _always, "api"),
)

CORRECTED = (
    Rule("fine-tuned: no API serves its weights", lambda w: w.fine_tuned, "self_hosted"),
    Rule("experimental", lambda w: w.experimental, "api"),
    Rule("below 500 ms", lambda w: w.latency < 0.5, "self_hosted"),
    Rule("below 100M", lambda w: w.tokens_per_month < 1e8, "api"),
    Rule("variation of 0.4 or more: a steady base, and peaks", lambda w: w.variation >= 0.4, "hybrid"),
    Rule("320M or more: above the document's lower break-even", lambda w: w.tokens_per_month >= 3.2e8, "self_hosted"),
    Rule("100M to 320M, steady: below that break-even", _always, "api"),
)

#: By router: what executing it shows to be wrong, and what the corrected one does instead.
DEFECTS: dict[Router, tuple[tuple[str, str], ...]] = {
    "hosting_pattern": (
        ("a trial of a fine-tuned model goes to an API that cannot serve it", "feasibility is asked before economics"),
        ("above 500M with a variation of 0.3 or more no rule applies, so the API gets it", "the volumes have no gap"),
        ("exactly 500M is not above 500M", "limits belong to one side"),
        ("a low volume hides a latency below 500 ms", "latency is asked before volume"),
        ("432M steady tokens, its own example for self-hosting, get the API", "its own break-even of 320M decides"),
        ("between 100M and 500M only a variation above 0.4 is hybrid", "0.4 belongs to it, at any volume above 100M"),
    ),
    "failover": (
        ("100 requests in flight, whatever the GPUs hold", "room is what the KV blocks and max_num_seqs hold"),
        ("5 s for every request, above every limit it states", "no timeout, unless the scenario gives one"),
        ("a cancelled request is counted as in flight for ever", "what is in flight is what is in flight"),
        ("when the API fails too, the request is lost", "it waits in the cluster's queue"),
        ("priorities are not used", "requests of priority 3 leave a fifth, of priority 2 a tenth of a cluster free"),
        (
            "a request costs nothing on GPUs, and 1.5 times max_tokens at 15 USD per 1M tokens at the API",
            "prompt and output tokens at the price book's prices",
        ),
    ),
    "workload_type": (
        ("the load is never counted, so it never overflows", "requests in flight are counted"),
        ("a type it does not know goes to the API", "every workload has a type, or the scenario is refused"),
        ("priorities are not used", "requests of priority 3 leave a fifth, of priority 2 a tenth of a cluster free"),
    ),
}


def decide(facts: WorkloadFacts, rules: tuple[Rule, ...]) -> Rule:
    """The first rule that applies; the last one always does."""
    return next(rule for rule in rules if rule.applies(facts))
