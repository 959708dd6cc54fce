"""`simulator bench replay` against a server that answers as vLLM does, and against ones that misbehave."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from simulator.bench.json_file import write_record
from simulator.bench.replay import REFUSALS, Limits, Sender, _prompts, replay
from simulator.bench.replay_check import compare_replay, engine_of, measured
from simulator.bench.replay_record import gaps_ms, read_replay
from simulator.bench.server import address_of
from simulator.bench.serving import request_table
from simulator.cli.main import main
from simulator.errors import ProfileError, SimulatorError, TraceError
from simulator.performance.profile import read_profile
from simulator.trace.canonical import write_trace
from tests.bench.replays import record_of
from tests.waiting import PATIENCE_S, until

METRICS = 'vllm:cache_config_info{block_size="16",num_gpu_blocks="4000",enable_prefix_caching="True"} 1.0\n'


class Server:
    """Streams tokens a fixed time apart; `answer` may be replaced."""

    gap_s = 0.005

    def __init__(self):
        self.bodies, self.keys = [], []
        self.models = 200, {"data": [{"id": "m"}]}
        self.under_way = self.most = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(PATIENCE_S)

    async def _serve(self):
        self._loop, self.over = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=1 << 24)
        app.router.add_post("/v1/completions", self._complete)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/version", self._version)
        app.router.add_get("/v1/models", self._models)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._ready.set()
        await self.over.wait()
        await runner.cleanup()

    async def _metrics(self, request):
        return web.Response(text=METRICS)

    async def _version(self, request):
        return web.Response(text='{"version": "0.33.0"}')

    async def _models(self, request):
        self.keys.append(request.headers.get("Authorization"))
        return web.Response(status=self.models[0], text=json.dumps(self.models[1]))

    async def _complete(self, request):
        body = await request.json()
        self.bodies.append(body)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            return await self.answer(request, body)
        finally:
            self.under_way -= 1

    async def answer(self, request, body):
        response = web.StreamResponse()
        await response.prepare(request)
        for token in range(1, body["max_tokens"] + 1):
            await asyncio.sleep(self.gap_s)
            usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": token}
            chunk = {"choices": [{"text": "secret"}], "usage": usage}
            await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response

    def stop(self):
        self._loop.call_soon_threadsafe(self.over.set)
        self._thread.join(PATIENCE_S)


@pytest.fixture
def server():
    one = Server()
    yield one
    one.stop()


def test_every_request_is_sent_in_time_and_timed(server):
    table = request_table([0.0, 0.1, 0.1], [5, 60, 9], [4, 10, 1])
    facts, found = replay(table, Sender(server.url, "m"), Limits(), seed=1)
    assert (facts.version, facts.block_size, facts.num_gpu_blocks, facts.prefix_caching) == ("0.33.0", 16, 4000, True)
    assert found.outcome == ["completed"] * 3
    assert found.prompt_tokens == [5, 60, 9]
    assert found.output_tokens == [4, 10, 1]
    assert all(sent >= planned for sent, planned in zip(found.sent_s, found.planned_s, strict=True))
    assert [len(gaps) for gaps in found.gap_ms] == [3, 9, 0]
    assert all(found.ttft_s[row] >= 0.005 for row in range(3))
    assert found.e2e_s(1) >= 0.05
    assert sorted((len(body["prompt"]), body["max_tokens"]) for body in server.bodies) == [(5, 4), (9, 1), (60, 10)]
    assert "secret" not in record_of(facts, found).model_dump_json()


def test_no_more_than_allowed_are_under_way(server):
    async def answer(request, body):
        while server.most < 2:
            await asyncio.sleep(0.001)
        return await Server.answer(server, request, body)

    server.answer = answer
    _, found = replay(request_table(np.zeros(6), 5, 5), Sender(server.url, "m"), Limits(max_concurrency=2), seed=1)
    assert server.most == 2
    assert found.outcome == ["completed"] * 6


def test_limits_cut_the_trace(server):
    table = request_table([0.0, 0.1, 5.0], 5, 2)
    _, found = replay(table, Sender(server.url, "m"), Limits(duration_s=1.0), seed=1)
    assert len(found.sent_s) == 2
    _, found = replay(table, Sender(server.url, "m"), Limits(requests=1), seed=1)
    assert len(found.sent_s) == 1


@pytest.mark.needs("signals")
def test_an_interrupted_replay_keeps_what_has_come(server, tmp_path):
    async def answer(request, body):
        if body["max_tokens"] > 1:
            await server.over.wait()
        return await Server.answer(server, request, body)

    server.answer = answer
    demand = request_table([0.0, 0.0, 0.0, 90.0], 5, [1, 400, 400, 1])
    write_trace(demand, tmp_path / "t.csv", source="s", licence="l", span_s=99)
    options = ["--url", server.url, "--model", "m", "--max-concurrency", "2", "--output", "r.json"]
    command = [sys.executable, "-m", "simulator", "bench", "replay", "t.csv", *options]
    # A shell starts what runs in the background deaf to it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        # The third is sent when the first has been heard to the end.
        until(lambda: len(server.bodies) == 3, process)
        process.send_signal(signal.SIGINT)
        said, wrong = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130, wrong
    assert "4 requests: 1 completed, 3 interrupted" in said
    found = read_replay(tmp_path / "r.json").requests
    assert found.outcome == ["completed", "interrupted", "interrupted", "interrupted"]
    assert found.sent_s[3] is None
    assert found.output_tokens[:3] == [1, 0, 0]


def test_what_goes_wrong_is_counted_and_not_kept(server):
    async def answer(request, body):
        if len(body["prompt"]) == 5:
            return web.Response(status=400, text="secret of a patient")
        response = web.StreamResponse()
        await response.prepare(request)
        chunk = {"choices": [{"text": "a"}], "usage": {"prompt_tokens": 6, "completion_tokens": 1}}
        await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
        request.transport.close()
        return response

    server.answer = answer
    facts, found = replay(request_table([0.0, 0.0], [5, 6], 3), Sender(server.url, "m"), Limits(), seed=1)
    assert found.outcome == ["refused", "broken"]
    assert found.status == [400, 200]
    record = record_of(facts, found)
    assert "secret" not in record.model_dump_json()
    with pytest.raises(TraceError, match="1 refused, 1 broken"):
        measured(record)


def test_a_redirection_is_not_followed(server):
    async def answer(request, body):
        return web.Response(status=307, headers={"Location": "http://192.0.2.1/v1/completions"})

    server.answer = answer
    _, found = replay(request_table([0.0], 5, 3), Sender(server.url, "m"), Limits(), seed=1)
    assert (found.outcome, found.status) == (["refused"], [307])


@pytest.mark.parametrize("line", ["data: 3", "data: {", 'data: {"usage": {"completion_tokens": "x"}, "choices": [1]}'])
def test_an_answer_of_another_form_is_counted(server, line):
    async def answer(request, body):
        return web.Response(text=f"{line}\n\n")

    server.answer = answer
    _, found = replay(request_table([0.0], 5, 3), Sender(server.url, "m"), Limits(), seed=1)
    assert found.outcome == ["broken"]


def test_what_waits_for_room_until_time_is_up_is_never_sent(server, monkeypatch):
    now_s = [0.0]
    monkeypatch.setattr("simulator.bench.replay.perf_counter", lambda: now_s[0])

    async def answer(request, body):
        now_s[0] += 0.3
        return await Server.answer(server, request, body)

    server.answer = answer
    limits = Limits(duration_s=0.2, max_concurrency=1)
    _, found = replay(request_table(np.zeros(3), 5, 5), Sender(server.url, "m"), limits, seed=1)
    assert found.outcome == ["completed", "unsent", "unsent"]
    assert found.sent_s[1:] == [None, None]


def test_equal_prefixes_are_equal_prompts():
    table = request_table(np.zeros(3), 20, 1, prefix_id=[7, 7, 8])
    table.prefix_tokens[:] = 12
    first, second, third = _prompts(table, 3, seed=1)
    assert first[:12] == second[:12] != third[:12]
    assert first[12:] != second[12:]
    assert [len(prompt) for prompt in (first, second, third)] == [20, 20, 20]


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://localhost", "http://[::1]:8000", "http://127.8.0.1"])
def test_this_machine_is_allowed(url):
    address_of(url, allow_remote=False)


@pytest.mark.parametrize("url", ["http://10.0.0.1:8000", "https://api.example.com", "http://127.0.0.1.example.com"])
def test_other_machines_are_refused_unless_allowed(url):
    with pytest.raises(SimulatorError, match="--allow-remote"):
        address_of(url, allow_remote=False)
    address_of(url, allow_remote=True)


@given(st.lists(st.floats(0.0, 0.5), min_size=1, max_size=200))
def test_gaps_add_up(gaps):
    token_s = list(np.cumsum(gaps))
    assert np.cumsum([0.0, *gaps_ms(token_s)]) == pytest.approx(1000 * (np.array(token_s) - token_s[0]), abs=0.051)


def test_command_and_comparison(server, tmp_path, capsys):
    trace, kept = tmp_path / "t.csv", tmp_path / "r.json.gz"
    write_trace(request_table([0.0, 0.05, 0.3], 40, 10), trace, source="test", licence="none", span_s=1.0)
    with pytest.raises(SystemExit) as stop:
        main(["bench", "replay", str(trace), "--url", server.url, "--model", "m", "--output", str(kept), "--quiet"])
    assert stop.value.code in (0, None)
    assert "3 requests: 3 completed" in capsys.readouterr().out
    record = read_replay(kept)
    assert record.trace.rows == 3
    found = compare_replay(record, read_profile("llama-3.1-8b-bf16-a100-80gb-x1"), engine_of(record))
    theirs, ours = found["itl_mean_s"]
    assert theirs == pytest.approx(np.mean(np.concatenate(record.requests.gap_ms)) / 1000)
    assert 0.005 < ours < 0.02


def test_a_server_that_is_not_there_is_said(tmp_path, capsys):
    trace = tmp_path / "t.csv"
    write_trace(request_table([0.0], 40, 10), trace, source="test", licence="none", span_s=1.0)
    with pytest.raises(SystemExit) as stop:
        main(["bench", "replay", str(trace), "--url", "http://127.0.0.1:9", "--model", "m", "--output", "x.json"])
    assert stop.value.code == 2
    assert "no server answers there" in capsys.readouterr().err


def test_a_file_that_is_no_replay_is_refused_with_every_fault(server, tmp_path):
    facts, found = replay(request_table([0.0], 5, 2), Sender(server.url, "m"), Limits(), seed=1)
    record, path = record_of(facts, found), tmp_path / "r.json"
    write_record(record, path)
    assert read_replay(path) == record
    broken = json.loads(path.read_text())
    broken["model"], broken["extra"] = 3, 1
    path.write_text(json.dumps(broken))
    with pytest.raises(TraceError, match=r"model: (.|\n)*extra: "):
        read_replay(path)
    broken = json.loads(record.model_dump_json())
    broken["requests"]["gap_ms"] = [[]]
    path.write_text(json.dumps(broken))
    with pytest.raises(TraceError, match="2 tokens and 0 gaps"):
        read_replay(path)


def test_unknown_settings_are_refused_together(server):
    facts, found = replay(request_table([0.0], 5, 2), Sender(server.url, "m"), Limits(), seed=1)
    with pytest.raises(ProfileError, match=r"colour=3(.|\n)*max_num_seqs"):
        engine_of(record_of(facts, found), ["colour=3", "max_num_seqs=0"])
    assert engine_of(record_of(facts, found), ["prefix_caching=false"]).prefix_caching is False


def command(*words):
    with pytest.raises(SystemExit) as stop:
        main(["bench", *map(str, words)])
    return stop.value.code or 0


@pytest.fixture
def trace(tmp_path):
    """Forty requests of four tokens, a thousandth of a second apart."""
    path = tmp_path / "t.csv"
    write_trace(request_table(np.arange(40) / 1000, 8, 4), path, source="s", licence="l", span_s=1.0)
    return path


def sent(trace, server, name="r.json", *more):
    target = ("--url", server.url, "--model", "m", "--output", trace.parent / name, "--quiet")
    return command("replay", trace, *target, *more)


@pytest.mark.parametrize("status", [401, 404, 429, 500, 307])
def test_when_nothing_but_refusals_come_the_rest_is_not_sent_and_the_reason_is_told(server, trace, status, capsys):
    async def answer(request, body):
        return web.Response(status=status, text="secret of a patient")

    server.answer = answer
    assert sent(trace, server, "r.json", "--max-concurrency", 1) == 1
    said = capsys.readouterr().out
    assert f"{REFUSALS} refused, {40 - REFUSALS} unsent" in said
    assert f"{REFUSALS} times HTTP {status}: " in said
    assert "secret" not in said + (trace.parent / "r.json").read_text()


def test_a_refusal_among_answers_stops_nothing(server, trace):
    async def answer(request, body):
        if len(server.bodies) % 2:
            return web.Response(status=503)
        return await Server.answer(server, request, body)

    server.answer = answer
    assert sent(trace, server) == 1
    assert read_replay(trace.parent / "r.json").requests.outcome.count("completed") == 20


def test_the_models_it_serves_are_named(server, trace, capsys):
    server.models = 200, {"data": [{"id": "other"}, {"id": "one"}]}
    assert sent(trace, server) == 2
    assert "--model m: the server serves one, other" in capsys.readouterr().err
    assert not server.bodies


@pytest.mark.parametrize("models", [(404, {}), (200, ["?"]), (200, {"data": [3]}), (200, {"object": "list"})])
def test_who_tells_no_models_is_asked_all_the_same(server, trace, models):
    server.models = models
    assert sent(trace, server) == 0


def test_a_key_comes_from_the_environment_and_goes_nowhere_else(server, trace, monkeypatch, capsys):
    server.models = 401, {}
    assert sent(trace, server) == 2
    assert "--api-key-env" in capsys.readouterr().err
    server.models = 200, {"data": [{"id": "m"}]}
    assert sent(trace, server, "r.json", "--api-key-env", "NO_SUCH_KEY") == 2
    monkeypatch.setenv("A_KEY", "abc-secret")
    assert sent(trace, server, "r.json", "--api-key-env", "A_KEY") == 0
    assert server.keys[-1] == "Bearer abc-secret"
    assert "abc-secret" not in capsys.readouterr().out + (trace.parent / "r.json").read_text()


def test_an_address_may_end_in_v1(server, trace):
    server.url += "/v1/"
    assert sent(trace, server) == 0


def test_a_record_is_not_replaced_unasked(server, trace, capsys):
    assert sent(trace, server) == 0
    before = (trace.parent / "r.json").read_bytes()

    async def answer(request, body):
        return web.Response(status=500)

    server.answer = answer
    assert sent(trace, server) == 2
    assert "--resume goes on with it, --force replaces it" in capsys.readouterr().err
    assert (trace.parent / "r.json").read_bytes() == before
    assert sent(trace, server, "r.json", "--force") == 1


def test_what_was_stopped_goes_on(server, trace, capsys):
    """From the first request that lacks an answer; what was answered before it is not asked for again."""

    async def answer(request, body):
        return await Server.answer(server, request, body) if len(server.bodies) < 16 else web.Response(status=500)

    server.answer = answer
    assert sent(trace, server, "r.json", "--max-concurrency", 1) == 1
    record = read_replay(trace.parent / "r.json")
    assert record.requests.outcome[:15] == ["completed"] * 15
    assert "completed" not in record.requests.outcome[15:]
    del server.answer
    server.bodies.clear()
    assert sent(trace, server, "r.json", "--resume") == 0
    assert len(server.bodies) == 25
    whole = read_replay(trace.parent / "r.json")
    assert whole.requests.outcome == ["completed"] * 40
    assert whole.requests.sent_s[:15] == record.requests.sent_s[:15]
    assert min(whole.requests.sent_s[15:]) >= 0.015
    assert whole.seed == record.seed
    # Nothing is left to send, and nothing of another trace goes on here.
    server.bodies.clear()
    assert sent(trace, server, "r.json", "--resume") == 0
    assert not server.bodies
    write_trace(request_table([0.0], 8, 4), trace.parent / "u.csv", source="s", licence="l", span_s=1.0)
    capsys.readouterr()
    assert sent(trace.parent / "u.csv", server, "r.json", "--resume") == 2
    assert "nothing to resume" in capsys.readouterr().err


def test_what_is_planned_within_the_limit_is_sent_however_late(server, monkeypatch):
    """A few milliseconds late is not too late: only who waits for others is left out."""
    pause = asyncio.sleep
    monkeypatch.setattr("simulator.bench.replay.asyncio.sleep", lambda s: pause(s + 0.05))
    table = request_table([0.0, 0.099, 0.0999], 5, 1)
    _, found = replay(table, Sender(server.url, "m"), Limits(duration_s=0.1), seed=1)
    assert found.outcome == ["completed"] * 3


def test_the_completed_ones_are_compared_alone_where_that_is_asked_for(server, trace, capsys):
    async def answer(request, body):
        if len(server.bodies) == 7:
            return web.Response(status=503)
        return await Server.answer(server, request, body)

    server.answer = answer
    assert sent(trace, server) == 1
    given = ("--replay", trace.parent / "r.json", "--profile", "llama-3.1-8b-bf16-l40s-x1")
    capsys.readouterr()
    assert command("validate", *given) == 2
    assert "--completed-only" in capsys.readouterr().err
    assert command("validate", *given, "--completed-only", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["requests"], found["completed"]) == (40, 39)
    assert found["metrics"]["ttft_mean_s"]["simulated"] > 0.0


def test_a_server_that_stops_early_is_told(server, trace, capsys):
    async def answer(request, body):
        return await Server.answer(server, request, body | {"max_tokens": 3})

    server.answer = answer
    assert sent(trace, server) == 0
    assert "40 of the tokens asked for never came" in capsys.readouterr().out
    assert command("validate", "--replay", trace.parent / "r.json", "--profile", "llama-3.1-8b-bf16-l40s-x1") == 0
    assert "note: 40 tokens that were asked for never came" in capsys.readouterr().out


def test_an_engine_that_dies_in_an_answer_is_told_from_one_that_ends_it(server, trace):
    async def answer(request, body):
        response = web.StreamResponse()
        await response.prepare(request)
        for line in ('{"choices": [{"text": "a"}]}', '{"error": {"message": "EngineDeadError"}}', "[DONE]"):
            await response.write(f"data: {line}\n\n".encode())
        return response

    server.answer = answer
    assert sent(trace, server) == 1
    assert read_replay(trace.parent / "r.json").requests.outcome == ["broken"] * 40
