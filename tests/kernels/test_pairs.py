"""Pair sums: fused kernels and matrix products against the step-by-step reference, and that against the formula."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from snnkit.kernels import pairs, reference_only
from snnkit.kernels.pairs import ConvGeometry, PairParams, PairTraces, initial_traces, matrix, reference

DENSE: tuple[Any, ...] = (None, (9,), (7,))
LAYERS = [
    DENSE,
    (ConvGeometry((3, 3)), (2, 6, 7), (4, 4, 5)),
    (ConvGeometry((3, 2), (2, 1), (1, 2), (1, 1, 1, 1)), (2, 6, 7), (4, 3, 7)),
    (ConvGeometry((3, 3), padding=(1, 1, 1, 1), padding_mode="circular", groups=2), (4, 6, 7), (6, 6, 7)),
    (ConvGeometry((2, 3), (2, 2), (2, 1), (0, 1, 1, 0), groups=3), (3, 7, 6), (3, 3, 3)),
    (ConvGeometry((1, 1)), (1, 1, 1), (1, 1, 1)),
]
PARAMS = [PairParams(0.9, 0.8, *flags) for flags in itertools.product((False, True), repeat=3)]


@pytest.fixture
def one_thread() -> Iterator[None]:
    """The reference is thousands of tiny operations; on a busy machine threads wait for each other in every one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def spikes(*shape: int, seed: int, share: float = 0.2, dtype: torch.dtype = torch.float64) -> Tensor:
    """Mostly 0 and 1, some other numbers."""
    generator = torch.Generator().manual_seed(seed)
    s = (torch.rand(shape, generator=generator) < share).to(dtype)
    return s * torch.where(torch.rand(shape, generator=generator) < 0.1, 2.5, 1.0).to(dtype)


def everything(result: Any) -> list[Tensor]:
    up, down, traces = result
    return [up, down, *traces]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("layer", LAYERS, ids=["dense", "plain", "strided", "circular-groups", "dilated-groups", "one"])
def test_all_forms_are_equal(layer: Any) -> None:
    """Fused and matrix form, for every option, with and without lengths and earlier traces, over several chunks."""
    geometry, pre_shape, post_shape = layer
    steps, batch = matrix.CHUNK + 6, 3
    pre, post = spikes(steps, batch, *pre_shape, seed=0), spikes(steps, batch, *post_shape, seed=1)
    old = PairTraces(spikes(batch, *pre_shape, seed=2) * 0.7, spikes(batch, *post_shape, seed=3) * 0.7)
    for k, params in enumerate(PARAMS):
        lengths = torch.tensor([5, steps, 0]) if k % 2 else None
        traces = old if k % 3 else None
        begin = initial_traces(pre, post) if traces is None else traces
        expected = everything(reference.sums(pre, post, begin, params, geometry, lengths))
        with reference_only():
            assert all(
                torch.equal(a, b)
                for a, b in zip(everything(pairs.sums(pre, post, traces, params, geometry, lengths)), expected)
            )
        for found in (
            pairs.sums(pre, post, traces, params, geometry, lengths),
            matrix.sums(pre, post, begin, params, geometry, lengths),
        ):
            for a, b in zip(everything(found), expected):
                torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)
        found = pairs.change(pre, post, traces, params, 0.7, 0.4, geometry, lengths)
        torch.testing.assert_close(found[0], 0.7 * expected[0] - 0.4 * expected[1], rtol=1e-11, atol=1e-11)
        for a, b in zip(found[1], expected[2:]):
            torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


