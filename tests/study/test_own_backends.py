"""Step times, API providers and lines of the bill of one's own, held against what is known of them by itself."""

from __future__ import annotations

import json
import textwrap
from decimal import Decimal
from math import floor
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simulator
from simulator.cost.own_lines import Month
from simulator.errors import SimulatorError
from simulator.experiment.checkpoint import stem
from simulator.performance.clusters import cluster_profile
from simulator.performance.own_step_time import Step, sampled
from simulator.performance.step_time import ProfiledStepTime
from simulator.scenario.patterns import CustomStepTime
from tests.parts import ROOT

FILE = ROOT / "scenarios" / "ci_small.yaml"
CLUSTER = "hosting_patterns.self_hosted.cluster"
API = "hosting_patterns.api.api"
QUICK = {"replications": 1, "band": False, "outlook": False}
SHIPPED = simulator.load_scenario(FILE).hosting_patterns["self_hosted"].cluster


def scenario(changes):
    return simulator.load_scenario(FILE, settings={"horizon.duration": "1d"} | changes)


def own(name, **options):
    return {"kind": "custom", "name": name, "options": options}


def fifty_ms(step):
    return 0.05


def dense_and_attention(step, *, weights_s, token_s, kv_s):
    """Kernels one after the other: their times add up."""
    pairs = sum(new * (before + 0.5 * new) for new, before in step.prompts)
    return max(weights_s, token_s * step.tokens) + kv_s * step.kv_tokens + 1e-9 * pairs


class Steady:
    """Answers at a speed that depends on the prompt."""

    def __init__(self, *, speed=50.0):
        self.speed = speed

    def answer_s(self, now_s, prompt_tokens, output_tokens, share):
        first_s = 0.2 + prompt_tokens / 10_000
        return first_s, first_s + (output_tokens - 1) / self.speed


class PerMinute:
    """So many requests in each minute of the clock."""

    def __init__(self, *, most):
        self.most, self.minute, self.count = most, -1, 0

    def wait_s(self, now_s, prompt_tokens, max_tokens):
        minute = floor(now_s / 60.0)
        return 0.0 if minute != self.minute or self.count < self.most else 60.0 * (minute + 1) - now_s

    def took(self, now_s, end_s, prompt_tokens, output_tokens):
        minute = floor(now_s / 60.0)
        self.count = 1 + (self.count if minute == self.minute else 0)
        self.minute = minute


class Rebate:
    def usd(self, month):
        return -month.others_usd / 10


def above(month, *, free_tokens):
    return max(0.0, month.tokens - free_tokens) / 1e6


def as_code(profile):
    """The sums of a shipped profile, as code of one's own would make them."""
    model = ProfiledStepTime(profile, 600, 4096, enforce_eager=True)
    # Padding is the caller's: without graphs the dense layers see the tokens they are told.
    return lambda step: (
        model.step_s(step.decodes, step.kv_tokens, step.prompts)
        - model._dense_s(step.decodes + sum(new for new, _ in step.prompts))
        + model._dense_s(step.tokens)
    )


def with_step_time(name, **options):
    return SHIPPED.model_copy(update={"step_time": CustomStepTime(kind="custom", name=name, options=options)})


def test_a_shipped_profile_written_as_code_comes_back():
    plain = cluster_profile(SHIPPED)
    with simulator.using(step_times={"again": as_code(plain)}):
        found = sampled(plain, with_step_time("again"))
    assert found.fit_error.max_percent < 0.2
    assert found.label == "estimated"
    ours, theirs = (ProfiledStepTime(one, 256, 2048) for one in (found, plain))
    for step in ((1, 500, []), (37, 60_000, []), (0, 0, [(300, 0)]), (20, 30_000, [(512, 100), (64, 0)])):
        assert ours.step_s(*step) == pytest.approx(theirs.step_s(*step), rel=2e-3)


