from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from simulator.bench import validate
from simulator.bench.measurements import read_measurements
from simulator.bench.repeats import repeats_of
from simulator.bench.validate import by_group, compare, compare_all, engine_settings, find_profile, with_room
from simulator.bench.validation_report import document, kind_of
from simulator.engine.vllm.plan import plan_of
from simulator.errors import ProfileError
from simulator.performance.memory import measure_capacity
from simulator.performance.profile import read_profile
from simulator.scenario.patterns import EngineSettings
from tests.bench.test_measurements import write
from tests.cli.command import run

MODEL = "llama-3.1-8b-bf16-a100-80gb-x1"


def experiment_of(path, *changes):
    return read_measurements(write(path, *changes), ["A"]).experiments[0]


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_a_server_that_is_slower_by_a_known_factor_is_found_so(factor, tmp_path):
    """Measure our own simulation, scale it, and the error must be that factor: nothing in between bends it."""
    quiet = {"rate_rps": "0.2", "duration_s": "600"}
    experiment = experiment_of(tmp_path / "m.csv", quiet)
    truth = compare(experiment, read_profile(MODEL), 1)[0].simulated
    change = {"itl_server_ms": f"{truth['itl_mean_s'] * 1e3 * factor}", "e2e_mean_ms": f"{truth['e2e_mean_s'] * 1e3}"}
    row = compare(experiment_of(tmp_path / "m.csv", quiet | change), read_profile(MODEL), 1)[0]
    assert row.error("itl_mean_s") == pytest.approx(1 / factor - 1, rel=1e-9)
    assert row.error("e2e_mean_s") == pytest.approx(0.0, abs=1e-9)
    assert row.in_band("e2e_mean_s")
    assert not row.in_band("itl_mean_s")
    assert not row.saturated
    # The engine starts up in stage 0: its tail is not compared.
    assert "e2e_p99_s" not in row.metrics()


def test_a_later_stage_alone_finds_a_warm_cache(tmp_path):
    stage = {"id": "a-s1", "stage": "1", "rate_rps": "4", "duration_s": "60"}
    both = compare(experiment_of(tmp_path / "a.csv", {}, stage), read_profile(MODEL), 1)[1]
    alone = compare(experiment_of(tmp_path / "b.csv", stage), read_profile(MODEL), 1)[0]
    assert alone.simulated["ttft_mean_s"] == pytest.approx(both.simulated["ttft_mean_s"], rel=0.05)
    assert "e2e_p99_s" in alone.metrics()


def test_load_is_what_the_harness_sends(tmp_path, monkeypatch):
    """Rate x duration requests in each stage, and its hundred prompts in turn."""
    sent = []

    def serve(settings, plan, table):
        sent.append(table)
        return real(settings, plan, table)

    real = validate.serve
    monkeypatch.setattr(validate, "serve", serve)
    second = {"id": "a-s1", "stage": "1", "rate_rps": "4", "duration_s": "70"}
    compare(experiment_of(tmp_path / "m.csv", {"rate_rps": "2.5", "duration_s": "60"}, second), read_profile(MODEL), 2)
    for table in sent:
        assert np.count_nonzero(table.arrival_s < 60.0) == 150
        assert np.count_nonzero(table.arrival_s >= 60.0) == 280
        assert np.all(np.diff(table.arrival_s) >= 0.0)
        expected = [*range(100), *range(50), *range(100), *range(100), *range(80)]
        assert table.prefix_id.tolist() == expected
    assert not np.array_equal(sent[0].arrival_s, sent[1].arrival_s)


def test_a_profile_is_found_by_shape_and_ones_own_comes_first(tmp_path):
    experiment = experiment_of(tmp_path / "m.csv", {"model": "meta-llama/Meta-Llama-3-8B-Instruct"})
    shipped = [read_profile(MODEL)]
    assert find_profile(experiment, (), shipped).id == MODEL
    own = shipped[0].model_copy(update={"id": "own"})
    assert find_profile(experiment, [own], shipped).id == "own"
    unknown = experiment_of(tmp_path / "m.csv", {"model": "Mine/Own-8B"})
    with pytest.raises(ProfileError, match="simulator profile build --model CONFIG.json --gpu a100-80gb"):
        find_profile(unknown, (), shipped)
    named = own.model_copy(update={"model": own.model.model_copy(update={"name": "own-8b", "layers": 33})})
    assert find_profile(unknown, [named], shipped) is named


