"""What a scenario says about the candidate answers: metered API, self-hosted cluster, or both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import Field, model_validator

from simulator.scenario.apis import LognormalDelay, MeteredApi, spillover_fault
from simulator.scenario.autoscaling import Autoscaling
from simulator.scenario.balancing import Balancing
from simulator.scenario.base import (
    Config,
    Custom,
    Faults,
    FieldError,
    MemoryBytes,
    Name,
    PositiveInt,
    PositiveTokens,
    Seconds,
    Share,
    check,
)
from simulator.scenario.compliance import Placement
from simulator.scenario.costs import Bought, ClusterCosts, Purchase
from simulator.scenario.engine_keys import CLUSTER_KEYS, ENGINE_KEYS
from simulator.scenario.fault_sources import WARM_START, FaultSource
from simulator.scenario.gpus import NEWEST, Version, batch_defaults
from simulator.scenario.images import MmProcessorKwargs
from simulator.scenario.lora import LoraSettings
from simulator.scenario.routing import CostAware, Overflow, Routing, SeedAsWritten, SeedCorrected
from simulator.scenario.speculation import SpeculativeDecoding

Quantisation = Literal["bf16", "fp8", "int8", "w4a16", "mxfp4", "nvfp4"]
#: Longest request of a server that nobody tells how long its requests are.
LEAST_MODEL_LEN: Final = 8192


class EngineSettings(Config):
    """vLLM's own settings, under its own names; the defaults are those of vLLM's server (0.33)."""

    elsewhere: ClassVar[Mapping[str, str]] = ENGINE_KEYS

    max_model_len: PositiveTokens = LEAST_MODEL_LEN
    """Longest prompt plus output the server accepts; when absent, the least power of two from 8192 on that holds all
    but one in a thousand requests of each workload that is sent there (all of a recorded trace), yet no more than the
    model's own context and what the KV memory holds."""
    max_num_seqs: Annotated[int, Field(gt=0, le=4096)] = 256
    """Most sequences in one engine step; when absent, 1024 on a GPU of 70 GiB or more that is no A100."""
    max_num_batched_tokens: Annotated[int, Field(gt=0, le=131_072)] = 2048
    """Token budget of one engine step; when absent, 8192 on a GPU of 70 GiB or more that is no A100, 16384 from 160 GiB
    on."""
    block_size: Literal[8, 16, 32, 64, 128] = 16
    """Tokens per KV block."""
    gpu_memory_utilisation: Annotated[float, Field(gt=0, le=1)] = 0.92
    """Share of GPU memory vLLM may use (`gpu_memory_utilization`)."""
    num_gpu_blocks: PositiveInt | None = None
    """KV blocks; computed from the memory when absent (`num_gpu_blocks_override`)."""
    kv_cache_memory: MemoryBytes | None = None
    """Memory for KV blocks on each GPU, such as 40 GiB, instead of what profiling leaves of `gpu_memory_utilisation`
    (`kv_cache_memory_bytes`)."""
    prefix_caching: bool = True
    """Reuse KV blocks of prompts with the same beginning."""
    chunked_prefill: bool = True
    """Compute a prompt in pieces when it exceeds what is left of the step's token budget
    (`enable_chunked_prefill`)."""
    policy: Literal["fcfs", "priority"] = "fcfs"
    """Order of the waiting queue."""
    long_prefill_token_threshold: Annotated[int, Field(ge=0, le=131_072)] = 0
    """Most prompt tokens one request may take in a step; 0 means no limit."""
    reserve_full_isl: bool = True
    """Admit a request only when its whole prompt fits, though its first chunk takes less
    (`scheduler_reserve_full_isl`)."""
    kv_cache_dtype: Literal["auto", "bfloat16", "fp8", "fp8_e4m3", "fp8_e5m2"] = "auto"
    """Numbers of the KV cache (`--kv-cache-dtype`): in 8 bits twice as many tokens fit. What the checkpoint asks for,
    16 bits if nothing, when `auto`. Step times stay those of 16 bits: such servers were measured 0 to 2 % faster
    on A100 (Qwen3-32B, nine loads); where attention computes in 8 bits, as on H100, it is cautious."""
    watermark: Share = 0.0
    """Share of the KV blocks kept free when a request is admitted beside running ones."""
    async_scheduling: bool = True
    """Schedule the next step while one runs, as vLLM does on GPUs."""
    enforce_eager: bool = False
    """Do without CUDA graphs: no batch is padded to a captured size, and the host launches every layer."""
    serial_front_end: bool = False
    """Whether prompts pass the API server, which is one process, one after the other: each as long as the profile says
    that it takes from a client to the engine (5 ms on H100, an upper bound of that process's own work). Without, they
    pass it side by side; only a burst of hundreds at one moment can tell."""
    vllm_version: Annotated[str, Field(pattern=r"^\d+\.\d+(\.\d+)?$")] | None = None
    """Version that is served, such as 0.7.2; it decides what profiling leaves for KV blocks, and before 0.8 a step
    takes what the V0 engine took. 0.33 when absent."""
    queue_limit: PositiveInt | None = None
    """Requests that may wait at one replica before new ones are refused; unlimited when absent."""
    speculative: SpeculativeDecoding | None = None
    """Speculative decoding; without when absent."""
    lora: LoraSettings | None = None
    """LoRA adapters that it serves beside the model itself; none when absent."""
    mm_processor_kwargs: MmProcessorKwargs | None = None
    """How images are resized; as the model's own processor does when absent."""

    @property
    def version(self) -> Version:
        """That version's first two numbers; the newest that is modelled when absent."""
        if self.vllm_version is None:
            return NEWEST
        major, minor = self.vllm_version.split(".")[:2]
        return int(major), int(minor)

    @property
    def is_v0(self) -> bool:
        """Whether that version has the V0 engine."""
        return self.version < (0, 8)

    def on(self, gpu: str, max_model_len: int = LEAST_MODEL_LEN) -> EngineSettings:
        """The same settings on a GPU type: what is not stated is what vLLM takes there.

        A budget is no larger than its sequences can fill, nor are there more sequences than it has tokens (vLLM 0.33,
        `engine/arg_utils.py`, `_set_default_max_num_seqs_and_batched_tokens_args`).

        Args:
            gpu: GPU type.
            max_model_len: What that is where it is not stated.
        """
        stated = self.model_fields_set
        seqs, tokens = batch_defaults(gpu, self.version)
        longest = self.max_model_len if "max_model_len" in stated else max_model_len
        if "max_num_seqs" in stated:
            seqs = self.max_num_seqs
        tokens = (
            self.max_num_batched_tokens
            if "max_num_batched_tokens" in stated
            else min(tokens if self.chunked_prefill else max(tokens, longest), seqs * longest)
        )
        if "max_num_seqs" not in stated:
            seqs = min(seqs, tokens)
        filled = {"max_model_len": longest, "max_num_seqs": seqs, "max_num_batched_tokens": tokens}
        return self.model_construct(_fields_set=set(stated), **{**self.__dict__, **filled})

    @check
    def _whole_prompts_fit(self) -> Faults:
        if self._needs_longer_steps and "max_num_batched_tokens" in self.model_fields_set:
            yield ValueError("without chunked_prefill, max_num_batched_tokens may not be less than max_model_len")
        if self.kv_cache_memory is not None and self.num_gpu_blocks is not None:
            yield ValueError("give either num_gpu_blocks or kv_cache_memory")
        if self.lora is not None and self.is_v0:
            yield FieldError(("lora",), "adapters are modelled from vLLM 0.8 on")
        if self.lora is not None and self.speculative is not None:
            yield FieldError(("lora",), "adapters beside speculative decoding are not modelled; leave out one of them")

    @check
    def _verifies_what_is_drafted(self) -> Faults:
        if self.speculative is None:
            return
        if self.version != NEWEST:
            message = f"modelled as vLLM {'.'.join(map(str, NEWEST))} does it; vllm_version is {self.vllm_version}"
            yield FieldError(("speculative",), message)
        in_a_step = self.max_model_len if self._needs_longer_steps else self.max_num_batched_tokens
        if fault := self.speculative.fault(in_a_step, self.max_model_len, self.long_prefill_token_threshold):
            yield FieldError(("speculative",), fault)

    @property
    def _needs_longer_steps(self) -> bool:
        return not self.chunked_prefill and self.max_num_batched_tokens < self.max_model_len

    @model_validator(mode="after")
    def _takes_a_whole_prompt_at_once(self) -> Self:
        # Left to itself, vLLM takes as many as the longest request has.
        if self._needs_longer_steps:
            self.__dict__["max_num_batched_tokens"] = self.max_model_len
        return self


