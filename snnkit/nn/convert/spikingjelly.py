"""spikingjelly 2.0: its layers, containers, neurons and surrogates, known by name."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from snnkit import surrogate as surrogates
from snnkit.errors import did_you_mean
from snnkit.nn import synapses
from snnkit.nn.convert import torch_layers
from snnkit.nn.convert.block import Block, Options, RefusedError, is_power_of_two
from snnkit.nn.convert.spikingjelly_steps import SpikingjellyNeuron
from snnkit.nn.convert.torch_layers import Copy
from snnkit.nn.neurons import LI, LIF, CubaLIF
from snnkit.surrogate import Surrogate

PACKAGE = "spikingjelly"
MODELS = "spikingjelly.activation_based.model"
"""Whole networks, to be looked into like a user's own."""

CONTAINERS = ("SeqToANNContainer", "MultiStepContainer", "StepModeContainer")
LAYERS = (
    "Linear", "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "GroupNorm",
    "MaxPool1d", "MaxPool2d", "MaxPool3d", "AvgPool1d", "AvgPool2d", "AvgPool3d", "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d", "AdaptiveAvgPool3d", "Upsample", "Flatten", "BatchNorm1d", "BatchNorm2d", "BatchNorm3d",
)  # fmt: skip
"""Layers that do at each step what the layer of torch of that name does."""

NORMS = tuple(f"ThresholdDependentBatchNorm{n}d" for n in (1, 2, 3))
STANDARDISED = ("WSConv2d", "WSLinear")
OTHERS = (*NORMS, *STANDARDISED, "Dropout", "Dropout2d", "Delay", "VotingLayer")
NEURONS = ("IFNode", "LIFNode", "ParametricLIFNode", "SimpleIFNode", "SimpleLIFNode", "CUBALIFNode", "NonSpikingIFNode",
           "NonSpikingLIFNode")  # fmt: skip
SUPPORTED = "neurons " + ", ".join(NEURONS) + "; layers " + ", ".join((*LAYERS, *OTHERS)) + "; " + ", ".join(CONTAINERS)

ROUNDS_INPUT = "(x − v)/tau is rounded before v is added, decay·v + x/tau is not"
ROUNDS_LEAK = "v − v/tau is rounded twice, decay·v once"
NEAR = ": a membrane within about 1e-7 of the threshold may decide otherwise"


def is_neuron(module: nn.Module) -> bool:
    """Whether it is one of spikingjelly's neurons, known here or not."""
    return type(module).__module__.startswith("spikingjelly.activation_based.neuron")


def is_container(module: nn.Module) -> bool:
    """Whether it is one of the containers that are known here."""
    return type(module).__module__.startswith(PACKAGE + ".") and type(module).__name__ in CONTAINERS


def step_mode(module: nn.Module) -> str | None:
    """ "s" or "m"; None for what has no step mode."""
    if not type(module).__module__.startswith(PACKAGE + "."):
        return None
    if type(module).__name__ in ("SeqToANNContainer", "MultiStepContainer", "NonSpikingIFNode", "NonSpikingLIFNode"):
        return "m"
    mode = getattr(module, "step_mode", None)
    return mode if mode in ("s", "m") else None


def surrogate(function: Any, options: Options) -> Surrogate:
    """The surrogate of snnkit with the same derivative.

    Raises:
        RefusedError: there is none, and none was given to use instead.
    """
    name, alpha = type(function).__name__, float(getattr(function, "alpha", 1.0))
    if not getattr(function, "spiking", True):
        raise RefusedError(f"surrogate {name}(spiking=False): it gives no spikes", "set_spiking_mode(True)")
    if options.surrogate is not None:
        return options.surrogate
    same = {
        "ATan": ("arctan", alpha),
        "Sigmoid": ("sigmoid", alpha),
        "PiecewiseQuadratic": ("triangle", alpha),
        "Rect": ("piecewise_linear", alpha),
        "Erf": ("gaussian", alpha * math.sqrt(2)),
    }
    if name == "SuperSpike" and alpha == 1:
        return surrogates.get("fast_sigmoid", 1.0)
    if name == "SoftSign" and alpha == 2:
        return surrogates.get("fast_sigmoid", 2.0)
    if name not in same or not type(function).__module__.startswith(PACKAGE + "."):
        raise RefusedError(
            f"no surrogate here has the derivative of {type(function).__module__}.{name}",
            'choose one: convert_from(…, surrogate="arctan"); spikes do not depend on it',
        )
    return surrogates.get(*same[name])


