"""A neuron of snntorch by layers of snnkit: its membrane, current, reset and recurrent connection.

snntorch fires at mem > threshold; here v ≥ threshold. The threshold becomes the next float32 above theirs: the two
tests are then the same for every float32 membrane.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from snnkit.nn import synapses
from snnkit.nn.convert import torch_layers
from snnkit.nn.convert.block import Block, Options, RefusedError, frozen_scale
from snnkit.nn.convert.snntorch_steps import SnntorchNeuron
from snnkit.nn.convert.torch_layers import Copy
from snnkit.nn.neurons import LI, LIF, CubaLIF, Neuron
from snnkit.surrogate import Surrogate

TWICE = "a membrane still above the threshold after its reset loses the threshold once more there"
ULP = "the reset takes off the next float above their threshold"
ORDER = "the sums are rounded in another order"


def _shaped(name: str, value: Tensor, axes: int | None) -> Tensor:
    """A parameter that broadcasts against [B, features…] as snnkit takes it: a number, [C] or [C, H, W]."""
    value = value.detach()
    if value.numel() == 1:
        return value.reshape(())
    if axes is None:
        raise RefusedError(
            f"{name} of shape {list(value.shape)}, and the features of its input are not known",
            "give convert_from a batch: convert_from(module, x)",
        )
    shape = list(value.shape)
    while len(shape) > axes and shape[0] == 1:
        shape.pop(0)
    if len(shape) == axes and all(n == 1 for n in shape[1:]):
        return value.reshape(shape[0])
    if len(shape) == axes and 1 not in shape:
        return value.reshape(shape)
    raise RefusedError(
        f"{name} of shape {list(value.shape)} on {axes} feature axes",
        "parameters are one number, one per channel [C, 1, 1] or one per neuron [C, H, W]",
    )


def _next_above(threshold: Tensor) -> Tensor:
    threshold = threshold.detach().float()
    return torch.nextafter(threshold, torch.full_like(threshold, torch.inf))


def _learned(t: Any) -> bool:
    return isinstance(t, nn.Parameter)


class NeuronLayers:
    """One neuron of snntorch on its way."""

    def __init__(self, m: Any, name: str, delayed: bool, g: Surrogate, axes: int | None, copy: Copy) -> None:
        self.m, self.name, self.delayed, self.g, self.copy = m, name, delayed, g, copy
        self.reset = m.reset_mechanism
        self.lapicque = name == "Lapicque"
        self.current = name in ("Synaptic", "RSynaptic")
        self.recurrent = name in ("RLeaky", "RSynaptic")
        self.axes = axes

    def literal(self) -> SnntorchNeuron:
        """The neuron with snntorch's own order of operations."""
        m = self.m
        return SnntorchNeuron(
            m.beta,
            m.threshold,
            self.reset,
            self.delayed,
            self.name == "Leaky",
            self.g,
            m.alpha if self.current else None,
            self.synapse() if self.recurrent else None,
            (m.R, m.C, m.time_step) if self.lapicque else None,
        )

    def synapse(self) -> nn.Module:
        """The recurrent connection as a layer of snnkit."""
        inner = self.m.recurrent
        if type(inner) in (nn.Linear, nn.Conv2d):
            return torch_layers.convert(inner, type(inner), self.copy).module
        shape = _shaped("V", inner.V, self.axes)
        layer = synapses.OneToOne(tuple(shape.shape) or 1)
        with torch.no_grad():
            layer.weight.copy_(shape.reshape(layer.weight.shape))
        return layer.requires_grad_(_learned(inner.V) and inner.V.requires_grad)

    # ------------------------------------------------------------------------------------------------ by our own layers
    def block(self, options: Options) -> Block:
        """The neuron by layers of snnkit: the same equation wherever these can say it."""
        m = self.m
        exact, reasons = not (self.lapicque or self.recurrent), []
        if self.lapicque or self.recurrent:
            reasons.append(ORDER)
        gain = None
        if self.lapicque:
            if m.R.numel() != 1 or m.C.numel() != 1:
                raise RefusedError("R or C are not single numbers", "one Lapicque has one R and one C")
            rc = (m.R.detach().double() * m.C.detach().double()).item()
            gain = (m.time_step.double() / m.C.detach().double()).item()
            decay = torch.tensor(1 - m.time_step.item() / rc)
            learns = False
            if _learned(m.beta):
                reasons.append("its beta is learned there, but the step uses R and C, which are not")
        else:
            decay = _shaped("beta", m.beta.float().clamp(0, 1), self.axes)
            learns = _learned(m.beta)
        alpha = _shaped("alpha", m.alpha.float().clamp(0, 1), self.axes) if self.current else None
        if learns or (self.current and _learned(m.alpha)):
            exact = False
            reasons.append("a learned decay is kept as a logit, which moves it by up to 1e-7")
        made = self.make(decay, alpha, learns, options)
        if made.why:
            reasons.append(made.why)
        exact = exact and made.exact
        why = "; ".join(reasons) or "mem > threshold is v ≥ the next float above it"
        return Block(made.module, exact, why, gain=None if gain is None or gain == 1 else gain, neuron=True)

    def make(self, decay: Tensor, alpha: Tensor | None, learns: bool, options: Options) -> Block:
        """Membrane, current and reset."""
        # Every reset but Leaky's clears the membrane after the next step's input has come: that input is lost.
        late = self.reset == "zero" and self.delayed and self.name != "Leaky"
        if self.reset == "zero":
            why = "mem is cleared one step late, with the input of that step: refractory=1" if late else ""
            return Block(self.wrap(self.firing(decay, alpha, learns, "zero", int(late))), True, why)
        if self.reset == "none":
            return self.without_reset(decay, alpha, learns)
        plain = not self.delayed or options.same_step_reset or bool((decay == 1).all() and not learns)
        if plain:
            why = f"{ULP}; {TWICE}" if not self.delayed else ULP
            if self.delayed and not bool((decay == 1).all() and not learns):
                why = (
                    "the reset comes in the same step, so it takes off beta·threshold where theirs, a step late, takes "
                    "off the threshold"
                )
            return Block(self.wrap(self.firing(decay, alpha, learns, "subtract", 0)), False, why)
        if alpha is not None and self.recurrent:
            raise RefusedError(
                "RSynaptic with a delayed reset by subtraction has no counterpart among the layers of snnkit",
                "exact=True runs snntorch's own steps, same_step_reset=True resets in the same step",
            )
        why = (
            "the reset comes a step late and takes off the threshold, not beta·threshold: the rest comes through a "
            f"one-to-one connection; {ULP}"
        )
        if learns or _learned(self.m.threshold):
            why += "; that connection stays as it is where beta or threshold are trained on"
        late_reset = self.rest_of_reset(decay)
        inner = self.firing(decay, None, learns, "subtract", 0)
        both = late_reset if not self.recurrent else synapses.Add(self.synapse(), late_reset)
        chain: nn.Module = synapses.Recurrent(inner, both)
        if alpha is not None:
            chain = nn.Sequential(self.integrator(alpha, _learned(self.m.alpha)), chain)
            why += "; a chip has no such current in front of a neuron: for one convert with same_step_reset=True"
        return Block(chain, False, why)

    def rest_of_reset(self, decay: Tensor) -> nn.Module:
        """beta·threshold⁺ − threshold, from each neuron to itself: with v − threshold⁺ the whole delayed reset."""
        threshold = _shaped("threshold", self.m.threshold.float(), self.axes)
        above = _next_above(threshold).double()
        if decay.dim() == 1 and threshold.dim() > 1:
            decay = decay.view(-1, *[1] * (threshold.dim() - 1))
        if threshold.dim() == 1 and decay.dim() > 1:
            threshold, above = (t.view(-1, *[1] * (decay.dim() - 1)) for t in (threshold, above))
        return frozen_scale(decay.double() * above - threshold.double())

    def without_reset(self, decay: Tensor, alpha: Tensor | None, learns: bool) -> Block:
        """Spikes without a reset: a current that is compared with the threshold."""
        if self.recurrent and (alpha is not None or learns):
            raise RefusedError(
                f"{self.name}(reset_mechanism='none') with these settings has no counterpart among snnkit's layers",
                "exact=True runs snntorch's own steps",
            )
        note = "without a reset: the membrane is the current of a neuron that keeps nothing"
        if learns:
            test = LIF(decay=0.0, **self.threshold(), surrogate=self.g)
            chain = [self.integrator(decay, True), test]
        else:
            chain = [CubaLIF(decay_syn=decay, decay_mem=0.0, **self.threshold(), surrogate=self.g)]
        if alpha is not None:
            chain.insert(0, self.integrator(alpha, _learned(self.m.alpha)))
        if len(chain) > 1:
            note += "; a chip has no such current in front of a neuron"
        return Block(self.wrap(chain[0]) if len(chain) == 1 else nn.Sequential(*chain), True, note)

    def integrator(self, decay: Tensor, learns: bool) -> LI:
        return LI(decay=decay, learn_decay=learns)

    def threshold(self) -> dict[str, Any]:
        value = _next_above(_shaped("threshold", self.m.threshold, self.axes))
        return {"threshold": value, "learn_threshold": _learned(self.m.threshold)}

    def firing(self, decay: Tensor, alpha: Tensor | None, learns: bool, reset: str, refractory: int) -> Neuron:
        settings: dict[str, Any] = {
            **self.threshold(),
            "reset": reset,
            "detach_reset": self.delayed,
            "refractory": refractory,
            "surrogate": self.g,
        }
        if alpha is None:
            return LIF(decay=decay, learn_decay=learns, **settings)
        either = learns or _learned(self.m.alpha)
        neuron = CubaLIF(decay_syn=alpha, decay_mem=decay, learn_decay=either, **settings)
        if either:
            neuron.decay_mem_logit.requires_grad_(learns)
            neuron.decay_syn_logit.requires_grad_(_learned(self.m.alpha))
        return neuron

    def wrap(self, neuron: Neuron) -> nn.Module:
        return synapses.Recurrent(neuron, self.synapse()) if self.recurrent else neuron
