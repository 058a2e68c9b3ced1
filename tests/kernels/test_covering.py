"""The covering arrays cover what they say, with the few combinations that they promise."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from .covering import pairwise, product


@settings(max_examples=40)
@given(st.lists(st.integers(1, 4), min_size=2, max_size=6), st.sets(st.integers(0, 5)))
def test_every_pair_occurs(sizes: list[int], few: set[int]) -> None:
    options = {str(n): range(size) for n, size in enumerate(sizes)}
    names = {str(n) for n in few if n < len(sizes)}
    cases = pairwise(options, names)
    assert all(list(case) == list(options) for case in cases)
    for a, b in itertools.combinations(options, 2):
        assert {(case[a], case[b]) for case in cases} == set(itertools.product(options[a], options[b]))
    assert len(cases) <= len(product(options))
    if len(names) > 1:
        own = pairwise({name: values for name, values in options.items() if name in names})
        assert all({name: case[name] for name in own[0]} in own for case in cases)
