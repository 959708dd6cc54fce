"""Replay published serving measurements through the engine and say how far off it is.

Load is what the harnesses send. Gaps are exponential, and scaled so that rate x duration requests fill the duration
(inference-perf, `loadgen/load_timer.py`; `vllm bench serve` does the same), or all alike. Where the source says that
prompts repeat, they come in turn (inference-perf, `datagen/shared_prefix_datagen.py`), in groups that begin alike.
Outputs have exactly the stated length, or lengths are lognormal about it. Nothing is fitted here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from math import ceil, exp, log
from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.bench.serving import request_table, serve, serve_capped
from simulator.engine.vllm.plan import plan_of
from simulator.errors import InfeasibleCluster, ProfileError, TraceError
from simulator.performance.architecture import known_model, stem
from simulator.performance.memory import measure_capacity
from simulator.performance.profile import available_profiles, read_profile
from simulator.scenario.gpus import batch_defaults
from simulator.scenario.patterns import EngineSettings
from simulator.streams import stream
from simulator.trace.nesting import Nesting

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from simulator.bench.measurements import Experiment, Stage
    from simulator.bench.serving import Served
    from simulator.engine.vllm.plan import ReplicaPlan
    from simulator.performance.profile import PerformanceProfile
    from simulator.trace.request_table import RequestTable

SEED: Final = 20_260_401
REPLICATIONS: Final = 3
#: Metrics in which a tail counts; that of a stage with the engine's start-up in it says nothing.
TAILS: Final = frozenset(("ttft_p90_s", "ttft_p99_s", "tpot_p99_s", "e2e_p90_s", "e2e_p99_s"))
#: A numbered stage that comes without the one before it is preceded by this long at its own rate: it fills the cache.
WARM_UP_S: Final = 60.0
#: Lognormal lengths are cut so far above their mean.
MOST_SIGMAS: Final = 4.0
#: Tokens of the longest request that a setting of an engine allows.
_LONGEST: Final = 10_000_000
#: A server on which requests wait longer than this many inter-token times for their first token has a queue.
QUEUE_STEPS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """One row beside its simulation.

    Attributes:
        stage: The row.
        experiment: What it belongs to.
        profile: Id of the profile it was simulated with.
        label: Whether that is derived, estimated or measured.
        experts: Feed-forward networks of a layer of its model; 1 for a dense one.
        family: Its model's, such as Mixtral.
        simulated: Metric to value, the mean of the replications.
        low: The same with every step as short as the profile's band allows.
        high: The same with every step as long as the band allows.
        saturated: Whether requests queue, in the measurement or in the simulation.
        leverage: By how many per cent the mean end to end grows for one per cent on every step; far above 1 at the
            edge of saturation, where an error in the step time is magnified. None without a band.
    """

    stage: Stage
    experiment: Experiment
    profile: str
    label: str
    experts: int
    family: str
    simulated: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]
    saturated: bool
    leverage: float | None

    def metrics(self) -> list[str]:
        """Metrics that both sides have and that say something."""
        both = [name for name in self.stage.measured if name in self.simulated]
        return [name for name in both if not (self.stage.starts_up and name in TAILS)]

    def error(self, metric: str) -> float:
        """Simulated over measured, less one."""
        return self.simulated[metric] / self.stage.measured[metric] - 1.0

    def in_band(self, metric: str) -> bool:
        """Whether the measurement lies between the simulations at both ends of the band."""
        ends = sorted((self.low[metric], self.high[metric]))
        return ends[0] <= self.stage.measured[metric] <= ends[1]


def compare_all(
    experiments: Sequence[Experiment],
    own: Sequence[PerformanceProfile] = (),
    *,
    replications: int = REPLICATIONS,
    derive: Callable[[Experiment], PerformanceProfile] | None = None,
    on_done: Callable[[], None] = lambda: None,
) -> tuple[list[Comparison], dict[str, list[str]]]:
    """Simulate every experiment for which there is a profile.

    Args:
        experiments: What to replay.
        own: Profiles to prefer to those that ship.
        replications: Independent repetitions of random arrivals.
        derive: Makes a profile where none ships; raises ProfileError where it cannot.
        on_done: Called after each experiment.

    Returns:
        The comparisons, and row ids by the reason they have none.
    """
    shipped = [read_profile(name) for name in available_profiles()]
    found: list[Comparison] = []
    skipped: dict[str, list[str]] = {}
    for experiment in experiments:
        try:
            try:
                profile = find_profile(experiment, own, shipped)
            except ProfileError:
                if derive is None:
                    raise
                profile = derive(experiment)
                shipped.append(profile)
            found += compare(experiment, profile, replications)
        except (ProfileError, InfeasibleCluster) as error:
            rows = [stage.row for stage in experiment.stages]
            skipped.setdefault(str(error), []).extend(rows)
        on_done()
    return found, skipped


def find_profile(
    experiment: Experiment, own: Sequence[PerformanceProfile], shipped: Sequence[PerformanceProfile]
) -> PerformanceProfile:
    """The profile of an experiment's model and GPUs: by shape where the model is known, else by name.

    Raises:
        ProfileError: There is none; the message says how to make one.
    """
    wanted = (experiment.gpu, experiment.tensor_parallel, experiment.quantisation)
    shape, name = known_model(experiment.model), stem(experiment.model)
    for profile in (*own, *(profile for profile in shipped if profile.variant is None)):
        model = profile.model
        names = {stem(model.name), *map(stem, model.hf_names)}
        if (profile.gpu, profile.tensor_parallel, profile.quantisation) == wanted and (
            name in names or (shape is not None and model.same_shape(shape))
        ):
            return profile
    gpu, size, quantisation = wanted
    raise ProfileError(
        f"no profile of {experiment.model} in {quantisation} on {size} x {gpu}; make one with 'simulator profile build "
        f"--model CONFIG.json --gpu {gpu} --tp {size} --quant {quantisation}' and name it with --profile"
    )


def derived_profile(experiment: Experiment) -> PerformanceProfile:
    """A profile for a known model from kernel timings, for an experiment that has none.

    Raises:
        ProfileError: The model is unknown, there are no timings for what it ran on, or the extra `profiles` is missing.
    """
    from simulator.performance.build import build_profile

    shape = known_model(experiment.model)
    if shape is None:
        gpu, size, quantisation = experiment.gpu, experiment.tensor_parallel, experiment.quantisation
        raise ProfileError(
            f"{experiment.model} is no known model; make a profile with 'simulator profile build --model CONFIG.json "
            f"--gpu {gpu} --tp {size} --quant {quantisation}' and name it with --profile"
        )
    return build_profile(shape, experiment.gpu, experiment.tensor_parallel, experiment.quantisation)


def engine_settings(experiment: Experiment) -> EngineSettings:
    """The server's settings; what the source does not state is vLLM's default for the GPU."""
    seqs, tokens = batch_defaults(experiment.gpu)
    longest = sum(
        ceil(tokens * exp(min(100.0, MOST_SIGMAS * sigma)))
        for tokens, sigma in (
            (experiment.prompt_tokens, experiment.prompt_sigma), (experiment.output_tokens, experiment.output_sigma)
        )
    )  # fmt: skip
    if longest + 8 > _LONGEST:
        raise TraceError(f"{experiment.name}: its requests may be of {longest:.3g} tokens, which no engine takes")
    return EngineSettings(
        max_model_len=max(8192, longest + 8),
        max_num_seqs=experiment.max_num_seqs or seqs,
        max_num_batched_tokens=experiment.max_num_batched_tokens or tokens,
        num_gpu_blocks=experiment.kv_blocks or None,
        gpu_memory_utilisation=experiment.memory_share,
        prefix_caching=experiment.prefix_caching,
        long_prefill_token_threshold=experiment.long_prefill_threshold,
        kv_cache_dtype=experiment.kv_dtype,  # type: ignore[arg-type]
        enforce_eager=experiment.eager,
        vllm_version=version[0] if (version := re.match(r"\d+\.\d+(\.\d+)?", experiment.vllm_version)) else None,
    )


def with_room(settings: EngineSettings, profile: PerformanceProfile) -> EngineSettings:
    """The same settings; where its longest request would not fit, with the room that FlashInfer's sampling leaves.

    The server ran. Until 0.11 it was the installation that decided whether FlashInfer sampled, and sources do not say.
    """
    if settings.num_gpu_blocks is not None or measure_capacity(profile, settings).requests >= 1:
        return settings
    found = measure_capacity(profile, settings, flashinfer=True)
    return settings.model_copy(update={"num_gpu_blocks": found.num_gpu_blocks}) if found.requests >= 1 else settings


def by_group(settings: EngineSettings, experiment: Experiment, profile: PerformanceProfile) -> EngineSettings:
    """The same settings, without a prefix cache where it can find nothing and would hide how many requests fit.

    Of a model with windows the engine counts the blocks of each group of layers only without a prefix cache; with one a
    window is taken never to close. Prompts that are all different never meet again, but for those of preempted
    requests, which are computed anew. States are kept otherwise where prefixes are cached, so they stay as they are.
    """
    windows = any(one.span for one in profile.model.kv_layers)
    states = any(one.kind == "state" for one in profile.model.kv_layers)
    if experiment.repeating or states or not windows:
        return settings
    return settings.model_copy(update={"prefix_caching": False})


def compare(experiment: Experiment, profile: PerformanceProfile, replications: int = REPLICATIONS) -> list[Comparison]:
    """Simulate one experiment: as the profile has it, and at both ends of its band."""
    settings = with_room(by_group(engine_settings(experiment), experiment, profile), profile)
    band = profile.step_time_band
    middle, low, high = (
        _simulate(experiment, settings, plan_of(profile.scaled(factor), settings), replications)
        for factor in (1.0, band.low, band.high)
    )
    rows = zip(experiment.stages, middle, low, high, strict=True)
    return [
        Comparison(
            stage,
            experiment,
            profile.id,
            profile.label,
            profile.model.experts,
            profile.model.architecture.removesuffix("ForCausalLM").removesuffix("LMHeadModel"),
            at,
            below,
            above,
            _saturated(experiment, stage, at),
            _leverage(below, above, band.high / band.low),
        )
        for stage, at, below, above in rows
    ]


def _leverage(below: dict[str, float], above: dict[str, float], factor: float) -> float | None:
    if factor <= 1.0 or "e2e_mean_s" not in below:
        return None
    return log(above["e2e_mean_s"] / below["e2e_mean_s"]) / log(factor)


def _saturated(experiment: Experiment, stage: Stage, simulated: dict[str, float]) -> bool:
    if experiment.kind not in ("open", "even"):
        return True
    return any(
        found.get("ttft_mean_s", 0.0) > QUEUE_STEPS * found.get("itl_mean_s", np.inf)
        for found in (stage.measured, simulated)
    )


def _simulate(
    experiment: Experiment, settings: EngineSettings, plan: ReplicaPlan, replications: int
) -> list[dict[str, float]]:
    """Metrics of every stage, each the mean of the replications."""
    if experiment.kind != "open" and not (experiment.prompt_sigma or experiment.output_sigma):
        # Nothing is random.
        replications = 1
    runs = [_run(experiment, settings, plan, replication) for replication in range(replications)]
    return [
        {name: float(np.mean([run[number][name] for run in runs])) for name in runs[0][number]}
        for number in range(len(experiment.stages))
    ]


def _run(
    experiment: Experiment, settings: EngineSettings, plan: ReplicaPlan, replication: int
) -> list[dict[str, float]]:
    rng = stream(SEED, replication, f"validate/{experiment.name}")
    if experiment.kind in ("open", "even"):
        return _run_open(experiment, settings, plan, rng)
    found: list[Served] = []
    for stage in experiment.stages:
        requests = stage.requests or 4 * stage.concurrency
        table = load(experiment, [np.zeros(requests)], rng)
        if experiment.kind == "burst":
            found.append(serve(settings, plan, table))
        else:
            found.append(serve_capped(settings, plan, table, stage.concurrency))
    return [served.metrics() for served in found]


def _run_open(
    experiment: Experiment, settings: EngineSettings, plan: ReplicaPlan, rng: np.random.Generator
) -> list[dict[str, float]]:
    table, rows = open_load(experiment, rng)
    cap = max(stage.concurrency for stage in experiment.stages)
    served = serve_capped(settings, plan, table, cap) if cap else serve(settings, plan, table)
    return [served.of(mine).metrics() for mine in rows]


def open_load(experiment: Experiment, rng: np.random.Generator) -> tuple[RequestTable, list[slice]]:
    """What arrives in an experiment of kind `open` or `even`, and which of it by stage.

    Requests count for the stage in which they were due: a capped client may send some of them in the next.
    """
    stages = experiment.stages
    if stages[0].continues:
        stages = (replace(stages[0], duration_s=WARM_UP_S), *stages)
    starts_s = np.cumsum([0.0, *(stage.duration_s for stage in stages)])
    arrivals = [
        start_s + _arrivals(stage, experiment.kind == "even", rng)
        for start_s, stage in zip(starts_s, stages, strict=False)
    ]
    ends = np.cumsum([len(times) for times in arrivals])
    rows = [slice(end - len(times), end) for end, times in zip(ends.tolist(), arrivals, strict=True)]
    return load(experiment, arrivals, rng), rows[-len(experiment.stages) :]


def _arrivals(stage: Stage, even: bool, rng: np.random.Generator) -> NDArray[np.float64]:
    """Seconds from the beginning of a stage; of a known number of Poisson arrivals each is uniform over it."""
    requests = round(stage.rate_per_s * stage.duration_s)
    return np.arange(requests) / stage.rate_per_s if even else np.sort(stage.duration_s * rng.random(requests))


def load(experiment: Experiment, arrivals: Sequence[NDArray[np.float64]], rng: np.random.Generator) -> RequestTable:
    """The requests of an experiment that arrive at these moments; each stage takes the prompts from the first on."""
    arrival_s = np.concatenate(arrivals)
    several = experiment.repeating or len(arrival_s)
    prompt = _lengths(experiment.prompt_tokens, experiment.prompt_sigma, several, rng)
    output = _lengths(experiment.output_tokens, experiment.output_sigma, len(arrival_s), rng)
    if not experiment.repeating:
        return request_table(arrival_s, prompt, output)
    turns = np.concatenate([np.arange(len(times)) % several for times in arrivals])
    table = request_table(arrival_s, prompt[turns], output, turns)
    if not experiment.groups:
        return table
    prompts = np.arange(experiment.repeating)
    group = experiment.repeating + prompts * experiment.groups // experiment.repeating
    return replace(table, nesting=Nesting.of(prompts, group, np.full(len(prompts), experiment.group_tokens)))


def _lengths(mean: int, sigma: float, size: int, rng: np.random.Generator) -> NDArray[np.int32]:
    if not sigma:
        return np.full(size, mean, np.int32)
    normal = np.minimum(rng.standard_normal(size), MOST_SIGMAS)
    drawn = mean * np.exp(sigma * normal - 0.5 * sigma**2)
    return np.maximum(1, np.round(drawn)).astype(np.int32)