class CustomStepTime(Custom):
    """A step-time model of one's own, out of the group `simulator.step_times`."""


class Cluster(Config):
    """Identical vLLM replicas of one model."""

    elsewhere: ClassVar[Mapping[str, str]] = CLUSTER_KEYS

    model: str
    """Model, as named by the profiles (`simulator profile list`)."""
    gpu: str
    """GPU type, such as a100-80gb or l40s."""
    tensor_parallel: Literal[1, 2, 4, 8] = 1
    """GPUs of one replica."""
    interconnect: Literal["nvlink", "pcie", "no_p2p"] | None = None
    """How the GPUs of a replica talk to each other: over NVLink, over PCIe with peer-to-peer access, or through host
    memory; the board's own when absent (NVLink for A100, H100 and H200 on SXM boards, PCIe for the others)."""
    quantisation: Quantisation = "bf16"
    """Weight format."""
    variant: str | None = None
    """A named variant of the profile, where several measurements disagree."""
    profile: str | None = None
    """A profile file of your own, relative to this file; it must be of the model, GPU and format named here."""
    step_time: CustomStepTime | None = None
    """Step times of code of one's own in place of the profile's, which then says what fits the memory."""
    step_time_factor: Annotated[float, Field(gt=0, le=100)] = 1.0
    """Makes every engine step this much longer: how sure is the answer if the profile is off?"""
    replicas: Annotated[int, Field(gt=0, le=1024)] = 1
    """Number of replicas."""
    balancing: Balancing = Balancing()
    """Which of them gets a request."""
    engine: EngineSettings = EngineSettings()
    """vLLM settings."""
    autoscaling: Autoscaling | None = None
    """Replicas come and go; `replicas` is the most there can be. A fixed number when absent."""
    start_up: LognormalDelay = WARM_START
    """From starting a replica on a machine that is there until it serves: weights, compilation, graph capture."""
    request_timeout: Seconds | None = None
    """A request not finished after this long is given up (and failed over, in a hybrid pattern)."""
    network_delay: Seconds = 0.0
    """From users to the engine and back, beyond what the profile has of vLLM's own front end: network, TLS, gateways.
    Half on the way there, half on the way back; it adds to the time to first token and to the end, never to a step."""
    image_tokens: PositiveInt | None = None
    """Prompt tokens of an image, in place of what the model's own rule gives."""
    placement: Placement = Placement()
    """Where it stands, for the `compliance` section."""
    site: Name | None = None
    """The room it stands in: clusters of one site fail together. Each has its own when absent."""

    @model_validator(mode="after")
    def _set_as_vllm_does(self) -> Self:
        self.__dict__["engine"] = self.engine.on(self.gpu)
        return self

    def moved(self, changes: Mapping[str, Any]) -> Cluster:
        """The same cluster with other fields, its engine with what vLLM takes on that GPU."""
        found = self.model_copy(update=changes)
        return found.model_copy(update={"engine": found.engine.on(found.gpu)})

    @check
    def _scales_within_its_replicas(self) -> Faults:
        if self.autoscaling is not None and self.autoscaling.most() > self.replicas:
            yield FieldError(("autoscaling",), f"names more than replicas, the most there can be: {self.replicas}")


