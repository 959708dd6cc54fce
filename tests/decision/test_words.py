"""Amounts, shares and times as people read them: what is said is what is meant, and never rounds a miss away."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.decision.words import duration, kept_share, percent, seconds, sentence, share_range, usd, volume

#: Each side of every place where the way of writing changes.
SAID = [
    (usd, 99.994, "99.99"), (usd, 99.996, "100"), (usd, -99.996, "-100"), (usd, -0.5, "-0.50"),
    (volume, 99.9e6, "99.9M tokens"), (volume, 100e6, "100M tokens"),
    (volume, 999.7e6, "1,000M tokens"), (volume, 1234.6e6, "1,235M tokens"),
    (volume, 5_000, "0.005M tokens"),
    (percent, 1e-6, "0.0001 %"), (percent, 9.9e-7, "< 0.0001 %"), (percent, 0.0994, "9.9 %"),
    (percent, 0.0996, "10.0 %"), (percent, 1.0, "100.0 %"),
    (kept_share, 0.99, "99.00 %"), (kept_share, 0.58, "58.00 %"), (kept_share, 1.0 - 1e-9, "99.99 %"),
    (kept_share, 0.0, "0.00 %"),
    (seconds, 9.99, "9.99"), (seconds, 10.0, "10.0"), (seconds, 999.9, "999.9"), (seconds, 1000.0, "1,000"),
    (duration, 3600.0, "1 h"), (duration, 5400.0, "90 min"), (duration, 60.0, "1 min"), (duration, 61.0, "61 s"),
    (duration, 7260.0, "121 min"), (duration, 0.0, "0 s"), (duration, 30.0, "30 s"),
    (sentence, "met", "Met."), (sentence, "is it met?", "Is it met?"), (sentence, "it is!", "It is!"),
    (sentence, "it is.", "It is."),
    (sentence, "a_b is met", "a_b is met."), (sentence, "a b_c", "A b_c."),
    (share_range, (0.5, 0.99999), "50.00 to 99.99 %"), (share_range, (1.0, 1.0), "100 to 100 %"),
]  # fmt: skip


@pytest.mark.parametrize(("say", "value", "said"), SAID, ids=[f"{say.__name__} {value}" for say, value, _ in SAID])
def test_both_sides_of_every_change_of_writing(say, value, said):
    assert say(value) == said


@given(st.integers(1, 10**6), st.integers(0, 10**6))
def test_law_a_share_is_whole_only_without_an_exception(total, late):
    late = min(late, total)
    said = kept_share((total - late) / total)
    assert (said == "100 %") == (late == 0)
    # Rounded down, by less than a hundredth of a per cent.
    assert late == 0 or -1e-9 <= 100.0 * (total - late) / total - float(said.removesuffix(" %")) < 0.01 + 1e-9


@given(st.integers(1, 10**6))
def test_law_a_duration_is_the_number_of_its_units(value_s):
    number, unit = duration(float(value_s)).split()
    assert float(number) * {"h": 3600, "min": 60, "s": 1}[unit] == pytest.approx(value_s, rel=1e-5)
    assert unit == ("h" if value_s % 3600 == 0 else "min" if value_s % 60 == 0 else "s")
