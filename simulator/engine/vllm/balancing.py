"""Which replica of a cluster gets a request.

Looking changes nothing: `pick` says the same until `count_sent` is told that the request went there, so a router may
ask beforehand what it would find. Random numbers are the cluster's own, and a call's do not depend on who looked.
"""

from __future__ import annotations

from math import ceil, floor, inf
from typing import TYPE_CHECKING, Any, Final

from simulator.engine.vllm.compiled import compiled
from simulator.engine.vllm.replica import catch_up, used_blocks
from simulator.engine.vllm.state import NONE

if TYPE_CHECKING:
    import numpy as np

    from simulator.engine.vllm.state import State
    from simulator.scenario.balancing import Balancing, Kind

SHORTEST_QUEUE, LEAST_REQUESTS, TWO_CHOICES, ROUND_ROBIN, RANDOM, VLLM, CACHE_AWARE, STICKY, PREFIX_HASH = range(9)
#: The number of each kind of balancing.
KINDS: Final[dict[Kind, int]] = {
    "shortest_queue": SHORTEST_QUEUE,
    "least_requests": LEAST_REQUESTS,
    "two_choices": TWO_CHOICES,
    "round_robin": ROUND_ROBIN,
    "random": RANDOM,
    "vllm": VLLM,
    "cache_aware": CACHE_AWARE,
    "sticky": STICKY,
    "prefix_hash": PREFIX_HASH,
}

#: L'Ecuyer's combined generator, period 2^61 (Communications of the ACM 31(6), 1988): products stay below 2^63, so
#: that compiled and plain code draw the same.
_MODULUS_1, _FACTOR_1 = 2147483563, 40014
_MODULUS_2, _FACTOR_2 = 2147483399, 40692


def follows_prefixes(settings: Any) -> bool:  # noqa: ANN401
    """Whether it matters what prefix a request has."""
    return bool(settings.balancing >= STICKY)


def set_balancing(settings: Any, fleet: Any, balancing: Balancing, rng: np.random.Generator) -> None:  # noqa: ANN401
    """Fill in what `SETTINGS` and `FLEET` have of it."""
    settings.balancing = KINDS[balancing.kind]
    settings.publication_s, settings.load_factor = balancing.published_every_s, balancing.load_factor
    fleet.publication_s = 0.0 if settings.publication_s else inf
    fleet.draw_1, fleet.draw_2 = rng.integers(1, [_MODULUS_1, _MODULUS_2]).tolist()


@compiled
def look_at(s: State, now_s: float) -> None:
    """Bring all replicas up to now, past what they publish on the way."""
    fleet = s.fleet[0]
    publish(s, now_s)
    # What arrives at one moment is there before the engines look.
    passed = now_s > fleet.seen_s
    fleet.seen_s = now_s
    if not passed:
        return
    for r in range(s.settings[0].replicas):
        rep = s.replicas[r]
        # Most have nothing to catch up with; asking here spares a call.
        if rep.due_s <= now_s or rep.first_finishing != NONE:
            catch_up(s, r, now_s)


@compiled
def pick(s: State, index: int, now_s: float) -> int:
    """The open replica that this request, sent now, would go to, or NONE."""
    look_at(s, now_s)
    kind = s.settings[0].balancing
    if kind == SHORTEST_QUEUE:
        return _shortest(s)
    if kind == VLLM:
        return _lowest_score(s)
    if kind == ROUND_ROBIN:
        return _from(s, s.fleet[0].turn)
    if kind == LEAST_REQUESTS:
        return _any_of_the_least(s)
    if kind == CACHE_AWARE:
        return _best(s, index)
    if kind >= STICKY and s.place[index] != NONE:
        return _on_the_ring(s, s.place[index], kind == PREFIX_HASH)
    return _at_random(s, kind == TWO_CHOICES)


@compiled
def any_serves(s: State, now_s: float) -> bool:
    """Whether a replica takes requests."""
    look_at(s, now_s)
    return _shortest(s) != NONE


