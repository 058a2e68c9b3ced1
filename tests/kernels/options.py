"""Neuron layers with any options, and one pass through them: outputs, states and gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from snnkit import nn as snn
from snnkit.kernels import reference_only
from snnkit.kernels.state import map_state

from .covering import pairwise

FIRING = {
    "reset": ("zero", "subtract"),
    "detach": (True, False),
    "refractory": (0, 2),
    "where": ("layer", "channel", "neuron"),
    "learn": ("nothing", "decay", "threshold", "everything"),
    "dtype": (torch.float32, torch.float64, torch.bfloat16),
    "surrogate": tuple(snn.surrogate.SURROGATES),
    "state": ("at rest", "given"),
    "features": ((5,), (3, 4, 2)),
}
"""Options of neurons that fire, with their values."""

OPTIONS = {
    "LIF": FIRING,
    "CubaLIF": FIRING,
    "ALIF": FIRING,
    "LinearLeakIF": {name: values for name, values in FIRING.items() if name != "refractory"}
    | {"reverses": (True, False), "floor": (None, 0.5)},
    "LI": {name: FIRING[name] for name in ("where", "dtype", "state", "features")} | {"learn": ("nothing", "decay")},
}
"""Options of every neuron that has a fused kernel."""

CURVES = [
    (neuron, case)
    for neuron in ("LIF", "CubaLIF", "ALIF", "LinearLeakIF")
    for case in pairwise(
        {
            **{k: v for k, v in OPTIONS[neuron].items() if k in ("reset", "detach", "refractory", "reverses", "floor")},
            "surrogate": tuple(snn.surrogate.SURROGATES),
            "where": ("layer", "channel"),
        }
    )
]
"""Neurons and options, every surrogate among them, whose gradients finite differences look at."""

ROOMS = {"LIF": "lif", "CubaLIF": "cubalif", "ALIF": "alif", "LinearLeakIF": "linear_leak", "LI": "li"}
"""Their folders in snnkit/kernels, which are the names of their operators too."""


def name_of(case: dict[str, Any]) -> str:
    """A case as a test's name."""
    return "-".join(str(value).removeprefix("torch.").replace(" ", "") for value in case.values())


def build(neuron: str, case: dict[str, Any]) -> Any:
    """The layer, with parameters that differ from place to place."""
    generator = torch.Generator().manual_seed(1)
    features = case["features"]
    shape = {"layer": (), "channel": features[:1], "neuron": features}[case["where"]]

    def between(low: float, high: float) -> Tensor:
        return torch.rand(shape, generator=generator) * (high - low) + low

    learn = case["learn"]
    learn_decay = learn in ("decay", "everything")
    if neuron == "LI":
        return snn.LI(decay=between(0.1, 0.9), learn_decay=learn_decay)
    common: dict[str, Any] = {
        "threshold": between(0.7, 1.2),
        "reset": case["reset"],
        "detach_reset": case["detach"],
        "surrogate": case["surrogate"],
        "learn_threshold": learn in ("threshold", "everything"),
    }
    if neuron == "LinearLeakIF":
        common |= {"leak_reversal": case["reverses"], "floor": case["floor"], "learn_leak": learn_decay}
        return snn.LinearLeakIF(leak=between(-0.2, 0.1), **common)
    common |= {"learn_decay": learn_decay, "refractory": case["refractory"]}
    if neuron == "LIF":
        return snn.LIF(decay=between(0.1, 0.9), **common)
    if neuron == "ALIF":
        common |= {"adaptation": between(-0.1, 0.4), "learn_adaptation": learn in ("threshold", "everything")}
        return snn.ALIF(decay_mem=between(0.1, 0.9), decay_adapt=between(0.5, 0.95), **common)
    return snn.CubaLIF(decay_syn=between(0.1, 0.6), decay_mem=between(0.1, 0.9), **common)


def input_for(case: dict[str, Any], steps: int = 9, batch: int = 4) -> Tensor:
    """x [T, B, features…] that makes a fair share of the neurons fire."""
    generator = torch.Generator().manual_seed(2)
    return (torch.randn(steps, batch, *case["features"], generator=generator) * 0.7 + 0.2).to(case["dtype"])


def random_state(layer: Any, x: Tensor) -> Any:
    """A state as it might be in the middle of a sequence; its floating-point tensors want gradients."""
    generator = torch.Generator().manual_seed(3)
    refractory = getattr(getattr(layer, "neuron", layer), "refractory", 0)

    def some(part: Tensor) -> Tensor:
        if part.is_floating_point():
            return (torch.randn(part.shape, generator=generator) * 0.4).to(part.dtype).requires_grad_()
        return torch.randint(0, refractory + 1, part.shape, dtype=torch.int32, generator=generator)

    return map_state(some, layer.initial_state(x))


def everything(layer: Any, x: Tensor, state: Any) -> tuple[list[Tensor], list[Tensor]]:
    """(out and final state), (gradients of x, the initial state and the parameters) of one pass."""
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    generator = torch.Generator().manual_seed(4)
    if state is None:
        outputs = [layer(x)]
    else:
        out, final = layer(x, state)
        outputs = [out, *tree_leaves(final)]
    floats = [t for t in outputs if t.is_floating_point()]
    loss = sum((torch.randn(t.shape, generator=generator).to(t) * t).sum() for t in floats)
    inputs = [x, *(t for t in tree_leaves(state) if t is not None and t.is_floating_point()), *layer.parameters()]
    return outputs, list(torch.autograd.grad(loss, inputs))  # type: ignore[arg-type]


def assert_close(found: Tensor, expected: Tensor, tolerance: float, like: Tensor) -> None:
    """A gradient within the tolerance, relative to its largest value; a sum over many elements has 20 times as much."""
    allowed = tolerance if found.dim() > 1 and found.shape[0] == like.shape[0] else 20 * tolerance
    assert found.dtype == expected.dtype
    if found.dtype == torch.bfloat16:  # the last bit, where float32 values that differ by rounding meet a boundary
        torch.testing.assert_close(found, expected, rtol=2**-7, atol=1e-6)
        return
    assert torch.equal(found.isnan(), expected.isnan())
    found, expected = found.nan_to_num(0.0), expected.nan_to_num(0.0)
    if found.numel():
        assert (found - expected).abs().max() <= allowed * max(1.0, expected.abs().max().item())


def assert_same(layer: Any, x: Tensor, state: Any, tolerance: float, equal_nan: bool = False) -> list[Tensor]:
    """Fused against reference: outputs and states bit for bit, gradients to the tolerance. Returns the outputs."""
    with reference_only():
        outputs, gradients = everything(layer, x, state)
    fused_outputs, fused_gradients = everything(layer, x, state)
    for a, b in zip(fused_outputs, outputs):
        assert a.dtype == b.dtype
        if equal_nan:
            torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)
        else:
            assert torch.equal(a, b)
    for a, b in zip(fused_gradients, gradients):
        assert_close(a, b, tolerance, x)
    return outputs


def check(neuron: str, case: dict[str, Any]) -> None:
    """One case of the options: fused against reference."""
    layer, x = build(neuron, case), input_for(case)
    state = random_state(layer, x) if case["state"] == "given" else None
    outputs = assert_same(layer, x, state, 1e-12 if case["dtype"] == torch.float64 else 1e-6)
    if layer.spiking:
        assert 0.02 < outputs[0].float().mean() < 0.9