@given(
    steps=st.integers(1, 9),
    batch=st.integers(1, 3),
    params=st.sampled_from(PARAMS),
    decays=st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.75, 1.0])),
    seed=st.integers(0, 1 << 30),
)
@settings(max_examples=40)
def test_the_definition_is_the_sum_over_pairs_of_spikes(
    steps: int, batch: int, params: PairParams, decays: tuple[float, float], seed: int
) -> None:
    """P[i, j] = Σ over spikes of i, earlier spikes of j (all, or the last) of decay^distance; D the other way."""
    params = params._replace(decay_pre=decays[0], decay_post=decays[1])
    pre, post = (spikes(steps, batch, n, seed=seed + n, share=0.4) for n in (3, 2))
    up, down = (torch.zeros(2, 3, dtype=torch.float64) for _ in range(2))
    for b, i, j in itertools.product(range(batch), range(2), range(3)):
        one, other = pre[:, b, j].tolist(), post[:, b, i].tolist()
        up[i, j] += pair_sum(other, one, params.decay_pre, params.nearest, params.potentiate_same)
        down[i, j] += pair_sum(one, other, params.decay_post, params.nearest, params.depress_same)
    found = pairs.sums(pre, post, None, params)
    torch.testing.assert_close(found[0], up, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found[1], down, rtol=1e-12, atol=1e-12)


def pair_sum(late: list[float], early: list[float], decay: float, nearest: bool, same: bool) -> float:
    total = 0.0
    for t, s in enumerate(late):
        before = [k for k, e in enumerate(early) if e and (k < t or (same and k == t))]
        total += sum(s * early[k] * decay ** (t - k) for k in (before[-1:] if nearest else before))
    return total


@pytest.mark.parametrize("layer", [DENSE, LAYERS[2]], ids=["dense", "convolution"])
def test_equal_bits_for_any_number_of_threads(layer: Any) -> None:
    geometry, pre_shape, post_shape = layer
    scale = 12 if geometry is None else 1
    pre = spikes(40, 13, *(pre_shape[0] * scale, *pre_shape[1:]), seed=0, dtype=torch.float32)
    post = spikes(40, 13, *(post_shape[0] * scale, *post_shape[1:]), seed=1, dtype=torch.float32)
    if geometry is None:
        pre, post = pre.repeat(1, 4, 3), post.repeat(1, 4, 3)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            change, _ = pairs.change(pre, post, None, PARAMS[0], 0.7, 0.4, geometry)
            found.append([change, *everything(pairs.sums(pre, post, None, PARAMS[0], geometry))])
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other))


def test_parts_of_a_sequence_are_the_sequence() -> None:
    for geometry, pre_shape, post_shape in LAYERS[:3]:
        pre, post = spikes(20, 2, *pre_shape, seed=4), spikes(20, 2, *post_shape, seed=5)
        up, down, traces = pairs.sums(pre, post, None, PARAMS[2], geometry)
        first = pairs.sums(pre[:7], post[:7], None, PARAMS[2], geometry)
        second = pairs.sums(pre[7:], post[7:], first[2], PARAMS[2], geometry)
        torch.testing.assert_close(first[0] + second[0], up, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(first[1] + second[1], down, rtol=1e-12, atol=1e-12)
        assert all(torch.equal(a, b) for a, b in zip(second[2], traces))


def test_matrix_form_never_asks_the_device_for_a_value() -> None:
    """On the meta device there are no values: a copy to the host, or a shape that depends on one, would raise."""
    for geometry, pre_shape, post_shape in LAYERS[:4]:
        pre, post = torch.empty(70, 3, *pre_shape, device="meta"), torch.empty(70, 3, *post_shape, device="meta")
        lengths = torch.empty(3, dtype=torch.int64, device="meta")
        for nearest in (False, True):
            up, down, traces = pairs.sums(pre, post, None, PairParams(0.9, 0.8, nearest), geometry, lengths)
            assert up.shape == down.shape
            assert (traces.pre.shape, traces.post.shape) == (pre.shape[1:], post.shape[1:])


@pytest.mark.gpu
def test_on_a_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    for geometry, pre_shape, post_shape in LAYERS[:4]:
        pre, post = spikes(70, 3, *pre_shape, seed=0), spikes(70, 3, *post_shape, seed=1)
        for params in PARAMS:
            expected = everything(pairs.sums(pre, post, None, params, geometry))
            inputs = pre.cuda(), post.cuda()
            torch.cuda.set_sync_debug_mode("error")
            try:
                found = everything(pairs.sums(*inputs, None, params, geometry))
            finally:
                torch.cuda.set_sync_debug_mode("default")
            for a, b in zip(found, expected):
                torch.testing.assert_close(a.cpu(), b, rtol=1e-10, atol=1e-10)