@settings(max_examples=15)
@given(
    weights_s=st.floats(1e-3, 0.1),
    token_s=st.floats(1e-6, 1e-3),
    kv_s=st.floats(0.0, 1e-6),
    decodes=st.integers(1, 200),
    each=st.integers(1, 8000),
    new=st.integers(1, 1500),
)
def test_what_has_the_form_of_a_profile_is_kept_wherever_it_is_asked(weights_s, token_s, kv_s, decodes, each, new):
    options = {"weights_s": weights_s, "token_s": token_s, "kv_s": kv_s}
    with simulator.using(step_times={"roofline": dense_and_attention}):
        found = sampled(cluster_profile(SHIPPED), with_step_time("roofline", **options))
    model = ProfiledStepTime(found, 256, 2048, enforce_eager=True)
    for prompts in ((), ((new, 100),), ((new, 0), (17, 3000))):
        step = Step(decodes + sum(one for one, _ in prompts), decodes, decodes * each, prompts)
        said = dense_and_attention(step, **options)
        # Between two knots, where the memory's share of the time gives way to the processor's, the line is below.
        assert model.step_s(decodes, step.kv_tokens, prompts) == pytest.approx(said, rel=0.05)


def test_each_token_after_the_first_takes_a_step():
    asked = scenario({f"{CLUSTER}.step_time": own("fifty")})
    rows = simulator.assert_laws(
        asked, patterns="self_hosted", replications=1, extensions={"step_times": {"fifty": fifty_ms}}
    ).requests
    done = rows[rows["outcome"] == "completed"]
    assert len(done) > 100
    seconds = 0.05 * (done["output_tokens"] - 1)
    np.testing.assert_allclose(done["last_token_s"] - done["first_token_s"], seconds, rtol=0.0, atol=1e-6)


def test_answers_take_as_long_as_a_provider_says():
    asked = scenario({f"{API}.provider": own("steady", speed=40.0), f"{API}.network_delay": "30ms"})
    rows = simulator.assert_laws(
        asked, patterns="api", replications=1, extensions={"api_providers": {"steady": Steady}}
    ).requests
    first_s = rows["scheduled_s"] + 0.2 + rows["prompt_tokens"] / 10_000 + 0.03
    np.testing.assert_allclose(rows["first_token_s"], first_s, rtol=0.0, atol=1e-6)
    np.testing.assert_allclose(rows["last_token_s"], first_s + (rows["output_tokens"] - 1) / 40.0, rtol=0.0, atol=1e-6)


def test_a_limit_written_again_admits_the_same_requests():
    """The compiled rate limiter and code that is asked for each call: the same stamps, refusals and retries."""
    few = {f"{API}.retries.longest_retry_after": "10s"}
    limits = {f"{API}.limits": {"requests_per_minute": 2, "request_window": "60s"}}
    shipped = simulator.run(scenario(few | limits), patterns="api", **QUICK).requests
    asked = scenario(few | {f"{API}.limits": {}, f"{API}.provider": own("slow", most=2)})
    rows = simulator.run(asked, patterns="api", **QUICK, extensions={"api_providers": {"slow": PerMinute}}).requests
    assert {"completed", "rejected"} == set(rows["outcome"].astype(str))
    for name in ("scheduled_s", "first_token_s", "attempts"):
        np.testing.assert_array_equal(rows[name], shipped[name])


def test_every_request_meets_the_same_luck_in_every_pattern():
    """A provider draws from the shares it is given, so two patterns are told apart by what they do, not by chance."""

    class Lucky:
        def answer_s(self, now_s, prompt_tokens, output_tokens, share):
            return share[0], share[0] + share[1]

    asked = scenario({f"{API}.provider": own("lucky"), "hosting_patterns.hybrid.api.provider": own("lucky")})
    every = {"hosting_patterns.hybrid.routing": own("last")}
    last = type("Last", (), {"__init__": lambda self, backends: None, "choose": lambda self, one, may: may[-1]})
    found = simulator.run(
        asked.with_overrides(every),
        patterns=["api", "hybrid"],
        **QUICK,
        extensions={"api_providers": {"lucky": Lucky}, "routers": {"last": last}},
    )
    alone, beside = (found.tables.requests(name) for name in ("api", "hybrid"))
    waits = (alone["first_token_s"] - alone["arrival_s"]).to_numpy()
    np.testing.assert_allclose(beside["first_token_s"] - beside["arrival_s"], waits, atol=1e-6)
    # Even on [0, 1): mean 1/2, variance 1/12.
    assert waits.mean() == pytest.approx(0.5, abs=5.0 * (1 / 12 / len(waits)) ** 0.5)


