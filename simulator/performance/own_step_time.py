"""Step times of code of one's own, sampled once onto the curves of a profile, and held against the code elsewhere."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from simulator.errors import ProfileError
from simulator.extensions import find, mark, place
from simulator.performance.cuda_graphs import capture_sizes
from simulator.performance.step_time import ProfiledStepTime

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.performance.profile import FitError, PerformanceProfile
    from simulator.scenario.patterns import Cluster

#: Steps at which code and curves are compared, and the largest error that is let pass.
_STEPS: Final = 400
_MOST_PERCENT: Final = 5.0
#: Contexts of a sequence between which it is taken to be linear, and the chunk of a prompt beside decodes.
_SHORT: Final = 64
_LONG: Final = 4096
_CHUNK: Final = 512
#: Tokens by which the time of a matrix product grows in steps.
_TILE: Final = 64


@dataclass(frozen=True, slots=True)
class Step:
    """What an engine step computes.

    Attributes:
        tokens: Tokens that go through the dense layers, padding of CUDA graphs included.
        decodes: Sequences that decode, a token each.
        kv_tokens: Their context after the step, together.
        prompts: Chunks of prompts: new tokens, and tokens computed before.
    """

    tokens: int
    decodes: int = 0
    kv_tokens: int = 0
    prompts: tuple[tuple[int, int], ...] = ()


def sampled(profile: PerformanceProfile, cluster: Cluster) -> PerformanceProfile:
    """The profile with the step times of a cluster's own code.

    Raises:
        ProfileError: The code gives no seconds, or step times that have not the form of a profile: dense layers by
            tokens, attention linear in the context of decodes and in tokens times context of prompts.
        SimulatorError: See `find`.
    """
    one = cluster.step_time
    if one is None:
        return profile
    engine = cluster.engine
    sizes = engine.max_num_seqs, engine.max_num_batched_tokens, engine.enforce_eager, engine.speculative is None
    options = json.dumps(dict(one.options), default=list, sort_keys=True)
    return _sampled(_Keep(profile), one.name, options, mark("step_times", one.name), sizes)


class _Keep:
    """A profile that is known by its name, for a cache."""

    def __init__(self, profile: PerformanceProfile) -> None:
        self.profile = profile

    def __hash__(self) -> int:
        return hash(self.profile.id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Keep) and self.profile == other.profile


@lru_cache(maxsize=32)
def _sampled(
    known: _Keep, name: str, options: str, code: str, sizes: tuple[int, int, bool, bool]
) -> PerformanceProfile:
    profile, (most_seqs, most_tokens, _, plain) = known.profile, sizes
    if not plain:
        raise ProfileError(f"the step-time model '{name}' knows no speculative decoding; leave one of both out")
    made, given = find("step_times", name), json.loads(options)

    def seconds(step: Step) -> float:
        said = made(step, **given)
        if isinstance(said, bool) or not isinstance(said, (int, float, np.floating)) or not isfinite(said) or said < 0:
            raise ProfileError(f"the step-time model '{name}' gave {said!r} for {step}; expected seconds, 0 or more")
        return float(said)

    curves = _curves(seconds, most_seqs, most_tokens)
    overhead = {"per_step_s": 0.0, "per_sequence_s": 0.0, "eager_per_layer_s": 0.0, "v0_per_step_s": 0.0}
    where = place("step_times", name)
    content = profile.model_dump() | curves
    content |= {
        "id": f"{profile.id}-{name}",
        "label": "estimated",
        "provenance": {"code": where, "sha256": code, "options": options, "memory_of": profile.id},
        "notes": (f"step times of code of one's own: {where}", *profile.notes),
        "overhead": content["overhead"] | overhead,
        "measured": {"tokens": most_tokens, "sequences": most_seqs, "context_tokens": _LONG},
    }
    found = type(profile).model_validate(content)
    return found.model_copy(update={"fit_error": _error(found, seconds, name, sizes)})


def _curves(seconds: Callable[[Step], float], most_seqs: int, most_tokens: int) -> dict[str, Any]:
    """Its curves: what steps of prompts alone, of decodes alone and of both take, each less what is known of it."""
    tokens = _knots(most_tokens + most_seqs)
    seqs = _knots(max(2, most_seqs))
    chunk = max(1, min(_CHUNK, most_tokens // 2))
    half = max(1, chunk // 2)

    def prompts(*chunks: tuple[int, int]) -> float:
        return seconds(Step(sum(new for new, _ in chunks), prompts=chunks))

    per_pair_s = max(0.0, (prompts((chunk, _LONG)) - prompts((chunk, 0))) / (chunk * _LONG))
    whole = prompts((2 * half, 0)) - per_pair_s * 2.0 * half * half
    per_seq_s = max(0.0, prompts((half, 0), (half, 0)) - per_pair_s * half * half - whole)
    alone = [_line(seconds, count, ()) for count in seqs]
    alike = np.array([prompts((count, 0)) - 0.5 * per_pair_s * count * count - per_seq_s for count in tokens])
    # What a step of decodes takes less than one of as many tokens of prompts is what prompts take to begin with.
    less = [
        alike[tokens.index(count)] + per_seq_s * count - base
        for count, (base, _) in zip(seqs, alone, strict=True)
        if count in tokens
    ]
    begin_s = float(np.clip(max(less, default=0.0), 0.0, alike.min()))
    dense = np.maximum(0.0, alike - begin_s)

    def rest(count: int, line: tuple[float, float], more: int, others: float) -> tuple[float, float]:
        base = line[0] - float(np.interp(count + more, tokens, dense)) - per_seq_s * (count + (more > 0)) - others
        return max(0.0, base), line[1]

    beside = [_line(seconds, count, ((chunk, 0),)) for count in seqs]
    prefill_s = begin_s + 0.5 * per_pair_s * chunk * chunk
    plain = [rest(count, line, 0, 0.0) for count, line in zip(seqs, alone, strict=True)]
    mixed = [rest(count, line, chunk, prefill_s) for count, line in zip(seqs, beside, strict=True)]
    return {
        "dense": {"x": tuple(tokens), "y": tuple(map(float, dense))},
        "lm_head": {"x": (1, max(2, most_seqs)), "y": (per_seq_s, per_seq_s * max(2, most_seqs))},
        "decode_attention": {"x": tuple(seqs), "y": tuple(base for base, _ in plain)},
        "decode_attention_per_kv_token": {"x": tuple(seqs), "y": tuple(slope for _, slope in plain)},
        "mixed_decode_attention": {"x": tuple(seqs), "y": tuple(base for base, _ in mixed)},
        "mixed_decode_attention_per_kv_token": {"x": tuple(seqs), "y": tuple(slope for _, slope in mixed)},
        "prefill_attention": (begin_s, 0.0, per_pair_s),
    }


def _line(seconds: Callable[[Step], float], count: int, prompts: tuple[tuple[int, int], ...]) -> tuple[float, float]:
    """A step of so many decodes beside these prompts as a line in their context: at none, and for each token."""
    tokens = count + sum(new for new, _ in prompts)
    low, high = (seconds(Step(tokens, count, count * each, prompts)) for each in (_SHORT, _LONG))
    slope = max(0.0, (high - low) / (count * (_LONG - _SHORT)))
    return low - slope * count * _SHORT, slope


def _knots(most: int) -> list[int]:
    """Counts from 1 to the most: each up to 16, sizes of CUDA graphs, and both sides of each tile of a kernel."""
    tiles = range(_TILE, most, _TILE)
    return sorted({*range(1, min(16, most) + 1), *capture_sizes(most, most), *tiles, *(one + 1 for one in tiles), most})


def _error(
    profile: PerformanceProfile, seconds: Callable[[Step], float], name: str, sizes: tuple[int, int, bool, bool]
) -> FitError:
    """How far the curves are from the code, at steps of which none was sampled on purpose.

    Raises:
        ProfileError: Somewhere by more than is let pass.
    """
    most_seqs, most_tokens, eager, _ = sizes
    model = ProfiledStepTime(profile, most_seqs, most_tokens, enforce_eager=eager)
    padded = [0] if eager else capture_sizes(most_seqs, most_tokens)
    rng, off = np.random.default_rng(0), []
    for number in range(_STEPS):
        step = _some(rng, number, most_seqs, most_tokens, padded)
        theirs = seconds(step)
        ours = model.step_s(step.decodes, step.kv_tokens, step.prompts)
        off.append(100.0 * abs(ours - theirs) / theirs if theirs > 0.0 else 0.0)
        if off[-1] > _MOST_PERCENT:
            raise ProfileError(
                f"the step-time model '{name}' has not the form of a profile: {step} takes {1e3 * theirs:.3g} ms, its "
                f"curves say {1e3 * ours:.3g} ms"
            )
    # Rounded, so that it is the same on every machine.
    mean, p95, most = (round(float(one), 6) for one in (np.mean(off), np.quantile(off, 0.95), np.max(off)))
    return type(profile.fit_error)(steps=_STEPS, mean_percent=mean, p95_percent=p95, max_percent=most)


def _some(rng: np.random.Generator, number: int, most_seqs: int, most_tokens: int, padded: list[int]) -> Step:
    """Decodes, prompts, or both, small and large ones alike."""
    decodes = int(rng.integers(1, most_seqs, endpoint=True) ** rng.uniform(0.2, 1.0)) if number % 3 else 0
    decodes = min(decodes, most_tokens - 1, most_seqs - 1)
    kv_tokens = decodes * int(rng.integers(1, _LONG))
    prompts: tuple[tuple[int, int], ...] = ()
    if number % 3 != 1:
        new = int(rng.integers(1, most_tokens - decodes, endpoint=True))
        prompts = ((new, int(rng.integers(0, _LONG))),)
    tokens = decodes + sum(new for new, _ in prompts)
    if tokens <= padded[-1]:
        tokens = next(size for size in padded if size >= tokens)
    return Step(tokens, decodes, kv_tokens, prompts)
