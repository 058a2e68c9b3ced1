"""Recurrent synapses: a neuron layer that hears its own spikes one step later."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snnkit.errors import ParameterError
from snnkit.kernels import recurrent as kernel
from snnkit.kernels.state import detach_state, move_state, state_dtype
from snnkit.nn.context import current_pass, enter_pass, learner_of
from snnkit.nn.module import Stateful
from snnkit.nn.neurons.alif import ALIF
from snnkit.nn.neurons.base import Neuron, spikes_like
from snnkit.nn.neurons.cubalif import CubaLIF
from snnkit.nn.neurons.li import LI
from snnkit.nn.neurons.lif import LIF
from snnkit.nn.shapes import shape_error
from snnkit.nn.synapses.conv import Conv2d
from snnkit.nn.synapses.linear import Linear
from snnkit.nn.synapses.norm import BatchNorm
from snnkit.nn.synapses.one_to_one import OneToOne

FUSED = (LIF, CubaLIF, ALIF, LI)
"""Neurons that run in one call over the sequence where the synapse is a `Linear`; others run step by step."""


class RecurrentState(NamedTuple):
    """neuron: the neuron's own state; out [B, …]: its output at the last step."""

    neuron: Any
    out: Tensor

    def detach(self) -> RecurrentState:
        """The same state cut from the graph (truncated back-propagation through time)."""
        return detach_state(self)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> RecurrentState:
        """The state on another device; `dtype` applies to its floating-point tensors only."""
        return move_state(self, device, dtype)


class Recurrent(Stateful):
    """out[t] = neuron(x[t] + synapse(out[t−1])), with out[−1] = 0. x, out: [T, B, features…].

    A bias of the synapse acts at every step, the first included. The usual connections have short forms:
    `Recurrent.dense(snn.LIF(), 64)`, `Recurrent.one_to_one(snn.LIF(), 64)`, `Recurrent.conv(snn.LIF(), 16)`.

    A `LIF`, `CubaLIF`, `ALIF` or `LI` whose synapse is a `Linear` runs the whole sequence in one fused call, with the
    spikes of the step-by-step form bit for bit; others, and a `Linear` with hooks, run step by step. On a GPU (with
    Triton) a step is a matrix product and one launch, and a CUDA graph may capture them all.

    Args:
        neuron: a neuron layer (`LIF`, `CubaLIF`, `LI`, or your own `Neuron`).
        synapse: a layer without state from the neuron's output to its input, such as `Linear(N, N)` or
            `Conv2d(C, C, 3, padding=1)`.

    Raises:
        ParameterError: the neuron is none, or the synapse has a state or takes statistics over time.
        ShapeError: the synapse does not give the shape of x.
    """

    def __init__(self, neuron: Neuron, synapse: torch.nn.Module) -> None:
        super().__init__()
        if not isinstance(neuron, Neuron):
            raise ParameterError(
                f"Recurrent's neuron is a {type(neuron).__name__}", fix="give a neuron layer such as snn.LIF()"
            )
        for module in synapse.modules():
            if isinstance(module, Stateful | BatchNorm):
                raise ParameterError(
                    f"Recurrent's synapse contains a {type(module).__name__}",
                    why="it runs once per step, so it can neither keep a state nor take statistics over the sequence",
                    fix="put that layer before or after the Recurrent",
                )
        self.neuron = neuron
        self.synapse = synapse

    @classmethod
    def dense(cls, neuron: Neuron, features: int, bias: bool = False) -> Recurrent:
        """Every neuron of x [T, B, features] hears every other and itself: `Recurrent(neuron, Linear(N, N))`."""
        return cls(neuron, Linear(features, features, bias))

    @classmethod
    def one_to_one(cls, neuron: Neuron, shape: int | Sequence[int], bias: bool = False) -> Recurrent:
        """Every neuron hears itself alone: `Recurrent(neuron, OneToOne(shape))`; shape N, C or (C, H, W)."""
        return cls(neuron, OneToOne(shape, bias))

    @classmethod
    def conv(
        cls, neuron: Neuron, channels: int, kernel_size: int | tuple[int, int] = 3, groups: int = 1, bias: bool = False
    ) -> Recurrent:
        """Neurons of x [T, B, C, H, W] hear their neighbourhood: a `Conv2d` that keeps the number of pixels."""
        return cls(neuron, Conv2d(channels, channels, kernel_size, padding="same", groups=groups, bias=bias))

    @property
    def spiking(self) -> bool:  # type: ignore[override]
        """Whether the neuron spikes."""
        return self.neuron.spiking

    def initial_state(self, x: Tensor) -> RecurrentState:
        """The neuron at rest and silent; for x [T, B, …]."""
        return RecurrentState(
            self.neuron.initial_state(x), torch.zeros(x.shape[1:], dtype=state_dtype(x), device=x.device)
        )

    def _steps(self, x: Tensor, state: RecurrentState) -> tuple[list[Tensor], list[Any], RecurrentState]:
        def synapse(out: Tensor) -> Tensor:
            fed_back = self.synapse(out[None])[0]
            if fed_back.shape != x.shape[1:]:
                raise shape_error(
                    self, x, f"its synapse to give {tuple(x.shape[1:])} per step, which gives {tuple(fed_back.shape)}"
                )
            return fed_back

        # The synapse has no state: it must not take part in the pass around this layer. Outside a pass there is nothing
        # to leave, and torch.compile cannot follow a ContextVar.
        with contextlib.nullcontext() if current_pass() is None else enter_pass(None):
            outputs, states = kernel.run_steps(
                self.neuron.step, synapse, x, state.neuron, state.out, self.neuron.params(x)
            )
        return outputs, states, RecurrentState(states[-1], outputs[-1])

    def _dense(self, x: Tensor, params: Any) -> tuple[Tensor, Tensor | None] | None:
        """Matrix and bias of a synapse that is no more than these, None where x has to go step by step."""
        synapse = self.synapse
        if (
            type(self.neuron) not in FUSED
            or type(synapse) is not Linear
            or _hooked(synapse)
            or learner_of(synapse) is not None
        ):
            return None
        weight = synapse.effective_weight
        return (weight, synapse.bias) if kernel.takes(x, weight, params) else None

    def sequence(self, x: Tensor, state: Any, want_state: bool = True) -> tuple[Tensor, Any]:
        params = self.neuron.params(x)
        dense = self._dense(x, params)
        final: RecurrentState | None
        if dense is None:
            outputs, _, final = self._steps(x, self.initial_state(x) if state is None else state)
            out = torch.stack(outputs)
        else:
            inner, before = (None, None) if state is None else state
            out, inner, last = kernel.sequence(x, inner, before, params, *dense, want_state)
            final = None if last is None else RecurrentState(inner, last)
        return (spikes_like(out, x) if self.spiking else out), final

    def membrane(self, x: Tensor, state: Any = None) -> Tensor:
        """The neuron's v [T, B, …] after each step's reset."""
        _, states, _ = self._steps(x, self.initial_state(x) if state is None else state)
        return torch.stack([s.v for s in states])

    def check_input(self, x: Tensor) -> None:
        self.neuron.check_input(x)

    def check_state(self, state: Any, x: Tensor) -> None:
        if not isinstance(state, RecurrentState):
            raise self.state_error(state, f"a {type(state).__name__} instead of a RecurrentState")
        self.neuron.check_state(state.neuron, x)
        self.expect_tensor(state, "out", state.out, x, state_dtype(x))


def _hooked(module: torch.nn.Module) -> bool:
    """Whether someone listens to the module's calls, or to those of all modules."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or torch.nn.modules.module._has_any_global_hook()
    )
