"""Training through the mismatch of BrainScaleS-2: 6-bit weights with straight-through gradients, and a virtual chip's
time constants, gains and potentials in every layer; one chip, or a new one for every batch.

Each layer becomes its twin on the chip, at the ends of steps:

    x = ((W_q+ * driver gain) s * charge_e - (W_q- * driver gain) s * charge_i) * neuron gain + shift

with decays dm' = dm^(1/f) of a time constant f times as long, thresholds shifted in units of the model, and the charge
of an event, which grows with the synaptic time constant: excitatory and inhibitory ones deviate apart and no longer
cancel. shift = (1 - dm')[(1 - ds')] * leak/unit. W_q = round(63 W/(share max|W|)) clipped to 63, with the gradient
of W. Batch norms after a synapse are frozen and folded into W and a bias, which has the gain of its line. What the twin
leaves out: that neurons fire within a step, that the two currents decay apart, and the rounding of biases. The weights
that are saved are the network's own: it stays a plain network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from snnkit import nn as snn
from snnkit.errors import UsageError
from snnkit.quantization.wiring import LayerWiring
from snnkit.targets.brainscales2 import spec
from snnkit.targets.brainscales2.mismatch import Mismatch, VirtualChip, virtual_chip
from snnkit.targets.brainscales2.quantize import first_response

FIRST_TRAINING_CHIP = 500_000
"""Chips for training are drawn from here on, so that those of reports (from 0 on) are never among them."""


def fake_quantise(weight: Tensor, share: float = 1.0) -> Tensor:
    """`weight` as the chip's 6-bit weights in its own units; the gradient passes straight through.

    Equation: round(clip(63 w/top, -63, 63)) top/63 with top = share * max|w|.
    """
    top = (weight.detach().abs().max() * share).clamp(min=1e-12)
    scale = spec.WEIGHT_MAX / top
    whole = torch.clamp(torch.round(weight.detach() * scale), -spec.WEIGHT_MAX, spec.WEIGHT_MAX) / scale
    return weight + (whole - weight).detach()


@dataclass(eq=False)
class _Layer:
    """One synapse, its norm, its neuron, and how they are wired."""

    name: str
    synapse: torch.nn.Linear
    norm: torch.nn.Module | None
    neuron: Any
    wiring: LayerWiring
    twin: Any = None
    gains: Tensor | None = None
    bias_gain: float = 1.0
    charge: tuple[Tensor, Tensor] | None = None
    shift: Tensor | None = None
    read: Tensor | None = None


@dataclass(eq=False)
class MismatchTraining:
    """Makes a network its twin on virtual chips.

    Args:
        wirings: by layer, see `snnkit.quantization.wiring`.
        chip: the seed of one chip to train for; None: a new chip for every batch.
        sigma: of the mismatch.
    """

    wirings: Mapping[str, LayerWiring]
    chip: int | None = None
    sigma: Mismatch = field(default_factory=Mismatch)

    def __call__(self, module: Any) -> None:
        """Attach to a `SpikingClassifier`: its network, and the averaged one that is evaluated."""
        self.attach(module.net, fresh=self.chip is None)
        if module.average is not None:
            self.attach(module.average, fresh=False)

    def attach(self, net: torch.nn.Module, *, fresh: bool) -> None:
        """Replace what the layers of a network compute; `fresh`: by a new chip in every training batch.

        Without a chip and not fresh, weights are rounded and the rest is ideal.

        Raises:
            UsageError: a layer that this does not know.
        """
        layers = self._layers(net)
        for layer in layers:
            if layer.norm is not None:
                layer.norm.eval()
                layer.norm.train = lambda mode=True, norm=layer.norm: norm  # type: ignore[method-assign,misc]
                layer.norm.forward = lambda x: x  # folded into the synapse
            layer.synapse.forward = lambda x, it=layer: F.linear(x, *_weight(it))  # type: ignore[method-assign,misc]
            layer.neuron.forward = lambda x, it=layer: _neuron(it, x)
        chip = None if self.chip is None else virtual_chip(self.chip, self.sigma)
        self._tune(layers, chip)
        if fresh:

            def draw(net: torch.nn.Module, args: Any) -> None:
                if net.training:
                    seed = int(torch.randint(FIRST_TRAINING_CHIP, spec.CHIP_SEEDS, ()))
                    self._tune(layers, virtual_chip(seed, self.sigma))

            net.register_forward_pre_hook(draw)

    def _layers(self, net: torch.nn.Module) -> list[_Layer]:
        found: list[_Layer] = []
        synapse: Any = None
        norm: Any = None
        for name, m in net.named_modules():
            if isinstance(m, snn.Linear):
                synapse, norm = m, None
            elif isinstance(m, snn.BatchNorm):
                norm = m
            elif isinstance(m, snn.LIF | snn.CubaLIF | snn.LI):
                learned = [k for k, _ in m.named_parameters()]
                if synapse is None or name not in self.wirings or learned:
                    raise UsageError(
                        f"layer {name} cannot be trained through mismatch",
                        why="it learns " + ", ".join(learned) if learned else "it has no linear synapse of its own",
                        fix="use linear layers with fixed decays and thresholds",
                    )
                found.append(_Layer(name, synapse, norm, m, self.wirings[name]))
                synapse = norm = None
            elif not list(m.children()) and not isinstance(m, snn.Flatten | snn.Dropout):
                raise UsageError(
                    f"layer {name} ({type(m).__name__}) cannot be trained through mismatch",
                    why="on the chip each of its synapses has a gain of its own", fix="use linear layers",
                )  # fmt: skip
        return found

    def _tune(self, layers: list[_Layer], chip: VirtualChip | None) -> None:
        for layer in layers:
            _tune(layer, chip)


def _tune(layer: _Layer, chip: VirtualChip | None) -> None:
    """Set a layer's twin to a chip, None for the ideal one."""
    neuron, at = layer.neuron, layer.wiring.circuits
    device = layer.synapse.weight.device
    n, unit = len(at), layer.wiring.unit

    def f32(x: Any) -> Tensor:
        return torch.as_tensor(np.asarray(x), dtype=torch.float32, device=device)

    current = isinstance(neuron, snn.CubaLIF)
    dm = np.broadcast_to((neuron.decay_mem if current else neuron.decay).detach().cpu().double().numpy(), (n,))
    low, high = (np.exp(-spec.STEP_PS / t) for t in spec.TAU_MEM_PS)
    dm = np.clip(dm, low, high)
    low, high = (np.exp(-spec.STEP_PS / t) for t in spec.TAU_SYN_PS)
    ds = np.full(n, low)
    if current:
        ds = np.clip(np.broadcast_to(neuron.decay_syn.detach().cpu().double().numpy(), (n,)), low, high)
    ones, zeros = np.ones(n), np.zeros(n)
    mem, e, i, gain, leak, reset, level = (ones, ones, ones, ones, zeros, zeros, zeros)
    if chip is not None:
        mem, e, i, gain = chip.tau_mem[at], chip.tau_syn_e[at], chip.tau_syn_i[at], chip.gain[at]
        leak, reset, level = chip.leak[at], chip.reset[at], chip.threshold[at]
        drivers = layer.wiring.drivers
        layer.gains = f32(np.where(drivers < 0, 1.0, chip.driver[np.maximum(drivers, 0)]))
        layer.bias_gain = float(chip.driver[layer.wiring.bias_driver]) if layer.wiring.bias_driver >= 0 else 1.0
    syn = (e + i) / 2
    dm_now, ds_now = dm ** (1 / mem), ds ** (1 / syn)
    if current:
        gain = gain * first_response(dm_now, ds_now) / first_response(dm, ds)
        layer.charge = (f32(gain * e / syn), f32(gain * i / syn))
    else:  # events of short currents: what they leave on the membrane in the end

        def left(f: Any) -> Any:
            return gain * (np.log(dm) - np.log(ds)) / (np.log(dm_now) - np.log(ds) / f)

        layer.charge = (f32(left(e)), f32(left(i)))
    if isinstance(neuron, snn.LI):
        reset = zeros
    shift = (1 - dm_now) * (leak - reset) / unit
    layer.shift = f32(shift * (1 - ds_now) if current else shift)
    if isinstance(neuron, snn.LI):
        layer.twin = snn.LI(decay=f32(dm_now))
        layer.read = f32((chip.sigma.read if chip is not None else 0.0) / unit)
        return
    threshold = neuron.threshold.detach().cpu().double().numpy() + (level - reset) / unit
    options: dict[str, Any] = {
        "threshold": f32(np.maximum(threshold, 1e-3)),
        "reset": neuron.reset,
        "refractory": neuron.refractory,
        "surrogate": neuron.surrogate,
        "detach_reset": neuron.detach_reset,
    }
    if current:
        layer.twin = snn.CubaLIF(decay_syn=f32(ds_now), decay_mem=f32(dm_now), **options)
    else:
        layer.twin = snn.LIF(decay=f32(dm_now), **options)
    layer.twin.to(device)


