"""One source, five forms: Python integers, numpy, compiled, torch, and the definition written out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnkit._dialect import instantiate
from snnkit.targets.loihi import arithmetic, spec

EDGES = sorted(
    {s * (2**k + d) for k in (0, 1, 6, 11, 12, 20, 21, 22, 23, 24) for d in (-1, 0, 1) for s in (-1, 1)} | {0}
)


def forms():
    import numba
    import torch

    where = numba.njit(arithmetic.where)
    compiled = instantiate(arithmetic, where=where, compiler=numba.njit)
    return {
        "python": (instantiate(arithmetic, where=arithmetic.where), None),
        "numpy": (instantiate(arithmetic, where=np.where), lambda a: np.array(a, np.int64)),
        "numba": (compiled, None),
        "torch": (instantiate(arithmetic, where=torch.where), lambda a: torch.tensor(a, dtype=torch.int64)),
    }


@pytest.fixture(scope="module")
def every_form():
    return forms()


def call(form, name, columns):
    """Values of a function over columns of integers, as lists of Python integers."""
    namespace, pack = form
    function = getattr(namespace, name)
    if pack is None:
        results = [function(*(int(x) for x in row)) for row in zip(*columns)]
    else:
        out = function(*(pack(list(c)) for c in columns))
        out = out if isinstance(out, tuple) else (out,)
        results = list(zip(*([int(x) for x in part] for part in out)))
        results = [r[0] if len(r) == 1 else r for r in results]
    return [tuple(int(x) for x in r) if isinstance(r, tuple) else int(r) for r in results]


def wrap(x: int, bits: int) -> int:
    x %= 2**bits
    return x - 2**bits if x >= 2 ** (bits - 1) else x


def decayed(x: int, d: int) -> int:
    y = abs(x) * (4096 - d) // 4096
    return y if x > 0 else -y


def stepped(u, v, r, q, nu, nv, du, dv, level, bias, vmin, vmax, refract):
    u = wrap(decayed(u, du) + wrap(q + nu, 22), 24)
    v = min(max(decayed(v, dv) + wrap(u + bias + nv, 24), vmin), vmax)
    v = 0 if r > 0 else v
    s = v > level
    v, r = (0, refract) if s else (v, r)
    return u, v, max(r - 1, 0), int(s)


@pytest.mark.parametrize("name", ["python", "numpy", "numba", "torch"])
def test_wraps_and_decay(every_form, name):
    form = every_form[name]
    assert call(form, "wrap22", [EDGES]) == [wrap(x, 22) for x in EDGES]
    assert call(form, "wrap24", [EDGES]) == [wrap(x, 24) for x in EDGES]
    pairs = list(itertools.product(EDGES, (0, 1, 2047, 2048, 4095, 4096)))
    assert call(form, "dec", list(zip(*pairs))) == [decayed(x, d) for x, d in pairs]


@pytest.mark.parametrize("name", ["python", "numpy", "numba", "torch"])
def test_effective_weight_of_every_mantissa_and_exponent(every_form, name):
    pairs = list(itertools.product(range(-256, 256), range(spec.WEIGHT_EXPONENT_MIN, spec.WEIGHT_EXPONENT_MAX + 1)))
    expected = []
    for m, e in pairs:
        w = (m * 2**e if e >= 0 else m // 2**-e) * 64
        expected.append(min(max(w, -spec.WEIGHT_LIMIT), spec.WEIGHT_LIMIT))
    if name in ("python", "numba"):
        pairs, expected = pairs[::7], expected[::7]
    assert call(every_form[name], "effective_weight", list(zip(*pairs))) == expected


@pytest.mark.parametrize("name", ["python", "numpy", "numba", "torch"])
def test_step_on_edge_values(every_form, name):
    rng = np.random.default_rng(0)
    n = 800

    def draw(low, high):
        edges = [x for x in (*EDGES, low, high, low + 1, high - 1) if low <= x <= high]
        return np.where(rng.random(n) < 0.5, rng.choice(edges, n), rng.integers(low, high + 1, n)).tolist()

    top = 2**23
    columns = [
        draw(-top, top - 1),
        draw(-(2**31) + 1, top - 1),
        draw(0, 62),
        draw(-(2**30), 2**30),
        draw(-(2**20), 2**20),
        draw(-(2**20), 2**20),
        draw(0, 4096),
        draw(0, 4095),
        [64 * x for x in draw(0, spec.VTH_MANTISSA_MAX)],
        draw(-4096 * 128, 4095 * 128),
        [spec.vmin(k) for k in rng.integers(0, 32, n).tolist()],
        [spec.vmax(k) for k in rng.integers(0, 8, n).tolist()],
        draw(1, 63),
    ]
    assert call(every_form[name], "step", columns) == [stepped(*row) for row in zip(*columns)]


def test_threshold_is_strict_and_reset_is_zero():
    form = instantiate(arithmetic, where=arithmetic.where)
    at = form.step(0, 0, 0, 640, 0, 0, 4096, 0, 640, 0, -100, 10000, 3)
    above = form.step(0, 0, 0, 641, 0, 0, 4096, 0, 640, 0, -100, 10000, 3)
    assert at == (640, 640, 0, False)
    assert above == (641, 0, 2, True)


def test_the_dialect_sees_nothing_but_itself():
    namespace = instantiate(arithmetic, where=arithmetic.where)
    for name in arithmetic.DIALECT:
        function = getattr(namespace, name)
        assert function.__globals__["__builtins__"] == {}
        assert set(function.__code__.co_names) <= {"where", *arithmetic.DIALECT}


@given(st.integers(-(2**40), 2**40), st.integers(0, 4096))
def test_any_decay_loses_at_least_one_and_keeps_the_sign(x, d):
    y = arithmetic.dec(x, d)
    assert abs(y) <= abs(x) - (1 if d and x else 0)
    assert x * y >= 0


def test_every_number_of_the_chip_has_a_source():
    names = {n for n in vars(spec) if n.isupper()} - {"SOURCES", "UPDATE_ORDER", "OPTIONS"}
    assert names == set(spec.SOURCES)
    assert list(spec.OPTIONS) == [f"A{k}" for k in range(1, 17)]
    assert spec.vmin(0) == 0
    assert spec.vmin(23) == -(2**23) + 1
    assert spec.vmax(7) == 2**23 - 1
    assert [spec.delay_depth(d) for d in (0, 6, 7, 62)] == [2, 8, 16, 64]
