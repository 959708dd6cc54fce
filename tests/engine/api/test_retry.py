"""The simulated client beside the real `openai` package, which talks to a small server with a script."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise

import httpx
import numpy as np
import openai
import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from simulator.engine.api.metered_api import ApiBackend
from simulator.engine.api.retry import Failure, retry_delay_s
from simulator.engine.arrival import Arrival
from simulator.engine.ledger import Ledger
from simulator.engine.record import Outcome, Reason
from simulator.scenario.apis import MeteredApi, Retries
from tests.engine.demand import api, table
from tests.waiting import PATIENCE_S

#: How long our client is patient. The real one is told that its patience is at an end, whatever the clock says.
TIMEOUT_S = 0.2
HUNG = 599
ANSWER = {
    "id": "1", "object": "chat.completion", "created": 0, "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "x"}}],
}  # fmt: skip
#: What the server does -> what our client hears of it; None for an answer.
HANG = "hang"
FAILURES = {
    (429, ()): Failure(Reason.CAPACITY),
    (429, (("retry-after", "7"),)): Failure(Reason.CAPACITY, 7.0),
    (429, (("retry-after", "0.25"),)): Failure(Reason.CAPACITY, 0.25),
    (429, (("retry-after-ms", "1500"),)): Failure(Reason.CAPACITY, 1.5),
    (429, (("retry-after-ms", "1500"), ("retry-after", "9"))): Failure(Reason.CAPACITY, 1.5),
    (429, (("retry-after", "120"),)): Failure(Reason.CAPACITY, 120.0),
    (429, (("retry-after", "121"),)): Failure(Reason.CAPACITY, 121.0),
    (429, (("retry-after", "0"),)): Failure(Reason.CAPACITY, 0.0),
    (500, ()): Failure(Reason.ERROR),
    (503, (("retry-after", "3"),)): Failure(Reason.ERROR, 3.0),
    (408, ()): Failure(Reason.ERROR),
    (409, ()): Failure(Reason.ERROR),
    HANG: Failure(Reason.TIMEOUT, after_s=TIMEOUT_S),
}
SCRIPTS = [
    [],
    [(429, ())],
    [(429, ())] * 3,
    [(500, ()), (500, ())],
    [(500, ())] * 3,
    [HANG],
    [HANG, (429, (("retry-after", "7"),))],
    [HANG, HANG, HANG],
    [(429, (("retry-after-ms", "1500"), ("retry-after", "9"))), (503, (("retry-after", "3"),))],
    [(429, (("retry-after", "120"),))],
    [(429, (("retry-after", "121"),))],
    [(500, ()), (429, (("retry-after", "121"),))],
    [(429, (("retry-after", "0"),))],
    [(408, ()), (409, ())],
]


class Server:
    """Answers POST requests as its script says, and notes when they came."""

    def __init__(self):
        self.script, self.came_s = [], []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                outer.came_s.append(time.monotonic())
                self.rfile.read(int(self.headers["content-length"]))
                step = outer.script.pop(0) if outer.script else (200, ())
                status, headers = (HUNG, ()) if step == HANG else step
                body = json.dumps(ANSWER).encode()
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever)
        self.thread.start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


class Transport(httpx.HTTPTransport):
    """Where the server hangs, nothing comes until the client has waited long enough."""

    def handle_request(self, request):
        response = super().handle_request(request)
        if response.status_code == HUNG:
            response.read()
            raise httpx.ReadTimeout("the server hangs", request=request)
        return response


@pytest.fixture(scope="module")
def server():
    one = Server()
    yield one
    one.close()


@pytest.fixture(scope="module")
def client(server):
    url = f"http://127.0.0.1:{server.http.server_port}/v1"
    through = httpx.Client(transport=Transport())
    with openai.OpenAI(api_key="none", base_url=url, timeout=PATIENCE_S, http_client=through) as one:
        yield one


def call(client, server, script, max_retries):
    """What becomes of one call of the real client: None, or the reason it gives up."""
    server.script, server.came_s = list(script), []
    completions = client.with_options(max_retries=max_retries).chat.completions
    try:
        completions.create(model="m", messages=[{"role": "user", "content": "x"}], max_tokens=1)
    except openai.RateLimitError:
        return Reason.CAPACITY
    except openai.APITimeoutError:
        return Reason.TIMEOUT
    except openai.APIStatusError:
        return Reason.ERROR
    return None


class Draws:
    """A source of random numbers that both clients share."""

    def __init__(self):
        self.left = [0.1, 0.9, 0.5, 0.0, 0.3]

    def random(self):
        return self.left.pop(0)


def simulated(script, retries):
    """The reason our client gives up, or None, and when it called."""

    class Scripted(ApiBackend):
        def call(self, arrival, attempt):
            called_s.append(env.now)
            return FAILURES[left.pop(0)] if left else super().call(arrival, attempt)

    env, ledger, left, called_s, lost = simpy.Environment(), Ledger(table([0.0])), list(script), [], []
    one = Scripted(
        env, MeteredApi.model_validate(api(ttft={"median": "1ms"}, retries=retries)), 0, ledger,
        np.random.default_rng(0), lost.append,
    )  # fmt: skip
    one._rng = Draws()
    one.submit(Arrival.of(table([0.0]), 0))
    env.run()
    assert (ledger.log.outcome[0] == Outcome.COMPLETED) == (not lost)
    assert ledger.log.attempts[0] == len(called_s)
    return (lost[0].reason if lost else None), called_s


@pytest.mark.parametrize("max_retries", [0, 2, 5])
@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_the_schedule_is_that_of_the_real_package(client, server, monkeypatch, script, max_retries):
    """The same calls, the same waits between them to a nanosecond, the same end."""
    waits, draws = [], Draws()
    monkeypatch.setattr("openai._base_client.time.sleep", waits.append)
    monkeypatch.setattr("openai._base_client.random", draws.random)
    end = call(client, server, script, max_retries)
    ours, called_s = simulated(script, {"at_most": max_retries, "timeout": f"{TIMEOUT_S}s"})
    assert ours == end
    assert len(called_s) == len(server.came_s)
    hung = [TIMEOUT_S if step == HANG else 0.0 for step in script]
    gaps = [later - earlier - extra for (earlier, later), extra in zip(pairwise(called_s), hung, strict=False)]
    assert gaps == pytest.approx(waits, abs=1e-9)


def test_the_defaults_are_those_of_the_package():
    defaults, own = openai._constants, Retries()
    assert own.at_most == defaults.DEFAULT_MAX_RETRIES
    assert own.first_delay == defaults.INITIAL_RETRY_DELAY
    assert own.longest_delay == defaults.MAX_RETRY_DELAY
    assert own.longest_retry_after == defaults.MAX_RETRY_AFTER_DELAY
    assert own.timeout == defaults.DEFAULT_TIMEOUT.read


def test_the_real_package_really_waits(client, server):
    """Without anything replaced: what the server told is what passes between two calls."""
    assert call(client, server, [(429, (("retry-after-ms", "150"),))], 2) is None
    first_s, second_s = server.came_s
    assert second_s - first_s >= 0.15


def test_a_router_may_cap_the_retries_not_raise_them():
    def calls(budget):
        env, ledger = simpy.Environment(), Ledger(table([0.0]))
        changes = {"error_share": 1.0, "retries": {"at_most": 2}}
        pattern = MeteredApi.model_validate(api(**changes))
        one = ApiBackend(env, pattern, 0, ledger, np.random.default_rng(0))
        one.submit(Arrival.of(table([0.0]), 0), budget)
        env.run()
        return int(ledger.log.attempts[0])

    assert [calls(budget) for budget in (None, 0, 1, 2, 9)] == [3, 1, 2, 3, 3]


@given(
    taken=st.integers(0, 30),
    retry_after_s=st.one_of(st.just(0.0), st.floats(0.001, 1_000)),
    honour=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_laws(taken, retry_after_s, honour, seed):
    retries = Retries.model_validate({"at_most": 20, "honour_retry_after": honour})
    failure = Failure(Reason.CAPACITY, retry_after_s)
    delay_s = retry_delay_s(retries, taken, failure, np.random.default_rng(seed))
    told = honour and retry_after_s > 0.0
    if taken >= 20 or (told and retry_after_s > 120.0):
        assert delay_s is None
    elif told:
        assert delay_s == retry_after_s
    else:
        longest_s = min(0.5 * 2**taken, 8.0)
        assert 0.75 * longest_s < delay_s <= longest_s