@compiled
def count_sent(s: State, index: int, r: int) -> None:
    """A request has been sent to this replica."""
    settings, fleet = s.settings[0], s.fleet[0]
    kind = settings.balancing
    if kind == ROUND_ROBIN:
        fleet.turn = r + 1
    elif kind == VLLM:
        s.replicas[r].told_waiting += 1
        fleet.turn = (fleet.turn + 1) % settings.replicas
    elif kind == CACHE_AWARE:
        _remember(s, index, r)
        fleet.draw_1, fleet.draw_2 = _following(fleet.draw_1, fleet.draw_2)
    elif kind != SHORTEST_QUEUE:
        fleet.draw_1, fleet.draw_2 = _following(fleet.draw_1, fleet.draw_2)
        if kind == TWO_CHOICES:
            fleet.draw_1, fleet.draw_2 = _following(fleet.draw_1, fleet.draw_2)


@compiled
def publish(s: State, now_s: float) -> None:
    """Note what the replicas counted when they were last due to tell, before they are brought up to now."""
    fleet, every_s = s.fleet[0], s.settings[0].publication_s
    if not fleet.publication_s <= now_s < inf:
        return
    number = floor(now_s / every_s)
    at_s = min(now_s, number * every_s)
    for r in range(s.settings[0].replicas):
        rep = s.replicas[r]
        catch_up(s, r, at_s)
        rep.told_waiting, rep.told_running = rep.waiting, rep.running
        rep.told_usage = used_blocks(s, r, at_s) / s.settings[0].blocks
    fleet.publication_s = (number + 1) * every_s


@compiled
def _shortest(s: State) -> int:
    least = NONE
    for r in range(s.settings[0].replicas):
        rep = s.replicas[r]
        if not rep.closed and (least == NONE or rep.load < s.replicas[least].load):
            least = r
    return least


@compiled
def _any_of_the_least(s: State) -> int:
    least = _shortest(s)
    if least == NONE:
        return NONE
    load, ties = s.replicas[least].load, 0
    for r in range(least, s.settings[0].replicas):
        ties += not s.replicas[r].closed and s.replicas[r].load == load
    left = int(_uniform(s.fleet[0].draw_1, s.fleet[0].draw_2) * ties)
    for r in range(least, s.settings[0].replicas):
        if not s.replicas[r].closed and s.replicas[r].load == load:
            if left == 0:
                return r
            left -= 1
    return least


@compiled
def _at_random(s: State, of_two: bool) -> int:
    """One that is open, or the less loaded of two; of equal ones the one drawn first."""
    fleet, count = s.fleet[0], 0
    for r in range(s.settings[0].replicas):
        count += not s.replicas[r].closed
    if count == 0:
        return NONE
    first = int(_uniform(fleet.draw_1, fleet.draw_2) * count)
    found = _nth(s, first)
    if not of_two or count == 1:
        return found
    draw_1, draw_2 = _following(fleet.draw_1, fleet.draw_2)
    second = int(_uniform(draw_1, draw_2) * (count - 1))
    other = _nth(s, second + (second >= first))
    return other if s.replicas[other].load < s.replicas[found].load else found


@compiled
def _nth(s: State, place: int) -> int:
    """The open replica at this place among the open ones."""
    for r in range(s.settings[0].replicas):
        if not s.replicas[r].closed:
            if place == 0:
                return r
            place -= 1
    return NONE


@compiled
def _from(s: State, first: int) -> int:
    """The first open replica from this one on, round and round."""
    replicas = s.settings[0].replicas
    for step in range(replicas):
        r = int((first + step) % replicas)
        if not s.replicas[r].closed:
            return r
    return NONE


@compiled
def _lowest_score(s: State) -> int:
    """See vLLM 0.33, `v1/engine/core_client.py`, `DPLBAsyncMPClient.get_core_engine_for_request`."""
    replicas, found, lowest = s.settings[0].replicas, NONE, inf
    for step in range(replicas):
        r = (s.fleet[0].turn + step) % replicas
        rep = s.replicas[r]
        if rep.closed:
            continue
        score = float(max(rep.load, rep.told_waiting + rep.told_running))
        score += rep.told_waiting * 6.0 * max(0.0, rep.told_usage - 0.5)
        if score < lowest:
            found, lowest = r, score
    return int(found)