def _weight(layer: _Layer) -> tuple[Tensor, Tensor | None]:
    """The synapse's weights as the chip has them, and the bias, the norm that follows folded in."""
    weight: Tensor = layer.synapse.weight
    bias: Any = layer.synapse.bias
    norm = layer.norm
    if norm is not None:
        held: Any = norm
        factor = torch.rsqrt(held.running_var + held.eps)
        factor = factor if held.gain is None else factor * held.gain
        bias = (0.0 if bias is None else bias * factor) - held.running_mean * factor
        bias = bias if held.bias is None else bias + held.bias
        weight = weight * factor[:, None]
    weight = fake_quantise(weight, layer.wiring.share)
    if layer.gains is not None:
        weight = weight * layer.gains
    assert layer.charge is not None
    up, down = layer.charge
    weight = weight.clamp(min=0) * up[:, None] + weight.clamp(max=0) * down[:, None]
    if bias is not None and layer.wiring.bias_driver >= 0:
        bias = layer.bias_gain * (bias.clamp(min=0) * up + bias.clamp(max=0) * down)
    return weight, bias


def _neuron(layer: _Layer, x: Tensor) -> Tensor:
    assert layer.shift is not None
    out: Tensor = layer.twin(x + layer.shift)
    if layer.read is not None and layer.neuron.training:
        out = out + layer.read * torch.randn_like(out)
    return out
