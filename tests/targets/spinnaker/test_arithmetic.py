"""The fixed-point functions: every back end, the exhaustive exponentials, the two separately written forms."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnkit._dialect import instantiate
from snnkit.graph.rules import spinnaker as plain
from snnkit.targets.spinnaker import arithmetic, setup, spec
from tests.targets.spinnaker import vector_files

EDGES = [0, 1, -1, 2, 32767, 32768, -32768, 65535, 2**30, -(2**30), 2**31 - 1, -(2**31), 123456789, -987654321]
int32 = st.integers(-(2**31), 2**31 - 1)
ROW = st.tuples(*[int32] * 9, st.integers(0, 100), st.integers(0, 2**32), st.integers(0, 2**32))
EXP_K = "512105db9a3b080ee2159615e48da1051efdb37649c492c0471de6e21a9ed51d"
EXP_U = "1fb36e91b1d4032d40205b47fdd42392d217446dd9e83cd3f9a66702e81e70af"


def test_all_exponentials():
    """Digests of both tables for every argument from -340695 to 0, as published with the reference vectors."""
    arguments = range(spec.EXP_MIN, 1)
    k = np.array([setup.expk(a) for a in arguments], "<i4")
    u = np.array([setup.expulr(a) for a in arguments], "<u4")
    assert hashlib.sha256(k.tobytes()).hexdigest() == EXP_K
    assert hashlib.sha256(u.tobytes()).hexdigest() == EXP_U
    assert (setup.expk(spec.EXP_MIN - 1), setup.expulr(spec.EXP_MIN - 1), setup.expulr(0)) == (0, 0, 0)


@given(st.integers(-400000, 0), st.integers(1, 2**31 - 1), st.integers(1, 2**31 - 1))
def test_the_plain_rules_and_the_test_simulation_agree(x, a, b):
    assert setup.expk(x) == plain.exp_accum(x) == vector_files.expk(x)
    assert setup.expulr(x) == plain.exp_fract(x) == vector_files.expulr(x)
    assert setup.divide(a, b) == plain.quotient(a, b) == vector_files.div(a, b)


@given(int32, int32, st.integers(0, 2**32 - 1))
def test_products(a, b, u):
    assert arithmetic.mul(a, b) == vector_files.mul(a, b) == int(plain.times(np.array([a]), np.array([b]))[0])
    assert arithmetic.dec(a, u) == vector_files.dec(a, u) == int(plain.faded(np.array([a]), np.array([u]))[0])


def test_products_on_edges():
    for a in EDGES:
        assert arithmetic.dec(a, 2**32) == a
        assert arithmetic.dec(a, 0) == 0
        assert arithmetic.mul(a, spec.ONE) == a
    assert arithmetic.dec(-1, 2**31) == -1
    assert arithmetic.add_saturated(65535, 1) == (65535, True)
    assert arithmetic.add_saturated(65534, 1) == (65535, False)


def _step(row, forms, kind):
    v, s_e, s_i, offset, r, rest, decay, thresh, reset, wait, d_e, d_i = row
    gain, hold = spec.ONE, 3
    values = (v, wait, s_e, s_i, gain, offset, r, rest, decay, thresh, reset, hold, d_e, d_i)
    return forms.step(*(kind(x) for x in values))


@given(ROW)
def test_every_back_end_gives_the_same_step(row):
    torch = pytest.importorskip("torch")
    expected = [int(x) for x in _step(row, instantiate(arithmetic, where=arithmetic.where), int)]
    as_numpy = _step(row, instantiate(arithmetic, where=np.where), lambda x: np.array([x], np.int64))
    assert [int(x[0]) for x in as_numpy] == expected
    as_torch = _step(row, instantiate(arithmetic, where=torch.where), lambda x: torch.tensor([x], dtype=torch.int64))
    assert [int(x[0]) for x in as_torch] == expected
    from snnkit.targets.spinnaker import kernel

    v, s_e, s_i, offset, r, rest, decay, thresh, reset, wait, d_e, d_i = row
    i = kernel._current(s_e, s_i, spec.ONE, offset)
    moved = kernel._membrane(v, i, r, rest, decay)
    v1, r1, fired = kernel._fire(moved, v, wait, thresh, reset, 3)
    assert [i, v1, r1, int(fired), kernel._dec(s_e, d_e), kernel._dec(s_i, d_i)] == expected


@given(st.integers(0, 65535), st.integers(0, 15), st.integers(0, 2**32 - 1), int32)
def test_transfer(slot, shift, scale, state):
    x = vector_files.w32(slot << shift)
    assert arithmetic.transfer(state, slot, shift, scale) == vector_files.w32(state + vector_files.dec(x, scale))
    assert arithmetic.transfer(state, slot, shift, 2**32) == vector_files.w32(state + x)
