"""Pairwise covering arrays: few cases in which every pair of option values occurs together."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any


def product(options: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination of the options' values."""
    return [dict(zip(options, values)) for values in itertools.product(*options.values())]


def pairwise(options: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Combinations in which every pair of values of two options occurs, greedily few, always the same.

    Each new case starts from the first pair still missing; every other option takes the value that brings most missing
    pairs with what is chosen so far, the least used one among equals.
    """
    names = list(options)
    missing = {
        ((a, i), (b, j)): None  # a dictionary keeps its order
        for a, b in itertools.combinations(names, 2)
        for i in range(len(options[a]))
        for j in range(len(options[b]))
    }
    used = {(name, k): 0 for name in names for k in range(len(options[name]))}
    place = {name: k for k, name in enumerate(names)}
    cases = []
    while missing:
        chosen = dict(next(iter(missing)))
        for name in names:
            if name in chosen:
                continue

            def gain(k: int, name: str = name, chosen: dict[str, int] = chosen) -> tuple[int, int]:
                pairs = (
                    ((other, v), (name, k)) if place[other] < place[name] else ((name, k), (other, v))
                    for other, v in chosen.items()
                )
                return sum(pair in missing for pair in pairs), -used[name, k]

            chosen[name] = max(range(len(options[name])), key=gain)
        for a, b in itertools.combinations(names, 2):
            missing.pop(((a, chosen[a]), (b, chosen[b])), None)
        for name in names:
            used[name, chosen[name]] += 1
        cases.append({name: options[name][chosen[name]] for name in names})
    return cases
