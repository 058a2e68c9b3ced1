"""The base of neuron layers, and of users' own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from snnkit.kernels.sequence import run_steps
from snnkit.nn.module import Stateful
from snnkit.nn.shapes import shape_error


class Neuron(Stateful):
    """A neuron layer over [T, B, features…], defined by its `step`.

    For a neuron of your own define `initial_state` and `step` (and `params` where the step needs more than input and
    state); it then runs step by step, streams, records and works in `snn.Recurrent` like the built-in ones. Its
    state is a NamedTuple of tensors; a field `v` is what `snn.record(v=…)` shows.

    Built-in neurons run whole sequences in one fused call that gives the same spikes as `step`, bit for bit.
    """

    spiking = True

    def params(self, x: Tensor) -> Any:
        """What `step` needs beside input and state, worked out once per sequence."""
        return None

    def step(self, x: Tensor, state: Any, params: Any) -> tuple[Tensor, Any]:
        """One step: (x [B, …], state, params) → (out [B, …], state). The definition of the neuron."""
        raise NotImplementedError

    def sequence(self, x: Tensor, state: Any, want_state: bool = True) -> tuple[Tensor, Any]:
        return self.reference(x, state)

    def reference(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """The sequence step by step, whatever fused kernels exist: (out [T, B, …], final state)."""
        if state is None:
            state = self.initial_state(x)
        return run_steps(self.step, x, state, self.params(x))

    def membrane(self, x: Tensor, state: Any = None) -> Tensor:
        """v [T, B, …] after each step's reset, by the reference."""
        if state is None:
            state = self.initial_state(x)

        def watch(x_t: Tensor, state: Any, params: Any) -> tuple[Tensor, Any]:
            _, state = self.step(x_t, state, params)
            return state.v, state

        return run_steps(watch, x, state, self.params(x))[0]

    def check_input(self, x: Tensor) -> None:
        if x.dim() < 3:
            raise shape_error(
                self,
                x,
                "at least 3 dimensions [T, B, features…]",
                "time comes first, then the batch: one step is x[None]",
            )
        if x.shape[0] == 0:
            raise shape_error(self, x, "at least one time step")

    def check_state(self, state: Any, x: Tensor) -> None:
        self.expect_state(state, self.initial_state(x[:1, :0]), x)

    def extra_repr(self) -> str:
        return ""


def spikes_like(out: Tensor, x: Tensor) -> Tensor:
    """Spikes in the dtype of a low-precision floating input (0 and 1 are exact in all), else as they are."""
    return out.to(x.dtype) if x.dtype in (torch.bfloat16, torch.float16) else out
