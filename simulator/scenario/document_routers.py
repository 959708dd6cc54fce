"""The source document's routers, as it wrote them and corrected.

The document ("The Model Hosting Decision") lists three: one that gives each workload a hosting pattern by its volume,
one that sends requests to the API on capacity, timeout or error, and one by the type of the workload. Their numbers are
its own; what is wrong with them was found by executing them. `DEFECTS` lists it.
"""

from __future__ import annotations

from typing import Literal

from simulator.scenario.base import Config, Factor, PositiveFloat, Seconds
from simulator.scenario.rules import RuleTable

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

    def measures(self) -> dict[str, float]:
        """The same as rule tables name it."""
        known = {"tokens_per_month": self.tokens_per_month, "variation": self.variation, "ttft_limit_s": self.latency}
        return known | {"fine_tuned": float(self.fine_tuned), "experimental": float(self.experimental)}


#: What the document's function should have been; as it is written, it is the shipped table `routing_function`.
CORRECTED = RuleTable.model_validate(
    {
        "title": "the article's routing function, corrected",
        "source": "The Model Hosting Decision (article), with the defects below removed",
        "scope": "workload",
        "first_match": True,
        "rules": [
            {"when": {"fine_tuned": {"at_least": 1}}, "answers": ["self_hosted"],
             "text": "fine-tuned: no API serves its weights"},
            {"when": {"experimental": {"at_least": 1}}, "answers": ["metered_api"], "text": "experimental"},
            {"when": {"ttft_limit_s": {"below": 0.5}}, "answers": ["self_hosted"], "text": "below 500 ms"},
            {"when": {"tokens_per_month": {"below": 1e8}}, "answers": ["metered_api"], "text": "below 100M"},
            {"when": {"variation": {"at_least": 0.4}}, "answers": ["hybrid"],
             "text": "variation of 0.4 or more: a steady base, and peaks"},
            {"when": {"tokens_per_month": {"at_least": 3.2e8}}, "answers": ["self_hosted"],
             "text": "320M or more: above the document's lower break-even"},
            {"answers": ["metered_api"], "text": "100M to 320M, steady: below that break-even"},
        ],
    }
)  # fmt: skip

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


def decide(facts: WorkloadFacts, table: RuleTable) -> tuple[Target, str]:
    """What the first rule that applies names, and that rule in words; the last one always applies."""
    (rule,) = table.matching(facts.measures())
    (answer,) = rule.answers
    return "api" if answer == "metered_api" else answer, rule.text
