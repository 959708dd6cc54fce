"""What is changed, undone and saved, without a page."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.errors import ScenarioError, SimulatorError
from simulator.experiment.checks import load_checked
from simulator.scenario.loading import load_scenario
from simulator.scenario.yaml_source import parse_settings
from simulator.studio.controls import controls_of
from simulator.studio.saving import difference, save, saved_text
from simulator.studio.session import Session
from tests.fuzz.faults import Disk, Killed
from tests.parts import SCENARIOS

HEALTH = Session.opened(SCENARIOS / "health_system.yaml")
SCANS = ("workloads", "radiology_anomaly", "volume", "scans_per_month")
TTFT = ("workloads", "patient_messages", "objectives", "ttft")
REPLICAS = ("hosting_patterns", "self_hosted_on_premises", "cluster", "replicas")
SHARE = ("hosting_patterns", "hybrid", "costs", "staff", "1", "share")
TOKENS = ("prices", "overrides", "bedrock/llama-3.3-70b", "output")
GOOD = {
    SCANS: ("30000", "60000.5"),
    TTFT: ("900ms", "", "3s"),
    REPLICAS: ("2", "5"),
    SHARE: ("30 %", "0.2"),
    TOKENS: ("0.9 USD/1M tokens", "1.1 USD/1M tokens"),
    ("hosting_patterns", "hybrid", "routing", "kind"): ("least_loaded", "slo_aware"),
    ("constraints", "monthly_cost_at_most"): ("9000 USD/month", ""),
    ("prices", "discount_rate"): ("5 %", ""),
}
CHANGES = st.sampled_from([(key, text) for key, texts in GOOD.items() for text in texts])


@settings(max_examples=3)
@given(st.lists(CHANGES, min_size=1, max_size=4), st.data())
def test_undoing_and_redoing_lead_back(changes, data):
    session = HEALTH
    for key, text in changes:
        session = session.changed({key: text})
        assert not session.faults
    back = data.draw(st.integers(1, max(1, len(session.past))))
    moved = session
    for _ in range(back):
        moved = moved.undone()
    for _ in range(back):
        moved = moved.redone()
    assert (moved.changes, moved.scenario.sha256) == (session.changes, session.scenario.sha256)
    for _ in session.past:
        moved = moved.undone()
    assert (moved.changes, moved.scenario.sha256) == ({}, HEALTH.scenario.sha256)


@settings(max_examples=3)
@given(st.lists(CHANGES, min_size=1, max_size=4))
def test_what_is_saved_is_the_session_and_says_only_what_was_changed(tmp_path_factory, changes):
    session = HEALTH
    for key, text in changes:
        session = session.changed({key: text})
    folder = tmp_path_factory.mktemp("saved")
    target = folder / "changed.yaml"
    save(session, target)
    found = load_checked(target, must_fit=False)
    assert found.sha256 == session.scenario.sha256
    assert found.model_dump() == session.scenario.model_dump()
    # Lists, and mappings of another kind, are written whole; beyond them, nothing that was not changed.
    written = {line.split(":")[0].strip() for line in target.read_text("utf-8").splitlines()[1:]} - {"extends"}
    touched = {part for key in session.changes for part in key}
    purchase = {"costs", "compute", "for_gpus"} if REPLICAS in session.changes else set()
    staff = {"- role", "salary"} if SHARE in session.changes else set()
    routing = {"timeout"} if any(key[-1] == "kind" for key in session.changes) else set()
    assert written <= touched | purchase | staff | routing


@settings(max_examples=3)
@given(st.lists(CHANGES, min_size=1, max_size=4, unique_by=lambda one: one[0]))
def test_it_is_what_the_command_line_makes_of_the_same_settings(changes):
    changes = [(key, text) for key, text in changes if text and key != TOKENS]
    session = HEALTH.changed(dict(changes)) if changes else HEALTH
    given_settings = parse_settings(f"{'.'.join(key)}={text}" for key, text in changes)
    assert session.scenario.sha256 == load_scenario(SCENARIOS / "health_system.yaml", settings=given_settings).sha256


def test_what_says_what_the_file_says_is_no_change():
    session = HEALTH.changed({SCANS: "45_000"}).changed({TTFT: "2s"})
    assert not session.changes
    assert not session.past
    session = HEALTH.changed({SCANS: "50000"}).changed({SCANS: "45000"})
    assert not session.changes
    assert len(session.past) == 2


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (TTFT, "2"),
        (TTFT, "soon"),
        (SCANS, "-5"),
        (SCANS, "many"),
        (SCANS, "[1, 2"),
        (REPLICAS, "1.5"),
        (REPLICAS, "0"),
        (SHARE, "30"),
        (TOKENS, "3 EUR/1M tokens"),
        (("hosting_patterns", "hybrid", "cluster", "gpu"), "H100"),
        (("hosting_patterns", "hybrid", "cluster", "tensor_parallel"), "3"),
        (("hosting_patterns", "api_llama", "api", "model"), "bedrock/llama-33-70b"),
    ],
)
def test_a_wrong_value_has_the_fault_of_the_command_line_and_the_last_good_state_stays(key, text):
    good = HEALTH.changed({SCANS: "50000"})
    session = good.changed({key: text})
    assert session.scenario.sha256 == good.scenario.sha256
    assert list(session.faults) == [key]
    if key != TOKENS:  # which --set cannot name
        with pytest.raises(ScenarioError) as refused:
            load_checked(
                SCENARIOS / "health_system.yaml",
                settings=parse_settings([f"{'.'.join(SCANS)}=50000", f"{'.'.join(key)}={text}"]),
                must_fit=False,
            )
        for fault in refused.value.faults:
            assert fault.message in session.faults[key]
    assert session.undone().faults == {}
    assert session.undone().scenario.sha256 == good.scenario.sha256


def test_values_that_are_right_only_together_are_taken_together():
    """No profile has this GPU with the old weight format; with the new one there is."""
    gpu = ("hosting_patterns", "self_hosted_rental", "cluster", "gpu")
    weights = (*gpu[:-1], "quantisation")
    half = HEALTH.changed({gpu: "h200"})
    assert half.faults
    assert half.scenario.sha256 == HEALTH.scenario.sha256
    other = half.changed({SCANS: "50000"})
    assert other.scenario.workloads["radiology_anomaly"].volume.scans_per_month == 50000
    assert list(other.faults) == [gpu]
    whole = other.changed({weights: "fp8"})
    assert not whole.faults
    assert whole.scenario.hosting_patterns["self_hosted_rental"].cluster.gpu == "h200"


def test_variants_are_gone_back_to_in_one_step():
    session = HEALTH.changed({REPLICAS: "2"}).named("two").changed({REPLICAS: "3"}).changed({SCANS: "9000"})
    two = session.taken("two")
    assert two.changes == {REPLICAS: "2"}
    assert two.undone().changes == session.changes
    assert "two" not in two.dropped("two").variants


def test_nothing_is_written_over_and_nothing_broken_is_opened(tmp_path):
    source = tmp_path / "own.yaml"
    source.write_text((SCENARIOS / "ci_small.yaml").read_text("utf-8"), encoding="utf-8")
    session = Session.opened(source)
    with pytest.raises(SimulatorError, match="File exists"):
        save(session, source, last=source.read_text("utf-8"))
    other = tmp_path / "other.yaml"
    other.write_text("mine", encoding="utf-8")
    with pytest.raises(SimulatorError, match="File exists"):
        save(session, other)
    assert other.read_text("utf-8") == "mine"
    last = save(session, tmp_path / "new.yaml")
    last = save(session.reset(), tmp_path / "new.yaml", last=last)
    (tmp_path / "new.yaml").write_text(last + "name: by hand\n", encoding="utf-8")
    with pytest.raises(SimulatorError, match="was changed since it was saved here"):
        save(session, tmp_path / "new.yaml", last=last)
    assert (tmp_path / "new.yaml").read_text("utf-8").endswith("name: by hand\n")
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: x\nhorizon: {}\n", encoding="utf-8")
    with pytest.raises(ScenarioError):
        Session.opened(broken)


def test_what_is_saved_is_what_is_shown_though_the_file_was_changed_meanwhile(tmp_path):
    source = tmp_path / "own.yaml"
    source.write_text(f"extends: {SCENARIOS / 'ci_small.yaml'}\nexperiment: {{seed: 1}}\n", encoding="utf-8")
    session = Session.opened(source).changed({("experiment", "seed"): "2"})
    source.write_text(source.read_text("utf-8") + "horizon: {duration: 3h}\nname: other\n", encoding="utf-8")
    save(session, tmp_path / "new.yaml")
    assert load_scenario(tmp_path / "new.yaml").resolved == session.scenario.resolved
    source.unlink()
    with pytest.raises(SimulatorError, match="own.yaml"):
        save(session, tmp_path / "newer.yaml")
    assert not (tmp_path / "newer.yaml").exists()


@pytest.mark.parametrize("name", ["\ud800.yaml", "a\0b.yaml", "n" * 300, "missing/x.yaml", "loop/x.yaml", "loop", ""])
def test_odd_places_are_refused_and_the_next_try_is_heard(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    session = Session.opened(SCENARIOS / "ci_small.yaml")
    with pytest.raises(SimulatorError, match="cannot be written"):
        save(session, Path(name))
    save(session, tmp_path / "new.yaml")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loop", "new.yaml"]


def test_of_two_who_save_at_once_one_is_told(tmp_path, monkeypatch):
    """The other comes between the look and the writing."""
    session, real = Session.opened(SCENARIOS / "ci_small.yaml"), os.link

    def link(draft, place):
        monkeypatch.setattr(os, "link", real)
        save(session, Path(place))
        real(draft, place)

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(SimulatorError, match="File exists"):
        save(session.changed({("experiment", "seed"): "9"}), tmp_path / "new.yaml")
    assert [path.name for path in tmp_path.iterdir()] == ["new.yaml"]
    assert load_scenario(tmp_path / "new.yaml").resolved == session.scenario.resolved


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_law_whatever_step_of_saving_fails_the_next_one_is_whole(tmp_path):
    """Each write, name and sync of it: nothing half-written is left, and nothing that could not be saved is there."""
    session = Session.opened(SCENARIOS / "ci_small.yaml")
    wanted = saved_text(session, tmp_path / "new.yaml")
    with Disk(tmp_path) as disk:
        save(session, tmp_path / "new.yaml")
    assert {"create", "write", "link", "fsync"} <= set(disk.seen)
    for at, name in enumerate(disk.seen):
        for kind in ("fail", "full", "kill"):
            (tmp_path / "new.yaml").unlink()
            with suppress(SimulatorError, Killed), Disk(tmp_path, kind, at):
                save(session, tmp_path / "new.yaml")
            there = (tmp_path / "new.yaml").exists()
            assert not there or (tmp_path / "new.yaml").read_text("utf-8") == wanted, (kind, name)
            assert kind == "kill" or name == "unlink" or not [*tmp_path.glob(".*")], (kind, name)
            save(session, tmp_path / "new.yaml", last=wanted if there else None)
            assert (tmp_path / "new.yaml").read_text("utf-8") == wanted
            for left in tmp_path.glob(".*"):
                left.unlink()


def test_a_saved_file_extends_from_wherever_it_lies(tmp_path):
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    text = saved_text(HEALTH, below / "x.yaml")
    base = next(line for line in text.splitlines() if line.startswith("extends: ")).removeprefix("extends: ")
    assert (below / base).resolve() == (SCENARIOS / "health_system.yaml").resolve()


VALUES = st.recursive(
    st.none() | st.integers(0, 3) | st.text("ab", max_size=1),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("pqr"), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from("xyz"), VALUES), st.dictionaries(st.sampled_from("xyz"), VALUES))
def test_a_difference_laid_over_gives_the_other(below, above):
    from simulator.scenario.merging import merge
    from simulator.scenario.yaml_source import Document

    def whole(value):
        """Without null, which no scenario has: it removes."""
        if isinstance(value, dict):
            return {name: whole(one) for name, one in value.items() if one is not None}
        return [whole(one) for one in value if one is not None] if isinstance(value, list) else value

    below, above = whole(below), whole(above)
    document = Document(below, {(): ("file", 1)})
    merge(document, Document(difference(below, above), {(): ("file", 1)}))
    assert document.data == above


@pytest.mark.parametrize(
    "file",
    [SCENARIOS / f"{name}.yaml" for name in ("ci_small", "recorded_clinic", "health_system_rollout")],
    ids=lambda path: path.stem,
)
def test_every_control_says_what_the_scenario_says(file):
    """To give every control its own value again changes nothing that is simulated or billed."""
    session = Session.opened(file)
    found = controls_of(session.scenario)
    assert len({one.key for one in found}) == len(found) > 10
    written = {one.key: one.value for one in found if one.value and one.key[:2] != ("prices", "overrides")}
    again = session.changed(written)
    assert not again.faults
    assert again.scenario.model_dump() == session.scenario.model_dump()
    for one in found:
        assert one.help or one.key[-2] == "objectives" or one.key[-1] == "kind", one.key
        assert not one.choices or one.value in one.choices


def test_controls_cover_what_an_architect_asks_for():
    keys = {one.path for one in controls_of(HEALTH.scenario)}
    assert {
        "workloads.clinical_documentation.volume.requests_per_month",
        "workloads.clinical_documentation.prompt_tokens.mean",
        "workloads.radiology_anomaly.objectives.ttft",
        "workloads.prior_auth_appeals.objectives.ttft",
        "constraints.monthly_cost_at_most",
        "constraints.phi_may_leave",
        "hosting_patterns.hybrid.cluster.gpu",
        "hosting_patterns.hybrid.cluster.model",
        "hosting_patterns.hybrid.cluster.replicas",
        "hosting_patterns.hybrid.routing.kind",
        "hosting_patterns.api_llama.api.model",
        "hosting_patterns.self_hosted_rental.costs.compute.replica_hour",
        "hosting_patterns.self_hosted_on_premises.costs.compute.gpus",
        "prices.overrides.bedrock/llama-3.3-70b.prompt",
    } <= keys
    small = {one.path for one in controls_of(Session.opened(SCENARIOS / "ci_small.yaml").scenario)}
    assert "prices.overrides.aws/g6e.xlarge.instance_hour" in small
    growing = {one.section for one in controls_of(Session.opened(SCENARIOS / "health_system_rollout.yaml").scenario)}
    assert "Growth" in growing
