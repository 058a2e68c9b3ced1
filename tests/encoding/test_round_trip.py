"""decode(encode(v)) gives v within each code's stated resolution."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from snnkit import encoding

EPSILON = 4e-7  # a few roundings of float32 numbers up to 1


def numbers(low: float = 0.0, high: float = 1.0) -> st.SearchStrategy[Tensor]:
    """Values [B, N], float32."""
    shapes = hnp.array_shapes(min_dims=2, max_dims=2, max_side=6)
    values = st.floats(low, high, width=32)
    return hnp.arrays(np.float32, shapes, elements=values).map(torch.from_numpy)


@given(numbers(), st.integers(2, 300))
def test_latency_within_half_a_step(v: Tensor, T: int) -> None:
    spikes = encoding.encode_latency(v, T)
    assert spikes.sum(0).eq(1).all()
    back = encoding.decode_first_spike(spikes)
    assert ((back - v).abs() <= 0.5 / (T - 1) + EPSILON).all()
    assert torch.equal(encoding.encode_latency(back, T), spikes), "what was decoded is sent in the same way"


@given(numbers(), st.integers(2, 40), st.floats(0.0, 1.0, width=32))
def test_latency_is_silent_below_a_level(v: Tensor, T: int, silence: float) -> None:
    spikes = encoding.encode_latency(v, T, silence)
    assert torch.equal(spikes.sum(0), (v >= silence).float())
    assert torch.equal(encoding.decode_first_spike(spikes)[v < silence], torch.zeros(int((v < silence).sum())))


@given(numbers(-(2.0**100), 2.0**100))
def test_rank_order_keeps_the_order(v: Tensor) -> None:
    n = v.shape[1]
    spikes = encoding.encode_rank_order(v)
    assert spikes.shape == (n, *v.shape)
    assert spikes.sum(2).eq(1).all(), "one spike per step"
    order = encoding.first_spike_step(spikes).argsort(1)
    expected = [sorted(range(n), key=lambda i: (-row[i], i)) for row in v.tolist()]
    assert order.tolist() == expected
    if n > 1:
        sent = encoding.decode_first_spike(spikes)
        assert torch.equal(encoding.encode_rank_order(sent), spikes)


@given(numbers(-10, 10), st.integers(1, 60))
def test_rank_order_in_fewer_or_more_steps_never_reverses(v: Tensor, T: int) -> None:
    step = encoding.first_spike_step(encoding.encode_rank_order(v, T))
    larger = v[:, :, None] > v[:, None, :]
    assert (step[:, :, None] <= step[:, None, :])[larger].all()
    if v.shape[1] <= T:
        assert (step[:, :, None] < step[:, None, :])[larger].all()


@given(numbers(), st.integers(1, 24), st.integers(1, 3))
def test_phase_gives_the_bits(v: Tensor, bits: int, periods: int) -> None:
    T = bits * periods
    spikes = encoding.encode_phase(v, T, bits)
    back = encoding.decode_weighted(spikes, encoding.phase_weights(T, bits))
    exact = np.minimum(np.floor(v.double().numpy() * 2**bits), 2**bits - 1) / 2**bits
    np.testing.assert_allclose(back.double().numpy(), exact, rtol=0, atol=EPSILON if periods > 1 else 0)
    assert (v - back >= -EPSILON).all()
    assert (v - back <= 2.0**-bits + EPSILON).all()


@given(numbers())
def test_burst_leaves_less_than_a_unit(v: Tensor) -> None:
    spikes = encoding.encode_burst(v, 10)
    left = v - encoding.decode_weighted(spikes, encoding.burst_weights(spikes))
    assert (left >= -EPSILON).all()
    assert (left < 1 / 16).all()


@given(numbers(), st.integers(1, 12), st.floats(1.0, 3.0), st.floats(0.05, 1.0))
def test_burst_never_sends_more_than_there_is(v: Tensor, T: int, beta: float, unit: float) -> None:
    spikes = encoding.encode_burst(v, T, beta, unit)
    sums = (spikes * encoding.burst_weights(spikes, beta, unit)).cumsum(0)
    assert (sums <= v + 2e-6).all()
    more = encoding.encode_burst(v, T + 3, beta, unit)
    assert torch.equal(more[:T], spikes), "more steps go on where fewer stopped"


def test_ten_steps_are_enough_for_every_burst_and_nine_are_not() -> None:
    v = torch.linspace(0, 1, 4097)[None]
    for T, enough in ((9, False), (10, True)):
        spikes = encoding.encode_burst(v, T)
        left = v - encoding.decode_weighted(spikes, encoding.burst_weights(spikes))
        assert bool((left < 1 / 16).all()) is enough


@given(numbers(-3.0, 5.0), st.integers(3, 20), st.integers(8, 64), st.sampled_from([0.0, 0.1, 0.2]))
def test_population_vector_within_a_sixth_of_the_spacing(v: Tensor, neurons: int, T: int, silence: float) -> None:
    spikes = encoding.encode_population(v, T, neurons, -3.0, 5.0, silence=silence)
    centres = encoding.field_centres(neurons, -3.0, 5.0)
    back = encoding.decode_population(encoding.decode_first_spike(spikes), centres)
    spacing = 8.0 / (neurons - 2)
    assert ((back - v).abs() <= spacing / 6 + 1e-5).all()


def test_a_silent_population_says_the_middle() -> None:
    assert encoding.decode_population(torch.zeros(2, 5), encoding.field_centres(5)).tolist() == [0.5, 0.5]


def series(step: float) -> st.SearchStrategy[Tensor]:
    """Series [T, B, N] that change by at most `step` from one step to the next."""
    shapes = hnp.array_shapes(min_dims=3, max_dims=3, max_side=12)
    moves = hnp.arrays(np.float64, shapes, elements=st.floats(-step, step))
    return moves.map(lambda m: torch.from_numpy(np.cumsum(m, 0)))


@given(series(1.0), st.floats(0.05, 0.9), st.floats(-2, 2))
def test_delta_with_counts_stays_within_the_threshold(x: Tensor, threshold: float, start: float) -> None:
    events = encoding.encode_delta(x, threshold, start, counts=True)
    assert (events.amin(2) == 0).all(), "never ON and OFF at once"
    back = encoding.decode_delta(events, threshold, start)
    assert ((back - x).abs() <= threshold + 1e-9).all()


@given(series(0.5), st.floats(0.5, 2.0))
def test_binary_delta_keeps_up_with_slow_series(x: Tensor, threshold: float) -> None:
    events = encoding.encode_delta(x, threshold)
    assert set(events.unique().tolist()) <= {0.0, 1.0}
    back = encoding.decode_delta(events, threshold, x[0])
    assert ((back - x).abs() <= threshold + 1e-9).all()


@given(series(1.0), st.integers(1, 11))
def test_delta_in_two_pieces_is_delta_of_the_whole(x: Tensor, cut: int) -> None:
    x = (x * 64).round() / 64
    cut = min(cut, len(x))
    whole = encoding.encode_delta(x, 0.25, 0.0)
    first = encoding.encode_delta(x[:cut], 0.25, 0.0)
    assert torch.equal(first, whole[:cut])
    if cut < len(x):
        reached = encoding.decode_delta(first, 0.25, 0.0)[-1]
        assert torch.equal(encoding.encode_delta(x[cut:], 0.25, reached), whole[cut:])


@pytest.mark.parametrize("counts", [False, True])
def test_rates_come_back_within_their_standard_error(counts: bool) -> None:
    v, T = torch.rand(40, 50, generator=torch.Generator().manual_seed(5)), 400
    back = encoding.decode_rate(encoding.encode_bernoulli(v, T, 0.9, seed=11), 0.9)
    z = (back - v) * 0.9 / (0.9 * v * (1 - 0.9 * v) / T).sqrt()
    assert z.abs().max() < 5
    assert 0.9 < z.std() < 1.1
    if counts:
        back = encoding.decode_rate(encoding.encode_poisson(v, T, 3.0, True, seed=11), 3.0)
        z = (back - v) * 3 / (3 * v / T).sqrt()
    else:
        spikes = encoding.decode_rate(encoding.encode_poisson(v, T, 0.7, seed=11))
        back = -torch.log1p(-spikes) / 0.7
        z = (spikes - (1 - (-0.7 * v).exp())) / ((-0.7 * v).exp() * (1 - (-0.7 * v).exp()) / T).sqrt()
        assert (back - v).abs().max() < 0.5
    assert z.abs().max() < 5
    assert 0.9 < z.std() < 1.1


@given(numbers(), st.integers(2, 20))
def test_lengths_hide_what_comes_later(v: Tensor, T: int) -> None:
    lengths = torch.arange(1, len(v) + 1).clamp(max=T)
    spikes = encoding.encode_latency(v, T)
    rate, first = encoding.decode_rate(spikes, lengths=lengths), encoding.decode_first_spike(spikes, lengths)
    weighted = encoding.decode_weighted(spikes, torch.arange(1.0, T + 1), lengths)
    for b, n in enumerate(lengths.tolist()):
        part = spikes[:n, b]
        assert torch.allclose(rate[b], part.mean(0))
        assert torch.allclose(weighted[b], (part * torch.arange(1.0, n + 1)[:, None]).sum(0))
        seen = part.sum(0) > 0
        assert torch.equal(first[b], torch.where(seen, 1 - part.argmax(0).float() / (T - 1), 0.0))


@given(numbers(-100, 100), st.integers(1, 5))
def test_direct_current_is_the_value(v: Tensor, T: int) -> None:
    x = encoding.encode_direct(v, T)
    assert all(torch.equal(step, v) for step in x)
    assert x.untyped_storage().data_ptr() == v.untyped_storage().data_ptr()