class HostedCluster(Config):
    """A cluster and what it costs."""

    cluster: Cluster
    """The cluster."""
    costs: ClusterCosts
    """What it costs."""

    @property
    def bought(self) -> Bought | None:
        """What its hardware comes to; None where it is rented."""
        compute, cluster = self.costs.compute, self.cluster
        return compute.whole(cluster.replicas, cluster.tensor_parallel) if isinstance(compute, Purchase) else None


class _Pattern(Config):
    description: str = ""
    """One line for the report."""
    refused_on_purpose: bool = False
    """Whether it stands here to be seen refused, as its model does not fit its GPUs or it may not see the prompts:
    `simulator validate` takes that for what it should be, and finds fault when it is no longer refused."""
    routing: Routing = Overflow()
    """Which request goes where."""
    faults: list[FaultSource] = Field(default_factory=list)
    """What breaks, at moments named here or at random."""

    @check
    def _routed_to_backends_of_its_own(self) -> Faults:
        known = self.backend_names
        for key, named in self.routing.named():
            strange = [name for name in named if name not in known]
            if strange or len(set(named)) < len(named):
                wrong = f"no backend '{strange[0]}'" if strange else "a backend is named twice"
                yield FieldError(("routing", *key), f"{wrong}; this pattern has {', '.join(known)}")
        if self.routing.degrade_to is not None and self.routing.degrade_to not in self.hosted:
            yield FieldError(("routing", "degrade_to"), f"not a cluster; expected one of {', '.join(self.hosted)}")

    @check
    def _routed_by_what_it_has(self) -> Faults:
        routing = self.routing
        if isinstance(routing, CostAware) and (set(self.metered) - set(routing.prices)):
            unpriced = ", ".join(sorted(set(self.metered) - set(routing.prices)))
            yield FieldError(("routing", "prices"), f"no price for {unpriced}")
        if isinstance(routing, (SeedAsWritten, SeedCorrected)) and not (self.hosted and self.metered):
            yield FieldError(("routing", "kind"), "the document's routers need a cluster and an API")

    @check
    def _breaks_what_it_has(self) -> Faults:
        for number, source in enumerate(self.faults):
            for key, name in source.backends():
                known = self.metered if key == "api" else self.hosted
                if name not in known:
                    message = f"no {key} '{name}'; this pattern has {', '.join(known) or 'none'}"
                    yield FieldError(("faults", number, key), message)

    @property
    def varies(self) -> bool:
        """Whether backends come and go: something may break, or replicas follow the demand or the clock."""
        return bool(self.faults) or any(one.cluster.autoscaling is not None for one in self.hosted.values())

    @property
    def backend_names(self) -> tuple[str, ...]:
        """All backends: clusters, then APIs."""
        return (*self.hosted, *self.metered)

    @property
    def hosted(self) -> dict[str, HostedCluster]:
        """Clusters of our own, by name; the only one of a pattern is called `cluster`."""
        return {}

    @property
    def metered(self) -> dict[str, MeteredApi]:
        """Metered APIs, by name; the only one of a pattern is called as its model is."""
        return {}