def neuron(m: Any, options: Options) -> Block:
    """A neuron layer as one of snnkit, with the gain that its input needs.

    Raises:
        RefusedError: a neuron or setting without counterpart.
    """
    name = type(m).__name__
    if name not in NEURONS:
        raise RefusedError(
            f"{name} has no counterpart here{did_you_mean(name, NEURONS)}",
            "supported neurons are " + ", ".join(NEURONS) + "; for others give rules={TheClass: function}",
        )
    if name.startswith("NonSpiking"):
        return _silent(m)
    if getattr(m, "_neuron_precision", None) is not None:
        raise RefusedError("it has a precision of its own", "convert it with the default precision")
    g = surrogate(m.surrogate_function, options)
    if name == "CUBALIFNode":
        return _cuba(m, g)
    learned = getattr(m, "w", None) if name == "ParametricLIFNode" else None
    if learned is not None:
        leak = torch.sigmoid(learned.detach().float()).item()
    else:
        leak = 1 / m.tau if hasattr(m, "tau") else 0.0
    decay_input = bool(leak and m.decay_input)
    rest = 0.0 if m.v_reset is None else float(m.v_reset)
    if name.startswith("Simple") and rest:
        raise RefusedError(f"{name}(v_reset={rest:g}) starts at 0 and returns to v_reset", "use v_reset=0.0 or None")
    reasons = []
    if decay_input:
        reasons.append(ROUNDS_INPUT + NEAR)
    elif leak and not is_power_of_two(leak):
        reasons.append(ROUNDS_LEAK + NEAR)
    if rest:
        reasons.append(
            f"v is counted from v_reset, so the threshold is {m.v_threshold - rest:g}: equal but for rounding"
        )
    if reasons and options.exact:
        tau = float(m.tau) if leak and learned is None else None
        steps = SpikingjellyNeuron(tau, decay_input, float(m.v_threshold), m.v_reset, m.detach_reset, g, learned)
        return Block(steps, why="spikingjelly's own order of operations, step by step", neuron=True)
    decay = 1 - leak if learned is None else torch.sigmoid(-learned.detach().double()).item()
    ours = LIF(
        decay=decay,
        threshold=float(m.v_threshold) - rest,
        reset="subtract" if m.v_reset is None else "zero",
        detach_reset=m.detach_reset,
        surrogate=g,
        learn_decay=learned is not None,
    )
    if learned is not None:
        logit = ours.get_parameter("decay_logit")
        with torch.no_grad():
            logit.copy_(-learned)
        logit.requires_grad_(learned.requires_grad)
        if decay_input:
            reasons.append("the input's gain 1/tau stays as it is where the decay is trained on")
    exact = not reasons
    why = "" if not exact else "v + x in both" if not leak else "v − v/tau and decay·v round alike where 1/tau is 2⁻ᵏ"
    return Block(ours, exact, "; ".join(reasons) or why, gain=leak if decay_input else None, neuron=True)


def _silent(m: Any) -> Block:
    """A neuron that does not fire."""
    if m.decode is not None:
        raise RefusedError(
            f"{type(m).__name__}(decode={m.decode!r}) takes the sequence together",
            "convert it with decode=None and reduce what snn.LI gives: out[-1], out.mean(0) or out.amax(0)",
        )
    leak = 1 / m.tau if hasattr(m, "tau") else 0.0
    why = "gives one tensor [T, B, …] instead of a list"
    return Block(
        LI(decay=1 - leak), not leak, f"{ROUNDS_INPUT}; {why}" if leak else why, gain=leak or None, neuron=True
    )


def _cuba(m: Any, g: Surrogate) -> Block:
    """A neuron with a current; its decays are what remains, as ours."""
    if m.v_reset:
        raise RefusedError(
            f"CUBALIFNode(v_reset={m.v_reset:g}) leaks to 0 and returns to v_reset", "v_reset=0.0 or None"
        )
    ours = CubaLIF(
        decay_syn=m.c_decay,
        decay_mem=m.v_decay,
        threshold=float(m.v_threshold),
        reset="subtract" if m.v_reset is None else "zero",
        detach_reset=m.detach_reset,
        surrogate=g,
    )
    return Block(ours, why="the same operations in the same order", neuron=True)


def layer(m: Any, copy: Copy) -> Block:
    """A layer that is no neuron and no container.

    Raises:
        RefusedError: a layer without counterpart.
    """
    name = type(m).__name__
    if name in LAYERS:
        return torch_layers.convert(m, getattr(nn, name), copy)
    if name in NORMS:
        new = torch_layers.rebuild(synapses.BatchNorm, m, copy)
        return Block(new, why="alpha·v_th is in its weight, as there", affine=True)
    if name in STANDARDISED:
        return _standardised(m)
    if name == "Dropout":
        return Block(synapses.Dropout(m.p).train(m.training), homogeneous=True)
    if name == "Dropout2d":
        dropout = nn.Dropout2d(m.p).train(m.training)
        return Block(synapses.over_time(dropout), why="in training drawn at each step, not once per sequence")
    if name == "Delay":
        return Block(synapses.Delay(m.delay_steps), homogeneous=True)
    if name == "VotingLayer":
        return Block(synapses.over_time(nn.AvgPool1d(m.voting_size, m.voting_size)), axes=1)
    raise RefusedError(
        f"{name} has no counterpart here{did_you_mean(name, (*LAYERS, *OTHERS, *CONTAINERS))}",
        "supported are " + SUPPORTED,
    )


def _standardised(m: Any) -> Block:
    """Weights as they are used now: the standardisation of spikingjelly has a gain and another ε."""
    if getattr(m, "padding_mode", "zeros") != "zeros":
        raise RefusedError(f"{type(m).__name__} pads with zeros whatever padding_mode says", 'padding_mode="zeros"')
    cls = synapses.Linear if type(m).__name__ == "WSLinear" else synapses.Conv2d
    new = torch_layers.build(cls, m)
    values = {"weight": m.get_weight(), "bias": m.bias}
    new.load_state_dict({name: values[name] for name in new.state_dict()})
    axes = torch_layers.AXES[cls.__name__]
    return Block(
        new, why="has the standardised weights; training goes on without standardising", affine=True, axes=axes
    )
