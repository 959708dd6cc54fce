from __future__ import annotations

import json
import runpy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.bench.serving import request_table, serve
from simulator.engine.vllm.plan import plan_of
from simulator.errors import ProfileError
from simulator.experiment.names import cluster_faults
from simulator.performance.clusters import cluster_profile
from simulator.performance.links import LINKS, all_reduce_s, messages, own_link, table_name
from simulator.performance.profile import linked, read_profile
from simulator.report.warnings import warnings_about
from simulator.scenario.patterns import Cluster, EngineSettings
from tests.experiment.small import small
from tests.parts import ROOT

FLAGSHIP = "llama-3.3-70b-w4a16-a100-80gb-x2"
CLUSTER = {"model": "llama-3.3-70b", "gpu": "a100-80gb", "tensor_parallel": 2, "quantisation": "w4a16"}


def test_a_step_is_longer_by_its_all_reduces():
    """161 of 128 x 8,192 elements: 41.5 us more each over PCIe 4 than the 15.18 us over NVLink, and so on by size."""
    before, after = read_profile(FLAGSHIP), linked(read_profile(FLAGSHIP), "pcie")
    at = before.dense.x.index(128)
    more = after.dense.y[at] - before.dense.y[at]
    assert messages(80) == 161
    assert more == pytest.approx(161 * (116.8e-6 - 15.18e-6), rel=0.001)
    assert after.lm_head == before.lm_head
    assert (after.label, after.id) == ("estimated", f"{FLAGSHIP}-pcie")
    assert "PCIe with peer-to-peer access in place of NVLink" in after.notes[0]


@given(
    gpu=st.sampled_from(sorted(LINKS)),
    gpus=st.sampled_from((2, 4, 8)),
    size=st.floats(2**14, 5e8),
    more=st.floats(1, 2),
)
def test_law_no_slower_link_is_faster_and_no_longer_message_shorter(gpu, gpus, size, more):
    links = [name for link in ("nvlink", "pcie", "no_p2p") if (name := table_name(gpu, link))]
    times = [all_reduce_s(link, gpus, size) for link in links]
    assert times == sorted(times)
    # Timed rows wobble.
    assert all(all_reduce_s(link, gpus, size * more) > 0.6 * time for link, time in zip(links, times, strict=True))


def test_between_two_sizes_it_is_a_straight_line():
    middle = all_reduce_s("pcie_5", 4, 1.5 * 2**20)
    assert middle == pytest.approx((all_reduce_s("pcie_5", 4, 2**20) + all_reduce_s("pcie_5", 4, 2**21)) / 2)
    assert all_reduce_s("pcie_5", 4, 2**30) == pytest.approx(2 * all_reduce_s("pcie_5", 4, 2**29), rel=0.05)


def test_what_needs_no_change_is_left():
    profile = read_profile(FLAGSHIP)
    assert linked(profile, None) is linked(profile, "nvlink") is profile
    alone = read_profile("llama-3.1-8b-bf16-l40s-x1")
    assert linked(alone, "no_p2p") is alone
    assert own_link("l40s", "cross-socket") == "no_p2p"
    assert linked(linked(profile, None), "no_p2p").dense.y > profile.dense.y


def test_seven_billion_on_two_gpus_without_peer_to_peer_are_slower_than_on_one():
    """Qwen2-7B, vLLM 0.10, A100s without peer-to-peer access, 500 requests at once: 4,215 tokens/s on one GPU and 3,515
    on two (public logs; lengths are taken to be 512 and 256). With NVLink two would be half as fast again as one."""
    engine = EngineSettings(max_model_len=16_384, gpu_memory_utilisation=0.5, vllm_version="0.10.1")

    def rate(gpus, link):
        profile = linked(read_profile(f"qwen2.5-7b-bf16-a100-80gb-x{gpus}"), link)
        table = request_table(np.zeros(500), 512, 256)
        return serve(engine, plan_of(profile, engine), table).metrics()["output_tokens_per_s"]

    one, two = rate(1, None), rate(2, "no_p2p")
    assert two < one
    assert one == pytest.approx(4215, rel=0.15)
    assert two == pytest.approx(3515, rel=0.15)
    assert rate(2, "nvlink") > 1.4 * one


def test_a_link_that_the_gpu_lacks_is_refused():
    own = Cluster(model="llama-3.1-8b", gpu="l40s", tensor_parallel=2, interconnect="nvlink")
    (fault,) = cluster_faults(own)
    assert fault == (("interconnect",), "no interconnect nvlink is known for l40s; expected one of pcie, no_p2p")
    measured = read_profile(FLAGSHIP).model_copy(update={"label": "measured"})
    with pytest.raises(ProfileError, match="leave out interconnect"):
        linked(measured, "pcie")


def test_a_cluster_is_simulated_over_its_link_and_scaled_after():
    plain, far = (cluster_profile(Cluster(**CLUSTER, interconnect=link)) for link in (None, "no_p2p"))
    twice = cluster_profile(Cluster(**CLUSTER, interconnect="no_p2p", step_time_factor=2.0))
    assert twice.dense.y == pytest.approx([2 * seconds for seconds in far.dense.y])
    assert all(there > here for there, here in zip(far.dense.y, plain.dense.y, strict=True))


def test_a_link_that_is_not_stated_is_told():
    def told(changes):
        scenario = small({"hosting_patterns.rented.cluster": CLUSTER | changes})
        return [line for line in warnings_about(scenario, ["rented"]) if "interconnect" in line]

    assert told({}) == [
        "rented: interconnect is not stated: 2 x a100-80gb are taken to talk over NVLink; a slower link makes each "
        "step longer"
    ]
    assert told({"interconnect": "nvlink"}) == told({"tensor_parallel": 1}) == []


@pytest.mark.needs("kernel tables")
def test_the_table_is_what_its_command_gives():
    made = runpy.run_path(str(ROOT / "tools" / "all_reduce.py"))["content"]()
    assert json.loads((ROOT / "simulator" / "performance" / "data" / "all_reduce.json").read_text()) == json.loads(made)


@pytest.mark.needs("kernel tables")
def test_four_l40s_take_over_two_what_four_others_on_pcie_do():
    """RTX PRO 6000: 2.9 at 16 Ki elements, 3.1 at 64, 4.3 at 256, 2.6 at 1 Mi, 1.9 from 4 Mi on."""
    for size, ratio in ((2**14, 2.9), (2**16, 3.1), (2**18, 4.3), (2**20, 2.6), (2**22, 1.9), (2**24, 1.9)):
        assert all_reduce_s("pcie_4", 4, size) / all_reduce_s("pcie_4", 2, size) == pytest.approx(ratio, abs=0.06)
        assert all_reduce_s("pcie_5", 4, size) / all_reduce_s("pcie_5", 2, size) == pytest.approx(ratio, abs=0.06)