def test_lines_are_what_their_code_says_of_the_month():
    lines = {f"{API}.costs.lines": {"above": own("above", free_tokens=1000)}, f"{API}.provider": own("rebate")}
    asked = scenario(lines | {"prices.vat": "20 %"})
    found = simulator.run(
        asked, patterns="api", **QUICK, extensions={"cost_lines": {"above": above}, "api_providers": {"rebate": Rebate}}
    )
    bill, (usage,) = found.pattern("api").cost_lines_usd, found.pattern("api").usage.apis.values()
    tokens = (usage.prompt_tokens + usage.output_tokens) * 730 / found.pattern("api").usage.hours
    assert bill["api_own_above"] == pytest.approx((tokens - 1000) / 1e6, abs=0.01)
    charged = bill["api_prompt"] + bill["api_cached_prompt"] + bill["api_output"]
    assert bill["api_own_provider"] == pytest.approx(-charged / 10, abs=0.01)
    assert bill["api_vat"] == pytest.approx(0.2 * sum(usd for key, usd in bill.items() if key != "api_vat"), abs=0.02)
    assert found.pattern("api").monthly_cost_usd.mean == pytest.approx(sum(bill.values()), abs=0.03)


def test_a_line_needs_no_new_simulation_and_other_step_times_do():
    plain = scenario({})
    with simulator.using(
        cost_lines={"above": above},
        step_times={"a": fifty_ms, "b": lambda step: 0.06},
        api_providers={"steady": Steady},
    ):
        lined = scenario({f"{API}.costs.lines": {"above": own("above", free_tokens=1)}})
        assert stem(lined, "api") == stem(plain, "api")
        stems = [stem(scenario({f"{CLUSTER}.step_time": own(name)}), "self_hosted") for name in "ab"]
        assert len({*stems, stem(plain, "self_hosted")}) == 3
        assert stem(scenario({f"{API}.provider": own("steady")}), "api") != stem(plain, "api")


@pytest.mark.slow
def test_a_package_may_offer_all_three_and_the_run_says_so(tmp_path, monkeypatch):
    (tmp_path / "clinic_code.py").write_text(
        textwrap.dedent("""
            def slow(step):
                return 0.1

            def fee(month):
                return 7 * month.gpus

            class Fast:
                def answer_s(self, now_s, prompt_tokens, output_tokens, share):
                    return 0.1, 0.2
        """)
    )
    meta = tmp_path / "clinic_code-1.0.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: clinic-code\nVersion: 1.0\n")
    (meta / "entry_points.txt").write_text(
        "[simulator.step_times]\nslow = clinic_code:slow\n[simulator.cost_lines]\nfee = clinic_code:fee\n"
        "[simulator.api_providers]\nfast = clinic_code:Fast\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    changes = {
        f"{CLUSTER}.step_time": own("slow"),
        "hosting_patterns.self_hosted.costs.lines": {"fee": own("fee")},
        f"{API}.provider": own("fast"),
    }
    found = simulator.run(scenario(changes), patterns=["api", "self_hosted"], **QUICK)
    rows = found.requests[found.requests["pattern"] == "api"]
    assert (rows["e2e_s"] - 0.2).abs().max() < 1e-6
    assert found.pattern("self_hosted").cost_lines_usd["own_fee"] == 7.0
    care = "\n".join(found.decision.take_care)
    assert "self_hosted: cluster.step_time is code of one's own (step-time model clinic_code.slow)" in care
    found.save(tmp_path / "run")
    said = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert {one["code"] for one in said["extensions"].values()} == {
        f"clinic_code.{name}" for name in ("slow", "fee", "Fast")
    }
    assert any("clinic_code.slow" in profile["provenance"].get("code", "") for profile in said["profiles"].values())


