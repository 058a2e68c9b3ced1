"""What every public layer does: dtypes, memory layouts, streams, shapes and lists that do not fit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils import _pytree as pytree

from snnkit import nn as snn
from snnkit.errors import ShapeError, StateError

from .layers import BATCH, EXAMPLES, FEATURES, STEPS, Example, every_layer, public_layers

examples = pytest.mark.parametrize("name", EXAMPLES)


def quiet(layer: nn.Module) -> nn.Module:
    """Without dropout, whose masks differ from call to call, and in the mode in which streams run."""
    return layer.eval()


def tracked(example: Example) -> bool:
    """Whether it can run a stream: a norm without running statistics cannot."""
    norms = [m for m in example.layer().modules() if isinstance(m, snn.BatchNorm)]
    return all(m.running_mean is not None for m in norms)


def test_every_public_layer_has_an_example() -> None:
    """A new layer gets its example in layers.py, and with it the tests of this folder."""
    assert public_layers() == {name.split()[0] for name in EXAMPLES}
    assert public_layers() <= {type(m).__name__ for m in every_layer().modules()}
    for name, example in EXAMPLES.items():
        assert type(example.layer()).__name__ == name.split()[0]


@examples
def test_time_and_batch_come_first(name: str) -> None:
    example = EXAMPLES[name]
    out = example.layer()(example.x())
    assert out.shape[:2] == (STEPS, BATCH)
    assert out.dtype == torch.float32
    assert not out.isnan().any()


@pytest.mark.parametrize("name", [n for n, e in EXAMPLES.items() if tracked(e)])
def test_no_step_looks_ahead_and_no_sample_at_another(name: str) -> None:
    """What comes later, or in another sample, changes nothing (in evaluation)."""
    example = EXAMPLES[name]
    layer, x = quiet(example.layer()), example.x()
    later, other = x.clone(), x.clone()
    later[2:] = 3.0
    other[:, 1:] = 3.0
    torch.testing.assert_close(layer(later)[:2], layer(x)[:2])
    torch.testing.assert_close(layer(other)[:, 0], layer(x)[:, 0])


@examples
def test_a_stream_gives_the_bits_of_the_whole(name: str) -> None:
    """Convolutions and matrix products of torch may round differently for another number of rows, so values there are
    whole numbers."""
    example = EXAMPLES[name]
    layer, x = quiet(example.layer()), example.x().mul(4).round()
    whole_numbers(layer)
    if not tracked(example):
        with pytest.raises(StateError, match="part of a sequence"):
            list(snn.stream(layer, [x]))
        return
    whole, final = snn.run(layer, x)
    for size in (1, 3):
        chunks = list(snn.stream(layer, x.split(size)))
        assert torch.equal(torch.cat([out for out, _ in chunks]), whole)
        last = chunks[-1][1]
        assert all(torch.equal(a, b) for a, b in zip(pytree.tree_leaves(last), pytree.tree_leaves(final), strict=True))
    assert torch.equal(layer(x), whole)


def whole_numbers(layer: nn.Module) -> None:
    with torch.no_grad():
        for module in layer.modules():
            if not isinstance(module, snn.Neuron):
                for p in module.parameters(recurse=False):
                    p.copy_((p * 8).round())


@examples
def test_float64(name: str) -> None:
    """In float64 nothing is lost on the way through float32."""
    example = EXAMPLES[name]
    layer = quiet(example.layer()).double()
    x = example.x().double()
    out = layer(x)
    assert out.dtype == torch.float64
    if not any(isinstance(m, snn.Stateful) for m in layer.modules()):
        torch.manual_seed(0)
        noise = torch.rand_like(x) * 1e-12  # far below the steps of float32
        assert (layer(x + noise) - out).abs().max() < 1e-9
        assert not torch.equal(layer(x + noise), out)


@examples
def test_bf16_autocast(name: str) -> None:
    """Forward and backward run, and states stay float32."""
    example = EXAMPLES[name]
    layer = example.layer()
    x = example.x().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        out, states = snn.run(layer, x)
        low, _ = snn.run(layer, x.to(torch.bfloat16))
    assert out.dtype in (torch.float32, torch.bfloat16)
    assert low.dtype in (torch.float32, torch.bfloat16)
    for tensor in pytree.tree_leaves(states):
        assert tensor.dtype in (torch.float32, torch.int32)
    (out.float().sum() + low.float().sum()).backward()
    assert x.grad is not None
    assert not x.grad.isnan().any()


@pytest.mark.parametrize("name", [n for n, e in EXAMPLES.items() if len(e.features) == 3])
def test_channels_last(name: str) -> None:
    """The values do not depend on how the images lie in memory."""
    example = EXAMPLES[name]
    layer, x = quiet(example.layer()), example.x()
    last = x.flatten(0, 1).to(memory_format=torch.channels_last).unflatten(0, x.shape[:2])
    assert not last.is_contiguous()
    torch.testing.assert_close(layer(last), layer(x))
    given = last.clone().requires_grad_()
    plain = x.clone().requires_grad_()
    layer(given).square().sum().backward()
    layer(plain).square().sum().backward()
    torch.testing.assert_close(given.grad, plain.grad)


STAY_LAST = ["AdaptiveAvgPool2d", "AvgPool2d", "Conv2d", "ConvTranspose2d", "LIF", "MaxPool2d", "Upsample", "CubaLIF"]


@pytest.mark.parametrize("name", STAY_LAST)
def test_channels_last_stays_channels_last(name: str) -> None:
    example = EXAMPLES[name]
    if len(example.features) != 3:
        example = Example(example.make, (2, 6, 6))
    x = example.x().flatten(0, 1).to(memory_format=torch.channels_last).unflatten(0, (STEPS, BATCH))
    out = example.layer()(x)
    assert out.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)


@examples
def test_a_list_of_samples_is_refused_with_the_way_out(name: str) -> None:
    example = EXAMPLES[name]
    samples = [torch.zeros(n, *example.features) for n in (4, 2)]
    layer = example.layer()
    with pytest.raises(ShapeError, match=r"a list of 2 samples of unequal length \(2 to 4 steps\)[\s\S]*pad_sequence"):
        snn.run(layer, samples)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="pad_sequence"):
        layer(samples)


@pytest.mark.parametrize(
    "name", [n for n, e in EXAMPLES.items() if not isinstance(e.make(), snn.OverTime | snn.Dropout)]
)
def test_too_few_dimensions_name_the_layer(name: str) -> None:
    with pytest.raises(ShapeError, match=r"layer '0\S*' \w+\(.*got an input of shape \(3, 4\)"):
        snn.run(nn.Sequential(EXAMPLES[name].layer()), torch.zeros(3, 4))


@pytest.mark.parametrize("name", [n for n, e in EXAMPLES.items() if isinstance(e.make(), snn.Stateful)])
def test_states_of_another_batch_device_or_dtype_are_refused(name: str) -> None:
    example = EXAMPLES[name]
    layer: Any = quiet(example.layer())
    x = example.x()
    state = layer.initial_state(x)
    out, final = layer(x, state)
    assert type(final) is type(state)
    with pytest.raises(StateError, match=rf"has shape .*, the input needs \([\d, ]*{BATCH + 1}, "):
        layer(example.x(batch=BATCH + 1), state)
    with pytest.raises(StateError, match=r"is on meta, the input on cpu[\s\S]*state\.to\('cpu'\)"):
        layer(x, state.to("meta"))
    with pytest.raises(StateError, match=r"is float64, an input of float32 needs float32"):
        layer(x, state.to(dtype=torch.float64))
    with pytest.raises(StateError, match="instead of a"):
        layer(x, (1, 2))
    with pytest.raises(StateError, match=r"(is float32, an input of float64 needs float64|is on)"):
        layer.double()(x.double(), state)
    assert torch.equal(layer.float()(x, state)[0], out)


def test_the_model_with_every_layer_streams() -> None:
    """Through all layers at once; torch's products round as they like, so only to rounding."""
    model = every_layer().eval()
    x = (torch.rand(7, 2, *FEATURES, generator=torch.Generator().manual_seed(2)) < 0.5).float()
    whole, _ = snn.run(model, x)
    parts = torch.cat([out for out, _ in snn.stream(model, x.split(2))])
    torch.testing.assert_close(parts, whole)
    assert whole.abs().max() > 0
