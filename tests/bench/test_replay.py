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
from simulator.bench.replay import Limits, _prompts, check_address, replay
from simulator.bench.replay_check import compare_replay, engine_of, measured
from simulator.bench.replay_record import gaps_ms, read_replay
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
        self.bodies = []
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
    facts, found = replay(table, server.url, "m", Limits(), seed=1)
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
    _, found = replay(request_table(np.zeros(6), 5, 5), server.url, "m", Limits(max_concurrency=2), seed=1)
    assert server.most == 2
    assert found.outcome == ["completed"] * 6


def test_limits_cut_the_trace(server):
    table = request_table([0.0, 0.1, 5.0], 5, 2)
    _, found = replay(table, server.url, "m", Limits(duration_s=1.0), seed=1)
    assert len(found.sent_s) == 2
    _, found = replay(table, server.url, "m", Limits(requests=1), seed=1)
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
    with subprocess.Popen(command, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        # The third is sent when the first has been heard to the end.
        until(lambda: len(server.bodies) == 3, process)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
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
    facts, found = replay(request_table([0.0, 0.0], [5, 6], 3), server.url, "m", Limits(), seed=1)
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
    _, found = replay(request_table([0.0], 5, 3), server.url, "m", Limits(), seed=1)
    assert (found.outcome, found.status) == (["refused"], [307])


@pytest.mark.parametrize("line", ["data: 3", "data: {", 'data: {"usage": {"completion_tokens": "x"}, "choices": [1]}'])
def test_an_answer_of_another_form_is_counted(server, line):
    async def answer(request, body):
        return web.Response(text=f"{line}\n\n")

    server.answer = answer
    _, found = replay(request_table([0.0], 5, 3), server.url, "m", Limits(), seed=1)
    assert found.outcome == ["broken"]


def test_what_waits_for_room_until_time_is_up_is_never_sent(server, monkeypatch):
    now_s = [0.0]
    monkeypatch.setattr("simulator.bench.replay.perf_counter", lambda: now_s[0])

    async def answer(request, body):
        now_s[0] += 0.3
        return await Server.answer(server, request, body)

    server.answer = answer
    limits = Limits(duration_s=0.2, max_concurrency=1)
    _, found = replay(request_table(np.zeros(3), 5, 5), server.url, "m", limits, seed=1)
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
    check_address(url, allow_remote=False)


@pytest.mark.parametrize("url", ["http://10.0.0.1:8000", "https://api.example.com", "http://127.0.0.1.example.com"])
def test_other_machines_are_refused_unless_allowed(url):
    with pytest.raises(SimulatorError, match="--allow-remote"):
        check_address(url, allow_remote=False)
    check_address(url, allow_remote=True)


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
    facts, found = replay(request_table([0.0], 5, 2), server.url, "m", Limits(), seed=1)
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
    facts, found = replay(request_table([0.0], 5, 2), server.url, "m", Limits(), seed=1)
    with pytest.raises(ProfileError, match=r"colour=3(.|\n)*max_num_seqs"):
        engine_of(record_of(facts, found), ["colour=3", "max_num_seqs=0"])
    assert engine_of(record_of(facts, found), ["prefix_caching=false"]).prefix_caching is False
