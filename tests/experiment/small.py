"""A scenario of one day that runs in milliseconds."""

from __future__ import annotations

import json

from simulator.scenario.merging import apply_settings
from simulator.scenario.schema import Scenario
from simulator.scenario.yaml_source import Document

_CLUSTER = {"model": "llama-3.1-8b", "gpu": "l40s"}
_API = {
    "model": "bedrock/llama-3.3-70b",
    "ttft": {"median": "700ms", "sigma": 0.4},
    "output_tokens_per_s": {"median": 50, "sigma": 0.1},
}
_RENTED = {"compute": {"kind": "rental", "gpu_hour": "1 USD/h"}}
_BOUGHT = {
    "compute": {"kind": "purchase", "gpus": "7300 USD", "amortisation": 10},
    "power": {"gpu_idle_w": 100, "gpu_busy_w": 350, "price": "0.12 USD/kWh"},
}
_DATA = {
    "name": "small",
    "horizon": {"start": "2026-04-06", "duration": "1d"},
    "workloads": {
        "notes": {
            "volume": {"clinicians": 60, "notes_per_day": 15},
            "prompt_tokens": {"kind": "lognormal", "mean": 600, "sigma": 0.4, "at_most": 4000},
            "output_tokens": {"kind": "lognormal", "mean": 100, "sigma": 0.4, "at_most": 2000},
            "objectives": {"ttft": "5s", "end_to_end": "60s", "share": 0.95},
        },
        "letters": {
            "volume": {"requests_per_month": 600},
            "phi": False,
            "prompt_tokens": {"kind": "constant", "tokens": 500},
            "output_tokens": {"kind": "constant", "tokens": 100},
        },
    },
    "hosting_patterns": {
        "api": {"kind": "metered_api", "api": _API},
        "rented": {"kind": "self_hosted", "cluster": _CLUSTER, "costs": _RENTED},
        "bought": {"kind": "self_hosted", "cluster": _CLUSTER, "costs": _BOUGHT},
        "hybrid": {
            "kind": "hybrid",
            "cluster": _CLUSTER,
            "costs": _RENTED,
            "api": _API,
            "routing": {"max_in_flight": 1},
        },
    },
    "experiment": {"seed": 7, "replications": 3},
}


def small(settings=None):
    """The scenario, with values replaced by dotted key path."""
    document = Document(json.loads(json.dumps(_DATA)))
    apply_settings(document, settings or {})
    return Scenario.from_document(document)


#: Llama 3.3 70B in bf16 on two A100s: its weights leave no room for such a request.
TOO_LARGE = {
    "model": "llama-3.3-70b", "gpu": "a100-80gb", "tensor_parallel": 2, "quantisation": "bf16",
    "engine": {"max_model_len": 65_536},
}  # fmt: skip
