import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.scenario.workloads import SyntheticWorkload
from simulator.workload.lengths import draw_lengths, mean_tokens
from tests.workload.clinic import source

constant = st.builds(lambda tokens: {"kind": "constant", "tokens": tokens}, st.integers(1, 200_000))
lognormal = st.builds(
    lambda median, sigma, at_most: {"kind": "lognormal", "median": median, "sigma": sigma, "at_most": at_most},
    st.floats(0.1, 50_000), st.floats(0, 4), st.integers(1, 131_072),
)  # fmt: skip
empirical = st.builds(
    lambda pairs: {"kind": "empirical", "values": [v for v, _ in pairs], "weights": [w for _, w in pairs]},
    st.lists(st.tuples(st.integers(1, 200_000), st.floats(0.1, 10)), min_size=1, max_size=8),
)
lengths = constant | lognormal | empirical


@settings(max_examples=60)
@given(prompt=lengths, output=lengths, rho=st.floats(-1, 1), cut=st.integers(1, 8192))
def test_lengths_stay_within_their_cuts(prompt, output, rho, cut):
    workload = SyntheticWorkload.model_validate(
        source(prompt_tokens=prompt, output_tokens=output, correlation=rho, max_tokens=cut)
    )
    prompts, outputs = draw_lengths(workload, 200, np.random.default_rng(1))
    assert prompts.dtype == outputs.dtype == np.int32
    assert prompts.min() >= 1
    assert outputs.min() >= 1
    assert outputs.max() <= cut
    assert prompts.max() <= prompt.get("at_most", 200_000)
    if prompt["kind"] == "empirical":
        assert set(prompts.tolist()) <= set(prompt["values"])


SHAPES = [
    {"kind": "constant", "tokens": 700},
    {"kind": "lognormal", "mean": 2660, "sigma": 0.45},
    {"kind": "lognormal", "median": 12_000, "sigma": 0.6, "at_most": 16_000},
    {"kind": "lognormal", "median": 800, "sigma": 0},
    {"kind": "lognormal", "median": 0.01, "sigma": 0.1},
    {"kind": "empirical", "values": [900, 100, 300], "weights": [1, 2, 1]},
    {"kind": "empirical", "values": [900, 100, 300]},
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("cut", [None, 850])
def test_the_mean_is_that_of_the_draws(shape, cut):
    workload = SyntheticWorkload.model_validate(source(output_tokens=shape, max_tokens=cut or 10_000_000))
    draws = draw_lengths(workload, 200_000, np.random.default_rng(2))[1]
    standard_error = draws.std() / np.sqrt(len(draws))
    assert mean_tokens(workload.output_tokens, cut) == pytest.approx(draws.mean(), abs=4 * standard_error + 0.01)


def test_a_lognormal_is_given_by_its_mean_or_its_median():
    by_mean = SyntheticWorkload.model_validate(source(prompt_tokens={"kind": "lognormal", "mean": 2660, "sigma": 0.45}))
    assert mean_tokens(by_mean.prompt_tokens) == pytest.approx(2660, rel=1e-6)
    draws = draw_lengths(by_mean, 100_000, np.random.default_rng(3))[0]
    assert np.median(draws) == pytest.approx(2660 * np.exp(-(0.45**2) / 2), rel=0.01)


@pytest.mark.parametrize("rho", [-0.5, 0.0, 0.67])
def test_prompt_and_output_logarithms_correlate_as_told(rho):
    workload = SyntheticWorkload.model_validate(
        source(
            prompt_tokens={"kind": "lognormal", "median": 2400, "sigma": 0.45},
            output_tokens={"kind": "lognormal", "median": 750, "sigma": 0.45},
            correlation=rho,
            max_tokens=100_000,
        )
    )
    size = 50_000
    prompts, outputs = draw_lengths(workload, size, np.random.default_rng(4))
    measured = np.corrcoef(np.log(prompts), np.log(outputs))[0, 1]
    assert measured == pytest.approx(rho, abs=4 * (1 - rho**2) / np.sqrt(size) + 1e-3)


def test_observed_counts_come_in_their_proportions():
    workload = SyntheticWorkload.model_validate(source(prompt_tokens=SHAPES[-2]))
    prompts = draw_lengths(workload, 40_000, np.random.default_rng(5))[0]
    for value, share in ((100, 0.5), (300, 0.25), (900, 0.25)):
        assert (prompts == value).mean() == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 40_000))


@settings(max_examples=40)
@given(
    shape=st.sampled_from(
        [
            {"kind": "constant", "tokens": 1},
            {"kind": "constant", "tokens": 700},
            {"kind": "lognormal", "mean": 3, "sigma": 0.6},
            {"kind": "lognormal", "median": 1.2, "sigma": 0.0},
            {"kind": "lognormal", "mean": 900, "sigma": 1.1, "at_most": 1_500},
            {"kind": "empirical", "values": [2, 40, 900], "weights": [5, 1, 2]},
        ]
    ),
    spread=st.sampled_from([0.0, 0.3, 1.0]),
    cut=st.sampled_from([1, 3, 600, 4_096]),
)
def test_law_the_mean_is_that_of_the_draws_times_a_factor_then_rounded_then_cut(shape, spread, cut):
    workload = SyntheticWorkload.model_validate(source(prompt_tokens=shape, output_tokens=shape, max_tokens=cut))
    rng, size = np.random.default_rng(3), 100_000
    factor = np.exp(spread * rng.standard_normal(size) - 0.5 * spread**2)
    for drawn, limit in zip(draw_lengths(workload, size, rng, factor), (None, cut), strict=True):
        lengths = workload.prompt_tokens if limit is None else workload.output_tokens
        error = 4.5 * drawn.std() / np.sqrt(size)
        # The normal law of the mean needs some of what is far out to have been drawn.
        assert drawn.mean() == pytest.approx(mean_tokens(lengths, limit, spread=spread), abs=error + 1e-3)