def test_settings_are_the_server_s_or_vllm_s_for_the_board(tmp_path):
    lean = {"max_num_seqs": "", "max_num_batched_tokens": "", "gpu": "H100-80GB-SXM", "kv_blocks": "12000"}
    settings = engine_settings(experiment_of(tmp_path / "m.csv", lean))
    assert (settings.max_num_seqs, settings.max_num_batched_tokens, settings.num_gpu_blocks) == (1024, 8192, 12000)
    assert plan_of(read_profile(MODEL), settings).num_gpu_blocks == 12000


def test_the_command_reports_errors_groups_and_what_it_left_out(tmp_path, capsys):
    path = write(tmp_path / "m.csv", {}, {"id": "b", "stage": "summary"}, {"id": "c-s0", "model": "Mine/Own-8B"})
    arguments = ["bench", "validate", "--measurements", str(path), "--replications", "1", "--quiet"]
    code, out, _ = run([*arguments, "--json"], capsys)
    found = json.loads(out)
    assert code == 0
    (case,) = found["cases"]
    assert case["id"] == "a-s0"
    # Alone on the server, a request takes as much longer as its steps do.
    assert 0.9 < case["leverage"] < 1.5
    metric = case["metrics"]["itl_mean_s"]
    assert metric["error_percent"] == pytest.approx(100 * (metric["simulated"] / metric["measured"] - 1), abs=0.01)
    headline = found["median_absolute_error"]
    assert list(headline) == ["ttft_mean", "ttft_p99", "itl_mean", "e2e_mean", "e2e_p99"]
    assert headline["itl_mean"] == pytest.approx(abs(metric["error_percent"]) / 100, abs=1e-4)
    assert sorted(row for rows in found["not_replayed"].values() for row in rows) == ["b", "c-s0"]
    page = tmp_path / "v.html"
    code, out, err = run([*arguments, "--plot", str(page)], capsys)
    assert code == 0
    for part in ("open, unsaturated", "best published simulators", "not replayed, 1 rows"):
        assert part in out
    assert 'src="http' not in page.read_text()


def test_rows_far_off_are_held_against_runs_of_the_same(tmp_path, capsys):
    """Three runs of one thing, one of them slow, and a lone run of another load that is slow as well."""
    quiet = {"rate_rps": "0.2", "duration_s": "600"}
    truth = compare(experiment_of(tmp_path / "m.csv", quiet), read_profile(MODEL), 1)[0].simulated["e2e_mean_s"]

    def run_of(name, factor, **changes):
        return quiet | {"id": f"{name}-s0", "e2e_mean_ms": f"{1e3 * truth * factor}"} | changes

    rows = (
        run_of("a", 0.9), run_of("b", 1.02, max_num_batched_tokens="8192"), run_of("slow", 1.25),
        run_of("alone", 1.25, rate_rps="0.1"),
    )  # fmt: skip
    path = write(tmp_path / "n.csv", *rows)
    arguments = ["bench", "validate", "--measurements", str(path), "--replications", "1", "--quiet"]
    code, out, _ = run([*arguments, "--json"], capsys)
    assert code == 0
    found = json.loads(out)
    cases = {case["id"]: case["metrics"]["e2e_mean_s"]["repeats"] for case in found["cases"]}
    assert cases["alone-s0"] is None
    assert cases["slow-s0"] == cases["a-s0"] == cases["b-s0"]
    expected = {"runs": 3, "lowest": 0.9 * truth, "median": 1.02 * truth, "highest": 1.25 * truth}
    assert {key: cases["slow-s0"][key] for key in expected} == pytest.approx(expected)
    assert cases["slow-s0"]["within"]
    assert sorted(found["far_off"]["cases"]) == ["alone-s0", "slow-s0"]
    assert found["far_off"]["within_repeats"] == ["slow-s0"]
    code, out, _ = run(arguments, capsys)
    assert code == 0
    assert "2 of 4 rows in which nothing queues are more than 12 % off end to end" in out
    text = " ".join(out.split())
    assert re.search(r"alone-s0 -\d+\.\d %: no other run of the same", text)
    assert re.search(r"slow-s0 -\d+\.\d %: within the .* s of 3 runs of the same, itself among them", text)


def test_a_simulation_that_no_run_of_the_same_reaches_is_outside(tmp_path):
    rows = {"e2e_mean_ms": "1"}, {"id": "b-s0", "e2e_mean_ms": "2"}
    found, _ = compare_all(read_measurements(write(tmp_path / "m.csv", *rows), ["A"]).experiments, replications=1)
    repeats = repeats_of(found[0], found, "e2e_mean_s")
    assert (repeats.lowest, repeats.median, repeats.highest) == pytest.approx((0.001, 0.0015, 0.002))
    assert not repeats.hold(found[0].simulated["e2e_mean_s"])


