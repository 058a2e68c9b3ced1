"""Delays: the equation, streams, gradients, bad settings."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snnkit import nn as snn
from snnkit.errors import ParameterError, ShapeError, StateError


def shifted(x: torch.Tensor, steps: int) -> torch.Tensor:
    """x [T, …] so many steps later."""
    out = torch.zeros_like(x)
    out[steps:] = x[: max(len(x) - steps, 0)]
    return out


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=4),
    st.sampled_from([(), (2,), (2, 3)]),
    st.lists(st.integers(1, 4), min_size=1, max_size=4),
    st.booleans(),
)
def test_each_channel_is_so_many_steps_late(
    steps: list[int], pixels: tuple[int, ...], chunks: list[int], one: bool
) -> None:
    """By its equation, as a whole and in chunks of any size, bit for bit; gradients are the mirror image."""
    if one:
        steps = steps[:1] * len(steps)
    g = torch.Generator().manual_seed(sum(chunks))
    x = torch.randn(sum(chunks), 2, len(steps), *pixels, generator=g).requires_grad_()
    layer = snn.Delay(steps[0] if one else steps)
    expected = torch.stack([shifted(x.detach()[:, :, c], d) for c, d in enumerate(steps)], 2)
    out = layer(x)
    assert torch.equal(out, expected)
    parts = torch.cat([part for part, _ in snn.stream(layer, x.split(chunks))])
    assert torch.equal(parts, expected)
    up = torch.randn(out.shape, generator=g)
    out.backward(up)
    mirrored = torch.stack([shifted(up.flip(0)[:, :, c], d).flip(0) for c, d in enumerate(steps)], 2)
    assert torch.equal(x.grad, mirrored)


def test_gradients_flow_through_the_state() -> None:
    layer = snn.Delay([1, 3])
    x = torch.randn(5, 1, 2, requires_grad=True)
    first, state = layer(x[:2], layer.initial_state(x))
    second, _ = layer(x[2:], state)
    (first.sum() + second.sum()).backward()
    assert x.grad[:, 0].tolist() == [[1, 1], [1, 1], [1, 0], [1, 0], [0, 0]]
    cut, _ = layer(x[2:], state.detach())
    x.grad = None
    cut.sum().backward()
    assert x.grad[:2].abs().sum() == 0


def test_the_state_is_the_last_inputs_and_holds_no_more() -> None:
    layer = snn.Delay(3)
    x = torch.arange(100.0).view(100, 1, 1)
    _, state = layer(x, layer.initial_state(x))
    assert state.last.flatten().tolist() == [97, 98, 99]
    assert state.last.untyped_storage().nbytes() == 3 * 4
    low, state = layer(x.bfloat16(), layer.initial_state(x))
    assert low.dtype == torch.bfloat16
    assert state.last.dtype == torch.float32


def test_bad_settings_and_inputs() -> None:
    for bad in (-1, 1.5, [], [1, -2], [0.5], True, [True]):
        with pytest.raises(ParameterError, match="whole number of steps"):
            snn.Delay(bad)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="3 channels in"):
        snn.Delay([1, 2, 3])(torch.zeros(4, 1, 2))
    layer = snn.Delay(2)
    x = torch.zeros(4, 1, 2)
    with pytest.raises(StateError, match=r"last has shape \(3, 1, 2\), the input needs \(2, 1, 2\)"):
        layer(x, snn.Delay(3).initial_state(x))
    assert layer.state_dict() == {}
    assert repr(snn.Delay([0] * 20)) == "Delay(steps=<20: 0 … 0>)"


def test_derivatives_of_every_kind() -> None:
    """Twice backward, forward mode and vmap: the delay is linear, so each is the delay again."""
    g = torch.Generator().manual_seed(0)
    for pixels in ((), (2, 3)):
        layer = snn.Delay([0, 2, 1])
        x = torch.randn(4, 2, 3, *pixels, generator=g, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(layer, (x,), check_forward_ad=True)
        assert torch.autograd.gradgradcheck(layer, (x,))
        many = torch.randn(5, *x.shape, generator=g, dtype=torch.float64)
        assert torch.equal(torch.func.vmap(layer)(many), torch.stack([layer(each) for each in many]))


def test_a_delay_of_channels_compiles_and_exports() -> None:
    layer = snn.Delay([0, 2, 1]).eval()
    x = torch.randn(4, 2, 3, 5)
    program = torch.export.export(layer, (x,), strict=False)
    assert torch.equal(program.module()(x), layer(x))
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x), layer(x))
