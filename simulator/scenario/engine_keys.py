"""Settings of vLLM that are no key of a cluster or its `engine`: what to write, or that they are not modelled."""

from __future__ import annotations

from typing import Final

_STAGES: Final = "layers divided over stages are not modelled; tensor_parallel of the cluster splits each layer"
_REPLICAS: Final = "replicas that share experts are not modelled; each of the cluster's replicas has all weights"
_HOST: Final = "KV blocks or weights in the memory of the host are not modelled"
_EXPERTS: Final = "whole experts on each GPU are not modelled; they are split as tensor_parallel splits all else"

CLUSTER_KEYS: Final = {
    "pipeline_parallel": _STAGES,
    "pipeline_parallel_size": _STAGES,
    "data_parallel": _REPLICAS,
    "data_parallel_size": _REPLICAS,
    "expert_parallel": _EXPERTS,
    "enable_expert_parallel": _EXPERTS,
    "decode_context_parallel_size": "a context divided among GPUs is not modelled",
}
ENGINE_KEYS: Final = {
    **CLUSTER_KEYS,
    "tensor_parallel": "is a key of the cluster, beside engine",
    "tensor_parallel_size": "is tensor_parallel of the cluster, beside engine",
    "quantization": "is quantisation of the cluster, beside engine",
    "kv_offloading_size": _HOST,
    "cpu_offload_gb": _HOST,
    "swap_space": _HOST,
}