def test_nothing_to_compare_is_an_error(tmp_path, capsys):
    path = write(tmp_path / "m.csv", {"model": "Mine/Own-8B"})
    code, _, err = run(["bench", "validate", "--measurements", str(path), "--quiet"], capsys)
    assert code == 2
    assert "nothing could be compared" in err


@pytest.mark.needs("kernel tables")
def test_profiles_that_do_not_ship_are_derived_when_asked_for(tmp_path, capsys):
    rows = {"model": "01-ai/Yi-34B", "tp": "2"}, {"id": "b-s0", "model": "Mine/Own-8B"}
    path = write(tmp_path / "m.csv", *rows)
    arguments = ["bench", "validate", "--measurements", str(path), "--replications", "1", "--quiet", "--json"]
    code, out, _ = run([*arguments, "--derive"], capsys)
    found = json.loads(out)
    assert code == 0
    assert [row["profile"] for row in found["cases"]] == ["yi-34b-bf16-a100-80gb-x2"]
    assert "no known model" in next(iter(found["not_replayed"]))


def test_a_server_that_ran_had_room():
    """Qwen3-32B on one H100 with 1,024 seats has no room for 32,000 tokens, unless it samples without a sort."""
    profile = read_profile("qwen3-32b-bf16-h100-80gb-x1")
    settings = EngineSettings(max_model_len=32_100, vllm_version="0.11.0", gpu_memory_utilisation=0.9).on("h100-80gb")
    roomy = with_room(settings, profile)
    assert measure_capacity(profile, settings).requests < 1 <= measure_capacity(profile, roomy).requests
    shorter = settings.model_copy(update={"max_model_len": 8192})
    assert with_room(shorter, profile) is shorter


SINGLE = {"stage": "single", "rate_rps": "", "n_requests": "5", "notes": "", "prefix_caching": "off"}


def test_one_at_a_time_takes_what_its_steps_take(tmp_path):
    """A prompt, then 19 decodes, each with a token more of context: summed by hand from the step times."""
    profile = read_profile(MODEL)
    experiment = experiment_of(tmp_path / "m.csv", SINGLE)
    plan = plan_of(profile, engine_settings(experiment))
    prompt = experiment.prompt_tokens
    prefill_s = plan.step_time.step_s(0, 0, [(prompt, 0)])
    decodes_s = sum(plan.step_time.step_s(1, prompt + number, []) for number in range(1, 20))
    before_s = plan.frontend_base_s + plan.frontend_per_prompt_token_s * prompt + plan.output_s
    (row,) = compare(experiment, profile, 1)
    assert row.simulated["ttft_mean_s"] == pytest.approx(before_s + prefill_s, rel=1e-9)
    assert row.simulated["e2e_mean_s"] == pytest.approx(before_s + prefill_s + decodes_s, rel=1e-9)
    assert row.simulated["requests_per_s"] == pytest.approx(1 / row.simulated["e2e_mean_s"], rel=1e-9)


def test_a_rate_with_a_cap_is_between_a_rate_and_a_closed_loop(tmp_path):
    """A cap that is never reached changes nothing; at a rate beyond all that can be served a closed loop is left."""
    plain = {"notes": "", "prefix_caching": "off", "output_len_spec": "8"}
    quiet = plain | {"stage": "even", "rate_rps": "0.5", "duration_s": "8"}
    flood = quiet | {"rate_rps": "400", "duration_s": "0.06", "concurrency": "4"}
    closed = plain | {"stage": "closed", "rate_rps": "", "n_requests": "24", "concurrency": "4"}
    free, never, capped, clients = (
        compare(experiment_of(tmp_path / "m.csv", one), read_profile(MODEL), 1)[0]
        for one in (quiet, quiet | {"concurrency": "9"}, flood, closed)
    )
    assert never.simulated == pytest.approx(free.simulated, rel=1e-9)
    assert capped.simulated["output_tokens_per_s"] == pytest.approx(clients.simulated["output_tokens_per_s"], rel=0.05)
    # Little's law: four are under way all the time but for the end.
    busy = clients.simulated["requests_per_s"] * clients.simulated["e2e_mean_s"]
    assert busy == pytest.approx(4, rel=0.05)