@pytest.mark.parametrize(
    ("changes", "extensions", "said"),
    [
        ({f"{CLUSTER}.step_time": own("x")}, {}, "no step-time model 'x'; expected one of: none"),
        (
            {f"{CLUSTER}.step_time": own("x")},
            {"step_times": {"x": lambda step: -1.0}},
            "self_hosted.cluster.step_time: the step-time model 'x' gave -1.0 for Step(",
        ),
        (
            {f"{CLUSTER}.step_time": own("x")},
            {"step_times": {"x": lambda step: max(1e-4 * step.tokens, 1e-7 * step.kv_tokens)}},
            "the step-time model 'x' has not the form of a profile",
        ),
        (
            {f"{API}.provider": own("x")},
            {"api_providers": {"x": object}},
            "the API provider 'x' has none of wait_s, took, answer_s, usd",
        ),
        (
            {f"{API}.provider": own("x", speed="fast", colour="red")},
            {"api_providers": {"x": Steady}},
            "got an unexpected keyword argument 'colour'",
        ),
        (
            {f"{API}.provider": own("x", speed=-1.0)},
            {"api_providers": {"x": Steady}},
            "must give seconds to the first and to the last token",
        ),
        *(
            (
                {f"{API}.provider": own("x")},
                {
                    "api_providers": {
                        "x": lambda method=method, wrong=wrong: SimpleNamespace(**{method: lambda *_: wrong})
                    }
                },
                f"{method} of the API provider 'x' must give seconds",
            )
            for method, wrong in (
                ("answer_s", None),
                ("answer_s", 2.0),
                ("answer_s", (1.0, 2.0, 3.0)),
                ("answer_s", ("soon", "later")),
                ("answer_s", (2.0, 1.0)),
                ("wait_s", None),
                ("wait_s", "a while"),
                ("wait_s", float("nan")),
            )
        ),
        (
            {f"{API}.deployment": {"kind": "priority"}, f"{API}.provider": own("x")},
            {"api_providers": {"x": Steady}},
            "goes with standard deployment only, not with a priority one",
        ),
        (
            {f"{API}.costs.lines": {"l": own("x")}},
            {"cost_lines": {"x": lambda month: float("inf")}},
            "the cost line 'x' must give USD a month, not inf",
        ),
        (
            {f"{API}.costs.lines": {"l": own("x")}},
            {"cost_lines": {"x": lambda month: "much"}},
            "the cost line 'x' must give USD a month, not 'much'",
        ),
    ],
)
def test_what_is_wrong_with_one_is_said(changes, extensions, said):
    with pytest.raises(SimulatorError) as fault:
        simulator.run(scenario(changes), patterns=["api", "self_hosted"], **QUICK, extensions=extensions)
    assert said in str(fault.value)


@pytest.mark.parametrize("pattern", ["api", "self_hosted"])
def test_a_credit_gives_back_no_more_than_there_is_to_pay(pattern):
    """And says what of it is lost, as a wrong sign looks like one too."""
    costs = f"{API}.costs" if pattern == "api" else "hosting_patterns.self_hosted.costs"
    lines = {"credit": own("credit"), "other": own("other"), "fee": own("fee")}
    given = {"credit": lambda _: -1e6, "fee": lambda _: 40.0, "other": lambda month: -0.25 * float(month.others_usd)}
    extensions = {"cost_lines": given}
    paid = simulator.run(scenario({}), patterns=pattern, **QUICK).pattern(pattern).cost_usd
    results = simulator.run(scenario({f"{costs}.lines": lines}), patterns=pattern, **QUICK, extensions=extensions)
    found = results.pattern(pattern)
    before = "" if pattern == "self_hosted" else "api_"
    assert found.cost_usd == 0
    bill = {key.removeprefix(before): usd for key, usd in found.cost_lines_usd.items()}
    assert bill["own_fee"] == 40
    assert bill["own_credit"] == pytest.approx(-paid - 40, abs=0.02)
    assert bill["own_other"] == 0
    (said,) = [text for text in results.decision.take_care if "a month are lost" in text and "credit" in text]
    lost = 1e6 - paid - 40
    assert f"{before}own_credit gives back more than there is to pay: {lost:,.0f} USD a month are lost" in said


@pytest.mark.parametrize(("beyond", "told"), [("0.01", True), ("0.0099", False), ("0", False)])
def test_a_cent_that_is_lost_is_told(beyond, told):
    given = {"credit": lambda month: -month.others_usd - Decimal(beyond)}
    asked = scenario({f"{API}.costs.lines": {"credit": own("credit")}})
    results = simulator.run(asked, patterns="api", **QUICK, extensions={"cost_lines": given})
    assert any("are lost" in text for text in results.decision.take_care) is told


def test_a_month_adds_up_what_else_there_is():
    assert Month(730.0, 0.0).others_usd == 0
    assert Month(730.0, 0.0, usd={"rental": Decimal("1.5"), "staff": Decimal(2)}).others_usd == Decimal("3.5")
