"""Records of replays that no server gave."""

from __future__ import annotations

from simulator.bench.replay_record import ReplayedTrace, ReplayRecord


def record_of(facts, requests):
    sent = len(requests.sent_s)
    return ReplayRecord(
        schema_version=1,
        simulator_version="0",
        recorded_on="2026-11-24",
        command="",
        model="m",
        trace=ReplayedTrace(name="t.csv", sha256="0" * 64, rows=sent, sent=sent),
        max_concurrency=256,
        server=facts,
        requests=requests,
    )