def test_even_gaps_spread_lengths_and_groups_are_sent(tmp_path):
    even = {"stage": "even", "rate_rps": "5", "duration_s": "400", "prompt_len_sigma": "0.4", "output_len_sigma": "0.2"}
    experiment = experiment_of(tmp_path / "m.csv", even | {"notes": "prompts repeat (10 groups x 10)"})
    rng = np.random.default_rng(1)
    gaps = validate._arrivals(experiment.stages[0], True, rng)
    assert gaps == pytest.approx(np.arange(2000) / 5)
    table = validate.load(experiment, [gaps], rng)
    assert table.output_tokens.mean() == pytest.approx(20, rel=0.02)
    assert np.log(table.output_tokens).std() == pytest.approx(0.2, abs=0.03)
    # A prompt that comes again is as long as it was.
    assert (table.prompt_tokens[:100] == table.prompt_tokens[100:200]).all()
    assert len(set(table.prompt_tokens[:100].tolist())) > 50
    groups = [table.nesting.outer(one) for one in table.prefix_id[:100].tolist()]
    assert len(set(groups)) == 10
    assert {tokens for ((_, tokens),) in groups} == {105}


def test_settings_are_those_of_the_columns(tmp_path):
    stated = {"gpu_memory_utilization": "0.7", "prefix_caching": "off", "kv_dtype": "fp8", "eager": "true",
              "long_prefill_token_threshold": "300"}  # fmt: skip
    settings = engine_settings(experiment_of(tmp_path / "m.csv", stated))
    assert (settings.gpu_memory_utilisation, settings.prefix_caching, settings.kv_cache_dtype) == (0.7, False, "fp8")
    assert (settings.enforce_eager, settings.long_prefill_token_threshold) == (True, 300)


@pytest.mark.parametrize(("experts", "label", "kind"), [
    (1, "estimated", "open, unsaturated"), (8, "estimated", "open, mixture of experts"),
    (8, "measured", "open, mixture of experts"), (1, "derived", "open, unsaturated"),
])  # fmt: skip
def test_a_mixture_is_told_by_its_experts_and_not_by_its_label(experts, label, kind, tmp_path):
    row = compare(experiment_of(tmp_path / "m.csv", {"rate_rps": "0.2"}), read_profile(MODEL), 1)[0]
    assert kind_of(replace(row, experts=experts, label=label)) == kind


def test_a_model_with_windows_holds_as_many_requests_as_fit_where_no_prompt_comes_again(tmp_path):
    """MedGemma-27B on one H100, sixty prompts of 6,000 tokens at once: with windows that never close few fit."""
    profile = read_profile("medgemma-27b-bf16-h100-80gb-x1")
    row = {"stage": "burst", "rate_rps": "", "n_requests": "60", "prompt_len_mean": "6000", "output_len_mean": "200",
           "kv_blocks": "", "notes": ""}  # fmt: skip
    again, different = (experiment_of(tmp_path / "m.csv", row | {"repeating": said}) for said in ("60", "false"))
    kept, without = (by_group(engine_settings(one), one, profile) for one in (again, different))
    assert (kept.prefix_caching, without.prefix_caching) == (True, False)
    few, many = (measure_capacity(profile, settings) for settings in (kept, without))
    assert (few.by_group, many.by_group) == (False, True)
    assert many.requests > 1.5 * few.tokens / few.max_model_len
    plain = read_profile(MODEL)
    assert by_group(engine_settings(different), different, plain).prefix_caching


def test_each_family_of_models_has_its_errors_those_of_crowds_apart(tmp_path):
    """Three rows of two families: errors by hand, and none is in two places or lost."""
    row = compare(experiment_of(tmp_path / "m.csv", {"rate_rps": "0.2"}), read_profile(MODEL), 1)[0]
    rows = [row, replace(row, saturated=True), replace(row, family="Mixtral", experts=8)]
    found = {one["name"]: one for one in document(rows, {})["groups"] if one["name"].startswith("family")}
    own = f"family {row.family}"
    assert {name: one["rows"] for name, one in found.items()} == {
        own: 1, f"{own}, queueing or bursts": 1, "family Mixtral": 1,
    }  # fmt: skip
    assert found[own]["errors"]["e2e_mean_s"]["median_percent"] == pytest.approx(
        100 * abs(row.error("e2e_mean_s")), abs=0.06
    )


def test_clients_have_a_median_of_their_own(tmp_path):
    open_row = compare(experiment_of(tmp_path / "m.csv", {"rate_rps": "0.2"}), read_profile(MODEL), 1)[0]
    alone = compare(experiment_of(tmp_path / "m.csv", SINGLE), read_profile(MODEL), 1)[0]
    found = document([open_row, alone], {})
    assert found["median_absolute_error"]["e2e_mean"] == pytest.approx(abs(open_row.error("e2e_mean_s")), abs=1e-4)
    assert found["clients_median_absolute_error"]["e2e_mean"] == pytest.approx(abs(alone.error("e2e_mean_s")), abs=1e-4)
    assert kind_of(alone) == "one at a time"