@compiled
def _best(s: State, index: int) -> int:
    """The open replica with the highest score, of several one at random."""
    shortest = longest = NONE
    for r in range(s.settings[0].replicas):
        rep = s.replicas[r]
        if not rep.closed:
            longest = max(longest, rep.told_waiting)
            shortest = rep.told_waiting if shortest == NONE else min(shortest, rep.told_waiting)
    found, best, ties = NONE, -inf, 0
    for r in range(s.settings[0].replicas):
        if not s.replicas[r].closed:
            score = _score(s, index, r, shortest, longest)
            if score > best:
                found, best, ties = r, score, 0
            ties += score == best
    left = int(_uniform(s.fleet[0].draw_1, s.fleet[0].draw_2) * ties)
    for r in range(max(found, 0), s.settings[0].replicas):
        if left and r > found and not s.replicas[r].closed and _score(s, index, r, shortest, longest) == best:
            found = r
            left -= 1
    return int(found)


@compiled
def _score(s: State, index: int, r: int, shortest: int, longest: int) -> float:
    rep, queue = s.replicas[r], 1.0
    if longest > shortest:
        queue = (longest - rep.told_waiting) / (longest - shortest)
    known = _expected_tokens(s, index, r) / s.prompt_tokens[index]
    return float(2.0 * queue + 2.0 * (1.0 - rep.told_usage) + 3.0 * known)


@compiled
def _expected_tokens(s: State, index: int, r: int) -> int:
    """Leading tokens of a prompt that were sent to a replica while its KV blocks would still hold them."""
    settings = s.settings[0]
    if s.prefix[index] < 0:
        return 0
    tokens = min(int(s.prefix_tokens[index]), int(s.prompt_tokens[index]))
    number = s.prefix[index] * settings.replicas + r
    while number != NONE:
        chain = s.chains[number]
        if chain.sent_at != NONE and s.replicas[r].sent_tokens - chain.sent_at <= settings.blocks * settings.block_size:
            return tokens
        tokens = min(tokens, chain.start * settings.block_size)
        number = chain.outer
    return 0


@compiled
def _remember(s: State, index: int, r: int) -> None:
    """What a request begins with is taken to be there from now on."""
    rep = s.replicas[r]
    rep.sent_tokens += s.prompt_tokens[index]
    number = s.prefix[index] * s.settings[0].replicas + r if s.prefix[index] >= 0 else NONE
    while number != NONE:
        s.chains[number].sent_at = rep.sent_tokens
        number = s.chains[number].outer


@compiled
def forget_sent(s: State, r: int) -> None:
    """A replica starts anew: nothing that was sent there is in its cache."""
    s.replicas[r].told_waiting = s.replicas[r].told_running = 0
    s.replicas[r].told_usage = 0.0
    s.replicas[r].sent_tokens += s.settings[0].blocks * s.settings[0].block_size + 1


@compiled
def _on_the_ring(s: State, place: int, bounded: bool) -> int:
    """The first open replica from this place on that has not too much; one has less than the mean, so there is one."""
    count = load = 0
    for r in range(s.settings[0].replicas):
        if not s.replicas[r].closed:
            count += 1
            load += s.replicas[r].load
    if count == 0:
        return NONE
    most = ceil(s.settings[0].load_factor * (load + 1) / count) if bounded else load + 1
    points = s.settings[0].points
    low, high = 0, points
    while low < high:
        middle = (low + high) // 2
        if s.ring_at[middle] < place:
            low = middle + 1
        else:
            high = middle
    for step in range(points):
        r = int(s.ring_of[(low + step) % points])
        if not s.replicas[r].closed and s.replicas[r].load < most:
            return r
    return _shortest(s)


@compiled
def _uniform(draw_1: int, draw_2: int) -> float:
    """From 0 to below 1."""
    return ((draw_1 - draw_2) % (_MODULUS_1 - 1)) / (_MODULUS_1 - 1)


@compiled
def _following(draw_1: int, draw_2: int) -> tuple[int, int]:
    return draw_1 * _FACTOR_1 % _MODULUS_1, draw_2 * _FACTOR_2 % _MODULUS_2
