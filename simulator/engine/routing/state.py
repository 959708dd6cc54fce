"""What a router knows, as arrays for compiled code: see `simulator.engine.vllm.state` for their kind."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from simulator.engine.api.ordinary import ApiState
from simulator.engine.operations.autoscaler import ScalerState
from simulator.engine.vllm.forecast import ForecastState
from simulator.engine.vllm.state import Records, State, record_of

#: Why a request is sent where it is, in words that `log.decision` indexes; the names of rules follow.
WHYS = "preferred", "next with room", "no room anywhere", "waits", "emptiest", "in time", "fastest"
PREFERRED, NEXT, NO_ROOM, WAITS, EMPTIEST, IN_TIME, FASTEST = range(len(WHYS))

#: How a policy goes about it, see `simulator.engine.routing.choice`.
IN_ORDER, BY_LOAD, BY_TIME, BY_RULE = range(4)

#: Its policy, whether the cheapest in time comes first, how many clusters and rules there are, and from which priority
#: on it sheds; how far it has come: the next request to send, the time, whether it arrives then, and the cluster that
#: must be looked at.
#: Of the alarms that are lent to it, which is due first, and when; how often one was moved, counted from their number.
#: And the requests that are hedged when they have had no token `hedge_after_s` after they were sent: so many, from that
#: place of a ring on.
ROUTER = record_of(
    i8="policy clusters rules sheds_from next_arrival backend hedged first_hedged due moved",
    f8="now_s hedge_after_s due_s",
    b1="by_price awake",
)
#: How many of them it notes.
HEDGED = 1024
#: What a rule asks of a request.
RULE = record_of(i8="prompt_at_least prompt_below most_at_least most_below", b1="while_room")

_I1, _I2, _I4, _I8 = (np.dtype(f"i{size}") for size in (1, 2, 4, 8))
_F8, _B1 = np.dtype("f8"), np.dtype("b1")


class RouterState(Records):
    """A router and what it sends requests to.

    Attributes:
        router: One `ROUTER`.
        clusters: By number, the `State` of each cluster.
        apis: The `ApiState` of each API; their numbers follow.
        scalers: By number, the `ScalerState` of each cluster.
        forecasts: By number, the `ForecastState` of each cluster; none where the policy does not ask.
        may_use: By workload, the backends it may use, the preferred first, then NONE.
        fallback: By workload, the cluster that takes it when it would have to wait; NONE for none.
        shares: By priority, the share of a cluster it may use.
        keeps: By cluster, whether requests wait while no replica is there.
        whys: By `WHYS` and rule, the number in the log; NONE while nobody has decided so.
        order, keys: Room for the backends in question, and for what they are compared by.
        ttft_limit_s: By workload, the time to first token its users accept.
        expected_s: By backend, the time to first token to expect of an API.
        prompt_usd, output_usd: By backend, the price of a million tokens.
        hedges: By workload and priority, whether its requests are hedged.
        hedged, hedged_s: The rows of those that are noted, and when that is due.
        rules: `RULE`, in order.
        rule_priorities: By rule and priority, whether it is for it.
        rule_targets: By rule and workload, the backends it may use, the preferred first, then NONE.
        arrival_s, workload, prompt_tokens, max_tokens, priority: Columns of the `RequestTable`.
        target, decision, failover: Columns of the `RequestLog`.
        passed_over: By request, whether it was sent past backends that it would rather use.
    """

    arrays: ClassVar[dict[str, tuple[Any, int]]] = {
        "router": (ROUTER, 1),
        "clusters": (State, 1),
        "apis": (ApiState, 1),
        "scalers": (ScalerState, 1),
        "forecasts": (ForecastState, 1),
        "may_use": (_I8, 2),
        "fallback": (_I8, 1),
        "shares": (_F8, 1),
        "keeps": (_B1, 1),
        "whys": (_I8, 1),
        "order": (_I8, 1),
        **dict.fromkeys(("keys", "ttft_limit_s", "expected_s", "prompt_usd", "output_usd"), (_F8, 1)),
        "hedges": (_B1, 2),
        "hedged": (_I8, 1),
        "hedged_s": (_F8, 1),
        "rules": (RULE, 1),
        "rule_priorities": (_B1, 2),
        "rule_targets": (_I8, 3),
        "arrival_s": (_F8, 1),
        "workload": (_I2, 1),
        "priority": (_I1, 1),
        **dict.fromkeys(("prompt_tokens", "max_tokens"), (_I4, 1)),
        **dict.fromkeys(("target", "decision", "failover"), (_I1, 1)),
        "passed_over": (_B1, 1),
    }
