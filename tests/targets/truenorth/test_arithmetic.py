"""One source, four forms: Python integers, numpy, compiled, torch, and the definition written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnkit._dialect import instantiate
from snnkit.targets.truenorth import arithmetic, spec

from . import vector_files as make


def form(name: str) -> tuple[Any, Any]:
    import numba
    import torch

    if name == "python":
        return instantiate(arithmetic, where=arithmetic.where), None
    if name == "numpy":
        return instantiate(arithmetic, where=np.where), lambda a: np.array(a, np.int64)
    if name == "torch":
        return instantiate(arithmetic, where=torch.where), lambda a: torch.tensor(a, dtype=torch.int64)
    return instantiate(arithmetic, where=numba.njit(arithmetic.where), compiler=numba.njit), None


def call(name: str, function: str, columns: list[list[int]]) -> list[tuple[int, ...]]:
    namespace, pack = form(name)
    f = getattr(namespace, function)
    if pack is None:
        rows = [f(*(int(x) for x in row)) for row in zip(*columns)]
        return [tuple(int(x) for x in (r if isinstance(r, tuple) else (r,))) for r in rows]
    out = f(*(pack(list(c)) for c in columns))
    return list(zip(*([int(x) for x in part] for part in (out if isinstance(out, tuple) else (out,)))))


def columns(n: int = 1500) -> list[list[int]]:
    rng = np.random.default_rng(0)

    def draw(*edges: int) -> list[int]:
        low, high = min(edges), max(edges)
        return np.where(rng.random(n) < 0.5, rng.choice(edges, n), rng.integers(low, high + 1, n)).tolist()

    top = spec.THRESHOLD_MAX
    alpha, beta, bits = draw(0, 1, 50, top), draw(0, 1, 50, top), draw(0, 1, 5, 17)
    near = [int(a) * (int(k) - 1) + int(d) for a, k, d in zip(alpha, rng.integers(0, 3, n), rng.integers(-2, 3, n))]
    return [
        near, draw(0, -1, 1, -65280, 65280), draw(-255, -1, 0, 1, 255), draw(0, 1), draw(0, 1), alpha, bits, beta,
        draw(0, 1), draw(0, 1, 2), draw(-(2**19), -1, 0, 1, 2**19 - 1), draw(0, 1, 255), draw(0, 2**17 - 1), draw(0, 1),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["python", "numpy", "numba", "torch"])
def test_step_on_edge_values(name: str) -> None:
    rows = columns()
    keys = ("leak", "leak_reversal", "leak_stoch", "threshold", "thr_mask_bits", "neg_threshold", "neg_saturate",
            "reset_mode", "reset_value")  # fmt: skip
    expected = [
        make.tick(dict(zip(keys, row[2:11])), row[0], row[1], row[11], row[12], stop=bool(row[13]))
        for row in zip(*rows)
    ]
    assert [r[:2] for r in call(name, "step", rows)] == expected


@pytest.mark.parametrize("name", ["numpy", "numba", "torch"])
def test_draws_are_equal_in_every_form_and_look_uniform(name: str) -> None:
    rng = np.random.default_rng(1)
    rows = [rng.integers(0, m, 2000).tolist() for m in (2**31, 2**24, 65536, 258, 256)]
    found = call(name, "draw", rows)
    assert found == call("python", "draw", rows)
    values = np.array(found)[:, 0]
    assert values.min() >= 0
    assert values.max() < 2**17
    assert abs(values.mean() / 2**16 - 1) < 0.05


def test_draws_of_neighbours_do_not_resemble_each_other() -> None:
    f = instantiate(arithmetic, where=np.where).draw
    grid = np.stack(
        [f(3, 5, 7, np.arange(258)[:, None], np.arange(256)), f(3, 6, 7, np.arange(258)[:, None], np.arange(256))]
    )
    low = grid & 255
    counts = np.bincount(low.ravel(), minlength=256)
    assert ((counts - low.size / 256) ** 2 / (low.size / 256)).sum() < 350  # chi square, 255 degrees of freedom
    for a, b in ((low[0], low[1]), (low[:, 1:], low[:, :-1]), (low[:, :, 1:], low[:, :, :-1])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.02


@given(st.integers(-(2**40), 2**40))
def test_potentials_beyond_20_bits_are_told(v: int) -> None:
    assert arithmetic.beyond(v) == (not -(2**19) <= v < 2**19)


def test_every_number_of_the_chip_has_a_source() -> None:
    names = {n for n in vars(spec) if n.isupper()} - {"SOURCES", "UPDATE_ORDER", "OPTIONS"}
    assert names == set(spec.SOURCES)
    assert list(spec.OPTIONS) == [f"T{k}" for k in range(1, 10)]
