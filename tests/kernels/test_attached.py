"""The fused kernels' gradients by finite differences where spikes are steps: attached resets as well as detached ones.

The gradient of a step is the surrogate's, so that no finite difference of the neuron itself shows it. Around one input
there is a function that does: its spikes are the steps taken there plus what the ramp (the surrogate's integral) has
risen since, [d₀ ≥ 0] + ramp(d) − ramp(d₀). There it has the neuron's spikes, states and resets, bit for bit, and its
derivative is what the kernels have to give, through an attached reset too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from snnkit import nn as snn
from snnkit import surrogate
from snnkit.kernels import reference_only
from snnkit.kernels.lif.reference import LIFParams, LIFState, step
from snnkit.kernels.norm_lif.counted import from_counted
from snnkit.kernels.norm_lif.op import Pool, sequence
from snnkit.kernels.norm_lif.statistics import from_batch, from_running
from snnkit.kernels.sequence import run_steps

from .covering import pairwise
from .options import CURVES, build, input_for, name_of, random_state


class Anchored(surrogate.Smooth):
    """The spikes of one pass, `at` which it was called first, and in later passes what the ramp adds to them."""

    def __init__(self, of: surrogate.Surrogate) -> None:
        super().__init__(of)
        object.__setattr__(self, "at", [])
        object.__setattr__(self, "turn", [])

    def again(self) -> None:
        """The next call is the first of a pass."""
        self.turn.clear()

    def ramp(self, d: Tensor) -> Tensor:
        k = len(self.turn)
        self.turn.append(None)
        if k == len(self.at):
            self.at.append(d.detach())
        anchor = self.at[k]
        return (anchor >= 0).to(d.dtype) + (self.of.ramp(d) - self.of.ramp(anchor))


class Forward(torch.autograd.Function):
    """The values of one function with the gradients of another."""

    @staticmethod
    def forward(ctx: Any, values: Any, fused: Any, *inputs: Tensor) -> Any:
        ctx.fused = fused
        ctx.save_for_backward(*inputs)
        return values(*inputs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        inputs = [t.detach().requires_grad_() for t in ctx.saved_tensors]
        with torch.enable_grad():
            outputs = ctx.fused(*inputs)
        return None, None, *torch.autograd.grad(outputs, inputs, grads)


def check(anchored: Callable[..., Any], fused: Callable[..., Any], inputs: list[Tensor]) -> None:
    """Equal at the inputs, where neurons fire; and there the one's derivative is the other's gradient."""
    for a, b in zip(anchored(*inputs), fused(*inputs), strict=True):
        assert torch.equal(a, b)
    assert 0.02 < fused(*inputs)[0].detach().mean() < 0.95
    assert torch.autograd.gradcheck(
        lambda *t: Forward.apply(anchored, fused, *t), inputs, eps=1e-7, atol=1e-6, check_undefined_grad=False
    )


@pytest.mark.parametrize(("neuron", "case"), CURVES, ids=lambda v: v if isinstance(v, str) else name_of(v))
def test_neurons(neuron: str, case: dict[str, Any]) -> None:
    """Of outputs and final states with respect to input, initial state and parameters, in float64."""
    case = case | {"learn": "everything", "dtype": torch.float64, "features": (3,)}
    layer = build(neuron, case).double()
    x = input_for(case, steps=5, batch=2)
    state = random_state(layer, x)
    held = [t.requires_grad for t in state]
    names = [name for name, _ in layer.named_parameters()]
    hard, smooth = layer.surrogate, Anchored(layer.surrogate)

    def run(kind: surrogate.Surrogate, *values: Tensor) -> tuple[Tensor, ...]:
        given = iter(values[1:])
        start = type(state)(*(next(given) if want else t for t, want in zip(state, held)))
        layer.surrogate = kind
        out, final = torch.func.functional_call(layer, dict(zip(names, given)), (values[0], start))
        return (out, *(t for t in final if t.is_floating_point()))

    def anchored(*values: Tensor) -> tuple[Tensor, ...]:
        smooth.again()
        return run(smooth, *values)

    inputs = [x.requires_grad_(), *(t for t in state if t.requires_grad), *layer.parameters()]
    check(anchored, lambda *values: run(hard, *values), inputs)
    with reference_only():  # the definition with its steps has the same gradients
        expected = torch.autograd.grad([t.sum() for t in run(hard, *inputs)], inputs)
    found = torch.autograd.grad([t.sum() for t in run(hard, *inputs)], inputs)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("neuron", ["LIF", "CubaLIF", "ALIF"])
def test_recurrent_layers(neuron: str, reset: str) -> None:
    """With an attached reset, in the operator that has the loop over steps."""
    case = {"reset": reset, "detach": False, "refractory": 0, "where": "layer", "learn": "everything"}
    case |= {"dtype": torch.float64, "surrogate": "arctan", "features": (3,)}
    torch.manual_seed(0)
    layer = snn.Recurrent(build(neuron, case), snn.Linear(3, 3)).double()
    hard, smooth = layer.neuron.surrogate, Anchored(layer.neuron.surrogate)
    names = [name for name, _ in layer.named_parameters()]

    def run(kind: surrogate.Surrogate, x: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        smooth.again()
        layer.neuron.surrogate = kind
        return (torch.func.functional_call(layer, dict(zip(names, values)), (x,)),)

    inputs = [input_for(case, steps=5, batch=2).requires_grad_(), *layer.parameters()]
    check(lambda *t: run(smooth, *t), lambda *t: run(hard, *t), inputs)


CHANNELS = 3
NORM = pairwise(
    {
        "pool": (None, Pool(2, 2), Pool(1, 2, before=True)),
        "surrogate": tuple(surrogate.SURROGATES),
        "reset_to_zero": (True, False),
        "detach_reset": (False, True),
        "refractory": (0, 1),
        "norm": ("batch", "running", "lengths"),
        "last": (False, True),
    }
)


@pytest.mark.parametrize("case", NORM, ids=name_of)
def test_norm_neuron_and_pool(case: dict[str, Any]) -> None:
    """With respect to input, norm, initial state, decay and threshold."""
    pool, kind, hard = case["pool"], case["norm"], surrogate.get(case["surrogate"])
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 2, CHANNELS, 2, 2, generator=generator).double() * 1.5
    if case["last"]:
        x = x.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    mean, var = torch.linspace(-0.2, 0.2, CHANNELS).double(), torch.linspace(0.5, 1.5, CHANNELS).double()
    gain, bias, decay, threshold = (
        torch.rand(CHANNELS, generator=generator).double() + k for k in (0.8, -0.2, 0.0, 0.3)
    )
    before = pool is not None and pool.before
    v0 = torch.randn(pool.shape(x)[1:] if before else x.shape[1:], generator=generator).double() * 0.4
    mask = (torch.arange(4)[:, None] < torch.tensor([4, 2])).flatten()
    smooth = Anchored(hard)

    def neuron(surrogate: Any, v0: Tensor, decay: Tensor, threshold: Tensor) -> tuple[LIFParams, LIFState]:
        each = [p.view(-1, 1, 1) for p in (decay, threshold)]
        options = case["reset_to_zero"], case["detach_reset"], case["refractory"]
        return LIFParams(*each, *options, surrogate), LIFState(v0, torch.zeros(v0.shape, dtype=torch.int32))

    def pooled(x: Tensor) -> Tensor:
        return x if pool is None else F.avg_pool2d(x.flatten(0, 1), pool[:2]).unflatten(0, x.shape[:2])

    def normed(x: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
        """Its own operations, the same as the kernel's in value up to rounding."""
        flat, wide = x.flatten(0, 1), [1, -1, 1, 1]
        if kind == "running":
            center, spread = mean, var
        else:
            counted = flat[mask] if kind == "lengths" else flat
            spread, center = torch.var_mean(counted, (0, 2, 3), correction=0)
        y = (flat - center.view(wide)) * ((spread + 1e-5).rsqrt() * gain).view(wide) + bias.view(wide)
        return y.unflatten(0, x.shape[:2])

    def anchored(x: Tensor, gain: Tensor, bias: Tensor, v0: Tensor, *values: Tensor) -> tuple[Tensor, Tensor]:
        smooth.again()
        params, state = neuron(smooth, v0, *values)
        y = normed(x, gain, bias)
        out, final = run_steps(step, pooled(y) if before else y, state, params)
        return valid(out if before else pooled(out), final.v)

    def valid(out: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """What counts: statistics have no gradient from other steps."""
        if kind != "lengths":
            return out, v
        return torch.where(mask.view(4, 2, 1, 1, 1), out, 0.0), v[:1]

    def fused(x: Tensor, gain: Tensor, bias: Tensor, v0: Tensor, *values: Tensor) -> tuple[Tensor, Tensor]:
        params, state = neuron(hard, v0, *values)
        flat = x.detach().flatten(0, 1)
        norm: Any = from_running(mean, var, 1e-5)
        if kind != "running":
            norm = from_batch(flat, None, 0.0, 1e-5) if kind == "batch" else from_counted(flat, mask, 1e-5)[0]
        out, final = sequence(x, norm, gain, bias, state, params, pool, True)
        assert final is not None
        return valid(out, final.v)

    inputs = [t.detach().requires_grad_() for t in (x, gain, bias, v0, decay, threshold)]
    for a, b in zip(anchored(*inputs), fused(*inputs), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)  # torch's operations round elsewhere
    assert 0.02 < fused(*inputs)[0].detach().mean() < 0.95
    assert torch.autograd.gradcheck(
        lambda *t: Forward.apply(anchored, fused, *t), inputs, eps=1e-7, atol=1e-6, check_undefined_grad=False
    )
