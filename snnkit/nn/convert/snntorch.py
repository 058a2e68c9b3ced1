"""snntorch 1.0: its neurons and surrogates, known by name."""

from __future__ import annotations

import inspect
from typing import Any

from torch import Tensor, nn

from snnkit import surrogate as surrogates
from snnkit.errors import did_you_mean
from snnkit.nn.convert.block import Block, Options, RefusedError
from snnkit.nn.convert.snntorch_layers import NeuronLayers
from snnkit.nn.convert.torch_layers import Copy
from snnkit.surrogate import Surrogate

PACKAGE = "snntorch"
NEURONS = ("Leaky", "RLeaky", "Synaptic", "RSynaptic", "Lapicque")
STATES = ("mem", "syn", "spk")
"""Names under which its neurons keep their state."""


def is_neuron(module: nn.Module) -> bool:
    """Whether it is one of snntorch's neurons, known here or not."""
    return type(module).__module__.startswith("snntorch._neurons")


def surrogate(m: Any, options: Options) -> Surrogate:
    """The surrogate of snnkit with the same derivative.

    Raises:
        RefusedError: there is none, and none was given to use instead.
    """
    if options.surrogate is not None:
        return options.surrogate
    function = m.spike_grad
    name = getattr(function, "__qualname__", type(function).__qualname__)
    if getattr(function, "__module__", "") == "snntorch.surrogate" and name.endswith(".<locals>.inner"):
        inside = inspect.getclosurevars(function).nonlocals
        same = {
            "atan": ("arctan", "alpha"),
            "fast_sigmoid": ("fast_sigmoid", "slope"),
            "sigmoid": ("sigmoid", "slope"),
        }
        maker = name.split(".")[0]
        if maker in same:
            ours, steepness = same[maker]
            return surrogates.get(ours, float(inside[steepness]))
        name = maker
    raise RefusedError(
        f"no surrogate here has the derivative of {name}",
        'choose one: convert_from(…, surrogate="arctan"); spikes do not depend on it',
    )


def describe(m: Any) -> str:
    """A neuron in one line: it has no `extra_repr` of its own."""

    def value(name: str) -> str:
        t = getattr(m, name).detach()
        return f"{name}={t.item():.6g}" if t.numel() == 1 else f"{name}=<{'×'.join(map(str, t.shape))}>"

    names = [n for n in ("alpha", "beta", "threshold") if isinstance(getattr(m, n, None), Tensor)]
    text = ", ".join(map(value, names)) + f", reset_mechanism={m.reset_mechanism!r}"
    return f"{type(m).__name__}({text}, reset_delay={getattr(m, 'reset_delay', True)})"


def _refuse_options(m: Any) -> None:
    for name, plain, fix in (
        ("inhibition", False, "winner-take-all over the layer has no counterpart"),
        ("state_quant", False, "train on with snnkit's quantisation instead"),
    ):
        if getattr(m, name, plain) is not plain:
            raise RefusedError(f"{type(m).__name__}({name}=…)", fix)
    if not bool((m.graded_spikes_factor.detach() == 1).all()):
        raise RefusedError(
            "graded_spikes_factor is not 1, and spikes here are 0 and 1",
            "multiply the weights of the layer behind it by the factor, and set it to 1",
        )
    base = {"_base_sub": "subtract", "_base_zero": "zero", "_base_int": "none"}
    if base.get(m.state_function.__name__) != m.reset_mechanism:
        raise RefusedError(
            f"it was built with the reset {base.get(m.state_function.__name__)!r} and says {m.reset_mechanism!r} now",
            "snntorch chooses the reset when a neuron is built: build it anew",
        )


def neuron(m: Any, axes: int | None, options: Options, copy: Copy) -> Block:
    """A neuron layer as one of snnkit, or as several in a Sequential.

    Raises:
        RefusedError: a neuron or setting without counterpart.
    """
    name = type(m).__name__
    if name not in NEURONS:
        raise RefusedError(
            f"{name} has no counterpart here{did_you_mean(name, NEURONS)}",
            "supported neurons are " + ", ".join(NEURONS) + "; for others give rules={TheClass: function}",
        )
    _refuse_options(m)
    g = surrogate(m, options)
    delayed = bool(getattr(m, "reset_delay", True))
    if name == "RSynaptic" and not delayed:
        raise RefusedError("RSynaptic(reset_delay=False) fails in snntorch 1.0", "reset_delay=True")
    build = NeuronLayers(m, name, delayed, g, axes, copy)
    try:
        block = build.block(options)
    except RefusedError:
        if not options.exact:
            raise
        block = Block(nn.Identity(), exact=False)
    if options.exact and not block.exact:
        block = Block(build.literal(), why="snntorch's own order of operations, step by step", neuron=True)
    if m.output:
        block.why = "; ".join(
            filter(None, (block.why, "gives spikes only: see the membrane with snn.record(model, v=…)"))
        )
    block.was = describe(m)
    return block
