"""Schedules recorded from the real vLLM scheduler (0.33.0, `tools/record_vllm_scheduler.py`): ours are the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator.bench.conform import conform
from simulator.bench.recording import read_recording, write_recording
from tests.parts import ROOT

RECORDED = sorted((Path(__file__).parent / "recorded").glob("*.json.gz"))


def name_of(path):
    return path.name.removesuffix(".json.gz")


@pytest.mark.parametrize("path", RECORDED, ids=name_of)
def test_same_as_vllm(path):
    recording = read_recording(path)
    assert recording.vllm_version.startswith("0.33")
    found = conform(recording)
    assert found.differing_steps == [], found.first
    assert found.differing_requests == []
    assert found.agrees, found


def test_the_cases_are_nasty_enough():
    recordings = [read_recording(path) for path in RECORDED]
    said = " ".join((ROOT / "docs" / "methods.md").read_text(encoding="utf-8").split())
    steps = sum(len(one.steps) for one in recordings)
    assert f"replays {len(recordings)} schedules recorded from vLLM 0.33.0 ({steps:,} steps;" in said
    assert sum(len(recording.steps) for recording in recordings) > 10_000
    assert sum(row.preemptions for recording in recordings for row in recording.requests) > 200
    assert sum(row.cached_tokens > 0 for recording in recordings for row in recording.requests) > 200
    for name, values in {
        "async_scheduling": {True, False}, "policy": {"fcfs", "priority"}, "prefix_caching": {True, False},
        "reserve_full_isl": {True, False}, "watermark": {0.0, 0.05, 0.1}, "long_prefill_token_threshold": {0, 24},
        "chunked_prefill": {True, False}, "overhead": {0.0, 0.0013},
    }.items():  # fmt: skip
        assert {getattr(recording.config, name) for recording in recordings} == values


@pytest.mark.parametrize("suffix", [".json", ".json.gz"])
def test_what_is_written_is_read(suffix, tmp_path):
    recording = read_recording(RECORDED[0])
    path = tmp_path / f"again{suffix}"
    write_recording(recording, path)
    assert read_recording(path) == recording


def test_every_way_of_drafting_is_among_them():
    found = [one for one in map(read_recording, RECORDED) if one.config.speculative is not None]
    assert {one.config.speculative.method for one in found} == {"ngram", "eagle3", "mtp", "draft_model"}
    for name in ("async_scheduling", "prefix_caching"):
        assert {getattr(one.config, name) for one in found} == {True, False}
    assert sum(row.preemptions for one in found for row in one.requests) > 40
    # Some steps verify more than one token of a request that has its prompt behind it.
    for one in found:
        assert any(n > 1 and done >= one.inputs[i].prompt_len for step in one.steps for i, n, done in step.items)


def test_answers_are_found_by_the_next_turn_in_some():
    found = [read_recording(path) for path in RECORDED if "turns" in path.name]
    assert {one.config.async_scheduling for one in found} == {True, False}
    assert any(one.config.speculative for one in found)
    assert sum(row.preemptions for one in found for row in one.requests) > 40
    # Among those that begin with an answer, many find more than the prompt before it.
    beyond = 0
    for one in found:
        longest = {}
        for entry, row in sorted(zip(one.inputs, one.requests, strict=True), key=lambda pair: pair[0].arrival):
            beyond += row.cached_tokens > longest.get(entry.prefix_id, entry.prompt_len)
            longest[entry.prefix_id] = entry.prompt_len
    assert beyond > 25
