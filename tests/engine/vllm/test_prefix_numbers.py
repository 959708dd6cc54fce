import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from simulator.engine.vllm.prefix_numbers import PrefixNumbers

IDS = st.lists(st.integers(-1, 40), max_size=30)


@given(st.lists(st.tuples(IDS, st.sets(st.integers(0, 60))), max_size=8))
def test_each_prefix_has_a_number_of_its_own_until_it_is_forgotten(steps):
    numbers, known = PrefixNumbers(), {}
    for ids, forgotten in steps:
        found = numbers.of(np.array(ids, np.int32))
        assert found.dtype == np.int32
        for one, number in zip(ids, found.tolist(), strict=True):
            assert (number == -1) == (one < 0)
            if one >= 0:
                assert known.setdefault(one, number) == number
        assert len(set(known.values())) == len(known)
        assert all(number < len(numbers) for number in known.values())
        gone = {number for number in range(len(numbers)) if number in forgotten or number not in known.values()}
        numbers.forget(gone)
        known = {one: number for one, number in known.items() if number not in gone}


def test_numbers_are_used_again():
    numbers = PrefixNumbers()
    for first in range(0, 1000, 10):
        assert sorted(numbers.of(np.arange(first, first + 10, dtype=np.int32))) == list(range(10))
        numbers.forget(range(10))
    assert len(numbers) == 10
