"""Pairwise covering arrays: few cases in which every pair of option values occurs together."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any


def product(options: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination of the options' values."""
    return [dict(zip(options, values)) for values in itertools.product(*options.values())]


def pairwise(options: Mapping[str, Sequence[Any]], few: Collection[str] = ()) -> list[dict[str, Any]]:
    """Combinations in which every pair of values of two options occurs, greedily few, always the same.

    Each new case starts from the first pair still missing; every other option takes the value that brings most missing
    pairs with what is chosen so far, the least used one among equals.

    Args:
        options: each with its values.
        few: options that occur in no other combinations than those of an array of their own.
    """
    return [{name: values[case[name]] for name, values in options.items()} for case in _cases(options, few)]


def _cases(options: Mapping[str, Sequence[Any]], few: Collection[str]) -> list[dict[str, int]]:
    """The cases by the places of their values."""
    few = few if len(few) > 1 else ()
    blocks = [[{name: k} for k in range(len(values))] for name, values in options.items() if name not in few]
    if few:
        blocks.append(_cases({name: values for name, values in options.items() if name in few}, ()))
    missing = {
        frozenset(((a, i), (b, j))): None  # a dictionary keeps its order
        for a, b in itertools.combinations(options, 2)
        for i in range(len(options[a]))
        for j in range(len(options[b]))
    }
    used = [[0] * len(block) for block in blocks]
    cases = []
    while missing:
        first = dict(next(iter(missing)))
        chosen = first
        for block, times in zip(blocks, used):

            def gain(k: int, block: Any = block, times: Any = times, chosen: Any = chosen) -> tuple[int, int]:
                pairs = itertools.combinations((chosen | block[k]).items(), 2)
                return sum(frozenset(pair) in missing for pair in pairs), -times[k]

            fitting = (k for k, part in enumerate(block) if all(first.get(name, v) == v for name, v in part.items()))
            best = max(fitting, key=gain)
            chosen = chosen | block[best]
            times[best] += 1
        for pair in itertools.combinations(chosen.items(), 2):
            missing.pop(frozenset(pair), None)
        cases.append(chosen)
    return cases