class _Hosting(_Pattern):
    cluster: Cluster | None = None
    """The cluster; give this with `costs`, or `clusters`."""
    costs: ClusterCosts | None = None
    """What the cluster costs."""
    clusters: Annotated[dict[Name, HostedCluster], Field(min_length=1)] | None = None
    """Several clusters, by name."""

    @check
    def _one_or_several_clusters(self) -> Faults:
        if self.clusters is None:
            missing = [name for name in ("cluster", "costs") if getattr(self, name) is None]
            if missing:
                yield ValueError(f"{' and '.join(missing)} missing: give cluster and costs, or clusters")
        elif self.cluster is not None or self.costs is not None:
            yield ValueError("give cluster and costs, or clusters, not both")
        for name, one in self.hosted.items():
            if (found := one.bought) is not None and found.residual_usd > found.price_usd:
                place = ("costs",) if self.clusters is None else ("clusters", name, "costs")
                message = f"may not exceed the price of {found.price_usd:,} USD"
                yield FieldError((*place, "compute", "residual"), message)

    @property
    def hosted(self) -> dict[str, HostedCluster]:
        if self.clusters is not None:
            return self.clusters
        return {"cluster": HostedCluster.model_construct(None, cluster=self.cluster, costs=self.costs)}  # type: ignore[arg-type]


class _Metering(_Pattern):
    api: MeteredApi | None = None
    """The API; give this, or `apis`."""
    apis: Annotated[dict[Name, MeteredApi], Field(min_length=1)] | None = None
    """Several APIs, by name."""

    @check
    def _one_or_several_apis(self) -> Faults:
        if (self.api is None) == (self.apis is None):
            yield ValueError("give either api or apis")
        if fault := spillover_fault(self.metered):
            name, message = fault
            yield FieldError((*(("api",) if self.apis is None else ("apis", name)), "deployment", "spillover"), message)

    @property
    def metered(self) -> dict[str, MeteredApi]:
        if self.apis is not None:
            return self.apis
        return {} if self.api is None else {self.api.model: self.api}


class ApiPattern(_Metering):
    """Everything goes to metered APIs."""

    kind: Literal["metered_api"]


class SelfHostedPattern(_Hosting):
    """Everything runs on clusters of our own."""

    kind: Literal["self_hosted"]


class HybridPattern(_Hosting, _Metering):
    """Clusters of our own and metered APIs."""

    kind: Literal["hybrid"]


PATTERN_KINDS: Final = ("metered_api", "self_hosted", "hybrid")
HostingPattern = Annotated[ApiPattern | SelfHostedPattern | HybridPattern, Field(discriminator="kind")]


def cluster_key(pattern: HostingPattern, name: str) -> tuple[str, ...]:
    """Where in a pattern the cluster of this name stands."""
    return ("cluster",) if getattr(pattern, "cluster", None) is not None else ("clusters", name, "cluster")


def costs_key(pattern: HostingPattern, name: str) -> tuple[str, ...]:
    """Where in a pattern the costs of this cluster stand."""
    return (*cluster_key(pattern, name)[:-1], "costs")


def api_key(pattern: HostingPattern, name: str) -> tuple[str, ...]:
    """Where in a pattern the API of this name stands."""
    return ("api",) if getattr(pattern, "api", None) is not None else ("apis", name)
